/** Floating point numbers as the shortest JSON text that reads back to the same bits. */
import { POWERS } from './json.ts'

/** Within these magnitudes nine digits need at most 21 decimals, and 10^21 is an exact double. */
const FAST_MIN = 1e-13
const FAST_MAX = 1e9
/** Up to here value × 10^decimals is exact: 24 bits and the 28 bits of 5^12 are less than 53. */
const EXACT_DECIMALS = 12
/** Beyond, the product may be off by 2^-53, which only matters to a digit this close to a tie. */
const TIE = 1e-6
/** Nine significant digits tell every float32 apart. */
const DIGITS = 9

/**
 * Shortest decimal that reads back to the float32 `value` (which must be one, and finite). Of the shortest ones it is
 * the closest. `0.1` in float32 is 0.10000000149011612 as a double; printed as that it would look like another number.
 */
export function float32Text(value: number): string {
  if (Object.is(value, -0)) return '-0.0'
  const size = Math.abs(value)
  if (size === 0) return '0'
  return String(size >= FAST_MIN && size < FAST_MAX ? shorten(value, size) : shortenAny(value))
}

/** `value` must be finite. */
export function float64Text(value: number): string {
  return Object.is(value, -0) ? '-0.0' : String(value)
}

/** The double with the fewest digits that rounds to the same float32: its own shortest text is the one sought. */
function shorten(value: number, size: number): number {
  const exponent = Math.floor(Math.log10(size))
  for (let digits = 1; digits <= DIGITS; digits++) {
    const decimals = digits - 1 - exponent
    const power = POWERS[Math.abs(decimals)]!
    const scaled = decimals >= 0 ? size * power : size / power
    if (decimals > EXACT_DECIMALS && Math.abs(scaled - Math.floor(scaled) - 0.5) < TIE) break
    const whole = Math.round(scaled)
    const candidate = decimals >= 0 ? whole / power : whole * power
    if (Math.fround(candidate) === size) return value < 0 ? -candidate : candidate
  }
  return shortenAny(value)
}

/** For what is very large or small, or too close to a tie: `toPrecision` is exact, and slow. */
function shortenAny(value: number): number {
  for (let digits = 1; digits < DIGITS; digits++) {
    const candidate = Number(value.toPrecision(digits))
    if (Math.fround(candidate) === value) return candidate
  }
  return Number(value.toPrecision(DIGITS))
}

/** As `%f` of C prints a double: six decimals, halves to even, all digits of large numbers. */
export function fixedText(value: number): string {
  const size = Math.abs(value)
  if (!(size < 1e21)) return Number.isNaN(value) ? 'nan' : size === Infinity ? (value < 0 ? '-inf' : 'inf') : `${BigInt(value)}.000000`
  const text = halfway(size) ? size.toFixed(7).slice(0, -1) : size.toFixed(6)
  return value < 0 || Object.is(value, -0) ? `-${text}` : text
}

/** A double lies in the middle of two millionths when it is an odd number of 128ths; `toFixed` would round up, and the even one may be below. */
function halfway(size: number): boolean {
  return (size * 128) % 2 === 1 && (Number(size.toFixed(7).at(-2)) & 1) === 0
}
