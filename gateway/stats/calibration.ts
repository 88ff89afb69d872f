/**
 * Whether probabilities are as often right as they say.
 *
 * Layout: by cell of ascending probability, cases of the class, cases in all, and the sum of their probabilities.
 * Error: cells are never split; a group is off its tenth by at most half a cell's cases.
 */
import { around, type Estimate, UNKNOWN } from './estimate.ts'

type Counts = ArrayLike<number>

export interface CalibrationError extends Estimate {
  /** What perfectly calibrated scores have on average with so few cases: Σ (n_g / n) √(2/π) σ_g. The error is never 0 in a sample. */
  readonly floor: number
}

const MEAN_ABSOLUTE = Math.sqrt(2 / Math.PI)

/** Expected calibration error over groups of about equal mass (NannyML's ten). */
export function calibrationError(pos: Counts, total: Counts, sums: Counts, groups = 10): CalibrationError {
  const n = add(total)
  if (!(n > 0)) return { ...UNKNOWN, floor: NaN }
  const cases = new Float64Array(groups * 3)
  let before = 0
  for (let i = 0; i < total.length; i++) {
    if (!(total[i]! > 0)) continue
    const group = Math.min(groups - 1, Math.floor(((before + total[i]! / 2) / n) * groups))
    cases[3 * group]! += total[i]!
    cases[3 * group + 1]! += pos[i]!
    cases[3 * group + 2]! += sums[i]!
    before += total[i]!
  }
  let [value, floor, variance] = [0, 0, 0]
  for (let g = 0; g < cases.length; g += 3) {
    const [size, hits, expected] = [cases[g]!, cases[g + 1]!, cases[g + 2]!]
    if (size === 0) continue
    value += Math.abs(expected - hits) / n
    const p = Math.min(1, Math.max(0, expected / size))
    floor += (MEAN_ABSOLUTE * Math.sqrt(p * (1 - p) * size)) / n
    variance += (p * (1 - p) * size) / (n * n)
  }
  return { ...around(value, Math.sqrt(variance), 0, 1), floor }
}

const MAX_STEPS = 50

/** Slope of the logistic regression of the outcome on the log odds of the score: 1 = right, below = scores too extreme (Cox 1958). */
export function calibrationSlope(pos: Counts, total: Counts, sums: Counts): Estimate {
  let [a, b] = [0, 1]
  for (let step = 0; step < MAX_STEPS; step++) {
    let [ga, gb, aa, ab, bb] = [0, 0, 0, 0, 0]
    for (let i = 0; i < total.length; i++) {
      const n = total[i]!
      if (!(n > 0)) continue
      const x = logOdds(sums[i]! / n)
      const p = 1 / (1 + Math.exp(-(a + b * x)))
      const [rest, weight] = [pos[i]! - n * p, n * p * (1 - p)]
      ga += rest
      gb += rest * x
      aa += weight
      ab += weight * x
      bb += weight * x * x
    }
    const det = aa * bb - ab * ab
    // One score alone, or classes that scores separate: there is no slope.
    if (!(det > 1e-12 * aa * bb)) return UNKNOWN
    const [da, db] = [(bb * ga - ab * gb) / det, (aa * gb - ab * ga) / det]
    a += da
    b += db
    if (!(Math.abs(b) < 1e3)) return UNKNOWN
    if (Math.abs(da) + Math.abs(db) < 1e-10) return around(b, Math.sqrt(aa / det))
  }
  return UNKNOWN
}

/** Ends are where 1 − p still differs from 1. */
function logOdds(p: number): number {
  const inside = Math.min(1 - 1e-12, Math.max(1e-12, p))
  return Math.log(inside / (1 - inside))
}

/**
 * Probabilities made right: the best non-decreasing map by cell (pool adjacent violators, Ayer et al. 1955).
 * @param otherwise what a cell has where no case came
 */
export function isotonic(pos: Counts, total: Counts, otherwise: (cell: number) => number): Float64Array {
  const blocks: { hits: number; size: number; end: number }[] = []
  for (let i = 0; i < total.length; i++) {
    if (!(total[i]! > 0)) continue
    let block = { hits: pos[i]!, size: total[i]!, end: i + 1 }
    for (let last = blocks.at(-1); last !== undefined && last.hits * block.size >= block.hits * last.size; last = blocks.at(-1)) {
      blocks.pop()
      block = { hits: last.hits + block.hits, size: last.size + block.size, end: block.end }
    }
    blocks.push(block)
  }
  const map = Float64Array.from(total, (_, i) => otherwise(i))
  let from = 0
  for (const { hits, size, end } of blocks) {
    for (let i = from; i < end; i++) if (total[i]! > 0) map[i] = hits / size
    from = end
  }
  return map
}

function add(counts: Counts): number {
  let total = 0
  for (let i = 0; i < counts.length; i++) total += counts[i]!
  return total
}
