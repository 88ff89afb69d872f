/**
 * Heads of HTTP/1.1 messages (RFC 9112), strictly: one scan over the received bytes, no regular expression, exact limits.
 *
 * Split-invariant: a head is judged when its last byte is there, or as soon as the bytes so far cannot become a valid one; what a
 * whole head means never depends on where the stream was cut. Whatever two readers could understand in two ways is refused.
 */
import { WeirError } from '../errors.ts'
import { Fields, set } from '../headers.ts'
import { dropNamed, Kind, kindAt, listHas } from './fields.ts'
import { fieldCount, scanFields, scanRequestLine, scanStatusLine, spots } from './scan.ts'
import { hasDotSegment, isAuthority } from './target.ts'

const CR = 13
const LF = 10
const SP = 32

export interface HeadLimits {
  /** Bytes of the whole head, start line and empty line included. */
  readonly head_bytes: number
  readonly fields: number
  readonly target_bytes: number
}

/** Body length: `>= 0` bytes, or one of these. */
export const CHUNKED = -2
export const UNTIL_CLOSE = -1

const NO_FIELDS = new Fields('', false)

/** End-to-end fields only; what frames the message or belongs to the connection has become a property. */
export class MessageHead {
  minor = 1
  fields = NO_FIELDS
  /** Bytes, `CHUNKED` or (answers) `UNTIL_CLOSE`. */
  length = 0
  /** The connection may carry another message after this one. */
  persistent = true
  /** Raw value of Upgrade, '' if none or (HTTP/1.1) not named by Connection. */
  upgrade = ''
  /** Where the next message begins in the scanned buffer. */
  end = 0

  /** Flat; a look at them costs. */
  get headers(): string[] {
    return this.fields.list
  }
}

export class RequestHead extends MessageHead {
  method = ''
  /** Origin form, or `*`. */
  target = ''
  /** As sent or as in an absolute target; '' for HTTP/1.0 without one. */
  host = ''
  expects = false
  /** The caller sent `TE: trailers`. */
  trailers = false
  /** `headers` holds X-Forwarded-* or the like. */
  forwarded = false
  /** `headers` holds one of the usual fields that tell a deadline. */
  timed = false
  /** The first `X-Request-Id`; it counts only when there is one. */
  requestId = ''
  requestIds = 0
  via = ''
}

export class AnswerHead extends MessageHead {
  status = 0
  phrase = ''
  /** Content-Length as stated, -1 if none; differs from `length` for HEAD, 204 and 304. */
  stated = -1
  /** `Keep-Alive: timeout=` in milliseconds, 0 if not given. */
  keepAliveMs = 0
}

/**
 * Reads a request head from `buffer[from, to)`.
 * @returns null when more bytes are needed
 * @throws WeirError with the 4xx/5xx to answer; the connection cannot be used after it
 */
export function readRequestHead(buffer: Buffer, from: number, to: number, limits: HeadLimits): RequestHead | null {
  // RFC 9112 §2.2: one empty line before a request line is forgiven, since old clients send one after a body.
  if (to - from >= 2 && buffer[from] === CR && buffer[from + 1] === LF) from += 2
  else if (to - from === 1 && buffer[from] === CR) return null
  const lineEnd = scanRequestLine(buffer, from, to, limits)
  if (lineEnd < 0) return null
  const end = scanFields(buffer, lineEnd, to, from, limits)
  if (end < 0) return null
  const head = new RequestHead()
  head.end = end
  const text = buffer.toString('latin1', from, end)
  readRequestLine(head, text, lineEnd - from)
  const reading = readFields(head, text, lineEnd - from)
  finishRequest(head, reading)
  return head
}

/**
 * Reads an answer head.
 * @param bodyless the request was a HEAD
 * @throws WeirError `BAD_ANSWER`
 */
export function readAnswerHead(buffer: Buffer, from: number, to: number, limits: HeadLimits, bodyless: boolean): AnswerHead | null {
  try {
    const lineEnd = scanStatusLine(buffer, from, to, limits)
    if (lineEnd < 0) return null
    const end = scanFields(buffer, lineEnd, to, from, limits)
    if (end < 0) return null
    const head = new AnswerHead()
    head.end = end
    const text = buffer.toString('latin1', from, end)
    head.minor = text.charCodeAt(7) - 48
    head.status = (text.charCodeAt(9) - 48) * 100 + (text.charCodeAt(10) - 48) * 10 + text.charCodeAt(11) - 48
    head.phrase = text.slice(13, lineEnd - from - 2)
    const reading = readFields(head, text, lineEnd - from)
    finishAnswer(head, reading, bodyless)
    return head
  } catch (error) {
    if (error instanceof WeirError && error.code !== 'BAD_ANSWER') throw new WeirError('BAD_ANSWER', `the backend's answer is malformed: ${error.message}`)
    throw error
  }
}

// ---------------------------------------------------------------- reading: what they mean

/** What the fields said about framing and connection, before it is judged. */
class Reading {
  contentLength = -1
  chunked = false
  connection = ''
  expect = ''
  upgrade = ''
  te = ''
  host = ''
  hosts = 0
  dated = false
  keepAlive = ''
}

/**
 * Sorts the fields: what goes through stays a block of lines, cut out of `text` in runs as long as possible; what frames or steers is read.
 * @param start where the first line begins
 */
function readFields(head: MessageHead, text: string, start: number): Reading {
  const reading = new Reading()
  let block = ''
  /** Where the run of lines that go through as they are began. */
  let run = start
  for (let at = 0, last = fieldCount * 4; at < last; at += 4) {
    const line = spots[at]!
    const colon = spots[at + 1]!
    const value = spots[at + 2]!
    const end = spots[at + 3]!
    const next = at + 4 < last ? spots[at + 4]! : text.length - 2
    const kind = kindAt(text, line, colon)
    const passes = kind === Kind.plain || readKnown(head, reading, kind, text.slice(line, colon), text.slice(value, end))
    if (passes && value === colon + 2 && text.charCodeAt(colon + 1) === SP && end + 2 === next) continue
    block += text.slice(run, line)
    if (passes) block += `${text.slice(line, colon)}: ${text.slice(value, end)}\r\n`
    run = next
  }
  block = block === '' ? text.slice(run, text.length - 2) : block + text.slice(run, text.length - 2)
  head.fields = head instanceof RequestHead ? new Fields(block, reading.hosts > 0, null, head.timed) : new Fields(block, reading.dated)
  return reading
}

/** @returns true if the field goes through */
function readKnown(head: MessageHead, reading: Reading, kind: number, name: string, value: string): boolean {
  switch (kind) {
    case Kind.content_length:
      if (reading.contentLength >= 0) throw new WeirError('BAD_FRAMING', 'more than one Content-Length')
      reading.contentLength = decimal(value)
      return false
    case Kind.transfer_encoding:
      if (reading.chunked) throw new WeirError('BAD_FRAMING', 'more than one Transfer-Encoding')
      if (value.length !== 7 || value.toLowerCase() !== 'chunked') throw badCoding(value)
      reading.chunked = true
      return false
    case Kind.host:
      reading.hosts++
      reading.host = value
      return true
    case Kind.date:
      reading.dated = true
      return true
    case Kind.own:
      // What only weir says of an answer, another gateway's included.
      return head instanceof RequestHead
    case Kind.connection:
      reading.connection = reading.connection === '' ? value : `${reading.connection},${value}`
      return false
    case Kind.expect:
      reading.expect = reading.expect === '' ? value : `${reading.expect},${value}`
      return false
    case Kind.upgrade:
      reading.upgrade = reading.upgrade === '' ? value : `${reading.upgrade},${value}`
      return false
    case Kind.te:
      reading.te = reading.te === '' ? value : `${reading.te},${value}`
      return false
    case Kind.keep_alive:
      reading.keepAlive = value
      return false
    case Kind.hop:
      return false
    case Kind.twin:
      if (head instanceof RequestHead) throw new WeirError('BAD_HEADER', `the header name "${name}" can be taken for "${name.replaceAll('_', '-')}"`)
      return true
    default:
      if (!(head instanceof RequestHead)) return kind !== Kind.request_id
      noteRequestField(head, kind, value)
      return true
  }
}

function noteRequestField(head: RequestHead, kind: number, value: string): void {
  if (kind === Kind.forwarded) head.forwarded = true
  else if (kind === Kind.deadline) head.timed = true
  else if (kind === Kind.request_id) {
    if (head.requestIds++ === 0) head.requestId = value
  } else head.via = head.via === '' ? value : `${head.via},${value}`
}

function badCoding(value: string): WeirError {
  const codings = value.toLowerCase().split(',').map((coding) => coding.trim())
  const known = codings.every((coding) => coding === 'gzip' || coding === 'deflate' || coding === 'compress' || coding === 'chunked')
  if (known && codings.at(-1) === 'chunked' && codings.indexOf('chunked') === codings.length - 1) return new WeirError('UNSUPPORTED_CODING')
  return new WeirError('BAD_FRAMING', 'the only transfer coding is `chunked`')
}

/** 1*DIGIT below 2^53. */
function decimal(value: string): number {
  if (value.length === 0 || value.length > 15) throw new WeirError('BAD_FRAMING', 'Content-Length is not a decimal number of bytes')
  let number = 0
  for (let i = 0; i < value.length; i++) {
    const digit = value.charCodeAt(i) - 48
    if (digit < 0 || digit > 9) throw new WeirError('BAD_FRAMING', 'Content-Length is not a decimal number of bytes')
    number = number * 10 + digit
  }
  return number
}

function readRequestLine(head: RequestHead, text: string, lineEnd: number): void {
  const space = text.indexOf(' ')
  head.method = text.slice(0, space)
  head.target = text.slice(space + 1, lineEnd - 11)
  head.minor = text.charCodeAt(lineEnd - 3) - 48
}

function finishRequest(head: RequestHead, reading: Reading): void {
  if (reading.chunked) {
    if (reading.contentLength >= 0) throw new WeirError('BAD_FRAMING', 'both Content-Length and Transfer-Encoding')
    if (head.minor === 0) throw new WeirError('BAD_FRAMING', 'Transfer-Encoding in HTTP/1.0')
    head.length = CHUNKED
  } else head.length = Math.max(0, reading.contentLength)
  checkHost(head, reading)
  if (head.target.charCodeAt(0) !== 0x2f) rewriteTarget(head, reading)
  if (hasDotSegment(head.target)) throw new WeirError('BAD_TARGET', 'the path holds a dot segment')
  finishConnection(head, reading)
  if (head.method === 'CONNECT' || head.method === 'TRACE') throw new WeirError('METHOD_NOT_SUPPORTED')
  if (reading.expect !== '') {
    if (reading.expect.toLowerCase() !== '100-continue') throw new WeirError('EXPECTATION_FAILED')
    head.expects = head.minor === 1 && head.length !== 0
  }
  head.trailers = reading.te !== '' && listHas(reading.te, 'trailers')
}

function checkHost(head: RequestHead, reading: Reading): void {
  if (reading.hosts === 0 && head.minor === 0) return
  if (reading.hosts !== 1) throw new WeirError('BAD_HOST', reading.hosts === 0 ? 'HTTP/1.1 needs a Host' : 'more than one Host')
  head.host = reading.host
  if (!isAuthority(reading.host)) throw new WeirError('BAD_HOST', 'Host is not host[:port]')
}

/** `*` for OPTIONS, and absolute form (RFC 9112 §3.2.2), whose authority must be the Host. */
function rewriteTarget(head: RequestHead, reading: Reading): void {
  const target = head.target
  if (target === '*') {
    if (head.method !== 'OPTIONS') throw new WeirError('BAD_TARGET', '`*` is for OPTIONS alone')
    return
  }
  // A CONNECT is refused as such, whatever its target.
  if (head.method === 'CONNECT') throw new WeirError('METHOD_NOT_SUPPORTED')
  const scheme = target.slice(0, 8).toLowerCase()
  const skip = scheme.startsWith('http://') ? 7 : scheme === 'https://' ? 8 : 0
  if (skip === 0) throw new WeirError('BAD_TARGET', 'the target is neither a path nor an absolute http url')
  let slash = skip
  while (slash < target.length && target[slash] !== '/' && target[slash] !== '?') slash++
  const authority = target.slice(skip, slash)
  if (!isAuthority(authority)) throw new WeirError('BAD_HOST', 'the authority of the target is not host[:port]')
  if (reading.hosts === 1 && reading.host.toLowerCase() !== authority.toLowerCase()) throw new WeirError('BAD_HOST', 'Host differs from the authority of the target')
  head.host = authority
  if (reading.hosts === 1) set(head.headers, 'host', authority)
  else head.headers.unshift('Host', authority)
  const rest = target.slice(slash)
  head.target = rest.startsWith('/') ? rest : `/${rest}`
}

function finishConnection(head: MessageHead, reading: Reading): void {
  const connection = reading.connection
  // In HTTP/1.0 there is no upgrade (RFC 9110 §7.8); it is kept to be refused.
  if (head.minor === 0) head.upgrade = reading.upgrade
  if (connection === '') {
    head.persistent = head.minor === 1
    return
  }
  if (head.minor === 1) head.persistent = !listHas(connection, 'close')
  else head.persistent = listHas(connection, 'keep-alive') && !listHas(connection, 'close')
  if (reading.upgrade !== '' && head.minor === 1 && listHas(connection, 'upgrade')) head.upgrade = reading.upgrade
  const simple = connection.length === 5 || connection.length === 10 ? connection.toLowerCase() : ''
  if (simple !== 'close' && simple !== 'keep-alive') dropNamed(head.headers, connection)
}

function finishAnswer(head: AnswerHead, reading: Reading, bodyless: boolean): void {
  if (reading.chunked && reading.contentLength >= 0) throw new WeirError('BAD_ANSWER', 'the backend sent both Content-Length and Transfer-Encoding')
  if (reading.chunked && head.minor === 0) throw new WeirError('BAD_ANSWER', 'the backend sent Transfer-Encoding in HTTP/1.0')
  head.stated = reading.contentLength
  finishConnection(head, reading)
  if (reading.keepAlive !== '') head.keepAliveMs = keepAliveOf(reading.keepAlive)
  const announced = reading.chunked || reading.contentLength > 0
  if (head.status < 200 && announced) throw new WeirError('BAD_ANSWER', 'the backend sent an informational answer with a body')
  if (bodyless || head.status < 200 || head.status === 204 || head.status === 304) {
    head.length = 0
    // A body where there can be none (RFC 9110 §8.6): what follows on this connection cannot be trusted.
    if (!bodyless && (reading.chunked || (announced && head.status === 204))) head.persistent = false
    return
  }
  if (reading.chunked) head.length = CHUNKED
  else if (reading.contentLength >= 0) head.length = reading.contentLength
  else {
    head.length = UNTIL_CLOSE
    head.persistent = false
  }
}

/** `timeout=5, max=100` → 5000; 0 when it says nothing usable. */
function keepAliveOf(value: string): number {
  for (const part of value.split(',')) {
    const [name, number] = part.split('=')
    if (name?.trim().toLowerCase() !== 'timeout' || number === undefined) continue
    const seconds = Number(number.trim())
    if (Number.isInteger(seconds) && seconds >= 0 && seconds < 1e6) return Math.max(1, seconds * 1000)
  }
  return 0
}
