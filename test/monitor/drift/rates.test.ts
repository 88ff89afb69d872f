/** Rates against the same time in earlier seasons; the run lengths are those of `test/stats` for CUSUM. */
import { describe, expect, test } from 'vitest'
import { REQUESTS } from '../../../gateway/monitor/drift/counter.ts'
import { countExchange, type Rate, Rates } from '../../../gateway/monitor/drift/rates.ts'
import { timesOf } from '../../../gateway/monitor/drift/times.ts'
import { planOf } from '../../../gateway/monitor/drift/watched.ts'
import { categories, normals, profileOf, random } from './profiles.ts'
import { DAY, HOUR, MONDAY } from './world.ts'

const plan = planOf(profileOf({ plan: categories({ a: 10 }) }), new Map(), true)
const times = timesOf(HOUR, DAY)

interface Hour {
  readonly requests: number
  readonly ms: number
  readonly errors: number
}

/** Days of hours; requests vary by their root, and by 10 % from day to day. */
function run(rates: readonly Rate[], days: number, seed: number, change: (usual: Hour, day: number) => Hour = (usual) => usual) {
  const judge = new Rates(plan, times, rates, 1)
  const [z, u] = [normals(seed), random(seed + 1)]
  const alarms = []
  for (let hour = 0; hour < days * 24; hour++) {
    const season = 200 + 150 * Math.sin((2 * Math.PI * hour) / 24)
    const { requests, ms, errors } = change({ requests: season * Math.exp(0.1 * z()), ms: 20 + season / 10, errors: 0.01 }, Math.floor(hour / 24))
    const n = Math.max(0, Math.round(requests + Math.sqrt(requests) * z()))
    const words = new Uint32Array(plan.words)
    words[REQUESTS] = n
    for (let i = 0; i < n; i++) countExchange(words, ms * Math.exp(0.5 * z()), u() < errors)
    alarms.push(...judge.window(n === 0 ? null : words, MONDAY + hour * HOUR, MONDAY + (hour + 1) * HOUR))
  }
  return alarms
}

const ALL: readonly Rate[] = ['traffic', 'latency', 'errors']

test('traffic that follows the hour of the day is no change', () => {
  let alarms = 0
  for (let seed = 0; seed < 20; seed++) alarms += run(ALL, 21, 100 * seed).length
  // 20 times 2 weeks (the third and fourth day on) at one a week: Poisson, 99.9 % below 60.
  expect(alarms).toBeLessThan(60)
})

describe('changes from the tenth day on', () => {
  test.each<[string, (usual: Hour) => Hour, Rate, RegExp]>([
    ['half of the callers are gone', (h) => ({ ...h, requests: h.requests / 2 }), 'traffic', /traffic fell: \d+ requests, usually/],
    ['answers take twice as long', (h) => ({ ...h, ms: 2 * h.ms }), 'latency', /latency rose: geometric mean [\d.]+ ms of \d+, usually [\d.]+ ms/],
    ['5 % instead of 1 % fail', (h) => ({ ...h, errors: 0.05 }), 'errors', /errors rose: \d+ of \d+ \([\d.]+ %\), usually [\d.]+ %/],
  ])('%s', (_, change, rate, reason) => {
    const alarms = run(ALL, 12, 7, (usual, day) => (day < 9 ? usual : change(usual)))
    expect(alarms.map(({ feature }) => feature)).toEqual([rate])
    expect(alarms[0]).toMatchObject({ kind: 'rate', statistic: 'cusum_sd' })
    expect(alarms[0]!.reason).toMatch(reason)
    expect(alarms[0]!.time - MONDAY).toBeGreaterThan(9 * DAY)
    expect(alarms[0]!.time - MONDAY).toBeLessThan(9.6 * DAY)
  })

  test('no request at all is a change of traffic', () => {
    const alarms = run(['traffic'], 12, 9, (usual, day) => (day < 9 ? usual : { ...usual, requests: 0 })).filter(({ time }) => time > MONDAY + 9 * DAY)
    expect(alarms.map(({ time }) => time <= MONDAY + 9 * DAY + 3 * HOUR)).toEqual([true])
  })
})

test('latencies add up beyond what a word holds', () => {
  const words = new Uint32Array(plan.words)
  for (let i = 0; i < 2_000_000; i++) countExchange(words, 1e9, false)
  const judge = new Rates(plan, times, ['latency'], 1)
  for (let day = 0; day < 4; day++) judge.window(words, MONDAY + day * DAY, MONDAY + day * DAY + HOUR)
  // The geometric mean of 1 + ms, less 1.
  expect((judge.report() as { expected: number }[])[0]!.expected).toBeCloseTo(Math.log(1e9), 1)
})
