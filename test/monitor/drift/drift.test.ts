/** The engine on traffic made by hand: every cause gives its one alarm, nothing else gives any. */
import { describe, expect, test } from 'vitest'
import { categories, normals, numbers, profileOf, random, times } from './profiles.ts'
import { DAY, HOUR, MINUTE, MONDAY, type Options, type Row, World } from './world.ts'

const draw = normals(1)
const TRAINING = times(5000, () => 50 + 10 * draw())
const PROFILE = profileOf({ amount: numbers(TRAINING), plan: categories({ basic: 3000, plus: 1500, pro: 500 }) }, 5000)
const PLANS = ['basic', 'basic', 'basic', 'basic', 'basic', 'basic', 'plus', 'plus', 'plus', 'pro']

interface Traffic {
  readonly days: number
  readonly perHour?: number
  readonly seed?: number
  readonly row?: (row: Row, time: number, i: number) => Row
}

/** Rows as the training data had them, changed by `row`. */
function run(world: World, { days, perHour = 60, seed = 2, row = (r) => r }: Traffic): World {
  const [z, u] = [normals(seed), random(seed + 1)]
  const start = world.now
  const n = Math.round(days * 24 * perHour)
  for (let i = 0; i < n; i++) {
    const time = start + (i * days * DAY) / n
    world.add(time, [row({ amount: 50 + 10 * z(), plan: PLANS[Math.floor(10 * u())]! }, time, i)])
  }
  world.advance(start + days * DAY + 5_000)
  return world
}

const causes = ({ alarms }: World) => alarms.map(({ feature, statistic }) => `${feature} ${statistic}`)

describe.each<[string, Options]>([['5m', { window: 5 * MINUTE }], ['1h', { window: HOUR }], ['1d', { window: DAY }]])('windows of %s', (_, options) => {
  test('nothing changed, nothing is said in a week', () => {
    expect(run(new World(PROFILE, options), { days: 7 }).alarms).toEqual([])
  })

  test('a shift by one standard deviation is named with its size', () => {
    const world = run(new World(PROFILE, options), { days: 3, row: (row, time) => (time < MONDAY + DAY ? row : { ...row, amount: (row.amount as number) + 10 }) })
    expect(causes(world)).toEqual(['amount js_bits'])
    expect(world.alarms[0]!.time).toBeGreaterThan(MONDAY + DAY)
    expect(world.alarms[0]!.time).toBeLessThanOrEqual(MONDAY + 2 * DAY)
    expect(world.alarms[0]!.reason).toMatch(/"amount" moved up/)
  })

  test('a value never seen is named', () => {
    const world = run(new World(PROFILE, options), { days: 3, row: (row, time, i) => (time < MONDAY + DAY || i % 7 > 0 ? row : { ...row, plan: 'wallet' }) })
    expect(causes(world)).toEqual(['plan unseen_share'])
    expect(world.alarms[0]!.reason).toMatch(/"wallet"/)
  })

  test('nulls are one alarm, about the rows without a value', () => {
    const world = run(new World(PROFILE, options), { days: 3, row: (row, time, i) => (time < MONDAY + DAY || i % 5 > 0 ? row : { ...row, amount: null }) })
    expect(causes(world)).toEqual(['amount null_share'])
    expect(world.alarms[0]!.reason).toMatch(/"amount" has no value in \d+ of \d+ rows/)
  })
})

test('a season is no drift: mornings and evenings differ by 1.3 standard deviations, every day alike', () => {
  const season = (row: Row, time: number): Row => ({ ...row, amount: (row.amount as number) + 6.5 * Math.sin((2 * Math.PI * (time % DAY)) / DAY) })
  const z = normals(9)
  const whole = times(5000, (i) => 50 + 10 * z() + 6.5 * Math.sin((2 * Math.PI * i) / 5000))
  const profile = profileOf({ amount: numbers(whole), plan: PROFILE.features.plan! })
  for (const window of [5 * MINUTE, HOUR, 6 * HOUR]) expect(run(new World(profile, { window }), { days: 10, perHour: 240, row: season }).alarms).toEqual([])
})

test('before a whole season was seen only a change that no season makes is an alarm', () => {
  const half = run(new World(PROFILE, { window: HOUR }), { days: 0.5, row: (row) => ({ ...row, amount: (row.amount as number) + 10 }) })
  expect(half.alarms).toEqual([])
  const far = run(new World(PROFILE, { window: HOUR }), { days: 0.5, row: (row) => ({ ...row, amount: 100 * (row.amount as number) }) })
  expect(causes(far)).toEqual(['amount js_bits'])
})

test('the same time in earlier seasons tells of a change within windows', () => {
  const world = run(new World(PROFILE, { window: HOUR }), { days: 4, perHour: 400, row: (row, time) => (time < MONDAY + 3 * DAY ? row : { ...row, amount: (row.amount as number) + 10 }) })
  expect(causes(world)).toEqual(['amount js_bits'])
  expect(world.alarms[0]!.time).toBe(MONDAY + 3 * DAY + 2 * HOUR)
})

test('an alarm is raised once, ends when the traffic is what it was, and can be raised again', () => {
  const broken = (row: Row, time: number): Row => ([2, 3, 8].includes(Math.floor((time - MONDAY) / DAY)) ? { ...row, amount: null } : row)
  const world = run(new World(PROFILE, { window: HOUR }), { days: 11, row: broken })
  expect(causes(world)).toEqual(['amount null_share', 'amount null_share'])
  expect(world.alarms.map(({ time }) => Math.floor((time - MONDAY) / DAY))).toEqual([2, 8])
  expect(world.ended.map(({ feature, cause }) => `${feature} ${cause}`)).toEqual(['amount null_share', 'amount null_share'])
})

test('persistence: a single window is not enough', () => {
  const burst = (row: Row, time: number): Row => (time >= MONDAY + DAY && time < MONDAY + DAY + HOUR ? { ...row, plan: 'x' } : row)
  // An hour is 4 % of a day: the season shows it, too, in every judgement of it.
  expect(causes(run(new World(PROFILE, { window: HOUR, persistence: 30 }), { days: 3, row: burst }))).toEqual([])
  expect(causes(run(new World(PROFILE, { window: HOUR, persistence: 2 }), { days: 3, row: burst }))).toEqual(['plan unseen_share'])
})

describe('bad data', () => {
  test('NaN everywhere', () => {
    const world = run(new World(PROFILE, { window: HOUR }), { days: 1, row: (row) => ({ ...row, amount: NaN }) })
    expect(causes(world)).toEqual(['amount nan_share'])
    expect(world.alarms[0]!.reason).toMatch(/"amount" is NaN in every one of \d+ rows/)
  })

  test('10,000 new categories: counted all, named a few, in memory that does not grow', () => {
    const world = run(new World(PROFILE, { window: HOUR }), { days: 1, perHour: 1000, row: (row, _, i) => (i % 2 === 0 ? row : { ...row, plan: `plan ${i % 20_000}` }) })
    expect(causes(world)).toEqual(['plan unseen_share'])
    expect(world.alarms[0]!.score).toBeCloseTo(0.5, 1)
    expect(world.drift.names(world.plan.features[1]!).length).toBeLessThanOrEqual(100)
  })

  test('a constant', () => {
    const world = run(new World(PROFILE, { window: HOUR }), { days: 1.1, row: (row) => ({ ...row, amount: 90 }) })
    expect(causes(world)).toEqual(['amount js_bits'])
    expect(world.alarms[0]!.reason).toMatch(/"amount" is constant: nearly every value is about (90|89\.\d+);/)
  })

  test('a column of texts where numbers were', () => {
    const world = run(new World(PROFILE, { window: HOUR }), { days: 0.2, row: (row) => ({ ...row, amount: String(row.amount) }) })
    expect(causes(world)).toEqual(['amount wrong_type_share'])
  })

  test('a default value that stands for "not known"', () => {
    const profile = profileOf({ amount: numbers([...TRAINING, ...times(50, () => -999)], { sentinels: [{ value: -999, share: 50 / 5050, why: '' }] }), plan: PROFILE.features.plan! })
    const usual = (row: Row, i: number, every: number): Row => (i % every === 0 ? { ...row, amount: -999 } : row)
    expect(run(new World(profile, { window: HOUR }), { days: 2, row: (row, _, i) => usual(row, i, 100) }).alarms).toEqual([])
    const world = run(new World(profile, { window: HOUR }), { days: 1.1, row: (row, _, i) => usual(row, i, 10) })
    expect(causes(world)).toEqual(['amount sentinel_share'])
    expect(world.alarms[0]!.reason).toMatch(/\(-999\)/)
  })

  test('a column that never comes is missing and no alarm; one that came and went is', () => {
    const never = run(new World(PROFILE, { window: HOUR }), { days: 2, row: ({ amount }) => ({ amount }) })
    expect(never.alarms).toEqual([])
    expect(never.drift.state.met.has(1)).toBe(false)
    const gone = run(new World(PROFILE, { window: HOUR }), { days: 2, row: ({ amount, plan }, time) => (time < MONDAY + DAY ? { amount, plan } : { amount }) })
    expect(causes(gone)).toEqual(['plan null_share'])
  })

  test('eight rows tell nothing', () => {
    const world = new World(PROFILE, { window: DAY })
    for (let i = 0; i < 8; i++) world.add(MONDAY + i * HOUR, [{ amount: 1e6, plan: 'x' }])
    world.advance(MONDAY + DAY + 5000)
    expect(world.alarms).toEqual([])
  })
})

describe('the clock', () => {
  test('set back by two days, it goes on counting, and alarms again', () => {
    const world = run(new World(PROFILE, { window: HOUR }), { days: 3 })
    world.jump(MONDAY + DAY)
    run(world, { days: 2, row: (row) => ({ ...row, amount: null }) })
    expect(causes(world)).toEqual(['amount null_share'])
    expect(world.alarms[0]!.time).toBeLessThan(MONDAY + DAY + 3 * HOUR)
  })

  test('set ahead by a year, old counts are not taken for new ones', () => {
    const world = run(new World(PROFILE, { window: HOUR }), { days: 1, row: (row) => ({ ...row, amount: (row.amount as number) + 4 }) })
    world.jump(MONDAY + 365 * DAY)
    run(world, { days: 2 })
    expect(world.alarms).toEqual([])
  })
})
