/**
 * Requests that do not fit a model, by binary tensors, raw, TensorFlow Serving's form, MLflow's, and from one model to another: each
 * is refused with a sentence that names the tensor, and the next good one works. JSON tensors are in bad_input.test.ts.
 */
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { Answer } from '../../gateway/exchange.ts'
import { mlflow } from '../../gateway/payload/mlflow.ts'
import { type Call, caller } from './calls.ts'
import { builtins, configOf, exchange, fixtures, golden, json, onnx, repositoryConfig, type Stage, stage } from './setup.ts'

const backends = { iris: onnx('iris', join(fixtures, 'iris/1/model.onnx')), churn: onnx('churn', join(fixtures, 'churn/1/model.onnx')), named: onnx('named', join(fixtures, 'iris/1/model.onnx'), { columns: ['a', 'b', 'c', 'd'] }) }
let current: Stage
let call: Call
beforeAll(async () => {
  current = await stage(configOf(repositoryConfig(fixtures), backends))
  call = caller(builtins(current.models))
})
afterAll(() => current.close())

async function refused(answer: Answer, status: number, message: string): Promise<void> {
  const { error } = json(answer)
  expect(`${answer.status} ${error}`).toContain(message)
  expect(answer.status).toBe(status)
  // Neither a path of this machine nor the library's words.
  expect(error).not.toMatch(/\/home|\/tmp|\/work|onnxruntime|\.cc:|\n/)
}

async function works(model: string): Promise<void> {
  const good = golden(join(fixtures, model, '1'))[0]!
  const answer = await call('POST', `/v2/models/${model}/versions/1/infer`, good.text)
  expect(json(answer).outputs.map(({ name, shape }) => ({ name, shape }))).toEqual(good.response_outputs.map(({ name, shape }) => ({ name, shape })))
}

interface Tensor {
  readonly name: string
  readonly datatype: string
  readonly shape: readonly number[]
  readonly parameters?: object
  readonly data?: unknown
}

/** JSON, what follows it, and the length that the field tells. */
interface Binary {
  readonly inputs: readonly Tensor[]
  readonly tail: Buffer
  readonly length?: string
  readonly more?: object
}

function bytesOf({ inputs, tail, length, more }: Binary): [Buffer, string[]] {
  const head = Buffer.from(JSON.stringify({ inputs, ...more }))
  return [Buffer.concat([head, tail]), ['inference-header-content-length', length ?? String(head.length)]]
}

const floats = (...values: number[]): Buffer => Buffer.from(new Float32Array(values).buffer)
const sized = (size: unknown): object => ({ parameters: { binary_data_size: size } })
const features = (change: Partial<Tensor> = {}): Tensor => ({ name: 'features', datatype: 'FP32', shape: [1, 30], ...sized(120), ...change })
const thirty = floats(...Array<number>(30).fill(1))
const text = (...values: Buffer[]): Buffer => Buffer.concat(values.map((value) => Buffer.concat([Buffer.from(new Uint32Array([value.length]).buffer), value])))
const of = (datatype: string, shape: number[], size: number): Tensor => ({ name: 'INPUT0', datatype, shape, ...sized(size) })
const one = (inputs: readonly Tensor[], tail: Buffer, more: Partial<Binary> = {}): Binary => ({ inputs, tail, ...more })

describe('binary tensors', () => {
  test.each<[model: string, body: Binary, message: string]>([
    ['cancer', one([features()], thirty.subarray(4)), 'input "features": binary_data_size is 120, but behind the JSON 116 bytes are left'],
    ['cancer', one([features()], Buffer.alloc(0)), 'input "features": binary_data_size is 120, but behind the JSON 0 bytes are left'],
    ['cancer', one([features()], Buffer.concat([thirty, thirty])), '120 bytes are left behind the data of input "features"'],
    ['cancer', one([features(sized(116))], thirty), 'input "features": shape [1,30] of FP32 takes 120 bytes, found 116'],
    ['cancer', one([features({ shape: [2, 30] })], thirty), 'input "features": shape [2,30] of FP32 takes 240 bytes, found 120'],
    ['cancer', one([features({ shape: [2 ** 40, 2 ** 40] })], thirty), 'input "features": shape [1099511627776,1099511627776] of FP32 takes more than 2^53 bytes, found 120'],
    ['cancer', one([features({ shape: [30] })], thirty), 'input "features": expected shape [-1,30], found [30]'],
    ['cancer', one([features({ shape: [1, 15], datatype: 'FP64' })], thirty), 'input "features": expected datatype FP32, found FP64'],
    ['cancer', one([features({ shape: [1, 60], datatype: 'FP16' })], thirty), 'input "features": expected datatype FP32, found FP16'],
    ['cancer', one([features({ datatype: 'FP8' })], thirty), 'input "features": unknown datatype "FP8"'],
    ['cancer', one([features({ name: 'feature' })], thirty), 'unknown input "feature"; the model takes "features"'],
    ['cancer', one([features(sized(-120))], thirty), 'input "features": expected binary_data_size to be a number of bytes, found -120'],
    ['cancer', one([features(sized('120'))], thirty), 'input "features": expected binary_data_size to be a number of bytes, found "120"'],
    ['cancer', one([features(sized(1.5))], thirty), 'input "features": expected binary_data_size to be a number of bytes, found 1.5'],
    ['cancer', one([features(sized(true))], thirty), 'input "features": expected binary_data_size to be a number of bytes, found true'],
    ['cancer', one([features({ data: Array(30).fill(1) })], thirty), 'input "features" has both "data" and "binary_data_size"'],
    ['cancer', one([features({ parameters: {} })], thirty), 'input "features" has no "data"'],
    ['cancer', one([features(), features()], Buffer.concat([thirty, thirty])), 'input "features" is given twice'],
    ['cancer', one([features()], thirty, { length: '-1' }), 'expected inference-header-content-length to be a number of bytes, found "-1"'],
    ['cancer', one([features()], thirty, { length: 'all' }), 'expected inference-header-content-length to be a number of bytes, found "all"'],
    ['cancer', one([features()], thirty, { length: '1e2' }), 'expected inference-header-content-length to be a number of bytes'],
    ['cancer', one([features()], thirty, { length: '99999999999999999999' }), 'expected inference-header-content-length to be a number of bytes'],
    ['cancer', one([features()], thirty, { length: '100000' }), 'inference-header-content-length is 100000, but the body has'],
    ['cancer', one([features()], thirty, { length: '20' }), 'invalid JSON'],
    ['cancer', one([features()], thirty, { more: { outputs: [{ name: 'labels', parameters: { binary_data: true } }] } }), 'unknown output "labels"'],
    ['cancer', one([features()], thirty, { more: { outputs: [{ name: 'probabilities', parameters: { classification: 0 } }] } }), 'output "probabilities": expected classification to be an integer from 1, found 0'],
    ['cancer', one([features()], thirty, { more: { outputs: [{ name: 'probabilities', parameters: { classification: -1 } }] } }), 'output "probabilities": expected classification to be an integer from 1, found -1'],
    ['cancer', one([features()], thirty, { more: { outputs: [{ name: 'probabilities', parameters: { classification: 'two' } }] } }), 'output "probabilities": expected classification to be an integer from 1, found "two"'],
    ['identity_bool', one([of('BOOL', [1, 2], 2)], Buffer.from([1, 2])), 'input "INPUT0": element 1: expected a byte 0 or 1, found 2'],
    ['identity_int64', one([of('INT64', [1, 1], 4)], Buffer.alloc(4)), 'input "INPUT0": shape [1,1] of INT64 takes 8 bytes, found 4'],
    ['identity_bytes', one([of('BYTES', [1, 1], 3)], Buffer.alloc(3)), 'input "INPUT0": element 0: expected 4 bytes that tell its length, found 3'],
    ['identity_bytes', one([of('BYTES', [1, 1], 8)], Buffer.from([255, 255, 255, 255, 65, 65, 65, 65])), 'input "INPUT0": element 0: its length is 4294967295, but 4 bytes are left'],
    ['identity_bytes', one([of('BYTES', [1, 2], 5)], text(Buffer.from('a'))), 'input "INPUT0": shape [1,2] has 2 elements, found 1'],
    ['identity_bytes', one([of('BYTES', [1, 1], 10)], text(Buffer.from('a'), Buffer.from('b'))), 'input "INPUT0": shape [1,1] has 1 element, found more'],
    ['identity_bytes', one([of('BYTES', [1, 1], 6)], text(Buffer.from([0xc3, 0x28]))), 'input "INPUT0": element 0: expected UTF-8 text'],
    ['identity_bytes', one([of('BYTES', [1, 1], 7)], text(Buffer.from('a\0b'))), 'input "INPUT0": element 0 holds a NUL character'],
    ['identity_bytes', one([of('BYTES', [1, 1], 5)], text(Buffer.from('a')), { more: { outputs: [{ name: 'OUTPUT0', parameters: { classification: 1 } }] } }), 'output "OUTPUT0": a classification needs integers, FP32 or FP64'],
  ])('%s %j', async (model, body, message) => {
    const [bytes, headers] = bytesOf(body)
    await refused(await call('POST', `/v2/models/${model}/versions/1/infer`, bytes, headers), 400, message)
    await works(model)
  })

  test.each<[model: string, body: Buffer, message: string]>([
    ['simple', Buffer.alloc(64), 'a raw request (inference-header-content-length: 0) needs a model with one input, this one has 2'],
    ['cancer', Buffer.alloc(116), 'input "features": shape [1,30] of FP32 takes 120 bytes, found 116'],
    ['cancer', Buffer.alloc(240), 'input "features": shape [1,30] of FP32 takes 120 bytes, found 240'],
    ['embedding', Buffer.alloc(9), 'input "ids": expected a whole number of [-1], found a body that is none'],
    ['identity_bytes', Buffer.from([0xff]), 'input "INPUT0"'],
  ])('raw: %s %j', async (model, body, message) => {
    await refused(await call('POST', `/v2/models/${model}/versions/1/infer`, body, ['inference-header-content-length', '0']), 400, message)
    await works(model)
  })
})

describe('TensorFlow Serving', () => {
  const row = Array<number>(30).fill(1)
  test.each<[model: string, body: unknown, message: string]>([
    ['cancer', { instances: [row.slice(1)] }, 'input "features": expected shape [-1,30], found [1,29]'],
    ['cancer', { instances: [row, row.slice(1)] }, 'instances[1]: expected a list of 30, found 29'],
    ['cancer', { instances: row }, 'input "features": expected shape [-1,30], found [30]; the first dimension counts rows'],
    ['cancer', { instances: [[row]] }, 'input "features": expected shape [-1,30], found [1,1,30]'],
    ['cancer', { instances: [row.map(String)] }, '"features" in row 0 at [0]: expected a number in the range of FP32, found the string "1"'],
    ['cancer', { instances: [[...row.slice(1), 1e39]] }, '"features" in row 0 at [29]: expected a number in the range of FP32, found 1e+39'],
    ['cancer', { inputs: { feature: [row] } }, 'missing feature "features"; found instead "feature"'],
    ['cancer', { inputs: { features: [row.slice(1)] } }, 'input "features": expected shape [-1,30], found [1,29]'],
    ['cancer', { instances: [row], signature_name: 'other' }, 'unknown signature "other"'],
    ['cancer', { instances: [] }, 'expected at least one value in "instances"'],
    ['cancer', '{"instances":[[', 'invalid JSON'],
    ['simple', { instances: [[1]] }, '"INPUT0", "INPUT1"'],
    ['simple', { inputs: { INPUT0: [Array(16).fill(1)] } }, '"INPUT1"'],
    ['simple', { inputs: { INPUT0: [Array(16).fill(1)], INPUT1: [Array(16).fill(1), Array(16).fill(1)] } }, 'input "INPUT1": expected 1 rows as in "INPUT0", found 2'],
    ['simple', { inputs: { INPUT0: [Array(16).fill(0.5)], INPUT1: [Array(16).fill(1)] } }, '"INPUT0"'],
    ['simple', { inputs: { INPUT0: [Array(16).fill(2 ** 31)], INPUT1: [Array(16).fill(1)] } }, '"INPUT0"'],
    ['simple_string', { inputs: { INPUT0: [Array(16).fill(1)], INPUT1: [Array(16).fill('1')] } }, '"INPUT0"'],
    ['embedding', { instances: [[1, 2]] }, '"ids"'],
    ['identity_int64', '{"inputs":[[9223372036854775808]]}', '"INPUT0"'],
  ])('%s %j', async (model, body, message) => {
    await refused(await call('POST', `/v1/models/${model}:predict`, typeof body === 'string' ? body : JSON.stringify(body)), 400, message)
    await works(model)
  })
})

describe('MLflow', () => {
  const frame = (columns: string[], ...data: unknown[][]): object => ({ dataframe_split: { columns, data } })
  test.each<[model: keyof typeof backends, body: unknown, message: string, type?: string]>([
    ['iris', { inputs: [[1, 2, 3]] }, 'input "input-0": expected shape [-1,4], found [1,3]'],
    ['iris', frame(['a', 'b', 'c'], [1, 2, 3]), 'input-0'],
    ['iris', frame(['a', 'b', 'c', 'd'], [1, 2, 3]), '"dataframe_split.data[0]": expected 4 values, found 3'],
    ['iris', frame(['a', 'b', 'c', 'd'], [1, 2, 3, 'x']), '"d"'],
    ['named', frame(['a', 'b', 'c', 'e'], [1, 2, 3, 4]), 'missing feature "d"; found instead "e"'],
    ['named', { dataframe_records: [{ a: 1, b: 2, c: 3 }] }, 'missing feature "d"'],
    ['iris', { inputs: [[1, 2, 3, 4]], instances: [[1, 2, 3, 4]] }, 'found both'],
    ['iris', { inputs: [[1, 2, 3, 4]], params: 5 }, '"params"'],
    ['iris', 'a,b,c,d\n1,2,3\n', 'CSV line 2: expected 4 cells, found 3', 'text/csv'],
    ['iris', 'a,b,c,d\n1,2,3,x\n', '"d"', 'text/csv'],
    ['churn', { dataframe_records: [{ age: 45 }] }, 'missing feature'],
  ])('%s %j', async (model, body, message, type = 'application/json') => {
    const backend = current.models.backend(backends[model] as never)
    const send = async (content: string | Buffer, kind: string): Promise<Answer> => {
      const x = exchange(content, mlflow, { headers: ['content-type', kind] })
      return backend.send(x, x.leg)
    }
    await expect(send(typeof body === 'string' ? body : JSON.stringify(body), type)).rejects.toThrow(expect.objectContaining({ status: 400, message: expect.stringContaining(message) }))
    if (model !== 'churn') expect((await send('{"inputs":[[5,3,1,0.2]]}', 'application/json')).status).toBe(200)
  })
})

describe('other refusals', () => {
  test.each<[path: string, body: string | Buffer, headers: string[], status: number, message: string]>([
    ['/v2/models/nothing/infer', '{}', [], 404, 'there is no model "nothing"'],
    ['/v2/models/cancer/versions/99/infer', '{}', [], 404, 'model "cancer" has no version 99'],
    ['/v2/models/cancer/versions/stable/infer', '{}', [], 404, 'a version is a number'],
    ['/v2/models/cancer/infer', gzipSync(Buffer.alloc((64 << 20) + 1)), ['content-encoding', 'gzip'], 413, 'larger than 67108864 bytes'],
    ['/v2/models/cancer/infer', gzipSync('{}').subarray(0, 15), ['content-encoding', 'gzip'], 400, 'ends too early'],
    ['/v2/models/cancer/infer', Buffer.concat([gzipSync('{}'), Buffer.from('x')]), ['content-encoding', 'gzip'], 400, 'the gzip body'],
    ['/v2/models/cancer/infer', '{}', ['content-encoding', 'zstd'], 415, 'content-encoding "zstd" is not read here'],
    ['/v2/models/cancer/infer', gzipSync('{}'), [], 400, 'the body is not UTF-8'],
    ['/v1/models/cancer/versions/99:predict', '{}', [], 404, 'Specific(cancer, 99)'],
  ])('%s, case %#', async (path, body, headers, status, message) => {
    await refused(await call('POST', path, body, headers), status, message)
    await works('cancer')
  })
})
