/**
 * Consistent hashing with bounded loads: the same key goes to the same endpoint as long as that is there and not too busy.
 *
 * Idea: weighted rendezvous hashing (Thaler & Ravishankar 1998; Schindelhauer & Schomaker 2005): every endpoint draws −ln(u) / weight with u
 * from key and endpoint, the smallest draw wins: adding or removing an endpoint moves its own keys only, at any weights. Bounded
 * (Mirrokni, Thorup & Zadimoghaddam 2018): an endpoint takes at most ⌈1.25 × its share of all requests in flight, the new one included⌉;
 * a key whose endpoint is full goes to its next best. One SHA-256 a request, the rest is arithmetic on 32-bit words.
 */
import type { Outgoing } from '../exchange.ts'
import { hash53 } from '../stats/hash.ts'
import type { Balancer } from './balance.ts'
import type { Endpoint } from './endpoint.ts'

const BOUND = 1.25
const TWO_32 = 2 ** 32

export class Hashing implements Balancer {
  readonly #key: (x: Outgoing) => string | undefined
  /** For exchanges without the key. */
  readonly #keyless: Balancer
  readonly #seeds = new WeakMap<Endpoint, number>()
  #candidates: readonly Endpoint[] = []

  constructor(key: (x: Outgoing) => string | undefined, keyless: Balancer) {
    this.#key = key
    this.#keyless = keyless
  }

  arrange(candidates: readonly Endpoint[]): void {
    this.#candidates = candidates
    this.#keyless.arrange(candidates)
  }

  choose(x: Outgoing): Endpoint {
    const key = this.#key(x)
    return key === undefined ? this.#keyless.choose(x) : this.#bounded(this.#candidates, key)
  }

  among(some: readonly Endpoint[], x: Outgoing): Endpoint {
    const key = this.#key(x)
    return key === undefined ? this.#keyless.among(some, x) : this.#bounded(some, key)
  }

  #bounded(some: readonly Endpoint[], key: string): Endpoint {
    let shares = 0
    let requests = 1
    for (const endpoint of some) {
      shares += endpoint.share
      requests += endpoint.inFlight
    }
    const point = hash53(key)
    const perShare = (BOUND * requests) / shares
    let best = some[0]!
    let smallest = Infinity
    for (const endpoint of some) {
      if (endpoint.inFlight >= Math.ceil(perShare * endpoint.share)) continue
      const draw = -Math.log(mixed(point, this.#seed(endpoint))) / endpoint.share
      if (draw < smallest) {
        best = endpoint
        smallest = draw
      }
    }
    return best
  }

  #seed(endpoint: Endpoint): number {
    let seed = this.#seeds.get(endpoint)
    if (seed === undefined) this.#seeds.set(endpoint, (seed = hash53(endpoint.identity)))
    return seed
  }
}

/** Uniform in (0, 1), from two integers of 53 bits. */
function mixed(key: number, seed: number): number {
  const low = avalanche((key | 0) ^ (seed | 0))
  const high = avalanche(((key / TWO_32) | 0) ^ ((seed / TWO_32) | 0) ^ low)
  return ((high >>> 0) * 2 ** 20 + (low >>> 12) + 0.5) / 2 ** 52
}

/** The finalizer of MurmurHash3: every bit of the word changes half of the others. */
function avalanche(word: number): number {
  word = Math.imul(word ^ (word >>> 16), 0x85ebca6b)
  word = Math.imul(word ^ (word >>> 13), 0xc2b2ae35)
  return word ^ (word >>> 16)
}
