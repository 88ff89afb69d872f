/**
 * CSV (RFC 4180) with a header line, as pandas' `to_csv` writes it and `read_csv` reads it: a column whose cells are all
 * numbers is one of numbers, empty cells and the like are missing numbers; True and False are booleans; the rest is text.
 */
import { isUtf8 } from 'node:buffer'
import { WeirError } from '../errors.ts'
import type { Column } from './columns.ts'
import { clip } from './json.ts'
import { MAX_COLUMNS } from './table.ts'
import { Values } from './values.ts'

const NUMBER = /^\s*[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?\s*$/
const INTEGER = /^\s*[+-]?\d{1,20}\s*$/
const TRUTH = /^(?:true|false|TRUE|FALSE|True|False)$/
/** What pandas takes for a missing value, so far as it is likely in a column of numbers. */
const MISSING = new Set(['', 'NA', '<NA>', 'N/A', 'n/a', '#N/A', 'null', 'NULL', 'None'])
const NAN = new Set(['NaN', 'nan', '-nan', '-NaN'])

/** @throws WeirError `BAD_BODY` or `MODEL_INPUT` */
export function readCsv(body: Buffer): Column[] {
  if (!isUtf8(body)) throw new WeirError('BAD_BODY', 'the CSV body is not UTF-8')
  const records = new Records(body.toString().replace(/^\uFEFF/, ''))
  const header = records.next()
  if (header === null) throw new WeirError('BAD_BODY', 'expected a CSV body with a header line, found an empty one')
  if (header.length > MAX_COLUMNS) throw new WeirError('MODEL_INPUT', `expected at most ${MAX_COLUMNS} columns, found ${header.length}`)
  // pandas names what has no name (an index written along) so.
  const names = header.map((name, i) => (name === '' ? `Unnamed: ${i}` : name))
  const seen = new Set<string>()
  for (const name of names) {
    if (seen.has(name)) throw new WeirError('MODEL_INPUT', `the CSV header has "${clip(name)}" twice`)
    seen.add(name)
  }
  const cells: string[][] = names.map(() => [])
  for (let record = records.next(); record !== null; record = records.next()) {
    if (record.length !== names.length) throw new WeirError('BAD_BODY', `CSV line ${records.line}: expected ${names.length} cells, found ${record.length}`)
    record.forEach((cell, i) => cells[i]!.push(cell))
  }
  return names.map((name, i) => column(name, cells[i]!))
}

function column(name: string, spelled: readonly string[]): Column {
  const shape = [spelled.length]
  const values = new Values()
  if (spelled.length > 0 && spelled.every((cell) => TRUTH.test(cell))) {
    values.kind = 'boolean'
    for (const cell of spelled) values.number(cell.toLowerCase() === 'true' ? 1 : 0)
  } else if (spelled.every((cell) => NUMBER.test(cell) || MISSING.has(cell) || NAN.has(cell))) {
    values.kind = 'number'
    for (const cell of spelled) addNumber(values, cell)
  } else {
    values.kind = 'string'
    for (const cell of spelled) values.string(cell)
  }
  const made = values.column(name, shape)
  return values.kind === 'string' ? made : { ...made, spelled }
}

function addNumber(values: Values, cell: string): void {
  if (MISSING.has(cell)) return values.null()
  const value = NAN.has(cell) ? Number.NaN : Number(cell)
  if (Number.isInteger(value) && !Number.isSafeInteger(value) && INTEGER.test(cell)) values.wideNumber(value, BigInt(cell))
  else values.number(value)
}

/** The records of a CSV text, one after the other. Empty lines are read over. */
class Records {
  /** Line on which the last record began, from 1. */
  line = 0
  readonly #text: string
  #at = 0
  /** Lines begun so far. */
  #lines = 1

  constructor(text: string) {
    this.#text = text
  }

  /** null at the end. */
  next(): string[] | null {
    const text = this.#text
    for (;;) {
      if (this.#at >= text.length) return null
      this.line = this.#lines
      if (!this.#newline()) return this.#record()
    }
  }

  /** Reads over a line break, if there is one. */
  #newline(): boolean {
    const text = this.#text
    const c = text[this.#at]
    if (c !== '\n' && c !== '\r') return false
    this.#at += c === '\r' && text[this.#at + 1] === '\n' ? 2 : 1
    this.#lines++
    return true
  }

  #record(): string[] {
    const cells: string[] = []
    for (;;) {
      cells.push(this.#text[this.#at] === '"' ? this.#quoted() : this.#plain())
      if (this.#at >= this.#text.length || this.#newline()) return cells
      // A comma: another cell follows, be it empty.
      this.#at++
    }
  }

  #plain(): string {
    const text = this.#text
    const start = this.#at
    let at = start
    for (let c = text.charCodeAt(at); at < text.length && c !== 0x2c && c !== 0x0a && c !== 0x0d; c = text.charCodeAt(++at)) {
      if (c === 0x22) throw new WeirError('BAD_BODY', `CSV line ${this.line}: a quote within a cell that is not quoted`)
    }
    this.#at = at
    return text.slice(start, at)
  }

  #quoted(): string {
    const text = this.#text
    let cell = ''
    for (;;) {
      const end = text.indexOf('"', this.#at + 1)
      if (end < 0) throw new WeirError('BAD_BODY', `CSV line ${this.line}: a quote is not closed`)
      cell += text.slice(this.#at + 1, end)
      this.#at = end
      if (text[end + 1] !== '"') break
      cell += '"'
      this.#at = end + 1
    }
    this.#at++
    this.#lines += cell.split('\n').length - 1
    const c = text[this.#at]
    if (c !== undefined && c !== ',' && c !== '\n' && c !== '\r') throw new WeirError('BAD_BODY', `CSV line ${this.line}: expected a comma behind the quoted cell, found ${JSON.stringify(c)}`)
    return cell
  }
}
