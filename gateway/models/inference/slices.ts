/** Columns by rows: cutting a large request to several runs, joining small ones to one, and both ways back. */
import type { Column, Data } from '../../payload/columns.ts'

/** Rows that all columns have, their first dimension; null when one has none (a scalar) or another number. */
export function rowsOf(columns: readonly Column[]): number | null {
  const rows = columns[0]?.shape[0]
  if (rows === undefined) return null
  for (const { shape } of columns) if (shape[0] !== rows) return null
  return rows
}

/** Rows `from` up to, not including, `to`. Numbers are views of the same memory. */
export function cut(columns: readonly Column[], from: number, to: number): readonly Column[] {
  return columns.map((column) => {
    const [rows, ...rest] = column.shape
    if (from === 0 && to === rows) return column
    const width = column.data.length / rows!
    return { ...column, shape: [to - from, ...rest], data: piece(column.data, from * width, to * width) }
  })
}

function piece(data: Data, start: number, end: number): Data {
  return Array.isArray(data) ? data.slice(start, end) : data.subarray(start, end)
}

/**
 * The rows of one after those of the other, in new memory unless there is only one. Names and types are those of the first.
 * @throws Error when they differ beyond the rows
 */
export function join(parts: readonly (readonly Column[])[]): readonly Column[] {
  const [first] = parts
  if (first === undefined || parts.length === 1) return first ?? []
  return first.map((column, i) => {
    const columns = parts.map((part) => part[i]!)
    if (!columns.every((other) => alike(column, other))) throw new Error(`"${column.name}" differs in more than its rows`)
    const rows = columns.reduce((sum, { shape }) => sum + shape[0]!, 0)
    return { ...column, shape: [rows, ...column.shape.slice(1)], data: joined(columns.map(({ data }) => data)) }
  })
}

function alike(a: Column, b: Column): boolean {
  return a.dtype === b.dtype && a.shape.length > 0 && a.shape.length === b.shape.length && a.shape.every((size, i) => i === 0 || size === b.shape[i])
}

/** Typed arrays of one type; that is all that is asked of them here. */
interface Numbers {
  readonly length: number
  set(values: Numbers, at: number): void
}

function joined(pieces: readonly Data[]): Data {
  const [first] = pieces
  if (Array.isArray(first)) return (pieces as string[][]).flat()
  const length = pieces.reduce((sum, piece) => sum + piece.length, 0)
  const Made = first!.constructor as new (length: number) => Exclude<Data, string[]>
  const into = new Made(length)
  let at = 0
  for (const one of pieces) {
    ;(into as unknown as Numbers).set(one as unknown as Numbers, at)
    at += one.length
  }
  return into
}
