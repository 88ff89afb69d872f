/** Content codings. The other end is zlib's streams in their own framing; sizes and places are by hand. */
import { createHash } from 'node:crypto'
import { deflateRawSync, deflateSync, gunzipSync, gzipSync, inflateSync } from 'node:zlib'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { WeirError } from '../../gateway/errors.ts'
import { decoded, decodedNow, type Encoded, encodedFor } from '../../gateway/payload/coding.ts'
import { rows } from '../../gateway/payload/rows.ts'
import { exchange } from '../models/setup.ts'

const TEXT = Buffer.from('{"instances":[[1,2,3,4]]}'.repeat(10))
const MEGABYTE = 1 << 20
/** Bytes that no coding makes shorter. */
const NOISE = createHash('shake256', { outputLength: 300_000 }).update('weir').digest()

async function refusal(body: Buffer, field: string, max = MEGABYTE): Promise<WeirError> {
  try {
    await decoded(body, field, max)
  } catch (error) {
    return error as WeirError
  }
  throw new Error('it was taken')
}

describe('decoding', () => {
  test.each([
    ['gzip', gzipSync(TEXT)],
    ['GZip', gzipSync(TEXT)],
    ['x-gzip', gzipSync(TEXT)],
    ['deflate', deflateSync(TEXT)],
    ['deflate', deflateRawSync(TEXT)],
    ['identity', TEXT],
    ['', TEXT],
    [undefined, TEXT],
    ['identity, gzip', gzipSync(TEXT)],
    ['gzip, deflate', deflateSync(gzipSync(TEXT))],
    ['deflate ,gzip', gzipSync(deflateSync(TEXT))],
    ['gzip', Buffer.concat([gzipSync(TEXT.subarray(0, 10)), gzipSync(TEXT.subarray(10))])],
  ])('%s', async (field, body) => {
    expect(await decoded(body, field, MEGABYTE)).toEqual(TEXT)
    expect(decodedNow(body, field, MEGABYTE)).toEqual(TEXT)
  })

  test('small bodies are there at once, large ones and large results come later', async () => {
    expect(Buffer.isBuffer(decoded(gzipSync(TEXT), 'gzip', MEGABYTE))).toBe(true)
    const noise = decoded(gzipSync(NOISE), 'gzip', MEGABYTE)
    expect(noise).toBeInstanceOf(Promise)
    expect(await noise).toEqual(NOISE)
    const zeros = decoded(gzipSync(Buffer.alloc(4 * MEGABYTE)), 'gzip', 8 * MEGABYTE)
    expect(zeros).toBeInstanceOf(Promise)
    expect(await zeros).toHaveLength(4 * MEGABYTE)
  })

  test('a body of exactly the limit is taken, one byte more is not', async () => {
    for (const encode of [gzipSync, deflateSync, deflateRawSync]) {
      const field = encode === gzipSync ? 'gzip' : 'deflate'
      expect(await decoded(encode(TEXT), field, TEXT.length)).toEqual(TEXT)
      expect((await refusal(encode(TEXT), field, TEXT.length - 1)).code).toBe('BODY_TOO_LARGE')
    }
  })

  test.each([
    ['a bomb', gzipSync(Buffer.alloc(8 * MEGABYTE)), 'gzip', 'BODY_TOO_LARGE', 'the decoded body is larger than 1048576 bytes'],
    ['a bomb in a bomb', gzipSync(gzipSync(Buffer.alloc(8 * MEGABYTE))), 'gzip, gzip', 'BODY_TOO_LARGE', 'larger than 1048576'],
    ['a large bomb', gzipSync(Buffer.concat([NOISE, Buffer.alloc(8 * MEGABYTE)])), 'gzip', 'BODY_TOO_LARGE', 'larger than 1048576'],
    ['nothing', Buffer.alloc(0), 'gzip', 'BAD_BODY', 'the gzip body ends too early'],
    ['a cut one', gzipSync(TEXT).subarray(0, -1), 'gzip', 'BAD_BODY', 'the gzip body ends too early'],
    ['a cut zlib stream', deflateSync(TEXT).subarray(0, -1), 'deflate', 'BAD_BODY', 'the deflate body ends too early'],
    ['a large cut one', gzipSync(NOISE).subarray(0, -1), 'gzip', 'BAD_BODY', 'the gzip body ends too early'],
    ['text', TEXT, 'gzip', 'BAD_BODY', 'the body is not gzip, as its content-encoding says'],
    ['another coding', deflateSync(TEXT), 'gzip', 'BAD_BODY', 'the body is not gzip'],
    ['a wrong checksum', flipped(gzipSync(TEXT), -8), 'gzip', 'BAD_BODY', 'the body is not gzip'],
    ['zeros behind gzip', Buffer.concat([gzipSync(TEXT), Buffer.alloc(3)]), 'gzip', 'BAD_BODY', 'the gzip body has 3 bytes behind its end'],
    ['text behind gzip', Buffer.concat([gzipSync(TEXT), TEXT]), 'gzip', 'BAD_BODY', 'the body is not gzip'],
    ['text behind zlib', Buffer.concat([deflateSync(TEXT), Buffer.from('xx')]), 'deflate', 'BAD_BODY', 'the deflate body has 2 bytes behind its end'],
    ['text behind raw deflate', Buffer.concat([deflateRawSync(TEXT), Buffer.from('xx')]), 'deflate', 'BAD_BODY', 'the deflate body has 2 bytes behind its end'],
    ['brotli', TEXT, 'br', 'UNSUPPORTED_MEDIA_TYPE', 'content-encoding "br" is not read here (accept-encoding: gzip, deflate)'],
    ['zstd under gzip', gzipSync(TEXT), 'zstd, gzip', 'UNSUPPORTED_MEDIA_TYPE', 'content-encoding "zstd" is not read here'],
    ['three codings', TEXT, 'gzip, gzip, gzip', 'UNSUPPORTED_MEDIA_TYPE', 'expected at most 2 codings, found 3'],
  ])('%s', async (_, body, field, code, message) => {
    const error = await refusal(body, field)
    expect(error.message).toContain(message)
    expect(error.code).toBe(code)
    expect(() => decodedNow(body, field, MEGABYTE)).toThrow(message)
  })

  test('any damage is refused or harmless, never another kind of error', () => {
    const bodies = { gzip: gzipSync(TEXT), deflate: deflateSync(TEXT) }
    fc.assert(fc.property(fc.constantFrom('gzip', 'deflate'), fc.nat(), fc.integer({ min: 1, max: 255 }), (field, at, mask) => {
      const body = Buffer.from(bodies[field as 'gzip' | 'deflate'])
      body[at % body.length]! ^= mask
      try {
        // Some header bytes mean nothing to the content (a time stamp, a level).
        expect(decodedNow(body, field, MEGABYTE)).toEqual(TEXT)
      } catch (error) {
        expect(['BAD_BODY', 'BODY_TOO_LARGE']).toContain((error as WeirError).code)
      }
    }))
  })
})

function flipped(body: Buffer, at: number): Buffer {
  const copy = Buffer.from(body)
  copy[copy.length + at]! ^= 1
  return copy
}

describe('encoding', () => {
  const body = Buffer.from('0123456789abcdef'.repeat(64))

  test.each([
    ['gzip', 'gzip'],
    ['deflate', 'deflate'],
    ['gzip, deflate', 'gzip'],
    ['deflate, gzip', 'gzip'],
    ['gzip;q=0.5, deflate', 'deflate'],
    ['GZIP ; Q=1', 'gzip'],
    ['br, *', 'gzip'],
    ['gzip;q=0, *', 'deflate'],
    ['x-gzip', 'gzip'],
    ['identity;q=0.5, gzip', 'gzip'],
    ['br', null],
    ['', null],
    ['identity', null],
    ['gzip;q=0', null],
    ['gzip;q=0.0, deflate;q=0.000', null],
    ['*;q=0', null],
    ['identity, gzip;q=0.5', null],
    ['gzip;q=x', null],
  ])('%s: %s', (field, expected) => {
    const encoded = encodedFor(field, body) as Encoded | null
    expect(encoded?.coding ?? null).toBe(expected)
    if (encoded !== null) expect((encoded.coding === 'gzip' ? gunzipSync : inflateSync)(encoded.body)).toEqual(body)
  })

  test('short bodies, nobody asking, and nothing to gain', async () => {
    expect(encodedFor('gzip', body.subarray(0, 1023))).toBe(null)
    expect(encodedFor(undefined, body)).toBe(null)
    expect(encodedFor('gzip', NOISE.subarray(0, 2000))).toBe(null)
    expect(await encodedFor('gzip', NOISE.subarray(0, 70_000))).toBe(null)
  })

  test('large bodies come later', async () => {
    const large = Buffer.alloc(200_000, 'weir')
    for (const [field, undo] of [['gzip', gunzipSync], ['deflate', inflateSync]] as const) {
      const encoded = encodedFor(field, large)
      expect(encoded).toBeInstanceOf(Promise)
      expect(undo((await encoded)!.body)).toEqual(large)
    }
  })
})

describe('an exchange', () => {
  test('sees through the coding of its body, which stays as it came', () => {
    const body = gzipSync('{"a":1}')
    const x = exchange(body, rows, { headers: ['content-encoding', 'gzip'] })
    expect(x.input.columns[0]).toMatchObject({ name: 'a', shape: [1] })
    expect(x.body).toBe(body)
    x.input = { columns: x.input.columns, single: true }
    expect(String(x.body)).toBe('{"a":1}')
    expect(x.headers).not.toContain('content-encoding')
  })

  test('a bomb is refused with the limit of the route', () => {
    const x = exchange(gzipSync(Buffer.alloc(1 << 27)), rows, { headers: ['content-encoding', 'gzip'] })
    expect(() => x.input).toThrow('the decoded body is larger than 67108864 bytes')
  })
})
