/**
 * Quality without labels: what calibrated probabilities say of themselves (NannyML's confidence-based performance estimation).
 *
 * Idea: with probability p a case is of the class. What is counted with labels is then expected: true positives Σ p over the predicted ones.
 * Layout: by cell of ascending score, cases and their mean (calibrated) probability.
 * Error: the sampling error told is that of outcomes drawn with these probabilities. It does not know of probabilities that are wrong: it holds
 * under shifts of the inputs alone, and **fails when the relation of inputs and outcome changes**.
 */
import { around, type Estimate, UNKNOWN } from './estimate.ts'
import { hanleyMcNeil } from './scores.ts'

type Numbers = ArrayLike<number>

export interface ThresholdEstimates {
  readonly accuracy: Estimate
  readonly precision: Estimate
  readonly recall: Estimate
  readonly f1: Estimate
}

/** @param from the first cell that is predicted to be of the class */
export function estimatedAt(cases: Numbers, p: Numbers, from: number): ThresholdEstimates {
  let [n, predicted, tp, fn, varianceIn, varianceOut] = [0, 0, 0, 0, 0, 0]
  for (let i = 0; i < cases.length; i++) {
    const [count, q] = [cases[i]!, p[i]!]
    if (!(count > 0)) continue
    n += count
    if (i >= from) {
      predicted += count
      tp += count * q
      varianceIn += count * q * (1 - q)
    } else {
      fn += count * q
      varianceOut += count * q * (1 - q)
    }
  }
  if (n === 0) return { accuracy: UNKNOWN, precision: UNKNOWN, recall: UNKNOWN, f1: UNKNOWN }
  const right = tp + (n - predicted - fn)
  const all = tp + fn
  const recall = tp / all
  const f1 = (2 * tp) / (predicted + all)
  // Of ratios, by the delta method: how each moves with one outcome more on either side of the threshold.
  const recallSe = Math.sqrt((1 - recall) ** 2 * varianceIn + recall ** 2 * varianceOut) / all
  const f1Se = Math.sqrt((2 - f1) ** 2 * varianceIn + f1 ** 2 * varianceOut) / (predicted + all)
  return {
    accuracy: around(right / n, Math.sqrt(varianceIn + varianceOut) / n, 0, 1),
    precision: predicted > 0 ? around(tp / predicted, Math.sqrt(varianceIn) / predicted, 0, 1) : UNKNOWN,
    recall: all > 0 ? around(recall, recallSe, 0, 1) : UNKNOWN,
    f1: predicted + all > 0 ? around(f1, f1Se, 0, 1) : UNKNOWN,
  }
}

/** Area under the expected ROC curve: trapezoids from the highest score down, cells as ties. */
export function estimatedAuc(cases: Numbers, p: Numbers): Estimate {
  let [tp, fp, area] = [0, 0, 0]
  for (let i = cases.length - 1; i >= 0; i--) {
    const count = cases[i]!
    if (!(count > 0)) continue
    const [up, right] = [count * p[i]!, count * (1 - p[i]!)]
    area += right * (tp + up / 2)
    tp += up
    fp += right
  }
  if (!(tp > 0 && fp > 0)) return UNKNOWN
  const value = area / (tp * fp)
  return around(value, hanleyMcNeil(value, tp, fp), 0, 1)
}
