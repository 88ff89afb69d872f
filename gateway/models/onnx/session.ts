/** A loaded graph. The only module that knows onnxruntime-node, which is imported when the first model is opened and not before. */
import { readFileSync } from 'node:fs'
import { dirname } from 'node:path'
import type { InferenceSession, OnnxValue, Tensor } from 'onnxruntime-node'
import type { Clock } from '../../clock.ts'
import { widened } from '../../payload/halves.ts'
import type { Column, Data, Dtype } from '../../payload/columns.ts'
import { clip } from '../../payload/json.ts'
import { externalFiles, outline } from './outline.ts'
import { readOr } from './protobuf.ts'
import { type Prepared, prepareGraph } from './rewrite.ts'
import type { Signature, TensorSpec } from '../signature.ts'

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

export interface SessionOptions {
  /** Threads that one run may use. */
  readonly intraOpThreads: number
}

/** weir spreads requests over threads of its own, and a pool per session would fight with them. */
const ONE_THREAD: SessionOptions = { intraOpThreads: 1 }

/** @throws the library's error, or one of ours that says what the file has and weir cannot take; see `reasonOf` for a reason without paths */
export async function openSession(file: string, clock: Clock, options: SessionOptions = ONE_THREAD): Promise<Session> {
  const prepared = prepare(file)
  const ort = await import('onnxruntime-node')
  // ONNX Runtime writes to stderr by itself; what it complains of comes as an error too.
  ort.env.logLevel = 'fatal'
  const settings = {
    intraOpNumThreads: options.intraOpThreads, interOpNumThreads: 1, logSeverityLevel: 4,
    // A graph from memory has no folder of its own to find its weights in.
    ...(prepared !== null && { extra: { session: { model_external_initializers_file_folder_path: dirname(file) } } }),
  } as const
  const session = await (prepared === null ? ort.InferenceSession.create(file, settings) : ort.InferenceSession.create(prepared.bytes, settings))
  try {
    return new OrtSession(session, ort.Tensor, clock, prepared)
  } catch (error) {
    await session.release()
    throw error
  }
}

/** The graph as this binding can run it; null when it can as it stands. Only a graph that needs it is read into memory. */
function prepare(file: string): Prepared | null {
  const model = outline(file)
  if (model === null) return null
  externalFiles(model, file)
  // What is no graph inside is left to the library, which has the words for it.
  return readOr(null, () => (prepareGraph(model) === null ? null : prepareGraph(readFileSync(file))))
}

/**
 * When a run began, for runs of all sessions of this thread. The library runs each in a `setImmediate` of its own, one after
 * another: the first right after one of ours, the others when the one before has ended.
 */
class Turn {
  #waiting = false
  #began = 0

  begin(clock: Clock): void {
    if (this.#waiting) return
    this.#waiting = true
    setImmediate(() => {
      this.#waiting = false
      this.#began = clock.now()
    })
  }

  /** A run has ended. @returns what it took, milliseconds */
  ran(now: number): number {
    const took = now - this.#began
    this.#began = now
    return took
  }
}

const turn = new Turn()

class OrtSession implements Session {
  readonly signature: Signature
  readonly #session: InferenceSession
  readonly #Tensor: typeof Tensor
  readonly #clock: Clock
  #underWay = 0
  /** Called when the last run is over. */
  #idle: (() => void) | null = null
  /** Names in the graph of the BF16 tensors of the signature. */
  readonly #inputs: ReadonlyMap<string, string>
  readonly #outputs: ReadonlyMap<string, string>
  #closing: Promise<void> | null = null

  constructor(session: InferenceSession, tensor: typeof Tensor, clock: Clock, prepared: Prepared | null) {
    this.#session = session
    this.#Tensor = tensor
    this.#clock = clock
    this.#inputs = prepared?.inputs ?? new Map()
    this.#outputs = prepared?.outputs ?? new Map()
    this.signature = {
      inputs: session.inputMetadata.map((one) => bf16(spec(one), this.#inputs)),
      outputs: session.outputMetadata.map((one) => labelled(bf16(spec(one), this.#outputs), prepared)),
    }
    for (const { name, dtype } of this.signature.inputs) if (dtype === null) throw new Error(`input "${clip(name)}" is not a tensor of a type the Open Inference Protocol knows`)
  }

  run(inputs: readonly Column[], outputs: readonly string[]): Promise<SessionRun> {
    if (this.#closing !== null) return Promise.reject(new Error('the session is closed'))
    const feeds: Record<string, Tensor> = {}
    for (const column of inputs) feeds[this.#inputs.get(column.name) ?? column.name] = this.#tensor(column)
    const fetches = this.#outputs.size === 0 ? outputs : outputs.map((name) => this.#outputs.get(name) ?? name)
    this.#underWay++
    turn.begin(this.#clock)
    return this.#session.run(feeds, fetches).then(
      (results) => {
        const took_ms = turn.ran(this.#clock.now())
        this.#ended()
        return { columns: outputs.map((name, i) => this.#column(name, results[fetches[i]!]!)), took_ms }
      },
      (error: unknown) => {
        turn.ran(this.#clock.now())
        this.#ended()
        throw error
      },
    )
  }

  /** No run begins after this. */
  close(): Promise<void> {
    this.#closing ??= this.#settled().then(() => this.#session.release())
    return this.#closing
  }

  async #settled(): Promise<void> {
    if (this.#underWay > 0) await new Promise<void>((resolve) => (this.#idle = resolve))
  }

  #ended(): void {
    this.#underWay--
    if (this.#underWay === 0) this.#idle?.()
  }

  #tensor(column: Column): Tensor {
    const { dtype, data, shape } = column
    if (dtype === 'BF16') return new this.#Tensor('float32', widened(column).data as Float32Array, shape)
    const tensor = new this.#Tensor(types[dtype], data as never, shape)
    // onnxruntime-node 1.30 cannot read the Float16Array it makes of these bits ("not enough space: expected 4, got 0").
    if (dtype === 'FP16') Object.assign(tensor, { cpuData: data })
    return tensor
  }

  #column(name: string, value: OnnxValue): Column {
    const read = column(name, value)
    return this.#outputs.has(name) ? { ...read, dtype: 'BF16', data: narrowed(read.data as Float32Array) } : read
  }
}

/** Exact for what was a bfloat16. */
function narrowed(data: Float32Array): Uint16Array {
  const bits = new Uint32Array(data.buffer, data.byteOffset, data.length)
  const halves = new Uint16Array(data.length)
  for (let i = 0; i < data.length; i++) halves[i] = bits[i]! >>> 16
  return halves
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

/** A tensor that stands in for a BF16 one goes by the name of that. */
function bf16(one: TensorSpec, standIns: ReadonlyMap<string, string>): TensorSpec {
  for (const [name, standIn] of standIns) if (standIn === one.name) return { ...one, name, dtype: 'BF16' }
  return one
}

function labelled(one: TensorSpec, prepared: Prepared | null): TensorSpec {
  const classes = prepared?.classes.get(one.name)
  return classes === undefined || classes.length === 0 ? one : { ...one, classes }
}
