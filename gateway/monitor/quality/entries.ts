/** Labels as they come: one JSON object, an array of them, or one a line. Pure: texts in, entries or complaints out. */
import { shown } from '../words.ts'
import type { Setup } from './setup.ts'

/** One label of one prediction, or of all rows of a request. */
export interface Entry {
  readonly index: number
  /** '' when it brings a receipt. */
  readonly id: string
  readonly receipt: string
  /** Which row of the request; null = the first, or all where `label` is a list. */
  readonly row: number | null
  readonly label: unknown
  /** When it became known, Unix milliseconds; null = now. */
  readonly time: number | null
}

export interface Invalid {
  readonly index: number
  readonly reason: string
}

const MAX_ID = 256
const MAX_ROW = 1_000_000
const KEYS = new Set(['inference_id', 'request_id', 'receipt', 'label', 'row', 'time'])

/** @returns null for what is no JSON of these shapes; of lines, those that are none are undefined beside the others */
export function parseEntries(text: string, lines: boolean): readonly unknown[] | null {
  if (lines) {
    const values = linesOf(text)
    return values.length > 0 && values.every((value) => value === undefined) ? null : values
  }
  const value = parsed(text)
  if (value !== undefined) return Array.isArray(value) ? value : [value]
  // One object a line is common under the type of JSON too.
  const values = linesOf(text)
  return values.length < 2 || values.includes(undefined) ? null : values
}

function linesOf(text: string): unknown[] {
  return text.split('\n').filter((line) => line.trim() !== '').map(parsed)
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text) as unknown
  } catch {
    return undefined
  }
}

/** @param key name of the id: `inference_id` or `request_id` */
export function readEntry(value: unknown, index: number, key: string): Entry | Invalid {
  const wrong = (reason: string): Invalid => ({ index, reason })
  if (value === undefined) return wrong('expected JSON')
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return wrong('expected an object')
  const given = value as Readonly<Record<string, unknown>>
  for (const name of Object.keys(given)) if (!KEYS.has(name)) return wrong(`unknown key ${shown(name)}; known are ${key}, receipt, label, row, time`)
  const { receipt = '', row = null, label, time } = given
  const id = given[key] ?? ''
  if (typeof receipt !== 'string') return wrong('receipt: expected a string')
  if (typeof id !== 'string' || id.length > MAX_ID) return wrong(`${key}: expected a string of at most ${MAX_ID} characters`)
  if (id === '' && receipt === '') return wrong(`expected ${key} or receipt`)
  if (label === undefined) return wrong('expected a label')
  if (row !== null && !(Number.isInteger(row) && (row as number) >= 0 && (row as number) < MAX_ROW)) return wrong('row: expected a whole number from 0')
  const at = time === undefined ? null : typeof time === 'string' ? Date.parse(time) : NaN
  if (Number.isNaN(at)) return wrong('time: expected ISO 8601, such as "2026-03-02T10:00:00Z"')
  return { index, id: receipt === '' ? id : '', receipt, row: row as number | null, label, time: at }
}

/** What labels mean: their numbers as `Tally` takes them. */
export interface Labels {
  /** @returns the number, or what was expected */
  read(label: unknown): number | string
}

const TRUE = new Set<unknown>([1, true, '1', 'true'])
const FALSE = new Set<unknown>([0, false, '0', 'false'])

/** @param positive, negative of binary labels; undefined positive: 1 and true against 0 and false; undefined negative: all but the positive */
export function labelReader({ kind, classes }: Pick<Setup, 'kind' | 'classes'>, positive?: string, negative?: string): Labels {
  const index = new Map(classes.map((name, i) => [name, i]))
  const scalar = (label: unknown): string | null => (typeof label === 'string' || typeof label === 'number' || typeof label === 'boolean' ? String(label) : null)
  switch (kind) {
    case 'binary':
      return {
        read(label) {
          const text = scalar(label)
          if (positive === undefined) return TRUE.has(label) ? 1 : FALSE.has(label) ? 0 : `label: expected 0 or 1, true or false, found ${shown(label)}`
          if (text === positive) return 1
          if (text !== null && (negative === undefined || text === negative)) return 0
          return `label: expected ${shown(positive)}${negative === undefined ? ' or another value' : ` or ${shown(negative)}`}, found ${shown(label)}`
        },
      }
    case 'multiclass':
      return { read: (label) => index.get(scalar(label) ?? '') ?? `label: expected one of the ${classes.length} classes, found ${shown(label)}` }
    case 'regression':
      return { read: (label) => (typeof label === 'number' && Number.isFinite(label) ? label : `label: expected a number, found ${shown(label)}`) }
    default:
      return { read: (label) => (typeof label === 'number' && label >= 0 && Number.isFinite(label) ? label : `label: expected a relevance of 0 or more an item, found ${shown(label)}`) }
  }
}
