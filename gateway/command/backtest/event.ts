/** One request of a file, and what the file knows of it. */
import type { Cell } from '../../profile/read/table.ts'

export interface Event {
  /** Unix milliseconds. */
  readonly time: number
  /** Row of the file, from 1; for messages. */
  readonly row: number
  /** The caller's request id, or ''. */
  readonly id: string
  readonly request: Request
  /** What a backend that is not asked answered then; null = the file does not say. */
  readonly answer: Answered | null
  readonly duration_ms: number
  /** undefined: none is known. */
  readonly label: Cell
}

/** As it came in, or the values it is to be made of. */
export type Request = Logged | { readonly row: string }

export interface Logged {
  readonly method: string
  readonly target: string
  /** Flat. */
  readonly headers: readonly string[]
  readonly body: Buffer | null
}

/** A whole answer, or the values it is made of. */
export type Answered = { readonly status: number; readonly headers: readonly string[]; readonly body: Buffer | null } | { readonly row: string }
