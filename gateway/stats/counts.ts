/** Sums of counts. */

/** @param to exclusive */
export function totalOf(counts: ArrayLike<number>, from = 0, to = counts.length): number {
  let total = 0
  for (let i = from; i < to; i++) total += counts[i]!
  return total
}
