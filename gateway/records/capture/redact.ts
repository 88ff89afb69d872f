/**
 * Takes values out of a body before it touches a disk. Their bytes become `"[redacted]"`, all other bytes stay as they were.
 *
 * What cannot be read for certain is not kept at all: a body that is cut, is no JSON, is in a coding that is not read here, or decodes to
 * too much. JSON, NDJSON and the `data:` lines of server-sent events are read.
 */
import { WeirError } from '../../errors.ts'
import { decodedNow } from '../../payload/coding.ts'
import type { Places } from './paths.ts'
import { pathSpans, type Span, tableSpans } from './spans.ts'

export const REDACTED = '[redacted]'
const MARK = Buffer.from(`"${REDACTED}"`)
const NEWLINE = 0x0a

/** @param encoding content-encoding or '' @param most decoded bytes @returns the body decoded and redacted; null = it must not be kept */
export function redacted(body: Buffer, type: string, encoding: string, places: Places, most: number): Buffer | null {
  if (body.length === 0) return body
  try {
    const bytes = encoding === '' ? body : decodedNow(body, encoding, most)
    if (/^text\/event-stream\b/i.test(type)) return lines(bytes, (line) => eventLine(line, places))
    return /ndjson|jsonl/i.test(type) ? lines(bytes, (line) => (line.toString('latin1').trim() === '' ? line : json(line, places))) : json(bytes, places)
  } catch {
    return null
  }
}

/** Each line by itself. */
function lines(bytes: Buffer, read: (line: Buffer) => Buffer): Buffer {
  const out: Buffer[] = []
  for (let at = 0; at < bytes.length; ) {
    const newline = bytes.indexOf(NEWLINE, at)
    const end = newline < 0 ? bytes.length : newline + 1
    out.push(read(bytes.subarray(at, end)))
    at = end
  }
  return Buffer.concat(out)
}

/** A line of a stream of events. Data that is spread over lines is no JSON in any of them. */
function eventLine(line: Buffer, places: Places): Buffer {
  const text = line.toString('latin1')
  // A carriage return alone ends a line too.
  if (/\r(?!\n?$)/.test(text)) throw new WeirError('BAD_BODY', 'expected one line')
  if (/^(:|event:|id:|retry:|data:? *(\[DONE\])?\r?\n?$|\r?\n?$)/.test(text)) return line
  if (!text.startsWith('data:')) throw new WeirError('BAD_BODY', 'expected a field of an event')
  return Buffer.concat([line.subarray(0, 5), json(line.subarray(5), places)])
}

function json(bytes: Buffer, { paths, columns }: Places): Buffer {
  const spans = pathSpans(bytes, paths)
  if (columns.size > 0) spans.push(...tableSpans(bytes, columns))
  return spans.length === 0 ? bytes : spliced(bytes, spans)
}

/** Spans may lie in each other, as a value in the row that holds it; the outermost counts. */
function spliced(bytes: Buffer, spans: Span[]): Buffer {
  const out: Buffer[] = []
  let at = 0
  for (const [from, to] of spans.toSorted((a, b) => a[0] - b[0] || b[1] - a[1])) {
    if (from < at) continue
    out.push(bytes.subarray(at, from), MARK)
    at = to
  }
  out.push(bytes.subarray(at))
  return Buffer.concat(out)
}
