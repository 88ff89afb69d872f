/**
 * Binary tensor data extension of the Open Inference Protocol (Triton, docs/protocol/extension_binary_data.md): a JSON
 * header, whose length `inference-header-content-length` tells, and behind it the tensors that say `binary_data_size`, in
 * the order of the header. Little-endian, row-major, nothing between elements. BOOL is one byte; an element of BYTES is
 * its length as uint32 and then its bytes, which must be UTF-8 here because texts are strings.
 *
 * Typed arrays are read and written as they lie in memory: the machines that weir runs on are little-endian.
 */
import { isUtf8 } from 'node:buffer'
import { type Code, WeirError } from '../errors.ts'
import type { Column, Columns, Data, Dtype } from './columns.ts'
import { clip } from './json.ts'
import { countText, elements, type Owner, shapeText } from './tensor.ts'

export const BINARY_TYPE = 'application/octet-stream'
/** Header field: length of the JSON in bytes; 0 = a raw request. */
export const JSON_LENGTH = 'inference-header-content-length'
/** Length of a text before its bytes. */
const PREFIX = 4

interface FixedType {
  readonly size: 1 | 2 | 4 | 8
  readonly view: (buffer: ArrayBufferLike, offset: number, length: number) => Exclude<Data, string[]>
}

const fixed: Readonly<Partial<Record<Dtype, FixedType>>> = {
  BOOL: { size: 1, view: (b, o, n) => new Uint8Array(b, o, n) },
  UINT8: { size: 1, view: (b, o, n) => new Uint8Array(b, o, n) },
  UINT16: { size: 2, view: (b, o, n) => new Uint16Array(b, o, n) },
  UINT32: { size: 4, view: (b, o, n) => new Uint32Array(b, o, n) },
  UINT64: { size: 8, view: (b, o, n) => new BigUint64Array(b, o, n) },
  INT8: { size: 1, view: (b, o, n) => new Int8Array(b, o, n) },
  INT16: { size: 2, view: (b, o, n) => new Int16Array(b, o, n) },
  INT32: { size: 4, view: (b, o, n) => new Int32Array(b, o, n) },
  INT64: { size: 8, view: (b, o, n) => new BigInt64Array(b, o, n) },
  FP16: { size: 2, view: (b, o, n) => new Uint16Array(b, o, n) },
  BF16: { size: 2, view: (b, o, n) => new Uint16Array(b, o, n) },
  FP32: { size: 4, view: (b, o, n) => new Float32Array(b, o, n) },
  FP64: { size: 8, view: (b, o, n) => new Float64Array(b, o, n) },
}

/** The length that the header field tells, checked against the body. @throws WeirError */
export function jsonLength(text: string, body: Buffer, code: Code): number {
  if (!/^\d{1,15}$/.test(text)) throw new WeirError(code, `expected ${JSON_LENGTH} to be a number of bytes, found "${clip(text)}"`)
  const length = Number(text)
  if (length > body.length) throw new WeirError(code, `${JSON_LENGTH} is ${length}, but the body has ${body.length} bytes`)
  return length
}

/** The bytes behind the JSON, taken tensor by tensor. */
export class Tail {
  readonly #bytes: Buffer
  #pos = 0
  #last = ''

  constructor(bytes: Buffer) {
    this.#bytes = bytes
  }

  /** The next tensor, of `size` bytes as it says itself. @throws WeirError */
  take(dtype: Dtype, shape: readonly number[], size: number, owner: Owner): Data {
    const left = this.#bytes.length - this.#pos
    if (size > left) throw wrong(owner, `binary_data_size is ${size}, but behind the JSON ${left === 1 ? '1 byte is' : `${left} bytes are`} left (${JSON_LENGTH} tells where it ends)`)
    const bytes = this.#bytes.subarray(this.#pos, this.#pos + size)
    this.#pos += size
    this.#last = owner.label
    return bytesToData(bytes, dtype, shape, owner)
  }

  /** Whether any tensor came from here. */
  get used(): boolean {
    return this.#last !== ''
  }

  /** @throws WeirError when something is left */
  end(code: Code): void {
    const left = this.#bytes.length - this.#pos
    if (left === 0) return
    const where = this.#last === '' ? 'behind the JSON, where no tensor has a "binary_data_size"' : `behind the data of ${this.#last}, the last tensor with a "binary_data_size"`
    throw new WeirError(code, `${left === 1 ? '1 byte is' : `${left} bytes are`} left ${where}`)
  }
}

/**
 * Values of one tensor. Where the bytes lie aligned it is a view of them and no copy: a whole body belongs to the exchange
 * and is not used again. Otherwise they are copied once.
 * @throws WeirError for a wrong size, a BOOL that is neither 0 nor 1, a text that is not UTF-8
 */
export function bytesToData(bytes: Buffer, dtype: Dtype, shape: readonly number[], owner: Owner): Data {
  const count = elements(shape)
  const type = fixed[dtype]
  if (type === undefined) return readTexts(bytes, count, shape, owner)
  if (count * type.size !== bytes.length) {
    throw wrong(owner, `shape ${shapeText(shape)} of ${dtype} takes ${count === Infinity ? 'more than 2^53' : count * type.size} bytes, found ${bytes.length}`)
  }
  const data = view(bytes, type, count)
  if (dtype === 'BOOL') checkBooleans(data as Uint8Array, owner)
  return data
}

function view(bytes: Buffer, { size, view }: FixedType, count: number): Data {
  if (bytes.byteOffset % size === 0) return view(bytes.buffer, bytes.byteOffset, count)
  return view(new Uint8Array(bytes).buffer, 0, count)
}

function checkBooleans(data: Uint8Array, owner: Owner): void {
  for (let i = 0; i < data.length; i++) if (data[i]! > 1) throw wrong(owner, `element ${i}: expected a byte 0 or 1, found ${data[i]}`)
}

function readTexts(bytes: Buffer, count: number, shape: readonly number[], owner: Owner): string[] {
  const texts: string[] = []
  for (let at = 0; at < bytes.length; ) {
    const element = texts.length
    const left = bytes.length - at - PREFIX
    if (left < 0) throw wrong(owner, `element ${element}: expected ${PREFIX} bytes that tell its length, found ${left + PREFIX}`)
    const length = bytes.readUInt32LE(at)
    if (length > left) throw wrong(owner, `element ${element}: its length is ${length}, but ${left} bytes are left`)
    if (element === count) throw wrong(owner, `shape ${shapeText(shape)} has ${countText(count)}, found more`)
    at += PREFIX + length
    texts.push(text(bytes.subarray(at - length, at), element, owner))
  }
  if (texts.length !== count) throw wrong(owner, `shape ${shapeText(shape)} has ${countText(count)}, found ${texts.length}`)
  return texts
}

function text(bytes: Buffer, element: number, owner: Owner): string {
  if (!isUtf8(bytes)) throw wrong(owner, `element ${element}: expected UTF-8 text, found bytes that are none`)
  return bytes.toString()
}

/** The bytes of a tensor: of numbers no copy. */
export function dataToBytes({ data }: Column): Uint8Array {
  if (!Array.isArray(data)) return new Uint8Array(data.buffer, data.byteOffset, data.byteLength)
  let size = 0
  for (const element of data) size += PREFIX + Buffer.byteLength(element)
  const bytes = Buffer.allocUnsafe(size)
  let at = 0
  for (const element of data) {
    const length = bytes.write(element, at + PREFIX)
    bytes.writeUInt32LE(length, at)
    at += PREFIX + length
  }
  return bytes
}

/** What must be known of a model's inputs to understand a raw request; a `TensorSpec` has it. */
export interface RawInput {
  readonly name: string
  readonly dtype: Dtype | null
  /** -1 is a variable dimension. */
  readonly shape: readonly number[]
}

/**
 * A raw request (`inference-header-content-length: 0`) as columns: all of the body is the only input. A variable first
 * dimension of a tensor with several is the batch, which is 1; one other may be variable and follows from the size. BYTES
 * are one element, the body as it is, without a length before it. All outputs will be answered binary.
 * @param raw as `readRequest` found it @throws WeirError `MODEL_INPUT`
 */
export function rawColumns(raw: Buffer, inputs: readonly RawInput[]): Columns {
  const [input] = inputs
  if (input === undefined || inputs.length > 1) {
    throw new WeirError('MODEL_INPUT', `a raw request (${JSON_LENGTH}: 0) needs a model with one input, this one has ${inputs.length}`)
  }
  const { name, dtype } = input
  const owner: Owner = { code: 'MODEL_INPUT', label: `input "${name}"` }
  if (dtype === null) throw wrong(owner, 'is no tensor and cannot be sent raw')
  const type = fixed[dtype]
  const shape = rawShape(input.shape, type === undefined ? 1 : raw.length / type.size, owner)
  if (type !== undefined) return { columns: [{ name, dtype, shape, data: bytesToData(raw, dtype, shape, owner) }], raw }
  if (elements(shape) !== 1) throw wrong(owner, `a raw request carries one text, the shape ${shapeText(input.shape)} takes ${countText(elements(shape))}`)
  return { columns: [{ name, dtype, shape, data: [text(raw, 0, owner)] }], raw }
}

/** @param count elements that the body holds, possibly a fraction */
function rawShape(declared: readonly number[], count: number, owner: Owner): number[] {
  const shape = [...declared]
  if (shape.length > 1 && shape[0] === -1) shape[0] = 1
  const open = shape.indexOf(-1)
  if (open < 0) return shape
  if (shape.includes(-1, open + 1)) throw wrong(owner, `a raw request can leave one dimension open, the shape ${shapeText(declared)} more: send JSON with the shape`)
  shape[open] = 1
  const one = elements(shape)
  if (one === 0 || !Number.isInteger(count / one)) throw wrong(owner, `expected a whole number of ${shapeText(declared)}, found a body that is none`)
  shape[open] = count / one
  return shape
}

function wrong(owner: Owner, text: string): WeirError {
  return new WeirError(owner.code, `${owner.label}: ${text}`)
}
