/** Columns and random columns for the tests of formats without datatypes. */
import fc from 'fast-check'
import { WeirError } from '../../gateway/errors.ts'
import type { Column } from '../../gateway/payload/columns.ts'

export function fp64(name: string, shape: number[], values: number[]): Column {
  return { name, dtype: 'FP64', shape, data: Float64Array.from(values) }
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

function columnOf(name: string, rows: number): fc.Arbitrary<Column> {
  return inner.chain((rest) => {
    const shape = [rows, ...rest]
    const count = shape.reduce((product, size) => product * size, 1)
    const exactly = { minLength: count, maxLength: count }
    const doubles = fc.array(fc.double({ noDefaultInfinity: true }), exactly).map((values): Column => fp64(name, shape, values))
    const texts = fc.array(fc.string({ unit: 'binary' }), exactly).map((data): Column => ({ name, dtype: 'BYTES', shape, data }))
    const truths = fc.array(fc.integer({ min: 0, max: 1 }), exactly).map((data): Column => ({ name, dtype: 'BOOL', shape, data: Uint8Array.from(data) }))
    // One beyond 2^53 makes a column of exact integers of what else would be doubles.
    const wide = fc.array(fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }), exactly)
      .map((data): Column => ({ name, dtype: 'INT64', shape, data: BigInt64Array.from([2n ** 63n - 1n, ...data.slice(1)]) }))
    return fc.oneof(doubles, texts, truths, wide)
  })
}

/** `width` columns with different names and the same number of rows, of every type that these formats tell apart. */
export function table(width: number): fc.Arbitrary<Column[]> {
  const names = fc.uniqueArray(fc.string({ unit: 'binary', minLength: 1 }), { minLength: width, maxLength: width })
  return fc.tuple(names, fc.integer({ min: 1, max: 4 })).chain(([chosen, rows]) => fc.tuple(...chosen.map((name) => columnOf(name, rows))))
}
