/** A body that is still arriving on a connection: the one implementation of `Flow` for both sides of the wire. */
import type { WeirError } from '../errors.ts'
import type { Flow, Sink } from '../exchange.ts'

/** The connection a flow comes from. */
export interface FlowSource {
  /** Somebody wants the body (an inbound connection may now say 100 Continue). */
  flowStarted(): void
  /** Stop reading from the socket. */
  flowPaused(): void
  flowResumed(): void
  /** Nobody wants the rest. */
  flowCancelled(): void
}

/** What arrives before `start` is kept up to here; then the source is paused. */
export const EARLY_BYTES = 65_536

interface End {
  readonly trailers: string[] | null
  readonly error: WeirError | null
}

export class BodyFlow implements Flow {
  readonly length: number
  readonly #source: FlowSource
  #sink: Sink | null = null
  /** Chunks nobody could take yet. */
  #kept: Buffer[] = []
  #keptBytes = 0
  /** The sink asked for a pause. */
  #held = false
  #sourcePaused = false
  #end: End | null = null
  #cancelled = false

  /** @param length declared bytes or -1 */
  constructor(length: number, source: FlowSource) {
    this.length = length
    this.#source = source
  }

  // ---- the side of the receiver

  start(sink: Sink): void {
    if (this.#cancelled) return
    this.#sink = sink
    this.#source.flowStarted()
    this.#deliver()
  }

  pause(): void {
    this.#held = true
    this.#regulate()
  }

  resume(): void {
    if (!this.#held) return
    this.#held = false
    this.#deliver()
  }

  cancel(): void {
    if (this.#cancelled) return
    this.#cancelled = true
    this.#sink = null
    this.#kept = []
    if (this.#end === null) this.#source.flowCancelled()
  }

  // ---- the side of the connection

  /** @param chunk valid during the call; copied if nobody can take it now */
  push(chunk: Buffer): void {
    if (this.#cancelled) return
    if (this.#sink !== null && !this.#held && this.#kept.length === 0) {
      this.#held = !this.#sink.data(chunk)
    } else {
      this.#kept.push(Buffer.from(chunk))
      this.#keptBytes += chunk.length
    }
    this.#regulate()
  }

  /** The body is whole. Its connection lives on: a source that was asked to pause goes on reading, whoever is still behind. */
  finish(trailers: string[] | null): void {
    if (this.#sourcePaused && !this.#cancelled) {
      this.#sourcePaused = false
      this.#source.flowResumed()
    }
    this.#ended({ trailers, error: null })
  }

  /** The body will never be whole. What is still kept is lost to a receiver that asked for a pause: it must not wait for it. */
  fail(error: WeirError): void {
    if (this.#held) this.#kept = []
    this.#ended({ trailers: null, error })
  }

  #ended(end: End): void {
    if (this.#end !== null || this.#cancelled) return
    this.#end = end
    this.#tellEnd()
  }

  #deliver(): void {
    while (this.#kept.length > 0 && !this.#held && this.#sink !== null) {
      const chunk = this.#kept.shift()!
      this.#keptBytes -= chunk.length
      this.#held = !this.#sink.data(chunk)
    }
    this.#tellEnd()
    this.#regulate()
  }

  #tellEnd(): void {
    const end = this.#end
    const sink = this.#sink
    if (end === null || sink === null || this.#kept.length > 0) return
    this.#sink = null
    if (end.error !== null) sink.fail(end.error)
    else sink.end(end.trailers)
  }

  #regulate(): void {
    if (this.#cancelled || this.#end !== null) return
    const pause = this.#held || (this.#sink === null && this.#keptBytes >= EARLY_BYTES)
    if (pause === this.#sourcePaused) return
    this.#sourcePaused = pause
    if (pause) this.#source.flowPaused()
    else this.#source.flowResumed()
  }
}

const SLICE_BYTES = 65_536

/** A whole body given in slices, so that a slow reader takes it as it can and is seen to take it. */
export class BufferFlow implements Flow {
  readonly length: number
  readonly #whole: Buffer
  #sink: Sink | null = null
  #at = 0
  #held = false

  constructor(whole: Buffer) {
    this.length = whole.length
    this.#whole = whole
  }

  start(sink: Sink): void {
    this.#sink = sink
    this.#deliver()
  }

  pause(): void {
    this.#held = true
  }

  resume(): void {
    if (!this.#held) return
    this.#held = false
    this.#deliver()
  }

  cancel(): void {
    this.#sink = null
  }

  #deliver(): void {
    while (this.#sink !== null && !this.#held) {
      const sink = this.#sink
      if (this.#at === this.length) {
        this.#sink = null
        return sink.end(null)
      }
      const slice = this.#whole.subarray(this.#at, this.#at + SLICE_BYTES)
      this.#at += slice.length
      this.#held = !sink.data(slice)
    }
  }
}
