import { describe, expect, test } from 'vitest'
import { alarmState, Judge, type Test } from '../../../gateway/monitor/schema/alarms.ts'
import { schemaBytes, SchemaMonitor } from '../../../gateway/monitor/schema/monitor.ts'
import { rulesOf } from '../../../gateway/monitor/schema/rules.ts'
import { emptySums, type Sums } from '../../../gateway/monitor/schema/window.ts'
import type { Columns } from '../../../gateway/payload/columns.ts'
import { HOUR, MONDAY, numeric, profileOf, stand, texts, written } from './setup.ts'

const churn = rulesOf(profileOf({ age: numeric(18, 90, 'INT'), plan: texts('basic', 'premium') }), {}, 0.001)
const good = { age: 40, plan: 'basic' }

interface Report {
  readonly window: unknown
  readonly tests: readonly Record<string, unknown>[]
  readonly proposal: Readonly<Record<string, unknown>>
}

/** `hours` of traffic, 100 rows each, of which `bad` are other ones. */
function traffic({ observe, close }: ReturnType<typeof stand>, from: number, hours: number, bad: number, row: unknown = { ...good, age: null }): number {
  for (let hour = 0; hour < hours; hour++) {
    for (let i = 0; i < 100; i++) observe(i < bad ? row : good, from + hour * HOUR + i * 36_000)
    close(from + (hour + 1) * HOUR + 2000)
  }
  return from + hours * HOUR
}

describe('alarms', () => {
  test('one when it begins, with its numbers; an end when it is over', () => {
    const one = stand(churn)
    one.close(MONDAY)
    let time = traffic(one, MONDAY, 5, 0)
    expect(one.alarms).toEqual([])
    time = traffic(one, time, 5, 20)
    // 16 tests (9 of a number, 6 of a text, and what cannot be read) in 168 windows a week: 3.7e-4 each. P(X ≥ 2 of 100) at 0.1 % is 4.6e-3, P(X ≥ 3) 1.5e-4.
    expect(one.alarms).toEqual([{
      time: MONDAY + 6 * HOUR, kind: 'schema', feature: 'age', statistic: 'null_share', score: 0.2, threshold: 0.03,
      reason: 'FEATURE_TYPE_LOW_FRACTION_PRESENT: "age" is null in 20 of 100 (20 %), at most 0.1 % is tolerated; 2026-03-02T05:00:00.000Z to 2026-03-02T06:00:00.000Z',
    }])
    expect(one.ended).toEqual([])
    time = traffic(one, time, 3, 0)
    expect(one.ended).toEqual([{ feature: 'age', anomaly: 'FEATURE_TYPE_LOW_FRACTION_PRESENT', since: MONDAY + 6 * HOUR, time: MONDAY + 11 * HOUR }])
    traffic(one, time, 1, 20)
    expect(one.alarms).toHaveLength(2)
  })

  test('a value never seen is named', () => {
    const one = stand(churn)
    one.close(MONDAY)
    traffic(one, MONDAY, 1, 15, { ...good, plan: 'wallet' })
    expect(one.alarms).toMatchObject([{ feature: 'plan', statistic: 'unexpected_share', score: 0.15, reason: expect.stringContaining('"plan" is none of the 2 known values, but "wallet", in 15 of 100 (15 %)') as string }])
  })

  test('the odd one now and then is no alarm, nor are two of a few', () => {
    const one = stand(churn)
    one.close(MONDAY)
    const time = traffic(one, MONDAY, 24, 1)
    expect(one.alarms).toEqual([])
    expect(one.counted.get('FEATURE_TYPE_LOW_FRACTION_PRESENT age')).toBe(24)
    one.observe([{ ...good, age: null }, { ...good, age: null }], time)
    one.close(time + HOUR + 2000)
    expect(one.alarms).toEqual([])
  })

  test('windows of few rows are judged together', () => {
    const one = stand(churn, { window: 60_000 })
    one.close(MONDAY)
    for (let minute = 0; minute < 120; minute++) {
      one.observe(minute % 5 === 0 ? { ...good, age: null } : good, MONDAY + minute * 60_000)
      one.close(MONDAY + (minute + 1) * 60_000 + 2000)
    }
    expect(one.alarms.map(({ feature, score }) => [feature, score])).toEqual([['age', 0.2]])
  })

  test('bodies that cannot be read are said so', () => {
    const one = stand(churn)
    one.close(MONDAY)
    for (let i = 0; i < 50; i++) {
      one.monitors[0]!.unreadable(MONDAY + i)
      one.observe(good, MONDAY + i)
    }
    one.close(MONDAY + HOUR + 2000)
    expect(one.alarms).toMatchObject([{ feature: '', statistic: 'unreadable_share', score: 0.5, reason: expect.stringContaining('STATS_NOT_AVAILABLE') as string }])
  })

  test('too few and too many rows, where somebody said how many', () => {
    const one = stand(churn, { leastRows: 50, mostRows: 150 })
    one.close(MONDAY + 1)
    let time = traffic(one, MONDAY, 3, 0)
    expect(one.alarms).toEqual([])
    one.close(time + 2 * HOUR + 2000)
    expect(one.alarms.map(({ statistic, score, threshold }) => [statistic, score, threshold])).toEqual([['rows', 0, 50]])
    time += 2 * HOUR
    for (let i = 0; i < 151; i++) one.observe(good, time + i)
    one.close(time + HOUR + 2000)
    expect(one.alarms.slice(1).map(({ reason, score }) => [reason.split(':')[0], score])).toEqual([['DATASET_HIGH_NUM_EXAMPLES', 151]])
  })
})

describe('threads', () => {
  test('counts of three are exactly those of one', () => {
    const [three, one] = [stand(churn, {}, 3), stand(churn)]
    const values = [good, { ...good, age: null }, { ...good, age: 200 }, { ...good, plan: 'gold' }, { ...good, plan: 'silver' }, { age: 1e9 }]
    for (const { close } of [three, one]) close(MONDAY)
    for (let i = 0; i < 600; i++) {
      three.observe(values[(i * 7) % 6], MONDAY + i, i % 3)
      one.observe(values[(i * 7) % 6], MONDAY + i)
    }
    for (const { close } of [three, one]) close(MONDAY + HOUR + 2000)
    expect(three.alarms).toEqual(one.alarms)
    expect(one.alarms).toHaveLength(4)
    expect(three.monitors[0]!.report()).toEqual(one.monitors[0]!.report())
  })

  test('a thread that comes back, and a clock that jumps', () => {
    const memory = new SharedArrayBuffer(schemaBytes(churn))
    const state = alarmState(2)
    const start = () => new SchemaMonitor(churn, { window: HOUR, budget: 1, tolerance: 0.001, newColumns: false, matrix: null, leastRows: 0, mostRows: Infinity }, { mine: memory, all: [memory] }, state, () => undefined)
    const columns = (value: number): Columns => ({ columns: [{ name: 'age', dtype: 'FP64', shape: [1], data: Float64Array.of(value) }, { name: 'plan', dtype: 'BYTES', shape: [1], data: ['basic'] }] })
    let monitor = start()
    monitor.close(MONDAY)
    for (let i = 0; i < 50; i++) monitor.observe(columns(200), MONDAY + i)
    monitor = start()
    for (let i = 0; i < 50; i++) monitor.observe(columns(40), MONDAY + 1000 + i)
    expect(monitor.close(MONDAY + HOUR + 2000).alarms).toMatchObject([{ feature: 'age', score: 0.5 }])
    // A year ahead, and back again: nothing is made up, and judging goes on.
    expect(monitor.close(MONDAY + 8766 * HOUR).alarms).toEqual([])
    expect(monitor.close(MONDAY + 2 * HOUR).alarms).toEqual([])
    for (let i = 0; i < 100; i++) monitor.observe({ columns: [] }, MONDAY + 2 * HOUR + i)
    for (let i = 0; i < 100; i++) monitor.observe(columns(Number.NaN), MONDAY + 2 * HOUR + i)
    expect(monitor.close(MONDAY + 3 * HOUR + 2000).alarms.map(({ statistic }) => statistic)).toEqual(['nan_share'])
  })
})

describe('the state', () => {
  test('says what was counted, what is tolerated, and which rules the rows would pass', () => {
    const one = stand(churn)
    one.close(MONDAY)
    const odd = [{ ...good, age: null }, { ...good, age: 95 }, { ...good, age: 99 }, { ...good, plan: 'gold' }, { plan: 'basic' }, { ...good, age: 12 }]
    const requests = Array.from({ length: 300 }, (_, i) => (i % 5 === 0 ? odd[(i / 5) % odd.length] : good))
    requests.forEach((request, i) => one.observe(request, MONDAY + i))
    one.close(MONDAY + HOUR + 2000)
    const report = one.monitors[0]!.report() as Report
    expect(report.window).toEqual({ from: '2026-03-02T00:00:00.000Z', to: '2026-03-02T01:00:00.000Z', rows: 300, requests: 300, unreadable: 0, rows_with_new_columns: 0 })
    expect(report.tests.find(({ anomaly }) => anomaly === 'INT_TYPE_BIG_INT')).toMatchObject({ feature: 'age', rows: 20, of: 280, tolerated: 0.001, verdict: 'alarm', since: '2026-03-02T01:00:00.000Z' })
    expect(report.proposal).toEqual({ age: { required: false, nulls: 4, max: 99, min: 12 }, plan: { values: ['basic', 'premium', 'gold'] } })
    // And so it is.
    const { age, plan } = report.proposal as Record<string, object>
    const relaxed = stand(rulesOf(profileOf({ age: numeric(18, 90, 'INT'), plan: texts('basic', 'premium') }), { age: age!, plan: plan! }, 0.001))
    relaxed.close(MONDAY)
    requests.forEach((request, i) => relaxed.observe(request, MONDAY + i))
    relaxed.close(MONDAY + HOUR + 2000)
    expect(relaxed.alarms).toEqual([])
    expect((relaxed.monitors[0]!.report() as Report).proposal).toEqual({})
  })

  test('many unknown values, and long ones: a few are kept', () => {
    const one = stand(written({ a: { values: ['x'] } }))
    one.close(MONDAY)
    for (let i = 0; i < 10_000; i++) one.observe({ a: `${'ü'.repeat(100)}${i}` }, MONDAY + i)
    for (let i = 0; i < 10_000; i++) one.observe({ a: `c${i}` }, MONDAY + i)
    one.close(MONDAY + HOUR + 2000)
    const { values, mostly } = (one.monitors[0]!.report() as Report).proposal['a'] as { values: string[]; mostly: number }
    expect(values).toEqual(['x', 'ü'.repeat(31), 'c0', 'c1', 'c2'])
    expect(mostly).toBe(0)
  })
})

describe('the budget', () => {
  /** Marsaglia's xorshift32. */
  function randomOf(seed: number): () => number {
    let state = seed
    return () => {
      state ^= state << 13
      state ^= state >>> 17
      state ^= state << 5
      return (state >>> 0) / 2 ** 32
    }
  }

  test.each([50, 1000])('of one false alarm a week is kept with shares exactly as tolerated, %i rows a window', (rows) => {
    const random = randomOf(42)
    const tolerated = 0.02
    const draws = new Float64Array(40)
    const tests = Array.from({ length: 40 }, (_, i): Test => ({ feature: `f${i}`, anomaly: 'x', statistic: 'x', tolerated, count: (sums: Sums) => [draws[i]!, sums.rows], words: () => '' }))
    const state = alarmState(0)
    const judge = new Judge(tests, 1, 24 * HOUR, 0, state)
    const weeks = 300
    let alarms = 0
    for (let day = 1; day <= weeks * 7; day++) {
      for (let i = 0; i < draws.length; i++) draws[i] = binomial(random, rows, tolerated)
      state.pool = { ...emptySums(0), rows }
      // Each window by itself: what is alarmed already would not alarm again.
      state.active.clear()
      alarms += judge.window(day * 24 * HOUR, (day + 1) * 24 * HOUR).alarms.length
    }
    // At most one a week is expected; the tails of so few rows are coarse, which makes it fewer. Poisson: 300 + 4 √300.
    expect(alarms).toBeLessThan(370)
    expect(alarms).toBeGreaterThan(20)
  })

  /** By the gaps between successes, which are geometric. */
  function binomial(random: () => number, n: number, p: number): number {
    const log = Math.log(1 - p)
    let count = 0
    for (let at = Math.floor(Math.log(1 - random()) / log); at < n; at += 1 + Math.floor(Math.log(1 - random()) / log)) count++
    return count
  }
})
