/** Bodies that were kept, as columns: in a log there are fewer fields than on the wire. */
import type { FormatName } from '../../config/config.ts'
import { Fields } from '../headers.ts'
import { JSON_LENGTH } from './binary.ts'
import { decodedNow } from './coding.ts'
import type { Columns } from './columns.ts'
import { format } from './formats.ts'

/** A body that decodes to more is left as it is. */
const MAX_DECODED_BYTES = 64 << 20
const [BRACE, BRACE_END, QUOTE, BACKSLASH] = [0x7b, 0x7d, 0x22, 0x5c]

export interface Kept {
  /** As on the wire, content coding included. */
  readonly bytes: Buffer
  readonly type: string
  readonly encoding: string
  /** Fields that were kept, flat. */
  readonly headers: readonly string[]
}

/** @param name of the route's format, or '' @returns null: the route has none. @throws WeirError when the body is not of the format */
export function columnsOf(name: string, side: 'input' | 'output', { bytes: body, type, encoding, headers }: Kept): Columns | null {
  const reader = name === '' ? null : format(name as FormatName)
  if (reader === null) return null
  const fields = Fields.of([...(type === '' ? [] : ['content-type', type]), ...headers])
  const bytes = encoding === '' ? body : decodedNow(body, encoding, MAX_DECODED_BYTES)
  const decode = (): Columns => (side === 'input' ? reader.readRequest(bytes, fields) : reader.readAnswer(bytes, fields))
  try {
    return decode()
  } catch (error) {
    const length = reader.name === 'oip' && fields.get(JSON_LENGTH) === undefined ? jsonLength(bytes) : bytes.length
    if (length === bytes.length) throw error
    // Tensors behind the JSON, and the field that says so was not logged.
    fields.append(JSON_LENGTH, String(length))
    return decode()
  }
}

/** Where the JSON object at the beginning ends; all of it when there is none. */
function jsonLength(bytes: Buffer): number {
  if (bytes[0] !== BRACE) return bytes.length
  let depth = 0
  let text = false
  for (let i = 0; i < bytes.length; i++) {
    const byte = bytes[i]!
    if (text) {
      if (byte === BACKSLASH) i++
      else if (byte === QUOTE) text = false
    } else if (byte === QUOTE) text = true
    else if (byte === BRACE) depth++
    else if (byte === BRACE_END && --depth === 0) return i + 1
  }
  return bytes.length
}
