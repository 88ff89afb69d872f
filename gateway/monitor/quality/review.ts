/** What all threads counted, made into numbers: alarms at the end of windows, gauges, and the page for people. */
import type { Alarm } from '../../alarm.ts'
import { calibrationError, isotonic } from '../../stats/calibration.ts'
import { totalOf } from '../../stats/counts.ts'
import { share } from '../../stats/estimate.ts'
import { cellMiddle, SCORE_CELLS } from '../../stats/scores.ts'
import { GRID_CELLS } from '../../stats/grid.ts'
import type { Judge } from './judge.ts'
import { type Layout, layoutOf, partOf, RELEVANCES } from './layout.ts'
import { estimated, measured, type Measures, scoresOf } from './measures.ts'
import { Ring } from './ring.ts'
import { type Setup, windowsOf } from './setup.ts'

/** Labels from which on scores are made right by what labels said, where that helps. */
const CALIBRATE_FROM = 1000
const BANDS = 10
/** Windows that are shown one by one. */
const SHOWN = 48
/** Ages of predictions by which coverage is told, milliseconds, with their names. */
export const AGES = { '1h': 3_600_000, '6h': 21_600_000, '1d': 86_400_000, '3d': 259_200_000, '7d': 604_800_000, older: Infinity } as const

export interface Coverage {
  readonly predicted: number
  readonly labelled: number
  /** Labelled ÷ predicted; above 1 where receipts of other instances came. NaN without predictions. */
  readonly share: number
}

/** Sums of windows, one piece a group, the last one all together. */
type Sums = readonly Float64Array[]

/** The probability by cell of score. */
interface Calibrated {
  readonly map: Float64Array
  readonly byLabels: boolean
}

export class Review {
  readonly #setup: Setup
  readonly #layout: Layout
  readonly #rings: readonly Ring[]
  readonly #judge: Judge
  /** The window that is judged next. */
  #next: number
  #calibration: { readonly at: number; readonly made: Calibrated } | null = null
  readonly #spanWindows: number

  /** @param parts of all threads @param now Unix milliseconds */
  constructor(setup: Setup, parts: readonly SharedArrayBuffer[], judge: Judge, now: number) {
    this.#setup = setup
    this.#layout = layoutOf(setup)
    this.#rings = parts.map((memory) => new Ring(memory, windowsOf(setup), this.#layout.size * (setup.groups.length + 1)))
    this.#judge = judge
    this.#next = Math.floor((now - setup.delay) / setup.window)
    this.#spanWindows = Math.max(1, Math.round(setup.span / setup.window))
  }

  /** The window that is judged next. */
  get next(): number {
    return this.#next
  }

  /** What ended since then is judged, too. @param next of another process */
  resume(next: number): void {
    this.#next = Math.min(this.#next, next)
  }

  /** Judges every window that has ended (and waited for `delay`) since the last call. */
  advance(now: number): Alarm[] {
    const { window, delay } = this.#setup
    const last = Math.floor((now - delay) / window) - 1
    // After a long sleep the ring holds no more than this.
    this.#next = Math.max(this.#next, last - windowsOf(this.#setup))
    const alarms: Alarm[] = []
    for (; this.#next <= last; this.#next++) alarms.push(...this.#judgeSpan(this.#next))
    return alarms
  }

  #judgeSpan(window: number): readonly Alarm[] {
    const sums = this.#span(window)
    const all = sums.at(-1)!
    if (all[this.#layout.predicted] === 0 && all[this.#layout.labelled] === 0) return []
    const at = (window + 1) * this.#setup.window
    const map = this.#judge.estimates ? this.#calibrated(window).map : null
    const quality = sums.flatMap((cells, group) => (group === 0 ? [] : this.#judge.quality(this.#all(cells, map), this.#name(group, sums), at)))
    return [...this.#judge.labels(this.#labelCounts(all), at), ...quality]
  }

  /** Measured and estimated, of the span up to the last window that has ended; by group, '' = all together. */
  latest(now: number): Readonly<Record<string, Measures>> {
    const window = this.#last(now)
    const { map } = this.#calibrated(window)
    const sums = this.#span(window)
    return Object.fromEntries(sums.map((cells, group) => [this.#name(group, sums), this.#all(cells, map)] as const).filter(([name], i) => name !== '' || i === sums.length - 1))
  }

  /** By the age of predictions. */
  coverage(now: number): Readonly<Record<keyof typeof AGES, Coverage>> {
    const found = Object.fromEntries(Object.keys(AGES).map((name) => [name, { predicted: 0, labelled: 0 }]))
    const newest = Math.floor(now / this.#setup.window)
    for (let window = Math.max(0, newest - windowsOf(this.#setup) + 1); window <= newest; window++) {
      const age = now - (window + 0.5) * this.#setup.window
      const into = found[Object.keys(AGES).find((name) => age < AGES[name as keyof typeof AGES])!]!
      into.predicted += this.#cell(window, this.#layout.predicted)
      into.labelled += this.#cell(window, this.#layout.labelled)
    }
    return Object.fromEntries(Object.entries(found).map(([name, { predicted, labelled }]) => [name, covered(predicted, labelled)])) as Readonly<Record<keyof typeof AGES, Coverage>>
  }

  /** For people; numbers that are not known are NaN, which JSON has as null. */
  page(now: number): Readonly<Record<string, unknown>> {
    const { kind, window, span, keep, delay, groups } = this.#setup
    const last = this.#last(now)
    const calibrated = this.#calibrated(last)
    const sums = this.#span(last)
    const all = sums.at(-1)!
    return {
      kind, window_ms: window, span_ms: span, keep_ms: keep, delay_ms: delay,
      span: {
        ...this.#range(last - this.#spanWindows + 1, last), ...this.#completeness(all), measures: measured(this.#setup, this.#layout, all),
        estimated: estimated(this.#setup, this.#layout, all, calibrated.map), calibrated_by_labels: calibrated.byLabels,
        segments: groups.length === 0 ? {} : Object.fromEntries(sums.slice(0, -1).map((cells, group) => [group === 0 ? 'other' : groups[group - 1]!, { ...this.#completeness(cells), measures: this.#all(cells, calibrated.map) }])),
      },
      labels: this.#judge.compare(this.#labelCounts(all)), level: this.#judge.alpha, alarms: this.#judge.active,
      coverage_by_age: this.coverage(now), coverage_by_score: this.#bands(now), windows: this.#list(now),
    }
  }

  /** Of all groups and threads. */
  #cell(window: number, at: number): number {
    let total = 0
    for (const ring of this.#rings) for (let group = 0; group <= this.#setup.groups.length; group++) total += ring.cell(window, group * this.#layout.size + at)
    return total
  }

  #list(now: number): readonly unknown[] {
    const newest = Math.floor(now / this.#setup.window)
    const shown: unknown[] = []
    for (let window = newest; window > newest - windowsOf(this.#setup) && shown.length < SHOWN; window--) {
      if (this.#cell(window, this.#layout.predicted) + this.#cell(window, this.#layout.labelled) === 0) continue
      const cells = this.#windows(window, window).at(-1)!
      shown.push({ ...this.#range(window, window), closed: window < newest, ...this.#completeness(cells), measures: measured(this.#setup, this.#layout, cells) })
    }
    return shown
  }

  /** Whether labels come for all scores alike: tenths of the predictions, from the lowest scores up. */
  #bands(now: number): readonly unknown[] {
    if (this.#layout.scores < 0) return []
    const newest = Math.floor(now / this.#setup.window)
    const cells = this.#windows(newest - windowsOf(this.#setup) + 1, newest).at(-1)!
    const predicted = partOf(cells, this.#layout.scores, SCORE_CELLS)
    const { total } = scoresOf(this.#layout, cells)
    const n = totalOf(predicted)
    const bands: { from: number; predicted: number; labelled: number }[] = []
    let before = 0
    for (let cell = 0; cell < SCORE_CELLS; cell++) {
      if (predicted[cell] === 0 && total[cell] === 0) continue
      const band = n === 0 ? 0 : Math.min(BANDS - 1, Math.floor(((before + predicted[cell]! / 2) / n) * BANDS))
      const into = (bands[band] ??= { from: cellMiddle(cell), predicted: 0, labelled: 0 })
      into.predicted += predicted[cell]!
      into.labelled += total[cell]!
      before += predicted[cell]!
    }
    return bands.filter((band) => band !== undefined).map(({ from, predicted: of, labelled }) => ({ from_score: from, ...covered(of, labelled) }))
  }

  /** A look at all windows: made anew when the span has moved by a quarter. */
  #calibrated(window: number): Calibrated {
    const at = Math.floor(window / Math.max(1, this.#spanWindows / 4))
    if (this.#calibration?.at !== at) this.#calibration = { at, made: this.#calibrate(window) }
    return this.#calibration.made
  }

  /** Scores as probabilities: as they are, or mapped by what labels before the span said, if that is nearer to the truth in both halves of them. */
  #calibrate(window: number): Calibrated {
    const asIs = Float64Array.from({ length: SCORE_CELLS }, (_, cell) => cellMiddle(cell))
    if (this.#layout.hits < 0) return { map: asIs, byLabels: false }
    const end = window - this.#spanWindows
    const from = window - windowsOf(this.#setup) + 1
    const halves = [0, 1].map((odd) => scoresOf(this.#layout, this.#windows(from, end, odd).at(-1)!)) as [ReturnType<typeof scoresOf>, ReturnType<typeof scoresOf>]
    const labels = totalOf(halves[0].total) + totalOf(halves[1].total)
    if (labels < CALIBRATE_FROM) return { map: asIs, byLabels: false }
    const fit = (of: ReturnType<typeof scoresOf>): Float64Array => isotonic(of.hits, of.total, cellMiddle)
    const error = (of: ReturnType<typeof scoresOf>, map: Float64Array): number => calibrationError(of.hits, of.total, of.total.map((count, i) => count * map[i]!)).value
    const better = [0, 1].every((half) => error(halves[half]!, fit(halves[1 - half]!)) < error(halves[half]!, asIs))
    if (!better) return { map: asIs, byLabels: false }
    const both = { hits: halves[0].hits.map((count, i) => count + halves[1].hits[i]!), total: halves[0].total.map((count, i) => count + halves[1].total[i]!) }
    return { map: isotonic(both.hits, both.total, cellMiddle), byLabels: true }
  }

  #labelCounts(cells: Float64Array): Float64Array {
    const { kind, classes } = this.#setup
    const { hits, misses, matrix, grid, relevances } = this.#layout
    if (kind === 'binary') return Float64Array.of(totalOf(partOf(cells, misses, SCORE_CELLS)), totalOf(partOf(cells, hits, SCORE_CELLS)))
    if (kind === 'multiclass') return Float64Array.from(classes, (_, i) => totalOf(partOf(cells, matrix + i * classes.length, classes.length)))
    return kind === 'ranking' ? partOf(cells, relevances, RELEVANCES) : grid < 0 ? new Float64Array(0) : partOf(cells, grid, GRID_CELLS)
  }

  /** @param map null: nothing is estimated */
  #all(cells: Float64Array, map: Float64Array | null): Measures {
    return { ...measured(this.#setup, this.#layout, cells), ...(map === null ? {} : estimated(this.#setup, this.#layout, cells, map)) }
  }

  #name(group: number, sums: Sums): string {
    return group === 0 || group === sums.length - 1 ? '' : this.#setup.groups[group - 1]!
  }

  #completeness(cells: Float64Array): Coverage {
    return covered(cells[this.#layout.predicted]!, cells[this.#layout.labelled]!)
  }

  #range(first: number, last: number): { readonly from: string; readonly to: string } {
    const { window } = this.#setup
    return { from: new Date(first * window).toISOString(), to: new Date((last + 1) * window).toISOString() }
  }

  #last(now: number): number {
    return Math.floor((now - this.#setup.delay) / this.#setup.window) - 1
  }

  #span(window: number): Sums {
    return this.#windows(window - this.#spanWindows + 1, window)
  }

  /** @param odd only windows of this parity */
  #windows(first: number, last: number, odd?: number): Sums {
    const groups = this.#setup.groups.length + 1
    const { size } = this.#layout
    const cells = new Float64Array(groups * size)
    for (let window = Math.max(0, first); window <= last; window++) {
      if (odd === undefined || window % 2 === odd) for (const ring of this.#rings) ring.add(window, cells)
    }
    const pieces = Array.from({ length: groups }, (_, group) => partOf(cells, group * size, size))
    const all = new Float64Array(size)
    for (const piece of pieces) for (let i = 0; i < size; i++) all[i]! += piece[i]!
    return [...pieces, all]
  }
}

function covered(predicted: number, labelled: number): Coverage {
  return { predicted, labelled, share: predicted > 0 ? labelled / predicted : share(0, 0).value }
}
