/** From the cells of a group to numbers with their errors. */
import { calibrationError, calibrationSlope } from '../../stats/calibration.ts'
import { estimatedAt, estimatedAuc } from '../../stats/cbpe.ts'
import { totalOf } from '../../stats/counts.ts'
import { ERROR_CELLS, ERROR_SUMS, errorQuantile, errorsOf } from '../../stats/errors.ts'
import { around, type Estimate, mean, share, UNKNOWN } from '../../stats/estimate.ts'
import { auc, averagePrecision, SCORE_CELLS, scoreCell, separation } from '../../stats/scores.ts'
import { type Layout, partOf, UNIT } from './layout.ts'
import type { Setup } from './setup.ts'

/** `floor`: what it is on average when all is right; `bound`: what cells may hide. */
export interface Measure extends Estimate {
  readonly n: number
  readonly floor?: number
  readonly bound?: number
}
export type Measures = Readonly<Record<string, Measure>>

/** By name, of `STATISTICS`; further thresholds have theirs behind an @: `precision@0.8`. Empty without labels. */
export function measured(setup: Setup, layout: Layout, cells: Float64Array): Measures {
  const n = cells[layout.labelled]!
  if (!(n > 0)) return {}
  const all = byKind[setup.kind](setup, layout, cells, n)
  return Object.fromEntries(Object.entries(all).map(([name, estimate]) => [name, 'n' in estimate ? (estimate as Measure) : { ...estimate, n }]))
}

type Measuring = (setup: Setup, layout: Layout, cells: Float64Array, n: number) => Readonly<Record<string, Estimate>>

const byKind: Readonly<Record<Setup['kind'], Measuring>> = {
  binary(setup, layout, cells, n) {
    const { hits, misses, total, sums } = scoresOf(layout, cells)
    return {
      auc: auc(hits, misses), pr_auc: averagePrecision(hits, misses), ks: separation(hits, misses), ...losses(layout, cells, n),
      ece: calibrationError(hits, total, sums), slope: calibrationSlope(hits, total, sums), ...atThresholds(setup, layout, cells, n, totalOf(hits)),
    }
  },

  multiclass(setup, layout, cells, n) {
    const { hits, total, sums } = scoresOf(layout, cells)
    return { accuracy: share(totalOf(hits), n), ...perClass(setup, layout, cells), ...losses(layout, cells, n), ece: calibrationError(hits, total, sums) }
  },

  regression({ grid }, layout, cells) {
    const unit = grid?.scale ?? 1
    const magnitudes = partOf(cells, layout.errorCells, ERROR_CELLS)
    const quantile = (p: number): Estimate => ({ ...UNKNOWN, value: errorQuantile(magnitudes, p) * unit })
    return { ...errorsOf(partOf(cells, layout.errors, ERROR_SUMS)), absolute_error_p50: quantile(0.5), absolute_error_p90: quantile(0.9), absolute_error_p99: quantile(0.99) }
  },

  ranking(_setup, layout, cells, n) {
    const told = n - cells[layout.irrelevant]!
    return { ndcg: { ...mean(told, cells[layout.ndcg]! / UNIT, cells[layout.ndcg + 1]! / UNIT, 0, 1), n: told } as Measure }
  },
}

export interface Scores {
  readonly hits: Float64Array
  readonly misses: Float64Array
  readonly total: Float64Array
  /** Of probabilities, by cell. */
  readonly sums: Float64Array
}

export function scoresOf(layout: Layout, cells: Float64Array): Scores {
  const hits = partOf(cells, layout.hits, SCORE_CELLS)
  const misses = partOf(cells, layout.misses, SCORE_CELLS)
  return { hits, misses, total: hits.map((count, i) => count + misses[i]!), sums: partOf(cells, layout.sums, SCORE_CELLS).map((units) => units / UNIT) }
}

function losses({ loss, brier }: Layout, cells: Float64Array, n: number): Readonly<Record<string, Estimate>> {
  const meanAt = (at: number): Estimate => mean(n, cells[at]! / UNIT, cells[at + 1]! / UNIT, 0)
  return { log_loss: meanAt(loss), brier: meanAt(brier) }
}

function atThresholds({ thresholds }: Setup, { confusion }: Layout, cells: Float64Array, n: number, positives: number): Readonly<Record<string, Estimate>> {
  const found: Record<string, Estimate> = {}
  for (const [i, threshold] of thresholds.entries()) {
    const [tp, fp] = [cells[confusion + 2 * i]!, cells[confusion + 2 * i + 1]!]
    const behind = i === 0 ? '' : `@${threshold}`
    found[`accuracy${behind}`] = share(tp + (n - positives - fp), n)
    found[`precision${behind}`] = share(tp, tp + fp)
    found[`recall${behind}`] = share(tp, positives)
    found[`f1${behind}`] = f1(tp, fp, positives - tp)
  }
  return found
}

/** 2 TP / (2 TP + FP + FN); its error by the delta method on the three shares. */
function f1(tp: number, fp: number, fn: number): Estimate {
  const all = 2 * tp + fp + fn
  if (!(all > 0)) return UNKNOWN
  const value = (2 * tp) / all
  // A case more of TP moves it by 2 (1 − F1) / all, one of FP or FN by −F1 / all; counts vary as Poisson ones, their sum is held.
  const [up, down] = [(2 * (1 - value)) / all, -value / all]
  const drift = (tp * up + (fp + fn) * down) ** 2 / Math.max(1, tp + fp + fn)
  return around(value, Math.sqrt(Math.max(0, tp * up * up + (fp + fn) * down * down - drift)), 0, 1)
}

function perClass({ classes }: Setup, { matrix }: Layout, cells: Float64Array): Readonly<Record<string, Estimate>> {
  const k = classes.length
  const found: Record<string, Estimate> = {}
  let [macro, seen] = [0, 0]
  for (const [i, name] of classes.entries()) {
    let [truths, predictions] = [0, 0]
    for (let j = 0; j < k; j++) {
      truths += cells[matrix + i * k + j]!
      predictions += cells[matrix + j * k + i]!
    }
    const tp = cells[matrix + i * k + i]!
    found[`precision@${name}`] = share(tp, predictions)
    found[`recall@${name}`] = share(tp, truths)
    if (truths + predictions === 0) continue
    macro += (2 * tp) / (truths + predictions)
    seen++
  }
  return { macro_f1: seen > 0 ? { ...UNKNOWN, value: macro / seen } : UNKNOWN, ...found }
}

/** Without labels. @param calibrated the probability by cell of score @returns by names of `ESTIMATED` */
export function estimated(setup: Setup, layout: Layout, cells: Float64Array, calibrated: Float64Array): Measures {
  if (layout.scores < 0 || !(cells[layout.predicted]! > 0)) return {}
  const cases = partOf(cells, layout.scores, SCORE_CELLS)
  const n = totalOf(cases)
  const tell = (estimate: Estimate): Measure => ({ ...estimate, n })
  if (setup.kind === 'multiclass') return { estimated_accuracy: tell(estimatedAt(cases, calibrated, 0).precision) }
  const { accuracy, precision, recall, f1: fOne } = estimatedAt(cases, calibrated, scoreCell(setup.thresholds[0]!))
  return { estimated_auc: tell(estimatedAuc(cases, calibrated)), estimated_accuracy: tell(accuracy), estimated_precision: tell(precision), estimated_recall: tell(recall), estimated_f1: tell(fOne) }
}
