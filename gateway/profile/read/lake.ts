/**
 * Weir's own records as a table of what went in and what came out: one row a row of each request, the columns of the request under their
 * names and those of the answer beside them, decoded by the route's format. So a profile can be made of traffic.
 */
import { type Column, type Columns, rowCount } from '../../payload/columns.ts'
import { widened } from '../../payload/halves.ts'
import { columnsOf } from '../../payload/logged.ts'
import { bodyColumns, bodyOf } from './body.ts'
import { openTable } from './open.ts'
import { type Batch, type Cell, type DataFormat, type Row, rowsOf, type Scalar, type Table } from './table.ts'

/** Columns that every record has. */
const MARKS = ['record_id', 'inference_id', 'status', 'format']
/** What is read of a record. */
const RECORD_COLUMNS: readonly string[] = [...MARKS, 'time', ...['request', 'sent', 'response'].flatMap(bodyColumns)]
const SAFE = BigInt(Number.MAX_SAFE_INTEGER)

export interface Lake extends Table {
  /** Names of columns that came from answers; grows while reading. */
  readonly predictions: ReadonlySet<string>
}

/** null: the files hold no records. @throws DataError */
export async function openLake(paths: readonly string[], format: DataFormat | null = null): Promise<Lake | null> {
  // Typed columns of the lake are read over: the bodies hold all they do.
  const table = await openTable(paths, { format, columns: RECORD_COLUMNS })
  return MARKS.every((name) => table.columns.includes(name)) ? lakeOf(table) : null
}

function lakeOf(table: Table): Lake {
  const predictions = new Set<string>()
  const notes: string[] = []

  async function* batches(): AsyncGenerator<Batch, void> {
    let unread = 0
    for await (const batch of table.batches()) {
      const made = new Rows(predictions)
      for (const record of rowsOf(batch)) if (!made.add(record)) unread++
      if (made.rows > 0) yield made.batch()
    }
    notes.push(...table.notes)
    if (unread > 0) notes.push(`${unread} records were left out: their requests were not logged whole, or are not of the route's format`)
  }
  return { format: table.format, columns: [], progress: table.progress, notes, predictions, batches }
}

/** Rows of one batch. */
class Rows {
  rows = 0
  readonly #predictions: Set<string>
  readonly #columns = new Map<string, Cell[]>()

  constructor(predictions: Set<string>) {
    this.#predictions = predictions
  }

  /** @returns false: the request cannot be read */
  add(record: Row): boolean {
    const input = decoded(record, record['sent'] === null || record['sent'] === undefined ? 'request' : 'sent')
    const rows = input === null ? 0 : rowCount(input)
    if (rows === 0) return false
    const names = new Set(input!.columns.map(({ name }) => name))
    for (let row = 0; row < rows; row++) this.#put('time', this.rows + row, record['time'])
    for (const column of input!.columns) this.#putColumn(column.name || 'input', column, rows)
    const status = Number(record['status'])
    const output = status >= 200 && status < 300 ? decoded(record, 'response') : null
    // An answer of another length (a list of items, a summary) belongs to no row.
    if (output !== null && rowCount(output) === rows) for (const column of output.columns) this.#putColumn(this.#predicted(column.name || 'output', names), column, rows)
    this.rows += rows
    return true
  }

  batch(): Batch {
    return { rows: this.rows, columns: [...this.#columns.keys()], cells: [...this.#columns.values()] }
  }

  #predicted(name: string, inputs: ReadonlySet<string>): string {
    const free = inputs.has(name) ? `output.${name}` : name
    this.#predictions.add(free)
    return free
  }

  #putColumn(name: string, column: Column, rows: number): void {
    const { data, nulls } = widened(column)
    const width = column.shape.length === 0 ? 1 : data.length / rows
    const scalar = (at: number): Scalar => (nulls?.[at] === 1 ? null : valueOf(column.dtype, data[at]!))
    for (let row = 0; row < rows; row++) {
      const at = column.shape.length === 0 ? 0 : row * width
      this.#put(name, this.rows + row, width === 1 ? scalar(at) : Array.from({ length: width }, (_, i) => scalar(at + i)))
    }
  }

  #put(name: string, row: number, cell: Cell): void {
    let cells = this.#columns.get(name)
    if (cells === undefined) this.#columns.set(name, (cells = []))
    while (cells.length < row) cells.push(undefined)
    cells[row] = cell
  }
}

function valueOf(dtype: Column['dtype'], value: number | bigint | string): Scalar {
  if (dtype === 'BOOL') return value === 1
  return typeof value === 'bigint' && value <= SAFE && value >= -SAFE ? Number(value) : value
}

/** null: there is no body, only its beginning, or it is not of the format. */
function decoded(record: Row, part: 'request' | 'sent' | 'response'): Columns | null {
  const bytes = bodyOf((column) => record[column], part) ?? null
  const text = (column: string): string => (typeof record[column] === 'string' ? record[column] : '')
  if (bytes === null) return null
  try {
    return columnsOf(text('format'), part === 'response' ? 'output' : 'input', { bytes, type: text(`${part}_type`), encoding: text(`${part}_encoding`), headers: [] })
  } catch {
    // A caller may have sent anything.
    return null
  }
}
