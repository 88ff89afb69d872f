import { expect, test } from 'vitest'
import { benjaminiHochberg } from '../../gateway/stats/fdr.ts'
import { random } from './random.ts'
import { fdr } from './scipy.ts'

test('as scipy.stats.false_discovery_control', () => {
  const ours = benjaminiHochberg(fdr.p)
  fdr.bh.forEach((expected, i) => expect(ours[i]).toBeCloseTo(expected, 12))
})

test('a test that was not made does not count', () => {
  expect(Array.from(benjaminiHochberg([NaN, 0.02, 0.04]))).toEqual([NaN, 0.04, 0.04])
  expect(benjaminiHochberg([])).toHaveLength(0)
})

test('200 features, 24 windows, no drift: hundreds of alarms uncorrected, hardly any corrected (the reference: 251 and 2)', () => {
  const { uniform } = random(3)
  let [raw, kept] = [0, 0]
  for (let window = 0; window < 24; window++) {
    const p = Array.from({ length: 200 }, uniform)
    raw += p.filter((value) => value <= 0.05).length
    kept += benjaminiHochberg(p).filter((value) => value <= 0.05).length
  }
  // Binomial: 240 ± 15. Windows with any discovery: 24 · 0.05 = 1.2.
  expect(Math.abs(raw - 240)).toBeLessThan(60)
  expect(kept).toBeLessThanOrEqual(7)
})
