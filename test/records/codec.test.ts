import { crc32 } from 'node:zlib'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { decode, Encoder, FRAME_BYTES, frameAt, MAX_FRAME_BYTES } from '../../gateway/records/codec.ts'
import type { LoggedBody, LogRecord } from '../../gateway/records/record.ts'
import { body, record } from './made.ts'

const text = fc.string({ unit: 'binary', maxLength: 40 })
const bodies: fc.Arbitrary<LoggedBody | null> = fc.option(
  fc.record({ bytes: fc.uint8Array({ maxLength: 300 }).map((bytes) => Buffer.from(bytes)), length: fc.integer({ min: -1 }), truncated: fc.boolean(), type: text, encoding: text }),
)
const records: fc.Arbitrary<LogRecord> = fc
  .record({ record_id: text, target: text, reason: text, time: fc.integer(), duration_ms: fc.integer().map((n) => n / 8), flags: fc.array(text), request_headers: fc.array(text), request: bodies, sent: bodies, response: bodies })
  .map((change) => record('', change))

describe('a frame', () => {
  test('gives back the record, whatever is in it', () => {
    const encoder = new Encoder()
    fc.assert(
      fc.property(records, (written) => {
        expect(decode(frameAt(encoder.encode(written)!, 0)!)).toEqual(written)
      }),
    )
  })

  test('has the layout that it says it has', () => {
    const frame = Buffer.from(new Encoder().encode(record(1, { request: body('abc'), sent: body('de'), response: body('f') }))!)
    const payload = frame.subarray(8)
    expect(frame.readUInt32LE(0)).toBe(payload.length)
    expect(frame.readUInt32LE(4)).toBe(crc32(payload))
    const head = payload.readUInt32LE(0)
    expect((JSON.parse(payload.toString('utf8', 4, 4 + head)) as unknown[])[0]).toBe('1')
    expect(payload.toString('utf8', 4 + head)).toBe('abcdef')
  })

  test('is never read when a byte of it is missing or another', () => {
    const frame = Buffer.from(new Encoder().encode(record(1))!)
    for (let cut = 0; cut < frame.length; cut++) expect(frameAt(frame.subarray(0, cut), 0)).toBeNull()
    for (let at = 0; at < frame.length; at++) {
      const changed = Buffer.from(frame)
      changed[at]! ^= 1
      expect(frameAt(changed, 0)).toBeNull()
    }
  })

  test('is not made of what is too large, and large ones leave the next alone', () => {
    const encoder = new Encoder()
    expect(encoder.encode(record(1, { request: body(Buffer.alloc(MAX_FRAME_BYTES)) }))).toBeNull()
    const large = record(2, { response: body(Buffer.alloc(1 << 20, 7)) })
    expect(decode(frameAt(encoder.encode(large)!, 0)!)).toEqual(large)
    const small = encoder.encode(record(3))!
    expect(small.length).toBeLessThan(FRAME_BYTES + 1000)
    expect(decode(frameAt(small, 0)!)).toEqual(record(3))
  })

  test('zeros, as a file system leaves them after a power cut, are none', () => {
    expect(frameAt(Buffer.alloc(100), 0)).toBeNull()
  })
})
