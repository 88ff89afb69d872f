/** A loaded graph, run in the thread that asks. */
import { readFileSync } from 'node:fs'
import { dirname } from 'node:path'
import type { Clock } from '../../clock.ts'
import { widened } from '../../payload/halves.ts'
import type { Column, Data, Dtype } from '../../payload/columns.ts'
import { clip } from '../../payload/json.ts'
import { elements, shapeText } from '../../payload/tensor.ts'
import { type Named, named, type RawMetadata, type RawSession, rawSession, RawTensor, TYPES } from './binding.ts'
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
  run(inputs: readonly Column[], outputs: readonly string[]): SessionRun
  /** No run begins after this. */
  close(): void
}

const dtypes: Readonly<Record<string, Dtype>> = {
  bool: 'BOOL',
  uint8: 'UINT8', uint16: 'UINT16', uint32: 'UINT32', uint64: 'UINT64',
  int8: 'INT8', int16: 'INT16', int32: 'INT32', int64: 'INT64',
  float16: 'FP16', float32: 'FP32', float64: 'FP64',
  string: 'BYTES',
}
const types = Object.fromEntries(Object.entries(dtypes).map(([type, dtype]) => [dtype, type])) as Record<Dtype, string>

export interface SessionOptions {
  /** Threads that one run may use. */
  readonly intraOpThreads: number
}

/** weir spreads requests over threads of its own, and a pool per session would fight with them. */
const ONE_THREAD: SessionOptions = { intraOpThreads: 1 }
/** Above every level of the library's log. */
const SILENT = 4

/** @throws the library's error, or one of ours that says what the file has and weir cannot take; see `reasonOf` for a reason without paths */
export async function openSession(file: string, clock: Clock, options: SessionOptions = ONE_THREAD): Promise<Session> {
  const prepared = prepare(file)
  const session = await rawSession()
  // It takes a while, during which nothing else happens in this thread: what was read before gets its turn first.
  await new Promise((resolve) => setImmediate(resolve))
  load(session, file, prepared, options)
  try {
    return new OrtSession(session, clock, prepared)
  } catch (error) {
    session.dispose()
    throw error
  }
}

function load(session: RawSession, file: string, prepared: Prepared | null, { intraOpThreads }: SessionOptions): void {
  const settings = { intraOpNumThreads: intraOpThreads, interOpNumThreads: 1, logSeverityLevel: SILENT }
  if (prepared === null) return session.loadModel(file, settings)
  const { buffer, byteOffset, byteLength } = prepared.bytes
  // A graph from memory has no folder of its own to find its weights in.
  session.loadModel(buffer, byteOffset, byteLength, { ...settings, extra: { session: { model_external_initializers_file_folder_path: dirname(file) } } })
}

/** The graph as this binding can run it; null when it can as it stands. Only a graph that needs it is read into memory. */
function prepare(file: string): Prepared | null {
  const model = outline(file)
  if (model === null) return null
  externalFiles(model, file)
  // What is no graph inside is left to the library, which has the words for it.
  return readOr(null, () => (prepareGraph(model) === null ? null : prepareGraph(readFileSync(file))))
}

class OrtSession implements Session {
  readonly signature: Signature
  readonly #session: RawSession
  readonly #clock: Clock
  /** Names in the graph of the BF16 tensors of the signature. */
  readonly #inputs: ReadonlyMap<string, string>
  readonly #outputs: ReadonlyMap<string, string>
  /** Those of the last run: mostly the next one asks for the same. */
  #wanted: Wanted = { outputs: [], names: [], fetches: named() }
  #closed = false

  constructor(session: RawSession, clock: Clock, prepared: Prepared | null) {
    this.#session = session
    this.#clock = clock
    this.#inputs = prepared?.inputs ?? new Map()
    this.#outputs = prepared?.outputs ?? new Map()
    this.signature = {
      inputs: session.inputMetadata.map((one) => bf16(spec(one), this.#inputs)),
      outputs: session.outputMetadata.map((one) => labelled(bf16(spec(one), this.#outputs), prepared)),
    }
    for (const { name, dtype } of this.signature.inputs) if (dtype === null) throw new Error(`input "${clip(name)}" is not a tensor of a type the Open Inference Protocol knows`)
  }

  run(inputs: readonly Column[], outputs: readonly string[]): SessionRun {
    if (this.#closed) throw new Error('the session is closed')
    if (this.#wanted.outputs !== outputs) this.#wanted = this.#want(outputs)
    const { names, fetches } = this.#wanted
    const feeds = named<RawTensor>()
    for (const column of inputs) feeds[this.#inputs.get(column.name) ?? column.name] = tensorOf(column)
    const began = this.#clock.now()
    const results = this.#session.run(feeds, fetches)
    const took_ms = this.#clock.now() - began
    return { columns: outputs.map((name, i) => this.#column(name, results[names[i]!]!)), took_ms }
  }

  close(): void {
    if (this.#closed) return
    this.#closed = true
    this.#session.dispose()
  }

  #want(outputs: readonly string[]): Wanted {
    const names = outputs.map((name) => this.#outputs.get(name) ?? name)
    const fetches = named<null>()
    for (const name of names) fetches[name] = null
    return { outputs, names, fetches }
  }

  #column(name: string, { type, dims, data }: RawTensor): Column {
    if (this.#outputs.has(name)) return { name, dtype: 'BF16', shape: dims, data: narrowed(data as Float32Array) }
    return { name, dtype: dtypes[type]!, shape: dims, data: data as Data }
  }
}

/** Outputs as they are asked for, and as the graph has them. */
interface Wanted {
  readonly outputs: readonly string[]
  readonly names: readonly string[]
  readonly fetches: Named<null>
}

/** @throws when the data is not as long as the shape says: the library would leave out the rest */
function tensorOf(column: Column): RawTensor {
  const { name, dtype, data, shape } = column
  if (elements(shape) !== data.length) throw new Error(`"${clip(name)}" of shape ${shapeText(shape)} has ${data.length} elements`)
  return dtype === 'BF16' ? new RawTensor('float32', widened(column).data as Float32Array, shape) : new RawTensor(types[dtype], data, shape)
}

/** Exact for what was a bfloat16. */
function narrowed(data: Float32Array): Uint16Array {
  const bits = new Uint32Array(data.buffer, data.byteOffset, data.length)
  const halves = new Uint16Array(data.length)
  for (let i = 0; i < data.length; i++) halves[i] = bits[i]! >>> 16
  return halves
}

function spec({ name, isTensor, type, shape, symbolicDimensions }: RawMetadata): TensorSpec {
  if (!isTensor) return { name, dtype: null, shape: [], rows: null }
  return { name, dtype: dtypes[TYPES[type] ?? ''] ?? null, shape, rows: shape[0] === -1 ? symbolicDimensions[0]! : null }
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
