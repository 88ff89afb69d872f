/** TensorFlow Serving's predict API: the examples of its documentation (g3doc/api_rest.md) as they stand there, and what json_tensor.cc refuses. */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { WeirError } from '../../gateway/errors.ts'
import { Fields } from '../../gateway/headers.ts'
import type { Column, Columns } from '../../gateway/payload/columns.ts'
import { tfs } from '../../gateway/payload/tfs.ts'
import { fp64, nullAt, refusal, table } from './parts.ts'

const NONE = Fields.of([])

function read(text: string): Columns {
  return tfs.readRequest(Buffer.from(text), NONE)
}

function answered(text: string): Columns {
  return tfs.readAnswer(Buffer.from(text), NONE)
}

function answer(columns: readonly Column[], request: string): string {
  return tfs.writeAnswer({ columns }, read(request)).body.toString()
}

describe('the examples of the documentation', () => {
  test('a list of 3 scalar tensors', () => {
    expect(read('{\n  // List of 3 scalar tensors.\n  "instances": [ "foo", "bar", "baz" ]\n}'.replace(/\/\/.*/, ''))).toEqual({
      columns: [{ name: '', dtype: 'BYTES', shape: [3], data: ['foo', 'bar', 'baz'] }],
    })
  })

  test('a list of 2 tensors each of [1, 2] shape', () => {
    expect(read('{\n  "instances": [ [[1, 2]], [[3, 4]] ]\n}')).toEqual({ columns: [fp64('', [2, 1, 2], [1, 2, 3, 4])] })
  })

  // The document has one bracket too many in the second signal.
  const rowForm = '{\n "instances": [\n   {\n     "tag": "foo",\n     "signal": [1, 2, 3, 4, 5],\n     "sensor": [[1, 2], [3, 4]]\n   },\n   {\n     "tag": "bar",\n     "signal": [3, 4, 1, 2, 5],\n     "sensor": [[4, 5], [6, 8]]\n   }\n ]\n}'
  const columnForm = '{\n "inputs": {\n   "tag": ["foo", "bar"],\n   "signal": [[1, 2, 3, 4, 5], [3, 4, 1, 2, 5]],\n   "sensor": [[[1, 2], [3, 4]], [[4, 5], [6, 8]]]\n }\n}'
  const columns = [
    { name: 'tag', dtype: 'BYTES', shape: [2], data: ['foo', 'bar'] },
    fp64('signal', [2, 5], [1, 2, 3, 4, 5, 3, 4, 1, 2, 5]),
    fp64('sensor', [2, 2, 2], [1, 2, 3, 4, 4, 5, 6, 8]),
  ]

  test('three named inputs by rows and by columns are the same tensors', () => {
    expect(read(rowForm)).toEqual({ columns })
    expect(read(columnForm)).toEqual({ columns, columnar: true })
  })

  test('half_plus_three', () => {
    expect(read('{"instances": [1.0,2.0,5.0]}')).toEqual({ columns: [fp64('', [3], [1, 2, 5])] })
    const y: Column = { name: 'y', dtype: 'FP32', shape: [3], data: Float32Array.of(3.5, 4, 5.5) }
    expect(JSON.parse(answer([y], '{"instances": [1.0,2.0,5.0]}'))).toEqual({ predictions: [3.5, 4.0, 5.5] })
    expect(JSON.parse(answer([y], '{"inputs": [1.0,2.0,5.0]}'))).toEqual({ outputs: [3.5, 4.0, 5.5] })
  })

  test('binary values', () => {
    expect(read('{"instances": [{ "image": { "b64": "aW1hZ2UgYnl0ZXM=" }, "caption": "seaside" }, { "image": { "b64": "YXdlc29tZSBpbWFnZSBieXRlcw==" }, "caption": "mountains" }]}').columns).toEqual([
      { name: 'image', dtype: 'BYTES', shape: [2], data: ['image bytes', 'awesome image bytes'] },
      { name: 'caption', dtype: 'BYTES', shape: [2], data: ['seaside', 'mountains'] },
    ])
    expect(read('{"instances":[{"b64":"aW1hZ2UgYnl0ZXM="}]}').columns).toEqual([{ name: '', dtype: 'BYTES', shape: [1], data: ['image bytes'] }])
    expect(read('{"inputs":{"b64":"aW1hZ2UgYnl0ZXM"}}').columns).toEqual([{ name: '', dtype: 'BYTES', shape: [], data: ['image bytes'] }])
    // Not only the key b64, or not a text: an object of inputs.
    expect(read('{"inputs":{"b64":[1]}}').columns).toEqual([fp64('b64', [1], [1])])
    expect(read('{"instances":[{"b64":"x","a":1}]}').columns.map(({ name }) => name)).toEqual(['b64', 'a'])
  })

  test('a text can be null', () => {
    const columns = [nullAt({ name: '', dtype: 'BYTES', shape: [2], data: ['x', ''] }, 1)]
    expect(read('{"instances":["x",null]}').columns).toEqual(columns)
    expect(tfs.writeRequest({ columns }).body.toString()).toBe('{"instances":["x",null]}')
  })

  test('NaN and Infinity are numbers ("JSON conformance")', () => {
    expect(read('{"instances":[[ 1.0, -3.14, NaN, Infinity ],[-Infinity,null,-0.0,1e2]]}').columns).toEqual([nullAt(fp64('', [2, 4], [1, -3.14, Number.NaN, Infinity, -Infinity, Number.NaN, -0, 100]), 5)])
    expect(answered('{"predictions":[NaN,-Infinity]}').columns).toEqual([fp64('predictions', [2], [Number.NaN, -Infinity])])
    expect(tfs.writeRequest({ columns: [fp64('', [3], [Number.NaN, Infinity, -Infinity])] }).body.toString()).toBe('{"instances":[NaN,Infinity,-Infinity]}')
  })
})

describe('reading', () => {
  test('integers beyond 2^53 are exact', () => {
    expect(read('{"instances":[9007199254740993,-1]}').columns[0]).toEqual({ name: '', dtype: 'INT64', shape: [2], data: BigInt64Array.of(9007199254740993n, -1n) })
    expect(read('{"inputs":{"id":[[18446744073709551615]]}}').columns[0]).toEqual({ name: 'id', dtype: 'UINT64', shape: [1, 1], data: BigUint64Array.of(18446744073709551615n) })
  })

  test('the default signature may be named, other keys are read over', () => {
    expect(read('{"signature_name":"serving_default","x":{"y":[1]},"instances":[1]}').columns).toHaveLength(1)
    expect(read('{"signature_name":"","instances":[1]}').columns).toHaveLength(1)
  })

  test('a scalar, and inputs of different first dimensions, are columnar only', () => {
    expect(read('{"inputs":5}')).toEqual({ columns: [fp64('', [], [5])], columnar: true })
    expect(read('{"inputs":{"a":[[1,2]],"k":3,"b":[true,false,true]}}').columns).toEqual([
      fp64('a', [1, 2], [1, 2]), fp64('k', [], [3]), { name: 'b', dtype: 'BOOL', shape: [3], data: Uint8Array.of(1, 0, 1) },
    ])
  })
})

describe('refusing', () => {
  test.each([
    ['', 'BAD_BODY', 'found an empty one'],
    ['[1]', 'BAD_BODY', 'expected an object'],
    ['{}', 'BAD_BODY', 'expected "instances" or "inputs", found neither'],
    ['{"examples":[{"x":1}]}', 'BAD_BODY', 'expected "instances" or "inputs", found neither'],
    ['{"instances":[1],"inputs":[1]}', 'BAD_BODY', 'expected either "instances" or "inputs", found both'],
    ['{"instances":[1],"instances":[2]}', 'BAD_BODY', '"instances" is given twice'],
    ['{"inputs":[1],"inputs":[2]}', 'BAD_BODY', '"inputs" is given twice'],
    ['{"instances":{"a":1}}', 'BAD_BODY', 'expected "instances" to be a list, found an object'],
    ['{"instances":5}', 'BAD_BODY', 'expected "instances" to be a list, found 5'],
    ['{"instances":[]}', 'MODEL_INPUT', 'expected at least one value in "instances", found none'],
    ['{"inputs":{}}', 'MODEL_INPUT', 'expected at least one value in "inputs", found none'],
    ['{"instances":[1],"signature_name":5}', 'BAD_BODY', 'expected "signature_name" to be a string, found 5'],
    ['{"instances":[1],"signature_name":"predict_images"}', 'MODEL_INPUT', 'unknown signature "predict_images"; the model has "serving_default" alone'],
    ['{"instances":[{"a":1},5]}', 'BAD_BODY', 'row 1: expected an object, found 5'],
    ['{"instances":[{"a":1},{"b":1}]}', 'MODEL_INPUT', 'row 1 has "b", which row 0 lacks'],
    ['{"instances":[{"a":1,"b":1},{"a":1}]}', 'MODEL_INPUT', 'row 1 lacks "b"'],
    ['{"instances":[{"a":1,"a":1}]}', 'BAD_BODY', 'row 0 has "a" twice'],
    ['{"instances":[1,{"a":1}]}', 'MODEL_INPUT', 'instances[1]: expected a number, string, boolean, null, {"b64": …} or a list of these, found an object'],
    ['{"instances":[1,"x"]}', 'MODEL_INPUT', 'instances[1]: expected a number as before, found "x"'],
    ['{"instances":["x",NaN]}', 'MODEL_INPUT', 'instances[1]: expected a string as before, found NaN'],
    ['{"instances":[1,[2]]}', 'MODEL_INPUT', 'instances[1]: expected a value, found a list'],
    ['{"instances":[[1],2]}', 'MODEL_INPUT', 'instances[1]: expected a list of 1, found 2'],
    ['{"instances":[[1,2],[3]]}', 'MODEL_INPUT', 'instances[1]: expected a list of 2, found 1'],
    ['{"instances":[[[1,2]],[[3,4],[5,6]]]}', 'MODEL_INPUT', 'instances[1]: expected a list of 1, found 2'],
    ['{"instances":[[[1,2],[3]]]}', 'MODEL_INPUT', 'instances[0][1]: expected a list of 2, found 1'],
    ['{"instances":[[true],[1]]}', 'MODEL_INPUT', 'instances[1][0]: expected a boolean as before, found 1'],
    ['{"instances":[1e400]}', 'MODEL_INPUT', 'instances[0]: expected a number in the range of FP64, found 1e400'],
    ['{"instances":[{"b64":"a$b"}]}', 'MODEL_INPUT', 'instances[0]: expected base64 in "b64", found "a$b"'],
    ['{"instances":[{"b64":"abcde"}]}', 'MODEL_INPUT', 'instances[0]: expected base64 in "b64", found "abcde"'],
    ['{"instances":[{"b64":"/w=="}]}', 'MODEL_INPUT', 'instances[0]: expected the bytes in "b64" to be UTF-8'],
    ['{"instances":[{"x":{"b64":"YQ=="}},{"x":1}]}', 'MODEL_INPUT', '"x" in row 1: expected a string as before, found 1'],
    ['{"instances":[1,{"b64":"YQ=="}]}', 'MODEL_INPUT', 'instances[1]: expected a number as before, found a string in base64'],
    ['{"inputs":[[1,2],[3]]}', 'MODEL_INPUT', 'inputs[1]: expected a list of 2, found 1'],
    ['{"inputs":[[1,2],[3,"x"]]}', 'MODEL_INPUT', 'inputs[1][1]: expected a number as before, found "x"'],
    ['{"inputs":{"s":[[1,2],[3,[4]]]}}', 'MODEL_INPUT', '"s" at [1][1]: expected lists 2 deep, found deeper ones'],
    ['{"inputs":{"s":[[1,2],3]}}', 'MODEL_INPUT', '"s" at [1]: expected a list, found 3'],
    ['{"inputs":{"s":{"t":1}}}', 'MODEL_INPUT', '"s": expected a number'],
    ['{"inputs":{"s":[1],"s":[1]}}', 'BAD_BODY', '"inputs" has "s" twice'],
    [`{"inputs":${'['.repeat(12)}`, 'MODEL_INPUT', 'at most 8 deep'],
    ['{"inputs":[Nan]}', 'BAD_BODY', 'expected a value'],
    ['{"inputs":[NaNa]}', 'BAD_BODY', "expected ',' or ']'"],
    ['{"instances":[1]} x', 'BAD_BODY', 'the end of the body'],
  ])('%s', (text, code, message) => {
    const error = refusal(() => read(text))
    expect(error.message).toContain(message)
    expect(error.code).toBe(code)
  })

  test('an answer', () => {
    for (const text of ['', '{}', '[]', '{"error":"x"}', '{"predictions":[[1],[2,3]]}', '{"predictions":[1],"outputs":[1]}', '{"predictions":{"a":{"c":1}}}']) {
      expect(refusal(() => answered(text)).code).toBe('INVALID_ANSWER')
    }
  })
})

describe('answers', () => {
  const label: Column = { name: 'label', dtype: 'INT64', shape: [2], data: BigInt64Array.of(0n, 9007199254740993n) }
  const scores: Column = { name: 'scores', dtype: 'FP32', shape: [2, 1], data: Float32Array.of(0.1, 0.5) }
  const png: Column = { name: 'png_bytes', dtype: 'BYTES', shape: [2], data: ['image bytes', ''] }

  test('in the form that was asked for: rows', () => {
    expect(answer([label], '{"instances":[1,2]}')).toBe('{"predictions":[0,9007199254740993]}')
    expect(answer([scores], '{"instances":[1,2]}')).toBe('{"predictions":[[0.1],[0.5]]}')
    expect(answer([label, scores], '{"instances":[1,2]}')).toBe('{"predictions":[{"label":0,"scores":[0.1]},{"label":9007199254740993,"scores":[0.5]}]}')
  })

  test('and columns', () => {
    expect(answer([scores], '{"inputs":[1,2]}')).toBe('{"outputs":[[0.1],[0.5]]}')
    expect(answer([label, scores], '{"inputs":[1,2]}')).toBe('{"outputs":{"label":[0,9007199254740993],"scores":[[0.1],[0.5]]}}')
    expect(answer([{ name: 's', dtype: 'INT32', shape: [], data: Int32Array.of(7) }], '{"inputs":[1,2]}')).toBe('{"outputs":7}')
  })

  test('names that end in _bytes are binary', () => {
    expect(answer([png], '{"instances":[1,2]}')).toBe('{"predictions":[{"b64":"aW1hZ2UgYnl0ZXM="},{"b64":""}]}')
    expect(answer([label, png], '{"inputs":[1,2]}')).toBe('{"outputs":{"label":[0,9007199254740993],"png_bytes":[{"b64":"aW1hZ2UgYnl0ZXM="},{"b64":""}]}}')
  })

  test('16-bit floats are numbers', () => {
    const halves: Column[] = [{ name: 'h', dtype: 'FP16', shape: [1], data: Uint16Array.of(0x3e00) }, { name: 'b', dtype: 'BF16', shape: [1], data: Uint16Array.of(0xbfc0) }]
    expect(answer(halves, '{"instances":[1]}')).toBe('{"predictions":[{"h":1.5,"b":-1.5}]}')
  })

  test('rows that are more or fewer than asked for, and no numbers, are errors', () => {
    expect(refusal(() => answer([label], '{"instances":[1]}'))).toMatchObject({ code: 'MODEL_FAILED', message: '"label": has 2 rows, the request 1' })
    expect(refusal(() => answer([{ ...scores, data: Float32Array.of(1, Number.NaN) }], '{"instances":[1,2]}'))).toMatchObject({ code: 'MODEL_FAILED', message: '"scores": element 1 is NaN, which JSON cannot carry' })
  })

  test('are read back', () => {
    expect(answered('{"predictions":[{"label":0,"scores":[0.5]},{"label":1,"scores":[1]}],"x":1}').columns).toEqual([fp64('label', [2], [0, 1]), fp64('scores', [2, 1], [0.5, 1])])
    expect(answered('{"outputs":[[1,2]]}')).toEqual({ columns: [fp64('outputs', [1, 2], [1, 2])], columnar: true })
    expect(answered('{"outputs":{"a":[1,2],"b":3}}').columns).toEqual([fp64('a', [2], [1, 2]), fp64('b', [], [3])])
    expect(answered('{"predictions":[{"b64":"aW1hZ2UgYnl0ZXM="}]}').columns).toEqual([{ name: 'predictions', dtype: 'BYTES', shape: [1], data: ['image bytes'] }])
  })
})

describe('requests', () => {
  test('rows where all inputs have as many, whole tensors otherwise', () => {
    const a = fp64('a', [2, 1], [1, 2])
    const b = fp64('b', [2], [3, 4])
    expect(tfs.writeRequest({ columns: [a, b] }).body.toString()).toBe('{"instances":[{"a":[1],"b":3},{"a":[2],"b":4}]}')
    expect(tfs.writeRequest({ columns: [a] }).body.toString()).toBe('{"instances":[[1],[2]]}')
    expect(tfs.writeRequest({ columns: [a, fp64('k', [], [5])] }).body.toString()).toBe('{"inputs":{"a":[[1],[2]],"k":5}}')
    expect(tfs.writeRequest({ columns: [a, b], columnar: true }).body.toString()).toBe('{"inputs":{"a":[[1],[2]],"b":[3,4]}}')
    expect(tfs.writeRequest({ columns: [fp64('', [], [5])] }).body.toString()).toBe('{"inputs":5}')
  })

  test('what is written reads back to the same values, in both forms', () => {
    fc.assert(fc.property(table(2), fc.boolean(), (columns, columnar) => {
      const given: Columns = columnar ? { columns, columnar } : { columns }
      expect(read(tfs.writeRequest(given).body.toString())).toEqual(given)
    }))
    fc.assert(fc.property(table(1), fc.boolean(), ([column], columnar) => {
      const given: Columns = { columns: [{ ...column!, name: '' }], ...(columnar && { columnar }) }
      expect(read(tfs.writeRequest(given).body.toString())).toEqual(given)
    }))
  })

  test('any damage is refused, never by another kind of error', () => {
    const body = Buffer.from('{"signature_name":"serving_default","instances":[{"a":[1,NaN],"b":{"b64":"YQ=="}},{"a":[null,-0.5],"b":"x"}]}')
    fc.assert(fc.property(fc.nat(), fc.integer({ min: 0, max: 255 }), fc.boolean(), (at, byte, cut) => {
      const damaged = Buffer.from(cut ? body.subarray(0, at % body.length) : body)
      if (!cut) damaged[at % body.length] = byte
      try {
        tfs.readRequest(damaged, NONE)
      } catch (error) {
        expect(['BAD_BODY', 'MODEL_INPUT']).toContain((error as WeirError).code)
      }
    }), { numRuns: 500 })
  })
})
