/** Columns and random columns for the tests of formats without datatypes. */
import fc from 'fast-check'
import { WeirError } from '../../gateway/errors.ts'
import type { Column } from '../../gateway/payload/columns.ts'

export function fp64(name: string, shape: number[], values: number[]): Column {
  return { name, dtype: 'FP64', shape, data: Float64Array.from(values) }
}

/** The column with null in these places of it. */
export function nullAt(column: Column, ...places: number[]): Column {
  const nulls = new Uint8Array(column.data.length)
  for (const place of places) nulls[place] = 1
  return { ...column, nulls }
}

/** As it reads back where NaN is written as null. */
export function nanAsNull(column: Column): Column {
  const places = Array.from(column.data as ArrayLike<unknown>, (value, i) => (Number.isNaN(value) ? i : -1)).filter((place) => place >= 0)
  return places.length === 0 ? column : nullAt(column, ...places)
}

export function refusal(run: () => unknown): WeirError {
  try {
    run()
  } catch (error) {
    if (error instanceof WeirError) return error
    throw error
  }
  throw new Error('it was taken')
}

/** Inner shapes that JSON lists can say: what is empty has no dimensions behind it. */
const inner = fc.array(fc.integer({ min: 1, max: 3 }), { maxLength: 3 })

/** An integer of full length that a double may not hold: where all are integers, it makes them exact ones. */
const isWide = (value: number): boolean => Math.abs(value) >= 2 ** 53 && !String(value).includes('e')

function columnOf(name: string, rows: number): fc.Arbitrary<Column> {
  return inner.chain((rest) => {
    const shape = [rows, ...rest]
    const count = shape.reduce((product, size) => product * size, 1)
    const exactly = { minLength: count, maxLength: count }
    const doubles = fc.array(fc.double({ noDefaultInfinity: true }), exactly).filter((values) => !values.every(Number.isInteger) || !values.some(isWide)).map((values): Column => fp64(name, shape, values))
    const texts = fc.array(fc.string({ unit: 'binary' }), exactly).map((data): Column => ({ name, dtype: 'BYTES', shape, data }))
    const truths = fc.array(fc.integer({ min: 0, max: 1 }), exactly).map((data): Column => ({ name, dtype: 'BOOL', shape, data: Uint8Array.from(data) }))
    // What is null from its first value on would be numbers.
    const places = fc.uniqueArray(fc.integer({ min: 1, max: Math.max(1, count - 1) })).map((chosen) => chosen.filter((place) => place < count))
    const holed = fc.tuple(fc.oneof(texts, truths), places).map(([column, chosen]) => (chosen.length === 0 ? column : emptied(nullAt(column, ...chosen))))
    // One beyond 2^53 makes a column of exact integers of what else would be doubles.
    const wide = fc.array(fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }), exactly)
      .map((data): Column => ({ name, dtype: 'INT64', shape, data: BigInt64Array.from([2n ** 63n - 1n, ...data.slice(1)]) }))
    return fc.oneof(doubles, texts, truths, holed, wide)
  })
}

/** What stands where the body says null. */
function emptied({ data, nulls, ...rest }: Column): Column {
  const values = Array.isArray(data) ? data.map((text, i) => (nulls![i] === 1 ? '' : text)) : Uint8Array.from(data as Uint8Array, (truth, i) => (nulls![i] === 1 ? 0 : truth))
  return { ...rest, data: values, nulls: nulls! }
}

/** `width` columns with different names and the same number of rows, of every type that these formats tell apart. */
export function table(width: number): fc.Arbitrary<Column[]> {
  const names = fc.uniqueArray(fc.string({ unit: 'binary', minLength: 1 }), { minLength: width, maxLength: width })
  return fc.tuple(names, fc.integer({ min: 1, max: 4 })).chain(([chosen, rows]) => fc.tuple(...chosen.map((name) => columnOf(name, rows))))
}
