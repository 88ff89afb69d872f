/** The moment before the last byte of an answer is handed to the socket. */
import type { Body, Flow } from '../exchange.ts'
import { isFlow } from '../exchange.ts'
import { Relay } from '../relay.ts'

/** The body with `finish` called before its last piece passes; at once when it is whole. Not when it breaks off. */
export function finishing(body: Body, finish: () => void): Body {
  if (isFlow(body)) return new Finishing(body, finish)
  finish()
  return body
}

class Finishing extends Relay {
  readonly #finish: () => void
  #left: number
  #finished = false

  constructor(source: Flow, finish: () => void) {
    super(source)
    this.#finish = finish
    this.#left = source.length
  }

  /** Where the length is declared the last piece is known when it comes; else only the end tells. */
  override data(chunk: Buffer): boolean {
    if (this.#left >= 0) {
      this.#left -= chunk.length
      if (this.#left === 0) this.#once()
    }
    return super.data(chunk)
  }

  override end(trailers: string[] | null): void {
    this.#once()
    super.end(trailers)
  }

  #once(): void {
    if (this.#finished) return
    this.#finished = true
    this.#finish()
  }
}
