/** A body as named columns: the one view of a payload that plugins and models share, whatever format it came in. */

/** The Open Inference Protocol v2 data types, BF16 included (specification/protocol/inference_rest.md, "Tensor Data Types"). */
export type Dtype =
  | 'BOOL'
  | 'UINT8' | 'UINT16' | 'UINT32' | 'UINT64'
  | 'INT8' | 'INT16' | 'INT32' | 'INT64'
  | 'FP16' | 'BF16' | 'FP32' | 'FP64'
  | 'BYTES'

/**
 * Values in row-major order. BOOL is a Uint8Array of 0 and 1; FP16 and BF16 are the raw bits in a Uint16Array;
 * 64-bit integers are exact; BYTES are strings.
 */
export type Data =
  | Uint8Array | Uint16Array | Uint32Array | BigUint64Array
  | Int8Array | Int16Array | Int32Array | BigInt64Array
  | Float32Array | Float64Array
  | string[]

export interface Column {
  /** '' = the only input of the model, of a format that need not name it. */
  readonly name: string
  readonly dtype: Dtype
  /** The first dimension counts rows; [] is a scalar. The product equals `data.length`. */
  readonly shape: readonly number[]
  readonly data: Data
  /** OIP: what the caller said about this tensor; kept when the body is written again. */
  readonly parameters?: Parameters
  /** 1 where the body says null, as long as `data`, which holds NaN, '' or 0 there; absent = nowhere. */
  readonly nulls?: Uint8Array
  /** CSV: the cells as they were written, for an input of strings (a postal code looks like a number). */
  readonly spelled?: readonly string[]
}

/** Integers beyond 2^53 are bigints (Triton's `sequence_id` is a UINT64). */
export type Parameters = Readonly<Record<string, string | number | bigint | boolean>>

/** What a format knows about a request or an answer beside its columns. */
export interface Columns {
  readonly columns: readonly Column[]
  /** OIP `id`; echoed when given. */
  readonly id?: string
  readonly parameters?: Parameters
  /** Requested output names in order; absent = all. */
  readonly outputs?: readonly string[]
  /** OIP: parameters of the requested outputs, in the order of `outputs`; absent = none has any. */
  readonly outputParameters?: readonly (Parameters | undefined)[]
  /** OIP: some tensors came as bytes behind the JSON, and are written so again. */
  readonly binary?: boolean
  /** OIP raw request: the bytes of the only input, whose name and type the model knows (`rawColumns`); `columns` is empty. */
  readonly raw?: Buffer
  /** `rows`: one object was sent, so one object is answered. */
  readonly single?: boolean
  /** `tfs`, `mlflow`: tensors were sent whole (`inputs`), so they are answered whole. */
  readonly columnar?: boolean
  /** A data frame: its columns have an order, which counts where their names are unknown. */
  readonly ordered?: boolean
  /** Answers: which model made it. */
  readonly model?: { readonly name: string; readonly version: string }
}

/** How many rows a request has: the first dimension of the first column that has one. */
export function rowCount({ columns, single }: Columns): number {
  for (const { shape } of columns) if (shape.length > 0) return shape[0]!
  return columns.length > 0 || single === true ? 1 : 0
}
