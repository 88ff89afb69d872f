/**
 * Deadlines of many connections with one timer. A connection that is busy moves its deadline with every read; a timer of its own would be
 * re-armed each time. Here moving a deadline is one store: the sweep looks when the earliest known deadline has come, fires what is due and
 * sleeps until the next. Precision: `GRAIN_MS`.
 */
import type { Clock, Timer } from '../clock.ts'

const GRAIN_MS = 5

export interface Waiting {
  /** `clock.now()` at which `deadlinePassed` is called; 0 = never. Changed only through `Deadlines.set`. */
  deadline: number
  deadlinePassed(): void
}

export class Deadlines {
  readonly #clock: Clock
  readonly #waiting = new Set<Waiting>()
  #timer: Timer | null = null
  #wake = Number.POSITIVE_INFINITY

  constructor(clock: Clock) {
    this.#clock = clock
  }

  /** Connections and tunnels that are known; 0 when all are gone. */
  get size(): number {
    return this.#waiting.size
  }

  now(): number {
    return this.#clock.now()
  }

  add(waiting: Waiting): void {
    this.#waiting.add(waiting)
  }

  remove(waiting: Waiting): void {
    this.#waiting.delete(waiting)
    waiting.deadline = 0
  }

  /** @param ms from now; 0 = none */
  set(waiting: Waiting, ms: number): void {
    if (ms === 0) {
      waiting.deadline = 0
      return
    }
    this.setAt(waiting, this.#clock.now() + ms)
  }

  setAt(waiting: Waiting, at: number): void {
    waiting.deadline = at
    if (at < this.#wake) this.#arm(at)
  }

  #arm(at: number): void {
    this.#timer?.cancel()
    this.#wake = at
    this.#timer = this.#clock.after(Math.max(GRAIN_MS, at - this.#clock.now()), () => this.#sweep())
  }

  #sweep(): void {
    const now = this.#clock.now()
    this.#wake = Number.POSITIVE_INFINITY
    this.#timer = null
    // Should one of them throw, the others are looked at again at once.
    let next = now
    try {
      next = this.#fire(now)
    } finally {
      if (next < this.#wake) this.#arm(next)
    }
  }

  /** @returns the earliest deadline that is left */
  #fire(now: number): number {
    let next = Number.POSITIVE_INFINITY
    for (const waiting of this.#waiting) {
      if (waiting.deadline === 0) continue
      if (waiting.deadline <= now) {
        waiting.deadline = 0
        waiting.deadlinePassed()
      }
      if (waiting.deadline !== 0 && waiting.deadline < next) next = waiting.deadline
    }
    return next
  }
}
