/** Values of rows in the types of a model. Only precision may be lost: never a sign, a fraction or a magnitude. */
import { WeirError } from '../errors.ts'
import type { Column, Data, Dtype } from '../payload/columns.ts'
import { widened } from '../payload/halves.ts'
import { clip } from '../payload/json.ts'
import { INT64_RANGE, integers, nouns, UINT64_RANGE } from '../payload/tensor.ts'

/** @throws WeirError `MODEL_INPUT` that names the feature, the row, what was expected and found */
export function convert(column: Column, to: Dtype): Data {
  if (column.nulls !== undefined && (column.dtype === 'BYTES' || column.dtype === 'BOOL')) refuseNull(column, column.nulls, to)
  if (column.dtype === to) return column.data
  if (to === 'BYTES' && column.spelled !== undefined) return [...column.spelled]
  if (column.data.length === 0) return nothing(to)
  return convertNumbers(widened(column), to)
}

/** A missing number is NaN; of texts and truths there is nothing that a model takes for missing. */
function refuseNull(column: Column, nulls: Uint8Array, to: Dtype): void {
  const at = nulls.indexOf(1)
  if (at >= 0) throw unfit(column, at, to)
}

/** Rows of empty lists say nothing of a type. */
function nothing(to: Dtype): Data {
  if (to === 'BYTES') return []
  return to === 'BOOL' ? new Uint8Array(0) : convertNumbers({ name: '', dtype: 'FP64', shape: [0], data: new Float64Array(0) }, to)
}

function convertNumbers(column: Column, to: Dtype): Data {
  const { data } = column
  if (Array.isArray(data) || to === 'BYTES' || to === 'BOOL') throw unfit(column, 0, to)
  const integer = integers[to]
  if (integer !== undefined) {
    return fill(integer.make(data.length), column, to, (value) => {
      const number = Number(value)
      return Number.isInteger(number) && number >= integer.min && number <= integer.max ? number : null
    })
  }
  if (to === 'INT64') return fillWide(new BigInt64Array(data.length), column, to, INT64_RANGE)
  if (to === 'UINT64') return fillWide(new BigUint64Array(data.length), column, to, UINT64_RANGE)
  if (to === 'FP16') {
    const halves = fill(new Float16Array(data.length), column, to, float((value) => Math.f16round(value)))
    return new Uint16Array(halves.buffer)
  }
  if (to === 'BF16') return upperHalves(fill(new Float32Array(data.length), column, to, float(bfround)))
  return to === 'FP32' ? fill(new Float32Array(data.length), column, to, float(Math.fround)) : fill(new Float64Array(data.length), column, to, float(Number))
}

/** Columns of one value a row, side by side: `[rows, columns]`. */
export function concatenate(columns: readonly Column[], name: string, dtype: Dtype): Column {
  const width = columns.length
  const rows = columns[0]?.shape[0] ?? 1
  const parts = columns.map((column) => {
    const { shape, data } = column
    const wrong = (text: string): WeirError => new WeirError('MODEL_INPUT', `"${clip(column.name)}": expected ${text}`)
    if ((shape[0] ?? 1) !== rows) throw wrong(`${rows} rows as in "${clip(columns[0]!.name)}", found ${shape[0] ?? 'one value'}`)
    if (data.length !== rows) throw wrong('one value a row, found a list')
    return convert(column, dtype)
  })
  const shape = [rows, width]
  const first = parts[0]
  if (first === undefined || Array.isArray(first)) return { name, dtype, shape, data: interleave(parts as string[][], [], rows) }
  const Numbers = first.constructor as new (length: number) => Exclude<Data, string[]>
  return { name, dtype, shape, data: interleave(parts as Writable[], new Numbers(rows * width) as unknown as Writable, rows) as unknown as Data }
}

/** Typed arrays differ in whether an element is a number or a bigint; here they only pass through. */
interface Writable {
  [index: number]: unknown
}

function interleave<T extends Writable>(parts: readonly T[], into: T, rows: number): T {
  const width = parts.length
  parts.forEach((part, column) => {
    for (let row = 0; row < rows; row++) into[row * width + column] = part[row]
  })
  return into
}

/** @param store null when the value does not fit */
function fill<T extends { [index: number]: number }>(into: T, column: Column, to: Dtype, store: (value: number | bigint) => number | null): T {
  const data = column.data as ArrayLike<number | bigint>
  for (let i = 0; i < data.length; i++) {
    const value = store(data[i]!)
    if (value === null) throw unfit(column, i, to)
    into[i] = value
  }
  return into
}

function fillWide<T extends BigInt64Array | BigUint64Array>(into: T, column: Column, to: Dtype, range: { readonly min: bigint; readonly max: bigint }): T {
  const data = column.data as ArrayLike<number | bigint>
  for (let i = 0; i < data.length; i++) {
    const value = data[i]!
    if (typeof value === 'number' && !Number.isInteger(value)) throw unfit(column, i, to)
    const wide = BigInt(value)
    if (wide < range.min || wide > range.max) throw unfit(column, i, to)
    into[i] = wide
  }
  return into
}

/** What is not finite stays so; what is finite must not become infinite. */
function float(round: (value: number) => number): (value: number | bigint) => number | null {
  return (value) => {
    const number = Number(value)
    const rounded = round(number)
    return Number.isFinite(rounded) || !Number.isFinite(number) ? rounded : null
  }
}

const single = new Float32Array(1)
const bits = new Uint32Array(single.buffer)

/** The nearest bfloat16, the even one of two: 16 bits of a float32 are dropped, a half of what they count is added before. */
function bfround(value: number): number {
  single[0] = value
  if (Number.isNaN(value)) return value
  bits[0] = (bits[0]! + 0x7fff + ((bits[0]! >>> 16) & 1)) & 0xffff0000
  return single[0]
}

function upperHalves(floats: Float32Array): Uint16Array {
  return Uint16Array.from(new Uint32Array(floats.buffer), (word) => word >>> 16)
}

function unfit(column: Column, index: number, to: Dtype): WeirError {
  const [rows = 1, ...inner] = column.shape
  const size = column.data.length / Math.max(1, rows)
  const row = Math.floor(index / Math.max(1, size))
  const at = size > 1 ? ` at ${place(index - row * size, inner)}` : ''
  return new WeirError('MODEL_INPUT', `"${clip(column.name)}" in row ${row}${at}: expected ${nouns[to]}, found ${shown(column, index)}`)
}

/** The indices of an element within its row: `[2][0]`. */
function place(index: number, shape: readonly number[]): string {
  let rest = index
  return shape.map((_, depth) => {
    const step = shape.slice(depth + 1).reduce((product, length) => product * length, 1)
    const at = Math.floor(rest / step)
    rest -= at * step
    return `[${at}]`
  }).join('')
}

function shown({ data, dtype, nulls }: Column, index: number): string {
  if (nulls?.[index] === 1) return 'null'
  const value = data[index]
  if (typeof value === 'string') return `the string ${JSON.stringify(clip(value))}`
  if (dtype === 'BOOL') return String(value === 1)
  return Number.isNaN(value) ? 'null' : String(value)
}
