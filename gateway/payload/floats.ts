/** Decimal numbers of a JSON array straight into a typed array: the loop that decides how fast JSON tensors are read. */

/** 10^0 … 10^22 are exact doubles: with a mantissa below 2^53 one multiplication or division rounds correctly (Clinger 1990). */
export const POWERS = Array.from({ length: 23 }, (_, i) => Number(`1e${i}`))
/** Below, one more digit still makes at most fifteen, which always fit into 53 bits. */
export const ROOM = 1e14
const ROOM_FOR_FOUR = 1e11
const FULL = 1e15
/** 2^27 + 1 splits a double in halves whose products are exact. */
const SPLIT = 134_217_729
/** Digits beyond fifteen that `quotient` takes. */
export const MORE = 4

/**
 * Reads the usual numbers of one array and stops before anything else (more digits than a double holds, white space
 * before a comma, an error): the general reader takes that one element, and tells what is wrong with it.
 */
export class FloatScan {
  /** Offset of the element it stopped at, or behind the closing bracket. */
  pos = 0
  /** Elements of `data` that are filled. */
  count = 0
  readonly #bytes: Uint8Array
  readonly #view: DataView

  /** @param bytes JSON */
  constructor(bytes: Uint8Array) {
    this.#bytes = bytes
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  }

  /**
   * @param pos where an element is expected @param data filled from `count` on
   * @returns true when the array was left
   */
  run(pos: number, data: Float32Array | Float64Array, count: number): boolean {
    const single = data instanceof Float32Array
    const bytes = this.#bytes
    const view = this.#view
    const end = bytes.length
    for (;;) {
      this.pos = pos
      this.count = count
      let i = pos
      let c = bytes[i]!
      while (c === 0x20 || c === 0x0a || c === 0x0d || c === 0x09) c = bytes[++i]!
      const negative = c === 0x2d
      if (negative) c = bytes[++i]!
      let mantissa = 0
      let scale = 0
      // Digits beyond fifteen, and how many: those that `quotient` takes, and all.
      let low = 0
      let more = 0
      if (c === 0x30) c = bytes[++i]!
      else {
        if (!(c >= 0x31 && c <= 0x39)) return false
        do {
          mantissa = mantissa * 10 + (c - 0x30)
          c = bytes[++i]!
        } while (c >= 0x30 && c <= 0x39)
        if (mantissa >= FULL) return false
      }
      if (c === 0x2e) {
        c = bytes[++i]!
        if (!(c >= 0x30 && c <= 0x39)) return false
        while (mantissa < ROOM_FOR_FOUR && i + 4 <= end) {
          const four = fourDigits(view.getUint32(i, true))
          if (four < 0) break
          mantissa = mantissa * 10_000 + four
          scale += 4
          i += 4
        }
        c = bytes[i]!
        while (c >= 0x30 && c <= 0x39) {
          if (mantissa < ROOM) {
            mantissa = mantissa * 10 + (c - 0x30)
            scale++
          } else if (++more <= MORE) low = low * 10 + (c - 0x30)
          c = bytes[++i]!
        }
      }
      if (c === 0x65 || c === 0x45) {
        c = bytes[++i]!
        const down = c === 0x2d
        if (down || c === 0x2b) c = bytes[++i]!
        if (!(c >= 0x30 && c <= 0x39)) return false
        let exponent = 0
        do {
          exponent = exponent * 10 + (c - 0x30)
          c = bytes[++i]!
        } while (c >= 0x30 && c <= 0x39)
        scale += down ? exponent : -exponent
      }
      if ((c !== 0x2c && c !== 0x5d) || scale > 22 || scale < -22) return false
      let value = scaled(mantissa, scale)
      if (more > 0) {
        // The number lies between this value and that of the next mantissa. Where both are the same float32, so is it.
        if (!single || Math.fround(value) !== Math.fround(scaled(mantissa + 1, scale))) {
          value = decimal(mantissa, low, more, -scale - more)
          if (Number.isNaN(value)) return false
        }
      }
      if (negative) value = -value
      data[count] = value
      // Beyond FP32: the general reader says so. (FP64 cannot get there with 15 digits and 22 zeros.)
      if (single && (data[count] === Infinity || data[count] === -Infinity)) return false
      count++
      pos = i + 1
      if (c === 0x5d) {
        this.pos = pos
        this.count = count
        return true
      }
    }
  }
}

/** @param word four bytes, the first one lowest @returns their value, -1 when they are not all digits */
function fourDigits(word: number): number {
  // All high halves are 3, and stay so when 6 is added: no byte is beyond 9.
  if (((word & 0xf0f0f0f0) | 0) !== 0x30303030 || (((word + 0x06060606) & 0xf0f0f0f0) | 0) !== 0x30303030) return -1
  const digits = word & 0x0f0f0f0f
  const pairs = (Math.imul(digits, 10) + (digits >>> 8)) & 0x00ff00ff
  return (Math.imul(pairs, 100) + (pairs >>> 16)) & 0xffff
}

/**
 * `mantissa`, the `more` digits `low` behind it, × 10^`scale`, as the nearest double.
 * @returns NaN when it cannot be had without all digits @see quotient
 */
export function decimal(mantissa: number, low: number, more: number, scale: number): number {
  if (scale < -22 || scale > 22 || more > MORE) return Number.NaN
  if (more === 0) return scaled(mantissa, -scale)
  return scale > 0 ? Number.NaN : quotient(mantissa, low, more, -scale)
}

/**
 * (`high` × 10^`count` + `low`) / 10^`scale` as the nearest double, for numbers of up to 19 digits: the quotient and what remains of it
 * in twice the precision of a double (Dekker 1971).
 * @param high whole, below 10^15 @param low whole, below 10^`count` @param count 1 to 4 @param scale 0 to 22
 * @returns NaN when it lies too close to the middle of two doubles to be sure
 */
function quotient(high: number, low: number, count: number, scale: number): number {
  const product = high * POWERS[count]!
  const near = product + low
  // near + left is the whole number exactly.
  const left = product - near + low + productError(high, POWERS[count]!, product)
  const power = POWERS[scale]!
  const first = near / power
  const back = first * power
  const second = (near - back - productError(first, power, back) + left) / power
  // What was rounded on the way to `second` is less than this part of it.
  const slack = Math.abs(second) * 1e-15
  const value = first + (second - slack)
  return value === first + (second + slack) ? value : Number.NaN
}

/** What `product` = a × b lost by rounding, exactly. */
function productError(a: number, b: number, product: number): number {
  const aHigh = a * SPLIT - (a * SPLIT - a)
  const bHigh = b * SPLIT - (b * SPLIT - b)
  const aLow = a - aHigh
  const bLow = b - bHigh
  return aLow * bLow - (product - aHigh * bHigh - aLow * bHigh - aHigh * bLow)
}

function scaled(mantissa: number, scale: number): number {
  return scale === 0 ? mantissa : scale > 0 ? mantissa / POWERS[scale]! : mantissa * POWERS[-scale]!
}
