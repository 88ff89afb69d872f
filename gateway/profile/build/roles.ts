/** What a column is for: said by a flag, or seen. */
import type { FeatureRole } from '../profile.ts'
import type { Collector } from './collector.ts'
import { count, counted, percent } from './numbers.ts'
import { NumberStore } from './number_store.ts'
import { TextStore, TimeStore } from './text_store.ts'

/** Columns that the caller named. */
export interface Named {
  readonly time: string | null
  readonly label: string | null
  readonly prediction: string | null
  readonly id: string | null
  /** Columns that came from answers. */
  readonly predictions?: ReadonlySet<string>
}

export interface Role {
  readonly role: FeatureRole
  readonly why: string | null
}

/** Different values a row above which a text is a name of its row. */
const MOSTLY_DIFFERENT = 0.9
/** With fewer rows, all values are different by chance. */
const MIN_ROWS = 50
const ID_NAME = /(?:^|_)(?:id|uuid|guid|key)$|[a-z]I[dD]$/

export function roleOf(column: Collector, named: Named): Role {
  const { name, store } = column
  for (const role of ['label', 'prediction'] as const) if (named[role] === name) return { role, why: `Named with --${role}.` }
  if (named.predictions?.has(name) === true) return { role: 'prediction', why: 'It comes from the answers.' }
  if (named.id === name) return { role: 'identifier', why: 'Named with --id: it names a row and is not watched for drift.' }
  if (named.time === name) return { role: 'time', why: 'The time of the row, not watched for drift.' }
  if (store instanceof TimeStore) return { role: 'time', why: 'Its values are times; not watched for drift.' }
  if (store === null) return { role: 'constant', why: 'No row has a value: there is nothing to compare.' }
  return constant(store) ?? identifier(name, store) ?? (store instanceof NumberStore ? ordered(store) : null) ?? { role: 'feature', why: null }
}

function constant(store: NumberStore | TextStore): Role | null {
  const different = store.exact?.size ?? 2
  if (store.count < 2 || different > 1) return null
  return { role: 'constant', why: `All ${count(store.count)} values are ${JSON.stringify([...store.exact!.keys()][0])}; not watched for drift.` }
}

function identifier(name: string, store: NumberStore | TextStore): Role | null {
  const { distinct } = store
  if (distinct === null || store.count < MIN_ROWS) return null
  const share = distinct / store.count
  const told = `${store.exact === null ? 'About ' : ''}${counted(distinct, 'different value')} in ${counted(store.count, 'row')}`
  if (store instanceof NumberStore) {
    if (store.fractions > 0 || share <= MOSTLY_DIFFERENT) return null
    // Whole numbers that are mostly different may be measured (an income in cents): what counts rows leaves no gaps.
    const dense = distinct / (store.max - store.min + 1)
    if (!ID_NAME.test(name) && dense <= MOSTLY_DIFFERENT) return null
    return { role: 'identifier', why: `${told}${dense > MOSTLY_DIFFERENT ? ', without gaps' : ''}: it names rows and has no distribution; not watched for drift.` }
  }
  if (store.type === 'boolean') return null
  if (share > MOSTLY_DIFFERENT) return { role: 'identifier', why: `${told} (${percent(share)}): an identifier or free text; not watched for drift.` }
  return ID_NAME.test(name) && distinct > Math.max(100, Math.sqrt(store.count)) ? { role: 'identifier', why: `${told}, and its name says that it is an identifier; not watched for drift.` } : null
}

/** A column that only rises follows the order of the rows: a counter or a time by another name. */
function ordered(store: NumberStore): Role | null {
  if (store.falls > 0 || store.count < MIN_ROWS || store.exact !== null) return null
  return { role: 'time', why: 'It never falls from one row to the next: it follows the order of the rows; not watched for drift.' }
}
