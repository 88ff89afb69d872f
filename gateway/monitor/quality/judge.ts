/**
 * When labels are no longer distributed as in training, and when quality is beyond what was set.
 *
 * At the end of every window the windows of the last span are judged together. The level of a test is what the budget of false alarms leaves
 * it: budget (a week) × window / week / number of tests; spans overlap, so that fewer come. Labels: the two-sample chi-square of training
 * and span (regression: Kolmogorov-Smirnov on the grid), and an effect: a class whose share changed by a factor. Quality: the threshold must lie
 * outside the one-sided interval at that level. An alarm is raised when it begins. It holds as long as
 * half the effect is still to be seen (labels) or the number itself is beyond (quality): what chance hides for a day is not over. It may begin
 * again after a whole span without.
 */
import type { Alarm } from '../../alarm.ts'
import { chiSquare } from '../../stats/chi_square.ts'
import { totalOf } from '../../stats/counts.ts'
import { ks, ksP } from '../../stats/ks.ts'
import { normalIsf } from '../../stats/tails.ts'
import { levelOf } from '../budget.ts'
import { percent, spanOf } from '../words.ts'
import type { Baseline } from './baseline.ts'
import type { Measure, Measures } from './measures.ts'

/** However few tests a week there are, what one in a hundred would show is no news. */
const MOST_LEVEL = 0.01
/** Of an alarm that is on. */
const HOLD_LEVEL = 0.05

export interface Limit {
  readonly min?: number
  readonly max?: number
}

export interface JudgeOptions {
  /** Expected false alarms a week. */
  readonly budget: number
  readonly window: number
  readonly span: number
  /** Labels (or predictions, of what is estimated) a span must have. */
  readonly least: number
  /** By statistic. */
  readonly limits: Readonly<Record<string, Limit>>
  /** Share of a class against its training share, up or down. */
  readonly ratio: number
  /** regression: Kolmogorov–Smirnov distance. */
  readonly distance: number
  readonly baseline: Baseline | null
  /** Of the label, for alarms. */
  readonly column: string
}

/** When what was last seen, by key; outlives a reload. */
export type Active = Map<string, { readonly since: number; last: number }>

/** How labels of a span compare with training. */
export interface LabelVerdict {
  readonly n: number
  readonly p: number
  readonly statistic: 'share_ratio' | 'ks'
  readonly score: number
  readonly threshold: number
  readonly state: 'ok' | 'drift' | 'insufficient_data'
  readonly words: string
}

export class Judge {
  readonly alpha: number
  readonly #options: JudgeOptions
  readonly #active: Active
  readonly #z: number

  /** @param groups that are judged */
  constructor(options: JudgeOptions, groups: number, active: Active) {
    const tests = Object.keys(options.limits).length * groups + (options.baseline === null ? 0 : 1)
    this.alpha = levelOf(options.budget, options.window, tests, MOST_LEVEL)
    this.#z = normalIsf(this.alpha)
    this.#options = options
    this.#active = active
  }

  /** Whether alarms go by what is estimated without labels. */
  get estimates(): boolean {
    return Object.keys(this.#options.limits).some((name) => name.startsWith('estimated_'))
  }

  get active(): Readonly<Record<string, string>> {
    return Object.fromEntries([...this.#active].map(([key, { since }]) => [key, new Date(since).toISOString()]))
  }

  /** @param counts labels of the span, as the baseline has them @param at end of the span */
  labels(counts: Float64Array, at: number): readonly Alarm[] {
    const verdict = this.compare(counts)
    if (verdict === null || !this.#begins('label', verdict.state === 'drift', this.#holds(counts), at)) return []
    const { statistic, score, threshold, words } = verdict
    return [{ time: at, kind: 'label', feature: this.#options.column, statistic, score, threshold, reason: `${words}; ${this.#span(at)}` }]
  }

  /** @returns null without a baseline */
  compare(counts: Float64Array): LabelVerdict | null {
    const { baseline, least } = this.#options
    if (baseline === null) return null
    const n = totalOf(counts)
    const found = this.#differ(baseline, counts, n, this.alpha)
    const state = n < least ? 'insufficient_data' : found.p <= this.alpha && found.score >= found.threshold ? 'drift' : 'ok'
    return { ...found, n, state }
  }

  #differ(baseline: Baseline, counts: Float64Array, n: number, level: number): Omit<LabelVerdict, 'n' | 'state'> {
    return baseline.names === null ? this.#numbers(baseline, counts, n) : this.#classes(baseline, baseline.names, counts, n, level)
  }

  /** Whether what was told once is still there, by half of it. Too few labels say nothing against it. */
  #holds(counts: Float64Array): boolean {
    const { baseline, least } = this.#options
    if (!this.#active.has('label')) return false
    const n = totalOf(counts)
    const { p, statistic, score, threshold } = this.#differ(baseline!, counts, n, HOLD_LEVEL)
    const half = statistic === 'ks' ? threshold / 2 : Math.sqrt(threshold)
    return n < least || (p <= HOLD_LEVEL && score >= half)
  }

  /** @param group '' = all together */
  quality(measures: Measures, group: string, at: number): readonly Alarm[] {
    const alarms: Alarm[] = []
    for (const [statistic, limit] of Object.entries(this.#options.limits)) {
      const measure = measures[statistic]
      const beyond = measure === undefined ? null : this.#beyond(measure, limit)
      const holds = measure !== undefined && this.#beyond(measure, limit, 0) !== null
      if (!this.#begins(`${statistic} ${group}`, beyond !== null, holds, at) || beyond === null) continue
      const { score, threshold } = beyond
      const word = threshold === limit.min ? 'at least' : 'at most'
      const reason = `${statistic} ${digits(score)} ± ${digits(measure!.se)} (standard error) of ${measure!.n} ${statistic.startsWith('estimated_') ? 'predictions' : 'labels'}, expected ${word} ${threshold}${group === '' ? '' : `, segment ${group}`}; ${this.#span(at)}`
      alarms.push({ time: at, kind: 'quality', feature: this.#options.column, statistic, score, threshold, reason })
    }
    return alarms
  }

  #beyond(measure: Measure, { min, max }: Limit, z = this.#z): { readonly score: number; readonly threshold: number } | null {
    if (measure.n < this.#options.least || Number.isNaN(measure.se)) return null
    // A calibration error has a mean above 0 even where all is right.
    const score = measure.floor === undefined ? measure.value : Math.max(0, measure.value - measure.floor)
    const slack = z * measure.se
    if (min !== undefined && score + slack < min) return { score, threshold: min }
    if (max !== undefined && score - slack > max) return { score, threshold: max }
    return null
  }

  #classes({ counts: base, rows }: Baseline, names: readonly string[], counts: Float64Array, n: number, level: number): Omit<LabelVerdict, 'n' | 'state'> {
    const { p } = chiSquare(base, counts)
    const threshold = this.#options.ratio
    let [score, at] = [1, -1]
    for (let i = 0; i < counts.length; i++) {
      // The class by itself against all others, so that a rare one does not hide behind the test of all, or chance behind its ratio.
      if (!(chiSquare([base[i]!, rows - base[i]!], [counts[i]!, n - counts[i]!]).p <= level)) continue
      const ratio = (counts[i]! + 0.5) / (n + 1) / ((base[i]! + 0.5) / (rows + 1))
      const either = Math.max(ratio, 1 / ratio)
      if (either > score) [score, at] = [either, i]
    }
    const words = at < 0 ? 'no class changed' : `${this.#options.column}: ${names[at]} are ${percent(counts[at]! / n)} of ${n} labels, ${percent(base[at]! / rows)} in training (${digits((counts[at]! / n) / (base[at]! / rows))} times, p = ${digits(p)})`
    return { p, statistic: 'share_ratio', score, threshold, words }
  }

  #numbers({ counts: base, rows }: Baseline, counts: Float64Array, n: number): Omit<LabelVerdict, 'n' | 'state'> {
    const { distance } = ks(base, counts)
    const p = ksP(distance, rows, n)
    const words = `${this.#options.column}: Kolmogorov-Smirnov distance ${digits(distance)} of ${n} labels from training (p = ${digits(p)})`
    return { p, statistic: 'ks', score: distance, threshold: this.#options.distance, words }
  }

  #begins(key: string, now: boolean, holds: boolean, at: number): boolean {
    const known = this.#active.get(key)
    if (!now && !(holds && known !== undefined)) {
      if (known !== undefined && at - known.last >= this.#options.span) this.#active.delete(key)
      return false
    }
    if (known === undefined) this.#active.set(key, { since: at, last: at })
    else known.last = at
    return known === undefined
  }

  #span(at: number): string {
    return spanOf(at - this.#options.span, at)
  }
}

function digits(value: number): string {
  return String(Number(value.toPrecision(3)))
}
