/** A loaded graph. The only module that knows onnxruntime-node, which is imported when the first model is opened and not before. */
import type { InferenceSession, OnnxValue, Tensor } from 'onnxruntime-node'
import type { Clock } from '../clock.ts'
import type { Column, Data, Dtype } from '../payload/columns.ts'
import type { Signature, TensorSpec } from './signature.ts'

/** What one run of the graph gave. */
export interface SessionRun {
  /** In the order asked for. */
  readonly columns: readonly Column[]
  /** Of the run alone, without the wait for it. */
  readonly took_ms: number
}

export interface Session {
  readonly signature: Signature
  /** @param inputs one a tensor of the signature, checked @throws the library's error, whose message is not for callers */
  run(inputs: readonly Column[], outputs: readonly string[]): Promise<SessionRun>
  /** Waits for runs under way. */
  close(): Promise<void>
}

const dtypes: Readonly<Record<string, Dtype>> = {
  bool: 'BOOL',
  uint8: 'UINT8', uint16: 'UINT16', uint32: 'UINT32', uint64: 'UINT64',
  int8: 'INT8', int16: 'INT16', int32: 'INT32', int64: 'INT64',
  float16: 'FP16', float32: 'FP32', float64: 'FP64',
  string: 'BYTES',
}
const types = Object.fromEntries(Object.entries(dtypes).map(([type, dtype]) => [dtype, type])) as Record<Dtype, Tensor.Type>

/** @throws the library's error; see `repository.ts` for a reason without paths */
export async function openSession(file: string, clock: Clock): Promise<Session> {
  const ort = await import('onnxruntime-node')
  // ONNX Runtime writes to stderr by itself; what it complains of comes as an error too.
  ort.env.logLevel = 'fatal'
  // One thread a run: weir spreads requests over threads of its own, and a pool per session would fight with them.
  const session = await ort.InferenceSession.create(file, { intraOpNumThreads: 1, interOpNumThreads: 1, logSeverityLevel: 4 })
  return new OrtSession(session, ort.Tensor, clock)
}

class OrtSession implements Session {
  readonly signature: Signature
  readonly #session: InferenceSession
  readonly #Tensor: typeof Tensor
  readonly #clock: Clock
  readonly #running = new Set<Promise<unknown>>()

  constructor(session: InferenceSession, tensor: typeof Tensor, clock: Clock) {
    this.#session = session
    this.#Tensor = tensor
    this.#clock = clock
    this.signature = { inputs: session.inputMetadata.map(spec), outputs: session.outputMetadata.map(spec) }
  }

  async run(inputs: readonly Column[], outputs: readonly string[]): Promise<SessionRun> {
    const feeds: Record<string, Tensor> = Object.fromEntries(inputs.map((column) => [column.name, this.#tensor(column)]))
    // The library runs in a `setImmediate` of its own, perhaps behind other runs: this one comes right before it.
    let started = 0
    setImmediate(() => {
      started = this.#clock.now()
    })
    const running = this.#session.run(feeds, outputs)
    this.#running.add(running)
    try {
      const results = await running
      const took_ms = this.#clock.now() - started
      return { columns: outputs.map((name) => column(name, results[name]!)), took_ms }
    } finally {
      this.#running.delete(running)
    }
  }

  async close(): Promise<void> {
    await Promise.allSettled([...this.#running])
    await this.#session.release()
  }

  #tensor({ dtype, data, shape }: Column): Tensor {
    const tensor = new this.#Tensor(types[dtype], data as never, shape)
    // onnxruntime-node 1.30 cannot read the Float16Array it makes of these bits ("not enough space: expected 4, got 0").
    if (dtype === 'FP16') Object.assign(tensor, { cpuData: data })
    return tensor
  }
}

function column(name: string, value: OnnxValue): Column {
  const { type, dims, data } = value as Tensor
  const dtype = dtypes[type]!
  return { name, dtype, shape: dims, data: dtype === 'FP16' ? bits(data as ArrayBufferView & { length: number }) : (data as Data) }
}

function bits({ buffer, byteOffset, length }: ArrayBufferView & { length: number }): Uint16Array {
  return new Uint16Array(buffer, byteOffset, length)
}

function spec(metadata: InferenceSession.ValueMetadata): TensorSpec {
  if (!metadata.isTensor) return { name: metadata.name, dtype: null, shape: [], rows: null }
  const [first] = metadata.shape
  return {
    name: metadata.name,
    dtype: dtypes[metadata.type] ?? null,
    shape: metadata.shape.map((size) => (typeof size === 'number' ? size : -1)),
    rows: typeof first === 'string' ? first : null,
  }
}
