/** Records as the columns of a Parquet file: the envelope, and typed columns of what could be decoded. */
import type { FormatName } from '../../../config/config.ts'
import type { Columns } from '../../payload/columns.ts'
import { format } from '../../payload/formats.ts'
import { columnsOf } from '../../payload/logged.ts'
import type { LoggedBody, LogRecord } from '../record.ts'
import { BODIES, byName, textOf } from './envelope.ts'
import type { Kind, TableColumn } from './table.ts'
import { type TypedColumns, TypedTable } from './typed.ts'

type Read = (record: LogRecord) => unknown
type Spec = readonly [name: string, kind: Kind, read: Read, depth?: number]

const safeInteger = (value: number): bigint | null => (Number.isSafeInteger(value) ? BigInt(value) : null)
const INT32 = 2 ** 31
const int32 = (value: number): number | null => (Number.isInteger(value) && Math.abs(value) < INT32 ? value : null)

/** What every file has; `route` is a partition, and so no column. */
const ENVELOPE: readonly Spec[] = [
  ['record_id', 'string', (r) => r.record_id],
  ['inference_id', 'string', (r) => r.inference_id],
  ['request_id', 'string', (r) => r.request_id],
  ['time', 'time', (r) => (Math.abs(r.time) <= 8.64e15 ? new Date(r.time) : null)],
  ['backend', 'string', (r) => r.backend],
  ['arm', 'string', (r) => r.arm],
  ['model', 'string', (r) => r.model],
  ['version', 'string', (r) => r.version],
  ['method', 'string', (r) => r.method],
  ['target', 'string', (r) => r.target],
  ['status', 'int32', (r) => int32(r.status)],
  ['reason', 'string', (r) => r.reason],
  ['flags', 'string', (r) => r.flags, 1],
  ['attempts', 'int32', (r) => int32(r.attempts)],
  ['fallback', 'string', (r) => r.fallback],
  ['duration_ms', 'double', (r) => r.duration_ms],
  ['backend_ms', 'double', (r) => r.backend_ms],
  ['format', 'string', (r) => r.format],
  ['request_headers', 'map', (r) => byName(r.request_headers)],
  ['response_headers', 'map', (r) => byName(r.response_headers)],
]

/** Of each body: its text where it is UTF-8, else its bytes; never both. */
const BODY: readonly (readonly [suffix: string, kind: Kind, read: (body: LoggedBody) => unknown, opaque?: boolean])[] = [
  ['', 'string', textOf, true],
  ['_bytes', 'bytes', (body) => (textOf(body) === null ? body.bytes : null), true],
  ['_type', 'string', ({ type }) => type],
  ['_encoding', 'string', ({ encoding }) => encoding],
  ['_length', 'int64', ({ length }) => safeInteger(length)],
  ['_truncated', 'boolean', ({ truncated }) => truncated],
]

/** Names that no typed column may have. */
export const RESERVED: readonly string[] = [...ENVELOPE.map(([name]) => name), ...BODIES.flatMap((body) => BODY.map(([suffix]) => `${body}${suffix}`)), 'rows', 'route', 'date', 'hour']

export function envelopeOf(records: readonly LogRecord[]): TableColumn[] {
  const columns: TableColumn[] = ENVELOPE.map(([name, kind, read, depth = 0]) => ({ name, kind, depth, part: (from, to) => records.slice(from, to).map(read) }))
  for (const body of BODIES) {
    for (const [suffix, kind, read, opaque = false] of BODY) {
      columns.push({ name: `${body}${suffix}`, kind, depth: 0, opaque, part: (from, to) => records.slice(from, to).map((record) => (record[body] === null ? null : read(record[body]))) })
    }
  }
  return columns
}

/** `rows`, and the typed columns of all records of one route. */
export function typedOf(records: readonly LogRecord[], known: TypedColumns): TableColumn[] {
  const table = new TypedTable(known)
  const rows = new Array<number | null>(records.length).fill(null)
  records.forEach((record, i) => {
    const typed = format(record.format as FormatName)?.typed ?? false
    read(() => decoded(record, record.sent ?? record.request, 'input'), (input) => (rows[i] = table.put(i, 'input', input, typed)))
    if (record.status >= 200 && record.status < 300) read(() => decoded(record, record.response, 'output'), (output) => table.put(i, 'output', output, typed))
  })
  return [{ name: 'rows', kind: 'int32', depth: 0, part: (from, to) => rows.slice(from, to) }, ...table.columns()]
}

/** What cannot be decoded has no typed columns: the body itself is there. */
function read(decode: () => Columns | null, put: (columns: Columns) => void): void {
  try {
    const columns = decode()
    if (columns !== null) put(columns)
  } catch {
    // A caller may send anything.
  }
}

/** null: there is no body, only a part of it, or the route has no format. @throws WeirError when it is not of the format */
function decoded({ format: name, request_headers, response_headers }: LogRecord, body: LoggedBody | null, side: 'input' | 'output'): Columns | null {
  if (body === null || body.truncated || body.bytes.length === 0) return null
  return columnsOf(name, side, { bytes: body.bytes, type: body.type, encoding: body.encoding, headers: side === 'input' ? request_headers : response_headers })
}
