import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { WeirError } from '../../gateway/errors.ts'
import { Fields } from '../../gateway/headers.ts'
import type { Column, Columns } from '../../gateway/payload/columns.ts'
import { rows } from '../../gateway/payload/rows.ts'
import { fp64, nullAt } from './parts.ts'

function read(text: string): Columns {
  return rows.readRequest(Buffer.from(text), Fields.of([]))
}

function answer(columns: readonly Column[], request: string): string {
  return rows.writeAnswer({ columns }, read(request)).body.toString()
}

describe('reading', () => {
  test('one object is one row', () => {
    expect(read('{"age":45,"plan":"basic","active":true,"score":null}')).toEqual({
      single: true,
      columns: [
        { name: 'age', dtype: 'FP64', shape: [1], data: Float64Array.of(45) },
        { name: 'plan', dtype: 'BYTES', shape: [1], data: ['basic'] },
        { name: 'active', dtype: 'BOOL', shape: [1], data: Uint8Array.of(1) },
        nullAt(fp64('score', [1], [Number.NaN]), 0),
      ],
    })
  })

  test('an array is as many rows, in order, whatever the order of the keys', () => {
    expect(read('[{"a":1.5,"b":"x"},{"b":"y","a":null}]')).toEqual({
      columns: [
        nullAt(fp64('a', [2], [1.5, Number.NaN]), 1),
        { name: 'b', dtype: 'BYTES', shape: [2], data: ['x', 'y'] },
      ],
    })
  })

  test('null is a missing value of what the other rows hold', () => {
    const texts = nullAt({ name: 'a', dtype: 'BYTES', shape: [3], data: ['', 'x', ''] }, 0, 2)
    expect(read('[{"a":null},{"a":"x"},{"a":null}]').columns).toEqual([texts])
    expect(read('[{"a":null},{"a":true}]').columns).toEqual([nullAt({ name: 'a', dtype: 'BOOL', shape: [2], data: Uint8Array.of(0, 1) }, 0)])
    expect(read('[{"a":["x",null]},{"a":[null,""]}]').columns).toEqual([nullAt({ name: 'a', dtype: 'BYTES', shape: [2, 2], data: ['x', '', '', ''] }, 1, 2)])
    expect(rows.writeRequest({ columns: [texts] }).body.toString()).toBe('[{"a":null},{"a":"x"},{"a":null}]')
    // Of an answer it is as little as NaN is one.
    expect(() => rows.readAnswer(Buffer.from('[{"a":"x"},{"a":null}]'), Fields.of([]))).toThrow('"a" in row 1: expected a string as in other rows, found null')
    expect(() => rows.writeAnswer({ columns: [texts] }, { columns: [texts] })).toThrow('"a": element 0 is null')
  })

  test('no rows', () => {
    expect(read('[]')).toEqual({ columns: [] })
    expect(rows.writeAnswer({ columns: [] }, read('[]')).body.toString()).toBe('[]')
  })

  test('lists are vectors', () => {
    expect(read('[{"v":[1,2,3]},{"v":[4,5,null]}]').columns).toEqual([nullAt(fp64('v', [2, 3], [1, 2, 3, 4, 5, Number.NaN]), 5)])
    expect(read('{"v":[["a","b"],["c","d"]]}').columns).toEqual([{ name: 'v', dtype: 'BYTES', shape: [1, 2, 2], data: ['a', 'b', 'c', 'd'] }])
    expect(read('[{"v":[]},{"v":[]}]').columns).toEqual([{ name: 'v', dtype: 'FP64', shape: [2, 0], data: new Float64Array(0) }])
  })

  test('lists after the first are as strict as that one', () => {
    expect(read('[{"v":[1,2,3]},{"v":[ 4 , null,-0.5e1]},{"v":[null,1e-7,12345678901234567890123]}]').columns).toEqual([
      nullAt(fp64('v', [3, 3], [1, 2, 3, 4, Number.NaN, -5, Number.NaN, 1e-7, 1.2345678901234568e22]), 4, 6),
    ])
    expect(read('[{"v":[1,2]},{"v":[9007199254740993,3]}]').columns).toEqual([{ name: 'v', dtype: 'INT64', shape: [2, 2], data: BigInt64Array.of(1n, 2n, 9007199254740993n, 3n) }])
    for (const [second, message] of [
      ['[3,4,5]', '"v" in row 1: expected a list of 2, found 3'],
      ['[3,4,5,null,7]', '"v" in row 1: expected a list of 2, found 5'],
      ['[3]', '"v" in row 1: expected a list of 2, found 1'],
      ['[]', '"v" in row 1: expected a list of 2, found 0'],
      ['[3,"x"]', '"v" in row 1 at [1]: expected a number as before, found "x"'],
      ['[[3],4]', '"v" in row 1 at [0]: expected lists 1 deep, found deeper ones'],
      ['[3,1e999]', '"v" in row 1 at [1]: expected a number in the range of FP64, found 1e999'],
    ]) expect(() => read(`[{"v":[1,2]},{"v":${second}}]`)).toThrow(message)
    for (const second of ['[3,04]', '[3,4', '[3,+4]', '[3,4.]', '[3 4]', '[,3]', '[3,4,]', '[3,.4]']) expect(() => read(`[{"v":[1,2]},{"v":${second}}]`)).toThrow('invalid JSON at byte')
  })

  test('matrices are what JSON.parse makes of them', () => {
    const number = fc.oneof(fc.double({ noNaN: true, noDefaultInfinity: true }), fc.integer(), fc.constant(null))
    const matrix = fc.integer({ min: 1, max: 6 }).chain((width) => fc.array(fc.array(number, { minLength: width, maxLength: width }), { minLength: 1, maxLength: 6 }))
    fc.assert(fc.property(matrix, fc.constantFrom(undefined, 1), (values, space) => {
      const [column] = read(JSON.stringify({ v: values }, null, space)).columns
      const expected = (JSON.parse(JSON.stringify(values)) as (number | null)[][]).flat().map((value) => value ?? Number.NaN)
      expect(column!.shape).toEqual([1, values.length, values[0]!.length])
      // Large whole numbers may have made it a column of exact integers.
      expect(Float64Array.from(column!.data as ArrayLike<number>, Number)).toEqual(Float64Array.from(expected))
    }))
  })

  test('integers a double cannot hold stay exact when the column is whole', () => {
    expect(read('[{"id":9007199254740993},{"id":-1}]').columns[0]).toEqual({ name: 'id', dtype: 'INT64', shape: [2], data: BigInt64Array.of(9007199254740993n, -1n) })
    expect(read('{"id":18446744073709551615}').columns[0]).toEqual({ name: 'id', dtype: 'UINT64', shape: [1], data: BigUint64Array.of(18446744073709551615n) })
    expect(read('[{"id":9007199254740993},{"id":0.5}]').columns[0]!.dtype).toBe('FP64')
    expect(read('{"id":36893488147419103232}').columns[0]).toEqual({ name: 'id', dtype: 'FP64', shape: [1], data: Float64Array.of(2 ** 65) })
  })

  test('a key of a prototype is a column like any other', () => {
    expect(read('{"__proto__":1,"constructor":"x"}').columns.map((column) => column.name)).toEqual(['__proto__', 'constructor'])
    expect(rows.writeRequest(read('{"__proto__":1}')).body.toString()).toBe('{"__proto__":1}')
  })
})

describe('refusing', () => {
  test.each([
    ['5', 'BAD_BODY', 'expected an object or an array of objects, found 5'],
    ['"x"', 'BAD_BODY', 'found the string "x"'],
    ['[1]', 'BAD_BODY', 'row 0: expected an object, found 1'],
    ['[[{"a":1}]]', 'BAD_BODY', 'row 0: expected an object, found an array'],
    ['{"a":1,"a":2}', 'BAD_BODY', 'row 0 has "a" twice'],
    ['[{"a":1},{"a":2,"a":3}]', 'BAD_BODY', 'row 1 has "a" twice'],
    ['{"a":1', 'BAD_BODY', 'found the end'],
    ['{"a":NaN}', 'BAD_BODY', 'found NaN, which is not JSON'],
    ['[{"a":1,"b":2},{"a":1}]', 'MODEL_INPUT', 'row 1 lacks "b", which row 0 has; send null for a missing number'],
    ['[{"a":1},{"a":1,"b":2}]', 'MODEL_INPUT', 'row 1 has "b", which row 0 lacks'],
    ['[{"a":1},{"a":"x"}]', 'MODEL_INPUT', '"a" in row 1: expected a number as before, found "x"'],
    ['[{"a":"x"},{"a":1}]', 'MODEL_INPUT', '"a" in row 1: expected a string as before, found 1'],
    ['[{"a":true},{"a":1}]', 'MODEL_INPUT', '"a" in row 1: expected a boolean as before, found 1'],
    ['{"a":{}}', 'MODEL_INPUT', '"a" in row 0: expected a number, string, boolean, null or a list of these, found an object'],
    ['{"a":1e400}', 'MODEL_INPUT', 'expected a number in the range of FP64, found 1e400'],
    ['[{"a":[1,2]},{"a":[1]}]', 'MODEL_INPUT', '"a" in row 1: expected a list of 2, found 1'],
    ['[{"a":[1]},{"a":1}]', 'MODEL_INPUT', '"a" in row 1: expected a list of 1, found 1'],
    ['[{"a":1},{"a":[1]}]', 'MODEL_INPUT', '"a" in row 1: expected a value, found a list'],
    ['{"a":[[1,2],[3]]}', 'MODEL_INPUT', 'expected a list of 2, found 1'],
    ['{"a":[1,[2]]}', 'MODEL_INPUT', 'expected lists 1 deep, found deeper ones'],
    ['{"a":[[1],2]}', 'MODEL_INPUT', 'expected a list, found 2'],
    [`{"a":${'['.repeat(20)}`, 'MODEL_INPUT', 'at most 8 deep'],
  ])('%s', (text, code, message) => {
    try {
      read(text)
      expect.unreachable()
    } catch (error) {
      expect((error as WeirError).message).toContain(message)
      expect((error as WeirError).code).toBe(code)
    }
  })

  test('too many keys', () => {
    const text = `{${Array.from({ length: 65_537 }, (_, i) => `"k${i}":1`).join(',')}}`
    expect(() => read(text)).toThrow('at most 65536 keys')
  })
})

describe('writing', () => {
  const label: Column = { name: 'label', dtype: 'INT64', shape: [2], data: BigInt64Array.of(0n, 9007199254740993n) }
  const probabilities: Column = { name: 'probabilities', dtype: 'FP32', shape: [2, 2], data: Float32Array.of(0.1, 0.9, 0.25, 0.75) }

  test('an array out for an array in: names, vectors as lists, shortest numbers', () => {
    expect(answer([label, probabilities], '[{"a":1},{"a":2}]')).toBe('[{"label":0,"probabilities":[0.1,0.9]},{"label":9007199254740993,"probabilities":[0.25,0.75]}]')
  })

  test('one object out for one in', () => {
    expect(answer([{ ...label, shape: [1], data: BigInt64Array.of(3n) }], '{"a":1}')).toBe('{"label":3}')
  })

  test('one value a row is a value, not a list of one', () => {
    expect(answer([{ name: 'score', dtype: 'FP64', shape: [2, 1], data: Float64Array.of(0.5, 1) }], '[{"a":1},{"a":2}]')).toBe('[{"score":0.5},{"score":1}]')
  })

  test('texts, truths, halves, matrices and scalars', () => {
    const columns: Column[] = [
      { name: 't', dtype: 'BYTES', shape: [1], data: ['a"b'] },
      { name: 'b', dtype: 'BOOL', shape: [1], data: Uint8Array.of(1) },
      { name: 'h', dtype: 'FP16', shape: [1], data: Uint16Array.of(0x3e00) },
      { name: 'm', dtype: 'INT8', shape: [1, 2, 2], data: Int8Array.of(1, 2, 3, 4) },
      { name: 's', dtype: 'INT32', shape: [], data: Int32Array.of(7) },
      { name: 'e', dtype: 'FP32', shape: [1, 0], data: new Float32Array(0) },
    ]
    expect(answer(columns, '[{"a":1}]')).toBe('[{"t":"a\\"b","b":true,"h":1.5,"m":[[1,2],[3,4]],"s":7,"e":[]}]')
  })

  test('an answer of another length than the request is an error', () => {
    expect(() => answer([label], '[{"a":1}]')).toThrow('"label": has 2 rows, the request 1')
  })

  test('no number is an error in an answer and null in a request', () => {
    expect(() => answer([{ name: 'y', dtype: 'FP32', shape: [1], data: Float32Array.of(Number.NaN) }], '[{"a":1}]')).toThrow('"y": element 0 is NaN, which JSON cannot carry')
    expect(rows.writeRequest(read('{"a":null}')).body.toString()).toBe('{"a":null}')
  })
})

test('what is written reads back to the same rows', () => {
  const cell = fc.record({ n: fc.option(fc.double({ noNaN: true, noDefaultInfinity: true })), s: fc.string(), b: fc.boolean(), v: fc.array(fc.integer(), { minLength: 2, maxLength: 2 }) })
  fc.assert(fc.property(fc.array(cell, { minLength: 1, maxLength: 5 }), (table) => {
    const columns = read(JSON.stringify(table))
    expect(read(rows.writeRequest(columns).body.toString())).toEqual(columns)
    expect(JSON.parse(rows.writeRequest(columns).body.toString())).toEqual(JSON.parse(JSON.stringify(table)))
  }))
})
