/** Random tensors through JSON or as binary tensors, the model and back again: the same bits as ONNX Runtime called directly. */
import { join } from 'node:path'
import fc from 'fast-check'
import * as ort from 'onnxruntime-node'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { Fields } from '../../gateway/headers.ts'
import type { Column } from '../../gateway/payload/columns.ts'
import { oip } from '../../gateway/payload/oip.ts'
import { ask, configOf, exchange, fixtures, onnx, type Stage, stage } from './setup.ts'

const names = ['cancer', 'digits', 'fraud', 'identity_fp32', 'identity_int64', 'identity_bytes', 'simple']
const config = configOf(null, Object.fromEntries(names.map((name) => [name, onnx(name, join(fixtures, name, '1/model.onnx'))])))
let current: Stage
beforeAll(async () => {
  current = await stage(config)
})
afterAll(() => current.close())

const types = { FP32: 'float32', INT64: 'int64', INT32: 'int32', BYTES: 'string' } as const

async function byJson(name: string, columns: readonly Column[]): Promise<readonly Column[]> {
  const answer = await ask(current.models.backend(config.backends[name] as never), oip.writeRequest({ columns }).body)
  return oip.readAnswer(answer.body as Buffer, Fields.of([])).columns
}

async function byBinary(name: string, columns: readonly Column[]): Promise<readonly Column[]> {
  const { body, type, jsonLength } = oip.writeRequest({ columns, binary: true, parameters: { binary_data_output: true } })
  const x = exchange(body, null, { headers: ['content-type', type, 'inference-header-content-length', String(jsonLength)] })
  const answer = await current.models.backend(config.backends[name] as never).send(x, x.leg)
  expect(answer.fields.get('inference-header-content-length')).toMatch(/^[0-9]+$/)
  return oip.readAnswer(answer.body as Buffer, answer.fields).columns
}

async function compare(name: string, columns: readonly Column[]): Promise<void> {
  for (const way of [byJson, byBinary]) await compareBy(way, name, columns)
}

async function compareBy(way: typeof byJson, name: string, columns: readonly Column[]): Promise<void> {
  const got = await way(name, columns)
  const session = await sessionOf(name)
  const feeds = Object.fromEntries(columns.map((column) => [column.name, new ort.Tensor(types[column.dtype as keyof typeof types], column.data as never, column.shape)]))
  const direct = await session.run(feeds)
  expect(got.map((column) => column.name)).toEqual(session.outputNames)
  for (const column of got) {
    const tensor = direct[column.name]!
    expect(column.shape).toEqual([...tensor.dims])
    expect(column.data, way.name).toEqual(tensor.data)
  }
}

const sessions = new Map<string, Promise<ort.InferenceSession>>()
/** One thread as weir's: with more, trees are summed in another order and the last bit differs. */
function sessionOf(name: string): Promise<ort.InferenceSession> {
  const made = sessions.get(name) ?? ort.InferenceSession.create(join(fixtures, name, '1/model.onnx'), { intraOpNumThreads: 1 })
  sessions.set(name, made)
  return made
}

function matrix(name: string, width: number): fc.Arbitrary<Column> {
  const row = fc.float({ noNaN: true, min: Math.fround(-1e4), max: Math.fround(1e4) })
  return fc.integer({ min: 1, max: 9 }).chain((rows) => fc.array(row, { minLength: rows * width, maxLength: rows * width }).map((data) => ({ name, dtype: 'FP32' as const, shape: [rows, width], data: Float32Array.from(data) })))
}

test.each([['cancer', 30], ['digits', 64], ['fraud', 12]] as const)('%s', async (name, width) => {
  await fc.assert(fc.asyncProperty(matrix('features', width), (column) => compare(name, [column])), { numRuns: 25 })
})

test('any finite float32', async () => {
  const floats = fc.array(fc.float({ noNaN: true, noDefaultInfinity: true }), { minLength: 1, maxLength: 30 })
  await fc.assert(fc.asyncProperty(floats, (data) => compare('identity_fp32', [{ name: 'INPUT0', dtype: 'FP32', shape: [1, data.length], data: Float32Array.from(data) }])), { numRuns: 60 })
})

test('any 64-bit integer', async () => {
  const integers = fc.array(fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }), { minLength: 1, maxLength: 30 })
  await fc.assert(fc.asyncProperty(integers, (data) => compare('identity_int64', [{ name: 'INPUT0', dtype: 'INT64', shape: [data.length, 1], data: BigInt64Array.from(data) }])), { numRuns: 60 })
})

test('any text', async () => {
  // A NUL is refused: this binding cuts texts off there.
  const texts = fc.array(fc.string({ unit: 'binary' }).filter((text) => text.isWellFormed() && !text.includes('\0')), { minLength: 1, maxLength: 10 })
  await fc.assert(fc.asyncProperty(texts, (data) => compare('identity_bytes', [{ name: 'INPUT0', dtype: 'BYTES', shape: [1, data.length], data }])), { numRuns: 60 })
})

test('two inputs', async () => {
  const integers = fc.array(fc.integer({ min: -(2 ** 30), max: 2 ** 30 - 1 }), { minLength: 32, maxLength: 32 })
  await fc.assert(fc.asyncProperty(integers, integers, (a, b) => compare('simple', [a, b].map((data, i) => ({ name: `INPUT${i}`, dtype: 'INT32', shape: [2, 16], data: Int32Array.from(data) })))), { numRuns: 60 })
})
