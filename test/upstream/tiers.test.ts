/** Who is asked: priority levels, zones, a second choice, slow start, panic. Expected values by the rules' own words, on endpoints without sockets. */
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { HttpBackendConfig } from '../../config/config.ts'
import type { Verdict } from '../../gateway/upstream/ejection.ts'
import type { Endpoint } from '../../gateway/upstream/endpoint.ts'
import { tier } from '../../gateway/upstream/tiers.ts'
import { bench, EJECTION } from './rosters.ts'

const asked = (made: ReturnType<typeof bench>, tried: object[] | null = null): number[] => [...new Set(Array.from({ length: 200 }, () => made.pick(tried)))].sort((a, b) => a - b)

describe('priorities', () => {
  it('the lowest level that has an available endpoint', () => {
    const made = bench([{ priority: 1 }, { priority: 0 }, { priority: 0 }, { priority: 7 }])
    expect(asked(made)).toEqual([1, 2])
    made.roster.checked(made.all[1]!, false)
    expect(asked(made)).toEqual([2])
    made.roster.checked(made.all[2]!, false)
    expect(asked(made)).toEqual([0])
    made.roster.checked(made.all[0]!, false)
    expect(asked(made)).toEqual([3])
    made.roster.checked(made.all[2]!, true)
    expect(asked(made)).toEqual([2])
  })

  it('an ejected endpoint of a level that is not asked gets no probe', () => {
    const made = bench([{ priority: 1 }, { priority: 0 }, { priority: 0 }], { ejection: EJECTION })
    made.all[0]!.gate!.eject('consecutive', made.clock.now())
    made.all[1]!.gate!.eject('consecutive', made.clock.now())
    made.roster.refresh(made.clock.now())
    expect(asked(made)).toEqual([2])
    made.clock.advance(2000)
    expect(made.pick()).toBe(1)
    made.all[1]!.gate!.begin()
    expect(asked(made)).toEqual([2])
  })
})

describe('zones', () => {
  const zoned = [{ zone: 'a' }, { zone: 'a' }, { zone: 'a' }, { zone: 'b' }, { zone: '' }]

  it('the own one first, everybody when fewer than half of it are available', () => {
    const made = bench(zoned, {}, 'a')
    expect(asked(made)).toEqual([0, 1, 2])
    made.roster.checked(made.all[0]!, false)
    expect(asked(made)).toEqual([1, 2])
    made.roster.checked(made.all[1]!, false)
    expect(asked(made)).toEqual([2, 3, 4])
    made.roster.checked(made.all[0]!, true)
    expect(asked(made)).toEqual([0, 2])
  })

  it('without a zone, or with one that nobody is in, they mean nothing', () => {
    expect(asked(bench(zoned))).toEqual([0, 1, 2, 3, 4])
    expect(asked(bench(zoned, {}, 'c'))).toEqual([0, 1, 2, 3, 4])
  })

  it('never before priority: the own zone of a worse level waits', () => {
    expect(asked(bench([{ zone: 'a', priority: 1 }, { zone: 'b' }], {}, 'a'))).toEqual([1])
  })

  it('whoever is chosen is available, of the best level, and somebody is whenever anybody is available', () => {
    const one = fc.record({ zone: fc.constantFrom('', 'a', 'b'), priority: fc.nat(2), up: fc.boolean() })
    fc.assert(
      fc.property(fc.array(one, { minLength: 1, maxLength: 8 }), (said) => {
        const all = said.map(({ zone, priority }) => ({ config: { zone, priority } }) as Endpoint)
        const up = all.filter((_, i) => said[i]!.up)
        const chosen = tier(up, all, 'a')
        const best = Math.min(...up.map(({ config }) => config.priority))
        expect(chosen.length > 0).toBe(up.length > 0)
        expect(chosen.every((endpoint) => up.includes(endpoint) && endpoint.config.priority === best)).toBe(true)
      }),
    )
  })
})

describe('a second choice', () => {
  it('those that were asked are avoided while there is another, of a worse level if need be', () => {
    const made = bench([{}, {}, { priority: 1 }])
    expect(asked(made, [made.all[0]!])).toEqual([1])
    expect(asked(made, [made.all[0]!, made.all[1]!])).toEqual([2])
    expect(asked(made, [...made.all])).toEqual([0, 1])
    made.roster.checked(made.all[1]!, false)
    made.roster.checked(made.all[2]!, false)
    expect(asked(made, [made.all[0]!])).toEqual([0])
  })

  it('one without a free connection is passed over, and with none there is OVERLOADED', () => {
    const made = bench([{}, {}, { priority: 1 }])
    made.all[0]!.pool.hasRoom = false
    expect(asked(made)).toEqual([1])
    made.all[1]!.pool.hasRoom = false
    expect(asked(made)).toEqual([2])
    made.all[2]!.pool.hasRoom = false
    expect(asked(made)).toEqual([-1])
    expect(made.roster.refusal()).toMatchObject({ code: 'OVERLOADED', retryAfter: 1 })
  })
})

describe('panic', () => {
  it('few enough are left: everybody is asked, unhealthy ones too', () => {
    const made = bench([{}, {}, {}, {}], { panic: 0.5 })
    made.roster.checked(made.all[0]!, false)
    expect(asked(made)).toEqual([1, 2, 3])
    made.roster.checked(made.all[1]!, false)
    expect(asked(made)).toEqual([0, 1, 2, 3])
  })

  it('0: nobody who is unhealthy is asked, and the refusal says when the next check is', () => {
    const made = bench([{}], { health: { check: 'tcp', path: '', interval_ms: 5000, timeout_ms: 1000, unhealthy: 1, healthy: 1 } })
    made.roster.checked(made.all[0]!, false)
    expect([made.pick(), made.roster.available()]).toEqual([-1, false])
    expect(made.roster.refusal()).toMatchObject({ code: 'NO_ENDPOINT', retryAfter: 5 })
  })
})

describe('slow start', () => {
  it('from a tenth of the weight to all of it in a straight line; not for those that were there from the beginning', () => {
    const made = bench([{ weight: 4 }, { weight: 4 }], { slow_start_ms: 10_000 })
    expect(made.all.map(({ share }) => share)).toEqual([4, 4])
    made.roster.checked(made.all[1]!, false)
    made.roster.checked(made.all[1]!, true)
    for (const [after, part] of [[0, 0.1], [5000, 0.55], [9900, 0.991], [10_000, 1]] as const) {
      made.clock.advance(after - (made.clock.now() - made.all[1]!.since))
      made.pick()
      // Steps of a fiftieth.
      expect(Math.abs(made.all[1]!.share - 4 * part)).toBeLessThan((4 * 0.9) / 50 + 1e-9)
    }
    expect(made.all[1]!.share).toBe(4)
  })

  it('an endpoint that comes back gets a tenth at first', () => {
    const made = bench([{}, {}], { slow_start_ms: 10_000 })
    made.roster.checked(made.all[1]!, false)
    made.roster.checked(made.all[1]!, true)
    const share = made.shares(11_000)[1]!
    expect(Math.abs(share - 1 / 11)).toBeLessThan(0.01)
  })

  it('after an ejection too', () => {
    const made = bench([{}, {}], { slow_start_ms: 10_000, ejection: EJECTION })
    while (made.all[1]!.gate!.state === 'in') made.request((at) => (at === 1 ? 'failed' : 'ok'))
    made.clock.advance(1000)
    expect(made.request(() => 'ok')).toBe(1)
    expect(made.all[1]!.share).toBeCloseTo(0.1, 9)
  })

  it('a first check that is good is no comeback', () => {
    const made = bench([{}, {}], { slow_start_ms: 10_000 })
    made.roster.checked(made.all[0]!, true)
    expect(made.all[0]!.share).toBe(1)
  })
})

describe('checks and ejection together', () => {
  it('a good check ends an ejection', () => {
    const made = bench([{}, {}], { ejection: EJECTION })
    while (made.all[0]!.gate!.state === 'in') made.request((at) => (at === 0 ? 'failed' : 'ok'))
    made.roster.checked(made.all[0]!, true)
    expect(asked(made)).toEqual([0, 1])
  })

  it('an unhealthy endpoint gets no probe', () => {
    const made = bench([{}, {}], { ejection: EJECTION })
    while (made.all[0]!.gate!.state === 'in') made.request((at) => (at === 0 ? 'failed' : 'ok'))
    made.roster.checked(made.all[0]!, false)
    made.clock.advance(5000)
    expect(asked(made)).toEqual([1])
  })
})

describe('for any sequence of checks, failures, waits and replaced endpoints', () => {
  const endpoint = fc.record({ weight: fc.integer({ min: 1, max: 5 }), zone: fc.constantFrom('', 'a', 'b'), priority: fc.nat(1) })
  const step = fc.oneof(
    { weight: 4, arbitrary: fc.record({ do: fc.constant('request' as const), verdict: fc.constantFrom<Verdict>('ok', 'failed', 'failed', 'none') }) },
    { weight: 2, arbitrary: fc.record({ do: fc.constant('check' as const), which: fc.nat(), healthy: fc.boolean() }) },
    { weight: 1, arbitrary: fc.record({ do: fc.constant('wait' as const), ms: fc.integer({ min: 1, max: 3000 }) }) },
    { weight: 1, arbitrary: fc.record({ do: fc.constant('replace' as const), keep: fc.nat() }) },
  )
  const balance = fc.constantFrom<HttpBackendConfig['balance']>('least_request', 'random', 'round_robin', 'hash')

  it('nobody who is unhealthy, gone or out is asked; somebody is whenever anybody may be', () => {
    fc.assert(
      fc.property(fc.array(endpoint, { minLength: 2, maxLength: 6 }), balance, fc.constantFrom(0.5, 1), fc.array(step, { maxLength: 100, size: 'max' }), (said, policy, max_share, script) => {
        const made = bench(said, { balance: policy, ejection: { ...EJECTION, max_share }, slow_start_ms: 500 }, 'a')
        const { roster, clock, all } = made
        for (const one of script) {
          if (one.do === 'wait') clock.advance(one.ms)
          else if (one.do === 'check') roster.checked(all[one.which % all.length]!, one.healthy)
          else if (one.do === 'replace') roster.replace(all.filter((_, i) => i !== one.keep % all.length))
          else {
            const may = roster.available()
            const at = made.pick()
            expect(at >= 0).toBe(may)
            const up = roster.all.filter(({ healthy, gate }) => healthy !== false && gate!.state === 'in')
            if (up.length > 0) expect(at).toBeGreaterThanOrEqual(0)
            if (at < 0) continue
            const chosen = all[at]!
            expect(roster.all).toContain(chosen)
            expect([chosen.healthy === false, chosen.gate!.state === 'in' || chosen.gate!.state === 'due']).toEqual([false, true])
            if (chosen.gate!.state === 'in') expect(chosen.config.priority).toBe(Math.min(...up.map(({ config }) => config.priority)))
            roster.outcome(chosen, one.verdict, chosen.gate!.begin(), clock.now())
          }
        }
      }),
    )
  })
})
