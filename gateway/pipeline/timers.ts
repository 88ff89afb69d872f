/**
 * The timers of one plugin of one generation: cancelled with it.
 *
 * Most requests arm the same few timers and cancel them. Those of one length are due in the order in which they were armed, so they stand in
 * a line, and only its first has a timer of the clock (as the lists of Node's timers; Varghese & Lauck 1987): to arm one is a link, and so
 * is to cancel it.
 */
import type { Clock, Timer } from '../clock.ts'

export const NO_TIMER: Timer = { cancel: () => undefined }

/** Lines of a plugin: what its options say are few lengths. Whatever else it waits for has a timer of its own. */
const LINES = 4
/** What is due so soon is due: a sum of doubles may be a hair beyond. */
const GRAIN_MS = 0.001

type Run = () => void

/** One of a ring. What is over holds on to nothing. */
class Armed implements Timer {
  before: Armed = this
  behind: Armed = this
  /** When it is due, in a line. */
  at = 0
  run: Run | null = null
  /** Told when this is cancelled; null = over, or the beginning of a ring. */
  owner: Owner | null = null

  cancel(): void {
    const { owner } = this
    if (owner === null) return
    this.unlink()
    owner.left()
  }

  unlink(): void {
    this.before.behind = this.behind
    this.behind.before = this.before
    this.before = this.behind = this
    this.owner = null
    this.run = null
  }

  /** Stands at the end of the ring that begins with `head`. */
  link(head: Armed, owner: Owner): void {
    const { before } = head
    this.before = before
    this.behind = head
    before.behind = this
    head.before = this
    this.owner = owner
  }
}

interface Owner {
  left(): void
}

/** Timers of one length. */
class Line implements Owner {
  readonly ms: number
  readonly head = new Armed()
  readonly #clock: Clock
  readonly #contained: (run: Run) => void
  readonly #due = (): void => this.#look()
  #timer: Timer | null = null

  constructor(clock: Clock, ms: number, contained: (run: Run) => void) {
    this.ms = ms
    this.#clock = clock
    this.#contained = contained
  }

  add(run: Run, now: number): Timer {
    const timer = new Armed()
    timer.at = now + this.ms
    timer.run = run
    timer.link(this.head, this)
    this.#timer ??= this.#clock.after(this.ms, this.#due)
    return timer
  }

  /** Nobody waits: nothing is left of it. Where somebody does, the timer of who left comes early for them. */
  left(): void {
    if (this.head.behind !== this.head) return
    this.#timer?.cancel()
    this.#timer = null
  }

  #look(): void {
    const { head } = this
    const now = this.#clock.now()
    for (let first = head.behind; first !== head && first.at - now < GRAIN_MS; first = head.behind) {
      const run = first.run!
      first.unlink()
      this.#contained(run)
    }
    // What ran may have armed one, after all had left.
    this.#timer?.cancel()
    this.#timer = head.behind === head ? null : this.#clock.after(head.behind.at - now, this.#due)
  }
}

/** A timer that stands for itself. */
class Single implements Owner {
  readonly #timer: Timer

  constructor(timer: Timer) {
    this.#timer = timer
  }

  left(): void {
    this.#timer.cancel()
  }
}

/** Rings and not Sets: the tables that a Set outgrows live on, and with them everything that was armed then. */
export class ArmedTimers {
  readonly #singles = new Armed()
  readonly #lines: Line[] = []

  /** @param now of the clock */
  after(clock: Clock, ms: number, run: Run, contained: (run: Run) => void, now = clock.now()): Timer {
    for (const line of this.#lines) if (line.ms === ms) return line.add(run, now)
    // What the options say are whole milliseconds; what is reckoned or drawn at random hardly ever.
    if (!Number.isInteger(ms) || ms < 1 || this.#lines.length === LINES) return this.#single(clock, ms, run, contained)
    const line = new Line(clock, ms, contained)
    this.#lines.push(line)
    return line.add(run, now)
  }

  #single(clock: Clock, ms: number, run: Run, contained: (run: Run) => void): Timer {
    const timer = new Armed()
    const inner = clock.after(ms, () => {
      timer.unlink()
      contained(run)
    })
    timer.link(this.#singles, new Single(inner))
    return timer
  }

  every(clock: Clock, ms: number, run: Run): Timer {
    const timer = new Armed()
    timer.link(this.#singles, new Single(clock.every(ms, run)))
    return timer
  }

  cancel(): void {
    for (const head of [this.#singles, ...this.#lines.map((line) => line.head)]) while (head.behind !== head) head.behind.cancel()
  }
}
