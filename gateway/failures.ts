/** What counts as failure of a target: the words of `on`, ready to be asked of answers and errors. */
import { codes, type WeirError } from './errors.ts'
import type { Answer, Leg } from './exchange.ts'
import { holdFlow } from './hold.ts'
import { decodedNow } from './payload/coding.ts'

/**
 * A word of `on`: a `Reason`, a status, `5xx`, `gateway-error`, or a status with the error code of a JSON body (`400:context_length_exceeded`).
 * Each adds to what the others match; where several match, the most exact one is the reason that is told.
 */
export type Word = string

/** Bytes of an answer that are looked at for its error code; also the limit of what they decode to. */
export const ERROR_BODY_BYTES = 65_536

export class Failures {
  readonly #reasons: ReadonlySet<string>
  readonly #statuses = new Map<number, Word>()
  /** By status, the words that also want an error code, by that code. */
  readonly #coded = new Map<number, Map<string, Word>>()
  /** The lowest status that any word matches: what is below, as most answers are, needs no further look. */
  readonly #lowest: number

  constructor(words: readonly Word[]) {
    this.#reasons = new Set(words)
    for (const word of words) {
      const [, status, code] = /^(\d{3})(?::(.+))?$/.exec(word) ?? []
      if (status === undefined) continue
      if (code === undefined) this.#statuses.set(Number(status), word)
      else this.#coded.set(Number(status), (this.#coded.get(Number(status)) ?? new Map<string, Word>()).set(code, word))
    }
    if (this.has('gateway-error')) for (const status of [502, 503, 504]) this.#addStatus(status, 'gateway-error')
    if (this.has('5xx')) for (let status = 500; status <= 599; status++) this.#addStatus(status, '5xx')
    this.#lowest = Math.min(...this.#statuses.keys(), ...this.#coded.keys())
  }

  #addStatus(status: number, word: Word): void {
    if (!this.#statuses.has(status)) this.#statuses.set(status, word)
  }

  has(word: Word): boolean {
    return this.#reasons.has(word)
  }

  /**
   * The word that this answer fails by, or null. Where its error code matters, its body is whole afterwards if it is short enough.
   * @returns a promise only when the body must be waited for. Rejects with what cut it, or stopped the leg
   */
  ofAnswer(answer: Answer, leg: Leg): Word | null | Promise<Word | null> {
    const { code, status, body } = answer
    if (code !== null) return this.#ofCode(code)
    if (status < this.#lowest) return null
    const words = this.#coded.get(status)
    if (words === undefined || body === null || answer.tunnel !== null) return this.#ofStatus(status)
    if (Buffer.isBuffer(body)) return words.get(errorCode(answer, body)) ?? this.#ofStatus(status)
    return holdFlow(body, leg, ERROR_BODY_BYTES).then((held) => {
      answer.body = held
      return (Buffer.isBuffer(held) ? words.get(errorCode(answer, held)) : undefined) ?? this.#ofStatus(status)
    })
  }

  ofError({ code }: WeirError): Word | null {
    return this.#ofCode(code)
  }

  #ofStatus(status: number): Word | null {
    return this.#statuses.get(status) ?? null
  }

  /** What the caller did is no failure of a target. */
  #ofCode(code: WeirError['code']): Word | null {
    const { reason, status } = codes[code]
    if (reason === 'aborted' || reason === 'local' || code === 'REQUEST_TIMEOUT') return null
    return this.has(reason) ? reason : this.#ofStatus(status)
  }
}

/** `error.code` of a JSON body, else `error.type`: the shapes of OpenAI, Azure and Anthropic. '' when it has neither. */
function errorCode({ fields }: Answer, body: Buffer): string {
  if (body.length > ERROR_BODY_BYTES) return ''
  try {
    const value = JSON.parse(decodedNow(body, fields.get('content-encoding'), ERROR_BODY_BYTES).toString()) as { error?: { code?: unknown; type?: unknown } | null } | null
    const code = value?.error?.code || value?.error?.type
    return typeof code === 'string' || typeof code === 'number' ? String(code) : ''
  } catch {
    // Not JSON, or in a coding that is not read here: it has no code.
    return ''
  }
}
