/** Waiting for room in a spool, for `on_full: block`. */
import type { Clock, Timer } from '../clock.ts'
import type { Cells } from './cells.ts'

/** Those who wait are let go while this share is still free, since each of them will write. */
const FREE = 1 / 8
const LOOK_MS = 10

export class Room {
  readonly #clock: Clock
  readonly #cells: Cells
  #waiting: PromiseWithResolvers<void> | null = null
  #timer: Timer | null = null
  /** Bytes of a full spool. */
  limit = 0

  constructor(clock: Clock, cells: Cells) {
    this.#clock = clock
    this.#cells = cells
  }

  /** One promise for all who wait: their number is the number of exchanges under way. @returns null: there is room now */
  wait(): Promise<void> | null {
    if (this.#free) return null
    if (this.#waiting === null) {
      this.#waiting = Promise.withResolvers()
      this.#timer = this.#clock.every(LOOK_MS, () => {
        if (this.#free) this.close()
      })
    }
    return this.#waiting.promise
  }

  /** Nobody waits any more. */
  close(): void {
    this.#timer?.cancel()
    this.#waiting?.resolve()
    this.#waiting = null
  }

  get #free(): boolean {
    return this.#cells.bytes <= this.limit * (1 - FREE)
  }
}
