/** What a profile keeps of a column of numbers while it passes. */
import { affineOf } from '../../stats/affine.ts'
import { cellOf, Grid } from '../../stats/grid.ts'
import { coarsen, type Groups } from '../../stats/groups.ts'
import { HyperLogLog } from '../../stats/hyperloglog.ts'
import { Moments } from '../../stats/moments.ts'
import type { Scalar } from '../read/table.ts'
import { quantile7, rounded } from './numbers.ts'
import { candidatesOf } from './sentinels.ts'
import { type Store, Violations } from './store.ts'
import { HourCounts } from './windows.ts'

/** Columns with up to so many different values are counted value by value. */
const MAX_EXACT = 1_000
/** Groups by which windows are compared. */
const WINDOW_GROUPS = 10

export class NumberStore implements Store {
  readonly violations = new Violations()
  readonly moments = new Moments()
  readonly grid: Grid
  nan = 0
  infinite = 0
  /** Values with a fraction. */
  fractions = 0
  zeros = 0
  /** Values that are smaller than the one before. */
  falls = 0
  /** How often each value was seen; null: there are too many. */
  exact: Map<number, number> | null
  /** Values that may be sentinels, where `exact` is null. */
  readonly candidates: Map<number, number>
  /** Of whole numbers without `exact`. */
  readonly #distinct = new HyperLogLog()
  /** The first values, ascending; all of them while `count` is its length. */
  readonly #sample: Float64Array
  readonly hours: HourCounts | null
  readonly #groups: Groups
  #last = -Infinity

  /** @param values the first of the column @param timed whether hours are counted */
  constructor(values: readonly Scalar[], timed: boolean) {
    this.#sample = Float64Array.from(values.filter((value) => isNumeric(value)).map(Number).filter(Number.isFinite)).sort()
    this.exact = new Set(this.#sample).size > MAX_EXACT ? null : new Map()
    this.candidates = candidatesOf(this.#sample)
    // Six digits are a scale as good, and shorter to read.
    const { centre, scale } = affineOf(this.#sample)
    this.grid = new Grid({ centre, scale: rounded(scale) || scale })
    this.#groups = coarsen(cellsOf(this.#sample, this.grid), WINDOW_GROUPS)
    this.hours = timed ? new HourCounts(this.#groups.count) : null
  }

  add(value: Scalar, slot: number): void {
    if (typeof value === 'number') this.#number(value, slot)
    else if (typeof value === 'bigint') this.#number(Number(value), slot)
    else this.violations.add(value)
  }

  get count(): number {
    return this.moments.count
  }

  /** NaN when empty. */
  get min(): number {
    return this.moments.min
  }

  get max(): number {
    return this.moments.max
  }

  /** Different finite values: counted, or estimated (±2 %) for whole numbers; null: not known, there are many. */
  get distinct(): number | null {
    if (this.exact !== null) return this.exact.size
    return this.fractions > 0 ? null : Math.round(Math.min(this.count, this.#distinct.estimate()))
  }

  /** The first values, ascending. */
  get sample(): Float64Array {
    return this.#sample
  }

  quantile(p: number): number {
    if (this.#sample.length === this.count) return quantile7(this.count, p, (i) => this.#sample[i]!)
    if (this.exact !== null) return quantile7(this.count, p, this.#ranks())
    return Math.min(this.max, Math.max(this.min, this.grid.quantile(p)))
  }

  /** The i-th smallest value out of the counts. */
  #ranks(): (i: number) => number {
    const sorted = [...this.exact!].sort(([a], [b]) => a - b)
    return (i) => {
      let seen = 0
      for (const [value, count] of sorted) {
        seen += count
        if (seen > i) return value
      }
      return this.max
    }
  }

  #number(value: number, slot: number): void {
    if (value - value !== 0) {
      if (value !== value) this.nan++
      else this.infinite++
      return
    }
    this.moments.add(value)
    const cell = this.grid.add(value)
    this.hours?.add(slot, this.#groups.of[cell]!, value)
    if (value === 0) this.zeros++
    if (value < this.#last) this.falls++
    this.#last = value
    if (!Number.isInteger(value)) this.fractions++
    if (this.exact !== null) this.#countExactly(value)
    else {
      const known = this.candidates.get(value)
      if (known !== undefined) this.candidates.set(value, known + 1)
      if (this.fractions === 0) this.#distinct.addNumber(value)
    }
  }

  #countExactly(value: number): void {
    const exact = this.exact!
    // −0 is 0, in a Map too.
    exact.set(value, (exact.get(value) ?? 0) + 1)
    if (exact.size <= MAX_EXACT) return
    for (const [seen, count] of exact) {
      this.#distinct.addNumber(seen)
      if (this.candidates.has(seen)) this.candidates.set(seen, count)
    }
    this.exact = null
  }
}

function isNumeric(value: Scalar): boolean {
  return typeof value === 'number' || typeof value === 'bigint'
}

function cellsOf(values: Float64Array, grid: Grid): Uint32Array {
  const cells = new Uint32Array(grid.cells.length)
  for (const value of values) cells[cellOf((value - grid.centre) / grid.scale)]!++
  return cells
}
