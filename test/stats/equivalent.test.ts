import { describe, expect, test } from 'vitest'
import { jsBits, psi } from '../../gateway/stats/divergence.ts'
import { EquivalentShift, massOfJs, type Score, shiftOfKs } from '../../gateway/stats/equivalent.ts'
import { kolmogorov } from '../../gateway/stats/ks.ts'
import { chi2Isf, normalSf } from '../../gateway/stats/tails.ts'

describe('published defaults on one scale, deciles (the reference computed them exactly)', () => {
  test.each<[string, Score, number, number]>([
    ['NannyML, JS distance base 2 of 0.1', 'js', 0.1 ** 2, 0.24],
    ['Evidently, JS distance in nats of 0.1', 'js', 0.1 ** 2 / Math.LN2, 0.29],
    ['Vertex, JS divergence of 0.3', 'js', 0.3, 1.5],
    ['Hellinger of 0.1', 'hellinger', 0.1, 0.29],
    ['PSI of 0.1', 'psi', 0.1, 0.32],
    ['PSI of 0.2', 'psi', 0.2, 0.46],
    ['PSI of 0.25', 'psi', 0.25, 0.51],
    ['weir warns', 'js', 0.02, 0.34],
    ['weir alarms', 'js', 0.1, 0.79],
  ])('%s', (_, kind, score, sigma) => {
    expect(Math.abs(new EquivalentShift(kind, 10).sigma(score) - sigma)).toBeLessThanOrEqual(0.0051)
  })

  test('Kolmogorov–Smirnov: 0.1 (SageMaker), and the critical values of 10,000 and 1,000,000 rows', () => {
    expect(Math.abs(shiftOfKs(0.1) - 0.25)).toBeLessThan(0.0051)
    const critical = (n: number) => 1.3581 * Math.sqrt(2 / n)
    expect(kolmogorov(1.3581)).toBeCloseTo(0.05, 5)
    expect(Math.abs(shiftOfKs(critical(10_000)) - 0.048)).toBeLessThan(0.0005)
    expect(Math.abs(shiftOfKs(critical(1_000_000)) - 0.0048)).toBeLessThan(0.00005)
    expect([shiftOfKs(0), shiftOfKs(1)]).toEqual([0, Infinity])
  })
})

describe('the scale', () => {
  test('two groups, by hand: the share below 0 of N(1, 1) is 0.1587', () => {
    const below = 0.15865525393145707
    expect(new EquivalentShift('js', 2).sigma(jsBits([0.5, 0.5], [below, 1 - below]))).toBeCloseTo(1, 3)
    expect(new EquivalentShift('l_infinity', 2).sigma(0.5 - below)).toBeCloseTo(1, 3)
    expect(new EquivalentShift('psi', 2).sigma((0.5 - below) * Math.log(0.5 / below) + (below - 0.5) * Math.log(0.5 / (1 - below)))).toBeCloseTo(1, 3)
  })

  test('between the entries of the table: two groups, any shift up to 4', () => {
    const tables = { js: new EquivalentShift('js', 2), psi: new EquivalentShift('psi', 2), l_infinity: new EquivalentShift('l_infinity', 2) }
    for (const shift of [0.005, 0.05, 0.11, 0.33, 0.77, 1.234, 2.71, 3.99]) {
      const q = normalSf(shift)
      expect(Math.abs(tables.js.sigma(jsBits([0.5, 0.5], [q, 1 - q])) - shift)).toBeLessThan(0.002)
      expect(Math.abs(tables.psi.sigma(psi([0.5, 0.5], [q, 1 - q])) - shift)).toBeLessThan(0.002)
      expect(Math.abs(tables.l_infinity.sigma(0.5 - q) - shift)).toBeLessThan(0.002)
    }
  })

  test('rises with the score, from 0 to 8', () => {
    for (const kind of ['js', 'psi', 'l_infinity', 'hellinger'] as const) {
      const table = new EquivalentShift(kind, 20)
      const shifts = Array.from({ length: 50 }, (_, i) => table.sigma(i / 60))
      expect(shifts[0]).toBe(0)
      for (let i = 1; i < shifts.length; i++) expect(shifts[i]).toBeGreaterThan(shifts[i - 1]!)
      expect([table.sigma(1e9), table.sigma(NaN), table.sigma(-1)]).toEqual([8, NaN, 0])
    }
  })

  test('mass that moved: by hand, and back', () => {
    // All of it: 1 bit. Half of it, from one value: log2 terms of ¾ and ¼.
    expect(massOfJs(1)).toBeCloseTo(1, 6)
    expect(massOfJs((Math.log2(4 / 3) + 0.5 * Math.log2(2 / 3) + 0.5) / 2)).toBeCloseTo(0.5, 9)
    expect(massOfJs(0)).toBeCloseTo(0, 9)
    expect(massOfJs(NaN)).toBeNaN()
    // Taken alike from three values it is the same.
    expect(massOfJs(jsBits([5, 3, 2, 0], [4.5, 2.7, 1.8, 1]))).toBeCloseTo(0.1, 9)
  })
})

test('the floor of a window as a shift: 500 rows against many see 0.2 σ at best', () => {
  // χ²₉ at 1 % is 21.67: 21.67 / 500 / (8 ln 2) bits.
  expect(new EquivalentShift('js', 10).sigma(chi2Isf(0.01, 9) / 500 / (8 * Math.LN2))).toBeGreaterThan(0.2)
})
