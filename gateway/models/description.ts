/** Models as the control thread found them: plain data that is posted to the data threads and shown on the admin listener. */
import type { BatchingConfig } from '../../config/config.ts'
import type { Measured, Placement } from './placement.ts'
import type { Signature } from './signature.ts'

export interface ModelDescription {
  /** Position in the list; the inference thread knows a model by it. */
  readonly id: number
  /** Of the repository's folder, or of the `onnx` backend. */
  readonly name: string
  /** An integer; '' for an `onnx` backend. */
  readonly version: string
  readonly source: 'repository' | 'backend'
  /** Absolute; for the operator alone. */
  readonly file: string
  readonly state: 'ready' | 'failed'
  /** Why it failed: relative file name and cause, no absolute path; '' when ready. */
  readonly reason: string
  readonly signature: Signature | null
  readonly placement: Placement | null
  /** Why there, in words: `a run takes 14 µs`. */
  readonly why: string
  readonly measured: Measured
  /** Joining rows of several requests; null when the config says so, or its rows are not independent, or it runs inline. */
  readonly batching: BatchingConfig | null
  /** Of its files. */
  readonly bytes: number
  /** Feature names of the matrix input, for `rows`. */
  readonly features: readonly string[] | null
  readonly load_ms: number
}

export interface ModelsDescription {
  readonly models: readonly ModelDescription[]
  /** Folders of the repository that hold no model. */
  readonly remarks: readonly string[]
}

export const NO_MODELS: ModelsDescription = { models: [], remarks: [] }
