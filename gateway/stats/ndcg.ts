/**
 * Normalised discounted cumulative gain of one ranking (Järvelin and Kekäläinen 2002), with ties as scikit-learn has them: items of equal
 * score share the mean gain of their places (McSherry and Najork 2008), so that the order in which they came does not matter.
 */

/** @param gains ≥ 0, one an item (linear; for 2^rel − 1 give that) @param k items that count; Infinity = all @returns NaN when nothing is worth anything */
export function ndcg(scores: ArrayLike<number>, gains: ArrayLike<number>, k = Infinity): number {
  const items = Array.from(scores, (score, i) => ({ score, gain: gains[i]! }))
  const best = items.map(({ gain }) => gain).sort((a, b) => b - a)
  let ideal = 0
  for (let i = 0; i < Math.min(k, best.length); i++) ideal += best[i]! * discount(i)
  if (!(ideal > 0)) return NaN
  items.sort((a, b) => b.score - a.score)
  let gained = 0
  for (let from = 0; from < items.length; ) {
    let to = from
    let [gain, worth] = [0, 0]
    for (; to < items.length && items[to]!.score === items[from]!.score; to++) {
      gain += items[to]!.gain
      if (to < k) worth += discount(to)
    }
    gained += (gain / (to - from)) * worth
    from = to
  }
  return gained / ideal
}

function discount(place: number): number {
  return 1 / Math.log2(place + 2)
}
