/** Slow models away from the event loop: bounded, cancel-safe, replaced when their thread dies. */
import { execFileSync } from 'node:child_process'
import { join } from 'node:path'
import { BroadcastChannel } from 'node:worker_threads'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { systemClock } from '../../gateway/clock.ts'
import { WeirError } from '../../gateway/errors.ts'
import type { Backend } from '../../gateway/exchange.ts'
import { Leg } from '../../gateway/exchange.ts'
import type { Columns } from '../../gateway/payload/columns.ts'
import { ask, builtins, configOf, createModelControl, exchange, fixtures, golden, json, memoryLog, onnx, QUEUE, repositoryConfig, type Stage, stage } from './setup.ts'

const FRAGILE = new URL('./fragile_inference.ts', import.meta.url)
const cancer = golden(join(fixtures, 'cancer/1'))[0]!
const nobody: Backend = { name: 'nobody', kind: 'onnx', send: () => Promise.reject(new Error('unused')) }

function onThread(name: string, path = join(fixtures, name, '1/model.onnx')): ReturnType<typeof onnx> {
  return onnx(name, path, { placement: 'thread' })
}

/** Enough work to be under way for many turns of an event loop. */
const long: Columns = { columns: [{ name: 'features', dtype: 'FP32', shape: [40_000, 12], data: new Float32Array(480_000) }] }

describe('a model on the inference thread', () => {
  const config = configOf(null, { cancer: onThread('cancer'), embedding: onThread('embedding') })
  const repository = configOf(repositoryConfig(fixtures, { placement: 'thread' }), config.backends as never)
  let current: Stage
  beforeAll(async () => {
    current = await stage(repository)
  })
  afterAll(() => current.close())
  const backend = (name: string): Backend => current.models.backend(config.backends[name] as never)

  test('does not hold up the caller’s event loop', async () => {
    let turns = 0
    let over = false
    const run = current.models.find('ranker').run(long, false, new Leg(nobody)).finally(() => (over = true))
    while (!over) {
      await new Promise((resolve) => setImmediate(resolve))
      turns++
    }
    expect((await run).columns[0]!.shape).toEqual([40_000, 1])
    expect(turns).toBeGreaterThan(100)
  })

  test('fails on bad values as anywhere and goes on', async () => {
    const ids = (id: number): string => `{"inputs":[{"name":"ids","shape":[1],"datatype":"INT64","data":[${id}]}]}`
    await expect(ask(backend('embedding'), ids(10))).rejects.toMatchObject({ code: 'MODEL_FAILED', message: 'model "embedding" failed on this input ("ids" INT64 [1]): check its values' })
    expect(json(await ask(backend('embedding'), ids(9))).outputs[0]!.data).toHaveLength(4)
  })

  test('takes so many requests at once and answers 503 to the others', async () => {
    const all = await Promise.allSettled(Array.from({ length: QUEUE + 5 }, () => ask(backend('cancer'), cancer.text)))
    const refused = all.filter((one): one is PromiseRejectedResult => one.status === 'rejected').map((one) => one.reason as WeirError)
    expect(refused.map(({ code, status, retryAfter }) => [code, status, retryAfter])).toEqual(Array(5).fill(['OVERLOADED', 503, 1]))
    expect(json(await ask(backend('cancer'), cancer.text)).id).toBe(cancer.request.id)
  })

  test('a caller who left gets no answer, makes room, and nothing else happens', async () => {
    const running = current.models.find('ranker').run(long, false, new Leg(nobody))
    const legs = Array.from({ length: QUEUE - 1 }, () => new Leg(nobody))
    const waiting = legs.map((leg) => backend('cancer').send(exchange(cancer.text), leg) as Promise<unknown>)
    const outcomes = Promise.allSettled(waiting)
    const cause = new WeirError('CALLER_LEFT')
    for (const leg of legs) leg.cancel(cause)
    for (const outcome of await outcomes) expect(outcome).toEqual({ status: 'rejected', reason: cause })
    const after = Array.from({ length: QUEUE - 1 }, () => ask(backend('cancer'), cancer.text))
    for (const answer of await Promise.all(after)) expect(json(answer).outputs[0]!.data).toEqual(cancer.response_outputs[0]!.data)
    expect((await running).columns[0]!.data).toHaveLength(40_000)
  })

  test('a leg that was cancelled before starts nothing', async () => {
    const leg = new Leg(nobody)
    const cause = new WeirError('TOTAL_TIMEOUT')
    leg.cancel(cause)
    await expect(backend('cancer').send(exchange(cancer.text), leg)).rejects.toBe(cause)
  })
})

test('inline too, a caller who left gets the cause', async () => {
  const current = await stage(configOf(null, { cancer: onnx('cancer', join(fixtures, 'cancer/1/model.onnx'), { placement: 'inline' }) }))
  const leg = new Leg(nobody)
  const pending = current.models.backend(onnx('cancer', '') as never).send(exchange(cancer.text), leg) as Promise<unknown>
  leg.cancel(new WeirError('CALLER_LEFT'))
  await expect(pending).rejects.toMatchObject({ code: 'CALLER_LEFT' })
  await current.close()
})

describe('an inference thread that dies', () => {
  test('answers 503 to what was under way, is replaced, and the data thread finds the new one', async () => {
    const current = await stage(configOf(repositoryConfig(fixtures, { placement: 'thread' })), FRAGILE)
    const channel = new BroadcastChannel('weir-test-end-inference')
    const ready = builtins(current.models).find(({ path }) => path === '/v2/health/ready')!
    const status = async (): Promise<number> => (await ready.handle(exchange(null, null, { method: 'GET' }), {})).status
    const backend = current.models.backend({ kind: 'model', name: 'c', model: 'cancer', version: '1' })
    expect(await status()).toBe(200)
    const running = current.models.find('ranker').run(long, false, new Leg(nobody))
    const waiting = ask(backend, cancer.text)
    // It runs the long one now and hears the word between two runs.
    channel.postMessage('end')
    const outcomes = await Promise.allSettled([running, waiting])
    expect(outcomes[1]).toMatchObject({ status: 'rejected', reason: { code: 'MODEL_NOT_READY', retryAfter: 1 } })
    expect(await status()).toBe(503)
    await expect(ask(backend, cancer.text)).rejects.toMatchObject({ code: 'MODEL_NOT_READY' })
    await expect.poll(status, { timeout: 10_000 }).toBe(200)
    expect(json(await ask(backend, cancer.text)).outputs[0]!.data).toEqual(cancer.response_outputs[0]!.data)
    expect(current.control.restarts).toBe(1)
    channel.close()
    await current.close()
  })

  test('at a load is the outcome of that load', async () => {
    const log = memoryLog()
    const entry = new URL('./dying_inference.ts', import.meta.url)
    const control = await createModelControl(configOf(null, { a: onThread('cancer'), b: onThread('iris') }), { log, clock: systemClock, entry })
    expect(control.description.models.map(({ state, reason }) => `${state} ${reason}`)).toEqual(Array(2).fill('failed model.onnx: loading it ended the inference thread'))
    await control.close()
  })
})

describe('placement', () => {
  test('small models are measured and stay inline; a wish is obeyed, and why is said', async () => {
    const control = await createModelControl(
      configOf(null, { auto: onnx('auto', join(fixtures, 'cancer/1/model.onnx')), text: onnx('text', join(fixtures, 'simple_string/1/model.onnx')), inline: onnx('inline', join(fixtures, 'cancer/1/model.onnx'), { placement: 'inline' }), thread: onThread('cancer') }),
      { log: memoryLog(), clock: systemClock },
    )
    const [auto, text, inline, thread] = ['auto', 'text', 'inline', 'cancer'].map((name) => control.description.models.find((model) => model.name === name))
    expect(auto!.measured.run_us).toBeGreaterThan(0)
    expect(auto!.why).toMatch(/^a run of one row takes [0-9.]+ µs \(up to 200 µs is inline\)$/)
    expect(auto!.load_ms).toBeGreaterThan(0)
    // Its texts must be numbers, so it only runs because the blanks are "0".
    expect(text!.measured.run_us).toBeGreaterThan(0)
    expect([inline!.placement, inline!.why, inline!.measured.independent_rows]).toEqual(['inline', 'placement: inline in the config', true])
    expect([thread!.placement, thread!.why, thread!.measured.independent_rows]).toEqual(['thread', 'placement: thread in the config', true])
    await control.close()
  })
})

test('without models no thread is started and ONNX Runtime is not loaded', async () => {
  const code = `
    import { createRequire } from 'node:module'
    import { loadForCheck } from './gateway/models/repository/model_set.ts'
    import { systemClock as clock } from './gateway/clock.ts'
    const log = console
    await loadForCheck({ models: null, backends: {}, inference: { threads: 1 } }, { log, clock, entry: new URL('file:///nowhere.ts') })
    console.log(JSON.stringify(Object.keys(createRequire(import.meta.url).cache).filter((file) => file.includes('onnxruntime'))))
  `
  const out = execFileSync(process.execPath, ['--input-type=module', '-e', code], { cwd: join(import.meta.dirname, '../..'), encoding: 'utf8' })
  expect(out.trim()).toBe('[]')
})
