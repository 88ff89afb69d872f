/** Counts predictions and labels into the cells of a window. */
import { addError, errorCell } from '../../stats/errors.ts'
import { cellOf } from '../../stats/grid.ts'
import { scoreCell } from '../../stats/scores.ts'
import { type Layout, layoutOf, RELEVANCES, UNIT } from './layout.ts'
import { type Setup, widthOf } from './setup.ts'

/** As scikit-learn: a probability of 0 costs −ln ε. */
const LEAST = Number.EPSILON

export class Tally {
  readonly layout: Layout
  readonly width: number
  readonly #setup: Setup

  constructor(setup: Setup) {
    this.layout = layoutOf(setup)
    this.width = widthOf(setup)
    this.#setup = setup
  }

  /** Whether scores are what the kind takes: probabilities, or for regression and rankings finite numbers. */
  accepts(scores: ArrayLike<number>, offset: number): boolean {
    const { kind } = this.#setup
    const any = kind === 'regression' || kind === 'ranking'
    for (let i = offset; i < offset + this.width; i++) if (!(any ? Number.isFinite(scores[i]) : scores[i]! >= 0 && scores[i]! <= 1)) return false
    return true
  }

  /** One prediction; of a ranking, the whole of it. */
  predicted(cells: Float64Array, base: number, scores: ArrayLike<number>, offset: number): void {
    cells[base + this.layout.predicted]!++
    const at = this.layout.scores
    if (at >= 0) cells[base + at + scoreCell(scores[this.#top(scores, offset)]!)]!++
  }

  /**
   * One label, added or taken off.
   * @param label binary: 0 or 1; multiclass: index of the class; regression: the truth; ranking: NDCG, NaN = nothing was relevant
   * @param times 1 or −1
   */
  labelled(cells: Float64Array, base: number, scores: ArrayLike<number>, offset: number, label: number, times: number): void {
    cells[base + this.layout.labelled]! += times
    switch (this.#setup.kind) {
      case 'binary':
        return this.#binary(cells, base, scores[offset]!, label === 1, times)
      case 'multiclass':
        return this.#multiclass(cells, base, scores, offset, label, times)
      case 'regression':
        return this.#regression(cells, base, scores[offset]!, label, times)
      default:
        return this.#ranking(cells, base, label, times)
    }
  }

  /** Relevances of the items of a ranking, for the distribution of labels. */
  relevances(cells: Float64Array, base: number, relevances: ArrayLike<number>, times: number): void {
    for (let i = 0; i < relevances.length; i++) cells[base + this.layout.relevances + Math.min(RELEVANCES - 1, Math.round(relevances[i]!))]! += times
  }

  #binary(cells: Float64Array, base: number, p: number, hit: boolean, times: number): void {
    this.#score(cells, base, p, hit, times)
    const { loss, brier, confusion } = this.layout
    addLoss(cells, base + loss, -Math.log(Math.max(LEAST, hit ? p : 1 - p)), times)
    addLoss(cells, base + brier, (p - (hit ? 1 : 0)) ** 2, times)
    const { thresholds } = this.#setup
    for (let i = 0; i < thresholds.length; i++) if (p >= thresholds[i]!) cells[base + confusion + 2 * i + (hit ? 0 : 1)]! += times
  }

  #multiclass(cells: Float64Array, base: number, scores: ArrayLike<number>, offset: number, label: number, times: number): void {
    const top = this.#top(scores, offset)
    const { loss, brier, matrix } = this.layout
    this.#score(cells, base, scores[top]!, top - offset === label, times)
    addLoss(cells, base + loss, -Math.log(Math.max(LEAST, scores[offset + label]!)), times)
    let squares = 0
    for (let i = 0; i < this.width; i++) squares += (scores[offset + i]! - (i === label ? 1 : 0)) ** 2
    addLoss(cells, base + brier, squares, times)
    cells[base + matrix + label * this.width + top - offset]! += times
  }

  #regression(cells: Float64Array, base: number, prediction: number, truth: number, times: number): void {
    const { grid } = this.#setup
    const { errors, errorCells } = this.layout
    const e = prediction - truth
    addError(cells.subarray(base + errors), e, truth - (grid?.centre ?? 0), times)
    cells[base + errorCells + errorCell(Math.abs(e) / (grid?.scale ?? 1))]! += times
    if (grid !== null) cells[base + this.layout.grid + cellOf((truth - grid.centre) / grid.scale)]! += times
  }

  #ranking(cells: Float64Array, base: number, ndcg: number, times: number): void {
    if (Number.isNaN(ndcg)) cells[base + this.layout.irrelevant]! += times
    else addLoss(cells, base + this.layout.ndcg, ndcg, times)
  }

  #score(cells: Float64Array, base: number, p: number, hit: boolean, times: number): void {
    const cell = scoreCell(p)
    const { hits, misses, sums } = this.layout
    cells[base + (hit ? hits : misses) + cell]! += times
    cells[base + sums + cell]! += times * Math.round(p * UNIT)
  }

  /** Where the highest score stands; the first of equals. */
  #top(scores: ArrayLike<number>, offset: number): number {
    let top = offset
    for (let i = offset + 1; i < offset + this.width; i++) if (scores[i]! > scores[top]!) top = i
    return top
  }
}

function addLoss(cells: Float64Array, at: number, loss: number, times: number): void {
  cells[at]! += times * Math.round(loss * UNIT)
  cells[at + 1]! += times * Math.round(loss * loss * UNIT)
}
