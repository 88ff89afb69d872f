/**
 * Holding an answer until it is whole, so that one that is cut or stalls can still be replaced by another.
 * What is a stream by its type, or turns out to be longer than the limit, is handed on as it comes.
 */
import type { Answer, Body, Flow, Leg, LegWatcher, Sink } from './exchange.ts'
import type { WeirError } from './errors.ts'
import { get } from './headers.ts'

/** Answers up to this many bytes are held. */
export const HOLD_BYTES = 1 << 20

/** Types whose readers want every part as soon as it is there. */
const STREAM_TYPE = /^(text\/event-stream|application\/(x-)?ndjson|application\/grpc|multipart\/x-mixed-replace)\b/i

/** True when the answer is handed on as it comes: by its type, its declared length, or because it has no body of its own to wait for. */
export function streams(answer: Answer, limit = HOLD_BYTES): boolean {
  const { body } = answer
  if (body === null || Buffer.isBuffer(body)) return false
  return answer.tunnel !== null || body.length > limit || STREAM_TYPE.test(get(answer.headers, 'content-type') ?? '')
}

/**
 * The answer with its body whole (a Buffer), or as it is when it streams. A body that outgrows `limit` while it is held
 * is handed on from its first byte. Rejects with the body's error, or the leg's cause when the leg is cancelled first.
 */
export function hold(answer: Answer, leg: Leg, limit = HOLD_BYTES): Answer | Promise<Answer> {
  const { body } = answer
  if (body === null || Buffer.isBuffer(body) || answer.tunnel !== null || streams(answer, limit)) return answer
  return holdFlow(body, leg, limit).then((whole) => {
    answer.body = whole
    return answer
  })
}

/** As `hold`, for a flow by itself: a Buffer when it ends within `limit` bytes, else a flow from its first byte. */
export function holdFlow(body: Flow, leg: Leg, limit: number): Promise<Body> {
  return new Promise((resolve, reject) => new Held(body, leg, limit, resolve, reject).begin())
}

/** Collects a flow; becomes a flow itself when the body is too long (or has trailers, which a Buffer cannot carry). */
class Held implements Flow, Sink, LegWatcher {
  readonly length: number
  readonly #source: Flow
  readonly #leg: Leg
  readonly #limit: number
  readonly #whole: (body: Body) => void
  readonly #broken: (error: WeirError) => void
  #chunks: Buffer[] = []
  #bytes = 0
  /** Holding until `#whole` or `#broken` was called. */
  #holding = true
  #sink: Sink | null = null
  #ended = false
  #trailers: string[] | null = null
  #error: WeirError | null = null
  #paused = false
  #cancelled = false

  constructor(source: Flow, leg: Leg, limit: number, whole: (body: Body) => void, broken: (error: WeirError) => void) {
    this.length = source.length
    this.#source = source
    this.#leg = leg
    this.#limit = limit
    this.#whole = whole
    this.#broken = broken
  }

  begin(): void {
    this.#leg.watch(this)
    if (this.#holding) this.#source.start(this)
  }

  // ---- what the source says

  data(chunk: Buffer): boolean {
    if (this.#sink !== null && this.#chunks.length === 0) return this.#sink.data(chunk)
    this.#chunks.push(Buffer.from(chunk))
    this.#bytes += chunk.length
    if (!this.#holding || this.#bytes <= this.#limit) return this.#holding
    this.#release(this)
    return false
  }

  end(trailers: string[] | null): void {
    this.#ended = true
    this.#trailers = trailers
    if (this.#holding) this.#release(trailers === null ? Buffer.concat(this.#chunks, this.#bytes) : this)
    else this.#drain()
  }

  fail(error: WeirError): void {
    this.#error = error
    if (this.#holding) this.#abandon(error)
    else this.#drain()
  }

  legCancelled(cause: WeirError): void {
    if (!this.#holding) return
    this.#source.cancel()
    this.#abandon(cause)
  }

  #release(body: Body): void {
    this.#holding = false
    this.#leg.unwatch(this)
    this.#whole(body)
  }

  #abandon(error: WeirError): void {
    this.#holding = false
    this.#chunks = []
    this.#leg.unwatch(this)
    this.#broken(error)
  }

  // ---- the flow, once the body is too long to hold

  start(sink: Sink): void {
    this.#sink = sink
    this.#drain()
  }

  pause(): void {
    this.#paused = true
    if (!this.#ended) this.#source.pause()
  }

  resume(): void {
    this.#paused = false
    this.#drain()
  }

  cancel(): void {
    this.#cancelled = true
    this.#chunks = []
    this.#source.cancel()
  }

  /** What was held goes first, then what the source still has. */
  #drain(): void {
    const sink = this.#sink
    if (sink === null) return
    while (this.#chunks.length > 0 && !this.#paused && !this.#cancelled) {
      if (!sink.data(this.#chunks.shift()!)) this.#paused = true
    }
    if (this.#cancelled || this.#chunks.length > 0) return
    if (this.#error !== null) sink.fail(this.#error)
    else if (this.#ended) sink.end(this.#trailers)
    else if (!this.#paused) this.#source.resume()
  }
}
