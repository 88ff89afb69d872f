/** Floating point numbers as the shortest JSON text that reads back to the same bits. */
import { POWERS } from './json.ts'

/** Within these magnitudes nine digits need at most 12 decimals, and value × 10^12 is exact: 24 bits + 28 bits of 5^12 < 53. */
const FAST_MIN = 1e-4
const FAST_MAX = 1e9
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
  for (let digits = 1; digits < DIGITS; digits++) {
    const decimals = digits - 1 - exponent
    const candidate = decimals >= 0 ? Math.round(size * POWERS[decimals]!) / POWERS[decimals]! : Math.round(size / POWERS[-decimals]!) * POWERS[-decimals]!
    if (Math.fround(candidate) === size) return value < 0 ? -candidate : candidate
  }
  return Number(value.toPrecision(DIGITS))
}

function shortenAny(value: number): number {
  for (let digits = 1; digits < DIGITS; digits++) {
    const candidate = Number(value.toPrecision(digits))
    if (Math.fround(candidate) === value) return candidate
  }
  return Number(value.toPrecision(DIGITS))
}
