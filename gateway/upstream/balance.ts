/**
 * Choosing an endpoint among candidates. Which those are is the roster's to say (`roster.ts`); it tells of every change.
 *
 * Weights: two random choices draw by weight and compare requests in flight per weight, so that shares are exact without load and
 * fair with it; `round_robin` is nginx's smooth one; `hash` in `hashing.ts`.
 */
import type { HttpBackendConfig } from '../../config/config.ts'
import type { Outgoing } from '../exchange.ts'
import type { Endpoint } from './endpoint.ts'
import { Hashing } from './hashing.ts'

export interface Balancer {
  /** The candidates, or their shares, are others now. Never empty. */
  arrange(candidates: readonly Endpoint[]): void
  choose(x: Outgoing): Endpoint
  /** The second choice, when the first will not do. @param some not empty */
  among(some: readonly Endpoint[], x: Outgoing): Endpoint
}

export interface BalanceDeps {
  /** Uniform in [0, 1). */
  readonly random: () => number
  readonly now: () => number
  /** Of `hash`: what is hashed of an exchange. */
  readonly key: (x: Outgoing) => string | undefined
}

export function balancer(policy: HttpBackendConfig['balance'], { random, now, key }: BalanceDeps): Balancer {
  if (policy === 'round_robin') return new RoundRobin(random)
  if (policy === 'random') return new Random(random)
  if (policy === 'peak_ewma') return new TwoChoices(random, (endpoint) => endpoint.latency!.cost(load(endpoint), now()))
  const leastRequest = new TwoChoices(random, load)
  return policy === 'hash' ? new Hashing(key, leastRequest) : leastRequest
}

/** Requests in flight per weight (Envoy's and HAProxy's least request). */
function load(endpoint: Endpoint): number {
  return endpoint.inFlight * endpoint.scale
}

/** Beginning anywhere, so that the first of equals is not always the same. */
function least(some: readonly Endpoint[], random: () => number, cost: (endpoint: Endpoint) => number): Endpoint {
  const from = Math.floor(random() * some.length)
  let best = some[from]!
  for (let i = 1; i < some.length; i++) {
    const next = some[(from + i) % some.length]!
    if (cost(next) < cost(best)) best = next
  }
  return best
}

/** Stretches of a line, as long as the shares: a number in [0, 1) falls into one. */
class Line {
  endpoints: readonly Endpoint[] = []
  #equal = true
  #ends = new Float64Array(0)

  arrange(candidates: readonly Endpoint[]): void {
    this.endpoints = candidates
    this.#equal = candidates.every(({ share }) => share === candidates[0]!.share)
    this.#ends = new Float64Array(candidates.length)
    let end = 0
    for (const [i, { share }] of candidates.entries()) this.#ends[i] = end += share
    for (const endpoint of candidates) endpoint.scale = end / candidates.length / endpoint.share
  }

  draw(u: number): number {
    const count = this.endpoints.length
    return this.#equal ? Math.floor(u * count) : this.#at(u * this.#ends[count - 1]!)
  }

  /** As `draw` from a line without the stretch of `out`. */
  drawOther(out: number, u: number): number {
    const count = this.endpoints.length
    if (this.#equal) return (out + 1 + Math.floor(u * (count - 1))) % count
    const begin = out === 0 ? 0 : this.#ends[out - 1]!
    const length = this.#ends[out]! - begin
    const point = u * (this.#ends[count - 1]! - length)
    const found = this.#at(point < begin ? point : point + length)
    // A sum of doubles may end a hair beyond.
    return found === out ? (out + 1) % count : found
  }

  #at(point: number): number {
    let low = 0
    let high = this.endpoints.length - 1
    while (low < high) {
      const middle = (low + high) >> 1
      if (point < this.#ends[middle]!) high = middle
      else low = middle + 1
    }
    return low
  }
}

/** Power of two choices (Mitzenmacher 2001): two different ones drawn by weight, the cheaper wins, of equals the first drawn. */
class TwoChoices implements Balancer {
  readonly #line = new Line()
  readonly #random: () => number
  readonly #cost: (endpoint: Endpoint) => number

  constructor(random: () => number, cost: (endpoint: Endpoint) => number) {
    this.#random = random
    this.#cost = cost
  }

  arrange(candidates: readonly Endpoint[]): void {
    this.#line.arrange(candidates)
  }

  choose(): Endpoint {
    const { endpoints } = this.#line
    if (endpoints.length === 1) return endpoints[0]!
    const first = this.#line.draw(this.#random())
    const a = endpoints[first]!
    const b = endpoints[this.#line.drawOther(first, this.#random())]!
    return this.#cost(a) <= this.#cost(b) ? a : b
  }

  among(some: readonly Endpoint[]): Endpoint {
    return least(some, this.#random, this.#cost)
  }
}

class Random implements Balancer {
  readonly #line = new Line()
  readonly #random: () => number

  constructor(random: () => number) {
    this.#random = random
  }

  arrange(candidates: readonly Endpoint[]): void {
    this.#line.arrange(candidates)
  }

  choose(): Endpoint {
    return this.#line.endpoints[this.#line.draw(this.#random())]!
  }

  among(some: readonly Endpoint[]): Endpoint {
    return least(some, this.#random, load)
  }
}

/** Smooth weighted round robin (nginx): everybody gains its share a turn, the richest is chosen and pays the sum. */
class RoundRobin implements Balancer {
  readonly #line = new Line()
  readonly #random: () => number
  #total = 0

  constructor(random: () => number) {
    this.#random = random
  }

  arrange(candidates: readonly Endpoint[]): void {
    this.#line.arrange(candidates)
    this.#total = candidates.reduce((sum, { share }) => sum + share, 0)
  }

  choose(): Endpoint {
    const { endpoints } = this.#line
    let best = endpoints[0]!
    for (const endpoint of endpoints) {
      endpoint.turn += endpoint.share
      if (endpoint.turn > best.turn) best = endpoint
    }
    best.turn -= this.#total
    return best
  }

  among(some: readonly Endpoint[]): Endpoint {
    return least(some, this.#random, load)
  }
}
