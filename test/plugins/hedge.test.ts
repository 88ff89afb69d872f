import fc from 'fast-check'
import { afterEach, describe, expect, test, vi } from 'vitest'
import { type Code, WeirError } from '../../gateway/errors.ts'
import { Answer, type Exchange, type Leg, reply, type Send } from '../../gateway/exchange.ts'
import type { Plugin } from '../../gateway/plugin.ts'
import hedge from '../../plugins/hedge.ts'
import retry from '../../plugins/retry.ts'
import { FakeClock } from '../fake_clock.ts'
import { type Bench, HandFlow, pipelineTest, pluginTest } from '../plugin_test.ts'

/** One call of the backend, and the ways to end it. */
interface Call {
  readonly at: number
  readonly leg: Leg
  answer(answer: Answer | number): void
  fail(code: Code): void
}

interface Site {
  readonly bench: Bench
  readonly calls: Call[]
  /** From now on calls are answered by hand. */
  readonly manual: { on: boolean }
}

/** A backend that takes 10 ms for each of the first `known` requests; with the defaults the second request then goes out after 20 ms. */
async function site(options: object = {}, { known = 60, more = [] as (readonly [unknown, object])[], before = false, available = undefined as (() => boolean) | undefined } = {}): Promise<Site> {
  const clock = new FakeClock()
  const calls: Call[] = []
  const manual = { on: false }
  const main: Send = (_x, leg) => {
    const { promise, resolve, reject } = Promise.withResolvers<Answer>()
    leg.watch({ legCancelled: reject })
    if (manual.on) {
      calls.push({ at: clock.now(), leg, answer: (answer) => resolve(typeof answer === 'number' ? reply(answer, String(answer)) : answer), fail: (code) => reject(new WeirError(code)) })
    } else clock.after(10, () => resolve(reply(200, '')))
    return promise
  }
  const own = [hedge as unknown as Plugin, options] as const
  const others = more as (readonly [Plugin, object])[]
  const bench = await pipelineTest(before ? [own, ...others] : [...others, own], { backends: { main }, clock })
  if (available !== undefined) Object.assign(bench.route.backend, { available })
  for (let i = 0; i < known; i++) {
    const running = bench.run({ method: 'GET' })
    await clock.tick(10)
    await running
  }
  manual.on = true
  return { bench, calls, manual }
}

const outcomes = (bench: Bench): number[] => ['sent_total', 'total'].map((name) => bench.metric(`weir_hedge_${name}`))
const result = (bench: Bench, word: string): number => bench.metric('weir_hedge_total', { route: 'test', result: word })

afterEach(() => vi.restoreAllMocks())

describe('the second request', () => {
  test('goes out after the delay, under a leg of its own, and its answer is the answer if it comes first', async () => {
    const { bench, calls } = await site()
    const running = bench.run({ method: 'GET' })
    await bench.clock.tick(19)
    expect(calls).toHaveLength(1)
    await bench.clock.tick(1)
    expect(calls.map(({ at }) => at - calls[0]!.at)).toEqual([0, 20])
    expect(calls[0]!.leg).not.toBe(calls[1]!.leg)
    expect(calls[0]!.leg.tried).toBe(calls[1]!.leg.tried)
    calls[1]!.answer(201)
    const { answer, x } = await running
    expect([answer.status, x.attempts, x.error, calls[0]!.leg.cancelled?.code]).toEqual([201, 2, null, 'CALLER_LEFT'])
    expect([bench.metric('weir_hedge_sent_total', { route: 'test' }), result(bench, 'won')]).toEqual([1, 1])
    await bench.close()
  })

  test('is given up when the first is answered; the answer\'s body still hangs on the caller', async () => {
    const { bench, calls } = await site()
    const flow = new HandFlow()
    const x = bench.exchange({ method: 'GET' })
    const running = bench.route.send(x, x.leg)
    await bench.clock.tick(20)
    calls[0]!.answer(new Answer(200, [], flow))
    expect((await running).body).toBe(flow)
    expect([calls[0]!.leg.cancelled, calls[1]!.leg.cancelled?.code, result(bench, 'lost')]).toEqual([null, 'CALLER_LEFT', 1])
    x.leg.cancel(new WeirError('TOTAL_TIMEOUT'))
    expect(calls[0]!.leg.cancelled?.code).toBe('TOTAL_TIMEOUT')
  })

  test('is not sent once the head is there, however long the stream takes', async () => {
    const { bench, calls } = await site()
    const flow = new HandFlow()
    const running = bench.run({ method: 'GET' })
    await bench.clock.tick(19)
    calls[0]!.answer(new Answer(200, [], flow))
    await bench.clock.tick(10_000)
    flow.push('end')
    flow.end()
    expect([(await running).body, calls.length]).toEqual(['end', 1])
  })

  test('waits for the percentile when that is longer than `min`', async () => {
    const { bench, calls } = await site({ delay: { min: '1ms', percentile: 50 }, max_share: '100%' })
    const running = bench.run({ method: 'GET' })
    // Answers take 10 ms, known to 1 %.
    await bench.clock.tick(9.8)
    expect(calls).toHaveLength(1)
    await bench.clock.tick(0.4)
    expect(calls).toHaveLength(2)
    calls[0]!.answer(200)
    await running
  })

  test.each([
    ['before 50 answers are known', 49, 1],
    ['with 50', 50, 2],
  ])('%s', async (_what, known, count) => {
    const { bench, calls } = await site({}, { known })
    const running = bench.run({ method: 'GET' })
    await bench.clock.tick(1000)
    expect(calls).toHaveLength(count)
    calls[0]!.answer(200)
    await running
  })

  test.each<[string, object]>([
    ['POST', { method: 'POST', body: '{}' }],
    ['PUT', { method: 'PUT' }],
    ['a body that streams', { method: 'GET', body: new HandFlow() }],
  ])('never for %s', async (_what, init) => {
    const { bench, calls } = await site()
    const running = bench.run(init)
    await bench.clock.tick(1000)
    expect(calls).toHaveLength(1)
    calls[0]!.answer(200)
    await running
  })

  test('for a POST where it is listed', async () => {
    const { bench, calls } = await site({ methods: ['GET', 'POST'] })
    const running = bench.run({ method: 'POST', body: '{}' })
    await bench.clock.tick(20)
    expect(calls).toHaveLength(2)
    calls[0]!.answer(200)
    await running
  })

  test('not when the deadline comes first, nor when no endpoint is available', async () => {
    const { bench, calls } = await site()
    const x = bench.exchange({ method: 'GET' })
    x.leg.deadline = bench.clock.now() + 20
    const running = bench.route.send(x, x.leg)
    await bench.clock.tick(1000)
    calls[0]!.answer(200)
    await running
    expect(calls).toHaveLength(1)
    const away = await site({}, { available: () => false })
    const second = away.bench.run({ method: 'GET' })
    await away.bench.clock.tick(1000)
    expect([away.calls.length, away.bench.metric('weir_hedge_withheld_total', { why: 'unavailable' })]).toEqual([1, 1])
    away.calls[0]!.answer(200)
    await second
  })

  test('a backend that answers at once stays synchronous', async () => {
    const bench = await pluginTest(hedge)
    const x = bench.exchange({ method: 'GET' })
    expect(bench.route.send(x, x.leg)).toBeInstanceOf(Answer)
  })
})

describe('failures', () => {
  test.each<[string, (call: Call) => void]>([
    ['an error', (call) => call.fail('RESET')],
    ['a 500', (call) => call.answer(500)],
    ['a 429', (call) => call.answer(429)],
  ])('%s of one waits for the other', async (_what, fail) => {
    for (const [failed, good] of [[0, 1], [1, 0]] as const) {
      const { bench, calls } = await site()
      const running = bench.run({ method: 'GET' })
      await bench.clock.tick(20)
      fail(calls[failed]!)
      await bench.clock.tick(50)
      calls[good]!.answer(202)
      expect((await running).answer.status).toBe(202)
      expect([result(bench, good === 1 ? 'won' : 'lost'), ...outcomes(bench)]).toEqual([1, 1, 1])
      await bench.close()
    }
  })

  test('of two the answer is reported, else the earlier; the other is let go', async () => {
    const run = async (...ends: ((calls: Call[]) => void)[]): Promise<readonly [number, Code | null]> => {
      const { bench, calls } = await site()
      const running = bench.run({ method: 'GET' })
      await bench.clock.tick(20)
      for (const end of ends) {
        end(calls)
        await bench.clock.tick(1)
      }
      const { answer } = await running
      expect([result(bench, 'failed'), ...outcomes(bench)]).toEqual([1, 1, 1])
      await bench.close()
      return [answer.status, answer.code]
    }
    const flow = new HandFlow()
    expect(await run((calls) => calls[0]!.fail('RESET'), (calls) => calls[1]!.answer(503))).toEqual([503, null])
    expect(await run((calls) => calls[1]!.fail('CONNECT_FAILED'), (calls) => calls[0]!.fail('RESET'))).toEqual([503, 'CONNECT_FAILED'])
    expect(await run((calls) => calls[0]!.answer(500), (calls) => calls[1]!.answer(new Answer(502, [], flow)))).toEqual([500, null])
    expect(flow.cancelled).toBe(true)
  })

  test('before the delay is the answer: hedging is no retry', async () => {
    const { bench, calls } = await site()
    const running = bench.run({ method: 'GET' })
    await bench.clock.tick(19)
    calls[0]!.fail('RESET')
    await bench.clock.tick(1000)
    expect([(await running).answer.code, calls.length]).toEqual(['RESET', 1])
    await bench.close()
  })

  test('when the caller leaves both are given up', async () => {
    const { bench, calls } = await site()
    const x = bench.exchange({ method: 'GET' })
    const running = bench.route.send(x, x.leg)
    await bench.clock.tick(20)
    x.leg.cancel(new WeirError('CALLER_LEFT'))
    await expect(running).rejects.toMatchObject({ code: 'CALLER_LEFT' })
    expect(calls.map(({ leg }) => leg.cancelled?.code)).toEqual(['CALLER_LEFT', 'CALLER_LEFT'])
    bench.route.done![0]!.run(x)
    await bench.close()
  })
})

describe('how many', () => {
  /** `count` slow requests at the same time, all first ones answered in the end. */
  async function slow({ bench, calls }: Site, count: number): Promise<void> {
    const running = Array.from({ length: count }, () => bench.run({ method: 'GET' }))
    await bench.clock.tick(30)
    for (const call of calls) call.answer(200)
    await Promise.all(running)
  }

  test('a share of the requests: 60 earned three, and of 20 more one', async () => {
    const place = await site({ max_share: '5%' })
    await slow(place, 20)
    // 80 requests at 5 % are 4; the budget of the route has room for max(3, 20 % of 20) = 4.
    expect([outcomes(place.bench)[0], place.bench.metric('weir_hedge_withheld_total', { why: 'share' })]).toEqual([4, 16])
    await place.bench.close()
  })

  test('the budget: three at the same time, or 20 % of the requests under way', async () => {
    // So many quick ones that ten slow ones are beyond their 95th percentile.
    const place = await site({ max_share: '100%' }, { known: 300 })
    await slow(place, 10)
    expect([outcomes(place.bench)[0], place.bench.metric('weir_hedge_withheld_total', { why: 'budget' })]).toEqual([3, 7])
    await slow(place, 10)
    expect(outcomes(place.bench)[0]).toBe(6)
    await place.bench.close()
  })

  test.each([true, false])('the budget of `retry` where there is one, first or not (hedge first: %s)', async (before) => {
    const place = await site({ max_share: '100%' }, { more: [[retry, { budget: { ratio: '10%', min: 1 } }]], before })
    await slow(place, 10)
    expect(outcomes(place.bench)[0]).toBe(1)
    await place.bench.close()
  })

  test('a retry under way leaves no room for a hedge', async () => {
    vi.spyOn(Math, 'random').mockReturnValue(0)
    const { bench, calls } = await site({ max_share: '100%' }, { more: [[retry, { budget: { ratio: '0%', min: 1 } }]] })
    const running = bench.run({ method: 'GET' })
    await bench.clock.tick(5)
    calls[0]!.fail('RESET')
    await bench.clock.tick(1000)
    expect([calls.length, bench.metric('weir_hedge_withheld_total', { why: 'budget' })]).toEqual([2, 1])
    calls[1]!.answer(200)
    expect((await running).answer.status).toBe(200)
    await bench.close()
  })

  test('the loser of a hedge is not tried again, and leaves no error behind', async () => {
    const { bench, calls } = await site({}, { more: [[retry, { max: 3, on: ['5xx', 'reset', 'connect', 'timeout'] }]] })
    const running = bench.run({ method: 'GET' })
    await bench.clock.tick(20)
    calls[1]!.answer(200)
    const { x } = await running
    await bench.clock.tick(1000)
    expect([calls.length, x.error, bench.metric('weir_retry_total')]).toEqual([2, null, 0])
    await bench.close()
  })
})

test('whatever the two do: one outcome, at most two requests, every hedge has one result, no leg is left', async () => {
  const end = fc.record({ after: fc.nat(60), what: fc.constantFrom<number | Code>(200, 404, 429, 500, 'RESET', 'CONNECT_FAILED', 'HEADERS_TIMEOUT') })
  const plan = fc.record({ ends: fc.array(end, { minLength: 2, maxLength: 2 }), leaves: fc.option(fc.nat(60)) })
  await fc.assert(
    fc.asyncProperty(fc.array(plan, { minLength: 1, maxLength: 15 }), async (plans) => {
      const clock = new FakeClock()
      let training = true
      const seen = plans.map(() => [] as Leg[])
      let under = 0
      let most = 0
      const main: Send = (x: Exchange, leg) => {
        const { promise, resolve, reject } = Promise.withResolvers<Answer>()
        if (training) {
          clock.after(10, () => resolve(reply(200, '')))
          return promise
        }
        const i = Number(x.target.slice(1))
        const { after, what } = plans[i]!.ends[seen[i]!.length]!
        if (seen[i]!.push(leg) === 2) most = Math.max(most, ++under)
        const second = seen[i]!.length === 2
        const over = (): void => void (second && under--)
        leg.watch({ legCancelled: reject })
        clock.after(after, () => (typeof what === 'number' ? resolve(reply(what, '')) : reject(new WeirError(what))))
        promise.then(over, over)
        return promise
      }
      const bench = await pluginTest(hedge, { max_share: '50%' }, { backends: { main }, clock })
      for (let i = 0; i < 50; i++) {
        const running = bench.run({ method: 'GET' })
        await clock.tick(10)
        await running
      }
      training = false
      const settled: string[] = []
      const exchanges = plans.map((_, i) => bench.exchange({ method: 'GET', target: `/${i}` }))
      const running = exchanges.map((x, i) => Promise.resolve(bench.route.send(x, x.leg)).then((answer) => (settled[i] = String(answer.status)), (error: WeirError) => (settled[i] = error.code)))
      plans.forEach(({ leaves }, i) => void (leaves !== null && clock.after(leaves, () => exchanges[i]!.leg.cancel(new WeirError('CALLER_LEFT')))))
      await clock.tick(500)
      await Promise.all(running)
      plans.forEach(({ ends, leaves }, i) => {
        expect(seen[i]!.length).toBeLessThanOrEqual(2)
        // A good answer of the first, in time, is never lost.
        const { after, what } = ends[0]!
        if ((leaves === null || leaves > 200) && after < 20) expect(settled[i]).toBe(String(what))
      })
      expect(most).toBeLessThanOrEqual(Math.max(3, Math.floor((20 * plans.length) / 100)))
      expect(outcomes(bench)[1]).toBe(outcomes(bench)[0])
      expect(outcomes(bench)[0]).toBe(seen.filter((legs) => legs.length === 2).length)
      for (const x of exchanges) bench.route.done![0]!.run(x)
      await bench.close()
    }),
    { numRuns: 40 },
  )
})
