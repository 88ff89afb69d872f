/**
 * The two forms of TensorFlow Serving's predict API, which KServe v1 and MLflow have too: a list of instances, each a value
 * or an object of values by name, and whole tensors, one value or an object of values by name.
 * A tensor without a name is a column with the name ''.
 */
import { WeirError } from '../errors.ts'
import { cellTexts, objectTexts, type Style, tensorText } from './cells.ts'
import { Collector, type Dialect, isNamed } from './collector.ts'
import type { Column, Columns } from './columns.ts'
import { clip, type JsonReader } from './json.ts'
import { elements } from './tensor.ts'
import { Table } from './table.ts'

/** Reads the list behind `key`. */
export function readInstances(json: JsonReader, key: string, dialect: Dialect): Column[] {
  if (json.kind() !== 'array') throw new WeirError(dialect.side.json, `expected "${key}" to be a list, found ${json.describe()}`)
  if (!json.enterArray()) return []
  if (isNamed(json, dialect)) {
    const table = new Table(json, dialect)
    do table.row()
    while (json.nextElement())
    return table.columns()
  }
  const values = new Collector('', dialect, key)
  let row = 0
  do values.cell(json, row++)
  while (json.nextElement())
  return [values.column('', row)]
}

/** Reads the tensor or the tensors behind `key`. */
export function readTensors(json: JsonReader, key: string, dialect: Dialect): Column[] {
  if (!isNamed(json, dialect)) return [readTensor(json, '', key, dialect)]
  const columns: Column[] = []
  const names = new Set<string>()
  json.members((name) => {
    if (names.has(name)) throw new WeirError(dialect.side.json, `"${key}" has "${clip(name)}" twice`)
    names.add(name)
    columns.push(readTensor(json, name, key, dialect))
  })
  return columns
}

function readTensor(json: JsonReader, name: string, key: string, dialect: Dialect): Column {
  const values = new Collector(name, dialect, key)
  values.cell(json, -1)
  return values.column(name, null)
}

/** Reads what is behind `key` in an answer: a list of instances, or tensors. A value without a name is called by the key. */
export function readPredictions(json: JsonReader, key: string, dialect: Dialect, whole: boolean): Column[] {
  const columns = whole || json.kind() !== 'array' ? readTensors(json, key, dialect) : readInstances(json, key, dialect)
  return columns.map((column) => (column.name === '' ? { ...column, name: key } : column))
}

/** A whole answer that says nothing but `predictions`: that of KServe v1 and of MLflow. @throws WeirError `INVALID_ANSWER` */
export function predictionsOf(json: JsonReader, dialect: Dialect): Columns {
  const choice = new Choice<'predictions'>(dialect)
  json.members((key) => {
    if (key === 'predictions') choice.take(key, () => readPredictions(json, key, dialect, false))
    else json.skip()
  })
  json.end()
  if (choice.key === null) throw new WeirError('INVALID_ANSWER', 'the answer has no "predictions"')
  return { columns: choice.columns }
}

/** Instances: plain values for one column that needs no name, else objects. */
export function instancesText(columns: readonly Column[], plain: boolean, count: number, style: Style): string {
  const [only] = columns
  if (only === undefined) return '[]'
  if (!plain) return `[${objectTexts(columns, count, style).join(',')}]`
  const cell = cellTexts(only, count, style)
  return `[${Array.from({ length: count }, (_, row) => cell(row)).join(',')}]`
}

/** Whole tensors: one value for one column that needs no name, else an object. */
export function tensorsText(columns: readonly Column[], plain: boolean, style: Style): string {
  const [only] = columns
  if (only === undefined) return '[]'
  if (plain) return tensorText(only, style)
  return `{${columns.map((column) => `${JSON.stringify(column.name)}:${tensorText(column, style)}`).join(',')}}`
}

/** Whether columns can be instances: each has a first dimension, and all the same. An empty cell loses the dimensions behind it. */
export function areRows(columns: readonly Column[]): boolean {
  const count = columns[0]?.shape[0]
  return count !== undefined && columns.every(({ shape }) => shape[0] === count && (count === 0 || elements(shape) > 0))
}

/** One of a few keys, at most once: what a body of these formats begins with. */
export class Choice<K extends string> {
  readonly #dialect: Dialect
  key: K | null = null
  columns: Column[] = []

  constructor(dialect: Dialect) {
    this.#dialect = dialect
  }

  take(key: K, columns: () => Column[]): void {
    const { json } = this.#dialect.side
    if (this.key === key) throw new WeirError(json, `"${key}" is given twice`)
    if (this.key !== null) throw new WeirError(json, `expected either "${this.key}" or "${key}", found both`)
    this.key = key
    this.columns = columns()
  }
}
