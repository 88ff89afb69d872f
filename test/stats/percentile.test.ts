import fc from 'fast-check'
import { expect, test } from 'vitest'
import { Percentile } from '../../gateway/stats/percentile.ts'

/** Half the width of a bucket whose bounds are 2 % apart: 0.02 / 2.02. */
const ERROR = 0.00991

function filled(percent: number, values: readonly number[], enough = 1): Percentile {
  const percentile = new Percentile(percent, 60_000, enough)
  for (const value of values) percentile.record(value, 0)
  return percentile
}

function near(value: number | null, expected: number): void {
  expect(value).not.toBeNull()
  expect(Math.abs(value! / expected - 1)).toBeLessThanOrEqual(ERROR)
}

test('nearest rank: of 1 to 100 ms, 95 are at most 95', () => {
  const values = Array.from({ length: 100 }, (_, i) => i + 1)
  near(filled(95, values).value, 95)
  near(filled(50, values.toReversed()).value, 50)
  near(filled(99.9, values).value, 100)
})

test('nothing is known before there are enough', () => {
  const percentile = new Percentile(95, 60_000, 50)
  for (let i = 0; i < 49; i++) percentile.record(10, 0)
  expect(percentile.value).toBeNull()
  percentile.record(10, 0)
  near(percentile.value, 10)
})

test('what is outside counts as the bound', () => {
  expect(filled(50, [0]).value).toBeCloseTo(0.1, 2)
  const most = filled(50, [1e12]).value!
  expect(most).toBeGreaterThan(3_600_000 * 0.98)
  expect(most).toBeLessThan(3_600_000 * 1.05)
})

test('within one per cent of the sorted values, asked at any time', () => {
  const sample = fc.double({ min: 0.2, max: 3_000_000, noNaN: true })
  fc.assert(
    fc.property(fc.double({ min: 1, max: 100, noNaN: true }), fc.array(sample, { minLength: 1, maxLength: 200 }), (percent, values) => {
      const percentile = new Percentile(percent, 60_000, 1)
      values.forEach((value, i) => {
        percentile.record(value, 0)
        const sorted = values.slice(0, i + 1).sort((a, b) => a - b)
        near(percentile.value, sorted[Math.max(1, Math.ceil((percent * sorted.length) / 100)) - 1]!)
      })
    }),
  )
})

test('the last minute counts: what is older than that is gone', () => {
  const percentile = new Percentile(50, 60_000, 10)
  for (let i = 0; i < 100; i++) percentile.record(1000, i)
  near(percentile.value, 1000)
  // The second half begins with the first sample after 30 s; from there on both halves are looked at.
  for (let i = 0; i < 90; i++) percentile.record(10, 30_000 + i)
  near(percentile.value, 1000)
  for (let i = 0; i < 20; i++) percentile.record(10, 30_100 + i)
  near(percentile.value, 10)
  // The third half: the 100 slow ones are forgotten, the 110 of the half before are not.
  for (let i = 0; i < 100; i++) percentile.record(2000, 60_100 + i)
  near(percentile.value, 10)
  for (let i = 0; i < 11; i++) percentile.record(2000, 60_200 + i)
  near(percentile.value, 2000)
})

test('a quiet route does not forget before it has learned anew', () => {
  const percentile = new Percentile(50, 60_000, 50)
  for (let i = 0; i < 50; i++) percentile.record(10, 0)
  for (let hour = 1; hour <= 49; hour++) percentile.record(20, hour * 3_600_000)
  near(percentile.value, 10)
})
