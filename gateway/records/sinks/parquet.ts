/**
 * Parquet files: `route=…/date=YYYY-MM-DD/hour=HH/part-<id>-<n>.parquet`, by the hour of the record, UTC; one row a record. A file is
 * there as a whole or not at all.
 *
 * Exactly once: before a delivery makes its files it says which in a journal; a sink that opens at the state before removes them.
 */
import { readFile } from 'node:fs/promises'
import type { ParquetSinkConfig } from '../../../config/config.ts'
import type { LogRecord } from '../record.ts'
import type { Batch, Delivery, Sink, SinkDeps, SinkState } from '../sink.ts'
import { partitionOf } from './envelope.ts'
import { Folder, isId, newId, type Place, reopen } from './folder.ts'
import { ParquetFiles } from './parquet_files.ts'

/** Bytes of records that make a file at most: with their columns and the file itself they are several times this in memory. */
const BYTES = 32 << 20

interface State extends Place {
  readonly kind: 'parquet'
}

export class ParquetSink implements Sink {
  readonly batch: Batch
  readonly #config: ParquetSinkConfig
  readonly #log: SinkDeps['log']
  #folder: Folder
  #seq = 0
  #broken = false
  readonly #files: ParquetFiles

  constructor(config: ParquetSinkConfig, { log }: SinkDeps) {
    this.#config = config
    this.#log = log
    this.#folder = new Folder(config.path, config.name, newId())
    const folder = this.#folder
    this.#files = new ParquetFiles(config.name, config.columns, log, {
      read: (file) => readFile(folder.at(file), 'utf8').catch(() => null),
      write: (file, text) => folder.write(file, Buffer.from(text)),
    })
    this.batch = { rows: config.max_rows, bytes: BYTES, wait_ms: config.rotate_ms }
  }

  async open(state: SinkState | null): Promise<SinkState | undefined> {
    const known = stateOf(state)
    this.#seq = known?.seq ?? 0
    if (known === null) {
      await this.#folder.makeFor('x')
      return this.#state()
    }
    this.#folder = (await reopen(this.#config.path, this.#config.name, known, this.#log)).folder
    return undefined
  }

  async deliver(records: readonly LogRecord[]): Promise<Delivery> {
    if (this.#broken) await this.#folder.undo(this.#seq + 1)
    this.#broken = true
    const parts = this.#parts(records)
    await this.#folder.announce(this.#seq + 1, [...parts.keys()])
    let rejected = 0
    for (const [file, own] of parts) {
      const bytes = await this.#files.bytesOf(own)
      if (bytes === null) rejected += own.length
      else await this.#folder.write(file, bytes)
    }
    this.#seq++
    this.#broken = false
    return { delivered: records.length - rejected, rejected, state: this.#state(), error: null }
  }

  #state(): SinkState {
    return { kind: 'parquet', folder: this.#config.path, id: this.#folder.id, seq: this.#seq } satisfies State
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
      const file = `${partitionOf(record)}/part-${this.#folder.id}-${this.#seq + 1}.parquet`
      const own = parts.get(file)
      if (own === undefined) parts.set(file, [record])
      else own.push(record)
    }
    return parts
  }
}

/** null: of another kind of sink, or none. */
function stateOf(state: SinkState | null): State | null {
  const found = state as Partial<State> | null
  return found?.kind === 'parquet' && typeof found.folder === 'string' && isId(found.id) && typeof found.seq === 'number' ? (found as State) : null
}
