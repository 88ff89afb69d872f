/** What there is to judge of one feature at one moment. */
import { totalOf } from '../../stats/counts.ts'
import { occupied } from '../../stats/divergence.ts'
import { percent, spanOf } from '../words.ts'
import { compare, pOf, scoreOf, type Side } from './compare.ts'
import type { Drift } from './drift.ts'
import type { Judged } from './state.ts'
import type { Finding } from './judge.ts'
import { outlierCount } from './outliers.ts'
import { shareCounts, type ShareTest, testShare } from './shares.ts'
import type { Watched } from './watched.ts'
import { moveWords, shareWords } from './words.ts'

/** Independent rows below which nothing is told. */
export const LEAST_ROWS = 30
/** A change that no season makes: standard deviations, or share of rows moved; or three times what hours differ by in the training data. */
const BEYOND_SEASON = { numeric: 1.5, categorical: 0.4, swing: 3 }
/** Days of the training data differ by so much: a day of the traffic may differ by half as much again. */
const FLOOR_FACTOR = 1.5
/** A distribution is what it was again when its effect is below this part of the threshold. */
const RECOVERED = 0.8

export interface Limits {
  /** Share of moments with a false alarm. */
  readonly q: number
  /** q by feature: the probability that floors are shown for. */
  readonly level: number
}

export interface Level {
  readonly level: Finding['level']
  readonly judged: Judged
  /** A whole season was seen. */
  readonly whole: boolean
  readonly limits: Limits
}

export function findings(watched: Watched, level: Level, drift: Drift): Finding[] {
  const found = shareFindings(watched, level, drift)
  const outliers = drift.options.fence === null || watched.side === 'input' ? null : outlierCount(watched, level.judged.cells, drift.options.fence)
  if (outliers !== null) found.push(shareFinding(watched, testShare(outliers, drift.options.share, watched.design), level, drift))
  const season = level.level === 'season'
  const moved = !drift.options.compared.has(season ? 'training' : 'seasons') ? null : season ? againstTraining(watched, level, drift) : againstEarlier(watched, level, drift)
  return moved === null ? found : [...found, moved]
}

function shareFindings(watched: Watched, level: Level, drift: Drift): Finding[] {
  return shareCounts(watched, level.judged.cells).map((counted) => shareFinding(watched, testShare(counted, drift.options.share, watched.design), level, drift))
}

function shareFinding(watched: Watched, test: ShareTest, { level, judged, limits }: Level, drift: Drift): Finding {
  const { share, p, rise, threshold, count, of } = test
  return {
    watched, cause: share, statistic: share, level, p, effect: rise, threshold, count: [count, of], enough: independent(of, judged, watched) >= LEAST_ROWS, quiet: false,
    reason: () => `${shareWords(watched, test, drift.names(watched))}; ${chance(p, limits)}; ${spanOf(judged.from, judged.to)}`,
  }
}

function againstTraining(watched: Watched, { judged, whole, limits }: Level, drift: Drift): Finding | null {
  const live = drift.side(watched, judged.cells)
  const training = drift.training(watched)
  const found = effectOf(watched, live, training, limits.level)
  if (found === null) return null
  const { score, rows } = found
  const { numeric, floor, swing, statistic } = watched
  const threshold = Math.max(watched.threshold, statistic === 'js_bits' ? FLOOR_FACTOR * floor : 0)
  const least = Math.max(numeric === null ? BEYOND_SEASON.categorical : BEYOND_SEASON.numeric, BEYOND_SEASON.swing * swing)
  // Of a part of a season only what the hour of the day cannot explain.
  const explained = !whole && (score.equivalent === null || score.equivalent < least)
  const enough = independent(rows, judged, watched) >= LEAST_ROWS
  return {
    watched, cause: 'distribution', statistic, level: 'season', p: explained ? 1 : found.p, effect: score.debiased, threshold, count: null, enough,
    quiet: whole && score.debiased < RECOVERED * threshold,
    reason: () => `${moveWords(watched, live.cells!, watched.baseline.cells, compare(watched, live, training, limits.level, []))}; ${scoreWords(watched, score, threshold)}; ${rows} rows, ${spanOf(judged.from, judged.to)}, against ${totalOf(training.groups)} of the training data`,
  }
}

function againstEarlier(watched: Watched, { judged, limits }: Level, drift: Drift): Finding | null {
  const earlier = drift.earlier(watched, judged.from, judged.to, null)
  if (earlier === null) return null
  const live = drift.side(watched, judged.cells)
  const found = effectOf(watched, live, earlier, limits.level)
  if (found === null) return null
  const threshold = Math.max(watched.threshold, watched.statistic === 'js_bits' ? FLOOR_FACTOR * watched.floor : 0)
  const { score, rows } = found
  return {
    watched, cause: 'distribution', statistic: watched.statistic, level: 'window', p: found.p, effect: Math.min(score.debiased, weekAgo(watched, live, judged, limits, drift)), threshold, count: null,
    enough: independent(rows, judged, watched) >= LEAST_ROWS && totalOf(earlier.groups) / watched.design >= LEAST_ROWS, quiet: false,
    reason: () => `${moveWords(watched, live.cells!, null, compare(watched, live, earlier, limits.level, []))}; ${scoreWords(watched, score, threshold)}; ${rows} rows, ${spanOf(judged.from, judged.to)}, against ${totalOf(earlier.groups)} at the same time in earlier seasons`,
  }
}

/** What a weekend does it did a week ago too. */
function weekAgo(watched: Watched, live: Side, { from, to }: Judged, limits: Limits, drift: Drift): number {
  const week = drift.week === null ? null : drift.earlier(watched, from, to, drift.week)
  const found = week === null || totalOf(week.groups) / watched.design < LEAST_ROWS ? null : effectOf(watched, live, week, limits.level)
  return found === null ? Infinity : found.score.debiased
}

/** @returns null when a side is empty, or the statistic needs cells that only groups are known of */
function effectOf(watched: Watched, live: Side, reference: Side, level: number): { readonly score: NonNullable<ReturnType<typeof scoreOf>>; readonly p: number; readonly rows: number } | null {
  const [n, m] = [totalOf(live.groups), totalOf(reference.groups)]
  if (n === 0 || m === 0) return null
  const cells = occupied(live.groups, reference.groups)
  const score = scoreOf(watched.statistic, watched, live, reference, { n, m, cells, level })
  if (score === null) return null
  // Below the noise nothing is found, whatever the test says.
  return { score, p: score.floor !== null && score.score < score.floor ? 1 : pOf(watched, live, reference), rows: n }
}

function scoreWords({ statistic, numeric }: Watched, { debiased, floor, equivalent, at }: NonNullable<ReturnType<typeof scoreOf>>, threshold: number): string {
  const like = equivalent === null ? '' : numeric === null ? `, as if ${percent(equivalent)} of the rows had moved` : `, as a shift of ${equivalent.toFixed(2)} standard deviations would`
  return `${statistic} ${debiased.toFixed(4)}${at === undefined ? '' : ` at ${at}`} (threshold ${Number(threshold.toPrecision(4))}${floor === null ? '' : `, noise ${floor.toFixed(4)}`})${like}`
}

/** The elements of a list come together: a row of them is one. */
function independent(values: number, { rows }: Judged, { design }: Watched): number {
  return Math.min(values, rows) / design
}

export function chance(p: number, { level }: Limits): string {
  return `p ${p.toExponential(1)}, allowed about ${level.toExponential(1)}`
}
