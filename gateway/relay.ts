/** A body that stands before another: everything passes on until a subclass says otherwise. */
import type { Flow, Sink } from './exchange.ts'
import type { WeirError } from './errors.ts'

/** Extend `over` to learn of the end, `data` to look at what passes. Nothing reaches the sink after `cancel`. */
export class Relay implements Flow, Sink {
  readonly length: number
  readonly #source: Flow
  #sink: Sink | null = null

  /** @param length -1 where what passes may change */
  constructor(source: Flow, length = source.length) {
    this.length = length
    this.#source = source
  }

  /** The body is over, well or badly, or nobody wants the rest. May be called more than once. */
  protected over(): void {}

  start(sink: Sink): void {
    this.#sink = sink
    this.#source.start(this)
  }

  pause(): void {
    this.#source.pause()
  }

  resume(): void {
    this.#source.resume()
  }

  cancel(): void {
    this.#sink = null
    this.#source.cancel()
    this.over()
  }

  data(chunk: Buffer): boolean {
    return this.#sink !== null && this.#sink.data(chunk)
  }

  end(trailers: string[] | null): void {
    this.over()
    this.#sink?.end(trailers)
  }

  fail(error: WeirError): void {
    this.over()
    this.#sink?.fail(error)
  }

  /** Breaks the body here: the source is given up, the sink told. */
  protected break(error: WeirError): void {
    const sink = this.#sink
    this.cancel()
    sink?.fail(error)
  }
}
