/** Values of rows in the types of a model. Only precision may be lost: never a sign, a fraction or a magnitude. */
import { WeirError } from '../errors.ts'
import type { Column, Data, Dtype } from '../payload/columns.ts'
import { clip } from '../payload/json.ts'
import { INT64_RANGE, integers, nouns, UINT64_RANGE } from '../payload/tensor.ts'

/** @throws WeirError `MODEL_INPUT` that names the feature, the row, what was expected and found */
export function convert(column: Column, to: Dtype): Data {
  const { data, dtype } = column
  if (dtype === to) return data
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
  return to === 'FP32' ? fill(new Float32Array(data.length), column, to, float(Math.fround)) : fill(new Float64Array(data.length), column, to, float(Number))
}

/** Columns of one value a row, side by side: `[rows, columns]`. */
export function concatenate(columns: readonly Column[], name: string, dtype: Dtype, rows: number): Column {
  const width = columns.length
  const parts = columns.map((column) => {
    if (column.data.length !== rows) throw new WeirError('MODEL_INPUT', `"${clip(column.name)}": expected one value a row, found a list`)
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

function float(round: (value: number) => number): (value: number | bigint) => number | null {
  return (value) => {
    const rounded = round(Number(value))
    return Number.isFinite(rounded) || Number.isNaN(rounded) ? rounded : null
  }
}

function unfit(column: Column, index: number, to: Dtype): WeirError {
  const rows = column.shape[0] ?? 1
  const row = Math.floor(index / Math.max(1, column.data.length / rows))
  return new WeirError('MODEL_INPUT', `"${clip(column.name)}" in row ${row}: expected ${nouns[to]}, found ${shown(column, index)}`)
}

function shown({ data, dtype }: Column, index: number): string {
  const value = data[index]
  if (typeof value === 'string') return `the string ${JSON.stringify(clip(value))}`
  if (dtype === 'BOOL') return String(value === 1)
  return Number.isNaN(value) ? 'null' : String(value)
}
