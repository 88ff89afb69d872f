/** Floating point numbers as the shortest JSON text that reads back to the same bits. */
import { POWERS } from './floats.ts'

/** Within these magnitudes nine digits need at most 22 decimals, and 10^22 is an exact double. */
const FAST_MIN = 1e-13
const FAST_MAX = 1e9
/** Below, JavaScript writes an exponent, and so do we. */
const PLAIN_MIN = 1e-6
/** Nine significant digits tell every float32 apart. */
const DIGITS = 9
const NINE_DIGITS = 1e9
/** Whole numbers below have as their shortest text all their digits: the next float32 is 1 away or less. */
const WHOLE = 2 ** 24
/** A scaled number may be off by 2^-53 of itself, which only matters to a digit this close to a tie. */
const TIE = 1e-6
/** No text is longer: `-0.00000` and nine digits, with a comma. */
const MAX_TEXT = 20
/** Bytes that are made before they become a piece of the text. */
const PIECE = 16_384

const piece = Buffer.alloc(PIECE)
const float = new Float32Array(1)
const bits = new Uint32Array(float.buffer)

/** Decimals that make nine digits of the smallest number with a binary exponent (biased by 127). */
const decimalsOf = Int32Array.from({ length: 256 }, (_, exponent) => DIGITS - 1 - Math.floor(Math.log10(2 ** (exponent - 127))))

/** What `shorten` found: `digits` / 10^`decimals`. Fields and no object, because it is called for every element. */
let digits = 0
let decimals = 0

/**
 * Shortest decimal that reads back to the float32 `value` (which must be one, and finite). Of the shortest ones it is
 * the closest. `0.1` in float32 is 0.10000000149011612 as a double; printed as that it would look like another number.
 */
export function float32Text(value: number): string {
  if (Object.is(value, -0)) return '-0.0'
  if (!shorten(Math.abs(value))) return String(shortenExactly(value))
  const size = decimals < 0 ? digits * POWERS[-decimals]! : digits / POWERS[decimals]!
  return String(value < 0 ? -size : size)
}

/** `value` must be finite. */
export function float64Text(value: number): string {
  return Object.is(value, -0) ? '-0.0' : String(value)
}

/**
 * All of them with commas between.
 * @param wrong called with the index of a number that is not finite, which JSON cannot carry; throws
 */
export function float32Texts(data: Float32Array, wrong: (index: number) => never): string {
  let text = ''
  let at = 0
  for (let i = 0; i < data.length; i++) {
    const value = data[i]!
    if (at > PIECE - MAX_TEXT) {
      text += piece.toString('latin1', 0, at)
      at = 0
    }
    if (i > 0) piece[at++] = 0x2c
    const size = Math.abs(value)
    if ((size === 0 || size >= PLAIN_MIN) && !Object.is(value, -0) && shorten(size)) {
      if (value < 0) piece[at++] = 0x2d
      at = plain(at)
    } else if (size < Infinity) at += piece.write(float32Text(value), at, 'latin1')
    else wrong(i)
  }
  return text + piece.toString('latin1', 0, at)
}

/**
 * Finds the shortest digits of a float32 of everyday size (zero too).
 * @returns false for others, and where the arithmetic of doubles is too close to a tie
 */
function shorten(size: number): boolean {
  if (!((size >= FAST_MIN || size === 0) && size < FAST_MAX)) return false
  if (size < WHOLE && size === Math.floor(size)) {
    digits = size
    decimals = 0
    return true
  }
  if (isPowerOfTwo(size)) return false
  let places = decimalsOf[bits[0]! >>> 23]!
  let scaled = places < 0 ? size / POWERS[-places]! : size * POWERS[places]!
  if (scaled >= NINE_DIGITS) scaled = --places < 0 ? size / POWERS[-places]! : size * POWERS[places]!
  let best = Math.round(scaled)
  let step = 1
  // Nine digits read back; each digit less is tried until one does not. (All nine gone: 0.999… became 1.)
  for (let fewer = 10; fewer <= NINE_DIGITS; fewer *= 10) {
    const exact = scaled / fewer
    const shorter = Math.round(exact)
    if (!readsBack(shorter, places - 1, size)) {
      // Too close to tell which of two is nearer: it may be the other one that reads back.
      if (nearTie(exact, shorter) && readsBack(exact < shorter ? shorter - 1 : shorter + 1, places - 1, size)) return false
      break
    }
    best = shorter
    step = fewer
    places--
  }
  if (nearTie(scaled / step, best)) return false
  digits = best
  decimals = places
  return true
}

function readsBack(digits: number, places: number, size: number): boolean {
  return Math.fround(places < 0 ? digits * POWERS[-places]! : digits / POWERS[places]!) === size
}

function nearTie(exact: number, whole: number): boolean {
  return Math.abs(exact - whole) > 0.5 - TIE
}

/**
 * Below a power of two floats lie closer than above: there the closest decimal of some length may not read back though one of fewer
 * digits, farther on the other side, does. Leaves the bits of `size` in `bits`.
 */
function isPowerOfTwo(size: number): boolean {
  float[0] = size
  return (bits[0]! & 0x7fffff) === 0
}

/** Writes what `shorten` found, without exponent. @returns where it ends */
function plain(at: number): number {
  let rest = decimals < 0 ? digits * POWERS[-decimals]! : digits
  let whole = decimals <= 0 ? rest : Math.floor(rest / POWERS[decimals]!)
  let end = at + 1
  for (let limit = 10; whole >= limit; limit *= 10) end++
  let i = end
  if (decimals > 0) {
    rest -= whole * POWERS[decimals]!
    end += decimals + 1
    i = end
    for (let k = 0; k < decimals; k++) {
      const next = (rest / 10) | 0
      piece[--i] = 0x30 + rest - next * 10
      rest = next
    }
    piece[--i] = 0x2e
  }
  do {
    const next = (whole / 10) | 0
    piece[--i] = 0x30 + whole - next * 10
    whole = next
  } while (i > at)
  return end
}

/** For what is very large or small, or too close to a tie: `toPrecision` is exact, and slow. */
function shortenExactly(value: number): number {
  const upward = isPowerOfTwo(Math.abs(value))
  let best = Number(value.toPrecision(DIGITS))
  for (let i = 1; i < DIGITS; i++) {
    const candidate = Number(value.toPrecision(upward ? i : DIGITS - i))
    const same = Math.fround(candidate) === value
    if (upward && same) return candidate
    if (!upward && !same) return best
    if (same) best = candidate
  }
  return best
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
