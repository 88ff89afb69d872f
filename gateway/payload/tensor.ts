/** The values of one tensor: from JSON into a typed array and back. Nothing here knows a protocol's envelope. */
import { type Code, WeirError } from '../errors.ts'
import type { Column, Data, Dtype } from './columns.ts'
import type { JsonReader } from './json.ts'
import { FloatScan } from './floats.ts'
import { float32Text, float32Texts, float64Text } from './numbers.ts'

/** Whose tensor it is, for messages and their code. */
export interface Owner {
  readonly code: Code
  /** `input "x"` */
  readonly label: string
}

export interface IntegerType {
  readonly make: (length: number) => Uint8Array | Uint16Array | Uint32Array | Int8Array | Int16Array | Int32Array
  readonly min: number
  readonly max: number
}

/** The integers a double holds. */
export const integers: Readonly<Partial<Record<Dtype, IntegerType>>> = {
  INT8: { make: (n) => new Int8Array(n), min: -128, max: 127 },
  INT16: { make: (n) => new Int16Array(n), min: -32768, max: 32767 },
  INT32: { make: (n) => new Int32Array(n), min: -2147483648, max: 2147483647 },
  UINT8: { make: (n) => new Uint8Array(n), min: 0, max: 255 },
  UINT16: { make: (n) => new Uint16Array(n), min: 0, max: 65535 },
  UINT32: { make: (n) => new Uint32Array(n), min: 0, max: 4294967295 },
}

export const INT64_RANGE = { min: -(2n ** 63n), max: 2n ** 63n - 1n } as const
export const UINT64_RANGE = { min: 0n, max: 2n ** 64n - 1n } as const

/** How the values of a type are called in a message. */
export const nouns: Readonly<Record<Dtype, string>> = {
  BOOL: 'true or false',
  UINT8: 'an integer 0 to 255', UINT16: 'an integer 0 to 65535', UINT32: 'an integer 0 to 4294967295', UINT64: 'an integer 0 to 18446744073709551615',
  INT8: 'an integer -128 to 127', INT16: 'an integer -32768 to 32767', INT32: 'an integer -2147483648 to 2147483647',
  INT64: 'an integer -9223372036854775808 to 9223372036854775807',
  FP16: 'a number', BF16: 'a number', FP32: 'a number in the range of FP32', FP64: 'a number in the range of FP64', BYTES: 'a string',
}

export function isDtype(text: string): text is Dtype {
  return Object.hasOwn(nouns, text)
}

export function dtypes(): string {
  return Object.keys(nouns).join(', ')
}

/** Number of elements, or Infinity when that is beyond 2^53. */
export function elements(shape: readonly number[]): number {
  let count = 1
  for (const size of shape) {
    if (size === 0) return 0
    count *= size
  }
  return count <= Number.MAX_SAFE_INTEGER ? count : Infinity
}

export function shapeText(shape: readonly number[]): string {
  return `[${shape.join(',')}]`
}

/** Reads `data`, flat or nested like `shape`. The reader stands before it. @throws WeirError */
export function readData(json: JsonReader, dtype: Dtype, shape: readonly number[], owner: Owner): Data {
  if (dtype === 'FP16' || dtype === 'BF16') throw complain(owner, `${dtype} cannot travel as JSON (Open Inference Protocol): send FP32 to a model that takes it`)
  if (json.kind() !== 'array') throw complain(owner, `expected data to be an array, found ${json.describe()}`)
  return new TensorReader(json, dtype, shape, owner).read()
}

function complain(owner: Owner, text: string): WeirError {
  return new WeirError(owner.code, `${owner.label}: ${text}`)
}

/** Small tensors lie side by side in one piece of memory, as small buffers of Node do: a piece of its own costs more than its numbers. */
const SLAB = 16_384
const SMALL = 1024
let slab = new Float32Array(0)
let used = 0

function float32s(length: number): Float32Array {
  if (length > SMALL) return new Float32Array(length)
  if (used + length > slab.length) {
    slab = new Float32Array(SLAB)
    used = 0
  }
  used += length
  return slab.subarray(used - length, used)
}

class TensorReader {
  readonly #json: JsonReader
  readonly #dtype: Dtype
  readonly #shape: readonly number[]
  readonly #owner: Owner
  readonly #expected: number
  #scan: FloatScan | null = null
  #count = 0

  constructor(json: JsonReader, dtype: Dtype, shape: readonly number[], owner: Owner) {
    this.#json = json
    this.#dtype = dtype
    this.#shape = shape
    this.#owner = owner
    this.#expected = elements(shape)
  }

  read(): Data {
    // An element takes two bytes of JSON with its comma, so a shape cannot make more memory than the body is long.
    const capacity = Math.min(this.#expected, Math.ceil((this.#json.length - this.#json.pos) / 2))
    const { data, values } = this.#plan(capacity)
    try {
      this.#level(0, values)
    } catch (error) {
      throw this.#named(error)
    }
    if (this.#count !== this.#expected) throw this.#wrong(`shape ${shapeText(this.#shape)} has ${countText(this.#expected)}, found ${this.#count}`)
    return data
  }

  /** Storage, and the loop that fills it with the scalars of one array up to its end. */
  #plan(capacity: number): { data: Data; values: () => void } {
    const dtype = this.#dtype
    const integer = integers[dtype]
    if (integer !== undefined) {
      const data = integer.make(capacity)
      return { data, values: () => this.#integers(data, integer) }
    }
    switch (dtype) {
      case 'FP32': {
        const data = float32s(capacity)
        return { data, values: () => this.#floats(data) }
      }
      case 'FP64': {
        const data = new Float64Array(capacity)
        return { data, values: () => this.#floats(data) }
      }
      case 'INT64': {
        const data = new BigInt64Array(capacity)
        return { data, values: () => this.#bigints(data, INT64_RANGE) }
      }
      case 'UINT64': {
        const data = new BigUint64Array(capacity)
        return { data, values: () => this.#bigints(data, UINT64_RANGE) }
      }
      case 'BOOL': {
        const data = new Uint8Array(capacity)
        return { data, values: () => this.#booleans(data) }
      }
      default: {
        const data: string[] = []
        return { data, values: () => this.#strings(data) }
      }
    }
  }

  /** One array: of arrays, or of scalars. A flat one may stand at the top whatever the shape: its length is the count. */
  #level(depth: number, values: () => void): void {
    const json = this.#json
    const rank = this.#shape.length
    const before = this.#count
    if (!json.enterArray()) return depth === 0 ? undefined : this.#close(depth, 0)
    if (json.kind() !== 'array') {
      values()
      if (depth === 0) return
      if (depth < rank - 1) throw this.#wrong(`data is nested ${depth + 1} deep, its shape ${shapeText(this.#shape)} has ${rank} dimensions`)
      return this.#close(depth, this.#count - before)
    }
    if (depth >= rank - 1) throw this.#wrong(`data is nested deeper than its shape ${shapeText(this.#shape)}`)
    let arrays = 0
    do {
      if (json.kind() !== 'array') throw this.#wrong(`data mixes arrays and values: expected an array, found ${json.describe()}`)
      this.#level(depth + 1, values)
      arrays++
    } while (json.nextElement())
    this.#close(depth, arrays)
  }

  #close(depth: number, length: number): void {
    const size = this.#shape[depth]
    if (length !== size) throw this.#wrong(`data does not have the shape ${shapeText(this.#shape)}: expected ${size} at depth ${depth + 1}, found ${length}`)
  }

  #floats(data: Float32Array | Float64Array): void {
    const json = this.#json
    const scan = (this.#scan ??= new FloatScan(json.bytes))
    let count = this.#count
    do {
      const left = scan.run(json.pos, data, count)
      json.pos = scan.pos
      this.#count = count = scan.count
      if (left) return
      const c = json.peek()
      if (c !== 0x2d && !(c >= 0x30 && c <= 0x39)) throw this.#odd(count)
      const value = json.number()
      data[count] = value
      const stored = data[count]
      if (stored === Infinity || stored === -Infinity) throw this.#wrong(`element ${count}: expected ${nouns[this.#dtype]}, found ${json.token}`)
      count++
    } while (json.nextElement())
    this.#count = count
  }

  #integers(data: ReturnType<IntegerType['make']>, type: IntegerType): void {
    const json = this.#json
    do {
      if (json.kind() !== 'number') throw this.#odd(this.#count)
      const value = json.number()
      if (!json.integral || value < type.min || value > type.max) throw this.#unfit()
      data[this.#count++] = value
    } while (json.nextElement())
  }

  #bigints(data: BigInt64Array | BigUint64Array, range: { readonly min: bigint; readonly max: bigint }): void {
    const json = this.#json
    do {
      if (json.kind() !== 'number') throw this.#odd(this.#count)
      const near = json.number()
      if (!json.integral) throw this.#unfit()
      const value = Number.isSafeInteger(near) ? BigInt(near) : json.bigint()
      if (value === null || value < range.min || value > range.max) throw this.#unfit()
      data[this.#count++] = value
    } while (json.nextElement())
  }

  #booleans(data: Uint8Array): void {
    const json = this.#json
    do {
      if (json.kind() !== 'boolean') throw this.#odd(this.#count)
      data[this.#count++] = json.boolean() ? 1 : 0
    } while (json.nextElement())
  }

  #strings(data: string[]): void {
    const json = this.#json
    do {
      if (json.kind() !== 'string') throw this.#odd(this.#count)
      data.push(json.string())
      this.#count++
    } while (json.nextElement())
  }

  /** An error about the JSON (a NaN, a missing bracket) is told with the tensor's name too. */
  #named(error: unknown): unknown {
    if (!(error instanceof WeirError) || error.message.startsWith(this.#owner.label)) return error
    return new WeirError(error.code, `${this.#owner.label}: ${error.message}`)
  }

  /** A value of another kind. */
  #odd(index: number): WeirError {
    const kind = this.#json.kind()
    if (kind === 'array') return this.#wrong(`data mixes arrays and values: expected ${nouns[this.#dtype]} at element ${index}, found an array`)
    return this.#wrong(`element ${index}: expected ${nouns[this.#dtype]}, found ${this.#json.describe()}`)
  }

  #unfit(): WeirError {
    return this.#wrong(`element ${this.#count}: expected ${nouns[this.#dtype]}, found ${this.#json.token}`)
  }

  #wrong(text: string): WeirError {
    return complain(this.#owner, text)
  }
}

/** `3 elements` */
export function countText(count: number): string {
  return count === Infinity ? 'more than 2^53 elements' : `${count} element${count === 1 ? '' : 's'}`
}

/**
 * JSON texts of a tensor's elements, by index.
 * @param missing text for a NaN and for what is null, null to refuse both @throws WeirError for what JSON cannot carry
 */
export function elementText(column: Column, owner: Owner, missing: string | null = null): (index: number) => string {
  const { data, dtype } = column
  if (dtype === 'FP16' || dtype === 'BF16') throw complain(owner, `${dtype} cannot travel as JSON (Open Inference Protocol)`)
  if (Array.isArray(data)) return withNulls(column, owner, missing, (i) => JSON.stringify(data[i]))
  if (dtype === 'BOOL') return withNulls(column, owner, missing, (i) => (data[i] ? 'true' : 'false'))
  if (!(data instanceof Float32Array || data instanceof Float64Array)) return (i) => String(data[i])
  const text = data instanceof Float32Array ? float32Text : float64Text
  return (i) => {
    const value = data[i]!
    if (Number.isFinite(value)) return text(value)
    if (missing !== null && Number.isNaN(value)) return missing
    return notFinite(data, i, owner)
  }
}

/** What is no number has no NaN that could stand for null. */
function withNulls({ nulls }: Column, owner: Owner, missing: string | null, text: (index: number) => string): (index: number) => string {
  if (nulls === undefined) return text
  return (i) => {
    if (nulls[i] !== 1) return text(i)
    if (missing !== null) return missing
    throw complain(owner, `element ${i} is null, which has no place here`)
  }
}

function notFinite(data: Float32Array | Float64Array, index: number, owner: Owner): never {
  throw complain(owner, `element ${index} is ${data[index]}, which JSON cannot carry`)
}

/** All elements, flat and row-major, without brackets. */
export function flatText(column: Column, owner: Owner): string {
  const { data } = column
  if (data instanceof Float32Array) return float32Texts(data, (i) => notFinite(data, i, owner))
  const text = elementText(column, owner)
  let out = ''
  for (let i = 0; i < column.data.length; i++) out += i === 0 ? text(i) : `,${text(i)}`
  return out
}

/** Whether all values have a JSON text: FP16, BF16, NaN and Infinity have none. */
export function jsonCarries({ dtype, data }: Column): boolean {
  if (dtype === 'FP16' || dtype === 'BF16') return false
  return !(data instanceof Float32Array || data instanceof Float64Array) || data.every((value: number) => Number.isFinite(value))
}
