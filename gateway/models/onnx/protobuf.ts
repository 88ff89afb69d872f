/**
 * The wire format of protocol buffers, as much as a graph is changed with: fields of a message as ranges of its bytes, and
 * a message written again with some of them replaced and all others byte for byte. Nothing is copied while reading.
 * Source: protobuf.dev/programming-guides/encoding. Groups (wire types 3 and 4) are obsolete and refused.
 */

/** What stands in the bytes is no message. */
export class ProtobufError extends Error {}

/** What a reading gives, or something else when the bytes are no message after all. */
export function readOr<T>(otherwise: T, read: () => T): T {
  try {
    return read()
  } catch (error) {
    if (error instanceof ProtobufError) return otherwise
    throw error
  }
}

const VARINT = 0
const FIXED64 = 1
const BYTES = 2
const FIXED32 = 5

/** What stands before the payload of a field. */
export interface Head {
  readonly number: number
  readonly wire: number
  /** Of the payload; 0 for a varint. */
  readonly length: number
  /** Of a varint, as 64 bits without sign; 0 for the others. */
  readonly value: bigint
}

export interface Field extends Head {
  /** With its tag: what is copied when the field stays as it is. */
  readonly whole: Buffer
  /** The payload; empty for a varint. */
  readonly bytes: Buffer
}

/** A tag and a length or a varint have at most so many bytes. */
export const MAX_HEAD = 20

interface Cursor {
  at: number
}

/** The fields of a message, in order. @throws ProtobufError */
export function* fields(message: Buffer): Generator<Field, void, undefined> {
  const cursor = { at: 0 }
  while (cursor.at < message.length) {
    const start = cursor.at
    const head = readHead(message, cursor)
    const begin = cursor.at
    if (head.length > message.length - begin) throw new ProtobufError(`field ${head.number} at byte ${start} is ${head.length} bytes long, ${message.length - begin} are left`)
    cursor.at = begin + head.length
    yield { ...head, whole: message.subarray(start, cursor.at), bytes: message.subarray(begin, cursor.at) }
  }
}

/** Moves the cursor to the payload, or behind a varint. @throws ProtobufError */
export function readHead(message: Buffer, cursor: Cursor): Head {
  const start = cursor.at
  const tag = readNumber(message, cursor)
  const number = Math.floor(tag / 8)
  const wire = tag % 8
  if (number === 0 || number >= 2 ** 29) throw new ProtobufError(`field number ${number} at byte ${start}`)
  const value = wire === VARINT ? readVarint(message, cursor) : 0n
  return { number, wire, length: wire === VARINT ? 0 : lengthOf(message, wire, cursor), value }
}

/** Moves the cursor to the payload. */
function lengthOf(message: Buffer, wire: number, cursor: Cursor): number {
  if (wire === BYTES) return readNumber(message, cursor)
  if (wire === FIXED64) return 8
  if (wire === FIXED32) return 4
  throw new ProtobufError(`wire type ${wire} at byte ${cursor.at}`)
}

/** A tag or a length: exact up to 2^53, and whatever is above that is refused anyway. */
function readNumber(message: Buffer, cursor: Cursor): number {
  const first = message[cursor.at]
  if (first === undefined || first >= 0x80) return Number(readVarint(message, cursor))
  cursor.at++
  return first
}

function readVarint(message: Buffer, cursor: Cursor): bigint {
  const start = cursor.at
  let value = 0n
  for (let shift = 0n; shift < 70n; shift += 7n) {
    const byte = message[cursor.at++]
    if (byte === undefined) throw new ProtobufError(`a number at byte ${start} is cut off`)
    value |= BigInt(byte & 0x7f) << shift
    if (byte < 0x80) return BigInt.asUintN(64, value)
  }
  throw new ProtobufError(`a number at byte ${start} is longer than ten bytes`)
}

/** Payloads of a length-delimited field, in order. @throws ProtobufError */
export function all(message: Buffer, number: number): Buffer[] {
  const found: Buffer[] = []
  for (const field of fields(message)) if (field.number === number && field.wire === BYTES) found.push(field.bytes)
  return found
}

/** The last one counts, as in every reader. '' when it is absent. @throws ProtobufError */
export function text(message: Buffer, number: number): string {
  return all(message, number).at(-1)?.toString() ?? ''
}

/** Values of a repeated integer, packed or not, with the sign of an int64. @throws ProtobufError */
export function integers(message: Buffer, number: number): bigint[] {
  const found: bigint[] = []
  for (const field of fields(message)) {
    if (field.number !== number) continue
    if (field.wire === VARINT) found.push(BigInt.asIntN(64, field.value))
    else if (field.wire === BYTES) for (const cursor = { at: 0 }; cursor.at < field.bytes.length; ) found.push(BigInt.asIntN(64, readVarint(field.bytes, cursor)))
  }
  return found
}

export function varint(value: number | bigint): Buffer {
  const bytes: number[] = []
  let rest = BigInt.asUintN(64, BigInt(value))
  for (; rest > 0x7fn; rest >>= 7n) bytes.push(Number(rest & 0x7fn) | 0x80)
  bytes.push(Number(rest))
  return Buffer.from(bytes)
}

/** A length-delimited field: bytes, a string, a message of these parts. */
export function field(number: number, payload: Buffer | string | readonly Buffer[]): Buffer {
  const bytes = typeof payload === 'string' ? Buffer.from(payload) : Buffer.isBuffer(payload) ? payload : Buffer.concat(payload)
  return Buffer.concat([prefix(number, bytes.length), bytes])
}

export function integer(number: number, value: number | bigint): Buffer {
  return Buffer.concat([varint(number * 8 + VARINT), varint(value)])
}

/** What stands before the payload of a length-delimited field. */
export function prefix(number: number, length: number): Buffer {
  return Buffer.concat([varint(number * 8 + BYTES), varint(length)])
}

/**
 * The parts of a message with fields replaced in their places.
 * @param change what stands instead of a field; undefined leaves it byte for byte @throws ProtobufError
 */
export function edit(message: Buffer, change: (field: Field) => readonly Buffer[] | undefined): Buffer[] {
  const parts: Buffer[] = []
  for (const one of fields(message)) parts.push(...(change(one) ?? [one.whole]))
  return parts
}
