/**
 * JSON as Python and TensorFlow Serving write it: with the tokens NaN, Infinity and -Infinity for numbers
 * (TF Serving, g3doc/api_rest.md, "JSON conformance"; Python's json module).
 */
import type { Code } from '../errors.ts'
import { type JsonKind, JsonReader } from './json.ts'

const TOKENS = [['NaN', Number.NaN], ['Infinity', Infinity], ['-Infinity', -Infinity]] as const

export class TokenReader extends JsonReader {
  readonly #body: Buffer
  /** The last number when it was a token. */
  #spelled: string | null = null

  constructor(body: Buffer, code: Code) {
    super(body, code)
    this.#body = body
  }

  override kind(): JsonKind {
    return this.#found() === null ? super.kind() : 'number'
  }

  override number(): number {
    const found = this.#found()
    this.#spelled = found === null ? null : found[0]
    if (found === null) return super.number()
    this.pos += found[0].length
    this.integral = false
    return found[1]
  }

  override get token(): string {
    return this.#spelled ?? super.token
  }

  #found(): (typeof TOKENS)[number] | null {
    const first = this.peek()
    const second = this.#body[this.pos + 1]
    // N, I, or a minus before an I.
    if (first !== 0x4e && first !== 0x49 && !(first === 0x2d && second === 0x49)) return null
    return TOKENS.find(([word]) => this.#body.toString('latin1', this.pos, this.pos + word.length) === word) ?? null
  }
}
