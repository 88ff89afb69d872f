/** The two ids of an exchange: the caller's `x-request-id`, kept when it is harmless, and weir's own UUIDv7. */
import { randomFillSync, randomUUID } from 'node:crypto'
import type { Clock } from '../clock.ts'

const VISIBLE = /^[!-~]{1,128}$/

/** Keeps 1–128 visible ASCII characters; anything else is replaced. @param make what a new one looks like */
export function requestIdFrom(incoming: string | undefined, make: () => string = randomUUID): string {
  return incoming !== undefined && VISIBLE.test(incoming) ? incoming : make()
}

/** Random bytes are drawn this many at a time: 409 ids. */
const POOL_BYTES = 4096
const RANDOM_BYTES = 10
/** One bit of 26 stays clear at the start of a millisecond, so that at least 2^25 ids fit into it. */
const COUNTER_LIMIT = 2 ** 26
/** A wall clock set back by more than this was wrong before: ids follow it, and the order of ids breaks once. */
const MAX_AHEAD_MS = 10_000

const HEX = Array.from({ length: 256 }, (_, byte) => byte.toString(16).padStart(2, '0'))

/**
 * A generator of UUIDv7 (RFC 9562, 5.7): 48 bits of Unix milliseconds, a 26-bit counter (6.2, method 1) that starts at random
 * in every millisecond, 48 random bits. Ids of one generator ascend as text, also while the wall clock stands or steps back a little.
 */
export function uuidv7(clock: Clock): () => string {
  const pool = new Uint8Array(POOL_BYTES)
  let at = POOL_BYTES
  let last = -1
  let counter = 0
  let prefix = ''

  function turnTo(ms: number): void {
    last = ms
    counter = ((pool[at]! << 24) | (pool[at + 1]! << 16) | (pool[at + 2]! << 8) | pool[at + 3]!) >>> 7
    const hex = ms.toString(16).padStart(12, '0')
    prefix = `${hex.slice(0, 8)}-${hex.slice(8)}-`
  }

  return () => {
    if (at + RANDOM_BYTES > POOL_BYTES) {
      randomFillSync(pool)
      at = 0
    }
    const now = Math.floor(clock.wall())
    if (now > last || now < last - MAX_AHEAD_MS) turnTo(now)
    else if (++counter >= COUNTER_LIMIT) turnTo(last + 1)
    const id =
      prefix + HEX[0x70 | (counter >>> 22)]! + HEX[(counter >>> 14) & 0xff]! + '-' +
      HEX[0x80 | ((counter >>> 8) & 0x3f)]! + HEX[counter & 0xff]! + '-' +
      HEX[pool[at + 4]!]! + HEX[pool[at + 5]!]! + HEX[pool[at + 6]!]! + HEX[pool[at + 7]!]! + HEX[pool[at + 8]!]! + HEX[pool[at + 9]!]!
    at += RANDOM_BYTES
    return id
  }
}
