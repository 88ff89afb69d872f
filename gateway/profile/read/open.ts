/** Which reader reads a file, and the files of a folder (weir's own lake, or any) one after the other. */
import { readdirSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { type Batch, type DataFormat, DataError, type Progress, type Row, rowsOf, type Table } from './table.ts'

export interface OpenOptions {
  /** null: by the name of the file. */
  readonly format?: DataFormat | null
  /** Only these columns are read (fewer when a file has not all of them); null: all. */
  readonly columns?: readonly string[] | null
}

/** A table as rows. Read once. */
export interface Rows extends AsyncIterable<readonly Row[]> {
  readonly columns: readonly string[]
  readonly progress: Progress
  readonly notes: readonly string[]
}

const ENDINGS: readonly (readonly [ending: string, format: DataFormat])[] = [
  ['.csv', 'csv'], ['.tsv', 'csv'], ['.csv.gz', 'csv'], ['.tsv.gz', 'csv'],
  ['.jsonl', 'jsonl'], ['.ndjson', 'jsonl'], ['.jsonl.gz', 'jsonl'], ['.ndjson.gz', 'jsonl'],
  ['.parquet', 'parquet'],
]

/** @param path file or folder; of a folder all data files below it, in the order of their names @throws DataError */
export async function openRows(path: string, options: OpenOptions = {}): Promise<Rows> {
  const table = await openTable([path], options)
  async function* rows(): AsyncGenerator<readonly Row[], void> {
    for await (const batch of table.batches()) yield rowsOf(batch)
  }
  return { columns: table.columns, progress: table.progress, notes: table.notes, [Symbol.asyncIterator]: rows }
}

/** Files and folders as one table. @throws DataError */
export async function openTable(paths: readonly string[], options: OpenOptions = {}): Promise<Table> {
  const files = dataFiles(paths)
  const first = await openFile(files[0]!, options)
  return files.length === 1 ? first : chain(files, first, options)
}

/** @throws DataError */
export function dataFiles(paths: readonly string[]): string[] {
  return paths.flatMap((path) => {
    if (!isFolder(path)) return [path]
    const found = readdirSync(path, { recursive: true, encoding: 'utf8' }).filter((name) => formatOf(name) !== null && !hidden(name)).sort().map((name) => join(path, name))
    if (found.length === 0) throw new DataError(`${path}: expected CSV, JSONL or Parquet files in the folder, found none`)
    return found
  })
}

/** Half-written files and what Spark keeps beside its own (`_SUCCESS`, `.crc`). */
function hidden(name: string): boolean {
  return name.split(/[\\/]/).some((part) => part.startsWith('.') || part.startsWith('_'))
}

function isFolder(path: string): boolean {
  try {
    return statSync(path).isDirectory()
  } catch {
    throw new DataError(`${path}: there is no such file or folder`)
  }
}

function formatOf(name: string): DataFormat | null {
  const lower = name.toLowerCase()
  return ENDINGS.find(([ending]) => lower.endsWith(ending))?.[1] ?? null
}

async function openFile(file: string, options: OpenOptions): Promise<Table> {
  const format = options.format ?? formatOf(file)
  const wanted = options.columns ?? null
  // hyparquet is loaded only for Parquet.
  if (format === 'parquet') return (await import('./parquet.ts')).openParquet(file, wanted)
  if (format === 'jsonl') return (await import('./jsonl.ts')).openJsonl(file, wanted)
  if (format === 'csv') return (await import('./csv.ts')).openCsv(file, wanted)
  throw new DataError(`${file}: expected a name that ends in ${ENDINGS.map(([ending]) => ending).join(', ')}; otherwise say --format csv, jsonl or parquet`)
}

function chain(files: readonly string[], first: Table, options: OpenOptions): Table {
  const bytes = files.reduce((sum, file) => sum + statSync(file).size, 0)
  const progress: Progress = { read: 0, bytes, rows: 0, total: null }
  const notes: string[] = []

  async function* batches(): AsyncGenerator<Batch, void> {
    for (const file of files) {
      const table = file === files[0] ? first : await openFile(file, options)
      const [before, rows] = [progress.read, progress.rows]
      for await (const batch of table.batches()) {
        progress.read = before + table.progress.read
        progress.rows = rows + table.progress.rows
        yield batch
      }
      notes.push(...table.notes)
    }
  }
  return { format: first.format, columns: first.columns, progress, notes, batches }
}
