/**
 * Values that stand for "not known" (−1, −999, 9999, "", "unknown").
 *
 * Idea: a default is frequent and stands apart. Of numbers a value with at least 0.5 % of the mass is one when it lies outside the fence of the
 * others, or when it is one of the usual ones and stands apart from them: the only negative, or beyond a gap. So 0 is an ordinary
 * value of counts and of amounts that begin near 0, and a sentinel of ages that begin at 18.
 */
import { percent, quantile7, rounded } from './numbers.ts'
import type { Sentinel } from '../profile.ts'

const LEAST_SHARE = 0.005
/** In the first values; later rows may bring a little more. */
const LEAST_SHARE_SAMPLED = 0.004
const USUAL = [0, -1, -9, -99, -999, -9_999, -99_999, 99, 999, 9_999, 99_999, 999_999, -2_147_483_648, 2_147_483_647]
const WORDS = new Set(['', 'unknown', 'n/a', 'na', 'nan', 'none', 'null', 'nil', 'missing', 'undefined', 'not available', '?', '-', '--'])
/** Different values the others must have: among three values none stands apart. */
const LEAST_OTHERS = 3

/** Values to be counted because they may turn out to be sentinels. @param sorted the first values */
export function candidatesOf(sorted: Float64Array): Map<number, number> {
  const found = new Map(USUAL.map((value) => [value, 0]))
  for (let i = 0, end = 0; i < sorted.length; i = end) {
    while (end < sorted.length && sorted[end] === sorted[i]) end++
    if (end - i >= LEAST_SHARE_SAMPLED * sorted.length && end - i > 1) found.set(sorted[i]!, 0)
  }
  return found
}

/** @param counts of values that may be sentinels @param count of all finite values @param sorted a sample of them, ascending */
export function numberSentinels(counts: ReadonlyMap<number, number>, count: number, sorted: Float64Array, whole: boolean): Sentinel[] {
  return [...counts].flatMap(([value, n]): Sentinel[] => {
    if (n < 2 || n < LEAST_SHARE * count) return []
    const why = standsApart(value, without(sorted, value), whole)
    return why === null ? [] : [{ value, share: rounded(n / count), why }]
  }).sort((a, b) => b.share - a.share)
}

/** The others of a sorted sample. */
function without(sorted: Float64Array, value: number): Float64Array {
  const from = sorted.indexOf(value)
  if (from < 0) return sorted
  const to = sorted.lastIndexOf(value) + 1
  const others = new Float64Array(sorted.length - (to - from))
  others.set(sorted.subarray(0, from))
  others.set(sorted.subarray(to), from)
  return others
}

/** Why a value is none, where people would ask. */
export function ordinaryZero(zeros: number, count: number, sentinels: readonly Sentinel[], min: number): string | null {
  if (zeros < LEAST_SHARE * count || zeros === count || sentinels.some(({ value }) => value === 0)) return null
  return min === 0 ? `0 (${percent(zeros / count)} of the values) is an ordinary value here: the others begin next to it.` : `0 (${percent(zeros / count)} of the values) is an ordinary value here: it lies among the others.`
}

function standsApart(value: number, others: Float64Array, whole: boolean): string | null {
  if (!hasDifferent(others, LEAST_OTHERS)) return null
  const at = (p: number): number => quantile7(others.length, p, (i) => others[i]!)
  const [least, most, range] = [others[0]!, others.at(-1)!, at(0.75) - at(0.25)]
  if (range > 0 && (value < at(0.001) - 3 * range || value > at(0.999) + 3 * range)) return `lies outside the fence of the other values, which go from ${least} to ${most}`
  if (!USUAL.includes(value)) return null
  if (value < 0 && least >= 0) return `is the only negative value; the others go from ${least} to ${most}`
  const gap = value < least ? least - value : value - most
  return gap > Math.max(range / 4, whole ? 1 : 0) ? `is a usual mark for "not known" and ${rounded(gap)} away from the other values, which go from ${least} to ${most}` : null
}

function hasDifferent(sorted: Float64Array, wanted: number): boolean {
  let different = 0
  for (let i = 0; i < sorted.length && different < wanted; i++) if (i === 0 || sorted[i] !== sorted[i - 1]) different++
  return different === wanted
}

export function textSentinels(counts: Iterable<readonly [value: string, n: number]>, count: number): Sentinel[] {
  const found: Sentinel[] = []
  for (const [value, n] of counts) {
    if (n >= 2 && n >= LEAST_SHARE * count && n < count && WORDS.has(value.trim().toLowerCase())) found.push({ value, share: rounded(n / count), why: 'is a usual word for "not known"' })
  }
  return found.sort((a, b) => b.share - a.share)
}
