/** The wire format: examples of the specification, whatever is written is read back, and broken bytes end in an error. */
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { all, edit, type Field, field, fields, integer, integers, ProtobufError, text, varint } from '../../gateway/models/onnx/protobuf.ts'

const hex = (digits: string) => Buffer.from(digits.replaceAll(' ', ''), 'hex')

// protobuf.dev/programming-guides/encoding
test('the examples of the specification', () => {
  expect(integer(1, 150)).toEqual(hex('08 96 01'))
  expect(field(2, 'testing')).toEqual(hex('12 07 74 65 73 74 69 6e 67'))
  expect(field(3, [integer(1, 150)])).toEqual(hex('1a 03 08 96 01'))
  expect(varint(-2)).toEqual(hex('fe ff ff ff ff ff ff ff ff 01'))
  expect(integers(hex('32 06 03 8e 02 9e a7 05'), 6)).toEqual([3n, 270n, 86942n])
  expect(integers(hex('28 01 28 02 28 03'), 5)).toEqual([1n, 2n, 3n])
  expect(integers(hex('08 fe ff ff ff ff ff ff ff ff 01'), 1)).toEqual([-2n])
  expect(text(hex('12 07 74 65 73 74 69 6e 67'), 2)).toBe('testing')
})

test('of a field that comes twice the last counts, and a varint may be longer than it need be', () => {
  expect(text(Buffer.concat([field(1, 'a'), field(1, 'b')]), 1)).toBe('b')
  expect(integers(hex('08 96 81 00'), 1)).toEqual([150n])
  expect(text(hex('0a 81 00 61'), 1)).toBe('a')
})

type Part = readonly ['varint' | 'bytes' | 'fixed', number, bigint, Buffer]

const part: fc.Arbitrary<Part> = fc.tuple(
  fc.constantFrom('varint', 'bytes', 'fixed'), fc.integer({ min: 1, max: 2 ** 29 - 1 }), fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }), fc.uint8Array({ maxLength: 300 }).map((bytes) => Buffer.from(bytes)),
)

function write([kind, number, value, bytes]: Part): Buffer {
  if (kind === 'varint') return integer(number, value)
  if (kind === 'bytes') return field(number, bytes)
  const fixed = Buffer.alloc(8)
  fixed.writeBigUInt64LE(value)
  return Buffer.concat([varint(number * 8 + 1), fixed])
}

const message = fc.array(part, { maxLength: 20 })

test('what is written is read, byte for byte', () => {
  fc.assert(fc.property(message, (parts) => {
    const bytes = Buffer.concat(parts.map(write))
    const read = [...fields(bytes)]
    expect(read.map(({ number }) => number)).toEqual(parts.map(([, number]) => number))
    read.forEach((one, i) => {
      const [kind, , value, payload] = parts[i]!
      if (kind === 'varint') expect(one.value).toBe(value)
      else if (kind === 'bytes') expect(one.bytes.equals(payload)).toBe(true)
      else expect(one.bytes.readBigUInt64LE()).toBe(value)
    })
    expect(Buffer.concat(edit(bytes, () => undefined)).equals(bytes)).toBe(true)
  }))
})

test('an edit changes the fields it names and no other byte', () => {
  fc.assert(fc.property(message, message, fc.uint8Array({ maxLength: 200 }), (before, after, payload) => {
    const [head, tail] = [before, after].map((parts) => Buffer.concat(parts.filter(([, number]) => number !== 7).map(write)))
    const found: string[] = []
    const change = ({ number, bytes }: Field): Buffer[] | undefined => {
      if (number !== 7) return undefined
      found.push(bytes.toString())
      return [field(7, Buffer.from(payload)), integer(8, 1)]
    }
    const edited = Buffer.concat(edit(Buffer.concat([head!, field(7, 'old'), tail!]), change))
    expect(found).toEqual(['old'])
    expect(edited.equals(Buffer.concat([head!, field(7, Buffer.from(payload)), integer(8, 1), tail!]))).toBe(true)
  }))
})

test.each([
  ['a tag without its value', '08', 'a number at byte 1 is cut off'],
  ['a varint that does not end', '08 ff ff', 'a number at byte 1 is cut off'],
  ['a varint of eleven bytes', '08 ff ff ff ff ff ff ff ff ff ff 01', 'a number at byte 1 is longer than ten bytes'],
  ['a length beyond the end', '12 07 74', 'field 2 at byte 0 is 7 bytes long, 1 are left'],
  ['a length of 2^63', '12 80 80 80 80 80 80 80 80 80 01', 'bytes long, 0 are left'],
  ['a fixed field that is cut', '0d 00 00', 'field 1 at byte 0 is 4 bytes long, 2 are left'],
  ['field 0', '02 00', 'field number 0 at byte 0'],
  ['a field number of 64 bits', 'fa ff ff ff ff ff ff ff ff 01 00', 'field number'],
  ['a group', '0b 0c', 'wire type 3'],
  ['a wire type that is none', '0f', 'wire type 7'],
])('%s is refused', (_what, digits, reason) => {
  expect(() => [...fields(hex(digits))]).toThrow(ProtobufError)
  expect(() => [...fields(hex(digits))]).toThrow(reason)
  expect(() => edit(hex(digits), () => undefined)).toThrow(ProtobufError)
})

test('any bytes, cut or made up, are read to their end or refused', () => {
  const cut = message.chain((parts) => {
    const bytes = Buffer.concat(parts.map(write))
    return fc.nat(bytes.length).map((length) => bytes.subarray(0, length))
  })
  fc.assert(fc.property(fc.oneof(cut, fc.uint8Array({ maxLength: 400 }).map((bytes) => Buffer.from(bytes))), (bytes) => {
    try {
      const read = [...fields(bytes)]
      expect(Buffer.concat(read.map(({ whole }) => whole)).equals(bytes)).toBe(true)
      for (const { number } of read) all(bytes, number)
    } catch (error) {
      expect(error).toBeInstanceOf(ProtobufError)
    }
  }), { numRuns: 500 })
})
