/** Rows for trying a model out when no request has come yet. */
import type { Column, Data } from '../../payload/columns.ts'
import { elements, integers } from '../../payload/tensor.ts'
import type { TensorSpec } from '../signature.ts'

/** Free dimensions beyond the batch are 1, so this only stops fixed shapes that no request will ever fill. */
const MAX_ELEMENTS = 1 << 26
/** Always the same rows: a model is placed the same way at every load. */
const SEED = 0x9e3779b9

/**
 * Two rows that differ in every value, the same at each call; null when an input is no tensor, or too large. Floats are
 * between 0 and 1 in one row, between 2 and 3 in the other (a model that scales all rows by their common range is found out);
 * integers are 0 and 1, good for small dictionaries; texts are "1" and "2", for models that read numbers from them.
 */
export function madeUp(inputs: readonly TensorSpec[]): readonly [readonly Column[], readonly Column[]] | null {
  if (!inputs.every(({ dtype, shape }) => dtype !== null && elements(shapeOf(shape)) <= MAX_ELEMENTS)) return null
  const random = mulberry32(SEED)
  return [inputs.map((input) => column(input, (i) => [random(), i & 1])), inputs.map((input) => column(input, (i) => [2 + random(), 1 - (i & 1)]))]
}

/** One row of zeros; texts are "0". Of inputs that `madeUp` takes. */
export function zeros(inputs: readonly TensorSpec[]): readonly Column[] {
  return inputs.map((input) => {
    const { name, dtype, shape, data } = column(input, () => [0, 0])
    return { name, dtype, shape, data: Array.isArray(data) ? data.fill('0') : data }
  })
}

function shapeOf(declared: readonly number[]): number[] {
  return declared.map((size) => (size === -1 ? 1 : size))
}

/** @param value a float and an integer for an element */
function column({ name, dtype, shape: declared }: TensorSpec, value: (i: number) => readonly [number, number]): Column {
  const shape = shapeOf(declared)
  return { name, dtype: dtype!, shape, data: fill(dtype!, elements(shape), value) }
}

function fill(dtype: Column['dtype'], length: number, value: (i: number) => readonly [number, number]): Data {
  const float = (_: unknown, i: number): number => value(i)[0]
  const integer = (_: unknown, i: number): number => value(i)[1]
  switch (dtype) {
    case 'BYTES':
      return Array.from({ length }, (_, i) => String(1 + value(i)[1]))
    case 'INT64':
      return BigInt64Array.from({ length }, (_, i) => BigInt(value(i)[1]))
    case 'UINT64':
      return BigUint64Array.from({ length }, (_, i) => BigInt(value(i)[1]))
    case 'FP32':
      return Float32Array.from({ length }, float)
    case 'FP64':
      return Float64Array.from({ length }, float)
    case 'FP16':
      return new Uint16Array(Float16Array.from({ length }, float).buffer)
    case 'BF16':
      // The upper half of a float32.
      return Uint16Array.from(new Uint32Array(Float32Array.from({ length }, float).buffer), (bits) => bits >>> 16)
    case 'BOOL':
      return Uint8Array.from({ length }, integer)
    default:
      return fillIntegers(integers[dtype]!.make(length), value)
  }
}

function fillIntegers<T extends { readonly length: number; [index: number]: number }>(into: T, value: (i: number) => readonly [number, number]): T {
  for (let i = 0; i < into.length; i++) into[i] = value(i)[1]
  return into
}

/** Tommy Ettinger's mulberry32: 32 bits of state, good enough for rows that look random. @returns numbers from 0 up to 1 */
function mulberry32(seed: number): () => number {
  let state = seed
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
}
