import fc from 'fast-check'
import { afterEach, describe, expect, test, vi } from 'vitest'
import { type Code, codes, WeirError } from '../../gateway/errors.ts'
import { Answer, type Exchange, type Leg, reply, type Send } from '../../gateway/exchange.ts'
import { KeepStore } from '../../gateway/pipeline/host.ts'
import type { Plugin } from '../../gateway/plugin.ts'
import fallback from '../../plugins/fallback.ts'
import retry from '../../plugins/retry.ts'
import timeout from '../../plugins/timeout.ts'
import { FakeClock, settled } from '../fake_clock.ts'
import { type Bench, HandFlow, pipelineTest, pluginTest, type RequestInit } from '../plugin_test.ts'

type Step = Send | Code | number

const failing = (code: Code): Send => () => Promise.reject(new WeirError(code))
const answering = (status: number, headers: string[] = []): Send => async () => reply(status, String(status), headers)
const asSend = (step: Step): Send => (typeof step === 'function' ? step : typeof step === 'number' ? answering(step) : failing(step))

/** Never answers, but lets go when its leg is cancelled. */
const hanging: Send = (_x, leg) => new Promise((_resolve, reject) => leg.watch({ legCancelled: reject }))

/** Does one step a call; the last one again and again. */
function script(...steps: Step[]): Send & { calls: number } {
  const send = (x: Exchange, leg: Leg) => asSend(steps[Math.min(send.calls++, steps.length - 1)]!)(x, leg)
  send.calls = 0
  return send
}

/** One request whose backend needs no time, with all waits passed. */
async function run(bench: Bench, init: RequestInit = { method: 'GET' }, ms = 60_000): Promise<{ readonly x: Exchange; readonly status: number; readonly code: Code | null; readonly body: string }> {
  const running = bench.run(init)
  await bench.clock.tick(ms)
  const { x, answer, body } = await running
  return { x, status: answer.status, code: answer.code, body }
}

const jitter = (value: number): void => void vi.spyOn(Math, 'random').mockReturnValue(value)
afterEach(() => vi.restoreAllMocks())

describe('what is tried again', () => {
  test.each<[string | number, Step]>([
    ['connect', 'CONNECT_FAILED'],
    ['connect', 'DNS_FAILED'],
    ['connect', 'TLS_FAILED'],
    ['connect', 'CONNECT_TIMEOUT'],
    ['timeout', 'CONNECT_TIMEOUT'],
    ['reset', 'RESET'],
    ['refused', 'NO_ENDPOINT'],
    ['refused', 'OVERLOADED'],
    ['timeout', 'HEADERS_TIMEOUT'],
    ['timeout', 'TRY_TIMEOUT'],
    ['5xx', 'RESET'],
    ['5xx', 'BAD_ANSWER'],
    ['gateway-error', 'RESET'],
    ['503', 'CONNECT_FAILED'],
    ['5xx', 500],
    ['5xx', 599],
    ['gateway-error', 502],
    ['gateway-error', 504],
    [429, 429],
    ['404', 404],
    ['429:busy', async () => reply(429, { error: { code: 'busy' } })],
    ['400:busy', () => reply(400, { error: { type: 'busy' } })],
  ])('with on: [%s] %s', async (word, step) => {
    const main = script(step, 200)
    const bench = await pluginTest(retry, { on: [word] }, { backends: { main } })
    const { x, status } = await run(bench)
    expect([status, main.calls, x.attempts]).toEqual([200, 2, 2])
    expect(bench.metric('weir_retry_total', { route: 'test', reason: String(word), result: 'success' })).toBe(1)
    expect(bench.metric('weir_retry_total')).toBe(1)
  })

  test.each<[string | number, Step]>([
    ['connect', 'RESET'],
    ['reset', 'CONNECT_FAILED'],
    ['refused', 'CONNECT_FAILED'],
    ['5xx', 'OVERLOADED'],
    ['503', 'NO_ENDPOINT'],
    ['5xx', 'TOTAL_TIMEOUT'],
    ['timeout', 'TOTAL_TIMEOUT'],
    ['timeout', 'REQUEST_TIMEOUT'],
    ['5xx', 'MODEL_FAILED'],
    ['5xx', 'INTERNAL'],
    ['404', 'NO_COVERAGE'],
    ['400', 'MODEL_INPUT'],
    ['499', 'CALLER_LEFT'],
    ['timeout', 'DEADLINE_EXCEEDED'],
    ['429:busy', 429],
    ['5xx', 429],
    ['gateway-error', 500],
    ['gateway-error', 'HEADERS_TIMEOUT'],
    ['5xx', 'TRY_TIMEOUT'],
    ['503', 502],
    [429, 200],
  ])('not with on: [%s] %s', async (word, step) => {
    const main = script(step, 200)
    const bench = await pluginTest(retry, { on: [word] }, { backends: { main } })
    const { status } = await run(bench)
    expect([status, main.calls]).toEqual([typeof step === 'number' ? step : codes[step as Code].status, 1])
    expect(bench.metric('weir_retry_total')).toBe(0)
  })

  test('an answer whose field asks for it, name without case, value exactly', async () => {
    const headers = { 'X-Try-Again': 'yes' }
    const asked = script(answering(200, ['x-try-again', 'yes']), 201)
    const bench = await pluginTest(retry, { headers }, { backends: { main: asked } })
    expect((await run(bench)).status).toBe(201)
    expect(bench.metric('weir_retry_total', { reason: 'header' })).toBe(1)
    const other = script(answering(200, ['x-try-again', 'yes, please']), 201)
    expect((await run(await pluginTest(retry, { headers }, { backends: { main: other } }))).status).toBe(200)
  })

  test('a backend that answers an error of weir is judged by its code, sync or not', async () => {
    const main = script(() => Object.assign(reply(503, ''), { code: 'OVERLOADED' }), 200)
    expect((await run(await pluginTest(retry, { on: ['5xx'] }, { backends: { main } }))).status).toBe(503)
    const again = script(() => Object.assign(reply(503, ''), { code: 'OVERLOADED' }), 200)
    expect((await run(await pluginTest(retry, { on: ['refused'] }, { backends: { main: again } }))).status).toBe(200)
  })

  test('up to `max` times; then the last failure is the answer', async () => {
    const main = script('RESET', 503, 'CONNECT_FAILED', 200)
    const bench = await pluginTest(retry, { max: 2 }, { backends: { main } })
    const { x, code } = await run(bench)
    expect([code, main.calls, x.flags, x.error?.code]).toEqual(['CONNECT_FAILED', 3, ['retry:exhausted'], 'RESET'])
    expect(bench.metric('weir_retry_total', { reason: 'reset', result: 'failure' })).toBe(1)
    expect(bench.metric('weir_retry_total', { reason: '503', result: 'failure' })).toBe(1)
    expect(bench.metric('weir_retry_total')).toBe(2)
    await bench.close()
  })

  test('a good answer stays synchronous', async () => {
    const bench = await pluginTest(retry)
    const x = bench.exchange({ method: 'GET' })
    expect(bench.route.send(x, x.leg)).toBeInstanceOf(Answer)
  })

  test('without `retry` a request is sent once; with it the same request again', async () => {
    const seen: string[] = []
    const look = (status: number): Send => async (x) => (seen.push(`${x.method} ${x.target} ${x.body}`), reply(status, ''))
    const bench = await pluginTest(retry, {}, { backends: { main: script(look(503), look(200)) } })
    expect(bench.route.replayBytes).toBe(1 << 20)
    await run(bench, { method: 'PUT', target: '/p?q', body: 'body' })
    expect(seen).toEqual(['PUT /p?q body', 'PUT /p?q body'])
    expect((await pluginTest(retry, { replay: '1KiB' })).route.replayBytes).toBe(1024)
  })
})

describe('a request that may have been executed', () => {
  test.each<Step>(['RESET', 'HEADERS_TIMEOUT', 'BAD_ANSWER', 503, 429])('a POST is not sent again after %s', async (step) => {
    const main = script(step, 200)
    const bench = await pluginTest(retry, { on: ['reset', 'timeout', '5xx', 429] }, { backends: { main } })
    await run(bench, { method: 'POST', body: '{}' })
    expect([main.calls, bench.metric('weir_retry_denied_total', { why: 'method' })]).toEqual([1, 1])
  })

  test.each<Step>(['CONNECT_FAILED', 'DNS_FAILED', 'CONNECT_TIMEOUT', 'NO_ENDPOINT', 'OVERLOADED'])('it was not: a POST is sent after %s', async (step) => {
    const main = script(step, 200)
    const bench = await pluginTest(retry, { on: ['connect', 'refused'] }, { backends: { main } })
    expect([(await run(bench, { method: 'POST', body: '{}' })).status, main.calls]).toEqual([200, 2])
  })

  test('is sent again where POST is listed, or the caller gave it a key', async () => {
    const listed = script('RESET', 200)
    expect((await run(await pluginTest(retry, { methods: ['POST'] }, { backends: { main: listed } }), { method: 'POST', body: '{}' })).status).toBe(200)
    const keyed = script('RESET', 200)
    expect((await run(await pluginTest(retry, {}, { backends: { main: keyed } }), { method: 'POST', headers: ['Idempotency-Key', '"a"'], body: '{}' })).status).toBe(200)
    const unlisted = script('RESET', 200)
    expect((await run(await pluginTest(retry, { methods: ['POST'] }, { backends: { main: unlisted } }))).code).toBe('RESET')
  })

  test('a body that streams is sent once, and that is counted', async () => {
    const main = script('CONNECT_FAILED', 200)
    const bench = await pluginTest(retry, {}, { backends: { main } })
    expect((await run(bench, { method: 'PUT', body: new HandFlow() })).code).toBe('CONNECT_FAILED')
    expect([main.calls, bench.metric('weir_retry_impossible_total', { route: 'test' })]).toEqual([1, 1])
  })
})

describe('the wait', () => {
  /** Moments of the calls, ms. */
  async function moments(options: object, steps: Step[], ms = 60_000): Promise<{ readonly at: number[]; readonly bench: Bench; readonly status: number }> {
    const at: number[] = []
    const clock = new FakeClock()
    const main = script(...steps.map((step): Send => (x, leg) => (at.push(clock.now()), asSend(step)(x, leg))))
    const bench = await pluginTest(retry, options, { backends: { main }, clock })
    return { at, bench, status: (await run(bench, { method: 'GET' }, ms)).status }
  }

  test('is drawn from nothing to base · 2ⁿ, at most max', async () => {
    jitter(0.5)
    const { at } = await moments({ max: 5 }, ['RESET'])
    // 12.5, 25, 50, 100, 125
    expect(at).toEqual([0, 12.5, 37.5, 87.5, 187.5, 312.5])
  })

  test('is what Retry-After asks for, and a little', async () => {
    jitter(0.4)
    expect((await moments({}, [answering(503, ['retry-after', '2']), 200])).at).toEqual([0, 2010])
    const dated = answering(429, ['Date', 'Sun, 06 Nov 1994 08:49:37 GMT', 'Retry-After', 'Sun, 06 Nov 1994 08:49:38 GMT'])
    expect((await moments({}, [dated, 200])).at).toEqual([0, 1010])
    expect((await moments({}, [answering(503, ['retry-after', 'soon']), 200])).at).toEqual([0, 10])
    const overloaded = Object.assign(new WeirError('OVERLOADED'), { retryAfter: 1 })
    expect((await moments({ on: ['refused'] }, [() => Promise.reject(overloaded), 200])).at).toEqual([0, 1010])
  })

  test.each([
    ['6', '5s'],
    ['1', '0ms'],
    ['Sun, 06 Nov 1994 08:49:38 GMT', '5s'],
  ])('an answer that asks for more is passed on: %s with retry_after: %s', async (value, retry_after) => {
    const { at, bench, status } = await moments({ retry_after }, [answering(503, ['retry-after', value]), 200])
    expect([at.length, status, bench.metric('weir_retry_denied_total', { why: 'retry_after' })]).toEqual([1, 503, 1])
  })

  test('does not begin when the deadline is before its end', async () => {
    jitter(0.5)
    const main = script('RESET', 200)
    const bench = await pluginTest(retry, {}, { backends: { main } })
    const begin = async (deadline: number): Promise<Answer | Code> => {
      const x = bench.exchange({ method: 'GET' })
      x.leg.deadline = deadline
      const running = Promise.resolve(bench.route.send(x, x.leg)).catch((error: WeirError) => error.code)
      await bench.clock.tick(0)
      return running
    }
    expect(await begin(12.5)).toBe('RESET')
    expect([main.calls, bench.metric('weir_retry_denied_total', { why: 'deadline' }), bench.clock.now()]).toEqual([1, 1, 0])
  })

  test('ends when the leg is cancelled; nothing is sent any more', async () => {
    jitter(0.5)
    const main = script('RESET', 200)
    const bench = await pluginTest(retry, {}, { backends: { main } })
    const x = bench.exchange({ method: 'GET' })
    const running = bench.route.send(x, x.leg)
    await bench.clock.tick(5)
    x.leg.cancel(new WeirError('CALLER_LEFT'))
    await expect(running).rejects.toMatchObject({ code: 'CALLER_LEFT' })
    await bench.clock.tick(1000)
    expect([main.calls, bench.metric('weir_retry_total')]).toEqual([1, 0])
    bench.route.done?.[0]?.run(x)
    await bench.close()
  })

  test('`total` is over all tries, `per_try` over each', async () => {
    jitter(0.5)
    const main = script(hanging)
    const plugins = [
      [timeout as unknown as Plugin, { total: '250ms', per_try: '100ms' }],
      [retry as unknown as Plugin, { max: 5, on: ['timeout'] }],
    ] as const
    const bench = await pipelineTest(plugins, { backends: { main } })
    const { code } = await run(bench, { method: 'GET' }, 250)
    expect([code, main.calls, bench.metric('weir_retry_total', { reason: 'timeout' })]).toEqual(['TOTAL_TIMEOUT', 3, 2])
    await bench.close()
  })
})

describe('the answer that was not good enough', () => {
  test('is read if it is short, and given up once the next try has its outcome', async () => {
    jitter(0)
    const flow = new HandFlow(5)
    const second = Promise.withResolvers<Answer>()
    const main = script(async () => new Answer(503, [], flow), () => second.promise)
    const bench = await pluginTest(retry, {}, { backends: { main } })
    const running = bench.run({ method: 'GET' })
    await bench.clock.tick(0)
    expect([flow.sink === null, flow.cancelled]).toEqual([false, false])
    flow.push('sorry')
    second.resolve(reply(200, 'good'))
    expect((await running).body).toBe('good')
    expect(flow.cancelled).toBe(true)
  })

  test('is given up at once if it is long, or turns out to be', async () => {
    jitter(0)
    const long = new HandFlow(65_537)
    await run(await pluginTest(retry, {}, { backends: { main: script(async () => new Answer(503, [], long), 200) } }))
    expect([long.sink, long.cancelled]).toEqual([null, true])
    const endless = new HandFlow()
    const second = Promise.withResolvers<Answer>()
    const bench = await pluginTest(retry, {}, { backends: { main: script(async () => new Answer(503, [], endless), () => second.promise) } })
    const running = bench.run({ method: 'GET' })
    await bench.clock.tick(0)
    endless.push('x'.repeat(65_536))
    expect(endless.cancelled).toBe(false)
    endless.push('x')
    expect(endless.cancelled).toBe(true)
    second.resolve(reply(200, ''))
    await running
  })

  test('the last one is passed on whole', async () => {
    const flow = new HandFlow()
    const bench = await pluginTest(retry, { max: 1 }, { backends: { main: script('RESET', async () => new Answer(503, ['x-why', 'deploying'], flow)) } })
    const running = bench.run({ method: 'GET' })
    await bench.clock.tick(1000)
    flow.push('come back')
    flow.end()
    const { answer, body } = await running
    expect([answer.status, answer.headers, body]).toEqual([503, ['x-why', 'deploying'], 'come back'])
  })

  test('an answer that began is out of reach: its cut is the caller\'s', async () => {
    const flow = new HandFlow()
    const main = script(async () => new Answer(200, [], flow), 200)
    const bench = await pluginTest(retry, { on: ['reset'] }, { backends: { main } })
    const cut = expect(bench.run({ method: 'GET' })).rejects.toMatchObject({ code: 'RESET' })
    await settled()
    flow.push('half')
    flow.fail(new WeirError('RESET'))
    await cut
    expect(main.calls).toBe(1)
  })
})

describe('where it stands', () => {
  test('the endpoints that were asked are remembered over the tries, and not over the targets of a fallback', async () => {
    const seen: (readonly object[] | null)[] = []
    const noting = (name: string): Send => (_x, leg) => {
      seen.push(leg.tried === null ? null : [...leg.tried])
      leg.tried?.push({ name })
      return Promise.reject(new WeirError('CONNECT_FAILED'))
    }
    const plugins = [
      [retry as unknown as Plugin, { max: 2 }],
      [fallback as unknown as Plugin, { to: ['second'] }],
    ] as const
    const bench = await pipelineTest(plugins, { backends: { main: noting('a'), second: noting('b') } })
    const { x, code } = await run(bench)
    const [a, b] = [{ name: 'a' }, { name: 'b' }]
    expect(seen).toEqual([[], [a], [a, a], [], [b], [b, b]])
    expect([code, x.attempts]).toEqual(['CONNECT_FAILED', 6])
  })
})

describe('the budget', () => {
  const half = { budget: { ratio: '50%', min: 0 } }

  test('a retry without budget is the failure itself; counted and marked', async () => {
    const main = script('RESET', 200)
    const bench = await pluginTest(retry, half, { backends: { main } })
    const { x, code } = await run(bench)
    expect([code, main.calls, x.flags, bench.metric('weir_retry_overflow_total', { route: 'test' })]).toEqual(['RESET', 1, ['retry:overflow'], 1])
  })

  test('is a share of the requests under way: of four that fail together two are tried again', async () => {
    const break4: (() => void)[] = []
    let again = 0
    const main: Send = (x) => {
      if (x.attempts > 1) again++
      return new Promise((_resolve, reject) => void break4.push(() => reject(new WeirError('RESET'))))
    }
    const bench = await pluginTest(retry, half, { backends: { main } })
    const running = [1, 2, 3, 4].map(() => bench.run({ method: 'GET' }))
    await settled()
    for (const fail of break4.splice(0)) fail()
    await bench.clock.tick(1000)
    expect([again, bench.metric('weir_retry_overflow_total')]).toEqual([2, 2])
    for (const fail of break4) fail()
    await Promise.all(running)
    // All are over: nothing is under way, nothing is owed.
    expect(bench.metric('weir_retry_total', { result: 'failure' })).toBe(2)
    const [first, second] = [bench.run({ method: 'GET' }), bench.run({ method: 'GET' })]
    await settled()
    for (const fail of break4.splice(2)) fail()
    await bench.clock.tick(1000)
    expect(again).toBe(3)
    for (const fail of break4.splice(2)) fail()
    await Promise.all([first, second])
    await bench.close()
  })

  test('a request counts until its answer is whole', async () => {
    const flow = new HandFlow()
    const main = script(async () => new Answer(200, [], flow), 'RESET', 200)
    const bench = await pluginTest(retry, half, { backends: { main } })
    const streaming = bench.run({ method: 'GET' })
    await settled()
    // Two under way: one retry is allowed.
    expect((await run(bench)).status).toBe(200)
    flow.end()
    await streaming
    expect(bench.metric('weir_retry_overflow_total')).toBe(0)
  })

  test('one budget over a reload', async () => {
    const keep = new KeepStore()
    const main = script(hanging)
    const before = await pluginTest(retry, half, { backends: { main }, keep })
    const pending = before.exchange({ method: 'GET' })
    const left = Promise.resolve(before.route.send(pending, pending.leg)).catch(() => undefined)
    const after = await pluginTest(retry, { ...half, max: 2 }, { backends: { main: script('RESET', 200) }, keep })
    expect((await run(after)).status).toBe(200)
    pending.leg.cancel(new WeirError('CALLER_LEFT'))
    await left
    before.route.done![0]!.run(pending)
    await before.close()
    const alone = await pluginTest(retry, half, { backends: { main: script('RESET', 200) }, keep })
    expect((await run(alone)).code).toBe('RESET')
  })
})

describe('options', () => {
  test.each([
    [{ backoff: { base: '1s' } }, /`backoff.base` \(1000ms\) is longer than `backoff.max` \(250ms\)/],
    [{ backoff: { base: '0ms' } }, /at least 1ms/],
    [{ budget: { ratio: 0, min: 0 } }, /allows no retry/],
  ])('%j is refused', async (options, message) => {
    await expect(pluginTest(retry, options)).rejects.toThrow(message)
  })
})

test('whatever the backend does: one outcome, attempts ≤ max + 1, a POST executed once at most', async () => {
  const behaviour = fc.oneof(
    fc.constantFrom<Code>('CONNECT_FAILED', 'DNS_FAILED', 'CONNECT_TIMEOUT', 'RESET', 'HEADERS_TIMEOUT', 'BAD_ANSWER', 'NO_ENDPOINT', 'OVERLOADED'),
    fc.constantFrom(200, 204, 404, 429, 500, 503),
  )
  const neverSent = new Set<Step>(['CONNECT_FAILED', 'DNS_FAILED', 'CONNECT_TIMEOUT', 'NO_ENDPOINT', 'OVERLOADED'])
  await fc.assert(
    fc.asyncProperty(
      fc.integer({ min: 1, max: 4 }), fc.constantFrom('GET', 'POST'), fc.array(fc.array(behaviour, { minLength: 1, maxLength: 6 }), { minLength: 1, maxLength: 12 }), fc.nat(30), fc.nat(4),
      async (max, method, scripts, ratio, min) => {
        const budget = { ratio, min: ratio === 0 ? min + 1 : min }
        let retries = 0
        let most = 0
        const calls = scripts.map(() => 0)
        const executed = scripts.map(() => 0)
        const clock = new FakeClock()
        const main: Send = async (x) => {
          const i = Number(x.target.slice(1))
          const step = scripts[i]![Math.min(calls[i]!++, scripts[i]!.length - 1)]!
          if (!neverSent.has(step)) executed[i]!++
          if (calls[i]! > 1) most = Math.max(most, ++retries)
          await new Promise<void>((done) => void clock.after(100, done))
          if (calls[i]! > 1) retries--
          if (typeof step === 'number') return reply(step, '')
          throw new WeirError(step)
        }
        const bench = await pluginTest(retry, { max, on: ['connect', 'reset', 'refused', 'timeout', '5xx', 429], budget }, { backends: { main }, clock })
        let outcomes = 0
        const running = scripts.map((_, i) => bench.run({ method, target: `/${i}`, body: 'x' }).then(() => outcomes++))
        await clock.tick(10_000)
        await Promise.all(running)
        expect(outcomes).toBe(scripts.length)
        expect(Math.max(...calls)).toBeLessThanOrEqual(max + 1)
        if (method === 'POST') expect(Math.max(...executed)).toBeLessThanOrEqual(1)
        expect(most).toBeLessThanOrEqual(Math.max(budget.min, Math.floor((budget.ratio * scripts.length) / 100)))
        expect(bench.metric('weir_retry_total')).toBe(calls.reduce((sum, count) => sum + count - 1, 0))
        await bench.close()
      },
    ),
    { numRuns: 60 },
  )
})
