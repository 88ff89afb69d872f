/** What the cells of a CSV column are: learned from the first of them, then read so. */
import type { CsvCell } from './cutter.ts'
import type { Cell } from './table.ts'

export type Kind = 'number' | 'boolean' | 'text'

/** A column is one of numbers when so many of its cells are; the others stay texts, which the profile counts. */
export const MAJORITY = 0.95

const WORDS: ReadonlyMap<string, number | null> = new Map([
  ...['NaN', 'nan', 'NAN', '-nan', '-NaN'].map((word) => [word, Number.NaN] as const),
  ...['inf', 'Inf', '+inf', 'Infinity', '+Infinity'].map((word) => [word, Infinity] as const),
  ...['-inf', '-Inf', '-Infinity'].map((word) => [word, -Infinity] as const),
  // What pandas, R and spreadsheets write for nothing. In a column of texts they are texts: "NA" is Namibia there.
  ...['NA', '<NA>', 'N/A', 'n/a', '#N/A', 'null', 'NULL', 'None'].map((word) => [word, null] as const),
])
const TRUTH: ReadonlyMap<string, boolean> = new Map([...['true', 'True', 'TRUE'].map((word) => [word, true] as const), ...['false', 'False', 'FALSE'].map((word) => [word, false] as const)])
/** A postal code, an account: what would lose its zeros. */
const LEADING_ZERO = /^[+-]?0[0-9]/
const INTEGER = /^[+-]?[0-9]+$/
/** `Number` reads these too, and they are no decimal numbers. */
const RADIX = /^0[xXoObB]/
const ZERO = 0x30

/** @returns null: no cell says anything yet */
export function kindOf(cells: readonly CsvCell[]): Kind | null {
  let numbers = 0
  let truths = 0
  let others = 0
  for (const cell of cells) {
    if (cell === null || cell === '' || WORDS.get(cell) === null) continue
    if (LEADING_ZERO.test(cell)) return 'text'
    if (TRUTH.has(cell)) truths++
    else if (numberIn(cell) === undefined) others++
    else numbers++
  }
  const all = numbers + truths + others
  if (all === 0) return null
  if (numbers >= MAJORITY * all) return 'number'
  return truths >= MAJORITY * all ? 'boolean' : 'text'
}

/** Cells in place of their spellings. */
export function readCells(kind: Kind, cells: CsvCell[]): Cell[] {
  if (kind === 'text') return cells
  const read: Cell[] = cells
  for (let i = 0; i < cells.length; i++) {
    const cell = cells[i]!
    if (cell === null) continue
    if (cell === '') read[i] = null
    else if (kind === 'number') read[i] = numberOrText(cell)
    else read[i] = TRUTH.get(cell) ?? (WORDS.get(cell) === null ? null : cell)
  }
  return read
}

function numberOrText(cell: string): Cell {
  const value = numberIn(cell)
  return value === undefined || (cell.charCodeAt(0) === ZERO && LEADING_ZERO.test(cell)) ? cell : value
}

/** @returns undefined: not a number */
function numberIn(cell: string): number | bigint | null | undefined {
  const value = Number(cell)
  if (value !== value) return WORDS.get(cell)
  if (value === 0 && cell.trim() === '') return undefined
  if (cell.charCodeAt(0) === ZERO && RADIX.test(cell)) return undefined
  return Number.isSafeInteger(value) || !INTEGER.test(cell) ? value : BigInt(cell.startsWith('+') ? cell.slice(1) : cell)
}
