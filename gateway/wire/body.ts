/**
 * Bodies of HTTP/1.1 messages (RFC 9112 §6–7): by length, chunked, or until the connection closes.
 * A `BodyReader` is a state machine over received bytes: any cut of the stream gives the same bytes out and the same end.
 */
import { WeirError } from '../errors.ts'
import { mayTrail, TOKEN, VALUE } from './fields.ts'
import { CHUNKED, UNTIL_CLOSE } from './head.ts'

const CR = 13
const LF = 10
const SP = 32
const HT = 9
const COLON = 58
const SEMICOLON = 59
const EQUALS = 61
const QUOTE = 34
const BACKSLASH = 92

/** Chunk extensions and trailers of one message, bytes each; more is refused (CVE-2024-22019). */
export const MAX_EXTENSION_BYTES = 4096
export const MAX_TRAILER_BYTES = 8192
export const MAX_TRAILERS = 64

// States of the chunked decoder: what the next byte must be.
const SIZE = 0
const SIZE_LF = 1
const EXTENSION_START = 2
const EXTENSION_NAME = 3
const EXTENSION_VALUE = 4
const EXTENSION_TOKEN = 5
const EXTENSION_QUOTED = 6
const EXTENSION_ESCAPED = 7
const EXTENSION_END = 8
const DATA = 9
const DATA_CR = 10
const DATA_LF = 11
const TRAILER_START = 12
const TRAILER_NAME = 13
const TRAILER_VALUE = 14
const TRAILER_LF = 15
const END_LF = 16

/** Takes the bytes of a body. The chunk is a view on the receive buffer: valid during the call only. */
export interface BodyTaker {
  bodyData(chunk: Buffer): void
}

export class BodyReader {
  /** The whole body has been read. */
  done: boolean
  /** Flat, forbidden names gone; null until trailers were read. */
  trailers: string[] | null = null
  readonly #chunked: boolean
  #left: number
  #state = SIZE
  #digits = 0
  #extensionBytes = 0
  #trailerBytes = 0
  #name = ''
  #value = ''

  /** @param length bytes, `CHUNKED` or `UNTIL_CLOSE` */
  constructor(length: number) {
    this.#chunked = length === CHUNKED
    this.#left = length === UNTIL_CLOSE ? Number.POSITIVE_INFINITY : this.#chunked ? 0 : length
    this.done = length === 0
  }

  /**
   * Reads body bytes from `buffer[from, to)` and hands them to `taker`.
   * @returns the offset of the first byte that is not of this body
   * @throws WeirError `BAD_FRAMING`
   */
  read(buffer: Buffer, from: number, to: number, taker: BodyTaker): number {
    if (this.#chunked) return this.#readChunked(buffer, from, to, taker)
    const take = Math.min(this.#left, to - from)
    this.#left -= take
    if (this.#left === 0) this.done = true
    if (take > 0) taker.bodyData(buffer.subarray(from, from + take))
    return from + take
  }

  #readChunked(b: Buffer, from: number, to: number, taker: BodyTaker): number {
    let i = from
    while (i < to && !this.done) {
      if (this.#state === DATA) {
        const take = Math.min(this.#left, to - i)
        this.#left -= take
        if (this.#left === 0) this.#state = DATA_CR
        taker.bodyData(b.subarray(i, i + take))
        i += take
      } else this.#step(b[i++]!)
    }
    return i
  }

  #step(c: number): void {
    switch (this.#state) {
      case SIZE:
        return this.#size(c)
      case SIZE_LF:
        expectByte(c, LF, 'a chunk size line')
        this.#digits = 0
        this.#state = this.#left === 0 ? TRAILER_START : DATA
        return
      case DATA_CR:
        expectByte(c, CR, 'a chunk')
        this.#state = DATA_LF
        return
      case DATA_LF:
        expectByte(c, LF, 'a chunk')
        this.#state = SIZE
        return
      case END_LF:
        expectByte(c, LF, 'a chunked body')
        this.done = true
        return
      default:
        return this.#state < DATA ? this.#extended(c) : this.#trailer(c)
    }
  }

  #size(c: number): void {
    const digit = hexDigit(c)
    if (digit >= 0) {
      // 12 digits: 2^48 bytes, exact in a double.
      if (++this.#digits > 12) throw new WeirError('BAD_FRAMING', 'a chunk size has more than 12 digits')
      this.#left = this.#left * 16 + digit
      return
    }
    if (this.#digits === 0) throw new WeirError('BAD_FRAMING', 'a chunk size is not a hexadecimal number')
    if (c === CR) this.#state = SIZE_LF
    else if (c === SEMICOLON) this.#state = EXTENSION_START
    else throw new WeirError('BAD_FRAMING', 'a chunk size is not a hexadecimal number')
  }

  /** `;name`, `;name=token`, `;name="quoted"`: skipped, but read by the grammar, since others may. White space between them is refused. */
  #extended(c: number): void {
    if (++this.#extensionBytes > MAX_EXTENSION_BYTES) throw new WeirError('BAD_FRAMING', `more than ${MAX_EXTENSION_BYTES} bytes of chunk extensions`)
    this.#state = afterExtension(this.#state, c)
  }

  #trailer(c: number): void {
    if (++this.#trailerBytes > MAX_TRAILER_BYTES) throw new WeirError('BAD_FRAMING', `more than ${MAX_TRAILER_BYTES} bytes of trailers`)
    switch (this.#state) {
      case TRAILER_START:
        if (c === CR) {
          this.#state = END_LF
          return
        }
        if (TOKEN[c] !== 1) throw new WeirError('BAD_FRAMING', 'a trailer line does not begin with a name')
        this.#name = String.fromCharCode(c)
        this.#state = TRAILER_NAME
        return
      case TRAILER_NAME:
        if (c === COLON) {
          this.#value = ''
          this.#state = TRAILER_VALUE
        } else if (TOKEN[c] === 1) this.#name += String.fromCharCode(c)
        else throw new WeirError('BAD_FRAMING', 'a trailer name holds a byte that is not allowed')
        return
      case TRAILER_VALUE:
        if (c === CR) this.#state = TRAILER_LF
        else if (VALUE[c] === 1) this.#value += String.fromCharCode(c)
        else throw new WeirError('BAD_FRAMING', 'a trailer value holds a control character')
        return
      default:
        expectByte(c, LF, 'a trailer line')
        this.#keepTrailer()
        this.#state = TRAILER_START
    }
  }

  #keepTrailer(): void {
    if (!mayTrail(this.#name)) return
    this.trailers ??= []
    if (this.trailers.length >= MAX_TRAILERS * 2) throw new WeirError('BAD_FRAMING', `more than ${MAX_TRAILERS} trailers`)
    this.trailers.push(this.#name, trim(this.#value))
  }
}

/** The state behind byte `c` of an extension. */
function afterExtension(state: number, c: number): number {
  const token = TOKEN[c] === 1
  switch (state) {
    case EXTENSION_START:
      if (token) return EXTENSION_NAME
      break
    case EXTENSION_NAME:
      if (token) return EXTENSION_NAME
      if (c === EQUALS) return EXTENSION_VALUE
      return afterWhole(c)
    case EXTENSION_VALUE:
      if (c === QUOTE) return EXTENSION_QUOTED
      if (token) return EXTENSION_TOKEN
      break
    case EXTENSION_TOKEN:
      return token ? EXTENSION_TOKEN : afterWhole(c)
    case EXTENSION_QUOTED:
      if (c === QUOTE) return EXTENSION_END
      if (c === BACKSLASH) return EXTENSION_ESCAPED
      if (isText(c)) return EXTENSION_QUOTED
      break
    case EXTENSION_ESCAPED:
      if (isText(c)) return EXTENSION_QUOTED
      break
    default:
      return afterWhole(c)
  }
  throw badExtension()
}

function afterWhole(c: number): number {
  if (c === CR) return SIZE_LF
  if (c === SEMICOLON) return EXTENSION_START
  throw badExtension()
}

/** ASCII that may stand in a quoted string. */
function isText(c: number): boolean {
  return VALUE[c] === 1 && c < 0x80
}

function badExtension(): WeirError {
  return new WeirError('BAD_FRAMING', 'a chunk extension is not `;name` or `;name=value`')
}

function expectByte(c: number, expected: number, where: string): void {
  if (c !== expected) throw new WeirError('BAD_FRAMING', `${where} does not end with CR LF`)
}

function hexDigit(c: number): number {
  if (c >= 0x30 && c <= 0x39) return c - 0x30
  const lower = c | 0x20
  return lower >= 0x61 && lower <= 0x66 ? lower - 0x57 : -1
}

function trim(value: string): string {
  let start = 0
  let end = value.length
  while (start < end && (value.charCodeAt(start) === SP || value.charCodeAt(start) === HT)) start++
  while (end > start && (value.charCodeAt(end - 1) === SP || value.charCodeAt(end - 1) === HT)) end--
  return value.slice(start, end)
}
