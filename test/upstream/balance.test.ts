/** Which endpoint is chosen: distributions against arithmetic (chi-square), consistent hashing, and what attracts load and what does not. */
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { HttpBackendConfig } from '../../config/config.ts'
import type { Outgoing } from '../../gateway/exchange.ts'
import { type Balancer, balancer } from '../../gateway/upstream/balance.ts'
import type { Endpoint } from '../../gateway/upstream/endpoint.ts'
import { PeakEwma, Usual } from '../../gateway/upstream/latency.ts'
import { random } from '../conformance/wire/fuzz.ts'

interface Fake {
  inFlight: number
  share: number
  scale: number
  turn: number
  identity: string
  latency: PeakEwma | null
}

const endpoints = (...shares: number[]): (Endpoint & Fake)[] => shares.map((share, i) => ({ inFlight: 0, share, scale: 1, turn: 0, identity: `http://10.0.0.${i}:80`, latency: null }) as unknown as Endpoint & Fake)

type Policy = HttpBackendConfig['balance']
const keyed = (key: string | undefined): Outgoing => ({ target: key }) as unknown as Outgoing

function arranged(policy: Policy, all: readonly Endpoint[], seed = 1, now = (): number => 0): Balancer {
  const made = balancer(policy, { random: random(seed), now, key: (x) => x.target as string | undefined })
  made.arrange(all)
  return made
}

function counts(made: Balancer, all: readonly Endpoint[], times: number, x = keyed(undefined)): number[] {
  const found = all.map(() => 0)
  for (let i = 0; i < times; i++) found[all.indexOf(made.choose(x))]!++
  return found
}

/** χ² at p = 0.001 by degrees of freedom (NIST/SEMATECH e-Handbook 1.3.6.7.4). */
const CRITICAL = [Number.NaN, 10.828, 13.816, 16.266, 18.467, 20.515]

function expectShares(found: readonly number[], shares: readonly number[]): void {
  const total = found.reduce((a, b) => a + b)
  const weight = shares.reduce((a, b) => a + b)
  const squares = found.map((count, i) => (count - (total * shares[i]!) / weight) ** 2 / ((total * shares[i]!) / weight))
  expect(squares.reduce((a, b) => a + b), `${found} for ${shares}`).toBeLessThan(CRITICAL[shares.length - 1]!)
}

describe('shares without load', () => {
  it.each<[Policy, number[]]>([
    ['random', [1, 1, 1, 1]],
    ['random', [1, 2, 7]],
    ['least_request', [1, 1, 1]],
    ['least_request', [1, 2, 7]],
    ['least_request', [1, 9]],
    ['hash', [5, 3, 2]],
  ])('%s: %j', (policy, shares) => {
    const all = endpoints(...shares)
    expectShares(counts(arranged(policy, all), all, 60_000), shares)
  })

  it('the statistic sees a share that is off by a twentieth', () => {
    expect(() => expectShares([21_000, 19_500, 19_500], [1, 1, 1])).toThrow()
  })

  it('random is never beyond the end', () => {
    for (const shares of [[1, 1, 1], [1, 2, 3]]) {
      const all = endpoints(...shares)
      const made = balancer('random', { random: () => 0.999_999_999_999_999_9, now: () => 0, key: () => undefined })
      made.arrange(all)
      expect(made.choose(keyed(undefined))).toBe(all[2])
    }
  })

  it('round_robin goes round', () => {
    const all = endpoints(1, 1, 1)
    const made = arranged('round_robin', all)
    expect([1, 2, 3, 4].map(() => all.indexOf(made.choose(keyed(undefined)) as Endpoint & Fake))).toEqual([0, 1, 2, 0])
  })

  it("round_robin by weight is nginx's smooth sequence: 5, 1, 1 is aabacaa", () => {
    const all = endpoints(5, 1, 1)
    const made = arranged('round_robin', all)
    const names = Array.from({ length: 14 }, () => 'abc'[all.indexOf(made.choose(keyed(undefined)) as Endpoint & Fake)])
    expect(names.join('')).toBe('aabacaaaabacaa')
  })
})

describe('least_request', () => {
  it('two different ones are compared, the less busy wins', () => {
    const all = endpoints(1, 1, 1)
    for (const [i, busy] of [5, 1, 9].entries()) all[i]!.inFlight = busy
    // Every pair is drawn with probability 1/3: (5,1) → 1, (5,9) → 5, (1,9) → 1; the busiest never.
    const [five, one, nine] = counts(arranged('least_request', all), all, 30_000)
    expect(nine).toBe(0)
    expectShares([five!, one!], [1, 2])
  })

  it('by weight: four in flight at weight 4 are as busy as one at weight 1', () => {
    const all = endpoints(4, 1)
    all[0]!.inFlight = 4
    all[1]!.inFlight = 1
    expectShares(counts(arranged('least_request', all), all, 20_000), [4, 1])
    all[0]!.inFlight = 5
    expect(counts(arranged('least_request', all), all, 1000)).toEqual([0, 1000])
  })

  it('the second of the two is drawn by weight from the others', () => {
    for (const [shares, busy] of [[[7, 1, 2], 0], [[1, 7, 2], 1], [[1, 2, 7], 2]] as const) {
      const all = endpoints(...shares)
      all[busy]!.inFlight = 1000
      const found = counts(arranged('least_request', all), all, 30_000)
      expect(found[busy]).toBe(0)
      // Drawn first with their share, or second to the busy one in the ratio of theirs: 1 to 2 either way.
      expectShares(found.filter((_, i) => i !== busy), [1, 2])
    }
  })

  it('with requests that stay, the numbers under way follow the weights', () => {
    const all = endpoints(1, 2, 5)
    const made = arranged('least_request', all)
    for (let i = 0; i < 8000; i++) (made.choose(keyed(undefined)) as Endpoint & Fake).inFlight++
    for (const [i, share] of [1000, 2000, 5000].entries()) expect(Math.abs(all[i]!.inFlight - share)).toBeLessThan(40)
  })

  it('a second choice is the least busy of those that are left, any of equals', () => {
    const all = endpoints(1, 1, 1)
    const made = arranged('least_request', all)
    const rest = all.slice(1)
    const found = all.map(() => 0)
    for (let i = 0; i < 2000; i++) found[all.indexOf(made.among(rest, keyed(undefined)) as Endpoint & Fake)]!++
    expect(found[0]).toBe(0)
    expectShares(found.slice(1), [1, 1])
    all[1]!.inFlight = 1
    expect(made.among(rest, keyed(undefined))).toBe(all[2])
  })
})

describe('hash', () => {
  const chosen = (all: readonly Endpoint[], keys: readonly string[]): Endpoint[] => {
    const made = arranged('hash', all)
    return keys.map((key) => made.choose(keyed(key)))
  }
  const keys = Array.from({ length: 20_000 }, (_, i) => `user-${i}`)

  it.each([[[1, 1, 1, 1]], [[1, 2, 5]]])('keys are spread by weight: %j', (shares) => {
    const all = endpoints(...shares)
    const found = chosen(all, keys)
    expectShares(all.map((one) => found.filter((endpoint) => endpoint === one).length), shares)
  })

  it('the same key goes to the same endpoint, whatever the order they are written in', () => {
    const all = endpoints(1, 1, 3)
    expect(chosen(all.toReversed(), keys)).toEqual(chosen(all, keys))
  })

  it('one less: its keys move, and no others', () => {
    const all = endpoints(1, 1, 1, 1, 1)
    const before = chosen(all, keys)
    const after = chosen(all.slice(0, 4), keys)
    for (const [i, endpoint] of before.entries()) if (endpoint !== all[4]) expect(after[i]).toBe(endpoint)
  })

  it('one more: one key in n moves, all of them to it', () => {
    const all = endpoints(1, 1, 1, 1, 1)
    const before = chosen(all.slice(0, 4), keys)
    const after = chosen(all, keys)
    const moved = after.filter((endpoint, i) => endpoint !== before[i])
    expect(moved.every((endpoint) => endpoint === all[4])).toBe(true)
    expectShares([moved.length, keys.length - moved.length], [1, 4])
  })

  it('a hot key fills its endpoint to the bound and goes on to the next', () => {
    const all = endpoints(1, 1, 1, 1)
    const made = arranged('hash', all)
    const home = made.choose(keyed('hot')) as Endpoint & Fake
    for (let i = 0; i < 100; i++) (made.choose(keyed('hot')) as Endpoint & Fake).inFlight++
    // ⌈1.25 × 100 / 4⌉
    expect(home.inFlight).toBe(32)
    expect(Math.max(...all.map(({ inFlight }) => inFlight))).toBe(32)
  })

  it('nobody is above 1.25 times his share, ever', () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 1, max: 9 }), { minLength: 2, maxLength: 8 }), fc.array(fc.tuple(fc.integer({ min: 0, max: 5 }), fc.boolean()), { maxLength: 200, size: 'max' }), (shares, steps) => {
        const all = endpoints(...shares)
        const made = arranged('hash', all)
        const weight = shares.reduce((a, b) => a + b)
        for (const [key, leaves] of steps) {
          const busy = all.find(({ inFlight }) => inFlight > 0)
          if (leaves && busy !== undefined) busy.inFlight--
          const to = made.choose(keyed(`k${key}`)) as Endpoint & Fake
          to.inFlight++
          const total = all.reduce((sum, { inFlight }) => sum + inFlight, 0)
          if (to.inFlight > Math.ceil((1.25 * total * to.share) / weight)) return false
        }
        return true
      }),
    )
  })

  it('among others than the first choice it is still the key that decides', () => {
    const all = endpoints(1, 1, 1)
    const made = arranged('hash', all)
    for (const key of keys.slice(0, 200)) {
      const rest = all.filter((one) => one !== made.choose(keyed(key)))
      expect(made.among(rest, keyed(key))).toBe(arranged('hash', rest).choose(keyed(key)))
    }
  })
})

describe('peak_ewma', () => {
  it('a rise counts at once, a fall with time: after ten seconds 1/e of it is left', () => {
    const estimate = new PeakEwma(new Usual())
    expect(estimate.at(0)).toBe(0)
    estimate.answered(100, 0)
    expect(estimate.at(0)).toBe(100)
    expect(estimate.at(10_000)).toBeCloseTo(100 / Math.E, 9)
    estimate.answered(20, 10_000)
    expect(estimate.at(10_000)).toBeCloseTo(100 / Math.E + 20 * (1 - 1 / Math.E), 9)
    estimate.answered(300, 10_001)
    expect(estimate.at(10_001)).toBe(300)
  })

  it('an endpoint that is new is asked at once; until it answers, what it has counts as the usual time', () => {
    const usual = new Usual()
    const [known, fresh] = [new PeakEwma(usual), new PeakEwma(usual)]
    expect([fresh!.cost(0, 0), fresh!.cost(2, 0)]).toEqual([0, 60])
    known!.answered(400, 0)
    expect([known!.cost(0, 0), known!.cost(3, 0)]).toEqual([400, 1600])
    expect([fresh!.cost(0, 9000), fresh!.cost(1, 9000)]).toEqual([0, 400])
  })

  it('a failure counts as ten times the usual time, or as what it took', () => {
    const usual = new Usual()
    const [good, fast, slow] = [new PeakEwma(usual), new PeakEwma(usual), new PeakEwma(usual)]
    good!.answered(20, 0)
    fast!.failed(1, 0)
    slow!.failed(5000, 0)
    expect([fast!.at(0), slow!.at(0), good!.at(0)]).toEqual([200, 5000, 20])
  })

  /** 100 requests a second for a minute against three endpoints, the last of which behaves as told. @returns its share */
  function shareOfLast(answersIn: number, good: boolean): number {
    let now = 0
    const all = endpoints(1, 1, 1)
    const usual = new Usual()
    for (const one of all) one.latency = new PeakEwma(usual)
    const made = arranged('peak_ewma', all, 7, () => now)
    const ends: { at: number; endpoint: Endpoint & Fake }[] = []
    let last = 0
    for (let i = 0; i < 6000; i++) {
      now = i * 10
      for (const end of ends.splice(0, ends.findLastIndex(({ at }) => at <= now) + 1)) {
        end.endpoint.inFlight--
        if (end.endpoint === all[2] && !good) end.endpoint.latency!.failed(answersIn, end.at)
        else end.endpoint.latency!.answered(end.endpoint === all[2] ? answersIn : 20, end.at)
      }
      const to = made.choose(keyed(undefined)) as Endpoint & Fake
      to.inFlight++
      if (to === all[2]) last++
      ends.push({ at: now + (to === all[2] ? answersIn : 20), endpoint: to })
      ends.sort((a, b) => a.at - b.at)
    }
    return last / 6000
  }

  it('a fast endpoint that answers well gets most of the load', () => {
    expect(shareOfLast(1, true)).toBeGreaterThan(0.6)
  })

  it('one that fails fast is no black hole: it gets next to nothing', () => {
    expect(shareOfLast(1, false)).toBeLessThan(0.01)
  })

  it('a slow one gets little', () => {
    expect(shareOfLast(400, true)).toBeLessThan(0.1)
  })
})
