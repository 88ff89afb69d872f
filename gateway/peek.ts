/**
 * Looking at a stream of events while it is held: up to the first event that carries content, or all of it.
 *
 * What a stream promises: events whose data begins with `{` are well-formed JSON, as is every event where lines are JSON or the route
 * speaks openai; none tells of an error under a status 2xx; and one that begins as a message of a language model also ends as one:
 * OpenAI's chat completions with a `finish_reason` or `[DONE]`, its Responses API with `response.completed` or `response.incomplete`,
 * Anthropic's Messages with `message_stop`.
 */
import { WeirError } from './errors.ts'
import type { Inspector } from './hold.ts'
import { type EventKind, type EventScanner, JsonLinesScanner, kindOfEvent, type StreamEvent } from './sse.ts'

const OPENING = new Set(['message_start', 'response.created'])
const CLOSING = new Set(['message_stop', 'response.completed', 'response.incomplete'])

export interface StreamTerms {
  /** The first content decides; otherwise all events are looked at, to the end. */
  readonly first: boolean
  /** Broken promises are errors. */
  readonly strict: boolean
  /** The route speaks openai. */
  readonly openai: boolean
}

/** Inspects one stream. @throws WeirError `INVALID_ANSWER`, from `push` and `end`, for what `strict` does not let pass */
export class StreamInspector implements Inspector {
  readonly #scanner: EventScanner
  readonly #terms: StreamTerms
  /** Every event must be JSON, whatever it begins with. */
  readonly #json: boolean
  /** It is a message of a language model, and must end as one. */
  #opened: boolean
  #closed = false
  #decided = false
  readonly #found = (event: StreamEvent): void => this.#look(event)

  constructor(scanner: EventScanner, terms: StreamTerms) {
    this.#scanner = scanner
    this.#terms = terms
    this.#json = terms.openai || scanner instanceof JsonLinesScanner
    this.#opened = terms.openai
  }

  push(chunk: Buffer): boolean {
    if (!this.#decided) this.#scanner.push(chunk, this.#found)
    return this.#decided
  }

  end(): void {
    if (!this.#decided) this.#scanner.end(this.#found)
    if (this.#decided || !this.#terms.strict || !this.#opened || this.#closed) return
    throw new WeirError('INVALID_ANSWER', 'The stream ends in the middle of a message.')
  }

  #look(event: StreamEvent): void {
    // What follows in the same chunk must not matter: it might as well have come later.
    if (this.#decided) return
    const kind = kindOfEvent(event)
    if (this.#terms.strict) this.#check(event, kind)
    if (this.#terms.first && kind !== 'none') this.#decided = true
  }

  #check({ data, truncated }: StreamEvent, kind: EventKind): void {
    if (kind === 'error') throw new WeirError('INVALID_ANSWER', 'The stream tells of an error under a status 2xx.')
    const text = data.trim()
    const value = truncated || text === '' || text === '[DONE]' ? null : parsed(text)
    if (value === undefined && (this.#json || text.startsWith('{'))) throw new WeirError('INVALID_ANSWER', 'An event of the stream is not well-formed JSON.')
    const { type, choices } = typeof value === 'object' && value !== null ? (value as Readonly<Record<string, unknown>>) : {}
    if (Array.isArray(choices) || OPENING.has(String(type))) this.#opened = true
    if (kind === 'end' || CLOSING.has(String(type)) || (Array.isArray(choices) && choices.some(finishes))) this.#closed = true
  }
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

function finishes(choice: unknown): boolean {
  const reason = typeof choice === 'object' && choice !== null ? (choice as { finish_reason?: unknown }).finish_reason : undefined
  return typeof reason === 'string' && reason !== ''
}
