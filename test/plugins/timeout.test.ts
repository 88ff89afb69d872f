import { describe, expect, test } from 'vitest'
import { Answer, type Exchange, type Leg, type LegWatcher, reply } from '../../gateway/exchange.ts'
import { WeirError } from '../../gateway/errors.ts'
import type { Plugin } from '../../gateway/plugin.ts'
import fallback from '../../plugins/fallback.ts'
import timeout from '../../plugins/timeout.ts'
import { FakeClock, settled } from '../fake_clock.ts'
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

/** An answer after a while. */
function later(ms: number, clock: FakeClock, make: () => Answer): Promise<Answer> {
  return new Promise((resolve) => clock.after(ms, () => resolve(make())))
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

  test('a stream that nobody holds is no longer timed once it began', async () => {
    const flow = new HandFlow()
    const bench = await pluginTest(timeout, { per_try: '50ms' }, { backends: { main: trickling(flow, 'text/event-stream') } })
    const running = bench.run()
    await bench.clock.tick(500)
    flow.push('data: 1\n\n')
    flow.end()
    expect((await running).body).toBe('data: 1\n\n')
    expect(bench.clock.pending).toBe(0)
  })

  test('behind a fallback a stream is timed until its first content', async () => {
    const flow = new HandFlow()
    const bench = await pipelineTest(both({ per_try: '50ms' }, ['second']), { backends: { main: trickling(flow, 'text/event-stream'), second: () => reply(200, 'second') } })
    const running = bench.run()
    await settled()
    flow.push(': hello\n\n')
    await bench.clock.tick(49)
    flow.push('data: 1\n\n')
    await bench.clock.tick(500)
    flow.push('data: 2\n\n')
    flow.end()
    expect((await running).body).toBe(': hello\n\ndata: 1\n\ndata: 2\n\n')
    expect(bench.clock.pending).toBe(0)
  })

  test('a stream without content in that time falls back', async () => {
    const flow = new HandFlow()
    const bench = await pipelineTest(both({ per_try: '50ms' }, ['second']), { backends: { main: trickling(flow, 'text/event-stream'), second: () => reply(200, 'second') } })
    const running = bench.run()
    await settled()
    flow.push(': hello\n\n')
    await bench.clock.tick(50)
    const { body, x } = await running
    expect([body, x.fallback]).toEqual(['second', 'main;timeout'])
    expect(bench.clock.pending).toBe(0)
  })

  test('a stream that a fallback has let go without content is not cut for it', async () => {
    const flow = new HandFlow()
    const bench = await pipelineTest(both({ per_try: '50ms' }, ['second']), { backends: { main: trickling(flow, 'text/event-stream'), second: () => reply(200, 'second') } })
    const running = bench.run()
    await settled()
    flow.push(':\n'.repeat(32_768))
    flow.push(':\n')
    await bench.clock.tick(500)
    flow.end()
    expect((await running).body).toHaveLength(65_538)
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

describe('first_token', () => {
  const ROLE = `data: ${JSON.stringify({ choices: [{ delta: { role: 'assistant', content: '' } }] })}\n\n`
  const TOKEN = `data: ${JSON.stringify({ choices: [{ delta: { content: 'Hi' } }] })}\n\n`
  const asking = { headers: ['accept', 'text/event-stream'] }

  test.each<[string, object]>([
    ['accept', asking],
    ['accept among others', { headers: ['Accept', 'application/json, Text/Event-Stream;q=0.9'] }],
    ['the body', { body: '{"model":"m", "stream" : true,"messages":[]}' }],
  ])('fires while the head is awaited, when a stream is asked for: %s', async (_name, init) => {
    const bench = await pluginTest(timeout, { first_token: '80ms' }, { backends: { main: hanging() } })
    const running = bench.run(init)
    await bench.clock.tick(79)
    expect(bench.metric('weir_timeout_total')).toBe(0)
    await bench.clock.tick(1)
    const { answer } = await running
    expect([answer.status, answer.code]).toEqual([504, 'FIRST_TOKEN_TIMEOUT'])
    expect(bench.metric('weir_timeout_total', { limit: 'first_token' })).toBe(1)
    expect(bench.clock.pending).toBe(0)
  })

  test.each<[string, object]>([
    ['nothing', {}],
    ['stream: false', { body: '{"stream":false}' }],
    ['another key', { body: '{"streams":true,"stream_options":true}' }],
    ['text that looks like it', { body: JSON.stringify({ prompt: 'write {"stream": true}' }) }],
    ['another type', { headers: ['accept', 'application/json'] }],
  ])('does not where none is: %s', async (_name, init) => {
    const clock = new FakeClock()
    const bench = await pluginTest(timeout, { first_token: '80ms' }, { clock, backends: { main: (_x, leg) => later(200, clock, () => (leg.cancelled === null ? reply(200, 'late') : reply(500, 'cut'))) } })
    const running = bench.run(init)
    await bench.clock.tick(200)
    expect((await running).body).toBe('late')
    expect(bench.clock.pending).toBe(0)
  })

  test('bodies are made whole to see what they ask for, as far as others may be', async () => {
    expect((await pluginTest(timeout, { first_token: '80ms' })).route.replayBytes).toBe(1 << 20)
    expect((await pluginTest(timeout, { per_try: '80ms' })).route.replayBytes).toBe(0)
  })

  test('signs of life are no content: the answer is cut', async () => {
    const flow = new HandFlow()
    const bench = await pluginTest(timeout, { first_token: '80ms' }, { backends: { main: trickling(flow, 'text/event-stream') } })
    const cut = expect(bench.run(asking)).rejects.toMatchObject({ code: 'FIRST_TOKEN_TIMEOUT' })
    await bench.clock.tick(40)
    flow.push(ROLE)
    flow.push(': ping\n\n')
    await bench.clock.tick(39)
    expect(bench.metric('weir_timeout_total')).toBe(0)
    await bench.clock.tick(1)
    await cut
    expect(bench.clock.pending).toBe(0)
  })

  test.each<[string, string]>([['a token', TOKEN], ['an error', 'data: {"error":{"message":"overloaded"}}\n\n']])('%s ends it', async (_name, event) => {
    const flow = new HandFlow()
    const bench = await pluginTest(timeout, { first_token: '80ms' }, { backends: { main: trickling(flow, 'text/event-stream') } })
    const running = bench.run(asking)
    await bench.clock.tick(79)
    flow.push(ROLE)
    flow.push(event)
    expect(bench.clock.pending).toBe(0)
    await bench.clock.tick(1000)
    flow.end()
    expect((await running).body).toBe(ROLE + event)
  })

  test('counts from the beginning of the attempt, whatever the request asked for', async () => {
    const flow = new HandFlow()
    const clock = new FakeClock()
    const bench = await pluginTest(timeout, { first_token: '80ms' }, { clock, backends: { main: (x, leg) => later(60, clock, () => trickling(flow, 'application/x-ndjson')(x, leg)) } })
    const cut = expect(bench.run()).rejects.toMatchObject({ code: 'FIRST_TOKEN_TIMEOUT' })
    await bench.clock.tick(79)
    expect(bench.metric('weir_timeout_total')).toBe(0)
    await bench.clock.tick(1)
    await cut
  })

  test('a stream that begins too late is no answer', async () => {
    const flow = new HandFlow()
    const clock = new FakeClock()
    const bench = await pluginTest(timeout, { first_token: '80ms' }, { clock, backends: { main: (x, leg) => later(90, clock, () => trickling(flow, 'text/event-stream')(x, leg)) } })
    const running = bench.run()
    await bench.clock.tick(90)
    expect((await running).answer.code).toBe('FIRST_TOKEN_TIMEOUT')
    expect(bench.clock.pending).toBe(0)
  })

  test('other answers are not limited by it', async () => {
    const flow = new HandFlow()
    const bench = await pluginTest(timeout, { first_token: '80ms' }, { backends: { main: trickling(flow) } })
    const running = bench.run(asking)
    await bench.clock.tick(500)
    flow.push('slow')
    flow.end()
    expect((await running).body).toBe('slow')
  })

  test('behind a fallback another target is asked, each with its own', async () => {
    const flows = [new HandFlow(), new HandFlow()]
    const backends = { main: trickling(flows[0]!, 'text/event-stream'), second: hanging(), third: trickling(flows[1]!, 'text/event-stream') }
    const bench = await pipelineTest(both({ first_token: '80ms' }, ['second', 'third']), { backends })
    const running = bench.run(asking)
    await settled()
    flows[0]!.push(ROLE)
    await bench.clock.tick(160)
    flows[1]!.push(ROLE)
    await bench.clock.tick(79)
    flows[1]!.push(TOKEN)
    flows[1]!.end()
    const { body, x } = await running
    expect([body, x.fallback, x.attempts]).toEqual([ROLE + TOKEN, 'main;timeout', 3])
    expect(bench.metric('weir_timeout_total', { limit: 'first_token' })).toBe(2)
  })
})

describe('deadlines', () => {
  test('total and per_try are deadlines of the leg; the earlier one counts', async () => {
    const legs: Leg[] = []
    const main = (_x: Exchange, leg: Leg): Answer => (legs.push(leg), reply(200, ''))
    const of = async (options: unknown): Promise<number> => {
      const bench = await pluginTest(timeout, options, { backends: { main } })
      bench.clock.advance(1000)
      await bench.run()
      expect(bench.clock.pending).toBe(0)
      return legs.at(-1)!.deadline
    }
    expect(await of({ total: '2s' })).toBe(3000)
    expect(await of({ per_try: '500ms' })).toBe(1500)
    expect(await of({ total: '2s', per_try: '500ms' })).toBe(1500)
    expect(await of({ total: '500ms', per_try: '500ms' })).toBe(1500)
    expect(await of({ idle: '2s' })).toBe(Infinity)
  })

  test('an earlier one of the caller is left to the caller\'s own timer', async () => {
    const bench = await pluginTest(timeout, { total: '2s' }, { backends: { main: hanging() } })
    const x = bench.exchange()
    x.leg.deadline = 100
    const sent = expect(Promise.resolve(bench.route.send(x, x.leg))).rejects.toMatchObject({ code: 'DEADLINE_EXCEEDED' })
    expect([x.leg.deadline, bench.clock.pending]).toEqual([100, 0])
    x.leg.cancel(new WeirError('DEADLINE_EXCEEDED'))
    await sent
  })

  test('of two limits that end at once the outer one fires, alone', async () => {
    const bench = await pluginTest(timeout, { total: '50ms', per_try: '50ms', first_token: '50ms' }, { backends: { main: hanging() } })
    const running = bench.run({ headers: ['accept', 'text/event-stream'] })
    await settled()
    // Nothing settles between the three.
    bench.clock.advance(50)
    expect((await running).answer.code).toBe('TOTAL_TIMEOUT')
    expect(bench.metric('weir_timeout_total')).toBe(1)
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
  [{ total: '1s', first_token: '2s' }, '`first_token` (2000ms) is longer than `total` (1000ms)'],
  [{ connect: '0ms' }, '`connect` must be at least 1ms'],
  [{ first_token: '0.5ms' }, '`first_token` must be at least 1ms'],
  // Beyond 2^31 ms a timer would fire at once.
  [{ total: '25d' }, '`total` must be at most 24d'],
])('%j is refused at load', async (options, complaint) => {
  await expect(pluginTest(timeout, options)).rejects.toThrow(complaint)
})
