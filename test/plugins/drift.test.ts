import { describe, expect, test } from 'vitest'
import { Answer } from '../../gateway/exchange.ts'
import { type Cells, merge } from '../../gateway/monitor/drift/merge.ts'
import { oip } from '../../gateway/payload/oip.ts'
import { rows } from '../../gateway/payload/rows.ts'
import { KeepStore } from '../../gateway/pipeline/host.ts'
import drift from '../../plugins/drift.ts'
import { FakeClock } from '../fake_clock.ts'
import { categories, normals, numbers, profileOf, random, times } from '../monitor/drift/profiles.ts'
import { DAY, HOUR, MONDAY } from '../monitor/drift/world.ts'
import { type Bench, pluginTest, type Setup } from '../plugin_test.ts'

const z = normals(1)
const profile = profileOf({
  amount: numbers(times(3000, () => 50 + 10 * z())),
  plan: categories({ basic: 2000, plus: 1000 }),
  score: numbers(times(3000, () => 0.5 + 0.1 * z()), { role: 'prediction' }),
  id: { ...categories({ a: 1 }), role: 'identifier' },
}, 3000)

function bench(options: object = {}, setup: Setup = {}): Promise<Bench> {
  return pluginTest(drift, { profile: 'churn.json', window: '1h', ...options }, { format: rows, profile, clock: new FakeClock(MONDAY), backends: { main: ordinary }, ...setup })
}

const scored = (score: number) => (): Answer => new Answer(200, ['content-type', 'application/json'], Buffer.from(JSON.stringify({ score })))

const answers = normals(7)
const ordinary = (): Answer => scored(0.5 + 0.1 * answers())()

/** An hour with one request a minute, then until it is judged. */
async function hour(on: Bench, body: (i: number) => object): Promise<void> {
  for (let i = 0; i < 60; i++) {
    await on.run({ body: JSON.stringify(body(i)) })
    await on.clock.tick(HOUR / 60)
  }
  await on.clock.tick(3_000)
}

const [amounts, plans] = [normals(5), random(6)]
const usual = (): { amount: number | null; plan: string } => ({ amount: 50 + 10 * amounts(), plan: plans() < 2 / 3 ? 'basic' : 'plus' })

function state(...benches: Bench[]): { features: { name: string; state: string; causes: { cause: string; reason: string }[] }[]; window: { rows: number }; formulas: object } {
  const route = benches[0]!.route.admin.get('drift')!['GET /state']!
  const request = { method: 'GET' as const, query: new URLSearchParams(), body: undefined }
  return route.merge!(benches.map((one) => one.route.admin.get('drift')!['GET /state']!.handle(request)).toReversed()) as ReturnType<typeof state>
}

function cells(one: Bench): Cells {
  return one.route.admin.get('drift')!['GET /cells']!.handle({ method: 'GET', query: new URLSearchParams(), body: undefined }) as Cells
}

test('nothing changed: scores, no alarms', async () => {
  const one = await bench()
  await hour(one, usual)
  expect(one.alarms).toEqual([])
  expect(one.metric('weir_drift_rows_total')).toBe(60)
  expect(one.metric('weir_drift_state', { feature: 'amount' })).toBe(0)
  expect(one.metric('weir_drift_score', { feature: 'amount', statistic: 'null_share' })).toBe(0)
  expect(one.metric('weir_drift_score', { feature: 'amount', statistic: 'js_bits' })).toBeLessThan(0.05)
  expect(state(one)).toMatchObject({ window: { rows: 60 }, features: [{ name: 'amount', state: 'ok', causes: [] }, { name: 'plan' }, { name: 'score' }] })
  await one.close()
})

test('an alarm with its reason, once, and what shows it', async () => {
  const one = await bench()
  await hour(one, (i) => ({ ...usual(), plan: i % 3 === 0 ? 'gold' : 'basic' }))
  await hour(one, (i) => ({ ...usual(), plan: i % 3 === 0 ? 'gold' : 'basic' }))
  expect(one.alarms).toMatchObject([{ time: MONDAY + HOUR, kind: 'drift', feature: 'plan', statistic: 'unseen_share' }])
  expect(one.alarms[0]!.score).toBeCloseTo(1 / 3, 2)
  expect(one.alarms[0]!.reason).toMatch(/"gold"/)
  expect(one.metric('weir_drift_state', { feature: 'plan' })).toBe(1)
  expect(one.metric('weir_drift_alarms')).toBe(1)
  expect(state(one).features[1]).toMatchObject({
    state: 'alarm', causes: [{ cause: 'unseen_share' }], unlisted: [['gold', 40]],
    shares: expect.arrayContaining([{ share: 'unseen_share', count: 20, of: 60, expected: 0, expected_of: 3000 }]),
    training: { rows: 40, reference: 3000, cells: 2, counts: [['"basic"', 40, 2000], ['"plus"', 0, 1000]], scores: { l_infinity: { score: expect.closeTo(1 / 3, 9) } } },
  })
  await one.close()
})

describe('answers', () => {
  test('a prediction far away: flagged, tagged, counted; and when there are many, an alarm', async () => {
    let score: number | null = null
    const one = await bench({ outliers: { action: 'tag' } }, { backends: { main: () => (score === null ? ordinary() : scored(score)()) } })
    const run = async () => {
      const { answer, x } = await one.run({ body: JSON.stringify(usual()) })
      return [answer.fields.get('x-weir-outlier'), x.flags]
    }
    expect(await run()).toEqual([undefined, null])
    score = 9
    expect(await run()).toEqual(['score', ['outlier']])
    expect(one.metric('weir_drift_outliers_total', { feature: 'score' })).toBe(1)
    await hour(one, usual)
    expect(one.alarms.map(({ kind, feature, statistic }) => [kind, feature, statistic])).toContainEqual(['outlier', 'score', 'outlier_share'])
    await one.close()
  })

  test('predictions that are NaN raise an alarm of the kind prediction', async () => {
    const one = await bench({}, { backends: { main: () => new Answer(200, ['content-type', 'application/json'], Buffer.from('{"score":null}')) } })
    await hour(one, usual)
    expect(one.alarms).toMatchObject([{ kind: 'prediction', feature: 'score', statistic: 'null_share' }])
    await one.close()
  })

  test('errors and what is no answer of the format are not predictions, and go through as they are', async () => {
    const one = await bench({}, { backends: { main: () => new Answer(500, ['content-type', 'application/json'], Buffer.from('{"score":9}')) } })
    expect((await one.run({ body: '{"amount":1,"plan":"basic"}' })).body).toBe('{"score":9}')
    expect(one.metric('weir_drift_outliers_total')).toBe(0)
    await one.close()
    const other = await bench({}, { backends: { main: () => new Answer(200, ['content-type', 'application/json'], Buffer.from('{"score":')) } })
    expect((await other.run({ body: '{"amount":1,"plan":"basic"}' })).body).toBe('{"score":')
    expect(other.metric('weir_drift_unreadable_total', { side: 'answer' })).toBe(1)
    await other.close()
  })

  test('`outputs: false` leaves them alone: nothing is held', async () => {
    const one = await bench({ outputs: false })
    expect(one.route.responseBody).toBe(null)
    await one.close()
  })
})

test('a request nobody can read passes and is counted', async () => {
  const one = await bench()
  expect((await one.run({ body: '{' })).answer.status).toBe(200)
  expect(one.metric('weir_drift_unreadable_total', { side: 'request' })).toBe(1)
  await one.close()
})

test('a tensor of all features is read by `columns`', async () => {
  const numeric = profileOf({ amount: profile.features.amount!, other: numbers(times(100, () => z())) })
  const one = await bench({ columns: ['x', 'other', 'amount'] }, { format: oip, profile: numeric })
  await hour(one, () => ({ inputs: [{ name: 'input', datatype: 'FP32', shape: [2, 3], data: [0, 1, null, 0, 1, null].map((v) => v ?? 5000) }] }))
  expect(one.metric('weir_drift_rows_total')).toBe(120)
  expect(one.metric('weir_drift_state', { feature: 'amount' })).toBe(1)
  await one.close()
})

describe('threads', () => {
  async function pair(setup: Setup = {}): Promise<[Bench, Bench]> {
    const memory = new Map<string, SharedArrayBuffer>()
    const share = (key: string, bytes: number) => memory.get(key) ?? memory.set(key, new SharedArrayBuffer(bytes)).get(key)!
    return [await bench({}, { thread: { index: 0, count: 2 }, share, ...setup }), await bench({}, { thread: { index: 1, count: 2 }, share, ...setup })]
  }

  test('the leader judges what all of them counted, alone', async () => {
    const [leader, other] = await pair()
    for (let i = 0; i < 30; i++) {
      await leader.run({ body: JSON.stringify(usual()) })
      await other.run({ body: JSON.stringify({ ...usual(), amount: null }) })
    }
    await leader.clock.tick(HOUR + 3_000)
    await other.clock.tick(HOUR + 3_000)
    expect(leader.alarms).toMatchObject([{ feature: 'amount', statistic: 'null_share', score: 0.5 }])
    expect(other.alarms).toEqual([])
    expect(state(leader, other).window.rows).toBe(60)
    await leader.close()
    await other.close()
  })

  test('cells of two threads, and of two gateways added, are those of one', async () => {
    const alike = { backends: { main: scored(0.5) } }
    const [leader, other] = await pair(alike)
    const [east, west, one] = [await bench({}, alike), await bench({}, alike), await bench({}, alike)]
    const all = [leader, other, east, west, one]
    for (let i = 0; i < 200; i++) {
      const body = JSON.stringify(i % 9 === 0 ? { amount: null, plan: 'gold' } : usual())
      for (const at of [i % 2 === 0 ? leader : other, i % 3 === 0 ? east : west, one]) await at.run({ body })
      if (i % 10 === 0) for (const at of all) await at.clock.tick(90_000)
    }
    for (const at of all) await at.clock.tick(HOUR / 2)
    expect(cells(leader)).toEqual(cells(one))
    expect(merge([cells(east), cells(west)])).toEqual(cells(one))
    expect(merge([cells(west), cells(east)])).toEqual(cells(one))
    expect(cells(one).stretches.flatMap(([, counted]) => counted).reduce((sum, [, n]) => sum + n, 0)).toBeGreaterThan(600)
    expect(() => merge([cells(one), { ...cells(one), layout: 'another' }])).toThrow('different profiles')
    for (const at of all) await at.close()
  })
})

test('a reload keeps what was counted, and an alarm is not raised again', async () => {
  const keep = new KeepStore()
  const clock = new FakeClock(MONDAY)
  const first = await bench({}, { keep, clock })
  await hour(first, () => ({ ...usual(), amount: null }))
  expect(first.alarms).toHaveLength(1)
  await first.close()
  const second = await bench({ alarm_budget: 2 }, { keep, clock })
  await hour(second, () => ({ ...usual(), amount: null }))
  expect(second.alarms).toEqual([])
  expect(second.metric('weir_drift_alarms')).toBe(1)
  await second.close()
})

test('columns of the profile that never come are told of once, and are no alarm', async () => {
  const one = await bench()
  await hour(one, () => ({ other: 1 }))
  await hour(one, () => ({ other: 1 }))
  expect(one.alarms).toEqual([])
  expect(one.metric('weir_drift_state', { feature: 'plan' })).toBe(3)
  expect(one.log.filter(({ level }) => level === 'warn')).toMatchObject([{ message: 'columns of the profile that never came', fields: { columns: ['amount', 'plan'] } }])
  await one.close()
})

describe('rates', () => {
  test('errors that begin are an alarm of the kind rate', async () => {
    let broken = false
    const one = await bench({ rates: ['errors', 'traffic', 'latency', 'defaults'] }, { backends: { main: () => (broken ? new Answer(503, [], Buffer.from('{}')) : ordinary()) } })
    for (let i = 0; i < 72; i++) await hour(one, usual)
    expect(one.alarms).toEqual([])
    broken = true
    for (let i = 0; i < 6; i++) await hour(one, usual)
    expect(one.alarms).toMatchObject([{ kind: 'rate', feature: 'errors', statistic: 'cusum_sd' }])
    expect(one.alarms[0]!.reason).toMatch(/errors rose: 60 of 60 \(100 %\), usually 0 % at this time/)
    await one.close()
  })
})

describe('refused at load', () => {
  test.each<[object, RegExp]>([
    [{ window: '7m' }, /whole number of windows/],
    [{ window: '2d' }, /longer than `season`/],
    [{ window: '30s' }, /at least 1m/],
    [{ season: '30d', window: '1d' }, /at most 7d/],
    [{ features: { amuont: { threshold: 1 } } }, /"amuont", which the profile does not have; it has amount, plan, score, id/],
    [{ features: { plan: { statistic: 'ks' } } }, /"plan" is a category, which has no ks/],
    [{ features: { amount: { watch: false }, plan: { watch: false }, score: { watch: false } } }, /no column that can be watched/],
  ])('%j', async (options, message) => {
    await expect(async () => bench(options)).rejects.toThrow(message)
  })

  test('more cells than are allowed', async () => {
    const many = profileOf(Object.fromEntries(times(3000, (i) => [`f${i}`, profile.features.amount!])))
    await expect(bench({}, { profile: many })).rejects.toThrow(/3000 features need \d+ MiB of cells, at most 256 MiB are allowed/)
  })
})

test('an example in the file: a day of window and season', async () => {
  const one = await bench({ window: '1d', season: '7d' })
  await one.clock.tick(DAY)
  expect(one.alarms).toEqual([])
  await one.close()
})
