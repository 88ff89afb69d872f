/**
 * Jensen–Shannon divergence exactly as TensorFlow Data Validation computes it, to compare weir's numbers with its.
 *
 * Source: tensorflow_data_validation/anomalies/metrics.cc and utils/quantiles_util.py (1.16). Known of it, and kept: NaN and infinite values never
 * match, not even themselves (a stable share of 5 % NaN scores 0.05); the count of NaN is lost where the bounds of the buckets differ; a
 * standard histogram has 10 equal buckets between the data's own least and largest value, so that one far value among 10,001 scores 0.99. weir's
 * own score (`divergence.ts` on `groups.ts`) has none of these.
 * Layout: buckets ascending; [low, high] with low = high is the mass of one point.
 */
import { jsBits } from './divergence.ts'

export interface Bucket {
  readonly low: number
  readonly high: number
  readonly count: number
}

export interface Histogram {
  readonly buckets: readonly Bucket[]
  readonly nan: number
}

/** Bits, at most 1; NaN where a side is empty (TFDV: an error). */
export function tfdvJs(a: Histogram, b: Histogram): number {
  const [left, right] = [strip(a), strip(b)]
  const [p, q] = aligned(left, right)
  for (const point of new Set([...left.points.keys(), ...right.points.keys()])) push(p, q, left.points.get(point) ?? 0, right.points.get(point) ?? 0)
  push(p, q, left.infinite, 0)
  push(p, q, 0, right.infinite)
  // Rebucketing makes new histograms and forgets NaN.
  if (sameBounds(left.ranges, right.ranges)) {
    push(p, q, 0, b.nan)
    push(p, q, a.nan, 0)
  }
  return jsBits(p, q)
}

/** Of labels with their counts; NaN where a side has none. */
export function tfdvJsOfLabels(a: ReadonlyMap<string, number>, b: ReadonlyMap<string, number>): number {
  const labels = [...new Set([...a.keys(), ...b.keys()])]
  return jsBits(labels.map((label) => a.get(label) ?? 0), labels.map((label) => b.get(label) ?? 0))
}

interface Stripped {
  readonly ranges: readonly Bucket[]
  readonly points: ReadonlyMap<number, number>
  readonly infinite: number
}

function strip({ buckets }: Histogram): Stripped {
  const ranges: Bucket[] = []
  const points = new Map<number, number>()
  let infinite = 0
  for (const bucket of buckets) {
    if (!Number.isFinite(bucket.low) || !Number.isFinite(bucket.high)) infinite += bucket.count
    else if (bucket.low === bucket.high) points.set(bucket.low, (points.get(bucket.low) ?? 0) + bucket.count)
    else ranges.push(bucket)
  }
  return { ranges, points, infinite }
}

/** Counts of both over the union of their bounds, spread evenly within each bucket. */
function aligned(a: Stripped, b: Stripped): [number[], number[]] {
  const bounds = boundsOf([...a.ranges, ...b.ranges])
  return [spread(a.ranges, bounds), spread(b.ranges, bounds)]
}

function boundsOf(ranges: readonly Bucket[]): number[] {
  return [...new Set(ranges.flatMap(({ low, high }) => [low, high]))].sort((x, y) => x - y)
}

function sameBounds(a: readonly Bucket[], b: readonly Bucket[]): boolean {
  const [x, y] = [boundsOf(a), boundsOf(b)]
  return x.length === y.length && x.every((bound, i) => bound === y[i])
}

function spread(ranges: readonly Bucket[], bounds: readonly number[]): number[] {
  const counts = bounds.slice(1).map(() => 0)
  for (const { low, high, count } of ranges) {
    for (let i = bounds.indexOf(low); bounds[i]! < high; i++) counts[i]! += ((bounds[i + 1]! - bounds[i]!) / (high - low)) * count
  }
  return counts
}

function push(p: number[], q: number[], left: number, right: number): void {
  p.push(left)
  q.push(right)
}
