/** The adaptive limit in front of simulated servers: what it should find is their number of places, by construction. */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { Gradient } from '../../gateway/stats/gradient.ts'
import { exponential, fixed, lognormal, type Model, simulate } from './queue_model.ts'

const base: Model = { places: 20, service: fixed(100), rate: 400, seconds: 200, min: 3, max: 1000, seed: 1 }
const median = (values: readonly number[]): number => values.toSorted((a, b) => a - b)[values.length >> 1]!
const after = (limits: readonly number[], second: number): readonly number[] => limits.slice(second)

describe('finds the knee', () => {
  /** Mean of the service in units of its median, to ask for the same share of what the server can do. */
  const services: readonly [string, Model['service'], number][] = [
    ['constant', fixed(100), 1],
    ['exponential', exponential(100), 1],
    ['lognormal', lognormal(100), 1.65],
  ]
  test.each(services)('%s service times: within a factor of 2, whatever the pressure', (_name, service, mean) => {
    const cases = fc.record({ places: fc.constantFrom(6, 10, 30, 60), pressure: fc.double({ min: 1.5, max: 5, noNaN: true }), seed: fc.nat(1_000_000) })
    fc.assert(
      fc.property(cases, ({ places, pressure, seed }) => {
        const limits = simulate({ ...base, places, service, rate: (pressure * places * 10) / mean, seconds: 240, min: 1, seed })
        const settled = median(after(limits, 120))
        expect(settled, JSON.stringify({ places, pressure, seed, settled })).toBeGreaterThanOrEqual(places / 2)
        expect(settled, JSON.stringify({ places, pressure, seed, settled })).toBeLessThanOrEqual(places * 2)
      }),
      { numRuns: 12, seed: 20 },
    )
  })

  test('a server that is not asked for more than it can do is not limited', () => {
    // 14 of 20 places are busy on average; Erlang's loss with 20 places for 14 is 3 %.
    const limits = simulate({ ...base, rate: 140, service: exponential(100) })
    expect(median(after(limits, 60))).toBeGreaterThanOrEqual(20)
  })
})

describe('what is no queue', () => {
  test('one slow minute: the limit does not sink to its minimum, and is back after it', () => {
    const slow: Model['service'] = (random, now) => (now > 120_000 && now < 180_000 ? 1000 : 100) * (0.8 + 0.4 * random())
    const limits = simulate({ ...base, service: slow, seconds: 300 })
    expect(Math.min(...limits.slice(120, 180))).toBeGreaterThan(2 * base.min)
    expect(median(after(limits, 240))).toBeGreaterThanOrEqual(10)
    expect(median(after(limits, 240))).toBeLessThanOrEqual(40)
  })

  test('a server without a queue that becomes ten times slower keeps its limit', () => {
    const slow: Model['service'] = (random, now) => (now > 60_000 ? 1000 : 100) * (0.8 + 0.4 * random())
    const limits = simulate({ ...base, places: 1e9, rate: 300, service: slow, max: 100 })
    expect(median(after(limits, 80))).toBeGreaterThanOrEqual(80)
  })
})

describe('failures', () => {
  test('a stall of timeouts shrinks the limit; it recovers after it', () => {
    const stall: Model['service'] = (random, now) => (now > 60_000 && now < 75_000 ? 2500 : 100) * (0.8 + 0.4 * random())
    const limits = simulate({ ...base, service: stall, timeout: 1500, max: 100 })
    const before = median(limits.slice(30, 60))
    expect(Math.min(...limits.slice(60, 85))).toBeLessThan(before)
    expect(median(after(limits, 110))).toBeGreaterThanOrEqual(10)
    expect(median(after(limits, 110))).toBeLessThanOrEqual(40)
  })

  test('twenty failures in a window take a fifth; one in twenty takes nothing', () => {
    const gradient = new Gradient(3, 100, 0)
    for (let i = 0; i < 20; i++) gradient.failed(600, 20)
    expect(gradient.limit).toBe(16)
    const calm = new Gradient(3, 100, 0)
    calm.failed(10, 20)
    for (let i = 1; i < 20; i++) calm.answered(500, 600, 20)
    // 20 + √20 / 2
    expect(calm.limit).toBe(22)
  })
})

describe('windows, by hand', () => {
  /** One window after another, each of twenty requests sent together that take so long. */
  class Hand {
    readonly gradient = new Gradient(1, 1000, 0)
    now = 0

    window(latency: number, inFlight = this.gradient.limit): void {
      const sent = this.now + 600
      this.now = sent + latency
      for (let i = 0; i < 20; i++) this.gradient.answered(sent, this.now, inFlight)
    }

    failures(): void {
      this.now += 600
      for (let i = 0; i < 20; i++) this.gradient.failed(this.now, this.gradient.limit)
    }
  }
  const grown = (limit: number): number => limit + Math.sqrt(limit) / 2
  const third = grown(grown(grown(20)))

  test('grows by half its root while latency stays below 1.2 of the base, then shrinks by the ratio', () => {
    const hand = new Hand()
    hand.window(100)
    hand.window(119)
    expect([hand.gradient.base, hand.gradient.limit]).toEqual([100, Math.floor(grown(grown(20)))])
    hand.window(160)
    const limit = grown(grown(20))
    expect(hand.gradient.limit).toBe(Math.floor((limit * 120) / 160 + Math.sqrt(limit) / 2))
  })

  test('the fourth window under pressure begins a probe at 0.6; the same latency there is the new base, and the limit is given back', () => {
    const hand = new Hand()
    for (const latency of [100, 110, 110, 110]) hand.window(latency)
    expect([hand.gradient.base, hand.gradient.limit]).toEqual([100, Math.floor(third * 0.6)])
    hand.window(110)
    expect([hand.gradient.base, hand.gradient.limit]).toEqual([110, Math.floor(third)])
  })

  test('sooner answers in a probe are the base, and the limit goes on from where it was', () => {
    const hand = new Hand()
    for (const latency of [100, 100, 100, 100, 60]) hand.window(latency)
    expect([hand.gradient.base, hand.gradient.limit]).toEqual([60, Math.floor(third)])
  })

  test('failures in a probe take a fifth of what was before it', () => {
    const hand = new Hand()
    for (let i = 0; i < 4; i++) hand.window(100)
    hand.failures()
    expect(hand.gradient.limit).toBe(Math.floor(third * 0.8))
  })

  test('who uses less than half of the limit changes nothing, and lets the base rise by a fiftieth of the way', () => {
    const hand = new Hand()
    hand.window(100, 9)
    hand.window(200, 9)
    expect([hand.gradient.base, hand.gradient.limit]).toEqual([102, 20])
  })

  test('a window lasts two round trips', () => {
    const hand = new Hand()
    hand.window(1000)
    const before = hand.gradient.limit
    for (let i = 0; i < 30; i++) hand.gradient.answered(hand.now + 900, hand.now + 1999, before)
    expect(hand.gradient.limit).toBe(before)
    hand.gradient.answered(hand.now + 900, hand.now + 2000, before)
    expect(hand.gradient.limit).toBe(Math.floor(grown(grown(20))))
  })

  test('what was sent before the window opened does not count', () => {
    const hand = new Hand()
    hand.window(100)
    const before = hand.gradient.limit
    for (let i = 0; i < 100; i++) hand.gradient.answered(hand.now - 1, hand.now + 700, before)
    expect(hand.gradient.limit).toBe(before)
  })
})

test('the limit stays between its ends, whatever happens', () => {
  const step = fc.record({ ms: fc.double({ min: 0, max: 2000, noNaN: true }), latency: fc.double({ min: 0, max: 5000, noNaN: true }), failed: fc.boolean(), count: fc.integer({ min: 1, max: 40 }) })
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 30 }), fc.integer({ min: 0, max: 100 }), fc.array(step, { maxLength: 200 }), (min, more, steps) => {
      const gradient = new Gradient(min, min + more, 0)
      let now = 0
      for (const { ms, latency, failed, count } of steps) {
        now += ms
        for (let i = 0; i < count; i++) {
          if (failed) gradient.failed(now, gradient.limit)
          else gradient.answered(now - latency, now, gradient.limit)
          expect(gradient.limit).toBeGreaterThanOrEqual(min)
          expect(gradient.limit).toBeLessThanOrEqual(min + more)
        }
      }
    }),
    { numRuns: 50 },
  )
})
