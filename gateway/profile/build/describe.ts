/** From what was collected of a column to its lines in the profile. */
import { wilson } from '../../stats/tails.ts'
import type { CategoricalProfile, FeatureProfile, FeatureType, NumericProfile, Presence, Season, Sentinel } from '../profile.ts'
import type { Collector } from './collector.ts'
import { finite, floored, quantile7, rounded, short } from './numbers.ts'
import { NumberStore } from './number_store.ts'
import type { Role } from './roles.ts'
import { numberSentinels, textSentinels } from './sentinels.ts'
import { TextStore } from './text_store.ts'
import { type Facts, reasons } from './why.ts'

/** Of the standard normal distribution, one-sided 99.9 %. */
const Z_999 = 3.090232306167813
/** With so many rows and nothing missing, one missing value is news. */
const MANY_ROWS = 1_000
const PROBABILITIES = ['0.001', '0.01', '0.05', '0.1', '0.2', '0.25', '0.3', '0.4', '0.5', '0.6', '0.7', '0.75', '0.8', '0.9', '0.95', '0.99', '0.999']
/** Values listed of an open column. */
const LISTED = 100
/** The largest domain. */
const MAX_DOMAIN = 1_000
/** Whole numbers with more values are measured, not codes. */
const MAX_CODES = 100
const MAX_CODE_DOMAIN = 10
/** Of a domain of codes, the rarest must hold so much: counts thin out, codes do not. */
const LEAST_CODE_SHARE = 0.005
/** Deequ's CategoricalRange: of a domain at most so many values are seen once. */
const MAX_SINGLETONS = 0.1

/** @param rows of the data @param hours of the data, by their numbers */
export function describeColumn(column: Collector, { role, why }: Role, rows: number, hours: readonly number[]): FeatureProfile {
  const { store } = column
  const watched = role === 'feature' || role === 'label' || role === 'prediction'
  const presence = presenceOf(column, rows)
  const sentinels = watched ? sentinelsOf(store) : []
  const numeric = watched && store instanceof NumberStore && store.count > 0 ? numericOf(store, sentinels) : null
  const categorical = watched ? categoricalOf(store) : null
  const floors = watched && (store instanceof NumberStore || store instanceof TextStore) ? (store.hours?.floors(hours) ?? null) : null
  const season = watched ? seasonOf(store, hours) : null
  const facts: Facts = { role, roleWhy: why, type: typeOf(store), store, presence, numeric, categorical, sentinels, lists: column.most !== 1 || column.least !== 1 }
  return {
    role,
    type: facts.type,
    presence,
    value_count: column.present === 0 ? [0, 0] : [column.least, column.most],
    numeric,
    categorical,
    sentinels,
    ...(store !== null && store.violations.count > 0 && { violations: { values: store.violations.count, examples: [...store.violations.examples] } }),
    ...(floors !== null && { floors }),
    ...(season !== null && { season }),
    why: reasons(facts),
  }
}

function typeOf(store: Collector['store']): FeatureType {
  if (store instanceof NumberStore) return store.fractions === 0 && store.count > 0 ? 'INT' : 'FLOAT'
  return store instanceof TextStore && store.type === 'boolean' ? 'BOOL' : 'BYTES'
}

function presenceOf({ present, nulls, store }: Collector, rows: number): Presence {
  const complete = present === rows && rows >= MANY_ROWS
  return {
    rows,
    absent: rows - present - nulls,
    nulls,
    nan: store instanceof NumberStore ? store.nan : 0,
    infinite: store instanceof NumberStore ? store.infinite : 0,
    min_fraction: complete ? 1 : floored(wilson(present, rows, Z_999)[0]),
  }
}

function numericOf(store: NumberStore, sentinels: readonly Sentinel[]): NumericProfile {
  const quantiles = Object.fromEntries(PROBABILITIES.map((p) => [p, short(store.quantile(Number(p)))]))
  const { centre, scale, cells } = store.grid
  return {
    count: store.count,
    min: store.min,
    max: store.max,
    ...centreOf(store),
    zeros: store.zeros,
    quantiles,
    hard: [store.min, store.max],
    soft: softRange(store, sentinels),
    grid: { centre, scale, cells: Array.from(cells, (count, cell): [number, number] => [cell, count]).filter(([, count]) => count > 0) },
  }
}

/** Of values whose squares overflow the median stands for the mean, and nothing is known of the deviation but that it is huge. */
function centreOf(store: NumberStore): { mean: number; sd: number } {
  const { mean, sd } = store.moments
  return Number.isFinite(mean) && Number.isFinite(sd) ? { mean: short(mean), sd: short(sd) } : { mean: short(store.quantile(0.5)), sd: Number.MAX_VALUE }
}

/** Sentinels would stretch it to where no real value is. */
function softRange(store: NumberStore, sentinels: readonly Sentinel[]): [number, number] {
  const marks = new Set(sentinels.map(({ value }) => value))
  const others = marks.size === 0 ? store.sample : store.sample.filter((value) => !marks.has(value))
  const at = (p: number): number => (marks.size === 0 ? store.quantile(p) : quantile7(others.length, p, (i) => others[i]!))
  const spread = finite(at(0.75) - at(0.25)) || store.grid.scale
  const least = marks.has(store.min) ? others[0]! : store.min
  const from = finite(at(0.001) - 3 * spread)
  return [finite(rounded(least >= 0 ? Math.max(0, from) : from)), finite(rounded(finite(at(0.999) + 3 * spread)))]
}

function sentinelsOf(store: Collector['store']): Sentinel[] {
  if (store instanceof NumberStore) return numberSentinels(store.exact ?? store.candidates, store.count, store.sample, store.fractions === 0)
  return store instanceof TextStore && store.type === 'string' ? textSentinels(store.values(), store.count) : []
}

function categoricalOf(store: Collector['store']): CategoricalProfile | null {
  if (store instanceof TextStore) {
    const few = store.distinct <= Math.min(100, Math.sqrt(store.count)) || store.distinct < 0.01 * store.count
    const domain = store.type === 'boolean' || (few && store.distinct <= MAX_DOMAIN && store.singletons! <= MAX_SINGLETONS * store.distinct)
    return listed(store.values(), store.count, store.distinct, domain)
  }
  if (!(store instanceof NumberStore) || store.exact === null || store.fractions > 0 || store.exact.size === 0) return null
  if (store.exact.size > Math.min(MAX_CODES, Math.sqrt(store.count))) return null
  const values = [...store.exact].sort(([a, n], [b, m]) => m - n || a - b)
  const domain = values.length <= MAX_CODE_DOMAIN && values.at(-1)![1] >= Math.max(5, LEAST_CODE_SHARE * store.count)
  return listed(values.map(([value, n]) => [String(value), n]), store.count, values.length, domain)
}

/** @param values all of them (or the frequent ones), most frequent first */
function listed(values: readonly (readonly [string, number])[], count: number, distinct: number, domain: boolean): CategoricalProfile {
  const shown = domain ? values : values.slice(0, LISTED)
  const inside = shown.reduce((sum, [, n]) => sum + n, 0)
  // Good and Turing: what was seen once is about as much as what was not seen at all.
  const once = shown.filter(([, n]) => n === 1).length
  return { distinct, values: shown, other: count - inside, domain, min_domain_mass: floored(wilson(inside - once, count, Z_999)[0]) }
}

function seasonOf(store: Collector['store'], hours: readonly number[]): Season | null {
  if (store instanceof NumberStore) return Number.isFinite(store.moments.sd) ? (store.hours?.season(hours, store.moments.mean, store.moments.sd) ?? null) : null
  return store instanceof TextStore ? (store.hours?.season(hours, 0, null) ?? null) : null
}
