/** A record of weir's as the request it was. */
import { bodyColumns, bodyOf } from '../../profile/read/body.ts'
import type { Before, Read } from './item.ts'

/** What can be sent (`Calls` of the gateway). */
const METHODS: readonly string[] = ['GET', 'HEAD', 'PUT', 'POST', 'DELETE']
/** Written by whoever sends, or about another connection. */
const NOT_SENT: ReadonlySet<string> = new Set(['host', 'content-length', 'transfer-encoding', 'connection', 'keep-alive', 'te', 'trailer', 'upgrade', 'expect', 'x-request-id', 'content-type', 'content-encoding'])

/** What is read of a record in a table. */
export const COLUMNS: readonly string[] = [
  'record_id', 'request_id', 'route', 'format', 'method', 'target', 'time', 'status', 'reason', 'duration_ms', 'request_headers',
  ...['request', 'response'].flatMap(bodyColumns),
]

type Value = (key: string) => unknown
type Part = 'request' | 'response'

/**
 * @param value by name of the columns of the lake
 * @param written the bytes of a body as they stand in the file, where they are known
 */
export function recordItem(value: Value, written: (key: Part) => Buffer | null): Read {
  const method = text(value('method'))
  if (!METHODS.includes(method)) return { skipped: 'a method that is not sent again' }
  const status = Number(value('status'))
  if (status === 101) return { skipped: 'an upgrade' }
  const body = bodyOf(value, 'request', written('request'))
  // Of a request without a body nothing is said; one with a body that was not logged has a length or a type among its fields.
  if (body === undefined) return { skipped: 'the request was not logged whole' }
  if (body === null && (method === 'POST' || method === 'PUT')) return { skipped: 'the request was not logged whole' }
  return {
    id: text(value('request_id')),
    route: text(value('route')),
    format: text(value('format')),
    method,
    target: text(value('target')),
    headers: headersOf(value, body !== null),
    body,
    time: timeOf(value('time')),
    before: before(value, written, status),
  }
}

/** A caller that left, or an answer that was cut, is nothing to compare with. */
function before(value: Value, written: (key: Part) => Buffer | null, status: number): Before | null {
  const reason = text(value('reason'))
  if (status === 499 || reason === 'CALLER_LEFT') return null
  return { status, headers: described(value, 'response'), body: bodyOf(value, 'response', written('response')) ?? null, duration_ms: Number(value('duration_ms')) }
}

function headersOf(value: Value, hasBody: boolean): string[] {
  const headers = ['x-request-id', text(value('request_id'))]
  if (hasBody) headers.push(...described(value, 'request'))
  for (const [name, content] of Object.entries(fields(value('request_headers')))) if (!NOT_SENT.has(name)) headers.push(name, text(content))
  return headers
}

function described(value: Value, part: Part): string[] {
  const [type, encoding] = [text(value(`${part}_type`)), text(value(`${part}_encoding`))]
  return [...(type === '' ? [] : ['content-type', type]), ...(encoding === '' ? [] : ['content-encoding', encoding])]
}

/** An object, or one as text. */
function fields(value: unknown): Readonly<Record<string, unknown>> {
  if (typeof value === 'string') return fields(JSON.parse(value))
  return typeof value === 'object' && value !== null ? (value as Readonly<Record<string, unknown>>) : {}
}

function timeOf(value: unknown): number | null {
  const time = typeof value === 'string' ? Date.parse(value) : Number(value)
  return Number.isNaN(time) ? null : time
}

function text(value: unknown): string {
  return typeof value === 'string' ? value : ''
}
