import { describe, expect, test } from 'vitest'
import { KeepStore } from '../../gateway/pipeline/host.ts'
import { get } from '../../gateway/headers.ts'
import rate_limit from '../../plugins/rate_limit.ts'
import { columnsFormat } from '../expression/columns_format.ts'
import { FakeClock } from '../fake_clock.ts'
import { type Bench, pluginTest } from '../plugin_test.ts'

const as = (user: string) => ({ headers: ['x-user-id', user] })

async function statuses(bench: Bench, ...users: string[]): Promise<number[]> {
  const found: number[] = []
  for (const user of users) found.push((await bench.run(as(user))).answer.status)
  return found
}

describe('rate_limit', () => {
  test('one bucket for the route by default, refilled over time', async () => {
    const bench = await pluginTest(rate_limit, { per_second: 2 })
    expect(await statuses(bench, 'a', 'b', 'c')).toEqual([200, 200, 429])
    bench.clock.advance(500)
    expect(await statuses(bench, 'd', 'e')).toEqual([200, 429])
    expect(bench.metric('weir_rate_limit_total', { route: 'test', decision: 'passed' })).toBe(3)
    expect(bench.metric('weir_rate_limit_total', { decision: 'limited' })).toBe(2)
    await bench.close()
  })

  test('a refusal says when to come back, in whole seconds', async () => {
    const bench = await pluginTest(rate_limit, { per_second: 0.1 })
    await bench.run()
    bench.clock.advance(2500)
    const { answer, body, x } = await bench.run()
    expect([answer.status, answer.code, get(answer.headers, 'retry-after')]).toEqual([429, 'RATE_LIMITED', '8'])
    expect(JSON.parse(body)).toMatchObject({ code: 'RATE_LIMITED', request_id: 'request-1' })
    expect(x.attempts).toBe(0)
  })

  test('a bucket per key; requests without the key share one', async () => {
    const bench = await pluginTest(rate_limit, { per_second: 1, key: 'header.x-user-id' })
    expect(await statuses(bench, 'a', 'b', 'a', 'b')).toEqual([200, 200, 429, 429])
    expect([(await bench.run()).answer.status, (await bench.run()).answer.status]).toEqual([200, 429])
  })

  test('a key in the body makes the body whole first', async () => {
    const format = columnsFormat([{ name: 'user', dtype: 'BYTES', shape: [1], data: ['a'] }])
    const bench = await pluginTest(rate_limit, { per_second: 1, key: 'input.user' }, { format })
    expect([bench.route.request, bench.route.requestBody?.length]).toEqual([null, 1])
    expect((await bench.run({ body: '{}' })).answer.status).toBe(200)
    expect((await bench.run({ body: '{}' })).answer.status).toBe(429)
  })

  test('burst is what may come at once', async () => {
    const bench = await pluginTest(rate_limit, { per_second: 1, burst: 3 })
    expect(await statuses(bench, 'a', 'a', 'a', 'a')).toEqual([200, 200, 200, 429])
  })

  test('observe lets through, counts and marks', async () => {
    const bench = await pluginTest(rate_limit, { per_second: 1, mode: 'observe' })
    expect((await bench.run()).x.flags).toBeNull()
    const { answer, x } = await bench.run()
    expect([answer.status, x.flags]).toEqual([200, ['rate_limit:observed']])
    expect(bench.metric('weir_rate_limit_total', { decision: 'observed' })).toBe(1)
    expect(bench.metric('weir_rate_limit_total', { decision: 'limited' })).toBe(0)
  })

  test('keys are bounded; what was forgotten early is counted', async () => {
    const bench = await pluginTest(rate_limit, { per_second: 1, burst: 2, key: 'header.x-user-id', keys: 8 })
    expect(new Set(await statuses(bench, ...Array.from({ length: 100 }, (_, i) => `user ${i}`)))).toEqual(new Set([200]))
    expect(bench.metric('weir_rate_limit_evictions_total')).toBe(92)
  })

  test('buckets survive a reload with the same numbers, and are new with others', async () => {
    const keep = new KeepStore()
    const clock = new FakeClock()
    const generation = (options: unknown): Promise<Bench> => (keep.begin(), pluginTest(rate_limit, options, { keep, clock }))
    expect(await statuses(await generation({ per_second: 1 }), 'a')).toEqual([200])
    expect(await statuses(await generation({ per_second: 1 }), 'a')).toEqual([429])
    expect(await statuses(await generation({ per_second: 2 }), 'a')).toEqual([200])
  })

  test('what cannot be counted is refused at load', async () => {
    await expect(pluginTest(rate_limit, { per_second: 0.001, burst: 1000 })).rejects.toThrow('takes 1000000 s to fill')
    await expect(pluginTest(rate_limit, { per_second: 1, key: 'header' })).rejects.toThrow('names no header')
  })
})
