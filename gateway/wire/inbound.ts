/**
 * One connection of a caller: strict heads in, one exchange at a time, answers out in order.
 * What was refused closes the connection, since nobody can know where the next message begins.
 */
import type { Socket } from 'node:net'
import type { ListenerTimeouts } from '../../config/config.ts'
import { WeirError } from '../errors.ts'
import { BodyReader } from './body.ts'
import type { Deadlines, Waiting } from './deadlines.ts'
import { type HeadLimits, readRequestHead, RequestHead } from './head.ts'
import { Incoming } from './incoming.ts'
import { RawEnd } from './tunnel.ts'

/** What all connections of a listener share. */
export interface InboundShared {
  readonly limits: HeadLimits
  readonly timeouts: ListenerTimeouts
  readonly deadlines: Deadlines
  readonly serve: (request: Incoming) => void
  /** Answers what never became a request (a malformed head, a slow one). */
  readonly refuse: (connection: Inbound, error: WeirError) => void
  readonly closed: (connection: Inbound) => void
  /** `connection: keep-alive` lines and the empty line behind a persistent answer's head. */
  readonly keepAliveLines: string
  /** `date: …` with CR LF, of this second. */
  readonly dateLine: () => string
  draining: boolean
}

/** Pipelined bytes kept while an exchange is under way; beyond, the socket is paused. */
export const PIPELINE_BYTES = 65_536
/** After an answer that left request bytes unread: so much and so long is still read, lest a RST destroys the answer on its way. */
const LINGER_BYTES = 1 << 20
const LINGER_MS = 1000

const State = { head: 0, busy: 1, linger: 2, tunnel: 3, closed: 4 } as const

export class Inbound implements Waiting {
  deadline = 0
  readonly socket: Socket
  readonly tls: boolean
  readonly address: string
  readonly port: number
  /** Port of the listener, for X-Forwarded-Port. */
  readonly localPortText: string
  readonly #shared: InboundShared
  #state: number = State.head
  #current: Incoming | null = null
  #reader: BodyReader | null = null
  #rest: Buffer | null = null
  #lingered = 0
  #raw: RawEnd | null = null
  /** The deadline of the head now being received is running. */
  #headTimed = true
  #halfClosed = false
  #served = false

  constructor(socket: Socket, shared: InboundShared, tls: boolean) {
    this.socket = socket
    this.tls = tls
    this.#shared = shared
    this.address = plainAddress(socket.remoteAddress ?? '')
    this.port = socket.remotePort ?? 0
    this.localPortText = String(socket.localPort ?? 0)
    shared.deadlines.add(this)
    shared.deadlines.set(this, shared.timeouts.request_headers_ms)
    socket.on('data', (chunk: Buffer) => this.#received(chunk))
    socket.on('end', () => this.#ended())
    socket.on('drain', () => this.#drained())
    socket.on('error', () => this.#lost())
    socket.on('close', () => this.#lost())
  }

  get idle(): boolean {
    return this.#state === State.head && !this.#begun
  }

  /** No request has come on it yet. */
  get fresh(): boolean {
    return !this.#served
  }

  /** Something of the next request is there: more than the empty line that some callers send behind a body. */
  get #begun(): boolean {
    return this.#rest !== null && !isEmptyLine(this.#rest)
  }

  get draining(): boolean {
    return this.#shared.draining
  }

  get keepAliveLines(): string {
    return this.#shared.keepAliveLines
  }

  get dateLine(): string {
    return this.#shared.dateLine()
  }

  // ---------------------------------------------------------------- receiving

  #received(chunk: Buffer): void {
    if (this.#state === State.tunnel) return this.#raw!.received(chunk)
    if (this.#state === State.linger) return this.#linger(chunk)
    if (this.#state === State.closed) return
    if (this.#rest !== null) {
      chunk = Buffer.concat([this.#rest, chunk])
      this.#rest = null
    }
    this.#advance(chunk)
  }

  #advance(bytes: Buffer): void {
    let at = 0
    try {
      while (at < bytes.length) {
        if (this.#state === State.head) {
          const head = readRequestHead(bytes, at, bytes.length, this.#shared.limits)
          if (head === null) return this.#keepPartialHead(bytes, at)
          at = this.#begin(head, bytes)
        } else if (this.#reader !== null) at = this.#readBody(bytes, at)
        else return this.#keepPipelined(bytes, at)
      }
    } catch (error) {
      this.#broken(error)
    }
  }

  #keepPartialHead(bytes: Buffer, at: number): void {
    this.#rest = at === 0 ? bytes : bytes.subarray(at)
    if (this.#headTimed || !this.#begun) return
    // The time for a head runs from its first byte (of a fresh connection: from the start), and no byte prolongs it.
    this.#headTimed = true
    this.#shared.deadlines.set(this, this.#shared.timeouts.request_headers_ms)
  }

  #keepPipelined(bytes: Buffer, at: number): void {
    if (this.#state !== State.busy) return
    this.#rest = bytes.subarray(at)
    if (this.#rest.length >= PIPELINE_BYTES) this.socket.pause()
  }

  #begin(head: RequestHead, bytes: Buffer): number {
    this.#headTimed = false
    this.#served = true
    this.#state = State.busy
    this.#shared.deadlines.set(this, 0)
    const request = new Incoming(this, head, this.#shared.deadlines.now())
    this.#current = request
    let at = head.end
    if (head.length > 0 && bytes.length - at >= head.length) {
      request.body = Buffer.from(bytes.subarray(at, at + head.length))
      at += head.length
    } else if (head.length !== 0) {
      this.#reader = new BodyReader(head.length)
      request.expectBody()
      this.#shared.deadlines.set(this, this.#shared.timeouts.idle_ms)
    }
    this.#shared.serve(request)
    return at
  }

  #readBody(bytes: Buffer, at: number): number {
    const reader = this.#reader!
    const request = this.#current!
    const next = reader.read(bytes, at, bytes.length, request)
    if (!reader.done) {
      this.#timeBody()
      return next
    }
    this.#reader = null
    this.#shared.deadlines.set(this, 0)
    request.bodyWhole()
    return next
  }

  /** The caller has `idle` for its next byte, unless weir itself does not read: then somebody else is slow, and timed. */
  #timeBody(): void {
    this.#shared.deadlines.set(this, this.#reader === null || this.socket.isPaused() ? 0 : this.#shared.timeouts.idle_ms)
  }

  /** What came cannot be read any further. */
  #broken(error: unknown): void {
    const cause = error instanceof WeirError ? error : new WeirError('INTERNAL', undefined, { cause: error })
    if (this.#current === null) {
      this.#state = State.busy
      this.#shared.refuse(this, cause)
      return
    }
    this.#reader = null
    this.#current.broken(cause)
  }

  // ---------------------------------------------------------------- the exchange is over

  /** Called by `Incoming` when the last byte of its answer was handed to the socket. */
  finished(keep: boolean): void {
    this.#current = null
    if (this.#state === State.closed) return
    if (!keep || this.#shared.draining || this.#halfClosed) return this.close()
    this.#state = State.head
    // A caller that does not read its answers gets no further one.
    if (this.socket.writableNeedDrain) {
      this.#state = State.busy
      this.#shared.deadlines.set(this, this.#shared.timeouts.idle_ms)
      return
    }
    this.#next()
  }

  #next(): void {
    this.#state = State.head
    const rest = this.#rest
    this.#rest = null
    this.#shared.deadlines.set(this, this.#shared.timeouts.idle_ms)
    if (this.socket.isPaused()) this.socket.resume()
    if (rest !== null) this.#advance(rest)
  }

  #drained(): void {
    if (this.#current !== null) return this.#current.drained()
    if (this.#state === State.busy) this.#next()
  }

  /** Sends what is written, then FIN; reads a little on, so that the peer gets the answer. */
  close(): void {
    if (this.#state === State.closed || this.#state === State.linger) return
    this.#state = State.linger
    this.#current = null
    this.#reader = null
    this.#rest = null
    // What was written may take as long as any slow reader; the lingering begins behind it.
    this.#shared.deadlines.set(this, this.#shared.timeouts.idle_ms)
    this.socket.end(() => {
      if (this.#state === State.linger) this.#shared.deadlines.set(this, LINGER_MS)
    })
    if (this.socket.isPaused()) this.socket.resume()
  }

  #linger(chunk: Buffer): void {
    this.#lingered += chunk.length
    if (this.#lingered > LINGER_BYTES) this.destroy()
  }

  /** Cuts the connection. @param reset with RST, where a FIN could be taken for the end of a body */
  destroy(reset = false): void {
    if (this.#state === State.closed) return
    if (reset && !this.tls) this.socket.resetAndDestroy()
    else this.socket.destroy()
    this.#lost()
  }

  #ended(): void {
    this.#halfClosed = true
    if (this.#state === State.tunnel) return this.#raw!.ended()
    if (this.#state === State.linger) return this.destroy()
    // A FIN while an answer is owed: callers that are done waiting look just like this (as for Envoy and nginx).
    if (this.#current !== null) this.destroy()
    else this.close()
  }

  #lost(): void {
    if (this.#state === State.closed) return
    const raw = this.#raw
    this.#state = State.closed
    this.#shared.deadlines.remove(this)
    this.#rest = null
    this.#reader = null
    const current = this.#current
    this.#current = null
    current?.lost()
    raw?.destroy()
    this.#shared.closed(this)
  }

  deadlinePassed(): void {
    if (this.#state === State.head) {
      if (!this.#begun) return this.destroy()
      this.#state = State.busy
      this.#rest = null
      this.#shared.refuse(this, new WeirError('REQUEST_TIMEOUT', 'the request head did not arrive in time'))
    } else if (this.#state === State.busy && this.#current !== null && this.#reader !== null && !this.#current.answering) {
      this.#reader = null
      this.#current.broken(new WeirError('REQUEST_TIMEOUT', 'the request body stopped arriving'))
    } else this.destroy()
  }

  // ---------------------------------------------------------------- for `Incoming`

  pauseBody(): void {
    this.socket.pause()
    this.#timeBody()
  }

  resumeBody(): void {
    this.socket.resume()
    this.#timeBody()
  }

  /** A piece of an answer was written: a slow reader has `idle` to take something, and a slow upload beside it to go on. */
  wrote(drained: boolean): void {
    if (!drained) this.#shared.deadlines.set(this, this.#shared.timeouts.idle_ms)
    else if (this.#reader !== null) this.#timeBody()
  }

  drainedAgain(): void {
    this.#timeBody()
  }

  /** From here on the connection is a byte stream. @param over called when it is gone */
  becomeTunnel(over: () => void): RawEnd {
    this.#state = State.tunnel
    this.#current = null
    this.#shared.deadlines.set(this, 0)
    if (this.socket.isPaused()) this.socket.resume()
    this.#raw = new RawEnd(this.socket, this.#shared.deadlines, this.#shared.timeouts.idle_ms, () => {
      this.#lost()
      over()
    })
    return this.#raw
  }

  /** Bytes that came behind an upgrade request. */
  takeRest(): Buffer | null {
    const rest = this.#rest
    this.#rest = null
    return rest
  }
}

function isEmptyLine(bytes: Buffer): boolean {
  return bytes[0] === 13 && (bytes.length === 1 || (bytes.length === 2 && bytes[1] === 10))
}

/** IPv4-mapped IPv6 addresses of dual-stack listeners are shown as IPv4. */
function plainAddress(address: string): string {
  return address.startsWith('::ffff:') ? address.slice(7) : address
}
