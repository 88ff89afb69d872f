import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { type Code, WeirError } from '../../gateway/errors.ts'
import type { Written } from '../../gateway/exchange.ts'
import { Fields } from '../../gateway/headers.ts'
import { rawColumns } from '../../gateway/payload/binary.ts'
import type { Column, Columns, Data, Dtype } from '../../gateway/payload/columns.ts'
import { oip } from '../../gateway/payload/oip.ts'

const LENGTH = 'Inference-Header-Content-Length'

/** A body of the extension: JSON and what stands behind it. */
function body(json: unknown, ...tail: (Uint8Array | string | readonly number[])[]): { bytes: Buffer; fields: Fields } {
  const head = Buffer.from(typeof json === 'string' ? json : JSON.stringify(json))
  const parts = tail.map((part) => (typeof part === 'string' ? Buffer.from(part, 'hex') : Buffer.from(part)))
  return { bytes: Buffer.concat([head, ...parts]), fields: Fields.of([LENGTH, String(head.length)]) }
}

function readBody(json: unknown, ...tail: (Uint8Array | string | readonly number[])[]): Columns {
  const { bytes, fields } = body(json, ...tail)
  return oip.readRequest(bytes, fields)
}

/** The fields that go with a written body. */
function fieldsOf({ jsonLength }: Written): Fields {
  return Fields.of(jsonLength === undefined ? [] : [LENGTH, String(jsonLength)])
}

function input(datatype: string, shape: readonly unknown[], size: unknown, name = 'x'): object {
  return { name, shape, datatype, parameters: { binary_data_size: size } }
}

function errorOf(run: () => unknown): { code: Code; message: string } {
  try {
    run()
  } catch (error) {
    expect(error).toBeInstanceOf(WeirError)
    const { code, message } = error as WeirError
    return { code, message }
  }
  return expect.unreachable()
}

describe('reading', () => {
  // Triton, docs/protocol/extension_binary_data.md, "Examples": 16 bytes of UINT32 and 3 of BOOL.
  test('the example of the extension', () => {
    const request = readBody(
      {
        model_name: 'mymodel',
        inputs: [input('UINT32', [2, 2], 16, 'input0'), input('BOOL', [3], 3, 'input1')],
        outputs: [{ name: 'output0', parameters: { binary_data: true } }],
      },
      '01000000020000000300000004000000',
      [1, 0, 1],
    )
    expect(request).toEqual({
      columns: [
        { name: 'input0', dtype: 'UINT32', shape: [2, 2], data: Uint32Array.of(1, 2, 3, 4) },
        { name: 'input1', dtype: 'BOOL', shape: [3], data: Uint8Array.of(1, 0, 1) },
      ],
      outputs: ['output0'],
      outputParameters: [{ binary_data: true }],
      binary: true,
    })
  })

  // Bytes by hand, IEEE 754 and two's complement, lowest byte first.
  test.each<[Dtype, string, Data]>([
    ['BOOL', '0100', Uint8Array.of(1, 0)],
    ['UINT8', '00ff', Uint8Array.of(0, 255)],
    ['INT8', '807f', Int8Array.of(-128, 127)],
    ['UINT16', '0100ffff', Uint16Array.of(1, 65535)],
    ['INT16', '0080ff7f', Int16Array.of(-32768, 32767)],
    ['UINT32', '01000000ffffffff', Uint32Array.of(1, 4294967295)],
    ['INT32', '00000080ffffffff', Int32Array.of(-2147483648, -1)],
    ['UINT64', '0100000000000000ffffffffffffffff', BigUint64Array.of(1n, 2n ** 64n - 1n)],
    ['INT64', '0000000000000080ffffffffffffffff', BigInt64Array.of(-(2n ** 63n), -1n)],
    ['FP16', '003c00fc', Uint16Array.of(0x3c00, 0xfc00)],
    ['BF16', '803fc07f', Uint16Array.of(0x3f80, 0x7fc0)],
    ['FP32', '0000803f000080ff', Float32Array.of(1, -Infinity)],
    ['FP64', '000000000000f03f0000000000000080', Float64Array.of(1, -0)],
    ['BYTES', '0000000003000000e69db1', ['', '東']],
  ])('%s', (dtype, hex, data) => {
    const bytes = Buffer.from(hex, 'hex')
    const expected = { name: 'x', dtype, shape: [2], data }
    // Whatever lies before the tensor, its bytes are aligned or not.
    for (let pad = 0; pad < 8; pad++) {
      const json = `${JSON.stringify({ inputs: [input(dtype, [2], bytes.length)] })}${' '.repeat(pad)}`
      expect(readBody(json, bytes).columns).toEqual([expected])
    }
  })

  test('JSON and binary inputs mixed, parameters kept but for the size', () => {
    const request = readBody(
      { inputs: [{ ...input('FP32', [1], 4, 'a'), parameters: { binary_data_size: 4, kept: 'yes' } }, { name: 'b', shape: [1], datatype: 'INT64', data: [7] }, input('BYTES', [1], 5, 'c')] },
      '0000c03f',
      '0100000061',
    )
    expect(request.columns).toEqual([
      { name: 'a', dtype: 'FP32', shape: [1], data: Float32Array.of(1.5), parameters: { kept: 'yes' } },
      { name: 'b', dtype: 'INT64', shape: [1], data: BigInt64Array.of(7n) },
      { name: 'c', dtype: 'BYTES', shape: [1], data: ['a'] },
    ])
  })

  test('no elements, no bytes; the length may be left out when all is JSON', () => {
    expect(readBody({ inputs: [input('FP32', [0, 3], 0)] }).columns).toEqual([{ name: 'x', dtype: 'FP32', shape: [0, 3], data: new Float32Array(0) }])
    expect(oip.readRequest(body({ inputs: [input('BYTES', [0], 0)] }).bytes, Fields.of([])).columns[0]!.data).toEqual([])
    expect(readBody({ inputs: [{ name: 'x', shape: [1], datatype: 'FP32', data: [1] }] }).binary).toBeUndefined()
  })

  test('a scalar', () => {
    expect(readBody({ inputs: [input('INT16', [], 2)] }, 'feff').columns).toEqual([{ name: 'x', dtype: 'INT16', shape: [], data: Int16Array.of(-2) }])
  })

  test('aligned bytes are not copied, others are', () => {
    const memory = new ArrayBuffer(256)
    const json = JSON.stringify({ inputs: [input('FP32', [1], 4)] })
    for (const start of [0, 1, 2, 3]) {
      const bytes = Buffer.from(memory, start, json.length + 4)
      bytes.write(json)
      bytes.writeFloatLE(1.5, json.length)
      const { data } = oip.readRequest(bytes, Fields.of([LENGTH, String(json.length)])).columns[0]!
      expect((data as Float32Array).buffer === memory).toBe((start + json.length) % 4 === 0)
      expect(data).toEqual(Float32Array.of(1.5))
    }
  })

  test('an answer', () => {
    const { bytes, fields } = body({ model_name: 'm', model_version: '2', outputs: [input('FP16', [2], 4, 'y')] }, '003c0000')
    expect(oip.readAnswer(bytes, fields)).toEqual({ model: { name: 'm', version: '2' }, binary: true, columns: [{ name: 'y', dtype: 'FP16', shape: [2], data: Uint16Array.of(0x3c00, 0) }] })
    expect(errorOf(() => oip.readAnswer(bytes.subarray(0, -1), fields)).code).toBe('INVALID_ANSWER')
    expect(errorOf(() => oip.readAnswer(Buffer.concat([bytes, bytes]), fields)).code).toBe('INVALID_ANSWER')
    expect(errorOf(() => oip.readAnswer(bytes, Fields.of([LENGTH, '0']))).code).toBe('INVALID_ANSWER')
  })
})

// ---------------------------------------------------------------- refusing

const four = '0000803f'

describe('a tensor that is not what it says', () => {
  test.each<[string, readonly object[], string, Code, string]>([
    ['FP32 too short', [input('FP32', [2, 2], 12)], '00'.repeat(12), 'MODEL_INPUT', 'input "x": shape [2,2] of FP32 takes 16 bytes, found 12'],
    ['FP32 too long', [input('FP32', [1], 8)], four + four, 'MODEL_INPUT', 'input "x": shape [1] of FP32 takes 4 bytes, found 8'],
    ['FP16 of odd size', [input('FP16', [2], 3)], '000000', 'MODEL_INPUT', 'input "x": shape [2] of FP16 takes 4 bytes, found 3'],
    ['INT64 as INT32', [input('INT64', [2], 8)], '00'.repeat(8), 'MODEL_INPUT', 'takes 16 bytes, found 8'],
    ['BOOL as INT32', [input('BOOL', [1], 4)], '01000000', 'MODEL_INPUT', 'shape [1] of BOOL takes 1 bytes, found 4'],
    ['bytes for no elements', [input('FP32', [0], 4)], four, 'MODEL_INPUT', 'shape [0] of FP32 takes 0 bytes, found 4'],
    ['no bytes for elements', [input('FP32', [1], 0)], '', 'MODEL_INPUT', 'takes 4 bytes, found 0'],
    ['a shape beyond all memory', [input('FP64', [9007199254740991, 9007199254740991], 8)], '00'.repeat(8), 'MODEL_INPUT', 'takes more than 2^53 bytes, found 8'],
    ['fewer bytes than it says', [input('FP32', [2], 8)], four, 'MODEL_INPUT', 'input "x": binary_data_size is 8, but behind the JSON 4 bytes are left'],
    ['nothing behind the JSON', [input('FP32', [1], 4)], '', 'MODEL_INPUT', 'binary_data_size is 4, but behind the JSON 0 bytes are left'],
    ['a size beyond the body', [input('FP32', [1], 9007199254740991)], four, 'MODEL_INPUT', 'binary_data_size is 9007199254740991'],
    ['the second one is short', [input('FP32', [1], 4, 'a'), input('FP32', [1], 4, 'b')], `${four}000000`, 'MODEL_INPUT', 'input "b": binary_data_size is 4, but behind the JSON 3 bytes are left'],
    ['bytes left', [input('FP32', [1], 4)], `${four}0000`, 'BAD_BODY', '2 bytes are left behind the data of input "x"'],
    ['one byte left', [input('FP32', [1], 4)], `${four}00`, 'BAD_BODY', '1 byte is left behind the data of input "x"'],
    ['bytes that no tensor wants', [{ name: 'x', shape: [1], datatype: 'FP32', data: [1] }], four, 'BAD_BODY', '4 bytes are left behind the JSON, where no tensor has a "binary_data_size"'],
    ['a negative size', [input('FP32', [1], -4)], four, 'MODEL_INPUT', 'input "x": expected binary_data_size to be a number of bytes, found -4'],
    ['a fraction of a byte', [input('FP32', [1], 4.5)], four, 'MODEL_INPUT', 'found 4.5'],
    ['a size as text', [input('FP32', [1], '4')], four, 'MODEL_INPUT', 'found "4"'],
    ['a size as boolean', [input('FP32', [1], true)], four, 'MODEL_INPUT', 'found true'],
    ['a size that is null', [input('FP32', [1], null)], four, 'BAD_BODY', 'input "x": "parameters" "binary_data_size" to be a string, number or boolean, found null'],
    ['a size that is a list', [input('FP32', [1], [4])], four, 'BAD_BODY', 'found an array'],
    ['both data and size', [{ ...input('FP32', [1], 4), data: [1] }], four, 'MODEL_INPUT', 'input "x" has both "data" and "binary_data_size"'],
    ['neither', [{ name: 'x', shape: [1], datatype: 'FP32' }], '', 'MODEL_INPUT', 'input "x" has no "data"'],
    ['shared memory', [{ name: 'x', shape: [1], datatype: 'FP32', parameters: { shared_memory_region: 'r', shared_memory_byte_size: 4 } }], '', 'MODEL_INPUT', 'input "x" has no "data"; shared memory is not supported'],
    ['no name', [{ shape: [1], datatype: 'FP32', parameters: { binary_data_size: 4 } }], four, 'MODEL_INPUT', 'inputs[0] has no "name"'],
    ['no shape', [{ name: 'x', datatype: 'FP32', parameters: { binary_data_size: 4 } }], four, 'MODEL_INPUT', 'input "x" has no "shape"'],
    ['no datatype', [{ name: 'x', shape: [1], parameters: { binary_data_size: 4 } }], four, 'MODEL_INPUT', 'input "x" has no "datatype"'],
    ['a type of no protocol', [input('FP8', [1], 1)], '00', 'MODEL_INPUT', 'input "x": unknown datatype "FP8"'],
    ['a variable dimension', [input('FP32', [-1], 4)], four, 'MODEL_INPUT', 'input "x": expected a dimension of the shape to be an integer from 0, found -1'],
    ['BOOL 2', [input('BOOL', [3], 3)], '010002', 'MODEL_INPUT', 'input "x": element 2: expected a byte 0 or 1, found 2'],
    ['BOOL 255', [input('BOOL', [1], 1)], 'ff', 'MODEL_INPUT', 'element 0: expected a byte 0 or 1, found 255'],
    ['a text without its bytes', [input('BYTES', [1], 4)], '05000000', 'MODEL_INPUT', 'input "x": element 0: its length is 5, but 0 bytes are left'],
    ['a text beyond its tensor', [input('BYTES', [2], 10)], '0100000061ffffff7f62', 'MODEL_INPUT', 'element 1: its length is 2147483647, but 1 bytes are left'],
    ['half a length', [input('BYTES', [1], 2)], '0000', 'MODEL_INPUT', 'element 0: expected 4 bytes that tell its length, found 2'],
    ['half a second length', [input('BYTES', [2], 6)], '000000000000', 'MODEL_INPUT', 'element 1: expected 4 bytes that tell its length, found 2'],
    ['too many texts', [input('BYTES', [1], 10)], '01000000610100000062', 'MODEL_INPUT', 'input "x": shape [1] has 1 element, found more'],
    ['too few texts', [input('BYTES', [2], 5)], '0100000061', 'MODEL_INPUT', 'input "x": shape [2] has 2 elements, found 1'],
    ['texts for none', [input('BYTES', [0], 5)], '0100000061', 'MODEL_INPUT', 'shape [0] has 0 elements, found more'],
    ['no UTF-8', [input('BYTES', [2], 10)], '010000006101000000ff', 'MODEL_INPUT', 'input "x": element 1: expected UTF-8 text, found bytes that are none'],
    ['half a character', [input('BYTES', [1], 6)], '02000000e69d', 'MODEL_INPUT', 'element 0: expected UTF-8 text'],
    ['a surrogate', [input('BYTES', [1], 7)], '03000000eda080', 'MODEL_INPUT', 'element 0: expected UTF-8 text'],
    ['a name twice', [input('FP32', [1], 4), input('FP32', [1], 4)], four + four, 'MODEL_INPUT', 'input "x" is given twice'],
  ])('%s', (_, inputs, tail, code, message) => {
    const error = errorOf(() => readBody({ inputs }, tail))
    expect(error.code).toBe(code)
    expect(error.message).toContain(message)
  })

  test('without the length of the JSON nothing stands behind it', () => {
    const { bytes } = body({ inputs: [input('FP32', [1], 4)] }, four)
    expect(errorOf(() => oip.readRequest(bytes, Fields.of([])))).toMatchObject({ code: 'BAD_BODY' })
    expect(errorOf(() => oip.readRequest(bytes.subarray(0, -4), Fields.of([]))).message).toContain('inference-header-content-length')
  })

  test('texts cannot make more memory than the body is long', () => {
    const before = process.memoryUsage().arrayBuffers
    expect(errorOf(() => readBody({ inputs: [input('BYTES', [4_000_000_000], 8)] }, '0000000000000000')).message).toContain('found 2')
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(1 << 20)
  })
})

describe('the length of the JSON', () => {
  const { bytes } = body({ inputs: [input('FP32', [1], 4)] }, four)
  test.each<[string, string]>([
    ['-1', 'expected inference-header-content-length to be a number of bytes, found "-1"'],
    ['', 'found ""'],
    ['abc', 'found "abc"'],
    ['1e2', 'found "1e2"'],
    ['0x10', 'found "0x10"'],
    ['+5', 'found "+5"'],
    ['5.0', 'found "5.0"'],
    ['5, 5', 'found "5, 5"'],
    ['9'.repeat(400), `found "${'9'.repeat(40)}…"`],
    [String(bytes.length + 1), `inference-header-content-length is ${bytes.length + 1}, but the body has ${bytes.length} bytes`],
    ['999999999999999', 'inference-header-content-length is 999999999999999'],
    [String(bytes.length), 'the body is not UTF-8'],
    [String(bytes.length - 5), 'invalid JSON'],
    ['1', 'found the end'],
  ])('%s', (length, message) => {
    const error = errorOf(() => oip.readRequest(bytes, Fields.of([LENGTH, length])))
    expect(error.code).toBe('BAD_BODY')
    expect(error.message).toContain(message)
  })
})

describe('steering parameters', () => {
  const good = { inputs: [{ name: 'x', shape: [1], datatype: 'FP32', data: [1] }] }
  test.each<[object, string]>([
    [{ parameters: { binary_data_output: 1 } }, 'expected binary_data_output to be true or false, found 1'],
    [{ parameters: { binary_data_output: 'true' } }, 'found "true"'],
    [{ outputs: [{ name: 'y', parameters: { binary_data: 'yes' } }] }, 'output "y": expected binary_data to be true or false, found "yes"'],
    [{ outputs: [{ name: 'y', parameters: { binary_data: 0 } }] }, 'found 0'],
    [{ outputs: [{ name: 'y', parameters: { classification: 0 } }] }, 'output "y": expected classification to be an integer from 1, found 0'],
    [{ outputs: [{ name: 'y', parameters: { classification: -3 } }] }, 'found -3'],
    [{ outputs: [{ name: 'y', parameters: { classification: 1.5 } }] }, 'found 1.5'],
    [{ outputs: [{ name: 'y', parameters: { classification: '3' } }] }, 'found "3"'],
    [{ outputs: [{ name: 'y', parameters: { classification: true } }] }, 'found true'],
    [{ outputs: [{ name: 'y', parameters: { shared_memory_region: 'r' } }] }, 'output "y": shared memory is not supported'],
  ])('%j', (more, message) => {
    const error = errorOf(() => oip.readRequest(Buffer.from(JSON.stringify({ ...good, ...more })), Fields.of([])))
    expect(error.code).toBe('MODEL_INPUT')
    expect(error.message).toContain(message)
  })
})

// ---------------------------------------------------------------- writing

const y: Column = { name: 'y', dtype: 'FP32', shape: [3, 2], data: Float32Array.of(1, 2, 3, 4, 5, 6) }
const z: Column = { name: 'z', dtype: 'BYTES', shape: [2], data: ['é', ''] }

interface TensorJson {
  readonly data?: unknown
  readonly parameters?: unknown
}

/** JSON and tail of what was written. */
function parts(written: Written): { json: { outputs: TensorJson[]; inputs: TensorJson[] }; tail: string } {
  const length = written.jsonLength ?? written.body.length
  return { json: JSON.parse(written.body.toString('utf8', 0, length)), tail: written.body.toString('hex', length) }
}

describe('writing answers', () => {
  test('the example of the extension: a [3,2] of FP32 is 24 bytes', () => {
    const written = oip.writeAnswer({ columns: [y] }, { columns: [], outputs: ['y'], outputParameters: [{ binary_data: true }] })
    expect(written.type).toBe('application/octet-stream')
    expect(parts(written)).toEqual({
      json: { outputs: [{ name: 'y', shape: [3, 2], datatype: 'FP32', parameters: { binary_data_size: 24 } }] },
      tail: '0000803f0000004000004040000080400000a0400000c040',
    })
  })

  test.each<[string, Columns, [boolean, boolean]]>([
    ['nothing asked', { columns: [] }, [false, false]],
    ['all', { columns: [], parameters: { binary_data_output: true } }, [true, true]],
    ['all but one', { columns: [], parameters: { binary_data_output: true }, outputs: ['y', 'z'], outputParameters: [{ binary_data: false }, undefined] }, [false, true]],
    ['one', { columns: [], outputs: ['y', 'z'], outputParameters: [undefined, { binary_data: true }] }, [false, true]],
    ['one against all', { columns: [], parameters: { binary_data_output: false }, outputs: ['y', 'z'], outputParameters: [{ binary_data: true }, {}] }, [true, false]],
    ['a raw request', { columns: [], raw: Buffer.alloc(4) }, [true, true]],
  ])('%s', (_, request, binary) => {
    const written = oip.writeAnswer({ columns: [y, z] }, request)
    const { json, tail } = parts(written)
    expect(json.outputs.map((output) => output.data === undefined)).toEqual(binary)
    expect(tail).toBe((binary[0] ? '0000803f0000004000004040000080400000a0400000c040' : '') + (binary[1] ? '02000000c3a900000000' : ''))
    expect(written.type).toBe(binary.includes(true) ? 'application/octet-stream' : 'application/json')
    expect(written.jsonLength === undefined).toBe(!binary.includes(true))
    expect(oip.readAnswer(written.body, fieldsOf(written)).columns).toEqual([y, z])
  })

  test('NaN and FP16 travel binary; as JSON the error names the output', () => {
    for (const column of [{ name: 'y', dtype: 'FP16', shape: [1], data: Uint16Array.of(0x3c00) }, { name: 'y', dtype: 'BF16', shape: [1], data: Uint16Array.of(0x7fc1) }] as const) {
      const written = oip.writeAnswer({ columns: [column] }, { columns: [], parameters: { binary_data_output: true } })
      expect(oip.readAnswer(written.body, fieldsOf(written)).columns).toEqual([column])
      expect(errorOf(() => oip.writeAnswer({ columns: [column] }, { columns: [] }))).toEqual({ code: 'MODEL_INPUT', message: `output "y": ${column.dtype} cannot travel as JSON (Open Inference Protocol); ask for it with "binary_data": true` })
    }
    const nan = oip.writeAnswer({ columns: [{ name: 'y', dtype: 'FP32', shape: [1], data: Float32Array.of(Number.NaN) }] }, { columns: [], raw: Buffer.alloc(0) })
    expect(oip.readAnswer(nan.body, fieldsOf(nan)).columns[0]!.data).toEqual(Float32Array.of(Number.NaN))
  })

  test('parameters that steer the transport are not echoed', () => {
    const column: Column = { ...y, parameters: { classification: 3, binary_data: false, binary_data_size: 1, kept: true } }
    expect(parts(oip.writeAnswer({ columns: [column] }, { columns: [] })).json.outputs[0]!.parameters).toEqual({ kept: true })
    expect(parts(oip.writeAnswer({ columns: [column] }, { columns: [], raw: Buffer.alloc(0) })).json.outputs[0]!.parameters).toEqual({ kept: true, binary_data_size: 24 })
  })
})

describe('writing requests', () => {
  test('JSON where JSON can carry it, else binary', () => {
    const half: Column = { name: 'h', dtype: 'FP16', shape: [1], data: Uint16Array.of(1) }
    const nan: Column = { name: 'n', dtype: 'FP64', shape: [2], data: Float64Array.of(1, Number.NaN) }
    const written = oip.writeRequest({ columns: [y, half, nan], outputs: ['o'], outputParameters: [{ binary_data: true }] })
    expect(parts(written).json.inputs.map((one) => one.data !== undefined)).toEqual([true, false, false])
    expect(parts(written).json.outputs).toEqual([{ name: 'o', parameters: { binary_data: true } }])
    expect(oip.readRequest(written.body, fieldsOf(written))).toEqual({ columns: [y, half, nan], binary: true, outputs: ['o'], outputParameters: [{ binary_data: true }] })
    expect(oip.writeRequest({ columns: [y] })).toMatchObject({ type: 'application/json' })
  })
})

// ---------------------------------------------------------------- raw requests

describe('raw requests', () => {
  const raw = (hex: string): Buffer => Buffer.from(hex, 'hex')

  test('are kept as they are until the model is known', () => {
    const bytes = raw(four)
    const request = oip.readRequest(bytes, Fields.of([LENGTH, '0']))
    expect(request).toEqual({ columns: [], raw: bytes })
    expect(oip.writeRequest(request), 'and are sent on as they came').toEqual({ type: 'application/octet-stream', body: bytes, jsonLength: 0 })
  })

  test.each<[string, Dtype, readonly number[], string, readonly number[], Data]>([
    ['fixed', 'FP32', [1], four, [1], Float32Array.of(1)],
    ['a batch of one', 'FP32', [-1, 2], four + four, [1, 2], Float32Array.of(1, 1)],
    ['one dimension from the size', 'INT16', [-1], '010002000300', [3], Int16Array.of(1, 2, 3)],
    ['a batch and one from the size', 'UINT8', [-1, -1, 3], '010203040506', [1, 2, 3], Uint8Array.of(1, 2, 3, 4, 5, 6)],
    ['from the size behind a fixed one', 'UINT8', [2, -1], '01020304', [2, 2], Uint8Array.of(1, 2, 3, 4)],
    ['a scalar', 'INT64', [], 'ffffffffffffffff', [], BigInt64Array.of(-1n)],
    ['one text, without a length before it', 'BYTES', [1], 'c3a961', [1], ['éa']],
    ['one text of a batch', 'BYTES', [-1], '61', [1], ['a']],
    ['one text in a matrix', 'BYTES', [-1, 1], '61', [1, 1], ['a']],
    ['nothing', 'FP32', [-1], '', [0], new Float32Array(0)],
  ])('%s', (_, dtype, declared, hex, shape, data) => {
    const bytes = raw(hex)
    expect(rawColumns(bytes, [{ name: 'x', dtype, shape: declared }])).toEqual({ columns: [{ name: 'x', dtype, shape, data }], raw: bytes })
  })

  test.each<[string, Dtype | null, readonly number[], string, string]>([
    ['too many variable dimensions', 'FP32', [-1, -1, -1], four, 'input "x": a raw request can leave one dimension open, the shape [-1,-1,-1] more'],
    ['too short', 'FP32', [-1, 30], four, 'input "x": shape [1,30] of FP32 takes 120 bytes, found 4'],
    ['more than a batch of one', 'FP32', [-1, 1], four + four, 'input "x": shape [1,1] of FP32 takes 4 bytes, found 8'],
    ['half a number', 'FP32', [-1], '0000', 'input "x": expected a whole number of [-1], found a body that is none'],
    ['half a row', 'UINT8', [-1, -1, 4], '010203', 'expected a whole number of [-1,-1,4]'],
    ['nothing times something', 'UINT8', [0, -1], '01', 'expected a whole number of [0,-1]'],
    ['several texts', 'BYTES', [3], '61', 'input "x": a raw request carries one text, the shape [3] takes 3 elements'],
    ['a text that is none', 'BYTES', [1], 'ff', 'input "x": element 0: expected UTF-8 text'],
    ['BOOL 2', 'BOOL', [1], '02', 'element 0: expected a byte 0 or 1, found 2'],
    ['no tensor', null, [], '00', 'input "x": is no tensor'],
  ])('%s', (_, dtype, shape, hex, message) => {
    const error = errorOf(() => rawColumns(raw(hex), [{ name: 'x', dtype, shape }]))
    expect(error).toEqual({ code: 'MODEL_INPUT', message: expect.stringContaining(message) })
  })

  test('need a model with one input', () => {
    const one = { name: 'a', dtype: 'FP32', shape: [1] } as const
    expect(errorOf(() => rawColumns(raw(four), [one, { ...one, name: 'b' }])).message).toContain('needs a model with one input, this one has 2')
    expect(errorOf(() => rawColumns(raw(four), [])).message).toContain('has 0')
  })
})

// ---------------------------------------------------------------- both ways

const bytesOf: Readonly<Partial<Record<Dtype, [number, (buffer: ArrayBuffer) => Data]>>> = {
  UINT8: [1, (b) => new Uint8Array(b)],
  INT8: [1, (b) => new Int8Array(b)],
  UINT16: [2, (b) => new Uint16Array(b)],
  INT16: [2, (b) => new Int16Array(b)],
  FP16: [2, (b) => new Uint16Array(b)],
  BF16: [2, (b) => new Uint16Array(b)],
  UINT32: [4, (b) => new Uint32Array(b)],
  INT32: [4, (b) => new Int32Array(b)],
  FP32: [4, (b) => new Float32Array(b)],
  UINT64: [8, (b) => new BigUint64Array(b)],
  INT64: [8, (b) => new BigInt64Array(b)],
  FP64: [8, (b) => new Float64Array(b)],
}

/** Any bits there are: NaNs with payloads, denormals, both zeros. */
const numbers: fc.Arbitrary<Column> = fc
  .tuple(fc.constantFrom(...(Object.keys(bytesOf) as Dtype[])), fc.array(fc.nat(3), { maxLength: 4 }), fc.string())
  .chain(([dtype, shape, name]) => {
    const [size, make] = bytesOf[dtype]!
    const length = shape.reduce((product, n) => product * n, size)
    return fc.uint8Array({ minLength: length, maxLength: length }).map((bytes) => ({ name: name.isWellFormed() ? name : 'x', dtype, shape, data: make(Uint8Array.from(bytes).buffer) }))
  })
const booleans: fc.Arbitrary<Column> = fc.array(fc.nat(1), { maxLength: 9 }).map((list) => ({ name: 'b', dtype: 'BOOL', shape: [list.length], data: Uint8Array.from(list) }))
const texts: fc.Arbitrary<Column> = fc.array(fc.string({ unit: 'binary' }).filter((text) => text.isWellFormed()), { maxLength: 9 }).map((list) => ({ name: 't', dtype: 'BYTES', shape: [list.length], data: list }))
const tensors = fc.uniqueArray(fc.oneof(numbers, booleans, texts), { minLength: 1, maxLength: 4, selector: ({ name }) => name })

/** Bits, so that a NaN must keep its payload. */
function bits({ columns }: Columns): unknown[] {
  return columns.map(({ name, dtype, shape, data }) => [name, dtype, shape, Array.isArray(data) ? data : Buffer.from(data.buffer, data.byteOffset, data.byteLength).toString('hex')])
}

test('what is written binary reads back bit for bit, as request and as answer', () => {
  fc.assert(fc.property(tensors, (columns) => {
    const request = oip.writeRequest({ columns, binary: true })
    expect(bits(oip.readRequest(request.body, fieldsOf(request)))).toEqual(bits({ columns }))
    const answer = oip.writeAnswer({ columns }, { columns: [], parameters: { binary_data_output: true } })
    expect(bits(oip.readAnswer(answer.body, fieldsOf(answer)))).toEqual(bits({ columns }))
  }), { numRuns: 300 })
})

test('whatever is cut or changed in a binary body is read or refused, and nothing else is thrown', () => {
  fc.assert(fc.property(tensors, fc.nat(), fc.nat(), fc.integer({ min: 0, max: 255 }), fc.integer({ min: -2, max: 2 }), (columns, cut, at, byte, shift) => {
    const { body: whole, jsonLength = whole.length } = oip.writeRequest({ columns, binary: true })
    const bytes = Buffer.from(cut % 3 === 0 ? whole.subarray(0, cut % (whole.length + 1)) : whole)
    if (bytes.length > 0) bytes[at % bytes.length] = byte
    try {
      const request = oip.readRequest(bytes, Fields.of([LENGTH, String(jsonLength + shift)]))
      for (const { shape, data } of request.columns) expect(data.length).toBe(shape.reduce((product, n) => product * n, 1))
    } catch (error) {
      expect(error).toBeInstanceOf(WeirError)
    }
  }), { numRuns: 2_000 })
})
