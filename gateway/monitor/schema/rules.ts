/** What a feature has to be, as it is checked: of a profile, written by hand, or the one changed by the other. */
import type { FeatureProfile, FeatureType, Profile } from '../../profile/profile.ts'
import { wilson } from '../../stats/tails.ts'
import { BIG, DOMAIN, INFINITE, KINDS, LONG, MISSING, NAN, NULL, SHORT, SMALL, TYPE } from './anomalies.ts'

export interface FeatureRule {
  readonly name: string
  /** null: any. */
  readonly type: FeatureType | null
  readonly min: number
  readonly max: number
  /** The closed domain, or null. Numbers of a domain of codes are texts here too. */
  readonly values: readonly string[] | null
  /** Outside of `min` and `max`, and yet known: they stand for "not known". */
  readonly sentinels: readonly number[]
  /** Values a row, at least and at most. */
  readonly length: readonly [number, number]
  /** By kind of anomaly, the share of the rows of one request that may have it: 0 = none, 1 = it is no anomaly. */
  readonly ofRequest: readonly number[]
  /** The same of the rows of a window. */
  readonly ofWindow: readonly number[]
}

/** A rule as it is written; what is left out is as in the profile, and without one as said here. Percentages are 0 to 100. */
export interface RuleOptions {
  /** Any. */
  readonly type?: FeatureType
  /** Yes. */
  readonly required?: boolean
  /** 0. */
  readonly nulls?: number
  /** NaN and infinities; 0. */
  readonly nan?: number
  readonly min?: number
  readonly max?: number
  readonly values?: readonly (string | number | boolean)[]
  /** Of the rows, how many at least keep type, range, values and length; 100. */
  readonly mostly?: number
  /** [1, 1]. */
  readonly length?: readonly number[]
  /** The feature is not checked at all. */
  readonly ignore?: boolean
}

export interface Rules {
  readonly features: readonly FeatureRule[]
  /** Columns that are known and not checked: keys, times, labels. */
  readonly known: readonly string[]
}

/** z of 99.9 % (one-sided), as profiles bound shares with. */
const Z = 3.0902
/** More than training had, by as much again, at most so much: shares of live traffic are never exactly those of the past. */
const MOST_SLACK = 0.02

/** @param tolerance share of the rows of a window that may break any rule: what happens once in a while is counted and alarms nobody */
export function rulesOf(profile: Profile | null, written: Readonly<Record<string, RuleOptions>>, tolerance: number): Rules {
  const features: FeatureRule[] = []
  const known: string[] = []
  const names = new Set([...Object.keys(profile?.features ?? {}), ...Object.keys(written)])
  for (const name of names) {
    const own = Object.hasOwn(written, name) ? written[name]! : null
    const told = profile !== null && Object.hasOwn(profile.features, name) ? profile.features[name]! : null
    const watched = own !== null || told === null || told.role === 'feature' || told.role === 'constant'
    if (watched && own?.ignore !== true) features.push(changed(told === null ? blank(name, tolerance) : ofProfile(name, told, tolerance), own, tolerance))
    else known.push(name)
  }
  return { features, known }
}

function blank(name: string, tolerance: number): FeatureRule {
  return { name, type: null, min: -Infinity, max: Infinity, values: null, sentinels: [], length: [1, 1], ofRequest: new Array<number>(KINDS).fill(0), ofWindow: new Array<number>(KINDS).fill(tolerance) }
}

function ofProfile(name: string, { type, presence, value_count, numeric, categorical, sentinels, violations }: FeatureProfile, tolerance: number): FeatureRule {
  const ofRequest = new Array<number>(KINDS).fill(0)
  const ofWindow = new Array<number>(KINDS).fill(tolerance)
  const { rows, absent, nulls, nan, infinite, min_fraction } = presence
  const seen = (kind: number, count: number, least = 0): void => {
    ofRequest[kind] = rows === 0 ? 0 : count / rows
    ofWindow[kind] = Math.max(tolerance, least, bound(count, rows))
  }
  // What data files leave empty, apps leave out, and the other way round.
  seen(MISSING, absent + nulls, 1 - min_fraction)
  seen(NULL, absent + nulls, 1 - min_fraction)
  seen(TYPE, violations?.values ?? 0)
  seen(NAN, nan)
  seen(INFINITE, infinite)
  const values = categorical !== null && categorical.domain && type !== 'BOOL' ? categorical.values.map(([value]) => value) : null
  if (values !== null) seen(DOMAIN, categorical!.other, 1 - categorical!.min_domain_mass)
  return {
    ...blank(name, tolerance), type, values, ofRequest, ofWindow,
    // Soft bounds may be within the hard ones where rare values were seen.
    ...(numeric !== null && { min: Math.min(numeric.hard[0], numeric.soft[0]), max: Math.max(numeric.hard[1], numeric.soft[1]) }),
    sentinels: sentinels.flatMap(({ value }) => (typeof value === 'number' ? [value] : [])),
    length: [value_count[0], value_count[1]],
  }
}

/** Wilson's upper bound of the share and the slack on top. 0 for what was never seen, which is the tolerance's alone. */
function bound(count: number, rows: number): number {
  if (count === 0 || rows === 0) return 0
  return Math.min(1, wilson(count, rows, Z)[1] + Math.min(count / rows, MOST_SLACK))
}

function changed(rule: FeatureRule, own: RuleOptions | null, tolerance: number): FeatureRule {
  if (own === null) return rule
  const ofRequest = [...rule.ofRequest]
  const ofWindow = [...rule.ofWindow]
  const tolerate = (percent: number, kinds: readonly number[]): void => {
    for (const kind of kinds) {
      ofRequest[kind] = percent / 100
      ofWindow[kind] = Math.max(tolerance, percent / 100)
    }
  }
  if (own.mostly !== undefined) tolerate(100 - own.mostly, [TYPE, DOMAIN, BIG, SMALL, SHORT, LONG])
  if (own.nulls !== undefined) tolerate(own.nulls, [NULL])
  if (own.nan !== undefined) tolerate(own.nan, [NAN, INFINITE])
  if (own.required !== undefined) tolerate(own.required ? 0 : 100, [MISSING])
  return {
    ...rule, ofRequest, ofWindow,
    type: own.type ?? rule.type,
    min: own.min ?? rule.min,
    max: own.max ?? rule.max,
    values: own.values?.map(String) ?? rule.values,
    length: own.length === undefined ? rule.length : [own.length[0]!, own.length[1]!],
  }
}
