/** What a data thread asks of the control thread about models: loading is decided there, and the counts of every thread are there. */
import type { Code } from '../errors.ts'

/** One version in Triton's repository index (extension_model_repository.md, "Index"). */
export interface IndexEntry {
  readonly name: string
  /** '' when the model has no version at all. */
  readonly version: string
  readonly state: 'READY' | 'LOADING' | 'UNLOADING' | 'UNAVAILABLE'
  /** Why it is not ready, without a path; '' when it is. */
  readonly reason: string
}

/** Counts since the start of the process, all data threads together; seconds. */
export interface ModelCounts {
  readonly model: string
  readonly version: string
  /** Requests that were answered, and that were not. */
  readonly succeeded: number
  readonly failed: number
  readonly rows: number
  readonly runs: number
  readonly queue_seconds: number
  readonly run_seconds: number
  /** Bodies read and written. */
  readonly read_seconds: number
  readonly write_seconds: number
}

/** Why an order was not carried out; safe to show to a caller. */
export interface Refusal {
  readonly code: Code
  readonly message: string
}

export interface Operator {
  /** Every version that is there, ready or not; names in order, versions ascending. */
  index(): Promise<readonly IndexEntry[]>
  /** Returns once every data thread has it. @returns null, or why not (`MODEL_NOT_FOUND`, `MODEL_NOT_READY`) */
  load(name: string): Promise<Refusal | null>
  /** All versions; returns once no request uses them any more. @returns null, or why not */
  unload(name: string): Promise<Refusal | null>
  counts(): Promise<readonly ModelCounts[]>
}
