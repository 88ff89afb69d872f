/** Models as the control thread found them: plain data that is posted to the data threads and shown on the admin listener. */
import type { BatchingConfig } from '../../config/config.ts'
import type { Measured, Placement } from './inference/placement.ts'
import type { Signature } from './signature.ts'

/**
 * `loading`: data threads open it, callers do not see it yet. `unloading`: callers do not see it any more, runs under
 * way end. `unloaded`: somebody asked for that; it stays so until somebody asks for it again or the config is reloaded.
 */
export type ModelState = 'ready' | 'loading' | 'unloading' | 'failed' | 'unloaded'

export interface ModelDescription {
  /** Of this load of the file, for the life of the process; the inference threads know a model by it. 0: nothing is loaded. */
  readonly id: number
  /** Of the repository's folder, or of the `onnx` backend. */
  readonly name: string
  /** An integer; '' for an `onnx` backend. */
  readonly version: string
  readonly source: 'repository' | 'backend'
  /** Absolute; for the operator alone. */
  readonly file: string
  readonly state: ModelState
  /** Why it is not ready, or why a newer file of this version did not replace it: relative file name and cause, no absolute path; else ''. */
  readonly reason: string
  readonly signature: Signature | null
  readonly placement: Placement | null
  /** Why there, in words: `a run takes 14 µs`. */
  readonly why: string
  readonly measured: Measured
  /** Joining rows of several requests; null when the config says so, or its rows are not independent, or it runs inline. */
  readonly batching: BatchingConfig | null
  /** Of its files. Each data thread (inline) or inference thread holds about as much in memory: times `copies`. */
  readonly bytes: number
  /** Sizes and times of its files when it was loaded: what changes is loaded again. */
  readonly fingerprint: string
  /** When its file was last written, and when it was loaded, Unix milliseconds; 0 when it is not loaded. */
  readonly modified_at: number
  readonly loaded_at: number
  /** Feature names of the matrix input, for `rows`. */
  readonly features: readonly string[] | null
  readonly load_ms: number
}

export interface ModelsDescription {
  /** Names in order, versions ascending. A version whose file is being replaced is there twice: the one that serves, and the one that loads. */
  readonly models: readonly ModelDescription[]
  /** Label → version, by model. */
  readonly labels: Readonly<Record<string, Readonly<Record<string, string>>>>
  /** Folders of the repository that hold no model. */
  readonly remarks: readonly string[]
}

export const NO_MODELS: ModelsDescription = { models: [], labels: {}, remarks: [] }
