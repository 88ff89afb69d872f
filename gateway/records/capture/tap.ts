/** A look at a body on its way, for the log: the beginning is copied, everything passes as it comes. */
import type { WeirError } from '../../errors.ts'
import type { Flow } from '../../exchange.ts'
import { Relay } from '../../relay.ts'

/** Room at first; it doubles as the body grows, so that a long body that never comes costs nothing. */
const FIRST_ROOM = 4096

export class Tap extends Relay {
  readonly #max: number
  #kept: Buffer | null = null
  #size = 0
  /** Bytes that passed. */
  passed = 0
  /** Its end has passed. */
  whole = false
  /** Why it broke off. */
  error: WeirError | null = null

  /** @param max bytes that are copied at most */
  constructor(source: Flow, max: number) {
    super(source)
    this.#max = max
  }

  /** What was copied; not to be changed, and good until more passes. */
  get bytes(): Buffer {
    return this.#kept === null ? EMPTY : this.#kept.subarray(0, this.#size)
  }

  override data(chunk: Buffer): boolean {
    const count = Math.min(chunk.length, this.#max - this.#size)
    this.passed += chunk.length
    if (count > 0) this.#keep(chunk, count)
    // Where the length is declared nobody waits for the end to know that this is all.
    if (this.passed === this.length) this.whole = true
    return super.data(chunk)
  }

  #keep(chunk: Buffer, count: number): void {
    const room = this.#kept === null ? 0 : this.#kept.length
    const needed = this.#size + count
    if (needed > room) {
      const most = this.length >= 0 ? Math.min(this.#max, this.length) : this.#max
      const grown = Buffer.allocUnsafe(Math.max(needed, Math.min(most, Math.max(2 * room, FIRST_ROOM))))
      this.#kept?.copy(grown, 0, 0, this.#size)
      this.#kept = grown
    }
    chunk.copy(this.#kept!, this.#size, 0, count)
    this.#size += count
  }

  override end(trailers: string[] | null): void {
    this.whole = true
    super.end(trailers)
  }

  override fail(error: WeirError): void {
    this.error = error
    super.fail(error)
  }
}

const EMPTY = Buffer.alloc(0)
