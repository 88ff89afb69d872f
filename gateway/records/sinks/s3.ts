/**
 * Objects of a bucket, laid like the `parquet` sink's files: `<prefix>/route=…/date=YYYY-MM-DD/hour=HH/part-<id>-<n>.parquet` or `.jsonl.gz`.
 *
 * Exactly once: before anything is put, the state that is committed says how many records the delivery takes and which keys it will make.
 * Whatever breaks off, the next attempt takes as many and puts the same keys. When its records are others all the same (the oldest were given up
 * meanwhile), keys that it does not make get a file without rows. So the credentials need s3:PutObject alone; with s3:GetObject types
 * of columns outlive a restart.
 */
import { randomBytes } from 'node:crypto'
import { promisify } from 'node:util'
import { gzip } from 'node:zlib'
import type { S3SinkConfig } from '../../../config/config.ts'
import type { LogRecord } from '../record.ts'
import type { Batch, Delivery, Sink, SinkDeps, SinkState } from '../sink.ts'
import { Bucket } from './bucket.ts'
import { partitionOf, writableLine } from './envelope.ts'
import { ParquetFiles } from './parquet_files.ts'
import { envelopeOf } from './rows.ts'
import { parquetOf } from './table.ts'

/** Of records in the spool: what one object holds at most, and goes over the network within `delivery.timeout`. */
const BYTES = 16 << 20
const ROWS = 100_000
/** Objects of one delivery; their names must fit into the state. */
export const MAX_OBJECTS = 100
const PROBE = '.weir-probe'

const compress = promisify(gzip)
const TYPES = { parquet: 'application/vnd.apache.parquet', jsonl: 'application/gzip' } as const
const ENDINGS = { parquet: 'parquet', jsonl: 'jsonl.gz' } as const

interface State {
  readonly kind: 's3'
  /** `bucket/prefix`. */
  readonly place: string
  readonly id: string
  /** Of the last delivery that is done. */
  readonly seq: number
  /** Of the delivery that may have begun: its records, and its keys. */
  readonly records: number
  readonly keys: readonly string[]
}

export class S3Sink implements Sink {
  readonly batch: Batch
  readonly #config: S3SinkConfig
  readonly #log: SinkDeps['log']
  readonly #bucket: Bucket
  readonly #files: ParquetFiles
  #state: State

  constructor(config: S3SinkConfig, { clock, log }: SinkDeps) {
    this.#config = config
    this.#log = log
    const bucket = new Bucket(config, clock)
    this.#bucket = bucket
    this.#files = new ParquetFiles(config.name, true, log, {
      read: async (file) => (await bucket.get(file))?.toString() ?? null,
      write: (file, text) => bucket.put(file, 'application/json', Buffer.from(text)),
    })
    this.#state = { kind: 's3', place: `${config.bucket}/${config.prefix}`, id: randomBytes(4).toString('hex'), seq: 0, records: 0, keys: [] }
    this.batch = { rows: ROWS, bytes: BYTES, wait_ms: config.rotate_ms }
  }

  async open(state: SinkState | null): Promise<void> {
    const known = stateOf(state)
    if (known === null) return
    const { place } = this.#state
    if (known.place !== place && known.keys.length > 0) this.#log.warn('a delivery to another bucket broke off; its records are delivered to this one, too', { sink: this.#config.name, bucket: known.place })
    this.#state = known.place === place ? known : { ...known, place, records: 0, keys: [] }
  }

  async deliver(records: readonly LogRecord[]): Promise<Delivery> {
    const begun = this.#state.records
    const parts = this.#parts(begun > 0 ? records.slice(0, begun) : records)
    const taken = [...parts.values()].reduce((sum, own) => sum + own.length, 0)
    const keys = [...parts.keys()]
    if (begun !== taken || keys.some((key) => !this.#state.keys.includes(key))) return this.#announce(taken, keys)
    await this.#blank(keys)
    let rejected = 0
    for (const [key, own] of parts) rejected += await this.#put(key, own)
    this.#state = { ...this.#state, seq: this.#state.seq + 1, records: 0, keys: [] }
    // What is beyond the announced is no failure: it is the next delivery.
    return { delivered: taken - rejected, rejected, state: { ...this.#state }, error: null }
  }

  /** Puts and removes an empty object; only that it could be put matters. */
  async probe(): Promise<void> {
    await this.#bucket.put(PROBE, 'text/plain', Buffer.alloc(0))
    await this.#bucket.remove(PROBE).catch(() => undefined)
  }

  async close(): Promise<void> {
    await this.#bucket.close()
  }

  /** Nothing is put yet: the state is committed first, and the records come again at once. */
  async #announce(records: number, keys: readonly string[]): Promise<Delivery> {
    await this.#blank(keys)
    this.#state = { ...this.#state, records, keys }
    return { delivered: 0, rejected: 0, state: { ...this.#state }, error: null }
  }

  /** Keys of an attempt before that this one does not make. */
  async #blank(keys: readonly string[]): Promise<void> {
    const stale = this.#state.keys.filter((key) => !keys.includes(key))
    for (const key of stale) await this.#bucket.put(key, this.#typeOf(key), key.endsWith(ENDINGS.parquet) ? parquetOf(envelopeOf([]), 0, {}) : await compress(''))
    this.#state = { ...this.#state, keys: this.#state.keys.filter((key) => keys.includes(key)) }
  }

  /** Records by their key, up to the one that would need a key too many. */
  #parts(records: readonly LogRecord[]): Map<string, LogRecord[]> {
    const parts = new Map<string, LogRecord[]>()
    const name = `part-${this.#state.id}-${this.#state.seq + 1}.${ENDINGS[this.#config.format]}`
    for (const record of records) {
      const key = `${partitionOf(record)}/${name}`
      const own = parts.get(key)
      if (own !== undefined) own.push(record)
      else if (parts.size < MAX_OBJECTS) parts.set(key, [record])
      else break
    }
    return parts
  }

  /** @returns how many of them cannot be written, which no further attempt changes */
  async #put(key: string, records: readonly LogRecord[]): Promise<number> {
    if (this.#config.format === 'jsonl') {
      const lines = records.map((record) => writableLine(record, this.#config.name, this.#log)).filter((line) => line !== null)
      await this.#bucket.put(key, this.#typeOf(key), await compress(lines.join('')))
      return records.length - lines.length
    }
    const bytes = await this.#files.bytesOf(records)
    if (bytes === null) return records.length
    await this.#bucket.put(key, this.#typeOf(key), bytes)
    return 0
  }

  #typeOf(key: string): string {
    return key.endsWith(ENDINGS.parquet) ? TYPES.parquet : TYPES.jsonl
  }
}

/** null: of another kind of sink, or none. */
function stateOf(state: SinkState | null): State | null {
  const found = state as Partial<State> | null
  const right = found?.kind === 's3' && typeof found.place === 'string' && typeof found.id === 'string' && /^[0-9a-f]+$/.test(found.id) && Number.isSafeInteger(found.seq) && Number.isSafeInteger(found.records) && Array.isArray(found.keys)
  return right && found.keys!.every((key) => typeof key === 'string') ? (found as State) : null
}
