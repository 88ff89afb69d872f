/** `dataframe_split`: a pandas data frame as its column names and its rows (pandas, DataFrame.to_dict('split')). */
import { WeirError } from '../errors.ts'
import { Collector, type Dialect } from './collector.ts'
import type { Column } from './columns.ts'
import { clip, type JsonReader } from './json.ts'
import { MAX_COLUMNS } from './table.ts'

const KEY = 'dataframe_split'

/** The reader stands before the object. */
export function readFrame(json: JsonReader, dialect: Dialect): Column[] {
  const { side } = dialect
  if (json.kind() !== 'object') throw new WeirError(side.json, `expected "${KEY}" to be an object with "columns" and "data", found ${json.describe()}`)
  let names: string[] | null = null
  let indices = -1
  let dataAt = -1
  let read: ReturnType<typeof readData> | null = null
  json.members((key) => {
    if (key !== 'columns' && key !== 'index' && key !== 'data') throw new WeirError(side.json, `"${KEY}" has "${clip(key)}"; expected "columns", "index" and "data" alone`)
    if ((key === 'columns' && names !== null) || (key === 'index' && indices >= 0) || (key === 'data' && dataAt >= 0)) throw new WeirError(side.json, `"${KEY}" has "${key}" twice`)
    if (json.kind() !== 'array') throw new WeirError(side.json, `expected "${KEY}.${key}" to be a list, found ${json.describe()}`)
    if (key === 'columns') names = readNames(json, dialect)
    else if (key === 'index') indices = countOf(json)
    else {
      dataAt = json.pos
      if (names === null) json.skip()
      else read = readData(json, names, dialect)
    }
  })
  if (dataAt < 0) throw new WeirError(side.json, `"${KEY}" has no "data"`)
  const { columns, rows } = read ?? readAt(json, dataAt, names, dialect)
  if (indices >= 0 && indices !== rows) throw new WeirError(side.value, `"${KEY}.index" has ${indices} entries, "data" ${rows} rows`)
  return columns
}

/** The data when it came before the names, or without any. */
function readAt(json: JsonReader, at: number, names: readonly string[] | null, dialect: Dialect): ReturnType<typeof readData> {
  const after = json.pos
  json.pos = at
  const read = readData(json, names, dialect)
  json.pos = after
  return read
}

/** Names are texts, or whole numbers in a frame that was made without names. */
function readNames(json: JsonReader, { side }: Dialect): string[] {
  const names = new Set<string>()
  if (!json.enterArray()) return []
  do {
    const name = readName(json)
    if (name === null) throw new WeirError(side.json, `"${KEY}.columns[${names.size}]": expected a name, found ${json.describe()}`)
    if (names.has(name)) throw new WeirError(side.value, `"${KEY}.columns" has "${clip(name)}" twice`)
    if (names.size === MAX_COLUMNS) throw new WeirError(side.value, `expected at most ${MAX_COLUMNS} columns, found more`)
    names.add(name)
  } while (json.nextElement())
  return [...names]
}

function readName(json: JsonReader): string | null {
  const kind = json.kind()
  if (kind === 'string') return json.string()
  if (kind !== 'number') return null
  const at = json.pos
  const value = json.number()
  if (json.integral) return String(value)
  json.pos = at
  return null
}

function countOf(json: JsonReader): number {
  let count = 0
  if (!json.enterArray()) return 0
  do {
    json.skip()
    count++
  } while (json.nextElement())
  return count
}

/** @param names null: the first row says how many columns there are, and they are counted from 0, as pandas does */
function readData(json: JsonReader, names: readonly string[] | null, dialect: Dialect): { columns: Column[]; rows: number } {
  const collectors: Collector[] = names?.map((name) => new Collector(name, dialect)) ?? []
  let rows = 0
  if (json.enterArray()) {
    do {
      readRow(json, rows, collectors, names === null && rows === 0, dialect)
      rows++
    } while (json.nextElement())
  }
  return { columns: collectors.map((collector, i) => collector.column(names?.[i] ?? String(i), rows)), rows }
}

function readRow(json: JsonReader, row: number, collectors: Collector[], learning: boolean, dialect: Dialect): void {
  const { side } = dialect
  const at = (): string => `"${KEY}.data[${row}]"`
  if (json.kind() !== 'array') throw new WeirError(side.json, `${at()}: expected a list of values, found ${json.describe()}`)
  let width = 0
  if (json.enterArray()) {
    do {
      if (learning && width < MAX_COLUMNS) collectors.push(new Collector(String(width), dialect))
      const collector = collectors[width++]
      if (collector === undefined) throw new WeirError(side.value, `${at()}: expected ${collectors.length} values, found more`)
      collector.cell(json, row)
    } while (json.nextElement())
  }
  if (width !== collectors.length) throw new WeirError(side.value, `${at()}: expected ${collectors.length} values, found ${width}`)
}
