/** Sentences: why a line of the profile says what it says. */
import type { CategoricalProfile, FeatureRole, FeatureType, NumericProfile, Presence, Sentinel } from '../profile.ts'
import type { Collector } from './collector.ts'
import { count, counted, percent } from './numbers.ts'
import { NumberStore } from './number_store.ts'
import { ordinaryZero } from './sentinels.ts'
import { TextStore, TimeStore } from './text_store.ts'

export interface Facts {
  readonly role: FeatureRole
  readonly roleWhy: string | null
  readonly type: FeatureType
  readonly store: Collector['store']
  readonly presence: Presence
  readonly numeric: NumericProfile | null
  readonly categorical: CategoricalProfile | null
  readonly sentinels: readonly Sentinel[]
  /** Some rows have not exactly one value. */
  readonly lists: boolean
}

export function reasons(facts: Facts): string[] {
  const { numeric, categorical } = facts
  return [
    facts.roleWhy,
    typeWhy(facts),
    facts.store === null ? null : violationsWhy(facts.store),
    presenceWhy(facts.presence),
    facts.lists && facts.store !== null ? 'Its rows hold lists; their values are counted together.' : null,
    numeric === null ? null : quantilesWhy(facts.store as NumberStore),
    numeric === null ? null : `Values outside ${numeric.hard.join(' to ')} were never seen; outside ${numeric.soft.join(' to ')} (three interquartile ranges beyond the 0.1 % and the 99.9 % quantile) they are not expected.`,
    categorical === null ? null : categoricalWhy(facts.type, categorical, facts.store as NumberStore | TextStore),
    ...facts.sentinels.map(({ value, share, why }) => `${JSON.stringify(value)} (${percent(share)} of the values) ${why}: it probably stands for "not known".`),
    numeric === null ? null : ordinaryZero(numeric.zeros, numeric.count, facts.sentinels, numeric.min),
  ].filter((sentence) => sentence !== null)
}

function typeWhy({ type, store }: Facts): string | null {
  if (store instanceof NumberStore) {
    if (type === 'INT') return `All ${count(store.count)} finite values are whole numbers.`
    return store.count === 0 ? 'All its values are NaN or infinite.' : `${count(store.fractions)} of ${count(store.count)} finite values have a fraction.`
  }
  if (store instanceof TimeStore) return store.falls === 0 ? 'The times never go back from one row to the next.' : `The times go back ${counted(store.falls, 'time')} from one row to the next.`
  return null
}

function violationsWhy(store: NonNullable<Collector['store']>): string | null {
  const { violations } = store
  if (violations.count === 0) return null
  const all = store instanceof TextStore && store.type === 'string' ? store.count : store.count + violations.count
  return `${counted(violations.count, 'value')} (${percent(violations.count / all)}) of another type: ${violations.examples.map((example) => JSON.stringify(example)).join(', ')}.`
}

function presenceWhy({ rows, absent, nulls, nan, infinite, min_fraction }: Presence): string {
  const missing = [[absent, 'no such key'], [nulls, 'null']].flatMap(([n, what]) => (n === 0 ? [] : [`${count(n as number)} ${what}`]))
  const strange = [[nan, 'NaN'], [infinite, 'infinite']].flatMap(([n, what]) => (n === 0 ? [] : [`${count(n as number)} values are ${what}.`]))
  const first = missing.length === 0
    ? min_fraction === 1 ? `No value is missing in ${counted(rows, 'row')}, so all rows must have one.` : `No value is missing in ${counted(rows, 'row')}, which are too few to be sure of more than ${percent(min_fraction)}.`
    : `Of ${counted(rows, 'row')} ${missing.join(' and ')}; at least ${percent(min_fraction)} have a value with 99.9 % confidence (Wilson).`
  return [first, ...strange].join(' ')
}

function quantilesWhy(store: NumberStore): string {
  if (store.sample.length === store.count || store.exact !== null) return 'Quantiles are exact.'
  return 'Quantiles are interpolated in the cells of the grid: within 1/64 of its scale near the centre, within 1/32 of their distance from it far out.'
}

function categoricalWhy(type: FeatureType, { distinct, values, domain, min_domain_mass, other }: CategoricalProfile, store: NumberStore | TextStore): string {
  const exact = store.exact !== null
  const head = `${exact ? '' : 'About '}${counted(distinct, 'different value')} in ${count(store.count)}`
  if (domain) return `${head}: ${type === 'INT' ? 'codes that all are frequent' : 'few'}, so others are not expected (at least ${percent(min_domain_mass)} lie in the domain).`
  if (other > 0) return `${head}: new ones are to be expected; the ${count(values.length)} most frequent hold ${percent(1 - other / store.count)}.`
  return `${head}: the rarest ${values.at(-1)![1] === 1 ? 'was seen once' : `were seen ${count(values.at(-1)![1])} times`}, so new ones are to be expected.`
}
