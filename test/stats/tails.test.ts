import { describe, expect, test } from 'vitest'
import { gammaQ } from '../../gateway/stats/gamma.ts'
import { binomialAtLeast, binomialAtMost, chi2Isf, chi2Sf, normalIsf, normalSf, wilson } from '../../gateway/stats/tails.ts'
import * as scipy from './scipy.ts'

function near(value: number, expected: number, tolerance = 1e-10): void {
  if (expected === 0) expect(Math.abs(value)).toBeLessThan(1e-300)
  else expect(Math.abs(value / expected - 1), `${value} is not ${expected}`).toBeLessThanOrEqual(tolerance)
}

describe('as scipy has it, to 1e-10', () => {
  test.each(scipy.gammaQ)('Q(%d, %d)', (a, x, expected) => near(gammaQ(a!, x!), expected!))
  test.each(scipy.chi2sf)('chi2.sf(%d, %d)', (x, df, expected) => near(chi2Sf(x!, df!), expected!))
  test.each(scipy.chi2isf)('chi2.isf(%d, %d)', (p, df, expected) => near(chi2Isf(p!, df!), expected!))
  test.each(scipy.normsf)('norm.sf(%d)', (z, expected) => near(normalSf(z!), expected!))
  test.each(scipy.binom)('binom.sf(%d − 1, %d, %d)', (k, n, p, expected) => near(binomialAtLeast(k!, n!, p!), expected!))
  test.each(scipy.normisf)('norm.isf(%d)', (p, expected) => expect(normalIsf(p!)).toBeCloseTo(expected!, 9))
  test.each(scipy.wilson)('wilson(%d, %d, %d)', (k, n, z, low, high) => {
    const [l, h] = wilson(k!, n!, z!)
    expect(l).toBeCloseTo(low!, 12)
    expect(h).toBeCloseTo(high!, 12)
  })
})

test('both tails together are everything, counted by hand too', () => {
  // Two dice coins: P(X ≤ 1 of 3 at ½) = 4/8.
  near(binomialAtMost(1, 3, 0.5), 0.5)
  for (const k of [0, 3, 17, 50]) {
    near(binomialAtMost(k, 50, 0.2) + binomialAtLeast(k + 1, 50, 0.2), 1, 1e-13)
  }
})

test('ends', () => {
  expect([gammaQ(2, 0), gammaQ(2, Infinity)]).toEqual([1, 0])
  expect([binomialAtLeast(0, 5, 0.1), binomialAtLeast(6, 5, 0.1), binomialAtMost(-1, 5, 0.1), binomialAtMost(5, 5, 0.1)]).toEqual([1, 0, 0, 1])
  expect([binomialAtLeast(1, 5, 0), binomialAtLeast(1, 5, 1)]).toEqual([0, 1])
  expect([normalIsf(0), normalIsf(1), chi2Isf(0, 3), chi2Isf(1, 3)]).toEqual([Infinity, -Infinity, Infinity, 0])
  expect(wilson(0, 0, 2)).toEqual([0, 1])
})
