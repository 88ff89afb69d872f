/**
 * The engine of drift: closes windows, compares, judges. Knows columns, cells and time, no requests.
 *
 * Seasons: an hour of the evening is not like an hour of the morning though nothing drifted, so a short window against the training data is a
 * score and never an alarm. Alarms of distributions come from (1) everything since a season ago against the training data, at the end of every
 * chunk or window, whichever is longer; before a whole season was seen only of changes that no season makes; (2) a window against the same time in at least two
 * earlier seasons, and, where it is known, a week ago. Shares (nulls, NaN, values never seen, defaults) are tested in both.
 */
import { levelOf, WEEK_MS } from '../budget.ts'
import { addInto } from './ring.ts'
import { type Comparison, compare, type Side, sideOf } from './compare.ts'
import { ABSENT, NAN, ROWS } from './counter.ts'
import { findings, LEAST_ROWS, type Level, type Limits } from './findings.ts'
import type { History } from './history.ts'
import type { Rates } from './rates.ts'
import type { Outcome } from './judge.ts'
import { modelFindings, type OutlierModel } from './outlier_model.ts'
import { addName, type DriftState, type Judged } from './state.ts'
import { SEASONS, type Times } from './times.ts'
import { type Plan, SPECIALS, type Statistic, STATISTICS, type Watched } from './watched.ts'

export interface DriftOptions {
  /** Expected false alarms a week. */
  readonly budget: number
  readonly persistence: number
  /** Least rise of a share that matters. */
  readonly share: number
  /** A prediction this many interquartile ranges beyond the quartiles is an outlier; null: they are not watched. */
  readonly fence: number | null
  /** Scores rows of requests; null: none does. */
  readonly model: OutlierModel | null
  /** What distributions are compared with; without `training` or `seasons` there are no alarms from them. */
  readonly compared: ReadonlySet<Compared>
}

export type Compared = 'training' | 'previous' | 'seasons' | 'last_week'

/** A third of the budget is for windows, for seasons, for rates. */
export const PARTS = 3
/** However few moments of judgement a week has. */
const MOST_LEVEL = 0.05

export class Drift {
  readonly plan: Plan
  readonly times: Times
  readonly options: DriftOptions
  readonly state: DriftState
  readonly #history: History
  readonly #rates: Rates | null
  #ticks = 0

  /** @param rates null: none are watched */
  constructor(plan: Plan, times: Times, options: DriftOptions, history: History, state: DriftState, rates: Rates | null = null) {
    this.plan = plan
    this.times = times
    this.options = options
    this.state = state
    this.#history = history
    this.#rates = rates
  }

  stamp(now: number): number {
    return Math.floor(now / this.times.stretch)
  }

  /** Milliseconds until something may be closed. */
  due(now: number): number {
    const { stretch, grace } = this.times
    return stretch * Math.floor((now - grace) / stretch + 1) + grace - now
  }

  /** Sums what ended and judges what is complete. To be called after every stretch; being late or early does no harm. */
  tick(now: number): Outcome {
    const { window, chunk, grace } = this.times
    const { state } = this
    this.#ticks++
    this.#history.fold(now, (feature, text, count) => this.#named(feature, text, count))
    const outcome: Outcome = { alarms: [], ended: [] }
    const [closedChunk, closedWindow] = [Math.floor((now - grace) / chunk) - 1, Math.floor((now - grace) / window) - 1]
    if (closedWindow !== state.window) {
      // A clock that went back begins anew where it is.
      if (!(closedWindow < state.window)) join(outcome, this.#closeWindow(closedWindow))
      state.window = closedWindow
    }
    if (closedChunk !== state.chunk) {
      const ahead = closedChunk - state.chunk
      // What was seen before the clock was set, or nobody asked for a season, is no season.
      if (ahead < 0 || ahead > this.times.chunks) state.began = NaN
      if (!(ahead < 0)) join(outcome, this.#closeChunks(closedChunk))
      state.chunk = closedChunk
    }
    return outcome
  }

  /** Calls of `tick`: what was copied before the last one does not fit what is copied after it. */
  get ticks(): number {
    return this.#ticks
  }

  #closeWindow(window: number): Outcome {
    const { state, times } = this
    const [from, to] = [window * times.window, (window + 1) * times.window]
    const cells = this.#history.stretchesOf(from, to)
    state.previous = state.last !== null && state.last.to === from ? state.last : null
    state.last = cells === null ? null : { from, to, rows: cells[ROWS]!, cells }
    const outcome: Outcome = { alarms: this.#rates?.window(cells, from, to) ?? [], ended: [] }
    if (state.last === null) return outcome
    this.#meet(state.last.cells)
    if (state.last.rows >= LEAST_ROWS) join(outcome, this.#judge({ level: 'window', judged: state.last, whole: false, limits: this.#limits(times.window) }))
    return outcome
  }

  #closeChunks(chunk: number): Outcome {
    const { state, times } = this
    const first = Number.isNaN(state.chunk) || chunk - state.chunk > times.chunks ? chunk - times.chunks + 1 : state.chunk + 1
    for (let closed = first; closed <= chunk; closed++) this.#history.keep(closed)
    // Every window that is longer than a chunk, at its end.
    if ((chunk + 1) % times.every !== 0 && chunk - first + 1 < times.every) return { alarms: [], ended: [] }
    const to = (chunk + 1) * times.chunk
    const from = to - times.season
    const { cells, found } = this.#history.chunksOf(chunk - times.chunks + 1, chunk)
    if (found === 0) return { alarms: [], ended: [] }
    this.#meet(cells)
    if (Number.isNaN(state.began)) state.began = this.#firstChunk(chunk) * times.chunk
    state.season = { from, to, rows: cells[ROWS]!, cells }
    if (!(to - state.namesSince < times.season)) this.#turnNames(to)
    return this.#judge({ level: 'season', judged: state.season, whole: state.began <= from, limits: this.#limits(times.every * times.chunk) })
  }

  #firstChunk(last: number): number {
    for (let chunk = last - this.times.chunks + 1; chunk < last; chunk++) if (this.#history.chunksOf(chunk, chunk).found > 0) return chunk
    return last
  }

  #judge(level: Level): Outcome {
    const found = this.plan.features.flatMap((watched) => (this.state.met.has(watched.order) ? findings(watched, level, this) : []))
    found.push(...modelFindings(level, this))
    return this.state.judge.moment(found, level.judged.to, level.limits.q, this.options.persistence, this.times.season)
  }

  /** @param every milliseconds between moments of judgement */
  #limits(every: number): Limits {
    const q = levelOf(this.options.budget, every, PARTS, MOST_LEVEL)
    return { q, level: q / this.plan.features.length }
  }

  /** Which features there are at all: a profile has columns that no request brings. */
  #meet(words: Uint32Array): void {
    for (const { order, at, cells } of this.plan.features) {
      if (this.state.met.has(order)) continue
      const own = words.subarray(at, at + cells + SPECIALS.length)
      if (own.some((count, i) => count > 0 && i !== cells + ABSENT)) this.state.met.add(order)
    }
  }

  /** The same time in earlier seasons: the chunks that the window lies in. @param back seasons; null: all that are known, at least two */
  earlier(watched: Watched, from: number, to: number, back: number | null): Side | null {
    const { chunk, chunks } = this.times
    const [first, last] = [Math.floor(from / chunk), Math.ceil(to / chunk) - 1]
    const groups = new Float64Array(watched.numeric?.groups.count ?? watched.cells)
    let found = 0
    for (let k = back ?? 1; k <= (back ?? SEASONS); k++) if (this.#history.addPast(watched, first - k * chunks, last - k * chunks, groups) > 0) found++
    return found >= (back === null ? 2 : 1) ? { groups, cells: null, nan: 0 } : null
  }

  /** Seasons in a week; null where a week is no whole number of seasons, or longer than what is remembered. */
  get week(): number | null {
    const seasons = WEEK_MS / this.times.season
    return Number.isInteger(seasons) && seasons <= SEASONS ? seasons : null
  }

  training(watched: Watched): Side {
    return sideOf(watched, watched.baseline.cells, watched.baseline.specials[NAN])
  }

  side(watched: Watched, words: Uint32Array): Side {
    return sideOf(watched, words.subarray(watched.at, watched.at + watched.cells), words[watched.at + watched.cells + NAN])
  }

  compare(watched: Watched, live: Side, reference: Side, statistics: readonly Statistic[] = STATISTICS): Comparison {
    return compare(watched, live, reference, this.#limits(this.times.window).level, statistics)
  }

  /** The last window, as far as it has gone: the sum of the last 12 stretches that ended. */
  sliding(): Judged | null {
    const live = this.#history.live()
    const newest = live.at(-1)
    if (newest === undefined) return null
    const to = (newest[0] + 1) * this.times.stretch
    const cells = new Uint32Array(this.plan.words)
    for (const [stamp, words] of live) if (stamp * this.times.stretch >= to - this.times.window) addInto(cells, words)
    return { from: to - this.times.window, to, rows: cells[ROWS]!, cells }
  }

  /** Stretches that are remembered, oldest first, for whoever adds up several gateways. */
  stretches(): readonly (readonly [stamp: number, cells: Uint32Array])[] {
    return this.#history.live()
  }

  /** Unlisted values of a feature, the most frequent first; counts are lower bounds. */
  names({ order }: Watched): [string, number][] {
    const names = new Map(this.state.older[order])
    for (const [text, count] of this.state.names[order] ?? []) names.set(text, (names.get(text) ?? 0) + count)
    return [...names].sort((a, b) => b[1] - a[1] || (a[0] < b[0] ? -1 : 1))
  }

  #named(feature: number, text: string, count: number): void {
    addName((this.state.names[feature] ??= new Map()), text, count)
  }

  #turnNames(time: number): void {
    if (!Number.isNaN(this.state.namesSince)) {
      this.state.older = this.state.names
      this.state.names = []
    }
    this.state.namesSince = time
  }
}

function join(into: Outcome, more: Outcome): void {
  into.alarms.push(...more.alarms)
  into.ended.push(...more.ended)
}
