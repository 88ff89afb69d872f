/** Drift as a route runs it: memory of all threads, columns in, alarms and gauges out. No Exchange, no HTTP. */
import type { Columns } from '../../payload/columns.ts'
import { featureReader, type FeatureReader } from '../../payload/features.ts'
import { hash53 } from '../../stats/hash.ts'
import type { Memory } from '../remember.ts'
import { Counter, partBytes } from './counter.ts'
import { Drift, type DriftOptions } from './drift.ts'
import { History, historyBytes, memoryOf } from './history.ts'
import { sectionsOf } from './image.ts'
import type { Outcome } from './judge.ts'
import { type Cells, cellsOf } from './merge.ts'
import { type Fence, fenceOf, outlierCount } from './outliers.ts'
import { countScores } from './outlier_model.ts'
import { countExchange, type Rates } from './rates.ts'
import { reportOf, type Status, statusOf } from './report.ts'
import { shareCounts } from './shares.ts'
import type { DriftState } from './state.ts'
import type { Times } from './times.ts'
import { type Plan, SHARES, type Share, type Statistic, type Watched } from './watched.ts'

const SCORES = { numeric: ['js_bits', 'psi', 'ks', 'wasserstein_sd', 'l_infinity'], categorical: ['js_bits', 'psi', 'l_infinity'] } as const satisfies Record<string, readonly Statistic[]>

export interface DriftMemory {
  /** One a thread, `partBytes` long, and which of them is this thread's. */
  readonly all: readonly SharedArrayBuffer[]
  readonly mine: SharedArrayBuffer
  /** `historyBytes` long; written by the leader alone. */
  readonly history: SharedArrayBuffer
}

/** What stands for a plan and its times: memory and cells of two with the same fit each other. */
export function layoutOf({ features }: Plan, { stretch, season }: Times): string {
  return String(hash53(JSON.stringify([features.map(({ name, side, numeric, labels }) => [name, side, numeric === null ? labels : [numeric.centre, numeric.scale, [...numeric.groups.of]]]), stretch, season])))
}

/** @throws Error when that is more than is allowed */
export function bytesOf(plan: Plan, times: Times, threads: number): { readonly part: number; readonly history: number } {
  memoryOf(plan, times, threads)
  return { part: partBytes(plan), history: historyBytes(plan, times, threads) }
}

export class DriftMonitor {
  readonly drift: Drift
  readonly #history: History
  readonly #mine: number
  readonly #counter: Counter
  readonly #inputs: FeatureReader
  readonly #outputs: FeatureReader
  readonly #fences: readonly { readonly watched: Watched; readonly fence: Fence }[]
  readonly #rates: Rates | null
  readonly #layout: string
  #stamp = -1

  /** @param matrix names of the columns of the model's matrix, where requests are one tensor; null: the input features */
  constructor(plan: Plan, times: Times, options: DriftOptions, memory: DriftMemory, state: DriftState, { matrix, rates }: { readonly matrix: readonly string[] | null; readonly rates: Rates | null }) {
    this.#history = new History(plan, times, memory.all, memory.history)
    this.#mine = memory.all.indexOf(memory.mine)
    this.drift = new Drift(plan, times, options, this.#history, state, rates)
    this.#counter = new Counter(plan, memory.mine)
    this.#inputs = featureReader(plan.inputs, matrix ?? plan.inputs)
    this.#outputs = featureReader(plan.outputs)
    this.#rates = rates
    this.#layout = layoutOf(plan, times)
    this.#fences = options.fence === null ? [] : plan.features.flatMap((watched) => {
      const fence = watched.side === 'output' ? fenceOf(watched, options.fence!) : null
      return fence === null ? [] : [{ watched, fence }]
    })
  }

  /** @param wall Unix milliseconds @returns rows */
  request(columns: Columns, wall: number): number {
    const view = this.#inputs.view(columns)
    this.#turn(wall)
    this.#counter.request(view)
    return view.rows
  }

  unreadable(wall: number): void {
    this.#turn(wall)
    this.#counter.unreadable()
  }

  /** @returns the first output with a value beyond its fence, or null */
  answer(columns: Columns, wall: number): Watched | null {
    const view = this.#outputs.view(columns)
    this.#turn(wall)
    this.#counter.answer(view)
    for (const { watched, fence } of this.#fences) {
      for (let row = 0; row < view.rows; row++) {
        const value = Number(view.value(watched.index, row) ?? NaN)
        if (value < fence.low || value >= fence.high) return watched
      }
    }
    return null
  }

  /** What the outlier model said of a request: counted when it says so. */
  scored(outliers: number, scored: number, wall: number): void {
    this.#turn(wall)
    countScores(this.#counter.head, outliers, scored)
  }

  /** For `rates`: the end of an exchange. */
  exchange(ms: number, failed: boolean, wall: number): void {
    this.#turn(wall)
    countExchange(this.#counter.head, ms, failed)
  }

  /** On the leader, when `due` says so. */
  tick(wall: number): Outcome {
    return this.drift.tick(wall)
  }

  /** Of the last window: scores against the training data, without bias, and shares; NaN where there is nothing to compare. */
  scores(watched: Watched, each: (name: Statistic | Share, value: number) => void): void {
    const { drift } = this
    const { last } = drift.state
    if (last === null) return
    const { scores } = drift.compare(watched, drift.side(watched, last.cells), drift.training(watched), scoresOf(watched))
    for (const name of scoresOf(watched)) each(name, scores[name]?.debiased ?? NaN)
    for (const { share, count, of } of shareCounts(watched, last.cells)) each(share, of === 0 ? NaN : count / of)
    const outliers = drift.options.fence === null || watched.side === 'input' ? null : outlierCount(watched, last.cells, drift.options.fence)
    if (outliers !== null) each('outlier_share', outliers.of === 0 ? NaN : outliers.count / outliers.of)
  }

  status(watched: Watched): Status {
    return statusOf(watched, this.drift)
  }

  report(): Readonly<Record<string, unknown>> {
    return { ...reportOf(this.drift), rates: this.#rates?.report() ?? [] }
  }

  cells(): Cells {
    return cellsOf(this.#layout, this.drift.times.stretch, this.drift.plan.words, this.drift.stretches())
  }

  /** What outlives the process, and a text that changes with it. @param rates stands for the options of the rates */
  memory(rates: string): Memory {
    const { state } = this.drift
    const sections = sectionsOf(this.drift, this.#history, this.#mine, this.#layout, this.#rates === null ? null : { rates: this.#rates, layout: rates })
    return { sections, version: () => `${state.window} ${state.chunk} ${this.#history.version()}` }
  }

  #turn(wall: number): void {
    const stamp = this.drift.stamp(wall)
    if (stamp === this.#stamp) return
    this.#stamp = stamp
    this.#counter.turn(stamp)
  }
}

/** What is shown of a feature, judged or not. */
export function scoresOf({ numeric, statistic }: Watched): readonly Statistic[] {
  const usual: readonly Statistic[] = numeric === null ? SCORES.categorical : SCORES.numeric
  return usual.includes(statistic) ? usual : [...usual, statistic]
}

export const SHARE_NAMES: readonly Share[] = [...SHARES, 'outlier_share']
