/** One pass over the bytes of a head: where things are, and whether the bytes are allowed. What they mean is `head.ts`'s to say. */
import { WeirError } from '../errors.ts'
import { TARGET, TOKEN, VALUE } from './fields.ts'
import type { HeadLimits } from './head.ts'

const CR = 13
const LF = 10
const SP = 32
const HT = 9
const COLON = 58

/** Offsets of one head: name start, colon, value start, value end, for every field. One scratch for the thread; a scan is synchronous. */
export let spots = new Int32Array(4 * 128)
/** How many fields the last scan found. */
export let fieldCount = 0

export function scanRequestLine(b: Buffer, from: number, to: number, limits: HeadLimits): number {
  let i = from
  while (i < to && TOKEN[b[i]!] === 1) i++
  if (i - from > 64) throw new WeirError('BAD_REQUEST_LINE', 'the method is longer than 64 bytes')
  if (i === to) return -1
  if (i === from || b[i] !== SP) throw new WeirError('BAD_REQUEST_LINE', 'a request line begins with a method and one space')
  const target = ++i
  while (i < to && TARGET[b[i]!] === 1) i++
  if (i - target > limits.target_bytes) throw new WeirError('TARGET_TOO_LONG', `the target is longer than ${limits.target_bytes} bytes`)
  if (i === to) return -1
  if (b[i] !== SP || i === target) throw badTarget(b, i, target)
  return scanVersion(b, i + 1, to)
}

function badTarget(b: Buffer, at: number, target: number): WeirError {
  if (b[at] === CR || b[at] === LF || at === target) return new WeirError('BAD_REQUEST_LINE', 'a request line is `METHOD target HTTP/1.1`')
  return new WeirError('BAD_TARGET', `the target holds byte 0x${b[at]!.toString(16).padStart(2, '0')} at offset ${at - target}`)
}

const VERSION = Buffer.from('HTTP/1.')

function scanVersion(b: Buffer, from: number, to: number): number {
  const known = Math.min(to - from, 10)
  for (let k = 0; k < known; k++) {
    const c = b[from + k]!
    if (k < 5 ? c !== VERSION[k] : false) throw new WeirError('BAD_REQUEST_LINE', 'a request line ends with HTTP/1.1 or HTTP/1.0')
    if (k === 5 && c !== 0x31) throw new WeirError('HTTP_VERSION')
    if (k === 6 && c !== 0x2e) throw new WeirError('HTTP_VERSION')
    if (k === 7 && c !== 0x30 && c !== 0x31) throw new WeirError('HTTP_VERSION')
    if (k === 8 && c !== CR) throw new WeirError('BAD_REQUEST_LINE', 'a request line ends with CR LF right after the version')
    if (k === 9 && c !== LF) throw new WeirError('BAD_REQUEST_LINE', 'a request line ends with CR LF right after the version')
  }
  return known < 10 ? -1 : from + 10
}

export function scanStatusLine(b: Buffer, from: number, to: number, limits: HeadLimits): number {
  const known = Math.min(to - from, 13)
  for (let k = 0; k < known; k++) {
    const c = b[from + k]!
    const fine =
      k < 7 ? c === VERSION[k] : k === 7 ? c === 0x30 || c === 0x31 : k === 8 ? c === SP : k === 9 ? c >= 0x31 && c <= 0x35 : k < 12 ? c >= 0x30 && c <= 0x39 : c === SP || c === CR
    if (!fine) throw new WeirError('BAD_ANSWER', 'the backend did not answer with an HTTP/1.1 status line')
  }
  if (known < 13) return -1
  let i = from + 12
  while (i < to && VALUE[b[i]!] === 1) if (++i - from > limits.head_bytes) throw new WeirError('BAD_ANSWER', 'the status line is too long')
  if (i === to) return -1
  if (b[i] !== CR) throw new WeirError('BAD_ANSWER', 'the reason phrase holds a control character')
  if (i + 1 === to) return -1
  if (b[i + 1] !== LF) throw new WeirError('BAD_ANSWER', 'a CR without LF in the status line')
  return i + 2
}

/** @returns the offset behind the empty line, or -1 when it has not come yet */
export function scanFields(b: Buffer, from: number, to: number, start: number, limits: HeadLimits): number {
  const last = start + limits.head_bytes
  const stop = to < last ? to : last
  let i = from
  let count = 0
  for (;;) {
    if (i >= stop) break
    if (b[i] === CR) {
      if (i + 1 >= stop) break
      if (b[i + 1] !== LF) throw new WeirError('BAD_HEADER', 'a CR without LF')
      fieldCount = count
      return i + 2
    }
    if (count === limits.fields) throw new WeirError('HEAD_TOO_LARGE', `more than ${limits.fields} header fields`)
    const name = i
    while (i < stop && TOKEN[b[i]!] === 1) i++
    if (i >= stop) break
    if (b[i] !== COLON || i === name) throw badName(b, i, name)
    const colon = i++
    while (i < stop && (b[i] === SP || b[i] === HT)) i++
    const value = i
    while (i < stop && VALUE[b[i]!] === 1) i++
    if (i >= stop) break
    if (b[i] !== CR) throw badValue(b[i]!)
    if (i + 1 >= stop) break
    if (b[i + 1] !== LF) throw badValue(CR)
    let end = i
    while (end > value && (b[end - 1] === SP || b[end - 1] === HT)) end--
    const at = count * 4
    if (at === spots.length) growSpots()
    spots[at] = name - start
    spots[at + 1] = colon - start
    spots[at + 2] = value - start
    spots[at + 3] = end - start
    count++
    i += 2
  }
  if (stop === last) throw new WeirError('HEAD_TOO_LARGE', `the head is larger than ${limits.head_bytes} bytes`)
  return -1
}

function growSpots(): void {
  const grown = new Int32Array(spots.length * 2)
  grown.set(spots)
  spots = grown
}

function badValue(byte: number): WeirError {
  return new WeirError('BAD_HEADER', `a header value holds byte 0x${byte.toString(16).padStart(2, '0')}`)
}

function badName(b: Buffer, at: number, name: number): WeirError {
  const c = b[at]!
  if (at === name && (c === SP || c === HT)) return new WeirError('BAD_HEADER', 'a header line begins with white space (folding is not allowed)')
  if (c === COLON) return new WeirError('BAD_HEADER', 'a header without a name')
  if (c === SP || c === HT) return new WeirError('BAD_HEADER', 'white space between a header name and its colon')
  if (c === CR || c === LF) return new WeirError('BAD_HEADER', 'a header line without a colon, or a line end that is not CR LF')
  return new WeirError('BAD_HEADER', `a header name holds byte 0x${c.toString(16).padStart(2, '0')}`)
}
