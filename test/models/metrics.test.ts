/** What is counted of models: each request once, whatever became of it, and the runs it took. */
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { WeirError } from '../../gateway/errors.ts'
import { Leg } from '../../gateway/exchange.ts'
import { Registry, sums, totals } from '../../gateway/metrics.ts'
import type { ModelDescription } from '../../gateway/models/description.ts'
import { ModelMetrics, outcomeOf } from '../../gateway/models/model_metrics.ts'
import { RepositoryMetrics } from '../../gateway/models/repository/metrics.ts'
import { infer } from '../../gateway/models/backends.ts'
import { oip } from '../../gateway/payload/oip.ts'
import { countsOf } from '../../gateway/models/counts.ts'
import { ask, configOf, exchange, fixtures, golden, repositoryConfig, type Stage, stage } from './setup.ts'

let current: Stage
beforeAll(async () => {
  current = await stage(configOf(repositoryConfig(fixtures)))
})
afterAll(() => current.close())

const backend = (model: string) => current.models.backend({ kind: 'model', name: 'b', model, version: 'latest' })
const outcomes = (model: string) => Object.fromEntries(totals([current.registry.view()], 'weir_model_requests_total').filter(({ labels, value }) => labels['model'] === model && value > 0).map(({ labels, value }) => [labels['outcome'], value]))

test('every request has one outcome', async () => {
  const good = golden(join(fixtures, 'embedding/1'))[0]!.text
  const ids = (id: number): string => `{"inputs":[{"name":"ids","shape":[1],"datatype":"INT64","data":[${id}]}]}`
  await ask(backend('embedding'), good)
  await expect(ask(backend('embedding'), '{')).rejects.toMatchObject({ status: 400 })
  await expect(ask(backend('embedding'), ids(1).replace('ids', 'id'))).rejects.toMatchObject({ code: 'MODEL_INPUT' })
  await expect(ask(backend('embedding'), ids(99))).rejects.toMatchObject({ code: 'MODEL_FAILED' })
  expect(outcomes('embedding')).toEqual({ ok: 1, input: 2, run: 1 })
  await expect(ask(backend('logx'), '{"inputs":[{"name":"x","shape":[1,1],"datatype":"FP32","data":[0]}]}')).rejects.toMatchObject({ code: 'MODEL_FAILED' })
  expect(outcomes('logx')).toEqual({ output: 1 })
})

test('a caller who left is one, too', async () => {
  const x = exchange(golden(join(fixtures, 'iris/1'))[0]!.text, oip)
  const leg = new Leg(backend('iris'))
  const pending = infer(x, leg, () => current.models.find('iris'), oip, 'b', () => Buffer.alloc(0))
  leg.cancel(new WeirError('CALLER_LEFT'))
  await expect(pending).rejects.toMatchObject({ code: 'CALLER_LEFT' })
  expect(outcomes('iris')).toEqual({ cancelled: 1 })
})

test.each([
  [new Error('library'), 'run'], [new WeirError('MODEL_INPUT'), 'input'], [new WeirError('BAD_BODY'), 'input'], [new WeirError('UNSUPPORTED_MEDIA_TYPE'), 'input'],
  [new WeirError('MODEL_NOT_READY'), 'unavailable'], [new WeirError('OVERLOADED'), 'overload'], [new WeirError('TOTAL_TIMEOUT'), 'cancelled'], [new WeirError('CALLER_LEFT'), 'cancelled'], [new WeirError('INTERNAL'), 'run'],
] as const)('%s is %s', (error, outcome) => {
  expect(outcomeOf(error)).toBe(outcome)
})

test('runs that callers share are one run; what was cut is several', () => {
  const registry = new Registry()
  const metrics = new ModelMetrics(registry, { model: 'm', version: '1' })
  const run = { columns: [], took_ms: 4, queued_ms: 2 }
  for (const rows of [1, 3, 4]) metrics.ran({ ...run, runs: 1, batch_rows: 8 }, rows)
  metrics.ran({ ...run, runs: 3, batch_rows: 64 }, 150)
  metrics.ran({ ...run, runs: 1, batch_rows: 0 }, 0)
  metrics.bodies(1, 2)
  for (let i = 0; i < 5; i++) metrics.count('ok')
  metrics.count('overload')
  const [counts] = countsOf([registry.view()])
  expect(counts).toMatchObject({ model: 'm', version: '1', succeeded: 5, failed: 1, rows: 158, runs: 5 })
  expect([counts!.queue_seconds, counts!.run_seconds, counts!.read_seconds, counts!.write_seconds].map((seconds) => Math.round(seconds * 1000))).toEqual([10, 20, 1, 2])
  expect(sums([registry.view()], 'weir_model_batch_rows')).toEqual([{ labels: { model: 'm', version: '1' }, sum: 8 * 3 + 64 }])
})

test('loads, each once, and what answers', () => {
  const registry = new Registry()
  const metrics = new RepositoryMetrics(registry)
  const loaded = { id: 1 } as never
  metrics.load('m', '1', loaded)
  metrics.load('m', '1', loaded)
  metrics.load('m', '2', null)
  metrics.load('m', '2', null)
  const loads = totals([registry.view()], 'weir_model_loads_total')
  expect(loads).toEqual([{ labels: { model: 'm', version: '1', result: 'ok' }, value: 1 }, { labels: { model: 'm', version: '2', result: 'error' }, value: 2 }])
  const described = (version: string, state: ModelDescription['state']) => ({ name: 'm', version, state }) as ModelDescription
  const ready = () => totals([registry.view()], 'weir_model_ready').map(({ labels, value }) => `${labels['version']}=${value}`)
  metrics.show([described('1', 'ready'), described('1', 'loading'), described('2', 'failed')])
  expect(ready()).toEqual(['1=1', '2=0'])
  metrics.show([described('2', 'ready')])
  expect(ready()).toEqual(['1=0', '2=1'])
})
