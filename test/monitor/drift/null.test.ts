/**
 * Nothing drifts: training data and window come from one population, anew each time, and thresholds are 0, so that noise floors and the budget alone
 * keep alarms away. The share of moments with an alarm must not be above q, beyond binomial chance, from 50 to a million rows a window.
 */
import { expect, test } from 'vitest'
import type { FeatureProfile } from '../../../gateway/profile/profile.ts'
import { findings } from '../../../gateway/monitor/drift/findings.ts'
import { Judge } from '../../../gateway/monitor/drift/judge.ts'
import { binomialAtLeast } from '../../../gateway/stats/tails.ts'
import { cellOf } from '../../../gateway/stats/grid.ts'
import { NULLS } from '../../../gateway/monitor/drift/counter.ts'
import { categories, normals, numbers, profileOf, random, times } from './profiles.ts'
import { DAY, HOUR, MONDAY, World } from './world.ts'

const RUNS = process.env.WEIR_PROOF === 'full' ? 3000 : 250
const Q = 0.1
const TRAINING = 2000
const NUMBERS = times(40, (i) => Math.exp(-(((i - 18) / 8) ** 2) / 2))
const SHARES = [60, 25, 10, 4, 1]
const NULL_SHARE = 0.02

/** Counts of n draws, exactly distributed where they are few, by the normal distribution where they are many. */
function sampler(seed: number): (n: number, weights: readonly number[]) => number[] {
  const [u, z] = [random(seed), normals(seed + 1)]
  function binomial(n: number, p: number): number {
    if (n * p * (1 - p) > 100) return Math.min(n, Math.max(0, Math.round(n * p + Math.sqrt(n * p * (1 - p)) * z())))
    if (p > 0.5) return n - binomial(n, 1 - p)
    if (p <= 0) return 0
    // Waiting times between successes are geometric.
    let [count, at] = [-1, 0]
    while (at <= n) {
      at += Math.floor(Math.log(1 - u()) / Math.log1p(-p)) + 1
      count++
    }
    return count
  }
  return (n, weights) => {
    let [left, rest] = [n, weights.reduce((sum, w) => sum + w, 0)]
    return weights.map((weight) => {
      const count = rest > 0 ? binomial(left, Math.min(1, weight / rest)) : 0
      left -= count
      rest -= weight
      return count
    })
  }
}

test.each([50, 300, 2000, 20_000, 1_000_000])('windows of %d rows', { timeout: 600_000 }, (rows) => {
  const draw = sampler(rows)
  const presence = (nulls: number): Pick<FeatureProfile, 'presence'> => ({ presence: { rows: TRAINING, absent: 0, nulls, nan: 0, infinite: 0, min_fraction: 0 } })
  let moments = 0
  for (let run = 0; run < RUNS; run++) {
    const features: Record<string, FeatureProfile> = {}
    for (let i = 0; i < 6; i++) {
      const [nulls, values] = draw(TRAINING, [NULL_SHARE, 1 - NULL_SHARE]) as [number, number]
      features[`number ${i}`] = numbers(draw(values, NUMBERS).flatMap((n, value) => times(n, () => value)), presence(nulls))
      features[`category ${i}`] = categories(Object.fromEntries(draw(values, SHARES).map((n, k) => [`v${k}`, n])), presence(nulls))
    }
    const rules = Object.fromEntries(Object.keys(features).map((name) => [name, { threshold: 1e-12 }]))
    const world = new World(profileOf(features), { window: DAY, share: 0, rules })
    const cells = new Uint32Array(world.plan.words)
    for (const watched of world.plan.features) {
      const [nulls, values] = draw(rows, [NULL_SHARE, 1 - NULL_SHARE]) as [number, number]
      cells[watched.at + watched.cells + NULLS] = nulls
      const { numeric } = watched
      draw(values, numeric === null ? SHARES : NUMBERS).forEach((n, k) => void (cells[watched.at + (numeric === null ? k : cellOf((k - numeric.centre) / numeric.scale))]! += n))
    }
    const limits = { q: Q, level: Q / world.plan.features.length }
    const judged = { from: MONDAY, to: MONDAY + DAY, rows, cells }
    const found = world.plan.features.flatMap((watched) => findings(watched, { level: 'season', judged, whole: true, limits }, world.drift))
    if (new Judge().moment(found, MONDAY + DAY, Q, 1, DAY).alarms.length > 0) moments++
  }
  expect(binomialAtLeast(moments, RUNS, Q), `${moments} of ${RUNS} moments`).toBeGreaterThan(0.001)
  // And it is no detector that never says anything: with rows enough for the tests it comes near q.
  if (rows >= 2000) expect(moments / RUNS).toBeGreaterThan(Q / 5)
})

test('four weeks of twelve columns with the defaults: no more alarms than the budget', { timeout: 600_000 }, () => {
  const [z, u] = [normals(11), random(12)]
  const features: Record<string, FeatureProfile> = {}
  for (let i = 0; i < 6; i++) {
    features[`n${i}`] = numbers(times(3000, () => Math.exp(z())))
    features[`c${i}`] = categories({ a: 1500, b: 900, c: 600 })
  }
  for (const [window, perHour] of [[HOUR, 50], [DAY, 20]] as const) {
    const world = new World(profileOf(features), { window })
    for (let i = 0; i < 28 * 24 * perHour; i++) {
      const row: Record<string, number | string> = {}
      for (let k = 0; k < 6; k++) {
        row[`n${k}`] = Math.exp(z())
        row[`c${k}`] = 'aaaaabbbcc'[Math.floor(10 * u())]!
      }
      world.add(MONDAY + (i * HOUR) / perHour, [row])
    }
    expect(world.alarms.length).toBeLessThanOrEqual(4)
  }
})
