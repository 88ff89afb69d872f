/**
 * ONNX Runtime as onnxruntime-node's native half gives it: synchronous. The package's own `InferenceSession` is this behind two async
 * functions, copies of all names and results and a `setImmediate`, which is as much again as a small model takes.
 *
 * The native half is no public interface, and the version in package.json is exact for its sake. What is used of it (1.30, `js/node/src`):
 * tensors are read by their `type`, `data`, `dims` and `location`, results are made by the constructor that `initOrtOnce` was given,
 * names are looked up in feeds and fetches with their prototypes, and a fetch of `null` asks for an output.
 */
import { isMainThread } from 'node:worker_threads'

/** Log level: ONNX Runtime writes to stderr by itself, and what it complains of comes as an error too. */
const FATAL = 4

/** Its words for types, by the number of `TensorProto.DataType` (onnx.proto). */
export const TYPES: readonly (string | undefined)[] = [
  undefined, 'float32', 'uint8', 'int8', 'uint16', 'int16', 'int32', 'int64', 'string', 'bool', 'float16', 'float64', 'uint32', 'uint64',
]

/** A tensor on either side of the native half. */
export class RawTensor {
  readonly type: string
  /** A typed array, or strings. */
  readonly data: ArrayBufferView | readonly string[]
  readonly dims: readonly number[]
  readonly location = 'cpu'

  /** Also called by the native half, with these arguments. */
  constructor(type: string, data: ArrayBufferView | readonly string[], dims: readonly number[]) {
    this.type = type
    this.data = data
    this.dims = dims
  }
}

/** What a session says of an input or output. */
export interface RawMetadata {
  readonly name: string
  readonly isTensor: boolean
  /** See `TYPES`. */
  readonly type: number
  /** -1 is a variable dimension. */
  readonly shape: readonly number[]
  /** Names of the variable dimensions, '' for none. */
  readonly symbolicDimensions: readonly string[]
}

/** Names without a prototype, so that one like `constructor` is there only when it was given. */
export type Named<T> = Record<string, T>

export interface RawOptions {
  readonly intraOpNumThreads: number
  readonly interOpNumThreads: number
  readonly logSeverityLevel: number
  /** Session config entries; those beginning `session.` are nested. */
  readonly extra?: { readonly session: Readonly<Record<string, string>> }
}

/** Everything throws the library's error, whose message is not for callers. */
export interface RawSession {
  loadModel(file: string, options: RawOptions): void
  loadModel(buffer: ArrayBufferLike, offset: number, length: number, options: RawOptions): void
  readonly inputMetadata: readonly RawMetadata[]
  readonly outputMetadata: readonly RawMetadata[]
  /** @returns by name, those that were asked for */
  run(feeds: Named<RawTensor>, fetches: Named<null>): Named<RawTensor>
  dispose(): void
}

interface Binding {
  readonly InferenceSession: new () => RawSession
  initOrtOnce(logLevel: number, tensor: typeof RawTensor, main: boolean): void
}

const METHODS = ['loadModel', 'run', 'dispose'] as const

let made: Promise<Binding> | null = null

/** A session without a model. The library is loaded when the first one is made and not before. @throws when it is not the version this was written for */
export async function rawSession(): Promise<RawSession> {
  made ??= bind()
  const { InferenceSession } = await made
  return new InferenceSession()
}

/** Names as the native half looks them up. */
export function named<T>(): Named<T> {
  return Object.create(null) as Named<T>
}

async function bind(): Promise<Binding> {
  const { binding } = (await import('onnxruntime-node/dist/binding.js')) as { binding?: unknown }
  if (!isBinding(binding)) throw new Error('onnxruntime-node is not of the version that weir was made for: install the one in its package.json')
  binding.initOrtOnce(FATAL, RawTensor, isMainThread)
  return binding
}

function isBinding(found: unknown): found is Binding {
  const { InferenceSession, initOrtOnce } = (found ?? {}) as { readonly [K in keyof Binding]?: unknown }
  if (typeof initOrtOnce !== 'function' || typeof InferenceSession !== 'function') return false
  const prototype = InferenceSession.prototype as object
  return METHODS.every((name) => name in prototype) && 'inputMetadata' in prototype && 'outputMetadata' in prototype
}
