/** Drift driven directly: rows in, a clock of its own, alarms out. */
import { Counter, partBytes } from '../../../gateway/monitor/drift/counter.ts'
import { Drift, type DriftOptions } from '../../../gateway/monitor/drift/drift.ts'
import { DriftState } from '../../../gateway/monitor/drift/state.ts'
import { History, historyBytes } from '../../../gateway/monitor/drift/history.ts'
import { type Times, timesOf } from '../../../gateway/monitor/drift/times.ts'
import { type Plan, planOf, type Rule } from '../../../gateway/monitor/drift/watched.ts'
import type { FeatureValue, FeatureView } from '../../../gateway/payload/features.ts'
import type { Alarm } from '../../../gateway/alarm.ts'
import type { Profile } from '../../../gateway/profile/profile.ts'

export const MINUTE = 60_000
export const HOUR = 60 * MINUTE
export const DAY = 24 * HOUR
/** A Monday, UTC. */
export const MONDAY = Date.UTC(2026, 2, 2)

export type Row = Readonly<Record<string, FeatureValue>>

export interface Options extends Partial<DriftOptions> {
  readonly window?: number
  readonly season?: number
  readonly threads?: number
  readonly rules?: Readonly<Record<string, Partial<Rule> | null>>
}

export class World {
  readonly plan: Plan
  readonly times: Times
  readonly drift: Drift
  readonly counters: readonly Counter[]
  readonly alarms: Alarm[] = []
  readonly ended: { readonly feature: string; readonly cause: string; readonly time: number }[] = []
  readonly parts: readonly SharedArrayBuffer[]
  now: number
  #next: number

  constructor(profile: Profile, { window = 5 * MINUTE, season = DAY, threads = 1, rules = {}, ...options }: Options = {}, start = MONDAY) {
    this.plan = planOf(profile, new Map(Object.entries(rules).map(([name, rule]) => [name, rule === null ? null : { statistic: null, threshold: null, ...rule }])), true)
    this.times = timesOf(window, season)
    this.parts = Array.from({ length: threads }, () => new SharedArrayBuffer(partBytes(this.plan)))
    const history = new History(this.plan, this.times, this.parts, new SharedArrayBuffer(historyBytes(this.plan, this.times, threads)))
    this.counters = this.parts.map((part) => new Counter(this.plan, part))
    this.drift = new Drift(this.plan, this.times, { budget: 1, persistence: 1, share: 0.01, fence: 3, model: null, compared: new Set(['training', 'previous', 'seasons', 'last_week'] as const), ...options }, history, new DriftState())
    this.now = start
    this.#next = start + this.drift.due(start)
    this.#turn()
  }

  /** Rows of one request (and its answer, where the profile has predictions) at this time. */
  add(time: number, rows: readonly Row[], thread = 0): void {
    this.advance(time)
    const counter = this.counters[thread]!
    counter.request(new RowView(this.plan.inputs, rows))
    if (this.plan.outputs.length > 0) counter.answer(new RowView(this.plan.outputs, rows))
  }

  /** As the timers of the plugin do. */
  advance(time: number): void {
    while (this.#next <= time) {
      this.now = this.#next
      this.tick()
      this.#next = this.now + this.drift.due(this.now)
    }
    this.now = time
    this.#turn()
  }

  tick(): void {
    const { alarms, ended } = this.drift.tick(this.now)
    this.alarms.push(...alarms)
    this.ended.push(...ended)
  }

  /** The clock is set. */
  jump(time: number): void {
    this.now = time
    this.#next = time + this.drift.due(time)
    this.#turn()
  }

  #turn(): void {
    for (const counter of this.counters) counter.turn(this.drift.stamp(this.now))
  }
}

/** Columns out of objects, as the formats make them: numbers without nulls are a column of numbers. */
export class RowView implements FeatureView {
  readonly unknown = []
  readonly #names: readonly string[]
  readonly #rows: readonly Row[]

  constructor(names: readonly string[], rows: readonly Row[]) {
    this.#names = names
    this.#rows = rows
  }

  get rows(): number {
    return this.#rows.length
  }

  value(feature: number, row: number): FeatureValue {
    return this.#rows[row]![this.#names[feature]!]
  }

  width(feature: number): number {
    return this.#rows.some((row) => row[this.#names[feature]!] !== undefined) ? 1 : 0
  }

  numbers(feature: number, into: Float64Array): boolean {
    const name = this.#names[feature]!
    if (!this.#rows.every((row) => typeof row[name] === 'number')) return false
    this.#rows.forEach((row, i) => void (into[i] = row[name] as number))
    return true
  }
}
