/** One request on a connection of a caller, and the way to answer it. */
import { WeirError } from '../errors.ts'
import type { Body, Caller, Flow, Sink, Tunnel } from '../exchange.ts'
import { type Fields, headerLines } from '../headers.ts'
import type { BodyTaker } from './body.ts'
import { BodyFlow, BufferFlow, type FlowSource } from './flow.ts'
import type { RequestHead } from './head.ts'
import type { Inbound } from './inbound.ts'
import { ONE_WRITE_BYTES, phraseOf, writeLastChunk, writeMessage, writePiece } from './write.ts'

/** Who wants to know how an exchange went on the caller's side. */
export interface IncomingWatcher {
  /** The caller closed or reset before the answer was complete, or its request broke off. Called at most once, never after `answered`. */
  callerLeft(cause: WeirError): void
  /** The answer is over: whole (`error` null) or cut. Called once after `respond`, unless `callerLeft` was. */
  answered(error: WeirError | null): void
}

/** An answer as it goes out. */
export interface Outgoing {
  readonly status: number
  readonly phrase: string
  readonly fields: Fields
  readonly body: Body
  readonly statedLength: number
  readonly tunnel: Tunnel | null
}

/** A discarded request body is read on up to here, so that the caller's FIN is seen and the connection can be used again. */
const DISCARD_BYTES = 1 << 20
const CONTINUE = 'HTTP/1.1 100 Continue\r\n\r\n'

export class Incoming implements Caller, BodyTaker, FlowSource, Sink {
  readonly head: RequestHead
  readonly connection: Inbound
  /** `clock.now()` when the head was complete. */
  readonly started: number
  body: Body = null
  watcher: IncomingWatcher | null = null
  /** Bytes of body received and sent, for the log. */
  bytesReceived = 0
  bytesSent = 0
  /** What the peer says of the way and of itself is believed; set once the head was looked at. */
  trusted = false
  /** An answer has begun. */
  answering = false
  #flow: BodyFlow | null = null
  #bodyDone = true
  #discarded = 0
  #unwanted = false
  #continued = false
  #answerFlow: Flow | null = null
  #chunked = false
  #trailersAllowed = false
  #keep = false
  #over = false

  constructor(connection: Inbound, head: RequestHead, started: number) {
    this.connection = connection
    this.head = head
    this.started = started
  }

  get address(): string {
    return this.connection.address
  }

  get port(): number {
    return this.connection.port
  }

  get tls(): boolean {
    return this.connection.tls
  }

  get trailers(): boolean {
    return this.head.trailers
  }

  // ---------------------------------------------------------------- the request body

  expectBody(): void {
    this.#bodyDone = false
    this.#flow = new BodyFlow(Math.max(-1, this.head.length), this)
    this.body = this.#flow
  }

  bodyData(chunk: Buffer): void {
    this.bytesReceived += chunk.length
    if (!this.#unwanted) return this.#flow!.push(chunk)
    this.#discarded += chunk.length
    if (this.#discarded > DISCARD_BYTES) this.connection.pauseBody()
  }

  bodyWhole(): void {
    this.#bodyDone = true
    // Trailers of requests are not forwarded (RFC 9110 §6.5.1 allows dropping them).
    this.#flow!.finish(null)
  }

  flowStarted(): void {
    if (!this.head.expects || this.#continued || this.answering || this.bytesReceived > 0) return
    this.#continued = true
    this.connection.socket.write(CONTINUE, 'latin1')
  }

  flowPaused(): void {
    this.connection.pauseBody()
  }

  flowResumed(): void {
    this.connection.resumeBody()
  }

  flowCancelled(): void {
    this.#unwanted = true
    this.connection.resumeBody()
  }

  // ---------------------------------------------------------------- what the connection tells

  /** The connection is gone. */
  lost(): void {
    this.#left(new WeirError('CALLER_LEFT'))
  }

  /** The rest of this request cannot be read. */
  broken(cause: WeirError): void {
    this.#bodyDone = false
    // Who still reads the body hears of it: an upload that cannot be finished ends its exchange. An answer that needs none of it goes on.
    this.#flow?.fail(cause)
    if (!this.answering && !this.#over) this.watcher?.callerLeft(cause)
  }

  /** Nobody waits for the rest of a request that is still arriving; who reads it hears why. It is discarded. */
  expire(cause: WeirError): void {
    if (this.#bodyDone || this.answering) return
    this.#unwanted = true
    this.#flow!.fail(cause)
  }

  #left(cause: WeirError): void {
    if (this.#over) return
    this.#over = true
    this.#flow?.fail(cause)
    this.#answerFlow?.cancel()
    this.#answerFlow = null
    this.watcher?.callerLeft(cause)
  }

  drained(): void {
    if (this.#answerFlow === null) return
    this.connection.drainedAgain()
    this.#answerFlow.resume()
  }

  // ---------------------------------------------------------------- the answer

  inform(status: number, headers: string[]): void {
    if (this.head.minor === 0 || this.answering || this.#over) return
    this.connection.socket.write(`HTTP/1.1 ${status} ${phraseOf(status)}\r\n${headerLines(headers)}\r\n`, 'latin1')
  }

  /**
   * Sends the answer; once.
   * @param lines header lines of weir's own, each ended by CR LF
   * @param close end the connection behind it
   */
  respond(answer: Outgoing, lines: string, close: boolean): void {
    if (this.#over || this.answering) return
    this.answering = true
    this.#keep = !close && this.head.persistent && this.#bodyDone && !this.connection.draining && !this.#refusesUpgrade(answer)
    const phrase = answer.phrase === '' ? phraseOf(answer.status) : answer.phrase
    const start = `HTTP/1.1 ${answer.status} ${phrase}\r\n${answer.fields.lines}${lines}`
    if (answer.tunnel !== null) return this.#respondTunnel(answer, start)
    const head = start + this.#dateLine(answer.fields) + this.#framing(answer) + this.#connectionLines()
    this.#sendBody(head, bodyOf(answer, this.head.method))
  }

  /** What follows such a request is of the other protocol, and nothing that could be read as a request (RFC 9110 §7.8). */
  #refusesUpgrade(answer: Outgoing): boolean {
    return this.head.upgrade !== '' && answer.tunnel === null
  }

  #sendBody(head: string, body: Body): void {
    const socket = this.connection.socket
    if (body === null || (Buffer.isBuffer(body) && body.length <= ONE_WRITE_BYTES)) {
      this.bytesSent = body === null ? 0 : body.length
      writeMessage(socket, head, body)
      return this.#finish(null)
    }
    socket.write(head, 'latin1')
    const flow = Buffer.isBuffer(body) ? new BufferFlow(body) : body
    this.#answerFlow = flow
    flow.start(this)
  }

  #framing(answer: Outgoing): string {
    const { status, body } = answer
    if (status === 204 || status < 200) return ''
    if (this.head.method === 'HEAD' || status === 304) {
      const length = answer.statedLength >= 0 ? answer.statedLength : Buffer.isBuffer(body) ? body.length : -1
      return length < 0 ? '' : `content-length: ${length}\r\n`
    }
    if (body === null) return 'content-length: 0\r\n'
    if (Buffer.isBuffer(body)) return `content-length: ${body.length}\r\n`
    if (body.length >= 0) return `content-length: ${body.length}\r\n`
    if (this.head.minor === 0) {
      this.#keep = false
      return ''
    }
    this.#chunked = true
    this.#trailersAllowed = this.head.trailers
    return 'transfer-encoding: chunked\r\n'
  }

  #connectionLines(): string {
    return this.#keep ? this.connection.keepAliveLines : 'connection: close\r\n\r\n'
  }

  #dateLine(fields: Fields): string {
    return fields.marked('date') ? '' : this.connection.dateLine
  }

  // ---- Sink of the answer's flow

  data(chunk: Buffer): boolean {
    this.bytesSent += chunk.length
    const more = writePiece(this.connection.socket, chunk, this.#chunked)
    this.connection.wrote(more)
    return more
  }

  end(trailers: string[] | null): void {
    this.#answerFlow = null
    if (this.#chunked) writeLastChunk(this.connection.socket, this.#trailersAllowed ? trailers : null)
    this.#finish(null)
  }

  /** The answer broke off: it must not look complete. Where only the end of the connection ends the body, FIN would; so RST. */
  fail(error: WeirError): void {
    this.#answerFlow = null
    const closeDelimited = !this.#chunked && this.head.minor === 0
    this.#finish(error)
    this.connection.destroy(closeDelimited)
  }

  #finish(error: WeirError | null): void {
    if (this.#over) return
    this.#over = true
    this.watcher?.answered(error)
    if (error === null) this.connection.finished(this.#keep && this.#bodyDone)
  }

  #respondTunnel(answer: Outgoing, start: string): void {
    this.connection.socket.write(`${start}connection: Upgrade\r\nupgrade: ${this.head.upgrade}\r\n\r\n`, 'latin1')
    const watcher = this.watcher
    this.#over = true
    const early = this.connection.takeRest()
    const end = this.connection.becomeTunnel(() => watcher?.answered(null))
    answer.tunnel!.join(end)
    if (early !== null) end.received(early)
  }
}

/** What travels: nothing for HEAD and for statuses without content. */
function bodyOf(answer: Outgoing, method: string): Body {
  const { body, status } = answer
  if (body === null || (method !== 'HEAD' && status !== 204 && status !== 304)) return body
  if (!Buffer.isBuffer(body)) body.cancel()
  return null
}
