/** KServe's v1 protocol: requests of its documentation and samples (docs: "Data Plane (V1)", "Sklearn", "TensorFlow"), and what is refused. */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { Fields } from '../../gateway/headers.ts'
import type { Column, Columns } from '../../gateway/payload/columns.ts'
import { kserveV1 } from '../../gateway/payload/kserve_v1.ts'
import { fp64, nanAsNull, nullAt, refusal, table } from './parts.ts'

const NONE = Fields.of([])

function read(text: string): Columns {
  return kserveV1.readRequest(Buffer.from(text), NONE)
}

function answered(text: string): Columns {
  return kserveV1.readAnswer(Buffer.from(text), NONE)
}

function answer(columns: readonly Column[], request: string): string {
  return kserveV1.writeAnswer({ columns }, read(request)).body.toString()
}

function request(columns: readonly Column[]): string {
  return kserveV1.writeRequest({ columns }).body.toString()
}

describe('reading', () => {
  test('the iris sample', () => {
    expect(read('{\n  "instances": [\n    [6.8,  2.8,  4.8,  1.4],\n    [6.0,  3.4,  4.5,  1.6]\n  ]\n}')).toEqual({ columns: [fp64('', [2, 4], [6.8, 2.8, 4.8, 1.4, 6, 3.4, 4.5, 1.6])] })
  })

  test('an image of the TensorFlow sample', () => {
    expect(read('{ "instances": [ { "image_bytes": { "b64": "aW1hZ2UgYnl0ZXM=" }, "key": "   1" } ] }').columns).toEqual([
      { name: 'image_bytes', dtype: 'BYTES', shape: [1], data: ['image bytes'] },
      { name: 'key', dtype: 'BYTES', shape: [1], data: ['   1'] },
    ])
  })

  test('a data frame by columns of one', () => {
    expect(read('{"instances":[{"sepal_width":[3.5],"petal_length":[1.5]},{"sepal_width":[3.0],"petal_length":[1.25]}]}').columns).toEqual([fp64('sepal_width', [2, 1], [3.5, 3]), fp64('petal_length', [2, 1], [1.5, 1.25])])
  })

  test('inputs is another word for instances, and no instances are none', () => {
    expect(read('{"inputs":[[1,2]],"parameters":{}}')).toEqual({ columns: [fp64('', [1, 2], [1, 2])] })
    expect(read('{"instances":[]}')).toEqual({ columns: [] })
    expect(answer([], '{"instances":[]}')).toBe('{"predictions":[]}')
  })

  test('exact integers and missing numbers', () => {
    expect(read('{"instances":[9007199254740993]}').columns[0]).toEqual({ name: '', dtype: 'INT64', shape: [1], data: BigInt64Array.of(9007199254740993n) })
    expect(read('{"instances":[[1,null]]}').columns).toEqual([nullAt(fp64('', [1, 2], [1, Number.NaN]), 1)])
  })

  test.each([
    ['', 'BAD_BODY', 'found an empty one'],
    ['[[1,2]]', 'BAD_BODY', 'expected an object'],
    ['{}', 'BAD_BODY', 'expected "instances", found none'],
    ['{"instance":[1]}', 'BAD_BODY', 'expected "instances", found none'],
    ['{"instances":{"a":[1]}}', 'BAD_BODY', 'expected "instances" to be a list, found an object'],
    ['{"inputs":{"a":[1]}}', 'BAD_BODY', 'expected "inputs" to be a list, found an object'],
    ['{"instances":"x"}', 'BAD_BODY', 'expected "instances" to be a list, found the string "x"'],
    ['{"instances":[1],"inputs":[1]}', 'BAD_BODY', 'expected either "instances" or "inputs", found both'],
    ['{"instances":[1],"instances":[1]}', 'BAD_BODY', '"instances" is given twice'],
    ['{"instances":[[1,2],[3]]}', 'MODEL_INPUT', 'instances[1]: expected a list of 2, found 1'],
    ['{"instances":[[1,"2"]]}', 'MODEL_INPUT', 'instances[0][1]: expected a number as before, found "2"'],
    ['{"instances":[{"a":1},[1]]}', 'BAD_BODY', 'row 1: expected an object, found an array'],
    ['{"instances":[[1],{"a":1}]}', 'MODEL_INPUT', 'instances[1]: expected a list of 1, found an object'],
    ['{"instances":[{"a":{"b":1}}]}', 'MODEL_INPUT', '"a" in row 0: expected a number, string, boolean, null, {"b64": …} or a list of these, found an object'],
    ['{"instances":[{"a":[[1,2],[3]]}]}', 'MODEL_INPUT', '"a" in row 0 at [1]: expected a list of 2, found 1'],
    ['{"instances":[NaN]}', 'BAD_BODY', 'found NaN, which is not JSON'],
    ['{"instances":[1', 'BAD_BODY', 'found the end'],
  ])('%s', (text, code, message) => {
    const error = refusal(() => read(text))
    expect(error.message).toContain(message)
    expect(error.code).toBe(code)
  })
})

describe('answers', () => {
  const label: Column = { name: 'label', dtype: 'INT64', shape: [2], data: BigInt64Array.of(1n, 9007199254740993n) }
  const probabilities: Column = { name: 'probabilities', dtype: 'FP32', shape: [2, 2], data: Float32Array.of(0.1, 0.9, 0.25, 0.75) }

  test('one output is its list, several are objects', () => {
    expect(answer([label], '{"instances":[[1],[2]]}')).toBe('{"predictions":[1,9007199254740993]}')
    expect(answer([label, probabilities], '{"instances":[[1],[2]]}')).toBe('{"predictions":[{"label":1,"probabilities":[0.1,0.9]},{"label":9007199254740993,"probabilities":[0.25,0.75]}]}')
  })

  test('another number of rows and no numbers are errors', () => {
    expect(refusal(() => answer([label], '{"instances":[[1]]}')).code).toBe('MODEL_FAILED')
    expect(refusal(() => answer([{ name: 'y', dtype: 'FP64', shape: [1], data: Float64Array.of(Infinity) }], '{"instances":[1]}'))).toMatchObject({ code: 'MODEL_FAILED', message: '"y": element 0 is Infinity, which JSON cannot carry' })
  })

  test('are read back', () => {
    expect(answered('{"predictions":[1,0]}').columns).toEqual([fp64('predictions', [2], [1, 0])])
    expect(answered('{"predictions":[{"label":1,"p":[0.5,0.5]}]}').columns).toEqual([fp64('label', [1], [1]), fp64('p', [1, 2], [0.5, 0.5])])
    for (const text of ['', '{}', '{"error":"x"}', '{"predictions":[1,"x"]}', '{"predictions":[1]}}', '{"predictions":[1],"predictions":[1]}']) expect(refusal(() => answered(text)).code).toBe('INVALID_ANSWER')
  })
})

describe('requests', () => {
  test('a feature keeps its name, a matrix needs none', () => {
    expect(request([fp64('x', [2], [1, 2])])).toBe('{"instances":[{"x":1},{"x":2}]}')
    expect(request([fp64('', [2], [1, 2])])).toBe('{"instances":[1,2]}')
    expect(request([fp64('features', [2, 2], [1, 2, 3, 4])])).toBe('{"instances":[[1,2],[3,4]]}')
    expect(request([fp64('a', [1, 1], [1]), fp64('b', [1, 2], [2, 3])])).toBe('{"instances":[{"a":[1],"b":[2,3]}]}')
  })

  test('a missing number is null, an infinite one is no JSON', () => {
    expect(request([fp64('', [1, 2], [Number.NaN, 1])])).toBe('{"instances":[[null,1]]}')
    expect(refusal(() => request([fp64('x', [1], [Infinity])]))).toMatchObject({ code: 'MODEL_INPUT', message: '"x": element 0 is Infinity, which JSON cannot carry' })
  })

  test('what is written reads back to the same values', () => {
    fc.assert(fc.property(table(2), (columns) => {
      expect(read(request(columns))).toEqual({ columns: columns.map(nanAsNull) })
    }))
    fc.assert(fc.property(table(1), ([column]) => {
      const columns = [{ ...column!, name: '' }]
      expect(read(request(columns))).toEqual({ columns: columns.map(nanAsNull) })
    }))
  })
})
