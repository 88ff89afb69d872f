/**
 * How much windows of the data differ from the whole of them: the noise that drift must not take for drift.
 *
 * Idea: each feature counts its values by hour and by about ten groups of equal mass; longer windows and hours of the day are sums. What a
 * window scores against the whole, less what its number of rows explains, is the season, the autocorrelation and whatever else these data
 * do by themselves (NannyML's thresholds from reference chunks).
 */
import { totalOf } from '../../stats/counts.ts'
import { debiased, jsBits, jsBias, lInfinity } from '../../stats/divergence.ts'
import type { Floor, Season } from '../profile.ts'
import { rounded } from './numbers.ts'

const HOUR_MS = 3_600_000
/** 90 days of hours; what comes after is not counted here. */
const MAX_HOURS = 2_160
/** A window or an hour of the day with fewer says nothing. */
const MIN_VALUES = 30
const LENGTHS: readonly (readonly [name: string, hours: number])[] = [['1h', 1], ['6h', 6], ['1d', 24]]
/** Windows of a length below which its quantiles would be chance. */
const MIN_WINDOWS = 5
const DAY_HOURS = 24

/** Hours since 1970 that the data have, numbered as they come: shared by all features. */
export class Hours {
  readonly list: number[] = []
  readonly #slots = new Map<number, number>()
  #hour = NaN
  #slot = -1

  /** @returns the number of the hour; −1: not known, or one too many */
  slotOf(time_ms: number): number {
    const hour = Math.floor(time_ms / HOUR_MS)
    if (hour === this.#hour) return this.#slot
    this.#hour = hour
    return (this.#slot = this.#find(hour))
  }

  #find(hour: number): number {
    const known = this.#slots.get(hour)
    if (known !== undefined) return known
    if (Number.isNaN(hour) || this.list.length === MAX_HOURS) return -1
    this.#slots.set(hour, this.list.length)
    this.list.push(hour)
    return this.list.length - 1
  }
}

/** One feature's counts by hour and group, and its sums by hour. */
export class HourCounts {
  readonly #groups: number
  #counts = new Uint32Array(0)
  #sums = new Float64Array(0)

  constructor(groups: number) {
    this.#groups = groups
  }

  /** @param slot −1 is counted nowhere @param value 0 of a category */
  add(slot: number, group: number, value: number): void {
    if (slot < 0) return
    if (slot >= this.#sums.length) this.#grow(slot + 1)
    this.#counts[slot * this.#groups + group]!++
    this.#sums[slot]! += value
  }

  /** null: there are not enough windows of any length. */
  floors(hours: readonly number[]): Record<string, Floor> | null {
    const whole = this.#sumOf(hours.map((_, slot) => slot))
    const found = LENGTHS.flatMap(([name, length]): [string, Floor][] => {
      const floor = floorOf(this.#windows(hours, (hour) => Math.floor(hour / length)), whole)
      return floor === null ? [] : [[name, floor]]
    })
    return found.length === 0 ? null : Object.fromEntries(found)
  }

  /** @param spread standard deviation of all values; null = categories @returns null: less than two days, or no time of day has enough */
  season(hours: readonly number[], mean: number, spread: number | null): Season | null {
    const days = new Set(hours.map((hour) => Math.floor(hour / DAY_HOURS)))
    if (days.size < 2 || spread === 0) return null
    const slots = [...groupBy(hours, (hour) => hour % DAY_HOURS).values()].map((all) => ({ counts: this.#sumOf(all), sum: all.reduce((sum, slot) => sum + (this.#sums[slot] ?? 0), 0) }))
    const enough = slots.map((slot) => ({ ...slot, n: totalOf(slot.counts) })).filter(({ n }) => n >= MIN_VALUES)
    if (enough.length < DAY_HOURS / 2) return null
    if (spread === null) {
      const whole = this.#sumOf(hours.map((_, slot) => slot))
      return { period: '1d', unit: 'l_infinity', low: 0, high: rounded(Math.max(...enough.map(({ counts }) => lInfinity(counts, whole).distance))) }
    }
    const shifts = enough.map(({ sum, n }) => (sum / n - mean) / spread)
    return { period: '1d', unit: 'sd', low: rounded(Math.min(...shifts)), high: rounded(Math.max(...shifts)) }
  }

  #windows(hours: readonly number[], window: (hour: number) => number): Float64Array[] {
    return [...groupBy(hours, window).values()].map((slots) => this.#sumOf(slots))
  }

  #sumOf(slots: readonly number[]): Float64Array {
    const sum = new Float64Array(this.#groups)
    for (const slot of slots) for (let group = 0; group < this.#groups; group++) sum[group]! += this.#counts[slot * this.#groups + group] ?? 0
    return sum
  }

  #grow(slots: number): void {
    const size = Math.min(MAX_HOURS, Math.max(slots, 2 * this.#sums.length, 24))
    const counts = new Uint32Array(size * this.#groups)
    counts.set(this.#counts)
    this.#counts = counts
    const sums = new Float64Array(size)
    sums.set(this.#sums)
    this.#sums = sums
  }
}

/** Numbers of the hours by what `key` says of them. */
function groupBy(hours: readonly number[], key: (hour: number) => number): Map<number, number[]> {
  const groups = new Map<number, number[]>()
  hours.forEach((hour, slot) => {
    const group = groups.get(key(hour))
    if (group === undefined) groups.set(key(hour), [slot])
    else group.push(slot)
  })
  return groups
}

function floorOf(windows: readonly Float64Array[], whole: Float64Array): Floor | null {
  const enough = windows.filter((counts) => totalOf(counts) >= MIN_VALUES)
  if (enough.length < MIN_WINDOWS) return null
  const [rows, n, cells] = [enough.map((counts) => totalOf(counts)), totalOf(whole), whole.filter((count) => count > 0).length]
  const js = enough.map((counts, i) => debiased(jsBits(counts, whole), jsBias(cells, rows[i]!, n)))
  const l = enough.map((counts) => lInfinity(counts, whole).distance)
  return { windows: enough.length, rows: Math.round(nearest(rows, 0.5)), js_bits: quantiles(js), l_infinity: quantiles(l) }
}

function quantiles(values: readonly number[]): Record<string, number> {
  return { '0.5': rounded(nearest(values, 0.5)), '0.9': rounded(nearest(values, 0.9)), '1': rounded(Math.max(...values)) }
}

/** Nearest rank. */
function nearest(values: readonly number[], p: number): number {
  return [...values].sort((a, b) => a - b)[Math.max(0, Math.ceil(p * values.length) - 1)]!
}
