/** What a profile keeps of a column of texts or booleans while it passes. */
import { FrequentItems } from '../../stats/frequent.ts'
import { HyperLogLog } from '../../stats/hyperloglog.ts'
import type { Scalar } from '../read/table.ts'
import { type Store, Violations } from './store.ts'
import { timeOf } from './times.ts'
import { HourCounts } from './windows.ts'

/** Different values that are counted one by one. */
const MAX_EXACT = 20_000
/** Beyond: values whose counts are known within count / MAX_FREQUENT. */
const MAX_FREQUENT = 2_048
const WINDOW_VALUES = 20
/** Longer texts are counted by their beginning. */
const MAX_LENGTH = 256

export class TextStore implements Store {
  readonly violations = new Violations()
  count = 0
  /** null: too many different ones; then `#distinct` and `#frequent` go on. */
  exact: Map<string, number> | null = new Map()
  readonly hours: HourCounts | null
  readonly type: 'string' | 'boolean'
  readonly #groups: ReadonlyMap<string, number>
  #distinct: HyperLogLog | null = null
  #frequent: FrequentItems | null = null

  /** @param values the first of the column */
  constructor(type: 'string' | 'boolean', values: readonly Scalar[], timed: boolean) {
    this.type = type
    this.#groups = timed ? frequentOf(values) : new Map()
    this.hours = timed ? new HourCounts(this.#groups.size + 1) : null
  }

  add(value: Scalar, slot: number): void {
    if (typeof value !== this.type) this.violations.add(value)
    // A text among booleans is no category of theirs; numbers among texts are read as texts.
    if (typeof value !== this.type && this.type === 'boolean') return
    const text = keyOf(value)
    this.count++
    this.hours?.add(slot, this.#groups.get(text) ?? this.#groups.size, 0)
    if (this.exact === null) {
      this.#distinct!.addText(text)
      this.#frequent!.add(this.#frequent!.count(text) > 0 ? text : own(text))
      return
    }
    const known = this.exact.get(text)
    if (known !== undefined) this.exact.set(text, known + 1)
    else if (this.exact.size < MAX_EXACT) this.exact.set(own(text), 1)
    else this.#estimate(text)
  }

  get distinct(): number {
    return this.exact === null ? Math.round(Math.min(this.count, this.#distinct!.estimate())) : this.exact.size
  }

  /** Most frequent first, then by value; beyond `MAX_EXACT` different ones the frequent ones with lower bounds of their counts. */
  values(): [value: string, count: number][] {
    const all = this.exact === null ? this.#frequent!.items() : [...this.exact]
    return all.sort(([a, n], [b, m]) => m - n || (a < b ? -1 : 1))
  }

  /** Values seen once; null: not known. */
  get singletons(): number | null {
    if (this.exact === null) return null
    let count = 0
    for (const n of this.exact.values()) if (n === 1) count++
    return count
  }

  #estimate(text: string): void {
    this.#distinct = new HyperLogLog()
    this.#frequent = new FrequentItems(MAX_FREQUENT)
    for (const [value, count] of this.exact!) {
      this.#distinct.addText(value)
      this.#frequent.add(value, count)
    }
    this.exact = null
    this.#distinct.addText(text)
    this.#frequent.add(own(text))
  }
}

/** Times as texts: only what they span, and whether they rise. */
export class TimeStore implements Store {
  readonly violations = new Violations()
  count = 0
  min = Infinity
  max = -Infinity
  falls = 0
  #last = -Infinity

  add(value: Scalar): void {
    const time = timeOf(value)
    if (Number.isNaN(time)) return this.violations.add(value)
    this.count++
    if (time < this.min) this.min = time
    if (time > this.max) this.max = time
    if (time < this.#last) this.falls++
    this.#last = time
  }
}

function keyOf(value: Scalar): string {
  const text = typeof value === 'string' ? value : String(value)
  return text.length > MAX_LENGTH ? `${text.slice(0, MAX_LENGTH)}…` : text
}

/** A slice keeps the whole piece of the file in memory that it was cut from; a copy does not. */
function own(text: string): string {
  return Buffer.from(text).toString()
}

function frequentOf(values: readonly Scalar[]): Map<string, number> {
  const counts = new Map<string, number>()
  for (const value of values) {
    const key = keyOf(value)
    counts.set(key, (counts.get(key) ?? 0) + 1)
  }
  const most = [...counts].sort(([a, n], [b, m]) => m - n || (a < b ? -1 : 1)).slice(0, WINDOW_VALUES)
  return new Map(most.map(([value], i) => [value, i]))
}
