/** Passive ejection: exact windows against a naive model, the state machine against one that keeps every event, and the rules of small sets. */
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { type Code, WeirError } from '../../gateway/errors.ts'
import { Gate, type Verdict, verdictOf, Window } from '../../gateway/upstream/ejection.ts'
import { bench, EJECTION } from './rosters.ts'

const failing = (): Verdict => 'failed'
const fine = (): Verdict => 'ok'

describe('what an attempt says of its endpoint', () => {
  it.each<[Verdict, number, Code | null]>([
    ['ok', 200, null],
    ['ok', 404, null],
    ['limited', 429, null],
    ['failed', 500, null],
    ['failed', 503, 'CALLER_LEFT'],
    ['failed', 0, 'CONNECT_FAILED'],
    ['failed', 0, 'DNS_FAILED'],
    ['failed', 0, 'CONNECT_TIMEOUT'],
    ['failed', 0, 'HEADERS_TIMEOUT'],
    ['failed', 0, 'TRY_TIMEOUT'],
    ['failed', 0, 'TOTAL_TIMEOUT'],
    ['failed', 0, 'BAD_ANSWER'],
    ['failed', 200, 'RESET'],
    ['failed', 200, 'IDLE_TIMEOUT'],
    ['none', 200, 'TOTAL_TIMEOUT'],
    ['none', 0, 'CALLER_LEFT'],
    ['none', 200, 'CALLER_LEFT'],
    ['none', 0, 'REQUEST_TIMEOUT'],
    ['none', 0, 'BAD_FRAMING'],
    ['none', 0, 'OVERLOADED'],
  ])('%s: status %i, %s', (verdict, status, code) => {
    expect(verdictOf(status, code === null ? null : new WeirError(code))).toBe(verdict)
  })
})

describe('the window', () => {
  it('holds exactly what the last ten buckets hold', () => {
    const steps = fc.array(fc.tuple(fc.integer({ min: 0, max: 2500 }), fc.boolean()), { maxLength: 120, size: 'max' })
    fc.assert(
      fc.property(steps, fc.integer({ min: 0, max: 10 ** 9 }), (script, start) => {
        const window = new Window(1000)
        const events: [number, boolean][] = []
        let now = start
        for (const [dt, failed] of script) {
          now += dt / 10
          window.add(now, failed)
          events.push([now, failed])
          const kept = events.filter(([at]) => Math.floor(at / 100) > Math.floor(now / 100) - 10)
          expect([window.requests, window.failures]).toEqual([kept.length, kept.filter(([, one]) => one).length])
        }
        window.advance(now + 1000)
        expect([window.requests, window.failures]).toEqual([0, 0])
      }),
    )
  })
})

describe('rows and rates', () => {
  it('failures in a row, and not before', () => {
    const { request, all, ejections } = bench([{}, {}], { ejection: EJECTION })
    const verdicts: Verdict[] = ['failed', 'failed', 'ok', 'failed', 'failed', 'limited', 'none', 'failed']
    const states: string[] = []
    for (let i = 0; i < 200 && verdicts.length > 0; i++) {
      request((at) => {
        if (at !== 0) return 'ok'
        return verdicts.shift()!
      })
      if (states.length < 8 - verdicts.length) states.push(all[0]!.gate!.state)
    }
    expect(states).toEqual(['in', 'in', 'in', 'in', 'in', 'in', 'in', 'out'])
    expect(ejections).toEqual(['consecutive'])
  })

  it('a share of enough requests; 429 counts for it and not for the row', () => {
    const gate = new Gate({ ...EJECTION, consecutive: 3, error_rate: 0.5, min_requests: 10 }, () => 0.5)
    for (let i = 0; i < 5; i++) expect(gate.count('ok', i)).toBe(null)
    for (let i = 0; i < 4; i++) expect(gate.count('limited', 10 + i)).toBe(null)
    expect(gate.count('limited', 20)).toBe('error_rate')
  })

  it('what left the window is not counted', () => {
    const gate = new Gate({ ...EJECTION, consecutive: 99, error_rate: 0.5, min_requests: 10 }, () => 0.5)
    for (let i = 0; i < 9; i++) expect(gate.count('failed', i)).toBe(null)
    expect(gate.count('failed', 10_000)).toBe(null)
    expect(gate.window.requests).toBe(1)
  })

  it('the back-off doubles up to the maximum, with ten per cent of jitter', () => {
    for (const [draw, factor] of [[0, 0.9], [0.5, 1], [0.999_999, 1.1]] as const) {
      const gate = new Gate(EJECTION, () => draw)
      let now = 0
      const waits: number[] = []
      gate.eject('consecutive', now)
      for (let i = 0; i < 6; i++) {
        waits.push(gate.until - now)
        now = gate.until
        gate.tick(now)
        expect(gate.begin()).toBe(i + 1)
        gate.probed('failed', now)
      }
      for (const [i, base] of [1000, 2000, 4000, 8000, 8000, 8000].entries()) expect(waits[i]).toBeCloseTo(base * factor, 1)
    }
  })

  it('one ejection is forgiven for each window it stayed in', () => {
    const gate = new Gate(EJECTION, () => 0.5)
    for (let i = 0; i < 3; i++) gate.eject('probe', 0)
    expect([gate.times, gate.until]).toEqual([3, 4000])
    gate.admit(10_000)
    gate.eject('consecutive', 10_000 + 19_999)
    expect([gate.times, gate.until - 29_999]).toEqual([3, 4000])
    gate.admit(40_000)
    gate.eject('consecutive', 40_000 + 100_000)
    expect([gate.times, gate.until - 140_000]).toEqual([1, 1000])
  })
})

describe('the probe', () => {
  function ejected(): ReturnType<typeof bench> {
    const made = bench([{}, {}], { ejection: EJECTION })
    while (made.all[0]!.gate!.state === 'in') made.request((at) => (at === 0 ? 'failed' : 'ok'))
    return made
  }

  it('nobody is sent there until the ejection is over; then one request at once, and no other before its outcome', () => {
    const { clock, pick, all } = ejected()
    clock.advance(999)
    for (let i = 0; i < 50; i++) expect(pick()).toBe(1)
    clock.advance(1)
    expect(pick()).toBe(0)
    expect(all[0]!.gate!.begin()).toBe(1)
    for (let i = 0; i < 50; i++) expect(pick()).toBe(1)
  })

  it.each<[Verdict, string]>([['ok', 'in'], ['failed', 'out'], ['limited', 'out'], ['none', 'due']])('%s: %s', (verdict, state) => {
    const { clock, request, all, ejections, complaints } = ejected()
    expect(complaints).toEqual(['endpoint ejected {"backend":"up","endpoint":"0","reason":"consecutive","times":1,"for_ms":1000}'])
    clock.advance(1000)
    expect(request(() => verdict)).toBe(0)
    expect(all[0]!.gate!.state).toBe(state)
    expect(ejections).toEqual(state === 'out' ? ['consecutive', 'probe'] : ['consecutive'])
    if (state === 'out') expect(all[0]!.gate!.until - clock.now()).toBe(2000)
    if (state === 'due') expect(request(fine)).toBe(0)
  })

  it('what began before the ejection decides nothing', () => {
    const { clock, roster, pick, all } = ejected()
    roster.outcome(all[0]!, 'ok', 0, clock.now())
    expect(all[0]!.gate!.state).toBe('out')
    clock.advance(1000)
    pick()
    const probe = all[0]!.gate!.begin()
    roster.outcome(all[0]!, 'ok', 0, clock.now())
    expect(all[0]!.gate!.state).toBe('probing')
    roster.outcome(all[0]!, 'ok', probe, clock.now())
    expect(all[0]!.gate!.state).toBe('in')
  })

  it('a stream that lasts as long as the first ejection has passed; its end counts as that of any request', () => {
    const { clock, roster, pick, all } = ejected()
    clock.advance(1000)
    pick()
    const probe = all[0]!.gate!.begin()
    roster.probeAnswered(all[0]!, probe, clock.now())
    clock.advance(999)
    for (let i = 0; i < 20; i++) expect(pick()).toBe(1)
    clock.advance(1)
    expect(new Set(Array.from({ length: 50 }, () => pick()))).toEqual(new Set([0, 1]))
    roster.outcome(all[0]!, 'failed', probe, clock.now())
    expect(all[0]!.gate!.state).toBe('in')
  })

  it('a request that was sent there already is not the probe', () => {
    const { clock, pick, all } = ejected()
    clock.advance(1000)
    expect(pick([all[0]!])).toBe(1)
    expect(pick()).toBe(0)
  })

  it('down for a minute: back with the first probe after it, and few before', () => {
    const { clock, request, all } = bench([{}, {}], { ejection: { ...EJECTION, base_ms: 5000, max_ms: 30_000 } })
    const start = clock.now()
    let asked = 0
    let back = 0
    for (let i = 0; i < 12_000 && back === 0; i++) {
      const up = clock.now() - start >= 60_000
      const at = request((endpoint) => (endpoint === 1 || up ? 'ok' : 'failed'))
      if (at === 0 && !up) asked++
      if (up && all[0]!.gate!.state === 'in') back = clock.now() - start
      clock.advance(10)
    }
    // Three failures, then probes after 5, 10, 20, 30 s: at 5, 15 and 35 s down, at 65 s up.
    expect(asked).toBe(3 + 3)
    expect(back - 60_000).toBeLessThanOrEqual(30_000)
    expect(back).toBeGreaterThanOrEqual(65_000)
    expect(back).toBeLessThan(65_300)
  })
})

describe('small sets', () => {
  it('the only endpoint is never ejected', () => {
    const { request, all } = bench([{}], { ejection: EJECTION })
    for (let i = 0; i < 20; i++) expect(request(failing)).toBe(0)
    expect(all[0]!.gate).toBe(null)
  })

  it('at most a share of them, but always one', () => {
    for (const [count, max_share, most] of [[4, 0.5, 2], [3, 0.1, 1], [2, 0.5, 1], [10, 0.3, 3], [3, 2 / 3, 2]] as const) {
      const { request, all } = bench(Array.from({ length: count }, () => ({})), { ejection: { ...EJECTION, max_share } })
      for (let i = 0; i < 400; i++) expect(request(failing)).not.toBe(-1)
      expect(all.filter(({ gate }) => gate!.state !== 'in').length).toBe(most)
    }
  })

  it('the last available one stays, also where the others are unhealthy', () => {
    const { roster, request, all } = bench([{}, {}, {}], { ejection: { ...EJECTION, max_share: 0.9 } })
    roster.checked(all[1]!, false)
    roster.checked(all[2]!, false)
    for (let i = 0; i < 50; i++) expect(request(failing)).toBe(0)
  })

  it('all of them where that is allowed: NO_ENDPOINT, with the time of the next probe', () => {
    const { clock, roster, request, all } = bench([{}, {}], { ejection: EJECTION })
    expect(roster.available()).toBe(true)
    while (all.some(({ gate }) => gate!.state === 'in')) request(failing)
    expect([request(failing), roster.available()]).toEqual([-1, false])
    const error = roster.refusal()
    expect([error.code, error.reason, error.retryAfter]).toEqual(['NO_ENDPOINT', 'ejected', 1])
    clock.advance(1000)
    expect(roster.available()).toBe(true)
    for (let i = 0; i < 2; i++) expect(request(failing)).not.toBe(-1)
    expect(request(failing)).toBe(-1)
    expect(roster.refusal().retryAfter).toBe(2)
  })

  it('panic: when nobody is available all are asked', () => {
    const { request, all, roster } = bench([{}, {}], { ejection: EJECTION, panic: 0.5 })
    while (all.some(({ gate }) => gate!.state === 'in')) request(failing)
    const asked = new Set(Array.from({ length: 50 }, () => request(failing)))
    expect(asked).toEqual(new Set([0, 1]))
    expect(roster.available()).toBe(true)
  })
})

// ---------------------------------------------------------------- a naive model

interface Model {
  state: 'in' | 'out' | 'due' | 'probing'
  until: number
  times: number
  backAt: number
  /** Since it is in. */
  events: { at: number; verdict: Verdict }[]
}

const config = fc.record({
  consecutive: fc.integer({ min: 1, max: 5 }), error_rate: fc.constantFrom(0, 0.3, 0.5, 1), min_requests: fc.integer({ min: 1, max: 8 }), window_ms: fc.constant(1000), base_ms: fc.constant(400), max_ms: fc.constant(3000),
  max_share: fc.constantFrom(0.1, 0.5, 0.75, 1),
})
const step = fc.oneof(
  { weight: 5, arbitrary: fc.record({ do: fc.constant('send' as const) }) },
  { weight: 5, arbitrary: fc.record({ do: fc.constant('end' as const), which: fc.nat(), verdict: fc.constantFrom<Verdict>('ok', 'failed', 'failed', 'limited', 'none') }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('wait' as const), ms: fc.integer({ min: 1, max: 700 }) }) },
)

describe('for any sequence of requests, outcomes and waits', () => {
  it('the states are those of a model that keeps every event and counts them again each time', () => {
    fc.assert(
      fc.property(config, fc.integer({ min: 2, max: 5 }), fc.array(step, { maxLength: 150, size: 'max' }), (ejection, count, script) => {
        const { clock, roster, pick, all } = bench(Array.from({ length: count }, () => ({})), { ejection })
        const models = all.map((): Model => ({ state: 'in', until: 0, times: 0, backAt: 0, events: [] }))
        const open: { at: number; probe: boolean; number: number }[] = []

        const out = (model: Model, now: number): void => {
          if (model.state === 'in') model.times = Math.max(0, model.times - Math.floor((now - model.backAt) / ejection.window_ms))
          model.state = 'out'
          model.until = now + Math.min(ejection.max_ms, ejection.base_ms * 2 ** model.times)
          model.times++
        }
        const back = (model: Model, now: number): void => {
          Object.assign(model, { state: 'in', events: [], backAt: now })
        }
        const trips = ({ events }: Model, now: number): boolean => {
          const counted = events.filter(({ verdict }) => verdict !== 'none')
          if (counted.at(-1)!.verdict === 'ok') return false
          const row = counted.filter(({ verdict }) => verdict !== 'limited').map(({ verdict }) => verdict)
          const inARow = row.length - 1 - row.lastIndexOf('ok')
          if (counted.at(-1)!.verdict === 'failed' && inARow >= ejection.consecutive) return true
          const width = ejection.window_ms / 10
          const recent = counted.filter(({ at }) => Math.floor(at / width) > Math.floor(now / width) - 10)
          const bad = recent.filter(({ verdict }) => verdict !== 'ok').length
          return ejection.error_rate > 0 && recent.length >= ejection.min_requests && bad / recent.length >= ejection.error_rate
        }
        const allowed = (me: Model): boolean => {
          const gone = models.filter(({ state }) => state !== 'in').length
          if (gone > 0 && (gone + 1) / count > ejection.max_share) return false
          return ejection.max_share === 1 || models.some((model) => model !== me && model.state === 'in')
        }

        for (const one of script) {
          const now = clock.now()
          if (one.do === 'wait') clock.advance(one.ms)
          else if (one.do === 'send') {
            for (const model of models) if (model.state === 'out' && now >= model.until) model.state = 'due'
            const due = models.some(({ state }) => state === 'due')
            const at = pick()
            if (due) expect(models[at]!.state).toBe('due')
            else if (models.some(({ state }) => state === 'in')) expect(models[at]!.state).toBe('in')
            else expect(at).toBe(-1)
            if (at < 0) continue
            const number = all[at]!.gate!.begin()
            expect(number > 0).toBe(due)
            if (due) models[at]!.state = 'probing'
            open.push({ at, probe: due, number })
          } else if (open.length > 0) {
            const [ended] = open.splice(one.which % open.length, 1)
            const model = models[ended!.at]!
            roster.outcome(all[ended!.at]!, one.verdict, ended!.number, now)
            if (ended!.probe) {
              if (one.verdict === 'ok') back(model, now)
              else if (one.verdict === 'none') model.state = 'due'
              else out(model, now)
            } else if (model.state === 'in' && one.verdict !== 'none') {
              model.events.push({ at: now, verdict: one.verdict })
              if (trips(model, now) && allowed(model)) out(model, now)
            }
          }
          const seen = all.map(({ gate }) => (gate!.state === 'due' ? 'out' : gate!.state))
          expect(seen).toEqual(models.map(({ state }) => (state === 'due' ? 'out' : state)))
        }
      }),
      { numRuns: 300 },
    )
  })
})
