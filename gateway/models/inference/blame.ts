/** Which models end inference threads. One that does so again and again must not take the others down for ever. */
import type { Clock } from '../../clock.ts'

/** Deaths in a row that are enough. */
const LIMIT = 3
/** Deaths further apart than this, milliseconds, are not in a row. */
const FORGET_MS = 60_000

export class Blame {
  readonly limit = LIMIT
  readonly #clock: Clock
  readonly #deaths = new Map<number, { count: number; last: number }>()
  readonly #condemned = new Set<number>()

  constructor(clock: Clock) {
    this.#clock = clock
  }

  get condemned(): ReadonlySet<number> {
    return this.#condemned
  }

  /** A thread died in a load or run of this model. @returns whether that was one too many */
  add(id: number): boolean {
    const now = this.#clock.now()
    const known = this.#deaths.get(id)
    const count = known !== undefined && now - known.last <= FORGET_MS ? known.count + 1 : 1
    this.#deaths.set(id, { count, last: now })
    if (count >= LIMIT) this.#condemned.add(id)
    return count >= LIMIT
  }

  /** It was loaded again, or is gone. @returns whether it was condemned */
  clear(id: number): boolean {
    this.#deaths.delete(id)
    return this.#condemned.delete(id)
  }
}
