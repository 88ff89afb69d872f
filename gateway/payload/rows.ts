/**
 * Rows: one JSON object of named features, or an array of them. One object in, one object out; an array in, an array of
 * the same length and order out.
 *
 * A key is a column. Its values are numbers (FP64; INT64 or UINT64 when all are integers and one is beyond 2^53), strings,
 * booleans, or lists of these with the same lengths in every row. `null` is a missing number (NaN). Every row has the
 * keys of the first one: a forgotten feature must not pass for a missing value. A column with one value a row (`[N]` or
 * `[N,1]`) is written as that value, a vector as a list.
 */
import type { Format } from '../exchange.ts'
import { type Code, WeirError } from '../errors.ts'
import type { Column, Columns, Data, Dtype } from './columns.ts'
import { clip, JsonReader } from './json.ts'
import { elementText, INT64_RANGE, UINT64_RANGE } from './tensor.ts'

/** Lists within lists. */
const MAX_LIST_DEPTH = 8
const MAX_COLUMNS = 65_536

interface Side {
  readonly json: Code
  readonly value: Code
}
const REQUEST: Side = { json: 'BAD_BODY', value: 'MODEL_INPUT' }
const ANSWER: Side = { json: 'INVALID_ANSWER', value: 'INVALID_ANSWER' }

export const rows: Format = {
  name: 'rows',
  typed: false,
  readRequest: (body) => read(body, REQUEST),
  readAnswer: (body) => read(body, ANSWER),
  writeRequest: (columns) => write(columns, columns.single === true, rowCount(columns), 'MODEL_INPUT', 'null'),
  writeAnswer: (columns, request) => write(columns, request.single === true, rowCount(request), 'MODEL_FAILED', null),
}

/** How many rows a request has. */
export function rowCount(columns: Columns): number {
  return columns.columns[0]?.shape[0] ?? (columns.single === true ? 1 : 0)
}

// ---------------------------------------------------------------- reading

function read(body: Buffer, side: Side): Columns {
  const json = new JsonReader(body, side.json)
  const kind = json.kind()
  if (kind !== 'object' && kind !== 'array') throw new WeirError(side.json, `expected an object or an array of objects, found ${json.describe()}`)
  const table = new Table(json, side)
  const single = kind === 'object'
  if (single) table.row()
  else if (json.enterArray()) {
    do table.row()
    while (json.nextElement())
  }
  json.end()
  return single ? { columns: table.columns(), single } : { columns: table.columns() }
}

class Table {
  readonly #json: JsonReader
  readonly #side: Side
  readonly #byName = new Map<string, Collector>()
  #rows = 0

  constructor(json: JsonReader, side: Side) {
    this.#json = json
    this.#side = side
  }

  row(): void {
    const json = this.#json
    const row = this.#rows++
    if (json.kind() !== 'object') throw new WeirError(this.#side.json, `row ${row}: expected an object, found ${json.describe()}`)
    let keys = 0
    json.members((key) => {
      this.#collector(key, row).cell(json, row)
      keys++
    })
    if (keys === this.#byName.size) return
    for (const [name, { rows }] of this.#byName) {
      if (rows <= row) throw new WeirError(this.#side.value, `row ${row} lacks "${clip(name)}", which row 0 has; send null for a missing number`)
    }
  }

  columns(): Column[] {
    return [...this.#byName].map(([name, collector]) => collector.column(name, this.#rows))
  }

  #collector(key: string, row: number): Collector {
    let found = this.#byName.get(key)
    if (found === undefined) {
      if (row > 0) throw new WeirError(this.#side.value, `row ${row} has "${clip(key)}", which row 0 lacks`)
      if (this.#byName.size === MAX_COLUMNS) throw new WeirError(this.#side.value, `expected at most ${MAX_COLUMNS} keys in a row, found more`)
      found = new Collector(key, this.#side)
      this.#byName.set(key, found)
    }
    if (found.rows > row) throw new WeirError(this.#side.json, `row ${row} has "${clip(key)}" twice`)
    found.rows = row + 1
    return found
  }
}

type Kind = 'number' | 'string' | 'boolean'

/** The values of one key over the rows. */
class Collector {
  /** Rows that have the key so far. */
  rows = 0
  readonly #name: string
  readonly #side: Side
  #kind: Kind | null = null
  readonly #numbers: number[] = []
  readonly #strings: string[] = []
  /** Exact values of integers beyond 2^53, by position. */
  #wide: Map<number, bigint> | null = null
  #fractions = false
  /** First row with a null; -1 = none has. */
  #nullRow = -1
  /** Lengths of the lists of a cell, learnt from the first one: open until its first value or its first closing bracket. */
  readonly #shape: number[] = []
  #open = true

  constructor(name: string, side: Side) {
    this.#name = name
    this.#side = side
  }

  cell(json: JsonReader, row: number): void {
    if (json.kind() === 'array') return this.#list(json, row, 0)
    if (this.#shape.length > 0) throw this.#wrong(row, `expected a list of ${this.#shape.join(' × ')}, found ${json.describe()}`)
    this.#scalar(json, row)
  }

  #list(json: JsonReader, row: number, depth: number): void {
    const shape = this.#shape
    if (depth === shape.length) {
      if (!this.#open) throw this.#wrong(row, depth === 0 ? 'expected a value, found a list' : `expected lists ${depth} deep, found deeper ones`)
      if (depth === MAX_LIST_DEPTH) throw this.#wrong(row, `expected lists at most ${MAX_LIST_DEPTH} deep, found deeper ones`)
      shape.push(0)
    }
    const learning = this.#open
    let length = 0
    if (json.enterArray()) {
      do {
        if (json.kind() === 'array') this.#list(json, row, depth + 1)
        else if (depth + 1 < shape.length) throw this.#wrong(row, `expected a list, found ${json.describe()}`)
        else this.#scalar(json, row)
        length++
      } while (json.nextElement())
    }
    this.#open = false
    if (learning) shape[depth] = length
    else if (shape[depth] !== length) throw this.#wrong(row, `expected a list of ${shape[depth]}, found ${length}`)
  }

  #scalar(json: JsonReader, row: number): void {
    const kind = json.kind()
    this.#open = false
    if (kind === 'null') {
      json.null()
      if (this.#nullRow < 0) this.#nullRow = row
      this.#numbers.push(Number.NaN)
    } else if (kind === 'number') {
      const value = json.number()
      this.#is('number', row, json.token)
      if (!json.integral) this.#fractions = true
      else if (!Number.isSafeInteger(value)) this.#keepWide(json)
      if (!Number.isFinite(value)) throw this.#wrong(row, `expected a number in the range of FP64, found ${json.token}`)
      this.#numbers.push(value)
    } else if (kind === 'string') {
      const text = json.string()
      this.#is('string', row, JSON.stringify(clip(text)))
      this.#strings.push(text)
    } else if (kind === 'boolean') {
      const yes = json.boolean()
      this.#is('boolean', row, String(yes))
      this.#numbers.push(yes ? 1 : 0)
    } else throw this.#wrong(row, `expected a number, string, boolean, null or a list of these, found an ${kind}`)
  }

  #is(kind: Kind, row: number, found: string): void {
    this.#kind ??= kind
    if (this.#kind !== kind) throw this.#wrong(row, `expected a ${this.#kind} as before, found ${found}`)
  }

  #keepWide(json: JsonReader): void {
    const exact = json.bigint()
    if (exact === null || exact < INT64_RANGE.min || exact > UINT64_RANGE.max) this.#fractions = true
    else (this.#wide ??= new Map()).set(this.#numbers.length, exact)
  }

  column(name: string, rows: number): Column {
    const shape = [rows, ...this.#shape]
    const nulls = this.#nullRow >= 0
    if (nulls && (this.#kind === 'string' || this.#kind === 'boolean')) {
      throw this.#wrong(this.#nullRow, `expected a ${this.#kind} as in other rows, found null, which is a missing number`)
    }
    if (this.#kind === 'string') return { name, dtype: 'BYTES', shape, data: this.#strings }
    if (this.#kind === 'boolean') return { name, dtype: 'BOOL', shape, data: Uint8Array.from(this.#numbers) }
    const wide = this.#wide
    if (wide !== null && !this.#fractions && !nulls) {
      const exact = this.#numbers.map((value, i) => wide.get(i) ?? BigInt(value))
      if (exact.every((value) => value <= INT64_RANGE.max)) return { name, dtype: 'INT64', shape, data: BigInt64Array.from(exact) }
      if (exact.every((value) => value >= 0n)) return { name, dtype: 'UINT64', shape, data: BigUint64Array.from(exact) }
    }
    return { name, dtype: 'FP64', shape, data: Float64Array.from(this.#numbers) }
  }

  #wrong(row: number, text: string): WeirError {
    return new WeirError(this.#side.value, `"${clip(this.#name)}" in row ${row}: ${text}`)
  }
}

// ---------------------------------------------------------------- writing

/** One column's JSON text for one row. */
type Cell = (row: number) => string

/** @param missing text of a NaN; null refuses it */
function write(columns: Columns, single: boolean, count: number, code: Code, missing: string | null): { type: string; body: Buffer } {
  const keys = columns.columns.map(({ name }) => `${JSON.stringify(name)}:`)
  const cells = columns.columns.map((column) => cell(column, count, code, missing))
  const objects: string[] = []
  for (let row = 0; row < count; row++) objects.push(`{${cells.map((text, i) => keys[i] + text(row)).join(',')}}`)
  return { type: 'application/json', body: Buffer.from(single ? (objects[0] ?? '{}') : `[${objects.join(',')}]`) }
}

function cell(column: Column, count: number, code: Code, missing: string | null): Cell {
  const owner = { code, label: `"${column.name}"` }
  const readable = column.dtype === 'FP16' ? widened(column) : column
  const text = elementText(readable, owner, missing)
  const [first, ...rest] = column.shape
  // A scalar belongs to the request as a whole, hence to every row.
  if (first === undefined) return () => text(0)
  if (first !== count) throw new WeirError(code, `${owner.label}: has ${first} rows, the request ${count}`)
  const inner = rest.length === 1 && rest[0] === 1 ? [] : rest
  const size = inner.reduce((product, length) => product * length, 1)
  return (row) => nested(text, inner, 0, row * size, size)
}

function nested(text: (index: number) => string, shape: readonly number[], depth: number, from: number, size: number): string {
  if (depth === shape.length) return text(from)
  const length = shape[depth]!
  const step = length === 0 ? 0 : size / length
  const parts: string[] = []
  for (let i = 0; i < length; i++) parts.push(nested(text, shape, depth + 1, from + i * step, step))
  return `[${parts.join(',')}]`
}

function widened(column: Column): { name: string; dtype: Dtype; shape: readonly number[]; data: Data } {
  const bits = column.data as Uint16Array
  return { ...column, dtype: 'FP32', data: Float32Array.from(new Float16Array(bits.buffer, bits.byteOffset, bits.length)) }
}
