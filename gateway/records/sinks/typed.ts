/**
 * Values of decoded bodies as columns of a table, one row a record.
 *
 * `input_<name>` and `output_<name>` hold the value of a request of one row: a scalar, or a list where the row has a vector. A request
 * of several rows stands in `input_<name>_rows`, a list with one item a row; `rows` says how many. So a table has one row a record,
 * and `unnest(input_age_rows)` gives the rows. A column keeps the type of its first value; what does not fit stands in
 * `input_<name>_text`. Numbers of formats without types (JSON) are DOUBLE; where tensors say their type, integers are INT64.
 */
import { type Column, type Columns, type Dtype, rowCount } from '../../payload/columns.ts'
import { widened } from '../../payload/halves.ts'
import type { Kind, TableColumn } from './table.ts'

/** Columns of one route. Names come from callers. */
export const MAX_COLUMNS = 1000
const MAX_NAME = 128
/** Characters that Spark does not take in names of columns, quotes and controls. */
const AWKWARD = /[\s,;{}()="`\u0000-\u001f\u007f]/g

export type Side = 'input' | 'output'
/** '' = the value of one row; `rows` = a list of rows; `text` = what did not fit either. */
type Role = '' | 'rows' | 'text'

/** A column that a route has had. Plain JSON. */
export interface Known {
  readonly side: Side
  readonly name: string
  readonly role: Role
  /** In the file. */
  readonly column: string
  readonly kind: Kind
  /** Lists within lists. */
  readonly depth: number
}

type Cell = number | bigint | string | boolean | null | readonly Cell[]

/** The columns of a route, in the order they came up: every file has all of them. */
export class TypedColumns {
  readonly #known = new Map<string, Known>()
  /** Names in files, in lower case: Spark does not tell `Age` from `age`. */
  readonly #taken: Set<string>
  /** Values for which there was no column any more. */
  dropped = 0
  /** Columns that are remembered on the disk. */
  saved: number

  /** @param reserved names of other columns of the file */
  constructor(known: readonly Known[], reserved: readonly string[]) {
    this.#taken = new Set(reserved.map((name) => name.toLowerCase()))
    for (const one of known.slice(0, MAX_COLUMNS)) this.#add(one)
    this.saved = this.#known.size
  }

  get size(): number {
    return this.#known.size
  }

  get list(): readonly Known[] {
    return [...this.#known.values()]
  }

  /** @param kind and depth of a new one @returns null: there are too many */
  find(side: Side, name: string, role: Role, kind: Kind, depth: number): Known | null {
    const found = this.#known.get(keyOf(side, role, name))
    if (found !== undefined) return found
    if (this.#known.size >= MAX_COLUMNS) {
      this.dropped++
      return null
    }
    return this.#add({ side, name, role, column: this.#free(side, name, role), kind, depth })
  }

  has(side: Side, name: string, role: Role): boolean {
    return this.#known.has(keyOf(side, role, name))
  }

  #add(known: Known): Known {
    this.#known.set(keyOf(known.side, known.role, known.name), known)
    this.#taken.add(known.column.toLowerCase())
    return known
  }

  #free(side: Side, name: string, role: Role): string {
    const parts = [side, name.slice(0, MAX_NAME).replace(AWKWARD, '_').toWellFormed(), role]
    const wanted = parts.filter((part) => part !== '').join('_')
    let column = wanted
    for (let n = 2; this.#taken.has(column.toLowerCase()); n++) column = `${wanted}_${n}`
    return column
  }
}

const keyOf = (side: Side, role: Role, name: string): string => `${side} ${role} ${name}`

/** Values of one column, and of which records they are, in order: callers choose names, so most columns may be nearly empty. */
interface Sparse {
  readonly records: number[]
  readonly values: Cell[]
}

/** The typed part of one file. Records come in order. */
export class TypedTable {
  readonly #columns: TypedColumns
  readonly #data = new Map<string, Sparse>()
  /** By position, the column it was last: bodies of one route look alike, and then no name is looked up. */
  readonly #guess: Readonly<Record<Side, Known[]>> = { input: [], output: [] }

  constructor(columns: TypedColumns) {
    this.#columns = columns
  }

  /** @param typed whether the format says datatypes @returns how many rows the body has */
  put(record: number, side: Side, body: Columns, typed: boolean): number {
    const rows = rowCount(body)
    if (rows > 0) body.columns.forEach((column, i) => this.#put(record, side, i, widened(column), rows, typed))
    return rows
  }

  /** Every column that the route has had, in order. */
  columns(): TableColumn[] {
    return this.#columns.list.map(({ column, kind, depth }) => ({ name: column, kind, depth, part: partsOf(this.#data.get(column) ?? { records: [], values: [] }) }))
  }

  #put(record: number, side: Side, position: number, column: Column, rows: number, typed: boolean): void {
    const { name, dtype, shape, data } = column
    const scalar = shape.length === 0
    const role: Role = rows === 1 || scalar ? '' : 'rows'
    const width = scalar ? 1 : data.length / rows
    const vector = !scalar && shape.slice(1).some((length) => length !== 1)
    const depth = (role === 'rows' ? 1 : 0) + (vector ? 1 : 0)
    const known = this.#known(side, position, column, role, kindOf(dtype, typed), depth)
    if (known === null) return
    const row = (at: number): Cell | undefined => (vector ? list(width, (i) => cell(column, at * width + i, known.kind)) : cell(column, at * width, known.kind))
    const value = known.depth !== depth ? undefined : role === 'rows' ? list(rows, row) : row(0)
    if (value !== undefined) return this.#set(known, record, value)
    const text = this.#columns.find(side, name, 'text', 'string', 0)
    if (text !== null) this.#set(text, record, textOf(column, role === 'rows' ? rows : 0, vector, width))
  }

  #known(side: Side, position: number, column: Column, role: Role, kind: Kind, depth: number): Known | null {
    const guess = this.#guess[side][position]
    if (guess !== undefined && guess.name === column.name && guess.role === role) return guess
    // Of nulls alone no type can be learnt.
    if (isNothing(column) && !this.#columns.has(side, column.name, role)) return null
    const found = this.#columns.find(side, column.name, role, kind, depth)
    if (found !== null && position < MAX_COLUMNS) this.#guess[side][position] = found
    return found
  }

  #set({ column }: Known, record: number, value: Cell): void {
    let data = this.#data.get(column)
    if (data === undefined) this.#data.set(column, (data = { records: [], values: [] }))
    // A body may have a name twice.
    if (data.records.at(-1) === record) return
    data.records.push(record)
    data.values.push(value)
  }
}

/** Parts are asked for in order. */
function partsOf({ records, values }: Sparse): (from: number, to: number) => unknown[] {
  let next = 0
  return (from, to) => {
    const part = new Array<Cell>(to - from).fill(null)
    for (; next < records.length && records[next]! < to; next++) part[records[next]! - from] = values[next]!
    return part
  }
}

/** undefined as soon as one item does not fit. */
function list(length: number, item: (at: number) => Cell | undefined): Cell[] | undefined {
  const items = new Array<Cell>(length)
  for (let i = 0; i < length; i++) {
    const value = item(i)
    if (value === undefined) return undefined
    items[i] = value
  }
  return items
}

function isNothing({ data, nulls }: Column): boolean {
  return data.length === 0 || (nulls !== undefined && nulls.every((one) => one === 1))
}

function kindOf(dtype: Dtype, typed: boolean): Kind {
  if (dtype === 'BOOL') return 'boolean'
  if (dtype === 'BYTES') return 'string'
  return typed && /^U?INT/.test(dtype) ? 'int64' : 'double'
}

const MAX_INT64 = 2n ** 63n - 1n

/** undefined: the value is not of that kind. */
function cell({ dtype, data, nulls }: Column, at: number, kind: Kind): number | bigint | string | boolean | null | undefined {
  if (nulls?.[at] === 1) return null
  const value = data[at]!
  if (dtype === 'BOOL') return kind === 'boolean' ? value === 1 : undefined
  if (typeof value === 'string') return kind === 'string' ? value.toWellFormed() : undefined
  if (typeof value === 'bigint') return kind === 'int64' ? (value <= MAX_INT64 ? value : undefined) : kind === 'double' && Number.isSafeInteger(Number(value)) ? Number(value) : undefined
  if (kind === 'double') return value
  return kind === 'int64' && dtype.includes('INT') ? BigInt(value) : undefined
}

/** A scalar as it reads, lists as JSON. @param rows 0 = of one row */
function textOf({ dtype, data, nulls }: Column, rows: number, vector: boolean, width: number): string {
  const one = (at: number, quoted: boolean): string => {
    if (nulls?.[at] === 1) return 'null'
    const value = data[at]!
    if (dtype === 'BOOL') return value === 1 ? 'true' : 'false'
    return quoted && typeof value === 'string' ? JSON.stringify(value) : String(value).toWellFormed()
  }
  const row = (at: number, quoted: boolean): string => (vector ? `[${Array.from({ length: width }, (_, i) => one(at * width + i, true)).join(',')}]` : one(at * width, quoted))
  return rows === 0 ? row(0, false) : `[${Array.from({ length: rows }, (_, at) => row(at, true)).join(',')}]`
}
