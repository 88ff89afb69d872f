/**
 * A strict JSON reader (RFC 8259) over the bytes of a body.
 *
 * Why not `JSON.parse`: it builds an array of a million boxed numbers before the first one can be checked, rounds
 * integers beyond 2^53, keeps the last of two equal keys, and says where it failed only in its own words. Here numbers
 * go from the bytes into a typed array, and whoever reads decides what is legal at that place.
 */
import { isUtf8 } from 'node:buffer'
import { type Code, WeirError } from '../errors.ts'
import { decimal, MORE, ROOM } from './floats.ts'
import { valueEnd } from './json_end.ts'

/** Deeper values are refused, also those nobody reads. */
export const MAX_DEPTH = 64
/** Texts up to this length are looked up among those read before. */
const MAX_KNOWN = 24
/** A power of two. */
const KNOWN = 512
/** Of a token in a message. */
const MAX_SHOWN = 40

const QUOTE = 0x22
const BACKSLASH = 0x5c
const COMMA = 0x2c
const COLON = 0x3a
const MINUS = 0x2d
const PLUS = 0x2b
const DOT = 0x2e
const ZERO = 0x30
const NINE = 0x39
const OPEN_ARRAY = 0x5b
const CLOSE_ARRAY = 0x5d
const OPEN_OBJECT = 0x7b
const CLOSE_OBJECT = 0x7d
/** What `peek` says at the end of the bytes. */
const END = -1

export type JsonKind = 'object' | 'array' | 'string' | 'number' | 'boolean' | 'null'

export class JsonReader {
  /** Byte offset of the next token. */
  pos = 0
  /** Whether the last `number()` was spelled without fraction and exponent. */
  integral = false
  readonly bytes: Buffer
  readonly #code: Code
  #start = 0

  /** @param code of the errors about the JSON itself */
  constructor(bytes: Buffer, code: Code) {
    this.bytes = bytes
    this.#code = code
    if (bytes.length === 0) throw new WeirError(code, 'expected a JSON body, found an empty one')
    if (!isUtf8(bytes)) throw new WeirError(code, 'the body is not UTF-8, which JSON must be')
  }

  get length(): number {
    return this.bytes.length
  }

  /** @throws WeirError that names the place and what is there */
  fail(expected: string): never {
    this.peek()
    throw new WeirError(this.#code, `invalid JSON at byte ${this.pos}: expected ${expected}, found ${this.#found()}`)
  }

  /** Skips white space. @returns the next byte, or -1 at the end */
  peek(): number {
    const c = this.bytes[this.pos]
    return c !== undefined && c > 0x20 ? c : this.#space()
  }

  #space(): number {
    const bytes = this.bytes
    let i = this.pos
    let c = bytes[i]
    while (c === 0x20 || c === 0x0a || c === 0x0d || c === 0x09) c = bytes[++i]
    this.pos = i
    return c ?? END
  }

  /** What the next value is. */
  kind(): JsonKind {
    const c = this.peek()
    if (c === OPEN_OBJECT) return 'object'
    if (c === OPEN_ARRAY) return 'array'
    if (c === QUOTE) return 'string'
    if (c === 0x74 || c === 0x66) return 'boolean'
    if (c === 0x6e) return 'null'
    if (c === MINUS || (c >= ZERO && c <= NINE)) return 'number'
    return this.fail('a value')
  }

  /** Nothing but white space may follow. */
  end(): void {
    if (this.peek() !== END) this.fail('the end of the body')
  }

  /** Enters an object. @returns false when it is empty (and then has been left) */
  enterObject(): boolean {
    if (this.peek() !== OPEN_OBJECT) this.fail('an object')
    this.pos++
    if (this.peek() !== CLOSE_OBJECT) return true
    this.pos++
    return false
  }

  /** After a member. @returns false when the object was left */
  nextMember(): boolean {
    return this.#more(CLOSE_OBJECT)
  }

  /** Calls `visit` with each key, which must read the value. */
  members(visit: (key: string) => void): void {
    if (!this.enterObject()) return
    do visit(this.key())
    while (this.nextMember())
  }

  /** A key and its colon. */
  key(): string {
    if (this.peek() !== QUOTE) this.fail('a key in quotes')
    const key = this.string()
    if (this.peek() !== COLON) this.fail(`':'`)
    this.pos++
    return key
  }

  /** Enters an array. @returns false when it is empty (and then has been left) */
  enterArray(): boolean {
    if (this.peek() !== OPEN_ARRAY) this.fail('an array')
    this.pos++
    if (this.peek() !== CLOSE_ARRAY) return true
    this.pos++
    return false
  }

  /** After an element. @returns false when the array was left */
  nextElement(): boolean {
    return this.#more(CLOSE_ARRAY)
  }

  #more(close: number): boolean {
    const c = this.peek()
    if (c !== COMMA && c !== close) this.fail(close === CLOSE_ARRAY ? `',' or ']'` : `',' or '}'`)
    this.pos++
    return c === COMMA
  }

  string(): string {
    const bytes = this.bytes
    if (this.peek() !== QUOTE) this.fail('a string')
    const start = this.pos + 1
    let i = start
    let c = bytes[i]
    let plain = true
    let hash = 0
    let high = 0
    while (c !== QUOTE) {
      if (c === undefined || c < 0x20) {
        this.pos = i
        this.fail('a closing quote (control characters must be escaped)')
      }
      if (c === BACKSLASH) {
        plain = false
        i++
      }
      hash = (Math.imul(hash, 31) + c) | 0
      high |= c
      c = bytes[++i]
    }
    this.pos = i + 1
    if (!plain) return this.#unescape(start, i)
    return high < 0x80 && i - start <= MAX_KNOWN ? knownText(bytes, start, i, hash) : bytes.toString('utf8', start, i)
  }

  #unescape(start: number, end: number): string {
    let text: string
    try {
      text = JSON.parse(this.bytes.toString('utf8', start - 1, end + 1)) as string
    } catch {
      this.pos = start - 1
      return this.fail('a string with valid escapes')
    }
    if (text.isWellFormed()) return text
    this.pos = start - 1
    return this.fail('a string without lone surrogates (they are no UTF-8)')
  }

  boolean(): boolean {
    const yes = this.peek() === 0x74
    this.#word(yes ? 'true' : 'false')
    return yes
  }

  null(): null {
    this.#word('null')
    return null
  }

  #word(word: string): void {
    this.peek()
    for (let i = 0; i < word.length; i++) if (this.bytes[this.pos + i] !== word.charCodeAt(i)) this.fail(word)
    this.pos += word.length
  }

  /** Nearest double; `integral` and `token` tell how it was spelled. Too large for a double gives Infinity. */
  number(): number {
    const bytes = this.bytes
    let c = this.peek()
    const start = (this.#start = this.pos)
    let i = start
    if (c === MINUS) c = bytes[++i] ?? END
    let mantissa = 0
    // Digits beyond fifteen, and how many.
    let low = 0
    let more = 0
    let scale = 0
    if (c === ZERO) c = bytes[++i] ?? END
    else {
      if (!(c >= 0x31 && c <= NINE)) this.fail('a number')
      do {
        if (mantissa < ROOM) mantissa = mantissa * 10 + (c - ZERO)
        else if (++more <= MORE) low = low * 10 + (c - ZERO)
        c = bytes[++i] ?? END
      } while (c >= ZERO && c <= NINE)
    }
    this.integral = true
    if (c === DOT) {
      this.integral = false
      c = bytes[++i] ?? END
      if (!(c >= ZERO && c <= NINE)) this.#failAt(i, 'a digit after the decimal point')
      do {
        if (mantissa < ROOM) mantissa = mantissa * 10 + (c - ZERO)
        else if (++more <= MORE) low = low * 10 + (c - ZERO)
        scale--
        c = bytes[++i] ?? END
      } while (c >= ZERO && c <= NINE)
    }
    if (c === 0x65 || c === 0x45) {
      this.integral = false
      c = bytes[++i] ?? END
      const down = c === MINUS
      if (down || c === PLUS) c = bytes[++i] ?? END
      if (!(c >= ZERO && c <= NINE)) this.#failAt(i, 'a digit in the exponent')
      let exponent = 0
      do {
        exponent = exponent * 10 + (c - ZERO)
        c = bytes[++i] ?? END
      } while (c >= ZERO && c <= NINE)
      scale += down ? -exponent : exponent
    }
    if (c >= ZERO && c <= NINE) this.#failAt(i, 'no digit after a leading zero')
    this.pos = i
    const value = decimal(mantissa, low, more, scale)
    if (Number.isNaN(value)) return Number(bytes.toString('latin1', start, i))
    return bytes[start] === MINUS ? -value : value
  }

  /** The last number as spelled, cut for a message. */
  get token(): string {
    const text = this.bytes.toString('latin1', this.#start, Math.min(this.pos, this.#start + MAX_SHOWN))
    return this.pos - this.#start > MAX_SHOWN ? `${text}…` : text
  }

  /** The last number, which was `integral`, exactly. @returns null when it has more than 20 characters: no 64-bit integer does */
  bigint(): bigint | null {
    return this.pos - this.#start > 20 ? null : BigInt(this.bytes.toString('latin1', this.#start, this.pos))
  }

  /** Reads over one value, whatever it is. */
  skip(depth = 0): void {
    const end = valueEnd(this.bytes, this.pos, MAX_DEPTH - depth)
    if (end < 0) this.#walk(depth)
    else this.pos = end
  }

  /** Slowly, to say what is wrong, or for words and escapes that need a second look; never in turns with the above, which would be a look a level. */
  #walk(depth: number): void {
    if (depth > MAX_DEPTH) this.fail(`at most ${MAX_DEPTH} levels`)
    switch (this.kind()) {
      case 'object':
        return this.members(() => this.#walk(depth + 1))
      case 'array':
        if (this.enterArray()) do this.#walk(depth + 1)
        while (this.nextElement())
        return
      case 'string':
        return void this.string()
      case 'number':
        return void this.number()
      case 'boolean':
        return void this.boolean()
      case 'null':
        return void this.null()
    }
  }

  /** The next value in words for a message; reads over it. */
  describe(): string {
    const kind = this.kind()
    if (kind === 'string') return `the string ${JSON.stringify(clip(this.string()))}`
    if (kind === 'number') {
      this.number()
      return this.token
    }
    if (kind === 'boolean') return String(this.boolean())
    this.skip()
    return kind === 'null' ? 'null' : `an ${kind}`
  }

  #failAt(pos: number, expected: string): never {
    this.pos = pos
    return this.fail(expected)
  }

  #found(): string {
    const c = this.bytes[this.pos]
    if (c === undefined) return 'the end'
    const rest = this.bytes.toString('utf8', this.pos, this.pos + 12)
    const word = /^-?(?:NaN|Infinity|inf)/i.exec(rest)
    if (word !== null) return `${word[0]}, which is not JSON`
    return c > 0x20 && c < 0x7f ? `'${String.fromCharCode(c)}'` : `byte 0x${c.toString(16).padStart(2, '0')}`
  }
}

/** Short texts that were read before, each in the slot of its hash: keys, names and types come again with every request. */
const known: string[] = new Array<string>(KNOWN).fill('')

/** ASCII bytes as a string, which costs more to make than to compare with one that is there. */
function knownText(bytes: Buffer, start: number, end: number, hash: number): string {
  const slot = (hash ^ (hash >>> 15)) & (KNOWN - 1)
  const text = known[slot]!
  const length = end - start
  if (text.length === length) {
    let i = 0
    while (i < length && text.charCodeAt(i) === bytes[start + i]) i++
    if (i === length) return text
  }
  return (known[slot] = bytes.toString('latin1', start, end))
}

/** A name from a caller, short enough for a message. */
export function clip(text: string): string {
  return text.length > MAX_SHOWN ? `${text.slice(0, MAX_SHOWN)}…` : text
}
