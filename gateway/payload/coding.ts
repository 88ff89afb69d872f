/**
 * Content codings of whole bodies (RFC 9110, 8.4): gzip and deflate are read and written, others refused by name.
 * `deflate` is a zlib stream (RFC 1950); callers that send a bare one (RFC 1951) are understood.
 *
 * A body never decodes to more than the route lets in, and what takes long is done off the event loop.
 */
import { constants, deflate, deflateSync, gunzip, gunzipSync, gzip, gzipSync, inflate, inflateRaw, inflateRawSync, inflateSync } from 'node:zlib'
import { type Code, WeirError } from '../errors.ts'

/** What `accept-encoding` says where a coding is refused. */
export const READ_CODINGS = 'gzip, deflate'
/** Each coding on top of another multiplies what a bomb can do. */
export const MAX_CODINGS = 2
/** Bytes that are handled at once; larger ones go to the thread pool. */
const AT_ONCE = 64 * 1024
/** Decoded bytes that are made at once: 64 KiB can hold 64 MiB of zeros. */
const DECODED_AT_ONCE = 1024 * 1024
/** Shorter bodies gain nothing: they fit into one packet as they are. */
const WORTH_ENCODING = 1024
const GZIP_FAST = { level: constants.Z_BEST_SPEED }

type Coding = 'gzip' | 'deflate'

/** A body in the coding its caller takes. */
export interface Encoded {
  readonly coding: Coding
  readonly body: Buffer
}

/** What zlib gives with `info`: how much of the input belonged to the stream. */
interface Inflated {
  readonly buffer: Buffer
  readonly engine: { readonly bytesWritten: number }
}
type Callback = (error: Error | null, result: Inflated) => void
interface Options {
  readonly maxOutputLength: number
  readonly info: true
}
/** The types of Node know nothing of `info` in what these return. */
interface Inflater {
  readonly now: (body: Buffer, options: Options) => Inflated
  readonly later: (body: Buffer, options: Options, done: Callback) => void
}
const inflater = (now: unknown, later: unknown): Inflater => ({ now, later }) as Inflater
const GUNZIP = inflater(gunzipSync, gunzip)
const INFLATE = inflater(inflateSync, inflate)
const INFLATE_RAW = inflater(inflateRawSync, inflateRaw)

/**
 * The body without its codings.
 * @param contentEncoding the field as received @param maxBytes of the decoded body
 * @returns a promise only for what takes long
 * @throws WeirError (or rejects with it) `UNSUPPORTED_MEDIA_TYPE` for an unknown coding, `BODY_TOO_LARGE`, and `BAD_BODY` for bytes that are not what the field says
 */
export function decoded(body: Buffer, contentEncoding: string | undefined, maxBytes: number): Buffer | Promise<Buffer> {
  const codings = codingsOf(contentEncoding)
  const only = codings[0]
  if (only === undefined) return body
  if (codings.length === 1 && body.length < AT_ONCE) {
    const small = Math.min(maxBytes, DECODED_AT_ONCE)
    const whole = inflateNow(body, only, small, small < maxBytes)
    if (whole !== null) return whole
  }
  return inflateAll(body, codings, maxBytes)
}

/** The same at once, for those who cannot wait. @param code of what is wrong with the bytes */
export function decodedNow(body: Buffer, contentEncoding: string | undefined, maxBytes: number, code: Code = 'BAD_BODY'): Buffer {
  if (contentEncoding === undefined) return body
  let whole = body
  try {
    for (const coding of codingsOf(contentEncoding)) whole = inflateNow(whole, coding, maxBytes, false)!
  } catch (error) {
    if (code === 'BAD_BODY' || !(error instanceof WeirError)) throw error
    throw new WeirError(code, error.message)
  }
  return whole
}

/** The codings to undo, outermost first. */
function codingsOf(field: string | undefined): Coding[] {
  if (field === undefined) return []
  const names = field.split(',').map((name) => name.trim().toLowerCase()).filter((name) => name !== '' && name !== 'identity')
  if (names.length > MAX_CODINGS) throw new WeirError('UNSUPPORTED_MEDIA_TYPE', `content-encoding: expected at most ${MAX_CODINGS} codings, found ${names.length}`)
  return names.reverse().map(coding)
}

function coding(name: string): Coding {
  if (name === 'gzip' || name === 'x-gzip') return 'gzip'
  if (name === 'deflate') return 'deflate'
  throw new WeirError('UNSUPPORTED_MEDIA_TYPE', `content-encoding "${name.slice(0, 40)}" is not read here (accept-encoding: ${READ_CODINGS})`)
}

// ---------------------------------------------------------------- decoding

/** @param more whether a longer result is no error but needs the other way: then null */
function inflateNow(body: Buffer, name: Coding, maxBytes: number, more: boolean): Buffer | null {
  try {
    return checked(body, inflaterOf(body, name).now(body, limits(maxBytes)), name, maxBytes)
  } catch (error) {
    const refusal = asRefusal(error, name, maxBytes)
    if (more && refusal.code === 'BODY_TOO_LARGE') return null
    throw refusal
  }
}

async function inflateAll(body: Buffer, codings: readonly Coding[], maxBytes: number): Promise<Buffer> {
  let whole = body
  for (const name of codings) whole = await inflateLater(whole, name, maxBytes)
  return whole
}

function inflateLater(body: Buffer, name: Coding, maxBytes: number): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    inflaterOf(body, name).later(body, limits(maxBytes), (error, result) => {
      try {
        if (error !== null) throw error
        resolve(checked(body, result, name, maxBytes))
      } catch (failure) {
        reject(asRefusal(failure, name, maxBytes))
      }
    })
  })
}

function inflaterOf(body: Buffer, name: Coding): Inflater {
  if (name === 'gzip') return GUNZIP
  return isZlib(body) ? INFLATE : INFLATE_RAW
}

/** A zlib header: method 8 in the low bits, and both bytes together a multiple of 31 (RFC 1950, 2.2). */
function isZlib(body: Buffer): boolean {
  return body.length >= 2 && (body[0]! & 0x0f) === 8 && body.readUInt16BE(0) % 31 === 0
}

function limits(maxBytes: number): Options {
  return { maxOutputLength: Math.max(1, maxBytes), info: true }
}

function checked(body: Buffer, { buffer, engine }: Inflated, name: Coding, maxBytes: number): Buffer {
  if (buffer.length > maxBytes) throw tooLarge(maxBytes)
  const rest = body.length - engine.bytesWritten
  if (rest > 0) throw new WeirError('BAD_BODY', `the ${name} body has ${rest} bytes behind its end`)
  return buffer
}

function asRefusal(error: unknown, name: Coding, maxBytes: number): WeirError {
  if (error instanceof WeirError) return error
  const { code } = error as { code?: unknown }
  if (code === 'ERR_BUFFER_TOO_LARGE') return tooLarge(maxBytes)
  if (code === 'Z_BUF_ERROR') return new WeirError('BAD_BODY', `the ${name} body ends too early`)
  return new WeirError('BAD_BODY', `the body is not ${name}, as its content-encoding says`)
}

function tooLarge(maxBytes: number): WeirError {
  return new WeirError('BODY_TOO_LARGE', `the decoded body is larger than ${maxBytes} bytes`)
}

// ---------------------------------------------------------------- encoding

/**
 * The body in a coding the caller takes, or null: it takes none, prefers none, or nothing would be gained.
 * Who answers so says `vary: accept-encoding` in any case.
 * @param acceptEncoding the field as received @returns a promise only for what takes long
 */
export function encodedFor(acceptEncoding: string | undefined, body: Buffer): Encoded | null | Promise<Encoded | null> {
  if (acceptEncoding === undefined || body.length < WORTH_ENCODING) return null
  const name = preferred(acceptEncoding)
  if (name === null) return null
  if (body.length < AT_ONCE) return shorter(name, name === 'gzip' ? gzipSync(body, GZIP_FAST) : deflateSync(body, GZIP_FAST), body)
  return new Promise((resolve, reject) => {
    const done = (error: Error | null, result: Buffer): void => (error === null ? resolve(shorter(name, result, body)) : reject(error))
    if (name === 'gzip') gzip(body, GZIP_FAST, done)
    else deflate(body, GZIP_FAST, done)
  })
}

function shorter(name: Coding, encodedBody: Buffer, body: Buffer): Encoded | null {
  return encodedBody.length < body.length ? { coding: name, body: encodedBody } : null
}

/** The coding with the highest weight; gzip of equals. null when `identity` is explicitly preferred (RFC 9110, 12.5.3). */
function preferred(field: string): Coding | null {
  const weights = new Map<string, number>()
  for (const part of field.toLowerCase().split(',')) {
    const [name = '', ...parameters] = part.split(';').map((text) => text.trim())
    const q = parameters.find((text) => text.startsWith('q='))
    weights.set(name, q === undefined ? 1 : Number(q.slice(2)))
  }
  const other = weights.get('*') ?? 0
  const weight = (name: Coding): number => weights.get(name) ?? (name === 'gzip' ? weights.get('x-gzip') : undefined) ?? other
  const best: Coding = weight('gzip') >= weight('deflate') ? 'gzip' : 'deflate'
  const enough = weight(best) > 0 && weight(best) >= (weights.get('identity') ?? 0)
  return enough ? best : null
}
