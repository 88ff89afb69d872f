/** Cells of a column as plain values: what selectors print and conditions compare. */
import type { Column } from '../payload/columns.ts'

/** 64-bit integers stay bigint (exact); other numbers are doubles, a missing one NaN; BOOL is a boolean, BYTES a string, null where they are missing. */
export type Value = number | bigint | boolean | string | null

const half = new Float16Array(1)
const halfBits = new Uint16Array(half.buffer)
const single = new Float32Array(1)
const singleBits = new Uint32Array(single.buffer)

/** @returns undefined beyond the end */
export function valueAt({ dtype, data, nulls }: Column, index: number): Value | undefined {
  const raw = data[index]
  if (raw === undefined) return undefined
  if (nulls?.[index] === 1 && (dtype === 'BYTES' || dtype === 'BOOL')) return null
  if (dtype === 'BOOL') return raw !== 0
  if (dtype === 'FP16') return fromHalf(raw as number)
  if (dtype === 'BF16') return fromBrain(raw as number)
  return raw
}

/** The only value of a column with one, a list of all otherwise. */
export function valueOf(column: Column): Value | Value[] {
  const { length } = column.data
  if (length === 1) return valueAt(column, 0)!
  return Array.from({ length }, (_, i) => valueAt(column, i)!)
}

/** IEEE 754 binary16 from its bits. */
function fromHalf(bits: number): number {
  halfBits[0] = bits
  return half[0]!
}

/** bfloat16 is the upper half of a binary32. */
function fromBrain(bits: number): number {
  singleBits[0] = bits << 16
  return single[0]!
}
