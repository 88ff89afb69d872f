/**
 * TFDV's histograms out of quantiles (utils/quantiles_util.py): the QUANTILES kind, and the STANDARD kind of equal widths between least and largest.
 *
 * Idea: quantiles ascending with the counts up to and with each; what an interval holds is spread evenly in it. What is infinite is told apart.
 * Error: within a standard bucket the mass of one quantile interval at each end.
 */
import type { Bucket } from './tfdv.ts'

/** One bucket from each quantile to the next. @param cumulative counts up to each quantile, as long as `quantiles` (from 2) */
export function quantileBuckets(quantiles: readonly number[], cumulative: readonly number[]): Bucket[] {
  const shares = shared(quantiles, cumulative)
  return quantiles.slice(1).map((high, i) => ({ low: quantiles[i]!, high, count: shares[i]! }))
}

/** Of a numeric column, what the standard histogram is made of. */
export interface Quantiles {
  readonly quantiles: readonly number[]
  /** Counts up to each quantile, −∞ and ∞ included. */
  readonly cumulative: readonly number[]
  /** The largest finite value. */
  readonly max: number
  /** Values that are +∞. */
  readonly infinite: number
}

/** `count` buckets of equal width over the finite values, with one for each infinity; none where the width overflows. */
export function standardBuckets({ quantiles, cumulative, max, infinite }: Quantiles, count: number): Bucket[] {
  const first = quantiles.findIndex((quantile) => quantile !== -Infinity)
  const last = infinite > 0 ? quantiles.indexOf(Infinity) : -1
  if (first < 0 || first === last) return [{ low: Infinity, high: -Infinity, count: cumulative.at(-1)! }]
  const negative = first > 0 ? cumulative[first - 1]! : 0
  const finite = quantiles.slice(first, last < 0 ? undefined : last)
  const counts = cumulative.slice(first, last < 0 ? undefined : last).map((upTo) => upTo - negative)
  // The interval that ends in +∞ holds finite values too.
  if (infinite > 0) {
    finite.push(max)
    counts.push(cumulative.at(-1)! - negative - infinite)
  }
  const buckets = equalWidths(quantileBuckets(finite, counts), finite[0]!, max, count)
  if (buckets.length === 0) return []
  if (negative > 0) buckets.unshift({ low: -Infinity, high: -Infinity, count: negative })
  if (infinite > 0) buckets.push({ low: Infinity, high: Infinity, count: infinite })
  return buckets
}

function equalWidths(buckets: readonly Bucket[], min: number, max: number, count: number): Bucket[] {
  if (!Number.isFinite(max - min)) return []
  if (min === max) return [{ low: min, high: max, count: massOf(buckets) }]
  const bounds = Array.from({ length: count + 1 }, (_, i) => (i === count ? max : min + (i * (max - min)) / count))
  return bounds.slice(1).map((high, i) => ({ low: bounds[i]!, high, count: within(buckets, bounds[i]!, high, i === 0) }))
}

/** The mass of the buckets in [low, high); of a point bucket, in (low, high], with low only in the first. */
function within(buckets: readonly Bucket[], low: number, high: number, first: boolean): number {
  let mass = 0
  for (const bucket of buckets) {
    if (bucket.low === bucket.high) {
      if ((bucket.low > low || (first && bucket.low === low)) && bucket.low <= high) mass += bucket.count
    } else mass += (Math.max(0, Math.min(high, bucket.high) - Math.max(low, bucket.low)) / (bucket.high - bucket.low)) * bucket.count
  }
  return mass
}

/** Counts of the intervals: equal upper bounds share what they hold; what the least value holds is shared by the intervals that equal the first. */
function shared(quantiles: readonly number[], cumulative: readonly number[]): number[] {
  const counts: number[] = []
  for (let i = 1; i < quantiles.length; ) {
    let end = i
    while (end + 1 < quantiles.length && quantiles[end + 1] === quantiles[i]) end++
    const share = (cumulative[end]! - cumulative[i - 1]!) / (end - i + 1)
    for (; i <= end; i++) counts.push(share)
  }
  let same = 1
  while (same < counts.length && quantiles[same] === quantiles[0] && quantiles[same + 1] === quantiles[1]) same++
  for (let i = 0; i < Math.min(same, counts.length); i++) counts[i]! += cumulative[0]! / same
  return counts
}

function massOf(buckets: readonly Bucket[]): number {
  return buckets.reduce((sum, { count }) => sum + count, 0)
}
