/** The concurrency plugin in a route, with backends that answer when a test says so. */
import { describe, expect, test } from 'vitest'
import { WeirError } from '../../gateway/errors.ts'
import { Answer, type Exchange, type Send } from '../../gateway/exchange.ts'
import { Registry } from '../../gateway/metrics.ts'
import { KeepStore } from '../../gateway/pipeline/host.ts'
import type { Plugin } from '../../gateway/plugin.ts'
import concurrency from '../../plugins/concurrency.ts'
import fallback from '../../plugins/fallback.ts'
import timeout from '../../plugins/timeout.ts'
import { columnsFormat } from '../expression/columns_format.ts'
import { FakeClock } from '../fake_clock.ts'
import { type Bench, pipelineTest, pluginTest, type RequestInit } from '../plugin_test.ts'

/** A backend that holds everything until told. */
function held(): { readonly send: Send; readonly asked: Exchange[]; answer(): void } {
  const asked: Exchange[] = []
  const waiting: (() => void)[] = []
  const send: Send = (x, leg) => {
    asked.push(x)
    return new Promise((resolve, reject) => {
      waiting.push(() => resolve(new Answer(200, [], Buffer.from('ok'))))
      leg.watch({ legCancelled: reject })
    })
  }
  return { send, asked, answer: () => waiting.shift()!() }
}

type Run = ReturnType<Bench['run']>
const status = async (run: Run): Promise<number> => (await run).answer.status
const user = (name: string): RequestInit => ({ headers: ['x-user', name] })

describe('one limit for the route', () => {
  test('max pass, queue waits, the others get 503 with Retry-After', async () => {
    const backend = held()
    const bench = await pluginTest(concurrency, { max: 1, queue: 1 }, { backends: { main: backend.send } })
    const [a, b, c] = [bench.run(), bench.run(), bench.run()]
    const refused = (await c).answer
    expect([refused.status, refused.headers.includes('retry-after'), refused.code]).toEqual([503, true, 'OVERLOADED'])
    expect([backend.asked.length, bench.metric('weir_concurrency_queued'), bench.metric('weir_concurrency_limit')]).toEqual([1, 1, 1])
    backend.answer()
    expect(await status(a)).toBe(200)
    expect(backend.asked.length).toBe(2)
    backend.answer()
    expect(await status(b)).toBe(200)
    expect([bench.metric('weir_concurrency_refused_total', { reason: 'queue_full' }), bench.metric('weir_concurrency_queued')]).toEqual([1, 0])
    await bench.close()
    expect(bench.metric('weir_concurrency_limit')).toBe(0)
  })

  test('the wait ends', async () => {
    const backend = held()
    const bench = await pluginTest(concurrency, { max: 1, queue_wait: '50ms' }, { backends: { main: backend.send } })
    const first = bench.run()
    const second = bench.run()
    await bench.clock.tick(50)
    expect(await status(second)).toBe(503)
    backend.answer()
    await first
    expect(bench.metric('weir_concurrency_refused_total', { reason: 'queue_wait' })).toBe(1)
    await bench.close()
  })

  test('the wait counts against total, and a fallback does not multiply places: the plugin stands outside of it', async () => {
    const backend = held()
    const plugins = [[fallback, { to: ['other'] }], [concurrency, { max: 1, queue_wait: '10s' }], [timeout, { total: '100ms' }]] as unknown as [Plugin, unknown][]
    const bench = await pipelineTest(plugins, { backends: { main: backend.send, other: () => { throw new WeirError('CONNECT_FAILED') } } })
    const [first, second] = [bench.run(), bench.run()]
    await bench.clock.tick(100)
    expect((await first).answer.code).toBe('TOTAL_TIMEOUT')
    expect((await second).answer.code).toBe('TOTAL_TIMEOUT')
    expect([backend.asked.length, bench.metric('weir_concurrency_queued')]).toEqual([1, 0])
    await bench.close()
  })
})

describe('by', () => {
  test('every value has its own limit; values that have nothing under way are forgotten', async () => {
    const backend = held()
    const keep = new KeepStore()
    keep.begin()
    const bench = await pluginTest(concurrency, { max: 1, queue: 0, by: 'header.x-user' }, { backends: { main: backend.send }, keep })
    const [a, b, again, nobody] = [bench.run(user('a')), bench.run(user('b')), bench.run(user('a')), bench.run()]
    expect(await status(again)).toBe(503)
    expect(backend.asked.length).toBe(3)
    const kept = keep.take<Map<string, unknown>>(JSON.stringify(['test', 'concurrency', JSON.stringify([{ in_flight: 1, queue: 0, queue_wait_ms: 200, adaptive: null }, 'header.x-user'])]), () => new Map())
    expect([...kept.keys()]).toEqual(['a', 'b', ''])
    for (let i = 0; i < 3; i++) backend.answer()
    expect(await Promise.all([a, b, nobody].map(status))).toEqual([200, 200, 200])
    expect(kept.size).toBe(0)
  })

  test('long values are told apart, and not kept', async () => {
    const backend = held()
    const bench = await pluginTest(concurrency, { max: 1, queue: 0, by: 'header.x-user' }, { backends: { main: backend.send } })
    const long = 'u'.repeat(1000)
    const runs = [bench.run(user(`${long}a`)), bench.run(user(`${long}b`)), bench.run(user(`${long}a`))]
    expect(await status(runs[2]!)).toBe(503)
    expect(backend.asked.length).toBe(2)
  })

  test('a value in the body makes the body whole first', async () => {
    const format = columnsFormat([{ name: 'user', dtype: 'BYTES', shape: [1], data: ['a'] }])
    const bench = await pluginTest(concurrency, { max: 1, queue: 0, by: 'input.user' }, { format })
    expect(bench.route.requestBody?.length).toBe(1)
    expect(await status(bench.run({ body: '{}' }))).toBe(200)
  })
})

describe('a reload', () => {
  const setup = { keep: new KeepStore(), clock: new FakeClock(), registry: new Registry() }

  test('keeps counting what is under way; other numbers are another limit', async () => {
    const backend = held()
    const generation = (options: unknown): Promise<Bench> => (setup.keep.begin(), pluginTest(concurrency, options, { ...setup, backends: { main: backend.send } }))
    const before = await generation({ max: 1, queue: 1, queue_wait: '1s' })
    const first = before.run()
    await setup.clock.tick(0)
    const after = await generation({ max: 1, queue: 1, queue_wait: '1s' })
    setup.keep.commit()
    expect(after.metric('weir_concurrency_limit')).toBe(1)
    const second = after.run()
    await setup.clock.tick(0)
    expect(backend.asked.length).toBe(1)
    await before.route.close()
    expect(after.metric('weir_concurrency_limit')).toBe(1)
    backend.answer()
    expect(await status(first)).toBe(200)
    expect(backend.asked.length).toBe(2)
    const wider = await generation({ max: 3, queue: 1, queue_wait: '1s' })
    setup.keep.commit()
    expect(wider.metric('weir_concurrency_limit')).toBe(4)
    await after.route.close()
    expect(wider.metric('weir_concurrency_limit')).toBe(3)
    backend.answer()
    expect(await status(second)).toBe(200)
    await wider.close()
  })
})

describe('what makes no sense is refused at load', () => {
  test.each([
    [{ max: 2, adaptive: { min: 3 } }, '`adaptive.min` (3) is more than `max` (2)'],
    [{ by: 'client.ip', adaptive: {} }, '`adaptive` does not go with `by`'],
  ])('%j', async (options, complaint) => {
    await expect(pluginTest(concurrency, options)).rejects.toThrow(complaint)
  })
})
