/**
 * Predictions far from the others: beyond the quartiles by so many interquartile ranges (Tukey 1977), or so many robust standard deviations
 * from the median.
 *
 * The fence is moved outwards to the next edge of the grid, so that what requests are told and what windows count are the same values, and so that
 * the share of the training data that lies beyond is known exactly.
 */
import { cellOf, Grid, GRID_CELLS, lowerEdge, upperEdge } from '../../stats/grid.ts'
import type { ShareCount } from './shares.ts'
import type { Watched } from './watched.ts'

export interface Fence {
  /** Values in (low, high) are ordinary: cells first..last. */
  readonly low: number
  readonly high: number
  readonly first: number
  readonly last: number
}

/** @param width interquartile ranges beyond the quartiles @returns null: it is no number, or half of the values are equal */
export function fenceOf({ numeric, baseline }: Watched, width: number): Fence | null {
  if (numeric === null) return null
  const { centre, scale } = numeric
  const grid = new Grid({ centre, scale }, baseline.cells)
  const [q1, q3] = [grid.quantile(0.25), grid.quantile(0.75)]
  if (!(q3 > q1)) return null
  const first = cellOf((q1 - width * (q3 - q1) - centre) / scale)
  const last = cellOf((q3 + width * (q3 - q1) - centre) / scale)
  return { first, last, low: centre + scale * lowerEdge(first), high: centre + scale * upperEdge(last) }
}

/** How many values of a window lie beyond, and of the training data. @returns null where there is no fence */
export function outlierCount(watched: Watched, words: Uint32Array, width: number): ShareCount | null {
  const fence = fenceOf(watched, width)
  if (fence === null) return null
  const [count, of] = beyond(words.subarray(watched.at, watched.at + GRID_CELLS), fence)
  const [expected, expectedOf] = beyond(watched.baseline.cells, fence)
  return { share: 'outlier_share', count, of, expected, expectedOf }
}

function beyond(cells: Uint32Array, { first, last }: Fence): readonly [count: number, of: number] {
  let [count, of] = [0, 0]
  for (let i = 0; i < GRID_CELLS; i++) {
    of += cells[i]!
    if (i < first || i > last) count += cells[i]!
  }
  return [count, of]
}
