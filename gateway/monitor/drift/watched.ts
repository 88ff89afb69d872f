/**
 * What is watched: the features of a profile, each with the cells it is counted in and what the training data had there.
 *
 * Layout of a feature: value cells (numbers: the fine grid; categories: one a listed value), then one cell each for what is no value
 * (`SPECIALS`). Features stand one after the other in a slot, from `HEAD` on. The layout follows from the profile alone, so that
 * slots of all threads and gateways with one profile are added cell by cell.
 */
import type { CategoricalProfile, FeatureProfile, NumericProfile, Profile } from '../../profile/profile.ts'
import { cellOf, GRID_CELLS } from '../../stats/grid.ts'
import { coarsen, type Groups } from '../../stats/groups.ts'

/** Words before the first feature of a slot: stamp, rows, requests, requests that could not be read, then what `rates.ts` and `outlier_model.ts` count. */
export const HEAD = 16

/** What is no value of the distribution, in the order of its cells. */
export const SPECIALS = ['nulls', 'absent', 'nan', 'infinite', 'wrong', 'unseen', 'sentinel'] as const
export type Special = (typeof SPECIALS)[number]

/** What can be wrong with a feature: shares that rise, or the distribution of what is left without them. */
export const SHARES = ['null_share', 'nan_share', 'infinite_share', 'wrong_type_share', 'unseen_share', 'sentinel_share'] as const
export type Share = (typeof SHARES)[number] | 'outlier_share'

export const STATISTICS = ['js_bits', 'psi', 'ks', 'wasserstein_sd', 'l_infinity', 'tfdv_js_bits'] as const
export type Statistic = (typeof STATISTICS)[number]

const GROUPS = 10
/** Of one feature. */
const MAX_VALUES = 1_000

/** How one feature is judged; options of `drift.features`. */
export interface Rule {
  readonly statistic: Statistic | null
  readonly threshold: number | null
}

export interface Watched {
  readonly name: string
  /** Index into the features of the plan. */
  readonly order: number
  readonly side: 'input' | 'output'
  /** Index into the names of its side. */
  readonly index: number
  /** The first word of its cells in a slot, and how many of them hold values. */
  readonly at: number
  readonly cells: number
  readonly baseline: Baseline
  readonly numeric: Numeric | null
  /** Cells by value; of numbers null. */
  readonly values: ReadonlyMap<string, number> | null
  readonly labels: readonly string[]
  readonly sentinels: ReadonlySet<string | number>
  readonly statistic: Statistic
  readonly threshold: number
  /** How many rows say as much as one that is independent of all others: 1, or more where windows of the training data differ by more than chance. */
  readonly design: number
  /** The largest JS (bits) of a day of the training data against the whole; 0 = not known. */
  readonly floor: number
  /** What hours of the day differ by in the training data: standard deviations of the mean, or L∞; 0 = not known. */
  readonly swing: number
}

export interface Numeric {
  readonly centre: number
  readonly scale: number
  readonly mean: number
  readonly sd: number
  readonly groups: Groups
}

/** What the training data had. */
export interface Baseline {
  /** By value cell, sentinels left out. */
  readonly cells: Uint32Array
  /** In the order of `SPECIALS`. */
  readonly specials: readonly number[]
  /** Sum of the value cells. */
  readonly values: number
}

/** Words of a feature. */
export function widthOf({ cells }: Pick<Watched, 'cells'>): number {
  return cells + SPECIALS.length
}

export interface Plan {
  readonly features: readonly Watched[]
  readonly inputs: readonly string[]
  readonly outputs: readonly string[]
  /** Of a slot. */
  readonly words: number
}

/** Statistics are judged by these where the file says nothing; js_bits: 0.05 is a shift of 0.55 σ, l_infinity: 10 % of the rows elsewhere. */
const THRESHOLDS: Readonly<Record<Statistic, number>> = { js_bits: 0.05, psi: 0.25, ks: 0.2, wasserstein_sd: 0.5, l_infinity: 0.1, tfdv_js_bits: 0.1 }

/** @param rules by feature; null = it is not watched @throws Error naming what does not fit */
export function planOf(profile: Profile, rules: ReadonlyMap<string, Rule | null>, outputs: boolean): Plan {
  const unknown = [...rules.keys()].find((name) => profile.features[name] === undefined)
  if (unknown !== undefined) throw new Error(`\`features\` names "${unknown.slice(0, 64)}", which the profile does not have; it has ${shown(Object.keys(profile.features))}`)
  const features: Watched[] = []
  const sides = { input: [] as string[], output: [] as string[] }
  let at = HEAD
  for (const [name, feature] of Object.entries(profile.features)) {
    const side = feature.role === 'feature' ? 'input' : feature.role === 'prediction' && outputs ? 'output' : null
    const rule = rules.get(name)
    if (side === null || rule === null || (feature.numeric === null && feature.categorical === null)) continue
    const watched = watch(name, feature, side, [features.length, sides[side].length, at], rule ?? { statistic: null, threshold: null })
    sides[side].push(name)
    features.push(watched)
    at += widthOf(watched)
  }
  if (features.length === 0) throw new Error('the profile has no column that can be watched for drift: none has the role "feature" or "prediction" and values')
  return { features, inputs: sides.input, outputs: sides.output, words: at }
}

function shown(names: readonly string[]): string {
  return names.length > 20 ? `${names.slice(0, 20).join(', ')} and ${names.length - 20} more` : names.join(', ')
}

function watch(name: string, feature: FeatureProfile, side: Watched['side'], [order, index, at]: readonly [order: number, index: number, at: number], rule: Rule): Watched {
  const { categorical, numeric } = feature
  // Integers of a closed domain are codes: a new one is a new value, not a far one.
  const asNumber = numeric !== null && categorical?.domain !== true
  const part = asNumber ? numberPart(feature, numeric) : valuePart(feature, categorical!)
  const statistic = rule.statistic ?? (asNumber ? 'js_bits' : 'l_infinity')
  if (!asNumber && (statistic === 'ks' || statistic === 'wasserstein_sd')) throw new Error(`\`features\`: "${name.slice(0, 64)}" is a category, which has no ${statistic}; use js_bits, psi or l_infinity`)
  return {
    name, order, side, index, at, ...part, statistic, threshold: rule.threshold ?? THRESHOLDS[statistic], sentinels: new Set(feature.sentinels.map(({ value }) => value)), design: designOf(feature, part),
    floor: feature.floors?.['1d']?.js_bits['1'] ?? 0, swing: Math.max(Math.abs(feature.season?.low ?? 0), feature.season?.high ?? 0),
  }
}

type Part = Pick<Watched, 'cells' | 'baseline' | 'numeric' | 'values' | 'labels'>

function numberPart(feature: FeatureProfile, { grid, mean, sd, count }: NumericProfile): Part {
  const cells = new Uint32Array(GRID_CELLS)
  for (const [cell, n] of grid.cells) cells[cell] = n
  let sentinel = 0
  for (const { value, share } of feature.sentinels) {
    if (typeof value !== 'number') continue
    const cell = cellOf((value - grid.centre) / grid.scale)
    const n = Math.min(cells[cell] ?? 0, Math.round(share * count))
    cells[cell]! -= n
    sentinel += n
  }
  const numeric = { centre: grid.centre, scale: grid.scale, mean, sd, groups: coarsen(cells, GROUPS) }
  return { cells: GRID_CELLS, baseline: baselineOf(feature, cells, 0, sentinel), numeric, values: null, labels: [] }
}

function valuePart(feature: FeatureProfile, { values, other, domain }: CategoricalProfile): Part {
  const marks = new Set(feature.sentinels.map(({ value }) => String(value)))
  const listed = values.filter(([value]) => !marks.has(value)).slice(0, MAX_VALUES)
  const dropped = values.filter(([value]) => !marks.has(value)).slice(MAX_VALUES)
  const sum = (pairs: readonly (readonly [string, number])[]): number => pairs.reduce((total, [, count]) => total + count, 0)
  // Good and Turing: the share of values never seen so far is about that of the values seen once.
  const once = domain ? 0 : listed.filter(([, count]) => count === 1).length
  const cells = Uint32Array.from(listed, ([, count]) => count)
  const sentinel = sum(values.filter(([value]) => marks.has(value)))
  return {
    cells: listed.length, baseline: baselineOf(feature, cells, other + sum(dropped) + once, sentinel), numeric: null,
    values: new Map(listed.map(([value], i) => [value, i])), labels: listed.map(([value]) => value),
  }
}

function baselineOf({ presence, violations }: FeatureProfile, cells: Uint32Array, unseen: number, sentinel: number): Baseline {
  const { nulls, absent, nan, infinite } = presence
  const specials: Readonly<Record<Special, number>> = { nulls, absent, nan, infinite, wrong: violations?.values ?? 0, unseen, sentinel }
  return { cells, specials: SPECIALS.map((special) => specials[special]), values: cells.reduce((sum, count) => sum + count, 0) }
}

/**
 * Rows of one user, one query or one hour resemble each other, and then n rows say less than n. What days of the training data differ by, in
 * units of what chance explains (the debiased median and 90 % quantile of their JS), is the factor.
 */
function designOf({ floors }: FeatureProfile, { numeric, cells }: Part): number {
  const day = floors?.['1d']
  const freedom = (numeric === null ? Math.min(cells, 21) : GROUPS) - 1
  if (day === undefined || freedom < 1) return 1
  const unit = (8 * Math.LN2 * day.rows) / freedom
  // Of chi-square with 9 degrees of freedom the 90 % quantile is 1.63 times the mean.
  return Math.max(1, 1 + (day.js_bits['0.5'] ?? 0) * unit, (1 + (day.js_bits['0.9'] ?? 0) * unit) / 1.63)
}
