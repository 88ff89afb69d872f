/**
 * How far numbers are from what they should be: RMSE, MAE, bias and R² from sums, quantiles of the absolute error from log-linear cells.
 *
 * Layout: ten sums (`ERROR_SUMS`): n, Σe, Σe², Σ|e|, Σe⁴, Σy, Σy² and three spare, e = prediction − truth and y less a centre, so that nothing
 * large cancels; then 640 cells of |e|: 16 an octave from 2⁻²⁰ to 2²⁰ of a unit. All are added to merge, and taken off to correct.
 * Error: sums to 1e-12; a quantile to its cell, 1/32 of its value.
 */
import { around, type Estimate, mean, UNKNOWN } from './estimate.ts'

export const ERROR_SUMS = 10
const [N, E, EE, ABS, EEEE, Y, YY] = [0, 1, 2, 3, 4, 5, 6] as const
const OCTAVES = 40
const PER_OCTAVE = 16
export const ERROR_CELLS = OCTAVES * PER_OCTAVE
const LOWEST = 2 ** -20

/** Adds one case to the sums, or takes it off. @param y truth less the centre @param times 1 or −1 */
export function addError(sums: Float64Array, e: number, y: number, times: number): void {
  sums[N]! += times
  sums[E]! += times * e
  sums[EE]! += times * e * e
  sums[ABS]! += times * Math.abs(e)
  sums[EEEE]! += times * e ** 4
  sums[Y]! += times * y
  sums[YY]! += times * y * y
}

/** The cell of |e| / unit; the first and the last hold what is beyond. */
export function errorCell(magnitude: number): number {
  const scaled = magnitude / LOWEST
  if (!(scaled >= 1)) return 0
  const octave = Math.floor(Math.log2(scaled))
  if (octave >= OCTAVES) return ERROR_CELLS - 1
  // A logarithm may be off in its last bit at a power of two: the fraction is cut at the octave's ends.
  const within = Math.floor((scaled / 2 ** octave - 1) * PER_OCTAVE)
  return octave * PER_OCTAVE + Math.min(PER_OCTAVE - 1, Math.max(0, within))
}

/** Quantile of |e| / unit, the upper edge of its cell; NaN when empty. */
export function errorQuantile(cells: ArrayLike<number>, p: number): number {
  let total = 0
  for (let i = 0; i < cells.length; i++) total += cells[i]!
  const rank = Math.max(1, Math.ceil(p * total))
  let seen = 0
  for (let i = 0; i < cells.length; i++) {
    seen += cells[i]!
    if (seen >= rank) return LOWEST * 2 ** Math.floor(i / PER_OCTAVE) * (1 + ((i % PER_OCTAVE) + 1) / PER_OCTAVE)
  }
  return NaN
}

export interface Errors {
  readonly rmse: Estimate
  readonly mae: Estimate
  /** Mean of prediction − truth. */
  readonly bias: Estimate
  readonly r2: Estimate
}

/** The error of RMSE by the delta method, that of R² as Olkin and Finn (1995) for one predictor. */
export function errorsOf(sums: ArrayLike<number>): Errors {
  const n = sums[N]!
  if (!(n > 0)) return { rmse: UNKNOWN, mae: UNKNOWN, bias: UNKNOWN, r2: UNKNOWN }
  const square = mean(n, sums[EE]!, sums[EEEE]!)
  const rmse = Math.sqrt(square.value)
  const spread = sums[YY]! - sums[Y]! ** 2 / n
  return {
    rmse: around(rmse, rmse > 0 ? square.se / (2 * rmse) : 0, 0),
    mae: mean(n, sums[ABS]!, sums[EE]!, 0),
    bias: mean(n, sums[E]!, sums[EE]!),
    r2: n > 2 && spread > 0 ? rSquared(1 - sums[EE]! / spread, n) : UNKNOWN,
  }
}

function rSquared(r2: number, n: number): Estimate {
  const within = Math.max(0, r2)
  return around(r2, Math.sqrt((4 * within * (1 - within) ** 2 * (n - 2) ** 2) / ((n * n - 1) * (n + 3))), -Infinity, 1)
}
