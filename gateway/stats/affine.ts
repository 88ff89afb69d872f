/**
 * Centre and scale of a feature's grid (`grid.ts`), from its values.
 *
 * Idea: median and interquartile range, which outliers do not move; of skewed values (amounts) twice the narrower half of that range, at
 * least a quarter of it, because the cells of the wider half are logarithmic anyway. Where half the values are equal the next wider span
 * that is not 0 stands in, divided by what makes it an interquartile range of a normal distribution.
 * The centre is a value of the data, never between two: what half the rows equal lies in the middle of a cell.
 */
import type { Affine } from './grid.ts'

/** Lower end of a central span, and how many interquartile ranges of a normal distribution the span is. */
const SPANS: readonly (readonly [p: number, iqrs: number])[] = [
  [0.1, 1.9],
  [0.05, 2.4388],
  [0.01, 3.449],
]
/** Interquartile range of the standard normal distribution. */
const NORMAL_IQR = 1.3489795

/** @param sorted finite values, ascending; may be empty. */
export function affineOf(sorted: ArrayLike<number>): Affine {
  if (sorted.length === 0) return { centre: 0, scale: 1 }
  const centre = nearest(sorted, 0.5)
  const scale = quartiles(sorted, centre) || wider(sorted) || NORMAL_IQR * deviation(sorted) || Math.abs(centre) || 1
  return { centre, scale: Math.min(scale, Number.MAX_VALUE) }
}

function quartiles(sorted: ArrayLike<number>, centre: number): number {
  const lower = centre - nearest(sorted, 0.25)
  const upper = nearest(sorted, 0.75) - centre
  return Math.max(2 * Math.min(lower, upper), (lower + upper) / 4)
}

function wider(sorted: ArrayLike<number>): number {
  for (const [p, iqrs] of SPANS) {
    const span = nearest(sorted, 1 - p) - nearest(sorted, p)
    if (span > 0) return span / iqrs
  }
  return 0
}

/** Nearest rank (R's type 1): always one of the values. */
function nearest(sorted: ArrayLike<number>, p: number): number {
  return sorted[Math.max(0, Math.ceil(p * sorted.length) - 1)]!
}

/** Relative to the largest magnitude, so that squares do not overflow. */
function deviation(sorted: ArrayLike<number>): number {
  const n = sorted.length
  const most = Math.max(Math.abs(sorted[0]!), Math.abs(sorted[n - 1]!)) || 1
  let mean = 0
  for (let i = 0; i < n; i++) mean += sorted[i]! / most / n
  let squares = 0
  for (let i = 0; i < n; i++) squares += (sorted[i]! / most - mean) ** 2
  return sorted[0] === sorted[n - 1] ? 0 : most * Math.sqrt(squares / n)
}
