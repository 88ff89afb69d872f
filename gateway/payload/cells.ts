/** Columns as JSON values: one cell a row, or a tensor as a whole. */
import { type Code, WeirError } from '../errors.ts'
import type { Column } from './columns.ts'
import { widened } from './halves.ts'
import { clip } from './json.ts'
import { elementText } from './tensor.ts'

/** How a format spells values. */
export interface Style {
  /** Of the errors about what JSON cannot carry. */
  readonly code: Code
  /** NaN: `null`, a token (then infinities are tokens too), or no value at all, which is an error. What else is null is `null`, or an error too. */
  readonly missing: 'null' | 'token' | 'error'
  /** One value a row (`[N,1]`) is written as that value and not as a list of one. */
  readonly bare: boolean
  /** Texts of columns named `*_bytes` are written as `{"b64": …}`. */
  readonly b64: boolean
}

/** One column's JSON text for one row. */
export type Cell = (row: number) => string

/** JSON objects of the columns' names, one a row. */
export function objectTexts(columns: readonly Column[], count: number, style: Style): string[] {
  const keys = columns.map(({ name }) => `${JSON.stringify(name)}:`)
  const cells = columns.map((column) => cellTexts(column, count, style))
  return Array.from({ length: count }, (_, row) => `{${cells.map((text, i) => keys[i] + text(row)).join(',')}}`)
}

/** @throws WeirError when the column has another number of rows than `count` */
export function cellTexts(column: Column, count: number, style: Style): Cell {
  const text = elementTexts(column, style)
  const [first, ...rest] = column.shape
  // A scalar belongs to the request as a whole, hence to every row.
  if (first === undefined) return () => text(0)
  if (first !== count) throw new WeirError(style.code, `"${clip(column.name)}": has ${first} rows, the request ${count}`)
  const inner = style.bare && rest.length === 1 && rest[0] === 1 ? [] : rest
  const size = inner.reduce((product, length) => product * length, 1)
  return (row) => nested(text, inner, 0, row * size, size)
}

/** All of it, nested like its shape. */
export function tensorText(column: Column, style: Style): string {
  return nested(elementTexts(column, style), column.shape, 0, 0, column.data.length)
}

function nested(text: Cell, shape: readonly number[], depth: number, from: number, size: number): string {
  if (depth === shape.length) return text(from)
  const length = shape[depth]!
  const step = length === 0 ? 0 : size / length
  const parts: string[] = []
  for (let i = 0; i < length; i++) parts.push(nested(text, shape, depth + 1, from + i * step, step))
  return `[${parts.join(',')}]`
}

function elementTexts(column: Column, { code, missing, b64 }: Style): Cell {
  const readable = widened(column)
  const { data } = readable
  if (b64 && column.name.endsWith('_bytes') && Array.isArray(data) && column.nulls === undefined) return (i) => `{"b64":"${Buffer.from(data[i]!).toString('base64')}"}`
  const text = elementText(readable, { code, label: `"${clip(column.name)}"` }, missing === 'error' ? null : 'null')
  if (missing !== 'token' || !(data instanceof Float32Array || data instanceof Float64Array)) return text
  return (i) => (Number.isFinite(data[i]) ? text(i) : String(data[i]))
}
