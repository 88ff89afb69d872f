/**
 * Holding an answer until it is whole, so that one that is cut or stalls can still be replaced by another.
 * What is a stream by its type, or turns out to be longer than the limit, is handed on as it comes; `assure.ts` looks at its beginning.
 */
import type { Answer, Body, Flow, Leg, LegWatcher, Sink } from './exchange.ts'
import type { WeirError } from './errors.ts'

/** Answers up to this many bytes are held. */
export const HOLD_BYTES = 1 << 20

/** Types whose readers want every part as soon as it is there. */
const STREAM_TYPE = /^(text\/event-stream|application\/(x-)?ndjson|application\/grpc|multipart\/x-mixed-replace)\b/i

/** True when the answer is handed on as it comes: by its type, its declared length, or because it has no body of its own to wait for. */
export function streams(answer: Answer, limit = HOLD_BYTES): boolean {
  const { body } = answer
  if (body === null || Buffer.isBuffer(body)) return false
  return answer.tunnel !== null || body.length > limit || isStream(answer)
}

/** True when the type says that every part is wanted as soon as it is there. */
export function isStream({ fields }: Answer): boolean {
  return STREAM_TYPE.test(fields.get('content-type') ?? '')
}

/** Looks at a body while it is held. Sees no byte beyond the limit, so that what it says does not depend on where chunks end. */
export interface Inspector {
  /** @returns true once the body may go on as it comes. @throws WeirError when it must not go on at all */
  push(chunk: Buffer): boolean
  /** The body is whole and within the limit. @throws WeirError as `push` */
  end(): void
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
export function holdFlow(body: Flow, leg: Leg, limit: number, inspector: Inspector | null = null): Promise<Body> {
  return new Promise((resolve, reject) => new Held(body, leg, limit, inspector, resolve, reject).begin())
}

/** Collects a flow; becomes a flow itself when the body is too long (or has trailers, which a Buffer cannot carry). */
class Held implements Flow, Sink, LegWatcher {
  readonly length: number
  readonly #source: Flow
  readonly #leg: Leg
  readonly #limit: number
  readonly #inspector: Inspector | null
  readonly #whole: (body: Body) => void
  readonly #broken: (error: unknown) => void
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

  constructor(source: Flow, leg: Leg, limit: number, inspector: Inspector | null, whole: (body: Body) => void, broken: (error: unknown) => void) {
    this.length = source.length
    this.#source = source
    this.#leg = leg
    this.#limit = limit
    this.#inspector = inspector
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
    const room = this.#limit - this.#bytes
    this.#bytes += chunk.length
    if (!this.#holding) return false
    const decided = this.#inspect(chunk.length > room ? chunk.subarray(0, room) : chunk)
    if (this.#holding && (decided || chunk.length > room)) this.#release(this)
    return this.#holding
  }

  /** @returns true when what is held may go on */
  #inspect(chunk: Buffer): boolean {
    try {
      return this.#inspector !== null && this.#inspector.push(chunk)
    } catch (error) {
      this.#source.cancel()
      this.#abandon(error)
      return false
    }
  }

  end(trailers: string[] | null): void {
    this.#ended = true
    this.#trailers = trailers
    if (!this.#holding) return this.#drain()
    try {
      this.#inspector?.end()
      this.#release(trailers === null ? Buffer.concat(this.#chunks, this.#bytes) : this)
    } catch (error) {
      this.#abandon(error)
    }
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

  #abandon(error: unknown): void {
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
