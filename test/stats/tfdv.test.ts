/** Values of TFDV's own tests: anomalies/metrics_test.cc, utils/quantiles_util_test.py, integration_tests/drift_skew_metrics_test.py. */
import { describe, expect, test } from 'vitest'
import { affineOf } from '../../gateway/stats/affine.ts'
import { jsBits } from '../../gateway/stats/divergence.ts'
import { Grid } from '../../gateway/stats/grid.ts'
import { coarsen, countGroups } from '../../gateway/stats/groups.ts'
import { quantileBuckets, standardBuckets } from '../../gateway/stats/tfdv_histogram.ts'
import { type Histogram, tfdvJs, tfdvJsOfLabels } from '../../gateway/stats/tfdv.ts'
import { random } from './random.ts'

type Triple = readonly [low: number, high: number, count: number]

function histogram(buckets: readonly Triple[], nan = 0): Histogram {
  return { buckets: buckets.map(([low, high, count]) => ({ low, high, count })), nan }
}

describe('divergence', () => {
  test.each<[string, Histogram, Histogram, number]>([
    ['different bounds', histogram([[1, 2, 2], [2, 3, 2]]), histogram([[2, 4, 2], [4, 6, 2]]), 0.65563906222],
    ['NaN on one side', histogram([[1, 2, 3]], 1), histogram([[1, 2, 4]]), 0.13792538096],
    ['NaN is never itself', histogram([], 1), histogram([], 1), 1],
    ['no overlap', histogram([[0, 1, 2], [1, 2, 2]]), histogram([[3, 4, 2], [4, 6, 2]]), 1],
    ['points', histogram([[0, 0, 1], [1, 1, 1]]), histogram([[0, 0, 1], [2, 2, 1]]), 0.5],
    ['a point is never in a range', histogram([[0, 0, 1], [1, 2, 1]]), histogram([[1, 1, 1], [2, 2, 1]]), 1],
    ['one point and ranges', histogram([[10, 10, 21]]), histogram([[1, 9, 7], [9, 17, 7], [17, 25, 7]]), 1],
    ['infinite values never match', histogram([[-Infinity, Infinity, 4]]), histogram([[-Infinity, Infinity, 4]]), 1],
    ['itself', histogram([[1, 2.3, 3], [2.3, 3.6, 1], [3.6, 5, 2]]), histogram([[1, 2.3, 3], [2.3, 3.6, 1], [3.6, 5, 2]]), 0],
    ['NaN is lost where bounds differ', histogram([[1, 2, 3]], 3), histogram([[1, 1.5, 2], [1.5, 2, 2]]), 0],
  ])('%s', (_, a, b, expected) => expect(tfdvJs(a, b)).toBeCloseTo(expected, 9))

  test('labels', () => {
    expect(tfdvJsOfLabels(new Map([['b', 2], ['a', 2], ['c', 1]]), new Map([['a', 2], ['Z', 1], ['Y', 1], ['X', 1]]))).toBeCloseTo(0.6, 9)
    expect(tfdvJsOfLabels(new Map(), new Map([['a', 1]]))).toBeNaN()
    expect(tfdvJs(histogram([]), histogram([[0, 1, 1]]))).toBeNaN()
  })
})

describe('histograms out of quantiles', () => {
  const counts = (buckets: readonly { readonly count: number }[]) => buckets.map(({ count }) => count)
  const [quantiles, cumulative] = [[1, 2, 2, 2, 3, 3, 4], [1, 34, 34, 34, 51, 51, 60]]

  test("TFDV's values, with quantiles that are equal", () => {
    expect(counts(quantileBuckets(quantiles, cumulative))).toEqual([12, 11, 11, 8.5, 8.5, 9])
    expect(counts(standardBuckets({ quantiles, cumulative, max: 4, infinite: 0 }, 2))).toEqual([38.25, 21.75])
  })

  test("TFDV's values, with quantiles that differ", () => {
    const column = { quantiles: [1, 2, 3, 4, 5, 7], cumulative: [2, 5, 7, 10, 12, 15], max: 7, infinite: 0 }
    expect(counts(standardBuckets(column, 2))).toEqual([10, 5])
    expect(counts(standardBuckets(column, 4))).toEqual([6, 4, 2.75, 2.25])
  })

  test('what is infinite is apart', () => {
    const column = { quantiles: [-Infinity, -Infinity, 1, 2, Infinity, Infinity], cumulative: [3, 7, 8, 10, 14, 15], max: 3, infinite: 4 }
    // 7 below; up to 1: one, up to 2: two; of the five left four are infinite.
    expect(standardBuckets(column, 2)).toEqual([
      { low: -Infinity, high: -Infinity, count: 7 },
      { low: 1, high: 2, count: 3 },
      { low: 2, high: 3, count: 1 },
      { low: Infinity, high: Infinity, count: 4 },
    ])
    expect(counts(standardBuckets({ quantiles: [-Infinity, Infinity], cumulative: [2, 5], max: -Infinity, infinite: 3 }, 10))).toEqual([5])
  })

  test('one value; a width that overflows', () => {
    expect(standardBuckets({ quantiles: [5, 5, 5], cumulative: [3, 3, 3], max: 5, infinite: 0 }, 10)).toEqual([{ low: 5, high: 5, count: 3 }])
    expect(standardBuckets({ quantiles: [-1.7e308, 0, 1.7e308], cumulative: [1, 2, 3], max: 1.7e308, infinite: 0 }, 10)).toEqual([])
  })
})

test('one value of 1e8 among 10,000: above 0.99 in ten equal widths, nothing in groups of the reference', () => {
  const { normal } = random(1)
  const reference = Float64Array.from({ length: 10_000 }, normal).sort()
  const current = Float64Array.of(...reference, 1e8)
  const at = Array.from({ length: 1001 }, (_, i) => i / 1000)
  const standard = (sorted: Float64Array) => {
    const ranks = at.map((p) => Math.min(sorted.length - 1, Math.floor(p * sorted.length)))
    return { buckets: standardBuckets({ quantiles: ranks.map((rank) => sorted[rank]!), cumulative: ranks.map((rank) => rank + 1), max: sorted.at(-1)!, infinite: 0 }, 10), nan: 0 }
  }
  expect(tfdvJs(standard(reference), standard(current))).toBeGreaterThan(0.99)
  // Buckets of their own quantiles hide it: below 0.15 with 10, below 0.02 with 100.
  const own = (sorted: Float64Array, k: number) => {
    const ranks = Array.from({ length: k + 1 }, (_, i) => Math.min(sorted.length - 1, Math.floor((i * sorted.length) / k)))
    return { buckets: quantileBuckets(ranks.map((rank) => sorted[rank]!), ranks.map((rank) => rank + 1)), nan: 0 }
  }
  expect(tfdvJs(own(reference, 10), own(current, 10))).toBeLessThan(0.15)
  expect(tfdvJs(own(reference, 100), own(current, 100))).toBeLessThan(0.02)
  const gridOf = (values: Float64Array) => {
    const grid = new Grid(affineOf(reference))
    for (const value of values) grid.add(value)
    return grid.cells
  }
  const groups = coarsen(gridOf(reference), 10)
  // One row in a group of its own: 1/(2n) bits.
  expect(jsBits(countGroups(groups, gridOf(reference)), countGroups(groups, gridOf(current)))).toBeLessThan(6e-5)
})
