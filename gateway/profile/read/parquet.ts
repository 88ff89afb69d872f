/** Parquet as a table: a row group at a time, column by column. The memory it takes is that of one row group. */
import { brotliDecompressSync, gunzipSync, zstdDecompressSync } from 'node:zlib'
import { asyncBufferFromFile, parquetMetadataAsync, parquetScan, parquetSchema } from 'hyparquet'
import { bytesText, flatten, timeText, Wanted } from './flatten.ts'
import { progressOf } from './source.ts'
import { type Batch, type Cell, DataError, type Scalar, type Table } from './table.ts'

const BATCH_ROWS = 8_192
const SAFE = BigInt(Number.MAX_SAFE_INTEGER)

/** Snappy is hyparquet's own; the others are Node's. */
const COMPRESSORS = {
  GZIP: (bytes: Uint8Array) => gunzipSync(bytes),
  ZSTD: (bytes: Uint8Array) => zstdDecompressSync(bytes),
  BROTLI: (bytes: Uint8Array) => brotliDecompressSync(bytes),
}
const CODECS = ['UNCOMPRESSED', 'SNAPPY', ...Object.keys(COMPRESSORS)]

type Source = Awaited<ReturnType<typeof asyncBufferFromFile>>
type Metadata = Awaited<ReturnType<typeof parquetMetadataAsync>>
type Scan = Awaited<ReturnType<typeof parquetScan>>

/** @param names null: all columns @throws DataError */
export async function openParquet(file: string, names: readonly string[] | null): Promise<Table> {
  const wanted = new Wanted(names)
  progressOf(file)
  const source = await tell(file, () => asyncBufferFromFile(file))
  // Twice its mark and the length of its footer; of less the reader says that an offset is out of bounds.
  if (source.byteLength < 12) throw new DataError(`${file}: expected Parquet, found a file of ${source.byteLength} bytes`)
  const metadata = await tell(file, () => parquetMetadataAsync(source))
  refuseCodecs(file, metadata)
  const columns = parquetSchema(metadata).children.map(({ element }) => element.name).filter((name) => wanted.touches(name))
  const progress = progressOf(file, Number(metadata.num_rows))

  async function* batches(): AsyncGenerator<Batch, void> {
    const scan = await openScan(file, source, metadata)
    for (const { rowStart, rowEnd } of scan.ranges) {
      const decoded: ArrayLike<unknown>[] = []
      for (const column of columns) decoded.push(await tell(`${file}, column "${column}", rows ${rowStart + 1} to ${rowEnd}`, () => scan.readColumn({ column, rowStart, rowEnd })))
      for (let from = 0; from < rowEnd - rowStart; from += BATCH_ROWS) {
        const rows = Math.min(BATCH_ROWS, rowEnd - rowStart - from)
        progress.rows += rows
        progress.read = Math.round((progress.bytes * progress.rows) / Math.max(1, progress.total!))
        yield makeBatch(file, columns, decoded, from, rows, rowStart, wanted)
      }
    }
  }
  return { format: 'parquet', columns, progress, notes: [], batches }
}

async function openScan(file: string, source: Source, metadata: Metadata): Promise<Scan> {
  return tell(file, () => parquetScan({ file: source, metadata, utf8: false, useOffsetIndex: false, compressors: COMPRESSORS }))
}

async function tell<T>(where: string, run: () => Promise<T>): Promise<T> {
  try {
    return await run()
  } catch (error) {
    throw new DataError(`${where}: cannot be read as Parquet, whole and not cut short: ${(error as Error).message}`, { cause: error })
  }
}

function refuseCodecs(file: string, metadata: Metadata): void {
  for (const group of metadata.row_groups) {
    for (const { meta_data } of group.columns) {
      if (meta_data !== undefined && !CODECS.includes(meta_data.codec)) {
        throw new DataError(`${file}, column "${meta_data.path_in_schema.join('.')}": expected one of the compressions ${CODECS.join(', ')}, found ${meta_data.codec}; write the file with snappy or zstd`)
      }
    }
  }
}

/** Columns of plain values stay as they are; those of structs become one a field. */
function makeBatch(file: string, names: readonly string[], decoded: readonly ArrayLike<unknown>[], from: number, rows: number, start: number, wanted: Wanted): Batch {
  const columns: string[] = []
  const cells: Cell[][] = []
  names.forEach((name, i) => {
    const plain = plainCells(decoded[i]!, from, rows, name, file, start)
    if (plain !== null) {
      columns.push(name)
      cells.push(plain)
    } else for (const [field, inner] of structCells(decoded[i]!, from, rows, name, file, start)) {
      if (!wanted.has(field)) continue
      columns.push(field)
      cells.push(inner)
    }
  })
  return { rows, columns, cells }
}

/** @returns null: there are structs among the values */
function plainCells(values: ArrayLike<unknown>, from: number, rows: number, name: string, file: string, start: number): Cell[] | null {
  const cells: Cell[] = []
  for (let i = 0; i < rows; i++) {
    const value = values[from + i]
    if (typeof value === 'number' || typeof value === 'string') cells.push(value)
    else if (value === null || value === undefined) cells.push(null)
    else if (typeof value !== 'object') cells.push(typeof value === 'bigint' ? narrow(value) : (value as Scalar))
    else if (value instanceof Date) cells.push(timeText(value, name, () => `${file}, row ${start + from + i + 1}`))
    else if (value instanceof Uint8Array) cells.push(bytesText(value))
    else if (Array.isArray(value) || ArrayBuffer.isView(value)) flatten(value, name, (_name, cell) => void cells.push(narrowList(cell)), () => `${file}, row ${start + from + i + 1}`)
    else return null
  }
  return cells
}

function structCells(values: ArrayLike<unknown>, from: number, rows: number, name: string, file: string, start: number): Map<string, Cell[]> {
  const made = new Map<string, Cell[]>()
  for (let i = 0; i < rows; i++) {
    flatten(values[from + i] ?? {}, name, (field, cell) => {
      let cells = made.get(field)
      if (cells === undefined) made.set(field, (cells = []))
      while (cells.length < i) cells.push(undefined)
      cells[i] = typeof cell === 'bigint' ? narrow(cell) : narrowList(cell)
    }, () => `${file}, row ${start + from + i + 1}`)
  }
  return made
}

function narrow(value: bigint): number | bigint {
  return value <= SAFE && value >= -SAFE ? Number(value) : value
}

function narrowList(cell: Cell): Cell {
  return Array.isArray(cell) ? (cell as Scalar[]).map((value) => (typeof value === 'bigint' ? narrow(value) : value)) : cell
}
