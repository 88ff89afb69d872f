import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { NO_MODELS } from '../../gateway/models/description.ts'
import { createModels } from '../../gateway/models/models.ts'
import { residentsOf } from '../../gateway/models/residents.ts'
import { systemClock } from '../../gateway/clock.ts'
import { Registry, totals } from '../../gateway/metrics.ts'
import { type Call, caller } from './calls.ts'
import type { BuiltinRoute } from '../../gateway/models/protocol/route.ts'
import { builtins, configOf, exchange, fakeOperator, fixtures, golden, json, memoryLog, repositoryConfig, type Stage, stage, textOf } from './setup.ts'

const EXTENSIONS = ['binary_tensor_data', 'classification', 'model_configuration', 'model_repository', 'statistics']
let current: Stage
let routes: readonly BuiltinRoute[]
let call: Call
beforeAll(async () => {
  current = await stage(configOf(repositoryConfig(fixtures)))
  routes = builtins(current.models)
  call = caller(routes)
})
afterAll(() => current.close())

test.each([
  ['/v2/health/live', { live: true }],
  ['/v2/health/ready', { ready: true }],
  ['/v2', { name: 'weir', version: '1.2.3', extensions: EXTENSIONS }],
  ['/v2/', { name: 'weir', version: '1.2.3', extensions: EXTENSIONS }],
  ['/v2/models/cancer/ready', { name: 'cancer', ready: true }],
  ['/v2/models/cancer/versions/2/ready', { name: 'cancer', ready: true }],
  ['/v2/models/simple_string', { name: 'simple_string', versions: ['1'], platform: 'onnxruntime_onnx',
    inputs: [{ name: 'INPUT0', datatype: 'BYTES', shape: [-1, 16] }, { name: 'INPUT1', datatype: 'BYTES', shape: [-1, 16] }],
    outputs: [{ name: 'OUTPUT0', datatype: 'BYTES', shape: [-1, 16] }, { name: 'OUTPUT1', datatype: 'BYTES', shape: [-1, 16] }] }],
  ['/v2/models/cancer/versions/2', { name: 'cancer', versions: ['1', '2', '3'], platform: 'onnxruntime_onnx',
    inputs: [{ name: 'features', datatype: 'FP32', shape: [-1, 30] }],
    outputs: [{ name: 'label', datatype: 'INT64', shape: [-1] }, { name: 'probabilities', datatype: 'FP32', shape: [-1, 2] }] }],
  ['/v2/models/cancer_zipmap', { name: 'cancer_zipmap', versions: ['1'], platform: 'onnxruntime_onnx',
    inputs: [{ name: 'features', datatype: 'FP32', shape: [-1, 30] }],
    outputs: [{ name: 'output_label', datatype: 'INT64', shape: [-1] }, { name: 'output_probability', datatype: 'FP32', shape: [-1, 2] }] }],
])('GET %s', async (path, body) => {
  for (const method of ['GET', 'HEAD']) {
    const answer = await call(method, path)
    expect(answer.status).toBe(200)
    expect(json(answer)).toEqual(body)
    expect(answer.headers).toEqual(['content-type', 'application/json'])
  }
})

test('all models, in order', async () => {
  expect(json(await call('GET', '/v2/models')).models).toEqual([...current.models.repository.keys()].sort())
  expect(json(await call('GET', '/v2/models')).models).toContain('iris')
})

test.each([
  ['GET', '/v2/models/nothing', 404, 'there is no model "nothing"'],
  ['GET', '/v2/models/..%2F..%2Fetc%2Fpasswd', 404, 'there is no model "../../etc/passwd"'],
  ['GET', '/v2/models/%E0%A4%A', 404, 'there is no model "%E0%A4%A"'],
  ['GET', '/v2/models/cancer/versions/9', 404, 'model "cancer" has no version 9'],
  ['GET', '/v2/models/cancer/versions/latest', 404, 'a version is a number'],
  ['GET', '/v2/models/nothing/ready', 404, 'there is no model'],
  ['POST', '/v2/models/nothing/infer', 404, 'there is no model'],
  ['POST', '/v2/models/cancer/infer', 400, 'found an empty one'],
])('%s %s is %d in the shape clients read', async (method, path, status, message) => {
  const answer = await call(method, path)
  expect(answer.status).toBe(status)
  expect(json(answer).error).toContain(message)
  expect(json(answer).request_id).toBe('request-1')
})

test.each([['POST', '/v2', 'GET, HEAD'], ['DELETE', '/v2/models/cancer', 'GET, HEAD'], ['GET', '/v2/models/cancer/infer', 'POST'], ['POST', '/v2/health/ready', 'GET, HEAD']])('%s %s is 405 with what is allowed', async (method, path, allow) => {
  const answer = await call(method, path)
  expect(answer.status).toBe(405)
  expect(answer.headers.slice(-2)).toEqual(['allow', allow])
  expect(json(answer).code).toBe('METHOD_NOT_ALLOWED')
})

describe('infer', () => {
  test('without a version the latest, with one that', async () => {
    const one = golden(join(fixtures, 'cancer/1'))[0]!
    for (const [path, version] of [['/v2/models/cancer/infer', '3'], ['/v2/models/cancer/versions/1/infer', '1'], ['/v2/models/can%63er/versions/2/infer', '2']] as const) {
      const answer = await call('POST', path, one.text)
      expect(json(answer)).toMatchObject({ model_name: 'cancer', model_version: version, id: one.request.id })
      expect(answer.model).toEqual({ name: 'cancer', version })
    }
  })

  test('a ZipMap model gives its probabilities as a matrix, and each output alone', async () => {
    const one = golden(join(fixtures, 'cancer_zipmap/1'))[0]!
    const request = JSON.parse(one.text)
    const label = await call('POST', '/v2/models/cancer_zipmap/infer', JSON.stringify({ ...request, outputs: [{ name: 'output_label' }] }))
    expect(json(label).outputs).toEqual([{ name: 'output_label', datatype: 'INT64', shape: [1], data: one.response_outputs[0]!.data }])
    const all = await call('POST', '/v2/models/cancer_zipmap/infer', one.text)
    expect(all.status).toBe(200)
    const [, expected] = one.response_outputs
    expect(json(all).outputs[1]).toMatchObject({ name: 'output_probability', datatype: 'FP32', shape: expected!.shape })
    expected!.data.forEach((value, i) => expect(json(all).outputs[1]!.data[i]).toBeCloseTo(Number(value), 4))
  })

  test('a value JSON cannot carry is a 500 that names the output', async () => {
    const infinite = await call('POST', '/v2/models/logx/infer', '{"inputs":[{"name":"x","shape":[2,1],"datatype":"FP32","data":[1,0]}]}')
    expect(infinite.status).toBe(500)
    expect(json(infinite)).toMatchObject({ error: 'output "y": element 1 is -Infinity, which JSON cannot carry', code: 'MODEL_FAILED' })
    const rows = await call('POST', '/v1/models/logx:predict', '{"instances":[[1],[0]]}')
    expect(rows.status).toBe(500)
    expect(json(rows).error).toContain('"y"')
    const binary = await call('POST', '/v2/models/logx/infer', '{"parameters":{"binary_data_output":true},"inputs":[{"name":"x","shape":[2,1],"datatype":"FP32","data":[1,0]}]}')
    expect(binary.status).toBe(200)
    expect((binary.body as Buffer).subarray(-8).toString('hex')).toBe('00000000000080ff')
  })

  test('a run that fails names the request, not the library’s words, and is counted; the model goes on', async () => {
    const bad = await call('POST', '/v2/models/embedding/infer', '{"inputs":[{"name":"ids","shape":[1],"datatype":"INT64","data":[10]}]}')
    expect(bad.status).toBe(500)
    expect(json(bad).error).toBe('model "embedding" version 1 failed on this input ("ids" INT64 [1]): check its values')
    expect(current.log.lines.at(-1)).toMatchObject({ level: 'warn', message: 'a model failed', fields: { name: 'embedding' } })
    expect(String(current.log.lines.at(-1)!.fields.error)).toContain('out of')
    const text = await call('POST', '/v2/models/simple_string/infer', JSON.stringify({ inputs: ['INPUT0', 'INPUT1'].map((name) => ({ name, shape: [1, 16], datatype: 'BYTES', data: Array(16).fill('abc') })) }))
    expect(json(text).error).toContain('"INPUT0" BYTES [1,16], "INPUT1" BYTES [1,16]')
    const good = await call('POST', '/v2/models/embedding/infer', '{"inputs":[{"name":"ids","shape":[1],"datatype":"INT64","data":[9]}]}')
    expect(good.status).toBe(200)
    const outcome = (of: string) => totals([current.registry.view()], 'weir_model_requests_total').find(({ labels }) => labels.model === 'embedding' && labels.outcome === of)!.value
    expect([outcome('ok'), outcome('run'), outcome('input')]).toEqual([1, 1, 0])
    expect(totals([current.registry.view()], 'weir_model_run_seconds').find(({ labels }) => labels.model === 'embedding')!.value).toBe(1)
  })
})

test('no models: live, ready, and an empty list', async () => {
  const none = await createModels(NO_MODELS, { registry: new Registry(), log: memoryLog(), clock: systemClock, gather: () => Buffer.alloc(0), operator: fakeOperator(), residents: residentsOf(null, systemClock) })
  const at = (path: string) => builtins(none).find((route) => route.path === path)!
  expect(textOf(await at('/v2/models').handle(exchange(null, null, { method: 'GET' }), {}))).toBe('{"models":[]}')
  expect((await at('/v2/health/ready').handle(exchange(null, null, { method: 'GET' }), {})).status).toBe(200)
  await none.close()
})

test('the run of a model is waiting for a backend', async () => {
  const route = routes.find(({ path }) => path === '/v2/models/{model}/infer')!
  const x = exchange(golden(join(fixtures, 'cancer', '1'))[0]!.text, null, { method: 'POST' })
  expect(x.waited).toBe(0)
  expect((await route.handle(x, { model: 'cancer' })).status).toBe(200)
  expect(x.waited).toBeGreaterThan(0)
})
