import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { WeirError } from '../../gateway/errors.ts'
import { Fields } from '../../gateway/headers.ts'
import type { Column, Columns, Data, Dtype } from '../../gateway/payload/columns.ts'
import { oip } from '../../gateway/payload/oip.ts'

function read(text: string): Columns {
  return oip.readRequest(Buffer.from(text), Fields.of([]))
}

function tensor(dtype: string, shape: string, data: string): string {
  return `{"inputs":[{"name":"x","shape":${shape},"datatype":"${dtype}","data":${data}}]}`
}

function only(columns: Columns): Column {
  expect(columns.columns).toHaveLength(1)
  return columns.columns[0]!
}

function write(column: Column, request: Columns = { columns: [] }): string {
  return oip.writeAnswer({ columns: [column] }, request).body.toString()
}

describe('reading', () => {
  test('the example of the specification', () => {
    const columns = read('{"id":"42","inputs":[{"name":"input0","shape":[2,2],"datatype":"UINT32","data":[1,2,3,4]},{"name":"input1","shape":[3],"datatype":"BOOL","data":[true,false,true]}],"outputs":[{"name":"output0"}]}')
    expect(columns).toEqual({
      id: '42',
      columns: [
        { name: 'input0', dtype: 'UINT32', shape: [2, 2], data: Uint32Array.of(1, 2, 3, 4) },
        { name: 'input1', dtype: 'BOOL', shape: [3], data: Uint8Array.of(1, 0, 1) },
      ],
      outputs: ['output0'],
    })
  })

  test.each([
    ['INT8', '[-128,127]', Int8Array.of(-128, 127)],
    ['INT16', '[-32768,32767]', Int16Array.of(-32768, 32767)],
    ['INT32', '[-2147483648,2147483647]', Int32Array.of(-2147483648, 2147483647)],
    ['UINT8', '[0,255]', Uint8Array.of(0, 255)],
    ['UINT16', '[0,65535]', Uint16Array.of(0, 65535)],
    ['UINT32', '[0,4294967295]', Uint32Array.of(0, 4294967295)],
    ['INT64', '[-9223372036854775808,9223372036854775807]', BigInt64Array.of(-9223372036854775808n, 9223372036854775807n)],
    ['INT64', '[9007199254740993,-9007199254740993]', BigInt64Array.of(9007199254740993n, -9007199254740993n)],
    ['UINT64', '[0,18446744073709551615]', BigUint64Array.of(0n, 18446744073709551615n)],
    ['FP32', '[3.4028235e38,-1E-45]', Float32Array.of(3.4028234663852886e38, -1.401298464324817e-45)],
    ['FP32', '[1,-0.0]', Float32Array.of(1, -0)],
    ['FP64', '[1.7976931348623157e308,5e-324]', Float64Array.of(1.7976931348623157e308, 5e-324)],
    ['FP64', '[0.1,1e23]', Float64Array.of(0.1, 1e23)],
    ['BYTES', '["","\\u00e9\\n\\"東京👍"]', ['', 'é\n"東京👍']],
    ['BOOL', '[true,false]', Uint8Array.of(1, 0)],
  ] as const)('%s %s', (dtype, data, expected) => {
    expect(only(read(tensor(dtype, '[2]', data)))).toEqual({ name: 'x', dtype, shape: [2], data: expected })
  })

  test('data may be flat or nested like the shape', () => {
    for (const data of ['[1,2,3,4,5,6,7,8]', '[[[1,2],[3,4]],[[5,6],[7,8]]]', ' [ [ [ 1 , 2 ] , [ 3 , 4 ] ] ,\n[ [ 5 , 6 ] , [ 7 , 8 ] ] ] ']) {
      expect(only(read(tensor('INT32', '[2,2,2]', data))).data).toEqual(Int32Array.of(1, 2, 3, 4, 5, 6, 7, 8))
    }
  })

  test.each([['[0,3]', '[]'], ['[2,0]', '[]'], ['[2,0]', '[[],[]]'], ['[0]', '[]'], ['[2,0,5]', '[[],[]]']])('nothing in shape %s as %s', (shape, data) => {
    expect(only(read(tensor('FP32', shape, data))).data).toEqual(new Float32Array(0))
  })

  test('a scalar has the shape []', () => {
    expect(only(read(tensor('FP32', '[]', '[5]')))).toEqual({ name: 'x', dtype: 'FP32', shape: [], data: Float32Array.of(5) })
  })

  test('keys in any order', () => {
    expect(only(read('{"inputs":[{"data":[[1,2]],"datatype":"INT64","shape":[1,2],"name":"x"}],"later":{"a":[1]}}'))).toEqual({ name: 'x', dtype: 'INT64', shape: [1, 2], data: BigInt64Array.of(1n, 2n) })
  })

  test('parameters of the request, the tensors and the outputs are kept, integers exactly', () => {
    const text = '{"parameters":{"sequence_id":18446744073709551615,"s":"t","b":true,"f":0.5},"inputs":[{"name":"x","shape":[1],"datatype":"BYTES","parameters":{"content_type":"str"},"data":["a"]}],"outputs":[{"name":"y","parameters":{"classification":3}},{"name":"z"}]}'
    const columns = read(text)
    expect(columns.parameters).toEqual({ sequence_id: 18446744073709551615n, s: 't', b: true, f: 0.5 })
    expect(columns.outputParameters).toEqual([{ classification: 3 }, undefined])
    const again = oip.writeRequest(columns).body.toString()
    expect(again).toContain('"sequence_id":18446744073709551615')
    expect(read(again)).toEqual(columns)
  })

  test('an empty list of outputs asks for all', () => {
    expect(read('{"inputs":[{"name":"x","shape":[1],"datatype":"FP32","data":[1]}],"outputs":[]}').outputs).toBeUndefined()
  })

  test('a key of a prototype is a name like any other', () => {
    const columns = read('{"__proto__":{"id":"no"},"parameters":{"__proto__":1},"inputs":[{"name":"__proto__","shape":[1],"datatype":"FP32","data":[1]}]}')
    expect(columns.columns[0]!.name).toBe('__proto__')
    expect(columns.id).toBeUndefined()
    expect(Object.getPrototypeOf(columns.parameters)).toBe(Object.prototype)
    expect(Object.keys(columns.parameters!)).toEqual(['__proto__'])
  })

  test('a shape cannot make more memory than the body is long', () => {
    const before = process.memoryUsage().arrayBuffers
    expect(() => read(tensor('FP64', '[4000000000]', '[1]'))).toThrow('shape [4000000000] has 4000000000 elements, found 1')
    expect(() => read(tensor('FP64', '[9007199254740991,9007199254740991]', '[1]'))).toThrow('more than 2^53 elements')
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(1 << 20)
  })
})

// Tensor named, what was expected, what was found.
describe('refusing', () => {
  test.each([
    ['FP32', '[2]', '[1,"2"]', 'input "x": element 1: expected a number in the range of FP32, found the string "2"'],
    ['FP32', '[2]', '[1,null]', 'input "x": element 1: expected a number in the range of FP32, found null'],
    ['FP32', '[2]', '[1,true]', 'element 1: expected a number in the range of FP32, found true'],
    ['FP32', '[2]', '[1,{}]', 'element 1: expected a number in the range of FP32, found an object'],
    ['FP32', '[1]', '[1e39]', 'element 0: expected a number in the range of FP32, found 1e39'],
    ['FP32', '[1]', '[3.4028236e38]', 'found 3.4028236e38'],
    ['FP64', '[1]', '[1e309]', 'element 0: expected a number in the range of FP64, found 1e309'],
    ['FP32', '[1]', '[NaN]', 'input "x": invalid JSON at byte'],
    ['FP32', '[1]', '[-Infinity]', 'found -Infinity, which is not JSON'],
    ['FP32', '[2]', '[1]', 'input "x": shape [2] has 2 elements, found 1'],
    ['FP32', '[1]', '[1,2]', 'input "x": shape [1] has 1 element, found 2'],
    ['FP32', '[2,2]', '[1,2,3]', 'input "x": shape [2,2] has 4 elements, found 3'],
    ['FP32', '[2,2]', '[[1,2],[3]]', 'expected 2 at depth 2, found 1'],
    ['FP32', '[2,2]', '[[1,2],3]', 'data mixes arrays and values: expected an array, found 3'],
    ['FP32', '[2,2]', '[1,[2,3]]', 'data mixes arrays and values'],
    ['FP32', '[2,2]', '[[1,2]]', 'expected 2 at depth 1, found 1'],
    ['FP32', '[2,2]', '[[[1],[2]],[[3],[4]]]', 'data is nested deeper than its shape [2,2]'],
    ['FP32', '[2,2,2]', '[[1,2,3,4],[5,6,7,8]]', 'data is nested 2 deep, its shape [2,2,2] has 3 dimensions'],
    ['FP32', '[1]', '5', 'expected data to be an array, found 5'],
    ['FP32', '[1]', '{"0":1}', 'expected data to be an array, found an object'],
    ['FP16', '[1]', '[1]', 'FP16 cannot travel as JSON'],
    ['BF16', '[1]', '[1]', 'BF16 cannot travel as JSON'],
    ['FP128', '[1]', '[1]', 'input "x": unknown datatype "FP128"; expected one of BOOL'],
    ['float32', '[1]', '[1]', 'unknown datatype "float32"'],
    ['toString', '[1]', '[1]', 'unknown datatype "toString"'],
    ['INT64', '[1]', '[1.0]', 'element 0: expected an integer -9223372036854775808 to 9223372036854775807, found 1.0'],
    ['INT64', '[1]', '[1e3]', 'found 1e3'],
    ['INT64', '[1]', '[9223372036854775808]', 'found 9223372036854775808'],
    ['INT64', '[1]', '[-9223372036854775809]', 'found -9223372036854775809'],
    ['INT64', '[1]', `[${'9'.repeat(100_000)}]`, 'found 9999999999999999999999999999999999999999…'],
    ['UINT64', '[1]', '[-1]', 'expected an integer 0 to 18446744073709551615, found -1'],
    ['UINT64', '[1]', '[18446744073709551616]', 'found 18446744073709551616'],
    ['INT8', '[1]', '[128]', 'expected an integer -128 to 127, found 128'],
    ['UINT8', '[1]', '[-1]', 'expected an integer 0 to 255, found -1'],
    ['INT32', '[1]', '[0.5]', 'expected an integer -2147483648 to 2147483647, found 0.5'],
    ['BOOL', '[1]', '[1]', 'expected true or false, found 1'],
    ['BOOL', '[1]', '["true"]', 'expected true or false, found the string "true"'],
    ['BYTES', '[1]', '[1]', 'expected a string, found 1'],
    ['FP32', '[-1]', '[1]', 'input "x": expected a dimension of the shape to be an integer from 0, found -1'],
    ['FP32', '[1.0]', '[1]', 'found 1.0'],
    ['FP32', '["1"]', '[1]', 'expected a dimension of the shape to be an integer, found the string "1"'],
    ['FP32', '1', '[1]', 'expected shape to be an array of integers, found 1'],
    ['FP32', `[${'1,'.repeat(99)}1]`, '[1]', 'expected at most 16 dimensions'],
    ['FP32', '[1]', '['.repeat(50_000), 'input "x": data is nested deeper than its shape'],
  ])('%s %s %s', (dtype, shape, data, message) => {
    expect(() => read(tensor(dtype, shape, data))).toThrow(WeirError)
    expect(() => read(tensor(dtype, shape, data))).toThrow(message)
    expect(() => read(tensor(dtype, shape, data))).toThrow('input "x": ')
  })

  test.each([
    ['', 'BAD_BODY', 'empty'],
    ['[]', 'BAD_BODY', 'expected an object'],
    ['{}', 'BAD_BODY', 'expected "inputs"'],
    ['{"inputs":[]}', 'BAD_BODY', 'at least one tensor'],
    ['{"inputs":{}}', 'BAD_BODY', 'expected "inputs" to be an array of tensors, found an object'],
    ['{"inputs":[1]}', 'BAD_BODY', 'expected inputs[0] to be a tensor object, found 1'],
    ['{"inputs":[{}]}', 'MODEL_INPUT', 'inputs[0] has no "name"'],
    ['{"inputs":[{"name":"x"}]}', 'MODEL_INPUT', 'input "x" has no "shape"'],
    ['{"inputs":[{"name":"x","shape":[1]}]}', 'MODEL_INPUT', 'input "x" has no "datatype"'],
    ['{"inputs":[{"name":"x","shape":[1],"datatype":"FP32"}]}', 'MODEL_INPUT', 'input "x" has no "data"'],
    ['{"inputs":[{"name":1}]}', 'BAD_BODY', 'expected "inputs[0].name" to be a string, found 1'],
    ['{"inputs":[{"name":"x","name":"y"}]}', 'BAD_BODY', 'given twice'],
    ['{"inputs":[{"name":"x","shape":[1],"datatype":"FP32","data":[1],"data":[2]}]}', 'BAD_BODY', 'given twice'],
    ['{"id":1,"inputs":[]}', 'BAD_BODY', 'expected "id" to be a string'],
    ['{"id":"a","id":"b","inputs":[]}', 'BAD_BODY', '"id" is given twice'],
    ['{"parameters":[],"inputs":[]}', 'BAD_BODY', 'expected "parameters" to be an object'],
    ['{"parameters":{"a":[1]},"inputs":[]}', 'BAD_BODY', 'to be a string, number or boolean, found an array'],
    ['{"parameters":{"a":1,"a":2},"inputs":[]}', 'BAD_BODY', 'has "a" twice'],
    ['{"inputs":[{"name":"x","shape":[1],"datatype":"FP32","data":[1]},{"name":"x","shape":[1],"datatype":"FP32","data":[1]}]}', 'MODEL_INPUT', 'input "x" is given twice'],
    ['{"inputs":[{"name":"x","shape":[1],"datatype":"FP32","data":[1]}],"outputs":[{}]}', 'BAD_BODY', 'outputs[0] has no "name"'],
    ['{"inputs":[{"name":"x","shape":[1],"datatype":"FP32","data":[1]}],"outputs":["y"]}', 'BAD_BODY', 'expected outputs[0] to be an object'],
    ['{"inputs":[{"name":"x","shape":[1],"datatype":"FP32","data":[1]}],"outputs":[{"name":"y"},{"name":"y"}]}', 'MODEL_INPUT', 'output "y" is requested twice'],
    ['{"inputs":[{"name":"x","shape":[1],"datatype":"FP32","data":[1]}]', 'BAD_BODY', 'found the end'],
    ['{"inputs":[{"name":"x","shape":[1],"datatype":"FP32","data":[1]}]}x', 'BAD_BODY', 'expected the end of the body'],
  ])('%s', (text, code, message) => {
    try {
      read(text)
      expect.unreachable()
    } catch (error) {
      expect((error as WeirError).code).toBe(code)
      expect((error as WeirError).message).toContain(message)
    }
  })

  test('cutting a good request anywhere is a 400, never another error', () => {
    const good = '{"id":"a","parameters":{"p":1.5},"inputs":[{"name":"x\\u00e9","shape":[2,1],"datatype":"INT64","data":[[1],[-2]]},{"name":"b","shape":[1],"datatype":"BOOL","data":[true]}],"outputs":[{"name":"y"}]}'
    read(good)
    for (let end = 0; end < good.length; end++) {
      try {
        read(good.slice(0, end))
        expect.unreachable()
      } catch (error) {
        expect(['BAD_BODY', 'MODEL_INPUT']).toContain((error as WeirError).code)
      }
    }
  })

  test('any changed byte is read or a 400', () => {
    const good = Buffer.from('{"inputs":[{"name":"x","shape":[2,2],"datatype":"FP32","data":[[1,2.5],[-3e2,4]]}]}')
    fc.assert(fc.property(fc.nat(good.length - 1), fc.nat(255), (at, byte) => {
      const bytes = Buffer.from(good)
      bytes[at] = byte
      try {
        oip.readRequest(bytes, Fields.of([]))
      } catch (error) {
        expect(error).toBeInstanceOf(WeirError)
      }
    }), { numRuns: 3_000 })
  })
})

describe('writing', () => {
  test('the fields of the protocol, the id echoed', () => {
    const column: Column = { name: 'y', dtype: 'INT32', shape: [2], data: Int32Array.of(1, -2) }
    const answer = oip.writeAnswer({ columns: [column], model: { name: 'm', version: '3' } }, { columns: [], id: 'a"b' })
    expect(answer.type).toBe('application/json')
    expect(JSON.parse(answer.body.toString())).toEqual({ model_name: 'm', model_version: '3', id: 'a"b', outputs: [{ name: 'y', datatype: 'INT32', shape: [2], data: [1, -2] }] })
  })

  test('requested outputs in their order and alone', () => {
    const make = (name: string): Column => ({ name, dtype: 'BOOL', shape: [1], data: Uint8Array.of(1) })
    const answer = oip.writeAnswer({ columns: [make('a'), make('b'), make('c')] }, { columns: [], outputs: ['c', 'a'] })
    expect(JSON.parse(answer.body.toString()).outputs.map((output: Column) => output.name)).toEqual(['c', 'a'])
    expect(() => oip.writeAnswer({ columns: [make('a')] }, { columns: [], outputs: ['b'] })).toThrow('lacks the requested output "b"')
  })

  test.each([
    ['FP32', Float32Array.of(0.1, -1e-7), '[0.1,-1e-7]'],
    ['FP64', Float64Array.of(0.1, 5e-324), '[0.1,5e-324]'],
    ['INT64', BigInt64Array.of(-9223372036854775808n, 9007199254740993n), '[-9223372036854775808,9007199254740993]'],
    ['UINT64', BigUint64Array.of(18446744073709551615n, 0n), '[18446744073709551615,0]'],
    ['BOOL', Uint8Array.of(1, 0), '[true,false]'],
    ['BYTES', ['a"\n', '東京'], '["a\\"\\n","東京"]'],
  ] as const)('%s', (dtype, data, text) => {
    expect(write({ name: 'y', dtype, shape: [2], data: data as Data })).toContain(`"data":${text}`)
  })

  test.each([Number.NaN, Infinity, -Infinity])('%s is no JSON: the error names output and element', (value) => {
    for (const [dtype, data] of [['FP32', Float32Array.of(1, value)], ['FP64', Float64Array.of(1, value)]] as const) {
      try {
        write({ name: 'y', dtype, shape: [2], data })
        expect.unreachable()
      } catch (error) {
        expect((error as WeirError).code).toBe('MODEL_FAILED')
        expect((error as WeirError).message).toBe(`output "y": element 1 is ${value}, which JSON cannot carry`)
      }
    }
  })

  test('FP16 is no JSON either', () => {
    expect(() => write({ name: 'y', dtype: 'FP16', shape: [1], data: Uint16Array.of(0) })).toThrow('output "y": FP16 cannot travel as JSON')
  })
})

// ---------------------------------------------------------------- both ways

const dims = fc.array(fc.nat(3), { maxLength: 3 })
const values: Readonly<Record<string, (length: number) => fc.Arbitrary<Data>>> = {
  FP32: (n) => fc.array(fc.float({ noNaN: true, noDefaultInfinity: true }), { minLength: n, maxLength: n }).map((list) => Float32Array.from(list)),
  FP64: (n) => fc.array(fc.double({ noNaN: true, noDefaultInfinity: true }), { minLength: n, maxLength: n }).map((list) => Float64Array.from(list)),
  INT64: (n) => fc.array(fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }), { minLength: n, maxLength: n }).map((list) => BigInt64Array.from(list)),
  UINT64: (n) => fc.array(fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }), { minLength: n, maxLength: n }).map((list) => BigUint64Array.from(list)),
  INT8: (n) => fc.array(fc.integer({ min: -128, max: 127 }), { minLength: n, maxLength: n }).map((list) => Int8Array.from(list)),
  UINT32: (n) => fc.array(fc.nat(2 ** 31 - 1), { minLength: n, maxLength: n }).map((list) => Uint32Array.from(list)),
  BOOL: (n) => fc.array(fc.nat(1), { minLength: n, maxLength: n }).map((list) => Uint8Array.from(list)),
  BYTES: (n) => fc.array(fc.string({ unit: 'binary' }).filter((text) => text.isWellFormed()), { minLength: n, maxLength: n }),
}

const anyColumn: fc.Arbitrary<Column> = fc.tuple(fc.constantFrom(...Object.keys(values)), dims, fc.string()).chain(([dtype, shape, name]) =>
  values[dtype]!(shape.reduce((product, size) => product * size, 1)).map((data) => ({ name: name.isWellFormed() ? name : 'x', dtype: dtype as Dtype, shape, data })),
)

test('what is written reads back to the same tensors, as request and as answer', () => {
  fc.assert(fc.property(anyColumn, (column) => {
    expect(oip.readRequest(oip.writeRequest({ columns: [column] }).body, Fields.of([])).columns).toEqual([column])
    expect(oip.readAnswer(oip.writeAnswer({ columns: [column] }, { columns: [] }).body, Fields.of([])).columns).toEqual([column])
  }), { numRuns: 200 })
})

test('an answer of another server: errors are the answer’s', () => {
  const answer = oip.readAnswer(Buffer.from('{"model_name":"m","model_version":"1","id":"i","outputs":[{"name":"y","shape":[1],"datatype":"FP32","data":[0.5]}]}'), Fields.of([]))
  expect(answer).toEqual({ model: { name: 'm', version: '1' }, id: 'i', columns: [{ name: 'y', dtype: 'FP32', shape: [1], data: Float32Array.of(0.5) }] })
  for (const text of ['{}', 'x', '{"outputs":[{"name":"y","shape":[2],"datatype":"FP32","data":[0.5]}]}', '{"error":"no"}']) {
    try {
      oip.readAnswer(Buffer.from(text), Fields.of([]))
      expect.unreachable()
    } catch (error) {
      expect((error as WeirError).code).toBe('INVALID_ANSWER')
    }
  }
})
