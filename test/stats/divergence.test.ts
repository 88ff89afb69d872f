import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { gTest } from '../../gateway/stats/chi_square.ts'
import { debiased, hellinger, jsBias, jsBits, jsFloor, kullbackLeibler, lInfinity, normalisedDifference, occupied, psi, psiBias, psiFloor, totalVariation } from '../../gateway/stats/divergence.ts'
import { even, random } from './random.ts'

// Evidently's tests/stattests/test_stattests.py; the values are scipy's for the same vectors.
const REFERENCE = [16, 18, 16, 14, 12, 12]
const CURRENT = [16, 16, 16, 16, 16, 8]

describe('published values', () => {
  test('of one pair of histograms', () => {
    expect(jsBits(REFERENCE, CURRENT)).toBeCloseTo(0.0066804816, 9)
    expect(Math.sqrt(jsBits(REFERENCE, CURRENT))).toBeCloseTo(0.0817342133, 9)
    expect(Math.sqrt(jsBits(REFERENCE, CURRENT) * Math.LN2)).toBeCloseTo(0.0680481962, 9)
    expect(lInfinity(REFERENCE, CURRENT).distance).toBeCloseTo(0.0454545455, 9)
    expect(psi(REFERENCE, CURRENT)).toBeCloseTo(0.0372183816, 9)
    expect(totalVariation(REFERENCE, CURRENT)).toBeCloseTo(0.0681818182, 9)
    expect(kullbackLeibler(REFERENCE, CURRENT)).toBeCloseTo(0.018909677, 9)
    expect(Math.abs(hellinger(REFERENCE, CURRENT) - 0.06812)).toBeLessThan(1e-5)
  })

  test('the documentation of scipy.spatial.distance.jensenshannon (roots, there)', () => {
    expect(Math.sqrt(jsBits([1, 0, 0], [0, 1, 0]))).toBe(1)
    // In nats.
    expect(Math.sqrt(jsBits([1, 0], [0.5, 0.5]) * Math.LN2)).toBeCloseTo(0.46450140402245893, 12)
    const a = [[1, 2, 3, 4], [5, 6, 7, 8], [9, 10, 11, 12]]
    const b = [[13, 14, 15, 16], [17, 18, 19, 20], [21, 22, 23, 24]]
    const columns = (rows: number[][]) => rows[0]!.map((_, i) => rows.map((row) => row[i]!))
    const roots = (x: number[][], y: number[][]) => x.map((row, i) => Number(Math.sqrt(jsBits(row, y[i]!) * Math.LN2).toFixed(7)))
    expect(roots(columns(a), columns(b))).toEqual([0.1954288, 0.1447697, 0.1138377, 0.0927636])
    expect(roots(a, b)).toEqual([0.1402339, 0.0399106, 0.0201815])
  })

  test("TFDV's L∞ and normalised absolute difference (anomalies/metrics_test.cc)", () => {
    expect(lInfinity([0.1, 0.9], [0.3, 0.7])).toEqual({ distance: expect.closeTo(0.2, 12), index: 1 })
    expect(lInfinity([0, 0.9, 0.1], [0.3, 0.7, 0])).toEqual({ distance: expect.closeTo(0.3, 12), index: 0 })
    expect(normalisedDifference([0.1, 0.9], [0.3, 0.7]).distance).toBeCloseTo(0.1, 12)
    expect(normalisedDifference([1, 5], [10, 50])).toEqual({ distance: expect.closeTo(0.68181818, 8), index: 1 })
    // {a, a, b, b, c, c} and the same with a d: NannyML's 1/7. Equal differences: the last one.
    expect(lInfinity([2, 2, 2, 0], [2, 2, 2, 1])).toEqual({ distance: expect.closeTo(1 / 7, 12), index: 3 })
    expect(lInfinity([1, 1], [0, 2]).index).toBe(1)
  })

  test('against scipy with a cell that one side does not have', () => {
    expect(jsBits([30, 5, 7, 120], [25, 9, 14, 0])).toBeCloseTo(0.5498729678675358, 12)
    expect(kullbackLeibler([30, 5, 7, 120], [25, 9, 14, 0])).toBe(Infinity)
    expect(psi([1, 3], [0, 4])).toBeCloseTo((1 / 4 - 1 / 8) * Math.log(2) + (3 / 4 - 1) * Math.log(3 / 4), 12)
  })

  test('nothing to compare', () => {
    expect([jsBits([0, 0], [1, 2]), psi([1], [0]), lInfinity([], []), kullbackLeibler([0], [1])]).toEqual([NaN, NaN, { distance: NaN, index: -1 }, NaN])
  })
})

const pair = fc.integer({ min: 1, max: 20 }).chain((k) => {
  const counts = fc.array(fc.nat(1000), { minLength: k, maxLength: k }).filter((all) => all.some((count) => count > 0))
  return fc.tuple(counts, counts)
})

describe('properties', () => {
  test('Jensen–Shannon: symmetric, 0 to 1, 0 on itself and on its multiples', () => {
    fc.assert(
      fc.property(pair, ([a, b]) => {
        const js = jsBits(a, b)
        expect(js).toBeGreaterThanOrEqual(0)
        expect(js).toBeLessThanOrEqual(1)
        expect(jsBits(b, a)).toBeCloseTo(js, 14)
        expect(jsBits(a, a)).toBe(0)
        expect(jsBits(a, a.map((count) => 3 * count))).toBeLessThan(1e-15)
      }),
    )
  })

  test('G = 2 N · weighted Jensen–Shannon in nats, computed both ways', () => {
    fc.assert(
      fc.property(pair, ([a, b]) => {
        const kept = a.map((_, i) => i).filter((i) => a[i]! + b[i]! > 0)
        if (kept.length < 2) return
        expect(weighted(a, b)).toBeCloseTo(gTest(a, b, 0).statistic, 6)
      }),
    )
  })

  test('one outlier among n rows moves a divergence in fixed cells by O(log n / n) (in cells that follow the data: 0.85 bits)', () => {
    for (const n of [100, 1000, 10_000, 100_000]) {
      const rows = Array.from({ length: 10 }, () => n / 10)
      const moved = jsBits([...rows, 0], [...rows, 1])
      expect(moved).toBeGreaterThan(0)
      expect(moved).toBeLessThan(Math.log2(n) / n)
    }
  })
})

describe('noise floors', () => {
  test('the formula, by hand and by the table', () => {
    expect(jsBias(10, 1000, 1000)).toBeCloseTo(0.00325, 5)
    expect(jsBias(30, 10_000, 1000)).toBeCloseTo(0.00575, 5)
    expect(psiBias(10, 10_000, 500)).toBeCloseTo(0.0189, 4)
    expect(psiBias(100, 10_000, 1000)).toBeCloseTo(0.109, 3)
    // χ²₉ at 1 %: 21.666.
    expect(psiFloor(10, 1000, 1000, 0.01)).toBeCloseTo(21.665994 * 0.002, 7)
    expect([jsBias(1, 10, 10), jsFloor(1, 10, 10, 0.01)]).toEqual([0, 0])
    expect([debiased(0.3, 0.1), debiased(0.1, 0.3)]).toEqual([expect.closeTo(0.2, 12), 0])
    expect(occupied([1, 0, 0], [0, 2, 0])).toBe(2)
  })

  test('rows needed until the floor is below a threshold, at 0.001 over 200 features', () => {
    for (const [tau, k, rows] of [[0.01, 10, 739], [0.05, 20, 214], [0.1, 30, 136], [0.3, 10, 25]] as const) {
      expect(Math.abs(jsFloor(k, 1e12, rows, 0.001 / 200) / tau - 1)).toBeLessThan(0.02)
    }
  })

  test.each([
    [10, 1000, 1000],
    [10, 10_000, 500],
    [30, 3000, 1000],
  ])('without drift the mean and the 99th percentile are as stated: %i cells, %i and %i rows', (k, n, m) => {
    const { counts } = random(k * n + m)
    const cumulative = even(k)
    const runs = 400
    const js: number[] = []
    const stability: number[] = []
    for (let i = 0; i < runs; i++) {
      const [a, b] = [counts(cumulative, n), counts(cumulative, m)]
      js.push(jsBits(a, b))
      stability.push(psi(a, b))
    }
    const unit = 1 / n + 1 / m
    // Of a mean of χ²/(k − 1) over the runs: four of its standard deviations, and 3 % for what is asymptotic.
    const slack = 0.03 + 4 * Math.sqrt(2 / ((k - 1) * runs))
    expect(Math.abs(mean(js) / jsBias(k, n, m) - 1)).toBeLessThan(slack)
    expect(Math.abs(mean(stability) / psiBias(k, n, m) - 1)).toBeLessThan(slack)
    // At most 1 % above the quantile: binomial, 400 · 0.01 = 4, P(> 12) < 0.0003.
    expect(js.filter((score) => score > jsFloor(k, n, m, 0.01)).length).toBeLessThanOrEqual(12)
    expect(stability.filter((score) => score > psiFloor(k, n, m, 0.01) * (1 + 5 * unit)).length).toBeLessThanOrEqual(12)
  })
})

function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length
}

/** 2 N times the Jensen–Shannon divergence in nats, each side weighted by its rows. */
function weighted(a: readonly number[], b: readonly number[]): number {
  const total = (counts: readonly number[]) => counts.reduce((sum, count) => sum + count, 0)
  const [n, m] = [total(a), total(b)]
  const entropy = (shares: readonly number[]) => -shares.reduce((sum, share) => sum + (share > 0 ? share * Math.log(share) : 0), 0)
  const shares = (counts: readonly number[], of: number) => counts.map((count) => count / of)
  return 2 * ((n + m) * entropy(a.map((count, i) => (count + b[i]!) / (n + m))) - n * entropy(shares(a, n)) - m * entropy(shares(b, m)))
}
