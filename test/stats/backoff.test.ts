import fc from 'fast-check'
import { expect, test } from 'vitest'
import { backoff, retryAfter } from '../../gateway/stats/backoff.ts'

test('the longest wait doubles from base to max', () => {
  // 25 ms, doubled with every retry, at most 250 ms: Envoy's figures.
  expect([0, 1, 2, 3, 4, 60].map((n) => backoff(n, 25, 250, 0.5))).toEqual([12.5, 25, 50, 100, 125, 125])
  expect(backoff(3, 25, 250, 0)).toBe(0)
})

test('any draw lies in [0, min(max, base · 2ⁿ))', () => {
  fc.assert(
    fc.property(fc.nat(2000), fc.integer({ min: 1, max: 1000 }), fc.integer({ min: 1, max: 100_000 }), fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }), (n, base, max, random) => {
      const ms = backoff(n, base, max, random)
      expect(ms).toBeGreaterThanOrEqual(0)
      expect(ms).toBeLessThan(Math.min(max, base * 2 ** n))
    }),
  )
})

const DATE = 'Sun, 06 Nov 1994 08:49:37 GMT'

test.each([
  ['2', undefined, 2000],
  ['0', undefined, 0],
  // The three forms of RFC 9110 §5.6.7, 23 s after `Date`.
  ['Sun, 06 Nov 1994 08:50:00 GMT', DATE, 23_000],
  ['Sunday, 06-Nov-94 08:50:00 GMT', DATE, 23_000],
  ['Sun Nov  6 08:50:00 1994', DATE, 23_000],
  ['Sun, 06 Nov 1994 08:49:00 GMT', DATE, 0],
  ['Sun, 06 Nov 1994 08:50:00 GMT', undefined, Infinity],
  ['Sun, 06 Nov 1994 08:50:00 GMT', 'yesterday', Infinity],
  [undefined, DATE, null],
  ['', DATE, null],
  ['-1', DATE, null],
  ['1.5', DATE, null],
  ['soon', DATE, null],
  ['2030', undefined, 2_030_000],
  ['Monday morning', DATE, null],
  ['9999999999', DATE, null],
])('Retry-After %j with Date %j is %j ms', (value, date, ms) => {
  expect(retryAfter(value, date)).toBe(ms)
})
