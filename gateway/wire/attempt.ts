/** One try against one endpoint: writes the request, times the answer, hands it on. Exactly one outcome. */
import { WeirError } from '../errors.ts'
import { Answer, type Flow, type Leg, type LegWatcher, type Outgoing, type Sink, type Tunnel } from '../exchange.ts'
import type { BodyTaker } from './body.ts'
import { BodyFlow, type FlowSource } from './flow.ts'
import { type AnswerHead, UNTIL_CLOSE } from './head.ts'
import type { Outbound } from './outbound.ts'
import { RawEnd } from './tunnel.ts'
import { writeLastChunk, writeMessage, writePiece } from './write.ts'

/** Milliseconds; 0 = none. */
export interface AttemptTimeouts {
  readonly connect_ms: number
  readonly response_headers_ms: number
  readonly first_byte_ms: number
  readonly idle_ms: number
}

/** Where an attempt reports. */
export interface AttemptOwner {
  /** The answer's head is there (and for a small answer its body). */
  attemptAnswered(attempt: Attempt, answer: Answer): void
  /** No answer came. @param retriable the connection was a reused one and ended before the first byte of an answer */
  attemptFailed(attempt: Attempt, error: WeirError, stale: boolean): void
  /** Everything is over, once: the body is whole (`error` null) or will never be. Follows either of the above. */
  attemptOver(attempt: Attempt, error: WeirError | null): void
}

const CONNECTING = 0
const WAITING = 1
const RECEIVING = 2
const OVER = 3

export class Attempt implements LegWatcher, BodyTaker, FlowSource, Sink {
  readonly exchange: Outgoing
  readonly leg: Leg
  readonly started: number
  /** A HEAD has no body in its answer, whatever the head says. */
  readonly bodyless: boolean
  persistent = true
  requestSent = false
  untilClose = false
  readonly #connection: Outbound
  readonly #owner: AttemptOwner
  readonly #timeouts: AttemptTimeouts
  readonly #head: string
  #phase = CONNECTING
  #upload: Flow | null = null
  #uploadChunked = false
  #flow: BodyFlow | null = null
  #firstByte = false
  #answerBegun = false
  /** The caller is behind: the backend is not asked for more, and not timed. */
  #paused = false
  /** The upload waits for the caller, not for the backend. */
  #callerOwes = false

  /** @param head the request head as it goes out, framing and empty line included @param started `clock.now()` */
  constructor(exchange: Outgoing, leg: Leg, connection: Outbound, head: string, chunked: boolean, timeouts: AttemptTimeouts, owner: AttemptOwner, started = connection.deadlines.now()) {
    this.exchange = exchange
    this.leg = leg
    this.started = started
    this.bodyless = exchange.method === 'HEAD'
    this.#connection = connection
    this.#owner = owner
    this.#timeouts = timeouts
    this.#head = head
    this.#uploadChunked = chunked
  }

  get upgrading(): boolean {
    return this.exchange.upgrade !== ''
  }

  /** Begins: at once on a kept connection, else when it is connected. */
  begin(): void {
    this.#connection.take(this)
    this.leg.watch(this)
    if (this.#phase === OVER) return
    if (this.#connection.connected) this.connected()
    else this.#connection.deadlines.set(this.#connection, this.#timeouts.connect_ms)
  }

  // ---------------------------------------------------------------- the request

  connected(): void {
    this.#phase = WAITING
    const body = this.exchange.body
    if (body === null || Buffer.isBuffer(body)) {
      writeMessage(this.#connection.socket, this.#head, body)
      this.#sent()
      return
    }
    const taken = this.#connection.socket.write(this.#head, 'latin1')
    this.#upload = body
    this.#timeUpload(taken)
    body.start(this)
  }

  /** While the backend takes what it is sent, the caller is the one to wait for: its connection times that, and a limit of the leg. */
  #timeUpload(taken: boolean): void {
    this.#callerOwes = taken
    if (this.#phase === WAITING) this.#wait(taken ? this.leg.limits.idle_ms : this.#timeouts.idle_ms)
  }

  #sent(): void {
    this.requestSent = true
    this.#upload = null
    if (this.#phase === WAITING) this.#wait(this.#timeouts.response_headers_ms)
  }

  #wait(ms: number): void {
    this.#connection.deadlines.set(this.#connection, ms)
  }

  // ---- Sink of the upload

  data(chunk: Buffer): boolean {
    const taken = writePiece(this.#connection.socket, chunk, this.#uploadChunked)
    this.#timeUpload(taken)
    return taken
  }

  end(): void {
    if (this.#uploadChunked) writeLastChunk(this.#connection.socket, null)
    this.#sent()
  }

  fail(error: WeirError): void {
    this.#upload = null
    this.#stop(error)
  }

  drained(): void {
    if (this.#upload === null) return
    this.#timeUpload(true)
    this.#upload.resume()
  }

  // ---------------------------------------------------------------- the answer

  /** The first bytes of an answer are there. */
  answering(): void {
    this.#answerBegun = true
  }

  informed(status: number, headers: string[]): void {
    // 100 was not asked for by weir, 102 says nothing to anybody (RFC 9110 §15.2).
    if (status !== 100 && status !== 102) this.exchange.caller.inform(status, headers)
  }

  answered(head: AnswerHead, body: Buffer | null): void {
    this.#phase = RECEIVING
    this.#owner.attemptAnswered(this, answerOf(head, body))
  }

  answeredFlow(head: AnswerHead): void {
    this.#phase = RECEIVING
    this.untilClose = head.length === UNTIL_CLOSE
    this.#flow = new BodyFlow(Math.max(-1, head.length), this)
    this.#wait(this.#timeouts.first_byte_ms || this.#timeouts.idle_ms)
    this.#owner.attemptAnswered(this, answerOf(head, this.#flow))
  }

  bodyData(chunk: Buffer): void {
    // Whoever took the answer may have given it up in the middle of what was received.
    if (this.#flow === null) return
    this.#firstByte = true
    if (!this.#paused) this.#wait(this.#timeouts.idle_ms)
    this.#flow.push(chunk)
  }

  /** The answer is whole. The connection is already free or gone. */
  whole(trailers: string[] | null): void {
    const flow = this.#flow
    this.#close(null)
    flow?.finish(trailers)
  }

  switched(head: AnswerHead, first: Buffer | null, joined: (raw: RawEnd) => void): void {
    const connection = this.#connection
    const raw = new RawEnd(connection.socket, connection.deadlines, this.#timeouts.idle_ms, () => connection.destroy())
    joined(raw)
    if (first !== null) raw.received(first)
    const answer = answerOf(head, null)
    this.#close(null)
    answer.tunnel = new Switched(raw, first, this.leg)
    this.#owner.attemptAnswered(this, answer)
  }

  // ---- FlowSource of the answer

  flowStarted(): void {}

  flowPaused(): void {
    // The caller is slow; that is not the backend's fault. Its connection times it, and a limit of the leg.
    this.#paused = true
    this.#wait(this.leg.limits.idle_ms)
    this.#connection.socket.pause()
  }

  flowResumed(): void {
    this.#paused = false
    // Behind its last byte the connection is somebody else's, and so is its deadline.
    if (this.#phase !== OVER) this.#wait(this.#timeouts.idle_ms)
    this.#connection.socket.resume()
  }

  flowCancelled(): void {
    this.#abandon(new WeirError('CALLER_LEFT'))
  }

  // ---------------------------------------------------------------- failure

  legCancelled(cause: WeirError): void {
    this.#stop(cause)
  }

  deadlinePassed(): void {
    this.#stop(this.#late())
  }

  #late(): WeirError {
    if (this.#phase === CONNECTING) return new WeirError('CONNECT_TIMEOUT')
    if (this.#phase === WAITING) return this.#lateAnswer()
    if (this.#paused) return new WeirError('IDLE_TIMEOUT', 'the caller stopped taking the answer')
    if (this.#timeouts.first_byte_ms > 0 && !this.#firstByte) return new WeirError('FIRST_BYTE_TIMEOUT')
    return new WeirError('IDLE_TIMEOUT', 'the backend stopped in the middle of its answer')
  }

  #lateAnswer(): WeirError {
    if (this.requestSent) return new WeirError('HEADERS_TIMEOUT')
    return this.#callerOwes ? new WeirError('REQUEST_TIMEOUT', 'the request body stopped arriving') : new WeirError('IDLE_TIMEOUT', 'the backend stopped taking the request')
  }

  /** The answer cannot be read. */
  failed(error: WeirError): void {
    this.#tell(error, false)
  }

  /** The connection is gone. */
  lost(error: Error | null): void {
    if (this.#phase === CONNECTING) return this.#tell(connectError(error), false)
    const stale = this.#connection.uses > 0 && !this.#answerBegun
    this.#tell(new WeirError('RESET', this.#answerBegun ? 'the backend closed the connection in the middle of its answer' : undefined), stale)
  }

  #stop(cause: WeirError): void {
    if (this.#phase === OVER) return
    const connection = this.#connection
    this.#tell(cause, false)
    connection.abandon()
  }

  #abandon(cause: WeirError): void {
    if (this.#phase === OVER) return
    const connection = this.#connection
    this.#close(cause)
    connection.abandon()
  }

  #tell(error: WeirError, stale: boolean): void {
    if (this.#phase === OVER) return
    const flow = this.#flow
    this.#close(error)
    if (flow === null) this.#owner.attemptFailed(this, error, stale)
    else flow.fail(error)
  }

  #close(error: WeirError | null): void {
    if (this.#phase === OVER) return
    this.#phase = OVER
    this.leg.unwatch(this)
    this.#upload?.cancel()
    this.#upload = null
    this.#flow = null
    this.#owner.attemptOver(this, error)
  }
}

function answerOf(head: AnswerHead, body: Buffer | Flow | null): Answer {
  const answer = new Answer(head.status, head.fields, body)
  answer.phrase = head.phrase
  answer.statedLength = head.stated
  return answer
}

/** The backend's end of a tunnel; until the caller's end is joined, the leg can still be cancelled. */
class Switched implements Tunnel, LegWatcher {
  readonly first: Buffer | null
  readonly #raw: RawEnd
  readonly #leg: Leg

  constructor(raw: RawEnd, first: Buffer | null, leg: Leg) {
    this.#raw = raw
    this.first = first
    this.#leg = leg
    leg.watch(this)
  }

  join(other: unknown): void {
    this.#leg.unwatch(this)
    this.#raw.join(other as RawEnd)
  }

  cancel(): void {
    this.#leg.unwatch(this)
    this.#raw.destroy()
  }

  legCancelled(): void {
    this.#raw.destroy()
  }
}

const DNS = new Set(['ENOTFOUND', 'EAI_AGAIN', 'EAI_NODATA', 'EAI_FAIL', 'EAI_NONAME'])
const REFUSED = new Set(['ECONNREFUSED', 'EHOSTUNREACH', 'ENETUNREACH', 'ECONNRESET', 'ENOENT', 'EACCES', 'EADDRNOTAVAIL', 'ETIMEDOUT', 'EMFILE', 'EPIPE', 'EPERM'])

/** Which of the three ways to fail before a connection stands; the library's text goes to the log as cause, never to a caller. */
function connectError(error: Error | null): WeirError {
  if (error === null) return new WeirError('CONNECT_FAILED')
  const first = error instanceof AggregateError ? (error.errors[0] as Error) : error
  const code = (first as NodeJS.ErrnoException).code ?? ''
  if (DNS.has(code)) return new WeirError('DNS_FAILED', undefined, { cause: error })
  if (REFUSED.has(code)) return new WeirError('CONNECT_FAILED', undefined, { cause: error })
  return new WeirError('TLS_FAILED', undefined, { cause: error })
}
