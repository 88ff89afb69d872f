/** What is kept of one exchange while it passes, and the record that is made of it at its end. */
import { randomUUID } from 'node:crypto'
import { codes } from '../../errors.ts'
import { type Answer, type Exchange, isFlow, modelOf } from '../../exchange.ts'
import type { Fields } from '../../headers.ts'
import type { LoggedBody, LogRecord } from '../record.ts'
import { type Keep, keptFields, redactedTarget } from './fields.ts'
import type { Places } from './paths.ts'
import { redacted } from './redact.ts'
import { Tap } from './tap.ts'

/** What one log wants of every exchange. */
export interface Wanted {
  readonly request: boolean
  readonly response: boolean
  /** Bytes of one body. */
  readonly max: number
  readonly requestHeaders: Keep
  readonly responseHeaders: Keep
  /** Names of query parameters whose values are taken out. */
  readonly query: ReadonlySet<string>
  /** What is taken out of requests, and of answers; null = nothing. */
  readonly inRequests: Places | null
  readonly inAnswers: Places | null
}

/** Told of what a record lacks. */
export interface Lacks {
  truncated(): void
  unredactable(): void
}

/** A coded body is decoded to be redacted; longer ones are not kept. */
const DECODED_PER_MAX = 16
const NONE: readonly string[] = []
const EMPTY = Buffer.alloc(0)

/** As much of a tap as a record needs. */
type Passed = Pick<Tap, 'bytes' | 'passed' | 'whole'>
const UNSEEN: Passed = { bytes: EMPTY, passed: 0, whole: false }

/** A body and what its fields said of it when it was seen. */
interface Seen {
  readonly body: Buffer | Passed
  readonly type: string
  readonly encoding: string
}

export class Capture {
  /** A record was made, or none will be. */
  over = false
  /** The condition has been judged. */
  judged = false
  readonly #wanted: Wanted
  readonly #method: string
  readonly #target: string
  readonly #headers: readonly string[]
  readonly #request: Seen | null
  #answer: Answer | null = null
  #tap: Tap | null = null
  #hidden = false

  /** The request as it comes; from here on its body passes a tap. */
  constructor(x: Exchange, wanted: Wanted) {
    this.#wanted = wanted
    this.#method = x.method
    this.#target = x.target
    this.#headers = wanted.requestHeaders.names.size === 0 ? NONE : keptFields(x.headers, wanted.requestHeaders)
    this.#request = wanted.request ? this.#tapped(x) : null
  }

  #tapped(x: Exchange): Seen | null {
    const { body } = x
    if (body === null) return null
    if (!isFlow(body)) return seen(body, x.fields)
    const tap = new Tap(body, this.#wanted.max)
    x.body = tap
    return seen(tap, x.fields)
  }

  /** The answer as it goes; a whole one is looked at when it is final. */
  answer(x: Exchange): void {
    const answer = x.answer!
    if (!this.#wanted.response || answer.tunnel !== null || !isFlow(answer.body)) return
    this.#answer = answer
    this.#tap = new Tap(answer.body, this.#wanted.max)
    answer.body = this.#tap
  }

  /**
   * The record, once.
   * @param whole the answer is whole (`finish`); else it is `done` that asks
   * @param time when the head was complete, Unix milliseconds
   */
  record(x: Exchange, whole: boolean, time: number, duration: number, lacks: Lacks): LogRecord {
    this.over = true
    const { answer } = x
    const wanted = this.#wanted
    // Whoever left before the answer began got nothing of it.
    const begun = x.status !== 0
    const model = answer === null ? x.model : modelOf(x, answer)
    const request = this.#request === null ? null : this.#logged(this.#request, wanted.inRequests, lacks)
    const sent = wanted.request ? this.#sent(x, lacks) : null
    const response = begun && wanted.response ? this.#response(x, lacks) : null
    return {
      // As old as the exchange, and not the same in two logs of it.
      record_id: x.inferenceId.slice(0, 15) + randomUUID().slice(15),
      inference_id: x.inferenceId,
      request_id: x.requestId,
      time,
      route: x.route.name,
      backend: answer?.backend ?? '',
      arm: x.arm,
      model: model?.name ?? '',
      version: model?.version ?? '',
      method: this.#method,
      target: wanted.query.size === 0 ? this.#target : redactedTarget(this.#target, wanted.query),
      status: begun ? x.status : codes.CALLER_LEFT.status,
      reason: begun ? this.#reason(x, whole) : 'CALLER_LEFT',
      flags: this.#hidden ? [...(x.flags ?? NONE), 'unredactable'] : (x.flags ?? NONE),
      attempts: x.attempts,
      fallback: x.fallback,
      duration_ms: duration,
      backend_ms: x.waited,
      format: x.route.format?.name ?? (x.route.openai === true ? 'openai' : ''),
      request_headers: this.#headers,
      response_headers: begun && wanted.responseHeaders.names.size > 0 ? keptFields(answer!.headers, wanted.responseHeaders) : NONE,
      request,
      sent,
      response,
    }
  }

  /** The code of weir's own answer, or of what cut the answer. */
  #reason(x: Exchange, whole: boolean): string {
    if (whole || x.phase === 'done') return x.answer?.code ?? ''
    return (this.#tap?.error ?? x.leg.cancelled ?? x.error)?.code ?? ''
  }

  /** What the backend got, where it is not what the caller sent. */
  #sent(x: Exchange, lacks: Lacks): LoggedBody | null {
    const { body } = x
    if (x.turned >= 0 || !Buffer.isBuffer(body) || unchanged(this.#request?.body ?? EMPTY, body)) return null
    return this.#logged(seen(body, x.fields), this.#wanted.inRequests, lacks)
  }

  #response(x: Exchange, lacks: Lacks): LoggedBody | null {
    const answer = x.answer!
    const { body, status, fields } = answer
    if (body === null || this.#method === 'HEAD' || status === 204 || status === 304) return null
    if (!isFlow(body)) return this.#logged(seen(body, fields), this.#wanted.inAnswers, lacks)
    // A stream that a plugin before this one put in its place went by unseen.
    const passed = this.#answer === answer ? this.#tap! : UNSEEN
    return this.#logged(seen(passed, fields), this.#wanted.inAnswers, lacks)
  }

  #logged({ body, type, encoding }: Seen, places: Places | null, lacks: Lacks): LoggedBody {
    const { max } = this.#wanted
    const whole = Buffer.isBuffer(body)
    const bytes = whole ? (body.length > max ? body.subarray(0, max) : body) : body.bytes
    const length = whole ? body.length : body.whole ? body.passed : -1
    const truncated = bytes.length !== length
    if (truncated) lacks.truncated()
    if (places === null) return { bytes, length, truncated, type, encoding }
    const safe = truncated ? null : redacted(bytes, type, encoding, places, max * DECODED_PER_MAX)
    if (safe !== null) return { bytes: safe, length, truncated, type, encoding: '' }
    this.#hidden = true
    lacks.unredactable()
    return { bytes: EMPTY, length, truncated: true, type, encoding }
  }
}

function seen(body: Seen['body'], fields: Fields): Seen {
  return { body, type: fields.get('content-type') ?? '', encoding: fields.get('content-encoding') ?? '' }
}

/** Bodies that were made whole, or copied, are the same bytes; of one longer than what is kept the beginning is compared. */
function unchanged(before: Seen['body'], after: Buffer): boolean {
  if (before === after) return true
  if (Buffer.isBuffer(before)) return before.equals(after)
  return before.whole && before.passed === after.length && before.bytes.equals(after.subarray(0, before.bytes.length))
}
