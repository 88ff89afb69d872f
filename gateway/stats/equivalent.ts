/**
 * What a score means: the shift of a normal feature, in its standard deviations, that would score the same.
 *
 * Idea: published thresholds differ fifteenfold (Evidently's 0.1 of a normed Wasserstein distance is 0.10 σ, Vertex's 0.3 is 1.5 σ). The score of N(δ, 1) against
 * N(0, 1) in k groups of equal mass is a monotone function of δ; its inverse is a scale on which scores are comparable, whatever they are.
 * Of categories: the share of rows that would have to move to a value never seen.
 * Layout: a table of 257 shifts up to 8 σ for each score and k, read by linear interpolation in the root of the score (in L∞ and Hellinger in the score).
 * Error: below 0.002 σ up to 4 σ; beyond, scores hardly differ any more and the answer is a lower bound.
 */
import { hellinger, jsBits, lInfinity, psi } from './divergence.ts'
import { normalIsf, normalSf } from './tails.ts'

export type Score = 'js' | 'psi' | 'l_infinity' | 'hellinger'

const STEPS = 256
const MOST = 8

const SCORES: Readonly<Record<Score, (p: Float64Array, q: Float64Array) => number>> = {
  js: (p, q) => Math.sqrt(jsBits(p, q)),
  psi: (p, q) => Math.sqrt(psi(p, q)),
  l_infinity: (p, q) => lInfinity(p, q).distance,
  hellinger,
}

export class EquivalentShift {
  readonly #rooted: boolean
  /** The score (or its root) at i · MOST / STEPS. */
  readonly #scores = new Float64Array(STEPS + 1)

  /** @param k groups of equal mass, from 2 */
  constructor(score: Score, k: number) {
    this.#rooted = score === 'js' || score === 'psi'
    const even = new Float64Array(k).fill(1 / k)
    for (let i = 0; i <= STEPS; i++) this.#scores[i] = SCORES[score](even, shifted(k, (i * MOST) / STEPS))
  }

  /** The shift in standard deviations, up to 8; NaN of NaN. */
  sigma(score: number): number {
    if (Number.isNaN(score)) return NaN
    const value = this.#rooted ? Math.sqrt(Math.max(0, score)) : score
    const scores = this.#scores
    let [low, high] = [0, STEPS]
    if (value >= scores[high]!) return MOST
    while (high - low > 1) {
      const middle = (low + high) >> 1
      if (scores[middle]! <= value) low = middle
      else high = middle
    }
    const within = Math.max(0, value - scores[low]!) / (scores[high]! - scores[low]!)
    return ((low + within) * MOST) / STEPS
  }
}

/** The shift whose Kolmogorov–Smirnov distance is d: D = 2Φ(δ/2) − 1. @param d in [0, 1] */
export function shiftOfKs(d: number): number {
  return d <= 0 ? 0 : 2 * normalIsf((1 - d) / 2)
}

/** The share of rows that, moved from every category alike to one never seen, makes this divergence. @param js bits, in [0, 1] */
export function massOfJs(js: number): number {
  if (Number.isNaN(js)) return NaN
  let [low, high] = [0, 1]
  for (let i = 0; i < 50; i++) {
    const middle = (low + high) / 2
    if (jsBits([1, 0], [1 - middle, middle]) < js) low = middle
    else high = middle
  }
  return (low + high) / 2
}

/** Masses that N(δ, 1) has in the k groups of equal mass of N(0, 1). */
function shifted(k: number, delta: number): Float64Array {
  const masses = new Float64Array(k)
  for (let i = 0; i < k; i++) {
    const low = normalIsf(1 - i / k) - delta
    const high = normalIsf(1 - (i + 1) / k) - delta
    // From the side of the smaller tail, so that nothing cancels.
    masses[i] = low > 0 ? normalSf(low) - normalSf(high) : normalSf(-high) - normalSf(-low)
  }
  return masses
}
