/**
 * The rows of one request against rules, compiled to flat arrays: one look at a value that is as it should be.
 * Nothing is allocated for a request without anomalies but its view.
 */
import type { FeatureType } from '../../profile/profile.ts'
import type { Columns } from '../../payload/columns.ts'
import { type FeatureReader, featureReader, type FeatureValue, type FeatureView } from '../../payload/features.ts'
import { BIG, DOMAIN, INFINITE, KINDS, LONG, MISSING, NAN, NULL, SHORT, SMALL, TYPE } from './anomalies.ts'
import type { FeatureRule, Rules } from './rules.ts'

/** One feature's rows of one kind. */
export interface Found {
  readonly feature: number
  readonly kind: number
  /** The first of them, of numbers out of range the farthest; and its value. */
  row: number
  value: FeatureValue
  /** Rows. */
  count: number
}

export interface Checked {
  readonly rows: number
  /** null: nothing. */
  readonly found: readonly Found[] | null
  /** Columns that nobody told of. */
  readonly unknown: readonly string[]
}

/** From so many rows on numbers are copied out first. */
const MANY = 8
const FINE = -1
const NOTHING: readonly string[] = []
/** Room that is kept for the next request. */
const MAX_NUMBERS = 65_536

export class Validator {
  readonly rules: readonly FeatureRule[]
  readonly #known: number
  readonly #reader: FeatureReader
  readonly #types: readonly (FeatureType | null)[]
  readonly #min: Float64Array
  readonly #max: Float64Array
  readonly #domains: readonly (ReadonlySet<unknown> | null)[]
  #numbers = new Float64Array(64)

  /** @param matrix columns of the model's matrix, in their order, where requests are one */
  constructor({ features, known }: Rules, matrix: readonly string[] | null = null) {
    this.rules = features
    this.#known = features.length
    const names = features.map(({ name }) => name)
    this.#reader = featureReader([...names, ...known], matrix ?? names, features.filter(({ type }) => type === 'BYTES').map(({ name }) => name))
    this.#types = features.map(({ type }) => type)
    this.#min = Float64Array.from(features, ({ min }) => min)
    this.#max = Float64Array.from(features, ({ max }) => max)
    this.#domains = features.map(domainOf)
  }

  check(columns: Columns): Checked {
    const view = this.#reader.view(columns)
    const { rows } = view
    let found: Found[] | null = null
    for (let feature = 0; feature < this.#known; feature++) {
      const width = view.width(feature)
      if (width === 1 && rows < MANY) {
        for (let row = 0; row < rows; row++) {
          const value = view.value(feature, row)
          const kind = this.#judge(feature, value)
          if (kind !== FINE) found = note(found, feature, kind, row, value, 1)
        }
      } else found = this.#column(view, feature, width, found)
    }
    return { rows, found, unknown: view.unknown.length === 0 ? NOTHING : view.unknown }
  }

  /** Many rows, lists, and what is not there. */
  #column(view: FeatureView, feature: number, width: number, found: Found[] | null): Found[] | null {
    const { rows } = view
    const [least, most] = this.rules[feature]!.length
    if (width === 0) return rows === 0 || least === 0 ? found : note(found, feature, MISSING, 0, undefined, rows)
    let all = found
    if (width < least) all = note(all, feature, SHORT, 0, width, rows)
    if (width > most) all = note(all, feature, LONG, 0, width, rows)
    if (width === 1) {
      const numbers = this.#room(rows)
      if (view.numbers(feature, numbers)) return this.#scan(feature, numbers, rows, all)
    }
    for (let row = 0; row < rows; row++) {
      for (let at = 0; at < width; at++) {
        const value = view.value(feature, row, at)
        const kind = this.#judge(feature, value)
        if (kind === FINE) continue
        all = note(all, feature, kind, row, value, 1)
        break
      }
    }
    return all
  }

  /** A column of numbers alone. */
  #scan(feature: number, numbers: Float64Array, rows: number, found: Found[] | null): Found[] | null {
    const type = this.#types[feature]!
    const bounded = this.#domains[feature] === null && (type === 'FLOAT' || type === null)
    const low = this.#min[feature]!
    const high = this.#max[feature]!
    let all = found
    for (let row = 0; row < rows; row++) {
      const value = numbers[row]!
      if (bounded && value >= low && value <= high && value - value === 0) continue
      const kind = this.#judge(feature, value)
      if (kind !== FINE) all = note(all, feature, kind, row, value, 1)
    }
    return all
  }

  #room(rows: number): Float64Array {
    if (rows <= this.#numbers.length) return this.#numbers
    const room = new Float64Array(rows)
    if (rows <= MAX_NUMBERS) this.#numbers = room
    return room
  }

  #judge(feature: number, value: FeatureValue): number {
    if (typeof value === 'number') return this.#number(feature, value)
    if (value === null) return NULL
    if (value === undefined) return MISSING
    const type = this.#types[feature]
    if (typeof value === 'string') return type === 'BYTES' || type === null ? this.#inDomain(feature, value) : TYPE
    if (typeof value === 'boolean') return type === 'BOOL' || type === null ? this.#inDomain(feature, value) : TYPE
    return this.#number(feature, Number(value))
  }

  #number(feature: number, value: number): number {
    const type = this.#types[feature]
    if (type === 'BYTES' || (type === 'BOOL' && value !== 0 && value !== 1)) return TYPE
    // NaN is within no bounds, and infinities less themselves are NaN.
    if (!(value >= this.#min[feature]! && value <= this.#max[feature]!) || value - value !== 0) return this.#beyond(feature, value)
    if (type === 'INT' && !Number.isInteger(value)) return TYPE
    return this.#inDomain(feature, value)
  }

  #beyond(feature: number, value: number): number {
    if (Number.isNaN(value)) return NAN
    if (value - value !== 0) return INFINITE
    if (this.rules[feature]!.sentinels.includes(value)) return FINE
    return value > this.#max[feature]! ? BIG : SMALL
  }

  #inDomain(feature: number, value: string | number | boolean): number {
    const domain = this.#domains[feature]!
    return domain === null || domain.has(value) ? FINE : DOMAIN
  }
}

/** Each value as whatever a body may have it. */
function domainOf({ values }: FeatureRule): ReadonlySet<unknown> | null {
  if (values === null) return null
  const domain = new Set<unknown>(values)
  for (const value of values) {
    if (value === 'true' || value === 'false') domain.add(value === 'true')
    else if (value.trim() !== '' && Number.isFinite(Number(value))) domain.add(Number(value))
  }
  return domain
}

/** The few there are of one request: at most one a feature and kind. */
function note(found: Found[] | null, feature: number, kind: number, row: number, value: FeatureValue, count: number): Found[] {
  const all = found ?? []
  // Features come one after the other.
  for (let i = all.length - 1; i >= 0 && all[i]!.feature === feature; i--) {
    const known = all[i]!
    if (known.kind !== kind) continue
    known.count += count
    if ((kind === BIG && value! > known.value!) || (kind === SMALL && value! < known.value!)) {
      known.row = row
      known.value = value
    }
    return all
  }
  all.push({ feature, kind, row, value, count })
  return all
}

/** By the place of its cell: kinds of a feature lie side by side. */
export function cellOf(feature: number, kind: number): number {
  return feature * KINDS + kind
}
