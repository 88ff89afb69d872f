/** A number with what is known of its error: the one form in which quality is told. */
import { wilson } from './tails.ts'

/** Two-sided 95 %. */
const Z = 1.959963984540054

export interface Estimate {
  /** NaN: there is nothing to tell. */
  readonly value: number
  /** Standard error. */
  readonly se: number
  /** 95 % confidence interval. */
  readonly low: number
  readonly high: number
}

export const UNKNOWN: Estimate = { value: NaN, se: NaN, low: NaN, high: NaN }

/** Value ± 1.96 standard errors, cut at the ends of what the statistic can be. */
export function around(value: number, se: number, least = -Infinity, most = Infinity): Estimate {
  return { value, se, low: Math.max(least, value - Z * se), high: Math.min(most, value + Z * se) }
}

/** k of n, with Wilson's interval. */
export function share(k: number, n: number): Estimate {
  if (!(n > 0)) return UNKNOWN
  const p = k / n
  const [low, high] = wilson(k, n, Z)
  return { value: p, se: Math.sqrt((p * (1 - p)) / n), low, high }
}

/** The mean of n values from their sum and the sum of their squares. */
export function mean(n: number, sum: number, squares: number, least = -Infinity, most = Infinity): Estimate {
  if (!(n > 0)) return UNKNOWN
  return around(sum / n, n > 1 ? Math.sqrt(variance(n, sum, squares) / n) : NaN, least, most)
}

/** Of a sample (divisor n − 1), never negative. */
function variance(n: number, sum: number, squares: number): number {
  return Math.max(0, squares - (sum * sum) / n) / (n - 1)
}

/** An interval that is symmetrical on the scale of log odds. @param se on that scale @param p in (0, 1) */
export function aroundLogit(p: number, se: number): Estimate {
  const odds = Math.log(p / (1 - p))
  const back = (x: number) => 1 / (1 + Math.exp(-x))
  return { value: p, se: se * p * (1 - p), low: back(odds - Z * se), high: back(odds + Z * se) }
}
