/**
 * p values of many tests, adjusted so that a threshold bounds the false discovery rate.
 *
 * Idea: Benjamini and Hochberg (1995), for independent or positively dependent tests. A test is a discovery at rate q when its adjusted p is ≤ q.
 */

/** @param p probabilities; NaN (no test was made) stays NaN and does not count */
export function benjaminiHochberg(p: ArrayLike<number>): Float64Array {
  const result = new Float64Array(p.length).fill(NaN)
  const order = made(p).sort((i, j) => p[j]! - p[i]!)
  let least = 1
  for (let i = 0; i < order.length; i++) {
    const rank = order.length - i
    least = Math.min(least, (p[order[i]!]! * order.length) / rank)
    result[order[i]!] = least
  }
  return result
}

/** Indices of tests that were made. */
function made(p: ArrayLike<number>): number[] {
  return Array.from(p, (_, i) => i).filter((i) => !Number.isNaN(p[i]!))
}
