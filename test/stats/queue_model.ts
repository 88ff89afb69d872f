/** A server with `places` of them and a queue in front, simulated event by event, behind a `Gradient`. */
import { Gradient } from '../../gateway/stats/gradient.ts'

export interface Model {
  readonly places: number
  /** Milliseconds one request takes, beginning at `now`. @param random uniform in [0, 1) */
  readonly service: (random: () => number, now: number) => number
  /** Requests a second that come (Poisson). */
  readonly rate: number
  readonly seconds: number
  readonly min: number
  readonly max: number
  readonly seed: number
  /** Answers later than this many milliseconds are failures. */
  readonly timeout?: number
}

/** A request comes, one is over, a second has passed. */
type Kind = 'comes' | 'over' | 'tick'
interface Event {
  readonly at: number
  readonly kind: Kind
  readonly sent: number
}

/** @returns the limit after each second */
export function simulate(model: Model): number[] {
  const random = uniform(model.seed)
  const gradient = new Gradient(model.min, model.max, 0)
  const events = new Heap()
  const queue: number[] = []
  const limits: number[] = []
  let inFlight = 0
  let busy = 0
  let now = 0
  const serve = (sent: number): void => {
    busy++
    events.push({ at: now + model.service(random, now), kind: 'over', sent })
  }
  const comes = (): void => {
    events.push({ at: now - (Math.log(1 - random()) * 1000) / model.rate, kind: 'comes', sent: 0 })
    if (inFlight >= gradient.limit) return
    inFlight++
    if (busy < model.places) serve(now)
    else queue.push(now)
  }
  const over = (sent: number): void => {
    busy--
    if (now - sent > (model.timeout ?? Infinity)) gradient.failed(now, inFlight)
    else gradient.answered(sent, now, inFlight)
    inFlight--
    const next = queue.shift()
    if (next !== undefined) serve(next)
  }
  const tick = (): void => {
    limits.push(gradient.limit)
    events.push({ at: now + 1000, kind: 'tick', sent: 0 })
  }
  events.push({ at: 0, kind: 'comes', sent: 0 })
  events.push({ at: 1000, kind: 'tick', sent: 0 })
  while (limits.length < model.seconds) {
    const { at, kind, sent } = events.pop()
    now = at
    if (kind === 'comes') comes()
    else if (kind === 'over') over(sent)
    else tick()
  }
  return limits
}

export const fixed = (ms: number): Model['service'] => () => ms
export const exponential = (ms: number): Model['service'] => (random) => -Math.log(1 - random()) * ms
/** A median of `ms`, σ = 1 of the logarithm: the mean is 1.65 times the median (Box and Muller 1958). */
export const lognormal = (ms: number): Model['service'] => (random) => ms * Math.exp(Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random()))

/** mulberry32. @returns uniform in [0, 1) */
export function uniform(seed: number): () => number {
  let state = seed | 0
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let t = Math.imul(state ^ (state >>> 15), 1 | state)
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32
  }
}

class Heap {
  readonly #events: Event[] = []

  push(event: Event): void {
    const events = this.#events
    let i = events.push(event) - 1
    for (let up = (i - 1) >> 1; i > 0 && events[up]!.at > event.at; up = (i - 1) >> 1) {
      events[i] = events[up]!
      i = up
    }
    events[i] = event
  }

  pop(): Event {
    const events = this.#events
    const first = events[0]!
    const last = events.pop()!
    if (events.length === 0) return first
    let i = 0
    for (;;) {
      let down = 2 * i + 1
      if (down + 1 < events.length && events[down + 1]!.at < events[down]!.at) down++
      if (down >= events.length || events[down]!.at >= last.at) break
      events[i] = events[down]!
      i = down
    }
    events[i] = last
    return first
  }
}
