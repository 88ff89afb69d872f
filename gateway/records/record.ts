/** One exchange as `log` keeps it, and what a plugin may ask of the records of a sink. */

/** A body, or its beginning. Bytes as they were on the wire (after redaction), content coding included. */
export interface LoggedBody {
  readonly bytes: Buffer
  /** Of the whole body; −1 = unknown, it broke off. */
  readonly length: number
  /** `bytes` are not all of it. */
  readonly truncated: boolean
  readonly type: string
  readonly encoding: string
}

export interface LogRecord {
  /** UUIDv7; the key that network sinks deliver at least once by. */
  readonly record_id: string
  readonly inference_id: string
  readonly request_id: string
  /** When the head was complete, Unix milliseconds. */
  readonly time: number
  readonly route: string
  readonly backend: string
  readonly arm: string
  readonly model: string
  readonly version: string
  readonly method: string
  /** Without what `redact` took out of the query. */
  readonly target: string
  /** What the caller got; 499 when it left before. */
  readonly status: number
  /** Code of weir's own answer or of what ended the exchange (`errors.ts`), or ''. */
  readonly reason: string
  readonly flags: readonly string[]
  readonly attempts: number
  /** `<from>;<reason>` or ''. */
  readonly fallback: string
  readonly duration_ms: number
  readonly backend_ms: number
  /** How bodies are read (`oip`, `rows`, …), or ''. */
  readonly format: string
  /** Allow-listed fields, flat. */
  readonly request_headers: readonly string[]
  readonly response_headers: readonly string[]
  /** As the caller sent it; null = none, or not logged. */
  readonly request: LoggedBody | null
  /** As the backend got it, where plugins changed it (features looked up, …); else null. */
  readonly sent: LoggedBody | null
  readonly response: LoggedBody | null
}

export type OnFull = 'drop_newest' | 'drop_oldest' | 'block'

/** Why a record was accepted and never delivered. Closed: these are metric labels. */
export const DROP_REASONS = ['spool_full', 'dropped_oldest', 'disk', 'too_large', 'rejected', 'torn'] as const
export type DropReason = (typeof DROP_REASONS)[number]

/** The spool of one sink, as one route of one data thread writes it. */
export interface Records {
  /**
   * Accepts a record: in the kernel when this returns, or counted as dropped. Synchronous, so that it can be done before the last
   * byte of an answer is handed on.
   * @returns false: it was dropped, and counted by its reason
   */
  append(record: LogRecord): boolean
  /** With `on_full: block`: null = there is room, else settles when there is. Without, always null. */
  room(): Promise<void> | null
}
