/**
 * What is counted of a window: doubles at fixed places, by kind, that are added to merge and taken off to correct.
 *
 * Counts are integers, sums of losses whole multiples of 2⁻²⁰, so that the total is the same bits whichever thread counted what (a loss is
 * off by 2⁻²¹ at most). Sums of regression are doubles.
 */
import { ERROR_CELLS, ERROR_SUMS } from '../../stats/errors.ts'
import { GRID_CELLS } from '../../stats/grid.ts'
import { SCORE_CELLS } from '../../stats/scores.ts'
import type { Setup } from './setup.ts'

export const UNIT = 2 ** 20
/** Relevances 0 … 15 have a cell; what is above counts in the last. */
export const RELEVANCES = 16

/** Places of one group; −1 = its kind has no such thing. */
export interface Layout {
  /** Doubles in all. */
  readonly size: number
  readonly predicted: number
  readonly labelled: number
  /** Log loss, Brier score or NDCG: a sum, and the sum of squares behind it. */
  readonly loss: number
  readonly brier: number
  readonly ndcg: number
  /** ranking: requests in which nothing was relevant. */
  readonly irrelevant: number
  /** binary: true and false positives, two a threshold. */
  readonly confusion: number
  /** multiclass: truth by prediction. */
  readonly matrix: number
  /** Scores: of hits, of misses, sums of the probabilities of both, and scores of all that was predicted. multiclass: of the class that was predicted. */
  readonly hits: number
  readonly misses: number
  readonly sums: number
  readonly scores: number
  readonly errors: number
  readonly errorCells: number
  readonly grid: number
  readonly relevances: number
}

export function layoutOf({ kind, thresholds, classes, grid }: Setup): Layout {
  let size = 0
  const take = (wanted: boolean, cells: number): number => {
    if (!wanted) return -1
    size += cells
    return size - cells
  }
  const [binary, multiclass, regression, ranking] = (['binary', 'multiclass', 'regression', 'ranking'] as const).map((one) => one === kind) as [boolean, boolean, boolean, boolean]
  const scored = binary || multiclass
  const places = {
    predicted: take(true, 1), labelled: take(true, 1),
    loss: take(scored, 2), brier: take(scored, 2), ndcg: take(ranking, 2), irrelevant: take(ranking, 1),
    confusion: take(binary, 2 * thresholds.length), matrix: take(multiclass, classes.length ** 2),
    hits: take(scored, SCORE_CELLS), misses: take(scored, SCORE_CELLS), sums: take(scored, SCORE_CELLS), scores: take(scored, SCORE_CELLS),
    errors: take(regression, ERROR_SUMS), errorCells: take(regression, ERROR_CELLS), grid: take(regression && grid !== null, GRID_CELLS),
    relevances: take(ranking, RELEVANCES),
  }
  return { ...places, size }
}

/** A part of the cells that is like an array of its own. */
export function partOf(cells: Float64Array, at: number, length: number): Float64Array {
  return cells.subarray(at, at + length)
}
