/** Places and the queue for them, with answers that a test gives by hand, on a clock that stands still. */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { WeirError } from '../../gateway/errors.ts'
import { Answer, type Backend, type Body, Leg } from '../../gateway/exchange.ts'
import { Limiter, type LimiterOptions, Refused } from '../../gateway/limiter.ts'
import { Registry } from '../../gateway/metrics.ts'
import { backendMetrics } from '../../gateway/vital.ts'
import { FakeClock } from '../fake_clock.ts'
import { HandFlow } from '../plugin_test.ts'

const nobody: Backend = { name: 'up', kind: 'http', send: () => new Answer(200, [], null) }

/** One request. */
class Ask {
  readonly leg = new Leg(nobody)
  readonly x = { waited: 0 }
  sent = false
  outcome = 'pending'
  answer: Answer | null = null
  /** Of the backend. */
  reply!: (answer: Answer) => void
  fail!: (error: Error) => void
}

class Bench {
  readonly clock = new FakeClock()
  readonly limiter: Limiter
  readonly cells

  constructor(options: Partial<LimiterOptions> = {}) {
    const handles = new Registry().handles(backendMetrics)
    const refused = (reason: 'queue_full' | 'queue_wait') => handles.weir_backend_refused_total({ backend: 'up', reason })
    this.cells = { queued: handles.weir_backend_queued({ backend: 'up' }), limit: handles.weir_backend_limit({ backend: 'up' }), full: refused('queue_full'), late: refused('queue_wait') }
    this.limiter = new Limiter({ in_flight: 2, queue: 2, queue_wait_ms: 200, adaptive: null, ...options }, 'the backend', this.cells, () => this.clock.now())
  }

  /** Settled as far as it can be without time. */
  async ask(ask = new Ask()): Promise<Ask> {
    const next = (): Promise<Answer> => {
      ask.sent = true
      return new Promise((resolve, reject) => {
        ask.reply = resolve
        ask.fail = reject
      })
    }
    const run = async (): Promise<Answer> => this.limiter.run(ask.x, ask.leg, next, (ms, due) => this.clock.after(ms, due))
    run().then(
      (answer) => {
        ask.outcome = String(answer.status)
        ask.answer = answer
      },
      (error: WeirError) => (ask.outcome = `${error.code}${error instanceof Refused ? ` ${error.retryAfter}` : ''}`),
    )
    await this.clock.tick(0)
    return ask
  }

  async answer(ask: Ask, body: Body = null, status = 200): Promise<void> {
    ask.reply(new Answer(status, [], body))
    await this.clock.tick(0)
  }

  get counts(): readonly number[] {
    return [this.limiter.inFlight, this.limiter.queued]
  }
}

describe('places', () => {
  test('two pass, the third and fourth wait in order, the fifth is refused', async () => {
    const bench = new Bench()
    const [a, b, c, d, e] = [await bench.ask(), await bench.ask(), await bench.ask(), await bench.ask(), await bench.ask()]
    expect([a.sent, b.sent, c.sent, d.sent, e.sent]).toEqual([true, true, false, false, false])
    expect([e.outcome, bench.cells.full.value, bench.cells.queued.value]).toEqual(['OVERLOADED 1', 1, 2])
    await bench.answer(b)
    expect([b.outcome, c.sent, d.sent, bench.cells.queued.value]).toEqual(['200', true, false, 1])
    await bench.answer(a)
    expect(d.sent).toBe(true)
    await bench.answer(c)
    await bench.answer(d)
    expect([bench.counts, bench.clock.pending, bench.cells.queued.value]).toEqual([[0, 0], 0, 0])
  })

  test.each<[string, (flow: HandFlow, answer: Answer, leg: Leg) => void]>([
    ['its end', (flow) => flow.end()],
    ['its failure', (flow) => flow.fail(new WeirError('RESET'))],
    ['its reader who gives up', (_flow, answer) => (answer.body as HandFlow).cancel()],
    ['its leg that is cancelled', (_flow, _answer, leg) => leg.cancel(new WeirError('TOTAL_TIMEOUT'))],
  ])('a body holds its place until %s, and gives it back once', async (_name, end) => {
    const bench = new Bench({ in_flight: 1 })
    const ask = await bench.ask()
    const next = await bench.ask()
    const flow = new HandFlow(5)
    await bench.answer(ask, flow)
    expect([ask.outcome, next.sent]).toEqual(['200', false])
    const body = ask.answer!.body as HandFlow
    expect(body.length).toBe(5)
    body.start({ data: () => true, end: () => undefined, fail: () => undefined })
    flow.push('hello')
    expect(next.sent).toBe(false)
    end(flow, ask.answer!, ask.leg)
    await bench.clock.tick(0)
    expect([next.sent, bench.counts]).toEqual([true, [1, 0]])
    // However often it ends.
    body.cancel()
    ask.leg.cancel(new WeirError('CALLER_LEFT'))
    expect(bench.counts).toEqual([1, 0])
  })

  test('a body that nobody reads gives its place back with its leg', async () => {
    const bench = new Bench({ in_flight: 1 })
    const ask = await bench.ask()
    await bench.answer(ask, new HandFlow())
    expect(bench.counts).toEqual([1, 0])
    ask.leg.cancel(new WeirError('CALLER_LEFT'))
    expect(bench.counts).toEqual([0, 0])
  })

  test('a failed attempt gives its place back', async () => {
    const bench = new Bench({ in_flight: 1 })
    const ask = await bench.ask()
    const next = await bench.ask()
    ask.fail(new WeirError('RESET'))
    await bench.clock.tick(0)
    expect([ask.outcome, next.sent]).toEqual(['RESET', true])
  })

  test('a send that throws gives its place back', () => {
    const { limiter, clock } = new Bench({ in_flight: 1 })
    const after = (ms: number, run: () => void) => clock.after(ms, run)
    expect(() => limiter.run({ waited: 0 }, new Leg(nobody), () => { throw new Error('broken') }, after)).toThrow('broken')
    expect(limiter.inFlight).toBe(0)
  })

  test('thousands that are answered at once one after another need no stack', async () => {
    const bench = new Bench({ in_flight: 1, queue: 20_000 })
    const first = await bench.ask()
    const after = (ms: number, run: () => void) => bench.clock.after(ms, run)
    const all = Array.from({ length: 20_000 }, () => bench.limiter.run({ waited: 0 }, new Leg(nobody), () => new Answer(204, [], null), after))
    await bench.answer(first)
    expect((await Promise.all(all)).every(({ status }) => status === 204)).toBe(true)
    expect([bench.counts, bench.clock.pending]).toEqual([[0, 0], 0])
  })
})

describe('waiting', () => {
  test('ends after queue_wait, is counted, and counts as waiting for the backend', async () => {
    const bench = new Bench()
    await bench.ask()
    await bench.ask()
    const late = await bench.ask()
    await bench.clock.tick(199)
    expect(late.outcome).toBe('pending')
    await bench.clock.tick(1)
    expect([late.outcome, late.sent, late.x.waited, bench.cells.late.value, bench.counts]).toEqual(['OVERLOADED 1', false, 200, 1, [2, 0]])
  })

  test('whoever gets a place has waited as long as it did', async () => {
    const bench = new Bench({ in_flight: 1 })
    const first = await bench.ask()
    const second = await bench.ask()
    await bench.clock.tick(150)
    await bench.answer(first)
    await bench.answer(second)
    expect([first.x.waited, second.x.waited, second.outcome, bench.clock.pending]).toEqual([0, 150, '200', 0])
  })

  test('ends at once with its leg: a caller that leaves, a deadline', async () => {
    const bench = new Bench({ in_flight: 1 })
    await bench.ask()
    const [left, third] = [await bench.ask(), await bench.ask()]
    left.leg.cancel(new WeirError('CALLER_LEFT'))
    third.leg.cancel(new WeirError('TOTAL_TIMEOUT'))
    await bench.clock.tick(0)
    expect([left.outcome, third.outcome, left.sent, bench.counts, bench.clock.pending]).toEqual(['CALLER_LEFT', 'TOTAL_TIMEOUT', false, [1, 0], 0])
    expect([bench.cells.full.value, bench.cells.late.value]).toEqual([0, 0])
  })

  test('whose deadline has passed gets no place, and keeps nobody from one', async () => {
    const bench = new Bench({ in_flight: 1 })
    const first = await bench.ask()
    const expired = new Ask()
    expired.leg.deadline = 100
    await bench.ask(expired)
    await bench.clock.tick(100)
    await bench.answer(first)
    const third = await bench.ask()
    expect([expired.sent, third.sent, bench.counts]).toEqual([false, false, [0, 2]])
    expired.leg.cancel(new WeirError('TOTAL_TIMEOUT'))
    await bench.clock.tick(0)
    expect([expired.outcome, expired.sent, third.sent, bench.counts]).toEqual(['TOTAL_TIMEOUT', false, true, [1, 0]])
  })

  test('a leg that is cancelled already does not wait', async () => {
    const bench = new Bench({ in_flight: 1 })
    await bench.ask()
    const ask = new Ask()
    ask.leg.cancel(new WeirError('CALLER_LEFT'))
    await bench.ask(ask)
    expect([ask.outcome, bench.counts]).toEqual(['CALLER_LEFT', [1, 0]])
  })

  test('a queue of 0 refuses at once', async () => {
    const bench = new Bench({ in_flight: 1, queue: 0 })
    await bench.ask()
    expect((await bench.ask()).outcome).toBe('OVERLOADED 1')
  })
})

describe('adaptive', () => {
  /** So many requests are answered after so long, all at once. */
  async function round(bench: Bench, count: number, ms: number, status = 200): Promise<void> {
    const asks = await Promise.all(Array.from({ length: count }, () => bench.ask()))
    await bench.clock.tick(ms)
    for (const ask of asks) if (ask.sent) await bench.answer(ask, null, status)
  }

  test('begins at 20 and grows while latency stays; the gauge says so, and says nothing when closed', async () => {
    const bench = new Bench({ in_flight: 100, queue: 0, adaptive: { min: 3 } })
    expect([bench.limiter.limit, bench.cells.limit.value]).toEqual([20, 20])
    await round(bench, 20, 600)
    // 20 + √20 / 2
    expect([bench.limiter.limit, bench.cells.limit.value]).toEqual([22, 22])
    bench.limiter.close()
    expect(bench.cells.limit.value).toBe(0)
  })

  test('who waits gets a place when the limit grows, though nobody has left', async () => {
    const bench = new Bench({ in_flight: 100, queue: 5, queue_wait_ms: 10_000, adaptive: { min: 3 } })
    const asks = await Promise.all(Array.from({ length: 21 }, () => bench.ask()))
    const last = asks.pop()!
    await bench.clock.tick(600)
    for (const ask of asks) {
      expect(last.sent).toBe(false)
      await bench.answer(ask, new HandFlow())
    }
    expect([last.sent, bench.counts]).toEqual([true, [21, 0]])
  })

  test('503 shrinks it; 500 says nothing', async () => {
    const bench = new Bench({ in_flight: 100, queue: 0, adaptive: { min: 3 } })
    await round(bench, 20, 600, 500)
    expect(bench.limiter.limit).toBe(20)
    await round(bench, 20, 600, 503)
    expect(bench.limiter.limit).toBe(16)
  })

  test('what was refused on this side shrinks nothing', async () => {
    const bench = new Bench({ in_flight: 100, queue: 0, adaptive: { min: 3 } })
    for (let i = 0; i < 40; i++) {
      const ask = await bench.ask()
      await bench.clock.tick(50)
      ask.fail(new Refused('throttled'))
      await bench.clock.tick(0)
    }
    expect(bench.limiter.limit).toBe(20)
  })
})

test('whatever happens, places and the queue are what a naive count says, and nothing is left', async () => {
  const step = fc.oneof(
    fc.constant({ do: 'ask' as const, which: 0 }),
    fc.record({ do: fc.constantFrom('head', 'answer', 'fail', 'cancel', 'end' as const), which: fc.nat(30) }),
    fc.record({ do: fc.constant('tick' as const), which: fc.nat(300) }),
  )
  await fc.assert(
    fc.asyncProperty(fc.integer({ min: 1, max: 3 }), fc.integer({ min: 0, max: 3 }), fc.array(step, { maxLength: 60 }), async (in_flight, queue, steps) => {
      const bench = new Bench({ in_flight, queue })
      const asks: Ask[] = []
      const flows = new Map<Ask, HandFlow>()
      for (const { do: what, which } of steps) {
        const ask = asks[which % Math.max(1, asks.length)]
        if (what === 'ask') asks.push(await bench.ask())
        else if (what === 'tick') await bench.clock.tick(which)
        else if (ask === undefined) continue
        else if (what === 'cancel') ask.leg.cancel(new WeirError('CALLER_LEFT'))
        else if (what === 'end') {
          if (flows.get(ask)?.cancelled === false) (ask.answer?.body as HandFlow | undefined)?.cancel()
        } else if (ask.sent && ask.outcome === 'pending') {
          if (what === 'head') await bench.answer(ask, flows.set(ask, new HandFlow()).get(ask)!)
          else if (what === 'answer') await bench.answer(ask)
          else ask.fail(new WeirError('RESET'))
        }
        await bench.clock.tick(0)
        expect(bench.limiter.inFlight).toBeLessThanOrEqual(in_flight)
        expect(bench.limiter.queued).toBeLessThanOrEqual(queue)
        if (bench.limiter.queued > 0) expect(bench.limiter.inFlight).toBe(in_flight)
        expect(bench.clock.pending).toBe(bench.limiter.queued)
        expect(bench.cells.queued.value).toBe(bench.limiter.queued)
      }
      for (const ask of asks) {
        ask.leg.cancel(new WeirError('CALLER_LEFT'))
        if (ask.sent && ask.outcome === 'pending') ask.fail(ask.leg.cancelled!)
        await bench.clock.tick(0)
      }
      expect([...bench.counts, bench.clock.pending]).toEqual([0, 0, 0])
    }),
    { numRuns: 60 },
  )
})
