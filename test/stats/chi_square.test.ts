import { describe, expect, test } from 'vitest'
import { chiSquare, gTest } from '../../gateway/stats/chi_square.ts'
import { binomialAtLeast, binomialAtMost, chi2Sf } from '../../gateway/stats/tails.ts'
import { even, random } from './random.ts'
import { contingency } from './scipy.ts'

const REFERENCE = [16, 18, 16, 14, 12, 12]
const CURRENT = [16, 16, 16, 16, 16, 8]

/** What Evidently and whylogs compute: the reference taken for exact. */
function goodnessOfFit(reference: readonly number[], current: readonly number[]): number {
  const [n, m] = [reference, current].map((side) => side.reduce((sum, count) => sum + count, 0)) as [number, number]
  const statistic = reference.reduce((sum, count, i) => sum + (current[i]! - (count * m) / n) ** 2 / ((count * m) / n), 0)
  return chi2Sf(statistic, reference.length - 1)
}

describe('published values', () => {
  test('the contingency table of one pair, and the goodness of fit that Evidently prints for it', () => {
    const { statistic, df, p } = chiSquare(REFERENCE, CURRENT)
    expect(statistic).toBeCloseTo(1.62240896, 8)
    expect(df).toBe(5)
    expect(p).toBeCloseTo(0.89852624, 8)
    expect(goodnessOfFit(REFERENCE, CURRENT)).toBeCloseTo(0.6730876, 7)
  })

  test("scipy's chi2_contingency, Pearson and log-likelihood", () => {
    const [a, b] = contingency.table
    expect(chiSquare(a, b, 0)).toMatchObject({ statistic: expect.closeTo(contingency.chi2[0]!, 10), p: expect.closeTo(contingency.chi2[1]!, 10) })
    expect(gTest(a, b, 0)).toMatchObject({ statistic: expect.closeTo(contingency.g[0]!, 10), p: expect.closeTo(contingency.g[1]!, 10) })
  })
})

describe('small cells', () => {
  test('are one cell together', () => {
    // 100 rows a side: cells of less than 10 rows together have an expected count below 5.
    const few = chiSquare([50, 41, 3, 3, 3], [50, 38, 4, 4, 4])
    expect(few).toEqual(chiSquare([50, 41, 9], [50, 38, 12], 0))
    expect(few.df).toBe(2)
  })

  test('that are too few even together join the smallest other', () => {
    expect(chiSquare([60, 38, 1, 1], [55, 43, 2, 0])).toEqual(chiSquare([60, 40], [55, 45], 0))
  })

  test('a category never seen before does not alarm by itself (whylogs: p = 0 for one row)', () => {
    expect(chiSquare([500, 500, 0], [500, 499, 1]).p).toBeGreaterThan(0.9)
  })

  test('nothing to tell', () => {
    for (const [a, b] of [[[5], [7]], [[0, 0], [3, 4]], [[], []], [[3, 0], [4, 0]]] as const) expect(chiSquare(a, b)).toEqual({ statistic: 0, df: 0, p: 1 })
  })
})

describe('false alarms at 5 %, 1000 rows a side', () => {
  test.each([3, 6, 10, 30])('%i categories: within binomial limits; the goodness of fit is not', (k) => {
    const { counts } = random(k)
    const cumulative = even(k)
    const runs = 1000
    let [two, g, one] = [0, 0, 0]
    for (let i = 0; i < runs; i++) {
      const [a, b] = [counts(cumulative, 1000), counts(cumulative, 1000)]
      if (chiSquare(a, b).p < 0.05) two++
      if (gTest(a, b).p < 0.05) g++
      if (goodnessOfFit(a, b) < 0.05) one++
    }
    for (const alarms of [two, g]) {
      expect(binomialAtLeast(alarms, runs, 0.05)).toBeGreaterThan(1e-4)
      expect(binomialAtMost(alarms, runs, 0.05)).toBeGreaterThan(1e-4)
    }
    // 22.6, 37.5, 50 and 86 % in the reference's simulation.
    const expected = { 3: 0.226, 6: 0.375, 10: 0.5, 30: 0.86 }[k]!
    expect(Math.abs(one / runs - expected)).toBeLessThan(0.06)
  })
})
