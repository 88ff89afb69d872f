/**
 * Requests under way at the same time, and those that wait for a place: first come, first served, bounded in number and in time.
 *
 * A place is held until the body of the answer is over (at its last byte, not at its head), or until the attempt failed or its leg was cancelled.
 * Whoever waits leaves at once when its leg is cancelled, by its deadline as well as by its caller.
 */
import type { Timer } from './clock.ts'
import { WeirError } from './errors.ts'
import type { Answer, Flow, Leg, LegWatcher } from './exchange.ts'
import type { Counter, Gauge } from './metrics.ts'
import { Relay } from './relay.ts'
import { Gradient } from './stats/gradient.ts'

export interface LimiterOptions {
  readonly in_flight: number
  readonly queue: number
  readonly queue_wait_ms: number
  /** The limit moves between `min` and `in_flight`; null = it stays. */
  readonly adaptive: { readonly min: number } | null
}

export interface LimiterMetrics {
  readonly queued: Gauge
  /** Null: nobody asks. */
  readonly limit: Gauge | null
  readonly full: Counter
  readonly late: Counter
}

/** Arms a timer: of a clock, or of the plugin that has the request. */
export type After = (ms: number, run: () => void) => Timer

/** What is asked; as much as a limiter needs to know of it. */
export interface Waited {
  waited: number
}

type Next<X> = (x: X, leg: Leg) => Answer | Promise<Answer>

/** Who waits. */
interface InLine {
  /** Its time is over, and its leg is about to say so: it gets no place any more. */
  readonly expired: boolean
  /** A place is free, and it is this one's. */
  enter(): void
}

/** The request was refused here and has not been sent. */
export class Refused extends WeirError {
  constructor(message: string) {
    super('OVERLOADED', message)
    this.retryAfter = 1
  }
}

export class Limiter {
  readonly metrics: LimiterMetrics
  readonly now: () => number
  /** Told when nothing is under way or waits any more. */
  emptied: (() => void) | null = null
  readonly #options: LimiterOptions
  readonly #what: string
  readonly #gradient: Gradient | null
  /** In the order they came. */
  readonly #waiting = new Set<InLine>()
  #limit: number
  #inFlight = 0
  #letting = false

  /** @param what is at its limit, for messages: `the backend` */
  constructor(options: LimiterOptions, what: string, metrics: LimiterMetrics, now: () => number) {
    this.#options = options
    this.#what = what
    this.metrics = metrics
    this.now = now
    this.#gradient = options.adaptive === null ? null : new Gradient(options.adaptive.min, options.in_flight, now())
    this.#limit = this.#gradient === null ? options.in_flight : this.#gradient.limit
    metrics.limit?.add(this.#limit)
  }

  get limit(): number {
    return this.#limit
  }

  get inFlight(): number {
    return this.#inFlight
  }

  get queued(): number {
    return this.#waiting.size
  }

  /** Nobody asks any more: its limit is no part of the sum. What is under way goes on. */
  close(): void {
    this.metrics.limit?.add(-this.#limit)
  }

  /** `next`, at once or when there is a place. Rejects with `Refused`, with the leg's cause, or as `next` does. */
  run<X extends Waited>(x: X, leg: Leg, next: Next<X>, after: After): Answer | Promise<Answer> {
    if (this.#inFlight < this.#limit && this.#waiting.size === 0) return this.go(x, leg, next)
    if (leg.cancelled !== null) return Promise.reject(leg.cancelled)
    const { queue, queue_wait_ms } = this.#options
    if (this.#waiting.size >= queue) {
      this.metrics.full.add()
      return Promise.reject(new Refused(`${this.#what} has as many requests under way and waiting as its limits allow`))
    }
    return new Promise((resolve, reject) => {
      const waiting = new Waiting(this, x, leg, next, resolve, reject)
      this.#waiting.add(waiting)
      this.metrics.queued.add(1)
      leg.trace?.event('queued')
      waiting.begin(after, queue_wait_ms)
    })
  }

  /** Takes a place. */
  go<X>(x: X, leg: Leg, next: Next<X>): Answer | Promise<Answer> {
    this.#inFlight++
    const started = this.#gradient === null ? 0 : this.now()
    let answer: Answer | Promise<Answer>
    try {
      answer = next(x, leg)
    } catch (error) {
      this.#failed(error)
      throw error
    }
    if (!(answer instanceof Promise)) return this.#answered(answer, leg, started)
    return answer.then(
      (whole) => this.#answered(whole, leg, started),
      (error: unknown) => {
        this.#failed(error)
        throw error
      },
    )
  }

  /** It does not wait any more. @returns false when it was not waiting */
  leave(waiting: InLine): boolean {
    if (!this.#waiting.delete(waiting)) return false
    this.metrics.queued.add(-1)
    // Whoever came behind one that was expired may have found a place free and yet had to wait.
    this.#let()
    return true
  }

  late(): Refused {
    this.metrics.late.add()
    return new Refused(`${this.#what} had no free place within ${this.#options.queue_wait_ms} ms`)
  }

  /** A place is free. */
  free(): void {
    this.#inFlight--
    this.#let()
    if (this.#inFlight === 0 && this.#waiting.size === 0) this.emptied?.()
  }

  /** What is let in may be over at once and free its place: one loop for all, however many. */
  #let(): void {
    if (this.#letting) return
    this.#letting = true
    for (const waiting of this.#waiting) {
      if (this.#inFlight >= this.#limit) break
      if (waiting.expired) continue
      this.leave(waiting)
      waiting.enter()
    }
    this.#letting = false
  }

  #answered(answer: Answer, leg: Leg, started: number): Answer {
    const gradient = this.#gradient
    if (gradient !== null) {
      const { status } = answer
      if (status === 429 || status === 503 || status === 504) gradient.failed(this.now(), this.#inFlight)
      // An error may come sooner than any answer: it says nothing about latency.
      else if (status < 500) gradient.answered(started, this.now(), this.#inFlight)
      this.#follow(gradient)
    }
    const { body } = answer
    if (body === null || Buffer.isBuffer(body)) this.free()
    else new PlacedFlow(this, answer, body, leg)
    return answer
  }

  #failed(error: unknown): void {
    const gradient = this.#gradient
    if (gradient !== null && isOverload(error)) {
      gradient.failed(this.now(), this.#inFlight)
      this.#follow(gradient)
    }
    this.free()
  }

  #follow({ limit }: Gradient): void {
    if (limit === this.#limit) return
    this.metrics.limit?.add(limit - this.#limit)
    this.#limit = limit
    this.#let()
  }
}

/** What a server does that has too much to do. What was refused on this side says nothing about it. */
function isOverload(error: unknown): boolean {
  if (!(error instanceof WeirError) || error instanceof Refused) return false
  const { reason } = error
  return reason === 'timeout' || reason === 'reset' || reason === 'connect' || reason === 'overload'
}

/** A request that waits for a place. */
class Waiting<X extends Waited> implements InLine, LegWatcher {
  readonly #limiter: Limiter
  readonly #x: X
  readonly #leg: Leg
  readonly #next: Next<X>
  readonly #resolve: (answer: Answer | Promise<Answer>) => void
  readonly #reject: (error: unknown) => void
  readonly #since: number
  #timer: Timer | null = null

  constructor(limiter: Limiter, x: X, leg: Leg, next: Next<X>, resolve: (answer: Answer | Promise<Answer>) => void, reject: (error: unknown) => void) {
    this.#limiter = limiter
    this.#x = x
    this.#leg = leg
    this.#next = next
    this.#resolve = resolve
    this.#reject = reject
    this.#since = limiter.now()
  }

  begin(after: After, ms: number): void {
    this.#timer = after(ms, () => this.#give(() => this.#limiter.late()))
    this.#leg.watch(this)
  }

  legCancelled(cause: WeirError): void {
    this.#give(() => cause)
  }

  get expired(): boolean {
    return this.#leg.deadline <= this.#limiter.now()
  }

  enter(): void {
    this.#over()
    try {
      this.#resolve(this.#limiter.go(this.#x, this.#leg, this.#next))
    } catch (error) {
      this.#reject(error)
    }
  }

  #give(why: () => WeirError): void {
    if (!this.#limiter.leave(this)) return
    this.#over()
    this.#reject(why())
  }

  /** Waiting for a place at a backend is waiting for the backend. */
  #over(): void {
    this.#timer?.cancel()
    this.#leg.unwatch(this)
    this.#x.waited += this.#limiter.now() - this.#since
  }
}

/** A body that gives a place back when it is over, whichever way, once. */
class PlacedFlow extends Relay implements LegWatcher {
  readonly #limiter: Limiter
  readonly #leg: Leg
  #over = false

  constructor(limiter: Limiter, answer: Answer, flow: Flow, leg: Leg) {
    super(flow)
    this.#limiter = limiter
    this.#leg = leg
    answer.body = this
    // A body that nobody has begun to read when its leg is cancelled tells nobody that it ended.
    leg.watch(this)
  }

  legCancelled(): void {
    this.over()
  }

  protected override over(): void {
    if (this.#over) return
    this.#over = true
    this.#leg.unwatch(this)
    this.#limiter.free()
  }
}
