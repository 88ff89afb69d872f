/** Endpoints beside OIP's own: Triton's extensions, KServe v1, TensorFlow Serving, MLflow. */
import { cpSync } from 'node:fs'
import { join } from 'node:path'
import { deflateSync, gunzipSync, gzipSync, inflateSync } from 'node:zlib'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { Answer } from '../../gateway/exchange.ts'
import { countsOf } from '../../gateway/models/counts.ts'
import type { IndexEntry } from '../../gateway/models/operator.ts'
import { type Call, caller } from './calls.ts'
import { builtins, configOf, fakeOperator, fixtures, golden, repositoryConfig, type Stage, stage, temporary, textOf } from './setup.ts'

let current: Stage
let call: Call
const INDEX: IndexEntry[] = [
  { name: 'cancer', version: '1', state: 'READY', reason: '' },
  { name: 'cancer', version: '2', state: 'UNAVAILABLE', reason: '2/model.onnx: it is no ONNX file' },
]
const orders: string[] = []
beforeAll(async () => {
  current = await stage(configOf(repositoryConfig(fixtures)))
  await current.models.update({ ...current.control.description, labels: { cancer: { stable: '2' } } })
  Object.assign(current.models.operator, fakeOperator({
    index: async () => INDEX,
    load: async (name) => (orders.push(`load ${name}`), name === 'nothing' ? { code: 'MODEL_NOT_FOUND', message: 'there is no model "nothing"' } : null),
    unload: async (name) => (orders.push(`unload ${name}`), null),
    counts: async () => countsOf([current.registry.view()]),
  }))
  call = caller(builtins(current.models))
})
afterAll(() => current.close())

// What an answer holds differs from test to test.
// oxlint-disable-next-line typescript/no-explicit-any
const body = (answer: Answer): any => JSON.parse(textOf(answer))
const row = golden(join(fixtures, 'iris/1')).find(({ request }) => request.inputs[0]!.shape[0] === 1)!
const values = row.request.inputs[0]!.data as number[]
const IRIS_LABEL = (row.response_outputs[0]!.data as number[])[0]!

async function refused(answer: Promise<Answer>, status: number, message: string): Promise<void> {
  const { error } = body(await answer)
  expect(`${(await answer).status} ${error}`).toContain(`${status} `)
  expect(error).toContain(message)
}

describe('Triton: configuration', () => {
  test('of a model whose rows are not joined, dims are whole', async () => {
    const answer = await call('GET', '/v2/models/cancer/config')
    expect(body(answer)).toEqual({
      name: 'cancer', platform: 'onnxruntime_onnx', backend: 'onnxruntime', version_policy: { all: {} }, max_batch_size: 0,
      input: [{ name: 'features', data_type: 'TYPE_FP32', dims: [-1, 30] }],
      output: [{ name: 'label', data_type: 'TYPE_INT64', dims: [-1] }, { name: 'probabilities', data_type: 'TYPE_FP32', dims: [-1, 2] }],
      default_model_filename: 'model.onnx',
    })
    expect(body(await call('GET', '/v2/models/simple_string/versions/1/config')).input[0]).toEqual({ name: 'INPUT0', data_type: 'TYPE_STRING', dims: [-1, 16] })
  })

  test('the version policy is the configuration’s', async () => {
    for (const [versions, policy] of [[{ latest: 2 }, { latest: { num_versions: 2 } }], [{ specific: ['1', '3'] }, { specific: { versions: ['1', '3'] } }]] as const) {
      const other = caller(builtins(current.models, { versions }))
      expect(body(await other('GET', '/v2/models/cancer/config')).version_policy).toEqual(policy)
    }
  })
})

describe('Triton: statistics', () => {
  test('count what was answered, by model and version', async () => {
    const before = (await stats('/v2/models/cancer/versions/1/stats'))[0]!
    expect(before).toMatchObject({ name: 'cancer', version: '1' })
    const one = golden(join(fixtures, 'cancer/1'))[0]!
    const rows = one.request.inputs[0]!.shape[0]!
    for (let i = 0; i < 3; i++) expect((await call('POST', '/v2/models/cancer/versions/1/infer', one.text)).status).toBe(200)
    expect((await call('POST', '/v2/models/cancer/versions/1/infer', '{}')).status).toBe(400)
    const after = (await stats('/v2/models/cancer/versions/1/stats'))[0]!
    expect(after.inference_count - before.inference_count).toBe(3 * rows)
    expect(after.execution_count - before.execution_count).toBe(3)
    const parts = ['queue', 'compute_input', 'compute_infer', 'compute_output'].map((part) => after.inference_stats[part]!)
    for (const { count } of parts) expect(count - before.inference_stats['success']!.count).toBe(3)
    expect(after.inference_stats['success']!.ns).toBe(parts.reduce((sum, { ns }) => sum + ns, 0))
    expect(after.inference_stats['compute_infer']!.ns).toBeGreaterThan(before.inference_stats['compute_infer']!.ns)
    expect(after.inference_stats['fail']!.count - before.inference_stats['fail']!.count).toBe(1)
  })

  test('of all versions, of all models, and of none', async () => {
    expect((await stats('/v2/models/cancer/stats')).map(({ version }) => version)).toEqual(['1', '2', '3'])
    expect((await stats('/v2/models/stats')).map(({ name }) => name)).toContain('simple_int8')
    await refused(call('GET', '/v2/models/nothing/stats'), 404, 'there is no model "nothing"')
  })

  interface Stats {
    readonly name: string
    readonly version: string
    readonly inference_count: number
    readonly execution_count: number
    readonly inference_stats: Readonly<Record<string, { count: number; ns: number }>>
  }
  async function stats(path: string): Promise<Stats[]> {
    return body(await call('GET', path)).model_stats
  }
})

describe('Triton: repository', () => {
  test('index, of all and of what is ready', async () => {
    const all = [{ name: 'cancer', version: '1', state: 'READY' }, { name: 'cancer', version: '2', state: 'UNAVAILABLE', reason: '2/model.onnx: it is no ONNX file' }]
    for (const text of [null, '', '{}', '{"ready":false}']) expect(body(await call('POST', '/v2/repository/index', text))).toEqual(all)
    expect(body(await call('POST', '/v2/repository/index', '{"ready":true}'))).toEqual([all[0]])
    await refused(call('POST', '/v2/repository/index', '{"ready":1}'), 400, 'expected "ready" to be true or false')
    await refused(call('POST', '/v2/repository/index', '[]'), 400, 'expected the body to be an object')
    await refused(call('POST', '/v2/repository/index', '{'), 400, 'not well-formed JSON')
  })

  test('load and unload are for callers only where the configuration says so', async () => {
    for (const action of ['load', 'unload']) await refused(call('POST', `/v2/repository/models/cancer/${action}`), 403, '"models.control: explicit"')
    expect(orders).toEqual([])
    const open = caller(builtins(current.models, { control: 'explicit' }))
    expect(body(await open('POST', '/v2/repository/models/can%63er/load', '{}'))).toEqual({ name: 'cancer', load: true })
    expect(body(await open('POST', '/v2/repository/models/cancer/unload', '{"parameters":{"unload_dependents":false}}'))).toEqual({ name: 'cancer', unload: true })
    await refused(open('POST', '/v2/repository/models/nothing/load'), 404, 'there is no model "nothing"')
    expect(orders).toEqual(['load cancer', 'unload cancer', 'load nothing'])
    await refused(open('POST', '/v2/repository/models/cancer/load', '{"parameters":{"config":"{}"}}'), 400, 'parameter "config" of load is not supported')
    await refused(open('POST', '/v2/repository/models/cancer/load', '{"parameters":[]}'), 400, 'expected "parameters" to be an object')
    expect(orders).toHaveLength(3)
  })
})

describe('content codings', () => {
  const many = golden(join(fixtures, 'cancer/1')).find(({ request }) => request.inputs[0]!.shape[0] === 64)!
  const infer = (bytes: string | Buffer, headers: string[] = []): Promise<Answer> => call('POST', '/v2/models/cancer/versions/1/infer', bytes, headers)

  test.each([['gzip', gzipSync, gunzipSync], ['deflate', deflateSync, inflateSync]] as const)('%s both ways', async (coding, encode, decode) => {
    const plain = await infer(many.text)
    const answer = await infer(encode(many.text), ['content-encoding', coding, 'accept-encoding', coding])
    expect(answer.headers).toEqual(['content-type', 'application/json', 'vary', 'accept-encoding', 'content-encoding', coding])
    expect((answer.body as Buffer).length).toBeLessThan((plain.body as Buffer).length)
    expect(decode(answer.body as Buffer).toString()).toBe(textOf(plain))
  })

  test('binary tensors too, whose lengths are those of the decoded body', async () => {
    const request = JSON.parse(many.text)
    const answer = await infer(JSON.stringify({ ...request, parameters: { binary_data_output: true } }), ['accept-encoding', 'gzip'])
    const whole = gunzipSync(answer.body as Buffer)
    const length = Number(answer.headers[answer.headers.indexOf('inference-header-content-length') + 1])
    const { outputs } = JSON.parse(whole.subarray(0, length).toString()) as { outputs: { parameters: { binary_data_size: number } }[] }
    expect(outputs.reduce((sum, { parameters }) => sum + parameters.binary_data_size, length)).toBe(whole.length)
  })

  test('what is short or not asked for stays as it is', async () => {
    const one = golden(join(fixtures, 'cancer/1'))[0]!
    expect((await infer(one.text, ['accept-encoding', 'gzip'])).headers).toEqual(['content-type', 'application/json'])
    expect((await infer(many.text)).headers).toEqual(['content-type', 'application/json'])
    expect((await infer(many.text, ['accept-encoding', 'br'])).headers).toEqual(['content-type', 'application/json', 'vary', 'accept-encoding'])
  })

  test('a bomb, an unknown coding and rubbish are refused', async () => {
    await refused(infer(gzipSync(Buffer.alloc((64 << 20) + 1)), ['content-encoding', 'gzip']), 413, 'larger than 67108864 bytes')
    await refused(infer(many.text, ['content-encoding', 'br']), 415, 'content-encoding "br" is not read here')
    await refused(infer(many.text, ['content-encoding', 'gzip']), 400, 'the body is not gzip')
  })
})

describe('TensorFlow Serving', () => {
  test.each(['/v1/models/iris:predict', '/v1/models/iris/versions/1:predict', '/v1/models/iris/versions/01:predict', '/v1/models/iris/versions/0:predict', '/v1/models/ir%69s:PREDICT', '/v1/models/iris/VERSIONS/1:Predict'])('POST %s', async (path) => {
    const rows = await call('POST', path, JSON.stringify({ instances: [values, values] }))
    expect(rows.status).toBe(200)
    expect(body(rows).predictions.map((one: { label: number }) => one.label)).toEqual([IRIS_LABEL, IRIS_LABEL])
    const columns = await call('POST', path, JSON.stringify({ inputs: [values] }))
    expect(body(columns).outputs.label).toEqual([IRIS_LABEL])
    expect(columns.model).toEqual({ name: 'iris', version: '1' })
  })

  test('a label', async () => {
    const features = golden(join(fixtures, 'cancer/2'))[0]!.request.inputs[0]!.data.slice(0, 30)
    const answer = await call('POST', '/v1/models/cancer/labels/stable:predict', JSON.stringify({ instances: [features] }))
    expect(answer.model).toEqual({ name: 'cancer', version: '2' })
    for (const label of ['beta', '2', 'latest', '__proto__']) await refused(call('POST', `/v1/models/cancer/labels/${label}:predict`, '{}'), 400, `Unrecognized servable version label: ${label}`)
  })

  test.each([
    ['POST', '/v1/models/nothing:predict', 404, 'Servable not found for request: Latest(nothing)'],
    ['POST', '/v1/models/nothing/versions/7:predict', 404, 'Servable not found for request: Specific(nothing, 7)'],
    ['POST', '/v1/models/iris/versions/7:predict', 404, 'Servable not found for request: Specific(iris, 7)'],
    ['POST', '/v1/models/nothing/labels/stable:predict', 404, 'Servable not found for request: Latest(nothing)'],
    ['POST', '/v1/models/iris/versions/9223372036854775808:predict', 400, 'Failed to convert version: 9223372036854775808 to numeric.'],
    ['POST', '/v1/models/iris/versions/-1:predict', 400, 'Malformed request: POST /v1/models/iris/versions/-1:predict'],
    ['POST', '/v1/models/iris/versions/latest:predict', 400, 'Malformed request'],
    ['POST', '/v1/models/a:b:predict', 400, 'Malformed request'],
    ['POST', '/v1/models/:predict', 400, 'Malformed request'],
    ['GET', '/v1/models/', 400, 'Malformed request'],
    ['GET', '/v1/models/iris/nothing', 400, 'Malformed request'],
    ['POST', '/v1/models/iris:classify', 501, '":classify" is not served'],
    ['POST', '/v1/models/iris:regress', 501, '":regress" is not served'],
    ['POST', '/v1/models/iris:explain', 501, '":explain" is not served'],
    ['GET', '/v1/models/iris:predict', 405, '":predict" takes POST'],
    ['POST', '/v1/models/iris', 405, 'takes GET'],
    ['DELETE', '/v1/models/iris', 405, 'takes GET, HEAD, POST'],
    ['GET', '/v1/models/nothing', 404, 'Servable not found for request: Latest(nothing)'],
    ['GET', '/v1/models/nothing/metadata', 404, 'Servable not found'],
    ['POST', '/v1/models/iris:predict', 400, 'found an empty one'],
  ])('%s %s is %d', async (method, path, status, message) => {
    await refused(call(method, path), status, message)
  })

  const AVAILABLE = { state: 'AVAILABLE', status: { error_code: 'OK', error_message: '' } }
  test('status, which is KServe’s readiness too', async () => {
    expect(body(await call('GET', '/v1/models/cancer'))).toEqual({ name: 'cancer', ready: true, model_version_status: ['3', '2', '1'].map((version) => ({ version, ...AVAILABLE })) })
    for (const path of ['/v1/models/cancer/versions/2', '/v1/models/cancer/labels/stable']) {
      expect(body(await call('GET', path))).toEqual({ name: 'cancer', ready: true, model_version_status: [{ version: '2', ...AVAILABLE }] })
    }
  })

  test('metadata in the spelling of TF Serving, and of OpenVINO Model Server', async () => {
    const { model_spec, modelSpec, metadata } = body(await call('GET', '/v1/models/cancer/metadata'))
    expect(model_spec).toEqual({ name: 'cancer', signature_name: '', version: '3' })
    expect(modelSpec).toEqual({ name: 'cancer', signatureName: '', version: '3' })
    const { signature_def: snake, signatureDef: camel } = metadata.signature_def
    expect(snake.serving_default.method_name).toBe('tensorflow/serving/predict')
    expect(snake.serving_default.inputs).toEqual({ features: { dtype: 'DT_FLOAT', tensor_shape: { dim: [{ size: '-1', name: '' }, { size: '30', name: '' }], unknown_rank: false }, name: 'features' } })
    expect(Object.keys(snake.serving_default.outputs)).toEqual(['label', 'probabilities'])
    expect(camel.serving_default.outputs.label).toEqual({ dtype: 'DT_INT64', tensorShape: { dim: [{ size: '-1', name: '' }], unknown_rank: false }, name: 'label' })
  })
})

describe('KServe v1', () => {
  test('lives, and lists its models', async () => {
    expect(body(await call('GET', '/'))).toEqual({ status: 'alive' })
    expect(body(await call('GET', '/v1/models')).models).toEqual([...current.models.repository.keys()])
  })
})

describe('MLflow', () => {
  test('health and version', async () => {
    for (const path of ['/ping', '/health']) {
      const answer = await call('GET', path)
      expect([answer.status, textOf(answer)]).toEqual([200, '\n'])
    }
    expect(textOf(await call('GET', '/version'))).toBe('1.2.3')
  })

  test('with several models a path without a name means none', async () => {
    const answer = await call('POST', '/invocations', '{"inputs":[1]}', ['content-type', 'application/json'])
    expect(answer.status).toBe(404)
    expect(body(answer)).toMatchObject({ error_code: 'RESOURCE_DOES_NOT_EXIST', code: 'MODEL_NOT_FOUND' })
    expect(body(answer).message).toMatch(/^\/invocations serves the only model of a folder, and there are \d+: make a route/)
  })

  test('the only model of a folder', async () => {
    const folder = temporary()
    cpSync(join(fixtures, 'iris'), join(folder.path, 'iris'), { recursive: true })
    const alone = await stage(configOf(repositoryConfig(folder.path)))
    const invoke = (text: string, type = 'application/json'): Promise<Answer> => caller(builtins(alone.models))('POST', '/invocations', text, ['content-type', type])
    const good = await invoke(JSON.stringify({ inputs: [values] }))
    expect(body(good).predictions[0].label).toBe(IRIS_LABEL)
    const split = await invoke(JSON.stringify({ dataframe_split: { columns: ['a', 'b', 'c', 'd'], data: [values] } }))
    expect(body(split).predictions[0].label).toBe(IRIS_LABEL)
    const csv = await invoke(`a,b,c,d\n${values.join(',')}\n`, 'text/csv')
    expect(body(csv).predictions[0].label).toBe(IRIS_LABEL)
    const wrong = await invoke('{}')
    expect([wrong.status, body(wrong).error_code]).toEqual([400, 'BAD_REQUEST'])
    expect((await invoke('x', 'text/plain')).status).toBe(415)
    await alone.close()
    folder.remove()
  })
})
