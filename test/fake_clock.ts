/** A clock that stands still until a test moves it. Timers run in the order they are due, those of the same moment in the order they were armed. */
import type { Clock, Timer } from '../gateway/clock.ts'

interface Armed {
  due: number
  readonly order: number
  /** 0 = one shot. */
  readonly period: number
  readonly run: () => void
}

export class FakeClock implements Clock {
  #now = 0
  #order = 0
  readonly #wallAtZero: number
  readonly #armed = new Set<Armed>()

  /** @param wall what `wall()` says at the start, Unix milliseconds */
  constructor(wall = 1_700_000_000_000) {
    this.#wallAtZero = wall
  }

  now(): number {
    return this.#now
  }

  wall(): number {
    return this.#wallAtZero + this.#now
  }

  /** Timers that would still run: 0 at the end of a test that leaks none. */
  get pending(): number {
    return this.#armed.size
  }

  after(ms: number, run: () => void): Timer {
    return this.#arm(ms, 0, run)
  }

  every(ms: number, run: () => void): Timer {
    if (!(ms > 0)) throw new Error('a period must be above 0 ms')
    return this.#arm(ms, ms, run)
  }

  /** Moves time on and runs what falls due, timers armed on the way included. */
  advance(ms: number): void {
    const end = this.#now + ms
    for (let next = this.#next(end); next !== null; next = this.#next(end)) {
      this.#now = Math.max(this.#now, next.due)
      this.#fire(next)
    }
    this.#now = end
  }

  /** As `advance`, and lets promises settle before and after every timer. */
  async tick(ms: number): Promise<void> {
    const end = this.#now + ms
    await settled()
    for (let next = this.#next(end); next !== null; next = this.#next(end)) {
      this.#now = Math.max(this.#now, next.due)
      this.#fire(next)
      await settled()
    }
    this.#now = end
  }

  #arm(ms: number, period: number, run: () => void): Timer {
    const armed: Armed = { due: this.#now + Math.max(0, ms), order: this.#order++, period, run }
    this.#armed.add(armed)
    return { cancel: () => void this.#armed.delete(armed) }
  }

  #next(end: number): Armed | null {
    let first: Armed | null = null
    for (const armed of this.#armed) {
      if (armed.due > end) continue
      if (first === null || armed.due < first.due || (armed.due === first.due && armed.order < first.order)) first = armed
    }
    return first
  }

  #fire(armed: Armed): void {
    if (armed.period === 0) this.#armed.delete(armed)
    else armed.due += armed.period
    armed.run()
  }
}

/** Resolves when everything that was already settled has run its callbacks. */
export function settled(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve))
}
