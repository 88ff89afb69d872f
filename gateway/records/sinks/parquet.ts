/**
 * Parquet files: `route=…/date=YYYY-MM-DD/hour=HH/part-<id>-<n>.parquet`, by the hour of the record, UTC; one row a record. A file is
 * there as a whole or not at all.
 *
 * Exactly once: before a delivery makes its files it says which in a journal; a sink that opens at the state before removes them.
 */
import { randomBytes } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import type { ParquetSinkConfig } from '../../../config/config.ts'
import type { LogRecord } from '../record.ts'
import type { Batch, Delivery, Sink, SinkDeps, SinkState } from '../sink.ts'
import { hourOf, segment } from './envelope.ts'
import { Folder } from './folder.ts'
import { envelopeOf, RESERVED, typedOf } from './rows.ts'
import { parquetOf, type TableColumn } from './table.ts'
import { type Known, TypedColumns } from './typed.ts'

/** Bytes of records that make a file at most: with their columns and the file itself they are several times this in memory. */
const BYTES = 32 << 20
/** Routes whose columns are kept in memory. */
const MAX_ROUTES = 100
/** Readers of data lakes leave out names that begin with a dot. */
const COLUMNS_FILE = '.columns.json'

interface State {
  readonly kind: 'parquet'
  readonly folder: string
  readonly id: string
  readonly seq: number
}

export class ParquetSink implements Sink {
  readonly batch: Batch
  readonly #config: ParquetSinkConfig
  readonly #log: SinkDeps['log']
  readonly #folder: Folder
  /** Of this sink and its folder: files of another life have other names. */
  #id = randomBytes(4).toString('hex')
  #seq = 0
  #broken = false
  readonly #routes = new Map<string, TypedColumns>()

  constructor(config: ParquetSinkConfig, { log }: SinkDeps) {
    this.#config = config
    this.#log = log
    this.#folder = new Folder(config.path, config.name)
    this.batch = { rows: config.max_rows, bytes: BYTES, wait_ms: config.rotate_ms }
  }

  async open(state: SinkState | null): Promise<void> {
    const known = stateOf(state)
    this.#seq = known?.seq ?? 0
    this.#id = known?.id ?? this.#id
    await this.#folder.makeFor('x')
    // The sink may have had another folder at the last commit.
    const folder = known === null || known.folder === this.#config.path ? this.#folder : new Folder(known.folder, this.#config.name)
    const undone = await folder.undo(this.#seq + 1)
    if (undone > 0) this.#log.info('removed files of records that come again', { sink: this.#config.name, files: undone })
  }

  async deliver(records: readonly LogRecord[]): Promise<Delivery> {
    if (this.#broken) await this.#folder.undo(this.#seq + 1)
    this.#broken = true
    const parts = this.#parts(records)
    await this.#folder.announce(this.#seq + 1, [...parts.keys()])
    let rejected = 0
    for (const [file, own] of parts) {
      const bytes = await this.#file(own)
      if (bytes === null) rejected += own.length
      else await this.#folder.write(file, bytes)
    }
    this.#seq++
    this.#broken = false
    return { delivered: records.length - rejected, rejected, state: { kind: 'parquet', folder: this.#config.path, id: this.#id, seq: this.#seq } satisfies State, error: null }
  }

  async probe(): Promise<void> {
    await this.#folder.probe()
  }

  async close(): Promise<void> {
    // Nothing is held open between deliveries.
  }

  /** Records by their file. */
  #parts(records: readonly LogRecord[]): Map<string, LogRecord[]> {
    const parts = new Map<string, LogRecord[]>()
    for (const record of records) {
      const { date, hour } = hourOf(record.time)
      const file = `route=${segment(record.route)}/date=${date}/hour=${hour}/part-${this.#id}-${this.#seq + 1}.parquet`
      const own = parts.get(file)
      if (own === undefined) parts.set(file, [record])
      else own.push(record)
    }
    return parts
  }

  /** The file of records of one route. @returns null: it cannot be written, which no further attempt changes */
  async #file(records: readonly LogRecord[]): Promise<Uint8Array | null> {
    const { route } = records[0]!
    const envelope = envelopeOf(records)
    const about = { weir_route: route }
    const typed = this.#config.columns ? await this.#typed(route, records) : []
    try {
      return parquetOf([...envelope, ...typed], records.length, about)
    } catch (error) {
      this.#log.warn('typed columns of a route cannot be written; its records are written without', { sink: this.#config.name, route, reason: (error as Error).message })
    }
    try {
      return parquetOf(envelope, records.length, about)
    } catch (error) {
      this.#log.error('records cannot be written as Parquet', { sink: this.#config.name, route, records: records.length, reason: (error as Error).message })
      return null
    }
  }

  async #typed(route: string, records: readonly LogRecord[]): Promise<TableColumn[]> {
    const known = await this.#columnsOf(route)
    const columns = typedOf(records, known)
    if (known.size > known.saved) {
      await this.#folder.write(columnsFile(route), Buffer.from(JSON.stringify(known.list)))
      known.saved = known.size
    }
    if (known.dropped > 0) this.#log.warn('a route has more columns than a file takes; the bodies hold them all', { sink: this.#config.name, route, values: known.dropped })
    known.dropped = 0
    return columns
  }

  /** What the route has had so far, so that files of all times have the same columns and types. */
  async #columnsOf(route: string): Promise<TypedColumns> {
    let found = this.#routes.get(route)
    if (found === undefined) {
      const text = await readFile(this.#folder.at(columnsFile(route)), 'utf8').catch(() => '[]')
      found = new TypedColumns(knownOf(text), RESERVED)
      if (this.#routes.size >= MAX_ROUTES) this.#routes.clear()
      this.#routes.set(route, found)
    }
    return found
  }
}

const columnsFile = (route: string): string => `route=${segment(route)}/${COLUMNS_FILE}`

/** Nothing of a file that somebody spoilt: then types are learnt anew. */
function knownOf(text: string): Known[] {
  try {
    const list = JSON.parse(text) as Known[]
    return list.every(isKnown) ? list : []
  } catch {
    return []
  }
}

function isKnown({ side, name, role, column, kind, depth }: Known): boolean {
  return ['input', 'output'].includes(side) && ['', 'rows', 'text'].includes(role) && typeof name === 'string' && typeof column === 'string' && ['double', 'int64', 'boolean', 'string'].includes(kind) && [0, 1, 2].includes(depth)
}

/** null: of another kind of sink, or none. */
function stateOf(state: SinkState | null): State | null {
  const found = state as Partial<State> | null
  return found?.kind === 'parquet' && typeof found.folder === 'string' && typeof found.id === 'string' && /^[0-9a-f]+$/.test(found.id) && typeof found.seq === 'number' ? (found as State) : null
}
