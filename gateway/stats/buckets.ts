/**
 * Token buckets for many keys in a fixed piece of shared memory, without locks.
 *
 * Idea: the generic cell rate algorithm (ITU-T I.371, as a virtual scheduling algorithm): a bucket is one number, the
 * time at which it will be full again. A token costs `interval`; the bucket holds `burst` tokens.
 * Layout: a hash table of sets of 8 cells. A cell is one 64-bit word, `tag(20) | time(44)`, so that finding, filling and
 * replacing a bucket are each one compare-and-swap, and threads never wait for each other. 0 is an empty cell.
 * Time is in sixteenths of a microsecond modulo 2⁴⁴ (12.7 days). A time further ahead than a bucket can be has passed and reads
 * as a full bucket.
 * Error: two keys share a bucket when set and tag collide (7 in a million for a key of a full set). When a set is full the fullest
 * bucket makes room: the key that has waited longest, which loses the least by being forgotten. Intervals are rounded to
 * ticks: below 0.4 % up to 100,000 tokens a second. A key that comes back after 12.7 days to the second may find its old bucket.
 */
import { hash } from 'node:crypto'

const WAYS = 8
const TIME_BITS = 44n
const TIME_MASK = (1n << TIME_BITS) - 1n
const WRAP = 2 ** 44
const TICKS_A_MS = 16_000
/** How far the clocks of two threads may differ, ticks: a second. */
const SKEW = 1000 * TICKS_A_MS
/** Swaps that may be lost to other threads before a token is let through. */
const MAX_TRIES = 64

export interface Taken {
  /** Milliseconds until a token is there; 0 = one was taken. */
  readonly wait_ms: number
  /** Another key's bucket, not yet full, was forgotten. */
  readonly evicted: boolean
}

export function bucketBytes(keys: number): number {
  return Math.ceil(keys / WAYS) * WAYS * 8
}

export class Buckets {
  readonly #cells: BigInt64Array
  readonly #sets: number
  /** Ticks a token costs. */
  readonly #interval: number
  /** Ticks a full bucket is worth, less one token. */
  readonly #slack: number

  /** @param memory `bucketBytes(keys)` long, zeroed when new. @param perSecond tokens. @param burst tokens a full bucket holds, from 1 */
  constructor(memory: SharedArrayBuffer, perSecond: number, burst: number) {
    this.#cells = new BigInt64Array(memory)
    this.#sets = this.#cells.length / WAYS
    this.#interval = Math.max(1, Math.round((1000 * TICKS_A_MS) / perSecond))
    this.#slack = Math.round((burst - 1) * this.#interval)
  }

  /** Takes one token. @param now milliseconds, of a clock all threads share */
  take(key: string, now: number): Taken {
    const digest = hash('sha256', key, 'hex')
    const first = (Number.parseInt(digest.slice(0, 12), 16) % this.#sets) * WAYS
    // Never 0, so that a used cell is never an empty one.
    const tag = BigInt(Number.parseInt(digest.slice(12, 17), 16) || 1)
    const ticks = Math.floor(now * TICKS_A_MS) % WRAP
    for (let attempt = 0; attempt < MAX_TRIES; attempt++) {
      const taken = this.#try(first, tag, ticks)
      if (taken !== null) return taken
    }
    return { wait_ms: 0, evicted: false }
  }

  /** @returns null when another thread was faster */
  #try(first: number, tag: bigint, now: number): Taken | null {
    const at = this.#find(first, tag, now)
    const word = Atomics.load(this.#cells, at)
    const own = tagOf(word) === tag
    const ahead = own ? this.#ahead(word, now) : 0
    if (ahead > this.#slack) return { wait_ms: (ahead - this.#slack) / TICKS_A_MS, evicted: false }
    const full = BigInt((now + ahead + this.#interval) % WRAP)
    const swapped = Atomics.compareExchange(this.#cells, at, word, BigInt.asIntN(64, (tag << TIME_BITS) | full)) === word
    return swapped ? { wait_ms: 0, evicted: !own && this.#ahead(word, now) > 0 } : null
  }

  /** The key's own cell, else the fullest bucket of its set. */
  #find(first: number, tag: bigint, now: number): number {
    let fullest = first
    let least = Infinity
    for (let at = first; at < first + WAYS; at++) {
      const word = Atomics.load(this.#cells, at)
      if (tagOf(word) === tag) return at
      const ahead = this.#ahead(word, now)
      if (ahead < least) {
        least = ahead
        fullest = at
      }
    }
    return fullest
  }

  /** Ticks until the bucket is full; 0 = it is. */
  #ahead(word: bigint, now: number): number {
    if (word === 0n) return 0
    const ahead = (Number(word & TIME_MASK) - now + WRAP) % WRAP
    return ahead > this.#slack + this.#interval + SKEW ? 0 : ahead
  }
}

function tagOf(word: bigint): bigint {
  return BigInt.asUintN(64, word) >> TIME_BITS
}
