/**
 * Tail probabilities and their inverses: normal, chi-square, binomial; Wilson's bounds of a share.
 *
 * Error: relative 1e-10 where the tail is small, which is where it is asked for (`gamma.ts`). Inverses to 1e-12 of the argument.
 */
import { betaI, gammaQ } from './gamma.ts'

/** P(Z > z) of the standard normal distribution. */
export function normalSf(z: number): number {
  const tail = gammaQ(0.5, (z * z) / 2) / 2
  return z >= 0 ? tail : 1 - tail
}

/** z with P(Z > z) = p. @param p in (0, 1); ±Infinity at the ends */
export function normalIsf(p: number): number {
  if (p <= 0) return Infinity
  if (p >= 1) return -Infinity
  if (p > 0.5) return -normalIsf(1 - p)
  // Abramowitz and Stegun 26.2.23, then Halley's steps.
  const t = Math.sqrt(-2 * Math.log(p))
  let z = t - (2.515517 + t * (0.802853 + t * 0.010328)) / (1 + t * (1.432788 + t * (0.189269 + t * 0.001308)))
  for (let i = 0; i < 4; i++) {
    const u = ((normalSf(z) - p) * Math.sqrt(2 * Math.PI)) / Math.exp((-z * z) / 2)
    z += u / (1 - (z * u) / 2)
  }
  return z
}

/** P(χ² > x). @param df degrees of freedom, > 0 */
export function chi2Sf(x: number, df: number): number {
  return gammaQ(df / 2, x / 2)
}

/** x with P(χ² > x) = p, by bisection. @param p in (0, 1) */
export function chi2Isf(p: number, df: number): number {
  if (p >= 1) return 0
  if (p <= 0) return Infinity
  let low = 0
  let high = df + 1
  while (chi2Sf(high, df) > p) {
    low = high
    high *= 2
  }
  for (let i = 0; i < 200 && high - low > 1e-14 * high; i++) {
    const middle = (low + high) / 2
    if (chi2Sf(middle, df) > p) low = middle
    else high = middle
  }
  return (low + high) / 2
}

/** P(X ≥ k) of k successes in n. @param p in [0, 1] */
export function binomialAtLeast(k: number, n: number, p: number): number {
  if (k <= 0) return 1
  return k > n ? 0 : betaI(k, n - k + 1, p)
}

/** P(X ≤ k) of k successes in n. */
export function binomialAtMost(k: number, n: number, p: number): number {
  if (k >= n) return 1
  return k < 0 ? 0 : betaI(n - k, k + 1, 1 - p, p)
}

/** Wilson's score interval of a share (JASA 22, 1927). @param z normal quantile, 1.96 for 95 % on both sides. [0, 1] without data. */
export function wilson(successes: number, n: number, z: number): readonly [low: number, high: number] {
  if (n === 0) return [0, 1]
  const p = successes / n
  const centre = p + (z * z) / (2 * n)
  const half = z * Math.sqrt((p * (1 - p)) / n + (z * z) / (4 * n * n))
  const whole = 1 + (z * z) / n
  return [successes === 0 ? 0 : (centre - half) / whole, successes === n ? 1 : (centre + half) / whole]
}
