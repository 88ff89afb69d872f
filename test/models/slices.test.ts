/** Cutting and joining columns by rows: what is cut and joined again is what it was, whatever its type. */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { cut, join, rowsOf } from '../../gateway/models/inference/slices.ts'
import type { Column, Data, Dtype } from '../../gateway/payload/columns.ts'

const makers: Readonly<Record<Dtype, (seed: readonly number[]) => Data>> = {
  BOOL: (seed) => Uint8Array.from(seed, (value) => value & 1),
  UINT8: (seed) => Uint8Array.from(seed),
  UINT16: (seed) => Uint16Array.from(seed),
  UINT32: (seed) => Uint32Array.from(seed),
  UINT64: (seed) => BigUint64Array.from(seed, (value) => (1n << 63n) + BigInt(value)),
  INT8: (seed) => Int8Array.from(seed),
  INT16: (seed) => Int16Array.from(seed),
  INT32: (seed) => Int32Array.from(seed),
  INT64: (seed) => BigInt64Array.from(seed, (value) => -(1n << 62n) - BigInt(value)),
  FP16: (seed) => Uint16Array.from(seed),
  BF16: (seed) => Uint16Array.from(seed),
  FP32: (seed) => Float32Array.from(seed, (value) => (value === 0 ? Number.NaN : value / 3)),
  FP64: (seed) => Float64Array.from(seed, (value) => (value === 0 ? -0 : value / 3)),
  BYTES: (seed) => seed.map((value) => `text ${value}`),
}

const columns = fc
  .record({ rows: fc.integer({ min: 1, max: 12 }), widths: fc.array(fc.array(fc.integer({ min: 1, max: 3 }), { maxLength: 2 }), { minLength: 1, maxLength: 3 }), types: fc.array(fc.constantFrom(...(Object.keys(makers) as Dtype[])), { minLength: 3, maxLength: 3 }) })
  .chain(({ rows, widths, types }) =>
    fc.tuple(
      ...widths.map((rest, i): fc.Arbitrary<Column> => {
        const length = rows * rest.reduce((product, size) => product * size, 1)
        return fc.array(fc.integer({ min: 0, max: 2 ** 31 - 1 }), { minLength: length, maxLength: length }).map((seed) => ({ name: `c${i}`, dtype: types[i]!, shape: [rows, ...rest], data: makers[types[i]!](seed) }))
      }),
    ),
  )

describe('columns by rows', () => {
  test('cut anywhere and joined again are the same, every type', () => {
    fc.assert(
      fc.property(columns, fc.array(fc.integer({ min: 1, max: 5 }), { minLength: 12, maxLength: 12 }), (whole, steps) => {
        const rows = rowsOf(whole)!
        const parts: (readonly Column[])[] = []
        for (let from = 0; from < rows; ) {
          const to = Math.min(rows, from + steps[parts.length]!)
          parts.push(cut(whole, from, to))
          from = to
        }
        expect(join(parts)).toEqual(whole)
      }),
    )
  })

  test('a cut has the rows it says', () => {
    const [x, t] = cut([{ name: 'x', dtype: 'FP32', shape: [3, 2], data: Float32Array.of(1, 2, 3, 4, 5, 6) }, { name: 't', dtype: 'BYTES', shape: [3], data: ['a', 'b', 'c'] }], 1, 3)
    expect([x!.shape, [...x!.data]]).toEqual([[2, 2], [3, 4, 5, 6]])
    expect([t!.shape, t!.data]).toEqual([[2], ['b', 'c']])
  })

  test('joined rows are a copy: what is done to them is not done to the callers’', () => {
    const a: Column = { name: 'x', dtype: 'INT32', shape: [1], data: Int32Array.of(1) }
    const [both] = join([[a], [a]])
    ;(both!.data as Int32Array)[0] = 9
    expect(a.data[0]).toBe(1)
  })

  test('rows that differ beyond their number are not joined', () => {
    const of = (shape: number[], dtype: Dtype = 'FP32'): Column[] => [{ name: 'y', dtype, shape, data: new Float32Array(shape.reduce((a, b) => a * b, 1)) }]
    expect(() => join([of([1, 2]), of([1, 3])])).toThrow('"y" differs in more than its rows')
    expect(() => join([of([1, 2]), of([1, 2, 1])])).toThrow('"y" differs')
    expect(() => join([of([]), of([])])).toThrow('"y" differs')
  })

  test('the number of rows is what all columns say', () => {
    const of = (...shapes: number[][]): Column[] => shapes.map((shape, i) => ({ name: `${i}`, dtype: 'FP32', shape, data: new Float32Array(0) }))
    expect([of([2, 3], [2]), of([2, 3], [1]), of([]), of([2], []), of([0, 4]), of()].map(rowsOf)).toEqual([2, null, null, null, 0, null])
  })
})
