/**
 * Events of a streaming answer, as they pass: `text/event-stream` (WHATWG HTML, "Server-sent events": interpretation of an event
 * stream) and newline-delimited JSON, where a line is an event.
 *
 * Cuts do not matter: chunks may end anywhere, inside a character or between CR and LF. Memory is bounded: of a line and of an event
 * no more than `EVENT_BYTES` are kept, and an event that was longer says so.
 */
import type { Answer } from './exchange.ts'

/** Bytes kept of one line, and of the data of one event. */
export const EVENT_BYTES = 65_536

export interface StreamEvent {
  /** Value of the last `event:` line; '' when there was none, and in newline-delimited JSON. */
  readonly event: string
  /** `data:` lines joined by LF, or the line. */
  readonly data: string
  /** `data` is only the beginning. */
  readonly truncated: boolean
}

export interface EventScanner {
  /** Tells of every event that ends in this chunk. */
  push(chunk: Buffer, found: (event: StreamEvent) => void): void
  /** The body is whole: what is left may be an event too. */
  end(found: (event: StreamEvent) => void): void
}

const EVENT_STREAM = /^\s*text\/event-stream\s*(;|$)/i
const JSON_LINES = /^\s*application\/(x-)?ndjson\s*(;|$)/i

/** Reads the events of an answer; null when it has none that can be read: another type, or a content coding. */
export function scannerOf({ fields }: Answer): EventScanner | null {
  const coding = fields.get('content-encoding')
  if (coding !== undefined && coding.toLowerCase() !== 'identity') return null
  const type = fields.get('content-type') ?? ''
  return EVENT_STREAM.test(type) ? new EventStreamScanner() : JSON_LINES.test(type) ? new JsonLinesScanner() : null
}

const LF = 10
const CR = 13
const COLON = 58
const SPACE = 32

/** Collects bytes up to a limit. */
class Kept {
  readonly #parts: Buffer[] = []
  #bytes = 0
  truncated = false

  get empty(): boolean {
    return this.#parts.length === 0 && !this.truncated
  }

  /** @param part copied */
  add(part: Buffer): void {
    const room = EVENT_BYTES - this.#bytes
    if (part.length > room) {
      this.truncated = true
      part = part.subarray(0, room)
    }
    if (part.length === 0) return
    this.#parts.push(Buffer.from(part))
    this.#bytes += part.length
  }

  take(): Buffer {
    const all = this.#parts.length === 1 ? this.#parts[0]! : Buffer.concat(this.#parts, this.#bytes)
    this.#parts.length = 0
    this.#bytes = 0
    this.truncated = false
    return all
  }
}

export class EventStreamScanner implements EventScanner {
  readonly #line = new Kept()
  readonly #data = new Kept()
  #event = ''
  /** There was a `data:` line, though perhaps an empty one. */
  #hasData = false
  #first = true
  /** The last line ended with CR: an LF now belongs to it. */
  #afterCr = false

  push(chunk: Buffer, found: (event: StreamEvent) => void): void {
    let from = 0
    for (let at = 0; at < chunk.length; at++) {
      const byte = chunk[at]!
      if (byte !== LF && byte !== CR) {
        this.#afterCr = false
        continue
      }
      if (byte === LF && this.#afterCr) {
        this.#afterCr = false
        from = at + 1
        continue
      }
      this.#afterCr = byte === CR
      this.#line.add(chunk.subarray(from, at))
      from = at + 1
      this.#ended(found)
    }
    this.#line.add(chunk.subarray(from))
  }

  /** An event whose empty line never came is none. */
  end(): void {}

  #ended(found: (event: StreamEvent) => void): void {
    const { truncated } = this.#line
    let line = this.#line.take()
    if (this.#first) {
      this.#first = false
      if (line[0] === 0xef && line[1] === 0xbb && line[2] === 0xbf) line = line.subarray(3)
    }
    if (line.length === 0) this.#dispatch(found)
    else this.#field(line, truncated)
  }

  /** `name: value`; a line that begins with a colon is a comment. */
  #field(line: Buffer, truncated: boolean): void {
    const colon = line.indexOf(COLON)
    const name = line.toString('latin1', 0, colon < 0 ? line.length : Math.min(colon, 16))
    if (name !== 'data' && name !== 'event') return
    const value = colon < 0 ? line.subarray(line.length) : line.subarray(colon + (line[colon + 1] === SPACE ? 2 : 1))
    if (name === 'event') {
      this.#event = value.toString('utf8', 0, 256)
      return
    }
    if (this.#hasData) this.#data.add(NEWLINE)
    this.#hasData = true
    this.#data.add(value)
    if (truncated) this.#data.truncated = true
  }

  #dispatch(found: (event: StreamEvent) => void): void {
    const event = this.#event
    const had = this.#hasData
    const { truncated } = this.#data
    const data = this.#data.take()
    this.#event = ''
    this.#hasData = false
    if (had) found({ event, data: data.toString(), truncated })
  }
}

const NEWLINE = Buffer.from('\n')

/** Newline-delimited JSON: empty lines say nothing, the last line needs no end. */
export class JsonLinesScanner implements EventScanner {
  readonly #line = new Kept()

  push(chunk: Buffer, found: (event: StreamEvent) => void): void {
    let from = 0
    for (let at = chunk.indexOf(LF); at >= 0; at = chunk.indexOf(LF, from)) {
      this.#line.add(chunk.subarray(from, at))
      from = at + 1
      this.end(found)
    }
    this.#line.add(chunk.subarray(from))
  }

  end(found: (event: StreamEvent) => void): void {
    if (this.#line.empty) return
    const { truncated } = this.#line
    const data = this.#line.take().toString().trim()
    if (data !== '' || truncated) found({ event: '', data, truncated })
  }
}

// ---------------------------------------------------------------- what an event says

/**
 * What an event is to somebody who waits for the first token:
 * `content` carries some (whatever has data and is none of the others) · `malformed` begins as JSON and is none · `error` tells of a
 * failure inside a stream · `end` says that nothing follows · `none` is a sign of life: a role, a ping, empty data.
 */
export type EventKind = 'content' | 'malformed' | 'error' | 'end' | 'none'

/** Types of events that open a message or a part of it, or keep a connection open: Anthropic's Messages and OpenAI's Responses API. */
const OPENING = new Set([
  'ping', 'message_start', 'content_block_start', 'response.created', 'response.queued', 'response.in_progress', 'response.output_item.added', 'response.content_part.added',
])
const CLOSING = new Set(['message_stop', 'response.completed'])
const FAILING = new Set(['error', 'response.failed'])

export function kindOfEvent({ event, data, truncated }: StreamEvent): EventKind {
  if (FAILING.has(event)) return 'error'
  if (OPENING.has(event)) return 'none'
  if (CLOSING.has(event)) return 'end'
  const text = data.trim()
  if (text === '') return truncated ? 'content' : 'none'
  if (text === '[DONE]') return 'end'
  if (truncated || !(text.startsWith('{') || text.startsWith('['))) return 'content'
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch {
    return 'malformed'
  }
  return kindOfObject(value as Readonly<Record<string, unknown>>)
}

/** Whether an event carries content. JSON that cannot be read counts: it is something, and somebody else's to judge. */
export function content(event: StreamEvent): boolean {
  const kind = kindOfEvent(event)
  return kind === 'content' || kind === 'malformed'
}

export function isError(event: StreamEvent): boolean {
  return kindOfEvent(event) === 'error'
}

function kindOfObject(value: Readonly<Record<string, unknown>>): EventKind {
  const { error, type, choices } = value
  if ((typeof error === 'object' && error !== null) || (typeof error === 'string' && error !== '')) return 'error'
  if (typeof type === 'string') {
    if (FAILING.has(type)) return 'error'
    if (OPENING.has(type)) return 'none'
    if (CLOSING.has(type)) return 'end'
  }
  return Array.isArray(choices) ? kindOfChoices(choices as readonly unknown[]) : 'content'
}

/** Chunks of OpenAI's chat completions (`delta`) and completions (`text`). Without choices they carry usage or filter results. */
function kindOfChoices(choices: readonly unknown[]): EventKind {
  let finished = choices.length > 0
  for (const choice of choices) {
    if (typeof choice !== 'object' || choice === null) return 'content'
    const { delta, text, finish_reason } = choice as Readonly<Record<string, unknown>>
    if (says(text) || (typeof delta === 'object' && delta !== null && Object.entries(delta).some(([key, value]) => key !== 'role' && says(value)))) return 'content'
    if (finish_reason === null || finish_reason === undefined) finished = false
  }
  return finished ? 'end' : 'none'
}

function says(value: unknown): boolean {
  if (typeof value === 'string' || Array.isArray(value)) return value.length > 0
  return typeof value === 'object' && value !== null && Object.keys(value).length > 0
}

// ---------------------------------------------------------------- waiting for the first content

/** Follows a stream up to the first event that decides something: content, an error, or that nothing follows. */
export class FirstContent {
  /** The event that decided, or null while none has. */
  event: StreamEvent | null = null
  kind: EventKind = 'none'
  /** Bytes seen, the chunk that decided included. */
  bytes = 0
  readonly #scanner: EventScanner
  readonly #found = (event: StreamEvent): void => this.#look(event)

  constructor(scanner: EventScanner) {
    this.#scanner = scanner
  }

  /** @returns true once it is decided */
  push(chunk: Buffer): boolean {
    this.bytes += chunk.length
    if (this.event === null) this.#scanner.push(chunk, this.#found)
    return this.event !== null
  }

  /** The body is whole. @returns true once it is decided */
  end(): boolean {
    if (this.event === null) this.#scanner.end(this.#found)
    return this.event !== null
  }

  #look(event: StreamEvent): void {
    if (this.event !== null) return
    const kind = kindOfEvent(event)
    if (kind === 'none') return
    this.event = event
    this.kind = kind
  }
}
