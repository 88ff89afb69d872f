/** What every sink writes of a record, under the same names: the columns of a Parquet file are the keys of a line of JSON. */
import { isUtf8 } from 'node:buffer'
import type { Log } from '../../plugin.ts'
import type { LoggedBody, LogRecord } from '../record.ts'

/** The bodies of a record. `sent` is the request as the backend got it, where plugins changed it. */
export const BODIES = ['request', 'sent', 'response'] as const

/** Fields as an object: names in lower case; what came in several lines is one value with commas (RFC 9110, 5.3). @param flat `[name, value, …]` */
export function byName(flat: readonly string[]): Record<string, string> {
  const named: Record<string, string> = Object.create(null) as Record<string, string>
  for (let i = 0; i + 1 < flat.length; i += 2) {
    const name = flat[i]!.toLowerCase()
    named[name] = name in named ? `${named[name]}, ${flat[i + 1]}` : flat[i + 1]!
  }
  return named
}

/** The body as text; null when its bytes are none. */
export function textOf({ bytes }: LoggedBody): string | null {
  return isUtf8(bytes) ? bytes.toString('utf8') : null
}

/** The body as it stands when it is JSON, in one line; else null. Numbers, keys and their order stay as they were written. */
export function jsonOf(body: LoggedBody): string | null {
  const text = body.truncated || body.bytes.length === 0 ? null : textOf(body)
  if (text === null) return null
  try {
    JSON.parse(text)
  } catch {
    return null
  }
  // In valid JSON a line break is white space: within strings it is escaped.
  return text.replace(/[\r\n]+/g, ' ')
}

/** The largest time of ECMAScript, milliseconds. */
const MAX_TIME = 8.64e15

/** ISO 8601, UTC, milliseconds. @param time Unix milliseconds; what is no time is 1970 */
export function timeText(time: number): string {
  return new Date(Math.abs(time) <= MAX_TIME ? time : 0).toISOString()
}

/** Where the file of a record lies. @returns day `YYYY-MM-DD` and hour `HH`, UTC */
export function hourOf(time: number): { readonly date: string; readonly hour: string } {
  const text = timeText(time)
  return { date: text.slice(0, 10), hour: text.slice(11, 13) }
}

/** A name as one segment of a path. Names of routes are safe; what an old spool holds may be anything. */
export function segment(name: string): string {
  const safe = name.slice(0, 100).replace(/[^A-Za-z0-9_.-]/g, '_')
  return safe === '' || safe.startsWith('.') ? `_${safe}` : safe
}

/** Where the rows of a record lie in a lake, Hive's way: readers take the names for columns. */
export function partitionOf({ route, time }: LogRecord): string {
  const { date, hour } = hourOf(time)
  return `route=${segment(route)}/date=${date}/hour=${hour}`
}

/**
 * The record as one line of JSON. `time` is ISO 8601; fields of heads are objects. A body that is JSON stands there as it is; any other
 * one, or a part of one, as `{"base64": …}`, and `<body>_base64` is true then. `<body>_type`, `_encoding`, `_length` and `_truncated` are
 * there where the body is.
 */
export function lineOf(record: LogRecord): string {
  const { request, sent, response, time, request_headers, response_headers, ...rest } = record
  const bodies: string[] = []
  const about: Record<string, unknown> = {}
  for (const [name, body] of [['request', request], ['sent', sent], ['response', response]] as const) {
    if (body === null) {
      bodies.push(`,"${name}":null`)
      continue
    }
    const json = jsonOf(body)
    bodies.push(`,"${name}":${json ?? `{"base64":"${body.bytes.toString('base64')}"}`}`)
    about[`${name}_type`] = body.type
    about[`${name}_encoding`] = body.encoding
    about[`${name}_length`] = body.length
    about[`${name}_truncated`] = body.truncated
    about[`${name}_base64`] = json === null
  }
  const head = JSON.stringify({ ...rest, time: timeText(time), request_headers: byName(request_headers), response_headers: byName(response_headers), ...about })
  return `${head.slice(0, -1)}${bodies.join('')}}\n`
}

/** The line; null where there is none, which no further attempt changes, so it is told. @param sink its name */
export function writableLine(record: LogRecord, sink: string, log: Log): string | null {
  try {
    return lineOf(record)
  } catch (error) {
    log.warn('a record cannot be written as JSON', { sink, record_id: record.record_id, reason: (error as Error).message })
    return null
  }
}
