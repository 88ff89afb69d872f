/**
 * Wasserstein distance of order 1: how far mass has to be moved, in the unit of the values (of a grid: in scales).
 *
 * Idea: the integral of |F − G|. On cells both functions are taken for straight lines within a cell; of the open ends for a step at the finite edge.
 * Layout: counts by cell and the cells' edges, one more than cells, ascending; the outermost may be infinite.
 * Error: at most the width of a value's cell for each value, on both sides; what lies in the ends is moved at least as far as is told.
 */
import { totalOf } from './counts.ts'

/** @param a, b counts @param edges one longer */
export function wasserstein(a: ArrayLike<number>, b: ArrayLike<number>, edges: ArrayLike<number>): number {
  const [n, m] = [totalOf(a), totalOf(b)]
  if (!(n > 0 && m > 0)) return NaN
  let apart = 0
  let area = 0
  for (let i = 0; i < a.length; i++) {
    const next = apart + a[i]! / n - b[i]! / m
    const width = edges[i + 1]! - edges[i]!
    if (width < Infinity) area += width * meanAbsolute(apart, next)
    apart = next
  }
  return area
}

/** Mean of |straight line from p to q|. */
function meanAbsolute(p: number, q: number): number {
  if (p * q >= 0) return Math.abs(p + q) / 2
  return (p * p + q * q) / (2 * Math.abs(q - p))
}
