/**
 * One connection to an endpoint: canonical requests out, strict answers in, one attempt at a time.
 * Whatever a backend sends that belongs to no attempt, or behind one, ends the connection: an answer can never reach another caller.
 */
import type { Socket } from 'node:net'
import { WeirError } from '../errors.ts'
import type { Attempt } from './attempt.ts'
import { BodyReader } from './body.ts'
import type { Deadlines, Waiting } from './deadlines.ts'
import { type HeadLimits, readAnswerHead } from './head.ts'
import type { RawEnd } from './tunnel.ts'

/** The pool a connection returns to. */
export interface OutboundOwner {
  readonly limits: HeadLimits
  readonly deadlines: Deadlines
  /** The connection is free and clean. @param idleMs how long the backend said it keeps it, 0 = it did not say */
  free(connection: Outbound, idleMs: number): void
  closed(connection: Outbound): void
}

/** Informational answers to one request. They are written to the caller at once, whoever reads them. */
export const MAX_INFORMED = 32

export class Outbound implements Waiting {
  deadline = 0
  readonly socket: Socket
  /** `clock.now()` when it was opened. */
  readonly born: number
  /** Exchanges carried before the present one. */
  uses = 0
  connected = false
  dead = false
  readonly #owner: OutboundOwner
  #attempt: Attempt | null = null
  #reader: BodyReader | null = null
  #rest: Buffer | null = null
  #raw: RawEnd | null = null
  #idleMs = 0
  #informed = 0

  /** @param socket still connecting; bytes come through `received`, since one receive buffer serves all connections of a thread */
  constructor(open: (connection: Outbound) => Socket, owner: OutboundOwner) {
    this.#owner = owner
    this.born = owner.deadlines.now()
    owner.deadlines.add(this)
    this.socket = open(this)
    this.socket.on('end', () => this.#ended())
    this.socket.on('error', (error) => this.#lost(error))
    this.socket.on('close', () => this.#lost(null))
    this.socket.on('drain', () => this.#attempt?.drained())
  }

  get deadlines(): Deadlines {
    return this.#owner.deadlines
  }

  get busy(): boolean {
    return this.#attempt !== null
  }

  /** Gives the connection to an attempt; it writes when `connected`. */
  take(attempt: Attempt): void {
    this.#attempt = attempt
    this.#informed = 0
    this.#owner.deadlines.set(this, 0)
  }

  ready(): void {
    this.connected = true
    this.#attempt?.connected()
  }

  // ---------------------------------------------------------------- receiving

  /** @param chunk a view on the shared receive buffer: valid during the call */
  received(chunk: Buffer): void {
    if (this.dead) return
    if (this.#raw !== null) return this.#raw.received(chunk)
    if (this.#attempt === null) return this.destroy()
    try {
      this.#read(chunk)
    } catch (error) {
      this.#attempt?.failed(error instanceof WeirError ? asAnswerError(error) : new WeirError('INTERNAL', undefined, { cause: error }))
      this.destroy()
    }
  }

  #read(chunk: Buffer): void {
    const attempt = this.#attempt!
    if (this.#reader !== null) return this.#readBody(attempt, chunk, 0)
    const bytes = this.#rest === null ? chunk : Buffer.concat([this.#rest, chunk])
    this.#rest = null
    attempt.answering()
    let at = 0
    for (;;) {
      const head = readAnswerHead(bytes, at, bytes.length, this.#owner.limits, attempt.bodyless)
      if (head === null) {
        this.#rest = Buffer.from(bytes.subarray(at))
        return
      }
      at = head.end
      if (head.status === 101) return this.#switch(attempt, head, bytes.subarray(at))
      if (head.status < 200) {
        if (++this.#informed > MAX_INFORMED) throw new WeirError('BAD_ANSWER', `the backend sent more than ${MAX_INFORMED} informational answers`)
        attempt.informed(head.status, head.headers)
        continue
      }
      this.#idleMs = head.keepAliveMs
      if (!head.persistent) attempt.persistent = false
      if (head.length === 0) {
        attempt.answered(head, null)
        return this.#whole(attempt, null, at < bytes.length)
      }
      if (head.length > 0 && bytes.length - at >= head.length) {
        attempt.answered(head, Buffer.from(bytes.subarray(at, at + head.length)))
        return this.#whole(attempt, null, at + head.length < bytes.length)
      }
      this.#reader = new BodyReader(head.length)
      attempt.answeredFlow(head)
      if (at < bytes.length) this.#readBody(attempt, bytes, at)
      return
    }
  }

  #readBody(attempt: Attempt, bytes: Buffer, from: number): void {
    const reader = this.#reader!
    const next = reader.read(bytes, from, bytes.length, attempt)
    if (reader.done && this.#attempt === attempt) this.#whole(attempt, reader.trailers, next < bytes.length)
  }

  /** The answer is whole. @param surplus bytes came behind it */
  #whole(attempt: Attempt, trailers: string[] | null, surplus: boolean): void {
    this.#reader = null
    const reusable = attempt.persistent && !surplus && attempt.requestSent
    this.#attempt = null
    this.uses++
    if (reusable) this.#owner.free(this, this.#idleMs)
    else this.destroy()
    attempt.whole(trailers)
  }

  #switch(attempt: Attempt, head: Parameters<Attempt['answered']>[0], first: Buffer): void {
    if (!attempt.upgrading) throw new WeirError('BAD_ANSWER', 'the backend switched protocols without being asked')
    if (head.upgrade.toLowerCase() !== attempt.exchange.upgrade) throw new WeirError('BAD_ANSWER', 'the backend switched to another protocol than asked')
    this.#attempt = null
    // The tunnel has deadlines of its own.
    this.#owner.deadlines.set(this, 0)
    attempt.switched(head, first.length === 0 ? null : Buffer.from(first), (raw) => {
      this.#raw = raw
    })
  }

  // ---------------------------------------------------------------- the end

  #ended(): void {
    if (this.#raw !== null) return this.#raw.ended()
    const attempt = this.#attempt
    if (attempt !== null && this.#reader !== null && attempt.untilClose) {
      this.#attempt = null
      this.#reader = null
      this.destroy()
      attempt.whole(null)
      return
    }
    this.#lost(null)
  }

  #lost(error: Error | null): void {
    if (this.dead) return
    this.dead = true
    this.#owner.deadlines.remove(this)
    this.socket.destroy()
    this.#owner.closed(this)
    const attempt = this.#attempt
    this.#attempt = null
    this.#reader = null
    this.#rest = null
    attempt?.lost(error)
    this.#raw?.destroy()
  }

  destroy(): void {
    this.#lost(null)
  }

  /** The attempt gave up: nobody reads the rest. */
  abandon(): void {
    this.#attempt = null
    this.destroy()
  }

  deadlinePassed(): void {
    if (this.#attempt !== null) this.#attempt.deadlinePassed()
    else this.destroy()
  }
}

function asAnswerError(error: WeirError): WeirError {
  return error.code === 'BAD_ANSWER' ? error : new WeirError('BAD_ANSWER', `the backend's answer is malformed: ${error.message}`)
}
