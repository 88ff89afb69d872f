/** The share of rows that a model takes for outliers, on a clock of the test's own: scores counted as the plugin does, seasons and hours, the budget. */
import { expect, test } from 'vitest'
import { countScores, type OutlierModel } from '../../../gateway/monitor/drift/outlier_model.ts'
import { ROWS } from '../../../gateway/monitor/drift/counter.ts'
import { numbers, profileOf, random, times } from './profiles.ts'
import { DAY, HOUR, MINUTE, MONDAY, World } from './world.ts'

const profile = profileOf({ a: numbers(times(1000, (i) => i)) }, 20_000)
const forest: OutlierModel = { name: 'forest', output: null, threshold: 0, below: true, usual: { expected: 1000, expectedOf: 20_000 } }
const learning: OutlierModel = { ...forest, usual: null }

function worldOf(model: OutlierModel, more: object = {}): World {
  return new World(profile, { window: HOUR, compared: new Set(), model, ...more })
}

/** Every ten minutes `rows` scores, of which a share by chance are outliers. */
function traffic(world: World, [from, to]: readonly [from: number, to: number], u: () => number, share: (time: number) => number, rows = 100): void {
  for (let time = from; time < to; time += 10 * MINUTE) {
    world.advance(time)
    let outliers = 0
    for (let i = 0; i < rows; i++) if (u() < share(time)) outliers++
    const { head } = world.counters[0]!
    head[ROWS]! += 10 * rows
    countScores(head, outliers, rows)
  }
  world.advance(to + 10 * MINUTE)
}

const DAYS = (n: number): number => MONDAY + n * DAY

test('ten weeks as usual: not more false alarms than the budget of one a week', () => {
  const world = worldOf(forest)
  traffic(world, [DAYS(0), DAYS(70)], random(1), () => 0.05)
  expect(world.alarms.length).toBeLessThanOrEqual(10)
})

test('hours differ: 3 % by day and 8 % by night are no alarm', () => {
  const world = worldOf(forest)
  traffic(world, [DAYS(0), DAYS(14)], random(2), (time) => (time % DAY < DAY * 0.4 ? 0.08 : 0.03))
  expect(world.alarms).toEqual([])
})

test('a window beyond twice the usual share, and a season with a little more', () => {
  const window = worldOf(forest)
  traffic(window, [DAYS(0), DAYS(2)], random(3), (time) => (time < DAYS(1) + 5 * HOUR ? 0.05 : 0.18))
  expect(window.alarms).toMatchObject([{ kind: 'outlier', feature: '', statistic: 'outlier_share', time: DAYS(1) + 6 * HOUR }])
  const season = worldOf(forest)
  traffic(season, [DAYS(0), DAYS(4)], random(4), (time) => (time < DAYS(1) ? 0.05 : 0.075))
  expect(season.alarms).toHaveLength(1)
  expect(season.alarms[0]!.time).toBeGreaterThan(DAYS(1) + 4 * HOUR)
  expect(season.alarms[0]!.time).toBeLessThanOrEqual(DAYS(2))
})

test('it is over when it is over', () => {
  const world = worldOf(forest)
  traffic(world, [DAYS(0), DAYS(5)], random(5), (time) => (time >= DAYS(1) && time < DAYS(2) ? 0.2 : 0.05))
  expect(world.alarms).toHaveLength(1)
  expect(world.ended).toMatchObject([{ feature: '', cause: 'outlier_share' }])
  expect(world.drift.state.judge.active.size).toBe(0)
})

test('too few scores tell nothing', () => {
  const world = worldOf(forest)
  traffic(world, [DAYS(0), DAYS(0) + HOUR], random(6), () => 1, 4)
  expect(world.alarms).toEqual([])
})

test('what is usual is learned from the first whole season, and then only', () => {
  const world = worldOf(learning)
  const u = random(7)
  traffic(world, [DAYS(0), DAYS(0) + 20 * HOUR], u, () => 0.3)
  expect(world.alarms).toEqual([])
  expect(world.drift.state.outliers!.usual).toBe(null)
  traffic(world, [DAYS(0) + 21 * HOUR, DAYS(3)], u, () => 0.3)
  const { usual } = world.drift.state.outliers!
  expect(usual!.expected / usual!.expectedOf).toBeCloseTo(0.3, 1)
  // 23 or 24 hours of 600 scores.
  expect(usual!.expectedOf).toBeGreaterThanOrEqual(13_000)
  expect(world.alarms).toEqual([])
  traffic(world, [DAYS(3) + 20 * MINUTE, DAYS(4)], u, () => 0.9)
  expect(world.alarms).toMatchObject([{ kind: 'outlier', time: DAYS(3) + HOUR }])
  expect(world.drift.state.outliers!.usual).toEqual(usual)
})

test('another model, or another threshold, is learned anew', () => {
  const world = worldOf(learning)
  traffic(world, [DAYS(0), DAYS(3)], random(8), () => 0.3)
  const first = world.drift.state.outliers!
  expect(first.usual).not.toBe(null)
  const changed = worldOf({ ...learning, threshold: -0.1 })
  changed.drift.state.outliers = first
  traffic(changed, [DAYS(0), DAYS(0) + 10 * HOUR], random(9), () => 0.02)
  expect(changed.drift.state.outliers.usual).toBe(null)
  expect(changed.drift.state.outliers.by).not.toBe(first.by)
  traffic(changed, [DAYS(0) + 11 * HOUR, DAYS(3)], random(9), () => 0.02)
  expect(changed.drift.state.outliers.usual!.expected / changed.drift.state.outliers.usual!.expectedOf).toBeCloseTo(0.02, 2)
})
