/** Time as a file tells it: it stands still between two rows, and timers run in the order they are due as it moves on. */
import type { Clock, Timer } from '../../clock.ts'

interface Armed {
  due: number
  /** 0 = one shot. */
  readonly period: number
  readonly run: () => void
}

/** What is due at the same moment runs in the order it was armed. */
export class FileClock implements Clock {
  #wall: number
  readonly #start: number
  /** A `Set` keeps the order of arming. */
  readonly #armed = new Set<Armed>()
  /** Nothing is due before this. */
  #bound = Infinity

  /** @param wall of the first row, Unix milliseconds */
  constructor(wall: number) {
    this.#wall = wall
    this.#start = wall
  }

  now(): number {
    return this.#wall - this.#start
  }

  wall(): number {
    return this.#wall
  }

  after(ms: number, run: () => void): Timer {
    return this.#arm(ms, 0, run)
  }

  every(ms: number, run: () => void): Timer {
    if (!(ms > 0)) throw new Error('a period must be above 0 ms')
    return this.#arm(ms, ms, run)
  }

  /** Moves on to `wall`, or stays where that is past already. What timers begin gets a turn before the next one runs. */
  async moveTo(wall: number): Promise<void> {
    while (this.#bound <= wall && this.#fireNext(wall)) await Promise.resolve()
    this.#wall = Math.max(this.#wall, wall)
  }

  /** To the next timer, for work that waits for one. @returns false: there is none until `wall` */
  moveOn(wall: number): boolean {
    return this.#fireNext(wall)
  }

  #arm(ms: number, period: number, run: () => void): Timer {
    const armed: Armed = { due: this.#wall + Math.max(0, ms), period, run }
    this.#armed.add(armed)
    this.#bound = Math.min(this.#bound, armed.due)
    return { cancel: () => void this.#armed.delete(armed) }
  }

  #fireNext(wall: number): boolean {
    const next = this.#first()
    this.#bound = next?.due ?? Infinity
    if (next === null || next.due > wall) return false
    this.#wall = Math.max(this.#wall, next.due)
    if (next.period === 0) this.#armed.delete(next)
    else next.due += next.period
    next.run()
    return true
  }

  #first(): Armed | null {
    let first: Armed | null = null
    for (const armed of this.#armed) if (first === null || armed.due < first.due) first = armed
    return first
  }
}
