/** Models inside a running weir: what answers, headers and the access log say of who answered. */
import path from 'node:path'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { fixtures, golden } from '../models/setup.ts'
import { type ReceivedAnswer, request } from './message.ts'
import { startWeir, type Weir } from './weir.ts'

const IRIS = path.join(fixtures, 'iris/1/model.onnx')
const body = golden(path.join(fixtures, 'cancer/2'))[0]!.text
const row = JSON.stringify({ instances: [[5.1, 3.5, 1.4, 0.2]] })
let weir: Weir
beforeAll(async () => {
  weir = await startWeir(`
models: ${fixtures}
access_log: stdout
backends:
  inside: { model: cancer, version: 2 }
  alone: { onnx: ${IRIS} }
  ids: { model: embedding }
  unloaded: { model: logx }
  rows: { answer: { rows: { score: 0.5 } } }
  constant: { answer: { status: 200, body: "ok" } }
routes:
  - { name: cancer, match: { path: /cancer }, backend: inside, format: oip }
  - { name: iris, match: { path: /iris }, backend: alone, format: kserve_v1 }
  - { name: hurried, match: { path: /hurried }, backend: inside, format: oip, plugins: [{ timeout: { total: 200ms } }] }
  - { name: constant, match: { path: /constant }, backend: rows, format: oip, plugins: [{ timeout: { total: 200ms } }] }
  - { name: unloaded, match: { path: /unloaded }, backend: unloaded, format: rows, plugins: [{ fallback: { to: [constant] } }] }
  - { name: safe, match: { path: /safe }, backend: ids, format: oip, plugins: [{ fallback: { to: [constant], on: [5xx] } }] }
`)
})
afterAll(() => weir.stop())

async function ask(target: string, content: string): Promise<{ answer: ReceivedAnswer; logged: Record<string, unknown> }> {
  const answer = await weir.exchange(request('POST', target, [], content), 'POST')
  const id = answer.head.one('x-request-id')!
  await expect.poll(() => weir.stdout).toContain(id)
  return { answer, logged: JSON.parse(weir.stdout.split('\n').find((line) => line.includes(id))!) as Record<string, unknown> }
}

it.each([
  ['/cancer', body, 200, 'cancer/2', 'cancer', '2'],
  ['/cancer', '{}', 400, 'cancer/2', 'cancer', '2'],
  ['/iris', row, 200, 'alone', 'alone', null],
  ['/iris', '{"instances":[[1]]}', 400, 'alone', 'alone', null],
  ['/v2/models/cancer/infer', body, 200, 'cancer/3', 'cancer', '3'],
  ['/v2/models/cancer/versions/1/infer', '{', 400, 'cancer/1', 'cancer', '1'],
  ['/v1/models/iris:predict', row, 200, 'iris/1', 'iris', '1'],
  ['/v2/models/nothing/infer', body, 404, undefined, null, null],
])('%s %#: %s', async (target, content, status, header, name, version) => {
  const { answer, logged } = await ask(target, content)
  expect(answer.status).toBe(status)
  expect(answer.head.list('x-weir-model')).toEqual(header === undefined ? [] : [header])
  expect(logged).toMatchObject({ status, model: name, model_version: version })
})

it('of another backend that answered instead, no model is told', async () => {
  const wrong = JSON.stringify({ inputs: [{ name: 'ids', shape: [1], datatype: 'INT64', data: [99] }] })
  const { answer, logged } = await ask('/safe', wrong)
  expect([answer.status, answer.body.toString()]).toEqual([200, 'ok'])
  expect(answer.head.one('x-weir-fallback')).toBe('ids;5xx')
  expect(answer.head.list('x-weir-model')).toEqual([])
  expect(logged).toMatchObject({ backend: 'constant', model: null })
})

it('counts on the page of metrics', async () => {
  const before = (await weir.metrics()).sum('weir_model_requests_total', { model: 'cancer', version: '2', outcome: 'ok' })
  await ask('/cancer', body)
  await weir.untilMetric(before + 1, 'weir_model_requests_total', { model: 'cancer', version: '2', outcome: 'ok' })
  expect((await weir.metrics()).sum('weir_model_ready', { model: 'cancer' })).toBe(3)
  expect((await weir.metrics()).sum('weir_model_loads_total', { model: 'iris', result: 'ok' })).toBe(1)
})

it.each(['/hurried', '/constant'])('%s: a deadline does not wait for a caller who uploads slowly', async (target) => {
  const started = performance.now()
  const answer = await weir.exchange(`POST ${target} HTTP/1.1\r\nHost: weir.test\r\nContent-Length: 1000\r\n\r\n{"inputs":`, 'POST')
  expect([answer.status, (JSON.parse(answer.body.toString()) as { code: string }).code]).toEqual([504, 'TOTAL_TIMEOUT'])
  expect(performance.now() - started).toBeGreaterThan(190)
})

it('a model that was unloaded is not asked: the fallback answers at once', async () => {
  const before = await weir.exchange(request('POST', '/unloaded', [], '{"x":1}'), 'POST')
  expect([before.status, before.body.toString(), before.head.list('x-weir-fallback')]).toEqual([200, '{"y":0}', []])
  expect((await fetch(`http://127.0.0.1:${weir.admin}/models/logx/unload`, { method: 'POST' })).status).toBe(200)
  const { answer, logged } = await ask('/unloaded', '{"x":1}')
  expect([answer.status, answer.body.toString(), answer.head.one('x-weir-fallback')]).toEqual([200, 'ok', 'unloaded;ejected'])
  expect(logged).toMatchObject({ fallback: 'unloaded;ejected', backend: 'constant', model: null })
})
