/**
 * Files as requests: weir's own records (JSONL, or Parquet of the lake), or rows of anything (JSONL, CSV, Parquet), which are sent as
 * `rows` bodies. A record is known by its `record_id`. Bodies go out as they were logged, byte for byte.
 */
import { JsonReader } from '../../payload/json.ts'
import { dataFiles, openRows, openTable } from '../../profile/read/open.ts'
import { linesOf, progressOf } from '../../profile/read/source.ts'
import { type Cell, DataError, type Progress, type Row } from '../../profile/read/table.ts'
import { isItem, type Item, type Read } from './item.ts'
import { COLUMNS, recordItem } from './record_item.ts'

export interface Requests {
  readonly progress: Progress
  readonly notes: readonly string[]
  read(): AsyncGenerator<Read, void>
}

/** Where requests go, on the server. */
export interface Targets {
  /** Before the targets of records. */
  readonly prefix: string
  /** Of requests made from rows; null = not told. */
  readonly target: string | null
}

/** @param route only records of this route @throws DataError */
export function openRequests(path: string, route: string, { prefix, target }: Targets): Requests {
  const files = dataFiles([path])
  const progress: Progress = { read: 0, bytes: files.reduce((sum, file) => sum + progressOf(file).bytes, 0), rows: 0, total: null }
  const notes: string[] = []

  async function* read(): AsyncGenerator<Read, void> {
    for (const file of files) {
      const before = progress.read
      for await (const one of /\.(jsonl|ndjson)(\.gz)?$/i.test(file) ? lines(file, progress, notes) : tables(file, progress, notes)) {
        progress.rows++
        yield itemOf(one, file, progress.rows)
      }
      progress.read = Math.max(progress.read, before)
    }
  }

  function itemOf(one: Source, file: string, row: number): Read {
    if (one.record) {
      const item = recordItem(one.value, one.body)
      if (!isItem(item)) return item
      return item.route === route ? { ...item, target: prefix + item.target } : { skipped: 'another route' }
    }
    if (target === null) throw new DataError(`${file}: holds rows and no records of weir: say where they go with --to and a path, such as --to http://127.0.0.1:8080/score`)
    return rowItem(one, target, route, row)
  }
  return { progress, notes, read }
}

/** One line or one row. */
interface Source {
  readonly record: boolean
  value(key: string): Cell | Readonly<Record<string, unknown>>
  /** The bytes of a member as they stand, where that is known. */
  body(key: 'request' | 'response'): Buffer | null
  /** All of it as JSON. */
  text(): string
}

// ---------------------------------------------------------------- JSONL

async function* lines(file: string, progress: Progress, notes: string[]): AsyncGenerator<Source, void> {
  let number = 0
  const before = progress.read
  const own: Progress = { read: 0, bytes: 0, rows: 0, total: null }
  for await (const { texts, whole } of linesOf(file, own)) {
    progress.read = before + own.read
    for (const text of texts) {
      number++
      if (text.trim() === '') continue
      const source = whole ? line(text, `${file}:${number}`) : lastLine(text, `${file}:${number}`, notes)
      if (source !== null) yield source
    }
  }
}

/** Half a line is no error. */
function lastLine(text: string, where: string, notes: string[]): Source | null {
  try {
    return line(text, where)
  } catch (error) {
    if (!(error instanceof DataError)) throw error
    notes.push(`${where}: the last line broke off; it was left out`)
    return null
  }
}

function line(text: string, where: string): Source {
  const bytes = Buffer.from(text)
  let envelope: Record<string, unknown>
  const spans = new Map<string, Buffer>()
  try {
    envelope = JSON.parse(text) as Record<string, unknown>
    if (typeof envelope !== 'object' || envelope === null || Array.isArray(envelope)) throw new TypeError('not an object')
    if ('record_id' in envelope) findBodies(bytes, spans)
  } catch (error) {
    throw new DataError(`${where}: expected one JSON object, found ${JSON.stringify(text.trim().slice(0, 60))}`, { cause: error })
  }
  return {
    record: 'record_id' in envelope,
    value: (key) => envelope[key] as Cell,
    body: (key) => spans.get(key) ?? null,
    text: () => text.trim(),
  }
}

/** The bodies as they stand in the line: numbers, keys and their order as they were written. */
function findBodies(bytes: Buffer, spans: Map<string, Buffer>): void {
  const json = new JsonReader(bytes, 'BAD_BODY')
  json.members((key) => {
    json.peek()
    const from = json.pos
    json.skip()
    if (key === 'request' || key === 'response') spans.set(key, bytes.subarray(from, json.pos))
  })
}

// ---------------------------------------------------------------- CSV and Parquet

async function* tables(file: string, progress: Progress, notes: string[]): AsyncGenerator<Source, void> {
  const table = await openTable([file])
  const record = table.columns.includes('record_id')
  // The other columns of the lake are what its bodies hold.
  const rows = record ? await openRows(file, { columns: COLUMNS }) : await openRows(file)
  const route = partitionOf(file)
  const before = progress.read
  for await (const batch of rows) {
    progress.read = before + rows.progress.read
    for (const row of batch) yield tableRow(row, record, route)
  }
  notes.push(...rows.notes)
}

/** The lake has the route in the names of its folders. */
function partitionOf(file: string): string | null {
  return /(?:^|[\\/])route=([^\\/]+)[\\/]/.exec(file)?.[1] ?? null
}

function tableRow(row: Row, record: boolean, route: string | null): Source {
  return {
    record,
    value: (key) => (key in row ? row[key] : key === 'route' && route !== null ? route : prefixed(row, `${key}.`)),
    body: () => null,
    text: () => rowText(row),
  }
}

/** A struct became columns with dots in their names. */
function prefixed(row: Row, prefix: string): Readonly<Record<string, unknown>> | undefined {
  const found = Object.entries(row).filter(([key]) => key.startsWith(prefix))
  return found.length === 0 ? undefined : Object.fromEntries(found.map(([key, value]) => [key.slice(prefix.length), value]))
}

/** JSON as the rows format takes it: integers beyond 2^53 keep their digits, what is no number is null. */
export function rowText(row: Row): string {
  const members = Object.entries(row).map(([key, cell]) => `${JSON.stringify(key)}:${cellText(cell)}`)
  return `{${members.join(',')}}`
}

function cellText(cell: Cell): string {
  if (typeof cell === 'bigint') return String(cell)
  return Array.isArray(cell) ? `[${cell.map(cellText).join(',')}]` : JSON.stringify(cell as string | number | boolean | null)
}

function rowItem(source: Source, target: string, route: string, row: number): Item {
  const time = source.value('time')
  const at = typeof time === 'string' ? Date.parse(time) : Number.NaN
  return {
    id: `replay-${row}`, route, format: 'rows', method: 'POST', target, headers: ['content-type', 'application/json'], body: Buffer.from(source.text()),
    time: Number.isNaN(at) ? null : at, before: null,
  }
}
