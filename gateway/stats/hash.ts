/**
 * A number in (0, 1) for a text: the same in every process, on every machine, in every language.
 *
 * Idea: SHA-256 (FIPS 180-4) of the UTF-8 bytes, the first 53 bits of the digest, big-endian, as h; u = (h + ½) / 2⁵³.
 * 53 bits are what a double holds exactly; the half keeps both ends open, so that logarithms are finite.
 */
import { hash } from 'node:crypto'

const TWO_53 = 2 ** 53

/** The first 53 bits of the SHA-256 of `text`: an integer in [0, 2⁵³). */
export function hash53(text: string): number {
  const hex = hash('sha256', text, 'hex')
  const high = Number.parseInt(hex.slice(0, 8), 16)
  const low = Number.parseInt(hex.slice(8, 14), 16) >>> 3
  return high * 2 ** 21 + low
}

/** Uniform in (0, 1), both ends excluded. */
export function uniform(text: string): number {
  return Math.min((hash53(text) + 0.5) / TWO_53, 1 - Number.EPSILON / 2)
}
