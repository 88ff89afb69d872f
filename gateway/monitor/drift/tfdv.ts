/** The score TFDV would give, from cells: its standard histograms of 10 equal widths, its NaN that never match. To compare with its numbers, not to judge by. */
import { GRID_CELLS, lowerEdge, upperEdge } from '../../stats/grid.ts'
import { type Histogram, tfdvJs, tfdvJsOfLabels } from '../../stats/tfdv.ts'
import { standardBuckets } from '../../stats/tfdv_histogram.ts'
import type { Side } from './compare.ts'
import type { Watched } from './watched.ts'

const BUCKETS = 10

/** @returns null where only groups are known */
export function tfdvScore({ numeric, labels }: Watched, a: Side, b: Side): number | null {
  if (numeric === null) return tfdvJsOfLabels(labelled(labels, a.groups), labelled(labels, b.groups))
  return a.cells === null || b.cells === null ? null : tfdvJs(histogramOf(a.cells, a.nan), histogramOf(b.cells, b.nan))
}

function labelled(labels: readonly string[], counts: Float64Array): Map<string, number> {
  return new Map(labels.flatMap((label, i): [string, number][] => (counts[i]! > 0 ? [[label, counts[i]!]] : [])))
}

/** Edges of the cells that hold something stand for quantiles; in scales, which changes nothing: both sides have the same. */
function histogramOf(cells: Uint32Array, nan: number): Histogram {
  const quantiles: number[] = []
  const cumulative: number[] = []
  let sum = 0
  for (let i = 0; i < GRID_CELLS; i++) {
    if (cells[i] === 0) continue
    const [low, high] = [Math.max(lowerEdge(i), upperEdge(0)), Math.min(upperEdge(i), lowerEdge(GRID_CELLS - 1))]
    if (quantiles.at(-1) !== low) {
      quantiles.push(low)
      cumulative.push(sum)
    }
    sum += cells[i]!
    if (high > low) {
      quantiles.push(high)
      cumulative.push(sum)
    } else cumulative[cumulative.length - 1] = sum
  }
  return { buckets: sum === 0 ? [] : standardBuckets({ quantiles, cumulative, max: quantiles.at(-1)!, infinite: 0 }, BUCKETS), nan }
}
