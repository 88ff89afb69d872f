import { describe, expect, test } from 'vitest'
import type { Format } from '../../gateway/exchange.ts'
import { Fields } from '../../gateway/headers.ts'
import type { Column, Columns } from '../../gateway/payload/columns.ts'
import { type FeatureView, featureReader } from '../../gateway/payload/features.ts'
import { kserveV1 } from '../../gateway/payload/kserve_v1.ts'
import { mlflow } from '../../gateway/payload/mlflow.ts'
import { oip } from '../../gateway/payload/oip.ts'
import { rows } from '../../gateway/payload/rows.ts'
import { tfs } from '../../gateway/payload/tfs.ts'

function read(format: Format, text: string, type = 'application/json'): Columns {
  return format.readRequest(Buffer.from(text), Fields.of(['content-type', type]))
}

/** All values, row by row. */
function table(view: FeatureView, names: readonly string[]): unknown[][] {
  return Array.from({ length: view.rows }, (_, row) => names.map((_, feature) => view.value(feature, row)))
}

function numbersOf(view: FeatureView, feature: number): number[] | null {
  const into = new Float64Array(view.rows)
  return view.numbers(feature, into) ? [...into] : null
}

describe('the same two rows in every format', () => {
  const names = ['a', 'b']
  const expected = [[1, 2.5], [3, -4]]

  test.each<[string, Format, string, string?]>([
    ['rows', rows, '[{"b":2.5,"a":1},{"a":3,"b":-4}]'],
    ['oip, a tensor a feature', oip, '{"inputs":[{"name":"b","datatype":"FP64","shape":[2,1],"data":[2.5,-4]},{"name":"a","datatype":"INT32","shape":[2],"data":[1,3]}]}'],
    ['oip, one matrix', oip, '{"inputs":[{"name":"input","datatype":"FP32","shape":[2,2],"data":[1,2.5,3,-4]}]}'],
    ['tfs instances by name', tfs, '{"instances":[{"a":1,"b":2.5},{"a":3,"b":-4}]}'],
    ['tfs instances, lists', tfs, '{"instances":[[1,2.5],[3,-4]]}'],
    ['tfs inputs by name', tfs, '{"inputs":{"a":[1,3],"b":[2.5,-4]}}'],
    ['tfs inputs, a matrix', tfs, '{"inputs":[[1,2.5],[3,-4]]}'],
    ['kserve_v1', kserveV1, '{"instances":[[1,2.5],[3,-4]]}'],
    ['mlflow split', mlflow, '{"dataframe_split":{"columns":["b","a"],"data":[[2.5,1],[-4,3]]}}'],
    ['mlflow split without names', mlflow, '{"dataframe_split":{"data":[[1,2.5],[3,-4]]}}'],
    ['mlflow records', mlflow, '{"dataframe_records":[{"a":1,"b":2.5},{"a":3,"b":-4}]}'],
    ['mlflow csv', mlflow, 'a,b\n1,2.5\n3,-4\n', 'text/csv'],
  ])('%s', (_name, format, text, type) => {
    const view = featureReader(names).view(read(format, text, type))
    expect(table(view, names)).toEqual(expected)
    expect([numbersOf(view, 0), numbersOf(view, 1)]).toEqual([[1, 3], [2.5, -4]])
    expect([view.width(0), view.width(1), view.unknown]).toEqual([1, 1, []])
  })
})

describe('values', () => {
  function view(...columns: Column[]): FeatureView {
    return featureReader(columns.map(({ name }) => name)).view({ columns })
  }

  test('of every kind', () => {
    const half = view({ name: 'h', dtype: 'FP16', shape: [2], data: Uint16Array.of(0x3c00, 0xc500) })
    // IEEE 754 binary16: 0x3c00 is 1, 0xc500 is −5. bfloat16: 0x3f80 is 1, 0xc0a0 is −5.
    expect([half.value(0, 0), half.value(0, 1), numbersOf(half, 0)]).toEqual([1, -5, [1, -5]])
    const bfloat = view({ name: 'b', dtype: 'BF16', shape: [2], data: Uint16Array.of(0x3f80, 0xc0a0) })
    expect([bfloat.value(0, 1), numbersOf(bfloat, 0)]).toEqual([-5, [1, -5]])
    const wide = view({ name: 'i', dtype: 'INT64', shape: [1], data: BigInt64Array.of(9007199254740993n) })
    expect([wide.value(0, 0), numbersOf(wide, 0)]).toEqual([9007199254740993n, [9007199254740992]])
    const yes = view({ name: 'y', dtype: 'BOOL', shape: [2], data: Uint8Array.of(1, 0) })
    expect([yes.value(0, 0), yes.value(0, 1), numbersOf(yes, 0)]).toEqual([true, false, null])
    const text = view({ name: 't', dtype: 'BYTES', shape: [1], data: ['x'] })
    expect([text.value(0, 0), numbersOf(text, 0)]).toEqual(['x', null])
  })

  test('a scalar belongs to every row; what is not there is undefined, in a row that is not there too', () => {
    const found = featureReader(['a', 's', 'gone']).view({
      columns: [{ name: 'a', dtype: 'FP64', shape: [2], data: Float64Array.of(1, 2) }, { name: 's', dtype: 'FP64', shape: [], data: Float64Array.of(7) }],
    })
    expect(table(found, ['a', 's', 'gone'])).toEqual([[1, 7, undefined], [2, 7, undefined]])
    expect([numbersOf(found, 1), numbersOf(found, 2), found.width(2), found.value(0, 2)]).toEqual([[7, 7], null, 0, undefined])
  })

  test('NaN is a number; a column of fewer rows than the request is none of numbers', () => {
    const found = view({ name: 'a', dtype: 'FP64', shape: [2], data: Float64Array.of(Number.NaN, 2) }, { name: 'b', dtype: 'FP64', shape: [1], data: Float64Array.of(1) })
    expect([numbersOf(found, 0), numbersOf(found, 1)]).toEqual([[Number.NaN, 2], null])
    expect(found.value(1, 1)).toBeUndefined()
  })

  test('null is told from NaN, and from a value', () => {
    const names = ['n', 's', 'y']
    const found = featureReader(names).view(read(rows, '[{"n":1,"s":"x","y":true},{"n":null,"s":null,"y":null}]'))
    expect(table(found, names)).toEqual([[1, 'x', true], [null, null, null]])
    expect([numbersOf(found, 0), numbersOf(found, 1), numbersOf(found, 2)]).toEqual([null, null, null])
    expect(table(featureReader(['a', 'b']).view(read(tfs, '{"instances":[[1,null],[NaN,2]]}')), ['a', 'b'])).toEqual([[1, null], [Number.NaN, 2]])
  })

  test('cells of CSV as they were written, where they are to be texts', () => {
    const names = ['zip', 'n']
    const found = featureReader(names, names, ['zip']).view(read(mlflow, 'zip,n\n01234,1\n,2\n', 'text/csv'))
    expect(table(found, names)).toEqual([['01234', 1], [null, 2]])
  })

  test('lists, element by element', () => {
    const found = featureReader(['v', 'm', 'e']).view(read(rows, '[{"v":[1,2,3],"m":[[1,2],[3,4]],"e":[]},{"v":[4,5,6],"m":[[5,6],[7,8]],"e":[]}]'))
    expect([found.width(0), found.width(1), found.width(2)]).toEqual([3, 4, 0])
    expect([found.value(0, 1, 0), found.value(0, 1, 2), found.value(0, 1, 3), found.value(1, 1, 1), found.value(2, 0)]).toEqual([4, 6, undefined, 6, undefined])
    expect(numbersOf(found, 0)).toBeNull()
  })
})

describe('which column', () => {
  const matrix = (name: string, width: number): Column => ({ name, dtype: 'FP32', shape: [2, width], data: Float32Array.from({ length: 2 * width }, (_, i) => i) })

  test('some features of the model, in its matrix', () => {
    const found = featureReader(['c', 'a', 'elsewhere'], ['a', 'b', 'c']).view({ columns: [matrix('X', 3)] })
    expect(table(found, ['c', 'a', 'elsewhere'])).toEqual([[2, 0, undefined], [5, 3, undefined]])
    expect(numbersOf(found, 0)).toEqual([2, 5])
  })

  test('a column by its name, the others in the matrix beside it', () => {
    const found = featureReader(['a', 'b']).view({ columns: [matrix('X', 2), { name: 'a', dtype: 'FP64', shape: [2], data: Float64Array.of(10, 20) }] })
    expect(table(found, ['a', 'b'])).toEqual([[10, 1], [20, 3]])
  })

  test('no guess between two matrices, nor a matrix of another width', () => {
    expect(featureReader(['a', 'b']).view({ columns: [matrix('X', 2), matrix('Y', 2)] })).toMatchObject({ unknown: ['X', 'Y'] })
    const found = featureReader(['a', 'b']).view({ columns: [matrix('X', 3)] })
    expect([found.value(0, 0), found.unknown]).toEqual([undefined, ['X']])
  })

  test('values without names are the only feature', () => {
    const found = featureReader(['a']).view(read(kserveV1, '{"instances":[1,2]}'))
    expect(table(found, ['a'])).toEqual([[1], [2]])
    expect(featureReader(['a']).view({ columns: [{ name: 'b', dtype: 'FP64', shape: [1], data: Float64Array.of(1) }] }).unknown).toEqual(['b'])
  })

  test('unknown columns are listed, up to a limit', () => {
    const reader = featureReader(['a'])
    expect(reader.view(read(rows, '{"id":7,"a":1,"channel":"web"}')).unknown).toEqual(['id', 'channel'])
    const many = Object.fromEntries(Array.from({ length: 50 }, (_, i) => [`k${i}`, i]))
    expect(reader.view(read(rows, JSON.stringify(many))).unknown).toHaveLength(32)
  })

  test('a reader learns no wrong places: keys in another order, or others', () => {
    const reader = featureReader(['a', 'b'])
    for (const text of ['{"a":1,"b":2}', '{"b":2,"a":1}', '{"x":0,"a":1,"b":2}', '{"b":2,"x":0,"a":1}', '{"a":1,"b":2}']) {
      expect(table(reader.view(read(rows, text)), ['a', 'b'])).toEqual([[1, 2]])
    }
  })

  test('no rows, and a raw tensor whose names only its model knows', () => {
    expect(featureReader(['a']).view(read(rows, '[]')).rows).toBe(0)
    expect(featureReader(['a']).view({ columns: [], raw: Buffer.alloc(4) }).rows).toBe(0)
  })
})
