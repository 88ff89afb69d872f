/** Reading messages with the pure codec, whole or cut anywhere, into plain results that can be compared. */
import { WeirError } from '../../gateway/errors.ts'
import { BodyReader } from '../../gateway/wire/body.ts'
import { type AnswerHead, type HeadLimits, type MessageHead, readAnswerHead, readRequestHead, type RequestHead } from '../../gateway/wire/head.ts'

export const LIMITS: HeadLimits = { head_bytes: 16_384, fields: 100, target_bytes: 8192 }

export const latin1 = (text: string): Buffer => Buffer.from(text, 'latin1')

/** What a reader made of a stream of bytes. */
export interface Reading {
  readonly messages: readonly Message[]
  /** Why reading stopped; null when it waits for more. */
  readonly code: string | null
  /** A message began and is not whole. */
  readonly waiting: boolean
  /** Bytes that belong to whole messages. */
  readonly consumed: number
}

export interface Message {
  readonly head: Record<string, unknown>
  readonly body: string
  readonly trailers: readonly string[] | null
}

type Kind = 'request' | 'answer'

/**
 * Reads message after message as a connection does: what is left of a piece is kept and put before the next.
 * @param bodyless an answer to HEAD
 */
export class StreamReader {
  readonly #kind: Kind
  readonly #limits: HeadLimits
  readonly #bodyless: boolean
  readonly messages: Message[] = []
  code: string | null = null
  consumed = 0
  /** Bytes kept for later: bounded by the limits of a head. */
  kept: Buffer = Buffer.alloc(0)
  #head: MessageHead | null = null
  #headBytes = 0
  #bodyBytes = 0
  #reader: BodyReader | null = null
  #body: Buffer[] = []

  constructor(kind: Kind, limits: HeadLimits = LIMITS, bodyless = false) {
    this.#kind = kind
    this.#limits = limits
    this.#bodyless = bodyless
  }

  push(piece: Buffer): void {
    if (this.code !== null) return
    let at = 0
    const bytes = this.kept.length === 0 ? piece : Buffer.concat([this.kept, piece])
    this.kept = Buffer.alloc(0)
    try {
      while (at < bytes.length) {
        const next = this.#reader === null ? this.#readHead(bytes, at) : this.#readBody(bytes, at)
        if (next < 0) break
        if (next < at || next > bytes.length) throw new Error(`a reader went from ${at} to ${next} of ${bytes.length}`)
        at = next
      }
    } catch (error) {
      if (!(error instanceof WeirError)) throw error
      this.code = error.code
    }
  }

  /** The stream is over. */
  result(): Reading {
    return { messages: this.messages, code: this.code, waiting: this.code === null && (this.#reader !== null || this.kept.length > 0), consumed: this.consumed }
  }

  #readHead(bytes: Buffer, at: number): number {
    const head: RequestHead | AnswerHead | null =
      this.#kind === 'request' ? readRequestHead(bytes, at, bytes.length, this.#limits) : readAnswerHead(bytes, at, bytes.length, this.#limits, this.#bodyless)
    if (head === null) {
      this.kept = Buffer.from(bytes.subarray(at))
      return -1
    }
    this.#head = head
    this.#headBytes = head.end - at
    this.#body = []
    this.#bodyBytes = 0
    this.#reader = new BodyReader(head.length)
    if (this.#reader.done) this.#whole()
    return head.end
  }

  #readBody(bytes: Buffer, at: number): number {
    const reader = this.#reader!
    const next = reader.read(bytes, at, bytes.length, { bodyData: (chunk) => void this.#body.push(Buffer.from(chunk)) })
    this.#bodyBytes += next - at
    if (reader.done) this.#whole()
    return next
  }

  #whole(): void {
    const { end: _, ...head } = this.#head!
    this.messages.push({ head, body: Buffer.concat(this.#body).toString('latin1'), trailers: this.#reader!.trailers })
    this.consumed += this.#headBytes + this.#bodyBytes
    this.#reader = null
    this.#head = null
  }
}

/** Reads `data` cut at `cuts`. */
export function read(kind: Kind, data: Buffer, cuts: readonly number[] = [], limits: HeadLimits = LIMITS, bodyless = false): Reading {
  const reader = new StreamReader(kind, limits, bodyless)
  let from = 0
  for (const cut of [...new Set(cuts)].sort((a, b) => a - b).filter((cut) => cut > 0 && cut < data.length)) {
    reader.push(data.subarray(from, cut))
    from = cut
  }
  reader.push(data.subarray(from))
  return reader.result()
}

/** Every cut into two, and every byte by itself. */
export function everyCut(data: Buffer): number[][] {
  const each = Array.from({ length: Math.max(0, data.length - 1) }, (_, i) => i + 1)
  return [...each.map((cut) => [cut]), each]
}

/** A request head, whole. @throws when it is not whole */
export function requestHead(text: string, limits: HeadLimits = LIMITS): RequestHead {
  const data = latin1(text)
  const head = readRequestHead(data, 0, data.length, limits)
  if (head === null) throw new Error('the head is not whole')
  return head
}

export function answerHead(text: string, bodyless = false, limits: HeadLimits = LIMITS): AnswerHead {
  const data = latin1(text)
  const head = readAnswerHead(data, 0, data.length, limits, bodyless)
  if (head === null) throw new Error('the head is not whole')
  return head
}

/** The code that reading `text` ends with; null when it does not. */
export function codeOf(run: () => unknown): string | null {
  try {
    run()
    return null
  } catch (error) {
    if (error instanceof WeirError) return error.code
    throw error
  }
}
