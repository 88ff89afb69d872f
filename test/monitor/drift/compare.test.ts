/**
 * Scores against published oracles and other people's bugs. Values: scipy (jensenshannon base 2 squared, chi2_contingency, wasserstein_distance,
 * ks_2samp) on the vectors of Evidently's test_stattests.py; TensorFlow Data Validation's drift_skew_metrics_test.py.
 */
import { describe, expect, test } from 'vitest'
import { chiSquare } from '../../../gateway/stats/chi_square.ts'
import { compare, type Side } from '../../../gateway/monitor/drift/compare.ts'
import { fenceOf, outlierCount } from '../../../gateway/monitor/drift/outliers.ts'
import { planOf, STATISTICS, type Watched } from '../../../gateway/monitor/drift/watched.ts'
import { cellOf } from '../../../gateway/stats/grid.ts'
import { categories, normals, numbers, profileOf, random, times } from './profiles.ts'

const plan = (feature: Parameters<typeof profileOf>[0][string]): Watched => planOf(profileOf({ x: feature }), new Map(), true).features[0]!

function sideOf(watched: Watched, values: readonly number[]): Side {
  const cells = new Uint32Array(watched.cells)
  const { centre, scale, groups } = watched.numeric!
  for (const value of values) cells[cellOf((value - centre) / scale)]!++
  const counts = new Float64Array(groups.count)
  cells.forEach((n, cell) => void (counts[groups.of[cell]!]! += n))
  return { groups: counts, cells, nan: 0 }
}

const training = (watched: Watched): Side => {
  const groups = new Float64Array(watched.numeric === null ? watched.cells : watched.numeric.groups.count)
  watched.baseline.cells.forEach((n, cell) => void (groups[watched.numeric === null ? cell : watched.numeric.groups.of[cell]!]! += n))
  return { groups, cells: watched.baseline.cells, nan: 0 }
}

test('categories: Evidently\'s vectors, scipy\'s values', () => {
  const watched = plan(categories({ 1: 16, 2: 18, 3: 16, 4: 14, 5: 12, 6: 12 }))
  const { scores, p, rows, reference } = compare(watched, { groups: Float64Array.of(16, 16, 16, 16, 16, 8), cells: null, nan: 0 }, training(watched), 0.01, ['js_bits', 'psi', 'l_infinity', 'ks'])
  expect([rows, reference]).toEqual([88, 88])
  expect(scores.js_bits!.score).toBeCloseTo(0.0066804816, 9)
  expect(scores.psi!.score).toBeCloseTo(0.0372183816, 9)
  expect(scores.l_infinity!.score).toBeCloseTo(0.0454545455, 9)
  expect(scores.ks).toBeUndefined()
  // Contingency G, not the goodness of fit that says 0.673: 2 N ln 2 JS with equal rows.
  expect(p).toBeCloseTo(0.898, 2)
})

test('numbers: cells lose little of what the values say', () => {
  const [z, next] = [normals(1), normals(2)]
  const [a, b] = [times(4000, () => z()), times(2000, () => 0.5 + next())]
  const watched = plan(numbers(a))
  const { scores } = compare(watched, sideOf(watched, b), training(watched), 0.01, STATISTICS)
  // Of N(0, 1) against N(½, 1): W1 = ½, D = 2 Φ(¼) − 1.
  expect(scores.wasserstein_sd!.score).toBeCloseTo(0.5, 1)
  expect(scores.ks!.score).toBeCloseTo(0.1974, 1)
  for (const name of ['js_bits', 'psi', 'ks', 'wasserstein_sd', 'l_infinity'] as const) expect(Math.abs(scores[name]!.equivalent! - 0.5), name).toBeLessThan(0.1)
  expect(scores.js_bits!.debiased).toBeLessThan(scores.js_bits!.score)
})

describe('bugs of others', () => {
  test('one outlier among 10,001 values: 0.99 by TFDV\'s equal widths, nothing here', () => {
    const z = normals(3)
    const values = times(10_000, () => z())
    const watched = plan(numbers(values))
    const { scores } = compare(watched, sideOf(watched, [...values, 1e8]), training(watched), 0.01, ['js_bits', 'tfdv_js_bits'])
    expect(scores.js_bits!.score).toBeLessThan(0.001)
    expect(scores.tfdv_js_bits!.score).toBeGreaterThan(0.9)
  })

  test('a chi-square that takes the reference for exact alarms in 30 % of the cases at 5 %; this one does in 5 %', () => {
    const next = random(4)
    let [ours, theirs] = [0, 0]
    const draw = (): Float64Array => {
      const counts = new Float64Array(6)
      for (let i = 0; i < 1000; i++) counts[Math.floor(6 * next())]!++
      return counts
    }
    for (let run = 0; run < 1000; run++) {
      const [reference, current] = [draw(), draw()]
      const watched = plan(categories(Object.fromEntries([...reference].map((n, i) => [`v${i}`, n]))))
      if (compare(watched, { groups: current, cells: null, nan: 0 }, training(watched), 0.01, []).p < 0.05) ours++
      // Goodness of fit: Σ (o − e)² / e, 5 degrees of freedom, critical value 11.07.
      if (reference.reduce((sum, e, i) => sum + (current[i]! - e) ** 2 / e, 0) > 11.07) theirs++
    }
    // 1000 runs at 5 %: binomial, 99.9 % between 29 and 74.
    expect(ours).toBeGreaterThan(28)
    expect(ours).toBeLessThan(75)
    expect(theirs).toBeGreaterThan(300)
    expect(chiSquare([1, 1], [1, 1]).p).toBe(1)
  })

  test('rows of one window against 1000: identical distributions do not differ without bias (TFDV reads 0.43 for 10 rows)', () => {
    const z = normals(5)
    const watched = plan(numbers(times(1000, () => z())))
    let sum = 0
    for (let i = 0; i < 200; i++) sum += compare(watched, sideOf(watched, times(50, () => z())), training(watched), 0.001, ['js_bits']).scores.js_bits!.debiased
    expect(sum / 200).toBeLessThan(0.02)
  })
})

test('the floor is what chance exceeds as often as it says', () => {
  const z = normals(6)
  let beyond = 0
  for (let i = 0; i < 400; i++) {
    const watched = plan(numbers(times(1000, () => z())))
    const { scores } = compare(watched, sideOf(watched, times(500, () => z())), training(watched), 0.05, ['js_bits'])
    if (scores.js_bits!.score > scores.js_bits!.floor!) beyond++
  }
  // 400 at 5 %: 99.9 % between 7 and 36.
  expect(beyond).toBeGreaterThan(6)
  expect(beyond).toBeLessThan(37)
})

test('outliers: Tukey\'s fence of uniform values is where it is by hand', () => {
  const watched = plan(numbers(times(10_001, (i) => i / 100), { role: 'prediction' }))
  const fence = fenceOf(watched, 3)!
  // Quartiles 25 and 75: 25 − 150 and 75 + 150, moved outwards by less than a cell (1/16 of the distance from the centre).
  expect(fence.low).toBeLessThanOrEqual(-125)
  expect(fence.low).toBeGreaterThan(-140)
  expect(fence.high).toBeGreaterThanOrEqual(225)
  expect(fence.high).toBeLessThan(240)
  const words = new Uint32Array(planOf(profileOf({ x: numbers(times(100, (i) => i), { role: 'prediction' }) }), new Map(), true).words)
  expect(outlierCount(watched, words, 3)).toMatchObject({ count: 0, of: 0, expected: 0, expectedOf: 10_001 })
})

test('rows that resemble each other count for fewer, by what days of the training data differ', () => {
  const floors = { '1d': { windows: 28, rows: 900, js_bits: { '0.5': 0.005, '0.9': 0.008, '1': 0.01 }, l_infinity: { '1': 0.1 } } }
  const z = normals(7)
  // 1 + 0.005 · 8 ln 2 · 900 / 9 by the median, (1 + 0.008 · …) / 1.63 by the 90 % quantile.
  expect(plan(numbers(times(1000, () => z()), { floors })).design).toBeCloseTo(1 + 0.005 * 8 * Math.LN2 * 100, 6)
  expect(plan(numbers(times(1000, () => z()))).design).toBe(1)
})
