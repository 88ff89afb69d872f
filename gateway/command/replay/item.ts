/** What is sent again, and what is known of the first time. */
export interface Item {
  readonly id: string
  readonly route: string
  /** How bodies are read, or ''. */
  readonly format: string
  readonly method: string
  readonly target: string
  /** Flat. */
  readonly headers: readonly string[]
  readonly body: Buffer | null
  /** Unix milliseconds; null = the file does not say. */
  readonly time: number | null
  /** null = nothing is known of it: rows of a file. */
  readonly before: Before | null
}

export interface Before {
  readonly status: number
  /** What its body is: type and coding, flat. */
  readonly headers: readonly string[]
  /** null = not logged, or not all of it. */
  readonly body: Buffer | null
  readonly duration_ms: number
}

/** What a file holds: something to send, or why not. */
export type Read = Item | { readonly skipped: Skipped }

/** Closed, so that the counts in a report are few. */
export type Skipped = 'the request was not logged whole' | 'another route' | 'a method that is not sent again' | 'an upgrade'

export function isItem(read: Read): read is Item {
  return !('skipped' in read)
}
