/** The timers of one plugin of one generation: cancelled with it. */
import type { Clock, Timer } from '../clock.ts'

export const NO_TIMER: Timer = { cancel: () => undefined }

/** One of a ring. What is over holds on to nothing. */
class Armed implements Timer {
  before: Armed = this
  behind: Armed = this
  inner: Timer = NO_TIMER

  cancel(): void {
    if (this.unlink()) {
      this.inner.cancel()
      this.inner = NO_TIMER
    }
  }

  /** @returns false when it was over already */
  unlink(): boolean {
    if (this.behind === this) return false
    this.before.behind = this.behind
    this.behind.before = this.before
    this.before = this.behind = this
    return true
  }
}

/** A ring and not a Set: the tables that a Set outgrows live on, and with them everything that was armed then. */
export class ArmedTimers {
  readonly #ring = new Armed()

  after(clock: Clock, ms: number, run: () => void, contained: (run: () => void) => void): Timer {
    const timer = this.#add()
    timer.inner = clock.after(ms, () => {
      timer.unlink()
      timer.inner = NO_TIMER
      contained(run)
    })
    return timer
  }

  every(clock: Clock, ms: number, run: () => void): Timer {
    const timer = this.#add()
    timer.inner = clock.every(ms, run)
    return timer
  }

  cancel(): void {
    while (this.#ring.behind !== this.#ring) this.#ring.behind.cancel()
  }

  #add(): Armed {
    const timer = new Armed()
    const { before } = this.#ring
    timer.before = before
    timer.behind = this.#ring
    before.behind = timer
    this.#ring.before = timer
    return timer
  }
}
