/**
 * Receipts: what a prediction was, signed, so that whoever comes back with its label brings all that is needed to count it.
 *
 * Layout: base64url of a JSON array [id, route, time (Unix ms), model, group, rows, scores], a dot, base64url of HMAC-SHA256 of the text before
 * the dot under the name of this layout. Any of several secrets verifies, the first one signs: a key is changed by putting the new one first.
 */
import { createHmac, hash, timingSafeEqual } from 'node:crypto'

export interface Receipt {
  readonly id: string
  readonly route: string
  /** Of the prediction, Unix milliseconds. */
  readonly time: number
  /** `name/version`; '' = not known. */
  readonly model: string
  /** Name of the segment; '' = none of those listed. */
  readonly group: string
  readonly rows: number
  /** Row by row. */
  readonly scores: readonly number[]
}

const LAYOUT = 'weir receipt 1\n'
/** What a header field carries easily; longer answers get no receipt. */
export const MAX_RECEIPT_SCORES = 64
const MAX_LENGTH = 4096
const TEXT = /^[\w-]+\.[\w-]{43}$/

export function sign({ id, route, time, model, group, rows, scores }: Receipt, secret: string): string {
  const text = Buffer.from(JSON.stringify([id, route, time, model, group, rows, scores])).toString('base64url')
  return `${text}.${mac(text, secret).toString('base64url')}`
}

/** @returns null for what none of the secrets signed */
export function verify(text: string, secrets: readonly string[]): Receipt | null {
  if (text.length > MAX_LENGTH || !TEXT.test(text)) return null
  const dot = text.indexOf('.')
  const signed = text.slice(0, dot)
  const given = Buffer.from(text.slice(dot + 1), 'base64url')
  // All are tried: how long it takes does not tell which one it was.
  const known = secrets.map((secret) => timingSafeEqual(mac(signed, secret), given)).includes(true)
  if (!known) return null
  const [id, route, time, model, group, rows, scores] = JSON.parse(Buffer.from(signed, 'base64url').toString()) as [string, string, number, string, string, number, number[]]
  return { id, route, time, model, group, rows, scores }
}

function mac(text: string, secret: string): Buffer {
  return createHmac('sha256', secret).update(LAYOUT).update(text).digest()
}

/** In a time that does not depend on where they differ. */
export function sameText(a: string, b: string): boolean {
  return timingSafeEqual(hash('sha256', a, 'buffer'), hash('sha256', b, 'buffer'))
}
