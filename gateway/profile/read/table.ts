/** Rows of a file, whatever its format: what `weir profile`, `weir replay` and `weir backtest` read, a batch at a time in constant memory. */

export type Scalar = number | bigint | string | boolean | null

/**
 * `undefined`: the row has no such key (JSONL) or its file has no such column. `null`: it says null (CSV: an empty cell).
 * NaN and ±Infinity are numbers. Integers beyond 2^53 are bigints. Times are ISO 8601 texts in UTC, with milliseconds. Bytes that
 * are no UTF-8 are base64 texts.
 */
export type Cell = Scalar | undefined | readonly Scalar[]

/** One row by column; absent values are not there. */
export type Row = Readonly<Record<string, Cell>>

export interface Batch {
  readonly rows: number
  /** Those of this batch: of JSONL they grow, and the files of a folder may differ. */
  readonly columns: readonly string[]
  /** By column, then by row. What lies beyond the end of a column is absent. */
  readonly cells: readonly (readonly Cell[])[]
}

export type DataFormat = 'csv' | 'jsonl' | 'parquet'

/** How far a reader is; updated in place. */
export interface Progress {
  /** Bytes on disk read so far; of `bytes`. */
  read: number
  readonly bytes: number
  rows: number
  /** Rows there are, where the file says so before it is read (Parquet); else null. */
  readonly total: number | null
}

/** An open file or folder. Read once. */
export interface Table {
  readonly format: DataFormat
  /** Names of columns known before the first batch: all of CSV and Parquet; those of the first rows of JSONL. */
  readonly columns: readonly string[]
  readonly progress: Progress
  /** What was read over and is worth telling ("the last line broke off"); filled while reading. */
  readonly notes: readonly string[]
  /** @throws DataError */
  batches(): AsyncGenerator<Batch, void>
}

/** Data that cannot be read: says in which file, on which line or row, in which column, what was expected and what was found. */
export class DataError extends Error {
  constructor(message: string, options?: ErrorOptions) {
    super(message, options)
    this.name = 'DataError'
  }
}

/** Rows of a batch as objects. */
export function rowsOf(batch: Batch): Row[] {
  const { columns, cells } = batch
  return Array.from({ length: batch.rows }, (_, row) => {
    // Without a prototype: a column may have any name.
    const made: Record<string, Cell> = Object.create(null) as Record<string, Cell>
    for (let i = 0; i < columns.length; i++) {
      const value = cells[i]![row]
      if (value !== undefined) made[columns[i]!] = value
    }
    return made
  })
}
