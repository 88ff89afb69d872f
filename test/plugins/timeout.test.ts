import { describe, expect, test } from 'vitest'
import { Answer, type Exchange, type Leg, type LegWatcher, reply } from '../../gateway/exchange.ts'
import { WeirError } from '../../gateway/errors.ts'
import type { Plugin } from '../../gateway/plugin.ts'
import fallback from '../../plugins/fallback.ts'
import timeout from '../../plugins/timeout.ts'
import { settled } from '../fake_clock.ts'
import { HandFlow, pipelineTest, pluginTest } from '../plugin_test.ts'

/** A backend that never answers, but lets go when its leg is cancelled. */
function hanging(legs: Leg[] = []) {
  return (_x: Exchange, leg: Leg): Promise<Answer> => {
    legs.push(leg)
    return new Promise((_resolve, reject) => {
      const watcher: LegWatcher = { legCancelled: reject }
      leg.watch(watcher)
    })
  }
}

/** Answers at once with a body that the test feeds, cut when the leg is cancelled. */
function trickling(flow: HandFlow, type = 'application/json') {
  return (_x: Exchange, leg: Leg): Answer => {
    leg.watch({ legCancelled: (cause) => flow.sink?.fail(cause) })
    return new Answer(200, ['content-type', type], flow)
  }
}

const both = (options: unknown, to: string[]): readonly (readonly [Plugin, unknown])[] => [
  [timeout as unknown as Plugin, options],
  [fallback as unknown as Plugin, { to }],
]

describe('total', () => {
  test('504 before the answer began; the leg is cancelled', async () => {
    const legs: Leg[] = []
    const bench = await pluginTest(timeout, { total: '100ms' }, { backends: { main: hanging(legs) } })
    const running = bench.run()
    await bench.clock.tick(99)
    expect(legs[0]!.cancelled).toBeNull()
    await bench.clock.tick(1)
    const { answer, body } = await running
    expect([answer.status, answer.code]).toEqual([504, 'TOTAL_TIMEOUT'])
    expect(JSON.parse(body).error).toContain('100 ms')
    expect(bench.metric('weir_timeout_total', { route: 'test', limit: 'total' })).toBe(1)
    await bench.close()
  })

  test('covers the body: an answer that began is cut', async () => {
    const flow = new HandFlow()
    const bench = await pluginTest(timeout, { total: '100ms' }, { backends: { main: trickling(flow, 'text/event-stream') } })
    const cut = expect(bench.run()).rejects.toMatchObject({ code: 'TOTAL_TIMEOUT' })
    await settled()
    flow.push('data: 1\n\n')
    await bench.clock.tick(100)
    await cut
  })

  test('stops with the exchange', async () => {
    const bench = await pluginTest(timeout, { total: '100ms' })
    expect((await bench.run()).body).toBe('main')
    expect(bench.clock.pending).toBe(0)
    await bench.close()
  })

  test('covers fallbacks, whatever the order in the YAML', async () => {
    for (const order of [(plugins: readonly (readonly [Plugin, unknown])[]) => plugins, (plugins: readonly (readonly [Plugin, unknown])[]) => plugins.toReversed()]) {
      const bench = await pipelineTest(order(both({ total: '100ms', per_try: '60ms' }, ['second', 'third'])), { backends: { main: hanging(), second: hanging(), third: () => reply(200, 'third') } })
      const running = bench.run()
      await bench.clock.tick(100)
      const { answer, x } = await running
      expect([answer.status, answer.code, x.attempts, x.fallback]).toEqual([504, 'TOTAL_TIMEOUT', 2, ''])
      expect(bench.clock.pending).toBe(0)
    }
  })
})

describe('per_try', () => {
  test('504 without anything to fall back to', async () => {
    const bench = await pluginTest(timeout, { per_try: '50ms' }, { backends: { main: hanging() } })
    const running = bench.run()
    await bench.clock.tick(50)
    expect((await running).answer.code).toBe('TRY_TIMEOUT')
    expect(bench.metric('weir_timeout_total', { limit: 'per_try' })).toBe(1)
    await bench.close()
  })

  test('ends with the head of an answer that nobody holds', async () => {
    const flow = new HandFlow()
    const bench = await pluginTest(timeout, { per_try: '50ms' }, { backends: { main: trickling(flow) } })
    const running = bench.run()
    await bench.clock.tick(500)
    flow.push('slow')
    flow.end()
    expect((await running).body).toBe('slow')
  })

  test('each attempt has its own; a held answer that trickles falls back', async () => {
    const flow = new HandFlow()
    const bench = await pipelineTest(both({ per_try: '50ms' }, ['second', 'third']), { backends: { main: trickling(flow), second: hanging(), third: () => reply(200, 'third') } })
    const running = bench.run()
    await settled()
    flow.push('{"a":')
    await bench.clock.tick(50)
    await bench.clock.tick(49)
    await bench.clock.tick(1)
    const { body, x } = await running
    expect([body, x.fallback, x.attempts]).toEqual(['third', 'main;timeout', 3])
    await bench.close()
  })

  test('a stream is no longer timed once it began, behind a fallback too', async () => {
    const flow = new HandFlow()
    const bench = await pipelineTest(both({ per_try: '50ms' }, ['second']), { backends: { main: trickling(flow, 'text/event-stream'), second: () => reply(200, 'second') } })
    const running = bench.run()
    await bench.clock.tick(500)
    flow.push('data: 1\n\n')
    flow.end()
    expect((await running).body).toBe('data: 1\n\n')
    expect(bench.clock.pending).toBe(0)
  })

  test('an answer too long to be held is no longer timed once that is known', async () => {
    const flow = new HandFlow()
    const bench = await pipelineTest(both({ per_try: '50ms' }, ['second']), { backends: { main: trickling(flow), second: () => reply(200, 'second') } })
    const running = bench.run()
    await settled()
    flow.push('x'.repeat(1 << 20))
    flow.push('y')
    await bench.clock.tick(500)
    flow.end()
    expect((await running).body).toHaveLength((1 << 20) + 1)
    expect(bench.clock.pending).toBe(0)
  })

  test('a failed attempt leaves no timer', async () => {
    const bench = await pluginTest(timeout, { per_try: '50ms' }, { backends: { main: () => Promise.reject(new WeirError('RESET')) } })
    expect((await bench.run()).answer.code).toBe('RESET')
    expect(bench.clock.pending).toBe(0)
  })
})

describe('the parts', () => {
  test('are limits of the leg; what is not given stays as it was', async () => {
    const legs: Leg[] = []
    const main = (_x: Exchange, leg: Leg): Answer => (legs.push(leg), reply(200, ''))
    await (await pluginTest(timeout, { connect: '200ms', response_headers: '1s', first_byte: '2s', idle: '15s' }, { backends: { main } })).run()
    expect(legs[0]!.limits).toEqual({ connect_ms: 200, response_headers_ms: 1000, first_byte_ms: 2000, idle_ms: 15_000 })
    await (await pluginTest(timeout, { idle: '15s', per_try: '1s' }, { backends: { main } })).run()
    expect(legs[1]!.limits).toEqual({ connect_ms: 0, response_headers_ms: 0, first_byte_ms: 0, idle_ms: 15_000 })
  })
})

test.each([
  [{ total: '1s', per_try: '2s' }, '`per_try` (2000ms) is longer than `total` (1000ms)'],
  [{ connect: '0ms' }, '`connect` must be at least 1ms'],
])('%j is refused at load', async (options, complaint) => {
  await expect(pluginTest(timeout, options)).rejects.toThrow(complaint)
})
