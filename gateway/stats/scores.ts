/**
 * How well scores order and hit two classes, from one histogram of scores for each class.
 *
 * Idea: the two histograms are all that AUC, average precision, Kolmogorov–Smirnov and calibration need; they are merged by adding
 * integers and shrunk by taking back a label. Cells are of equal width in arcsin √p, which gives every probability about the same
 * standard error: fine near 0 and 1, where rare classes are scored.
 * Layout: 256 cells; cell b holds p in [sin²(bπ/512), sin²((b+1)π/512)), the widest (at ½) 0.0061. Counts may be any integers ≥ 0.
 * Error: scores in one cell count as ties. AUC of the values is within ½ Σ p⁺ p⁻ (shares of the classes by cell) of that of the cells.
 */
import { totalOf } from './counts.ts'
import { around, aroundLogit, type Estimate, UNKNOWN } from './estimate.ts'
import { ks } from './ks.ts'

export const SCORE_CELLS = 256
const STEP = Math.PI / 2 / SCORE_CELLS

type Counts = ArrayLike<number>

/** @param p in [0, 1] */
export function scoreCell(p: number): number {
  return Math.min(SCORE_CELLS - 1, Math.floor(Math.asin(Math.sqrt(p)) / STEP))
}

/** The middle of a cell, on the scale in which cells are equal. */
export function cellMiddle(cell: number): number {
  return Math.sin((cell + 0.5) * STEP) ** 2
}

export interface Auc extends Estimate {
  /** What the AUC of the scores themselves differs by at most. */
  readonly bound: number
}

/** Area under the ROC curve; its standard error as DeLong, DeLong and Clarke-Pearson (1988) have it. @param pos, neg counts by cell, of ascending scores */
export function auc(pos: Counts, neg: Counts): Auc {
  const [m, n] = [totalOf(pos), totalOf(neg)]
  if (!(m > 0 && n > 0)) return { ...UNKNOWN, bound: NaN }
  let [below, wins, ties] = [0, 0, 0]
  for (let i = 0; i < pos.length; i++) {
    wins += pos[i]! * (below + neg[i]! / 2)
    ties += pos[i]! * neg[i]!
    below += neg[i]!
  }
  const value = wins / (m * n)
  return { ...around(value, delong(pos, neg, m, n, value), 0, 1), bound: ties / (2 * m * n) }
}

/** Variances of the placements of either class, its own size less one as the divisor. NaN with a single case. */
function delong(pos: Counts, neg: Counts, m: number, n: number, value: number): number {
  let [below, above, ofPos, ofNeg] = [0, m, 0, 0]
  for (let i = 0; i < pos.length; i++) {
    above -= pos[i]!
    ofPos += pos[i]! * ((below + neg[i]! / 2) / n - value) ** 2
    ofNeg += neg[i]! * ((above + pos[i]! / 2) / m - value) ** 2
    below += neg[i]!
  }
  return m > 1 && n > 1 ? Math.sqrt(ofPos / (m - 1) / m + ofNeg / (n - 1) / n) : NaN
}

/** Standard error of an AUC of which only the value is known (Hanley and McNeil 1982). @param m positives @param n negatives */
export function hanleyMcNeil(value: number, m: number, n: number): number {
  const q1 = value / (2 - value)
  const q2 = (2 * value * value) / (1 + value)
  return Math.sqrt((value * (1 - value) + (m - 1) * (q1 - value * value) + (n - 1) * (q2 - value * value)) / (m * n))
}

/** Average precision: Σ (R_b − R_b₋₁) P_b from the highest score down, every cell a threshold. Interval on the logit scale (Boyd, Eng and Page 2013). */
export function averagePrecision(pos: Counts, neg: Counts): Estimate {
  const m = totalOf(pos)
  if (!(m > 0)) return UNKNOWN
  let [tp, fp, area] = [0, 0, 0]
  for (let i = pos.length - 1; i >= 0; i--) {
    tp += pos[i]!
    fp += neg[i]!
    if (pos[i]! > 0) area += (pos[i]! * tp) / (tp + fp)
  }
  const value = area / m
  return value >= 1 ? { value: 1, se: 0, low: m / (m + 3.84), high: 1 } : aroundLogit(value, 1 / Math.sqrt(m * value * (1 - value)))
}

/** The largest distance of the classes' distribution functions; its error that of the two shares where it lies. */
export function separation(pos: Counts, neg: Counts): Estimate {
  const { distance, cell } = ks(pos, neg)
  if (!(cell >= 0)) return Number.isNaN(distance) ? UNKNOWN : around(0, 0, 0, 1)
  const [m, n] = [totalOf(pos), totalOf(neg)]
  const [f, g] = [totalOf(pos, 0, cell + 1) / m, totalOf(neg, 0, cell + 1) / n]
  return around(distance, Math.sqrt((f * (1 - f)) / m + (g * (1 - g)) / n), 0, 1)
}
