/** Brings the records of one sink from the spool to the sink, counts what becomes of each, and commits it before anything is removed. */
import { join } from 'node:path'
import type { SinkConfig } from '../../config/config.ts'
import type { Clock } from '../clock.ts'
import type { Log } from '../plugin.ts'
import { backoff } from '../stats/backoff.ts'
import { Backlog } from './backlog.ts'
import { Cells, Row } from './cells.ts'
import { codeOf, type Files, systemFiles } from './files.ts'
import { type Entry, Ledger } from './ledger.ts'
import { fileOf, ledgerFile, type SegmentName } from './names.ts'
import { Parcel } from './parcel.ts'
import { DROP_REASONS, type DropReason } from './record.ts'
import type { CreateSink, Delivery, Sink } from './sink.ts'
import { readTally } from './tally.ts'

export interface ShipperDeps {
  readonly clock: Clock
  readonly log: Log
  readonly create: CreateSink
  /** Whether the process of another boot is gone. */
  isDead(boot: string): boolean
  /** Uniform in [0, 1). */
  random(): number
  readonly files?: Files
}

export interface ShipperPlace {
  readonly folder: string
  readonly boot: string
  readonly cells: SharedArrayBuffer
}

/** How the delivery to one sink stands. */
export interface SinkReport {
  readonly sink: string
  readonly kind: SinkConfig['kind']
  /** `waiting`: another process with the same `state` delivers. `removed`: it is not in the configuration any more. */
  readonly state: 'waiting' | 'delivering' | 'failing' | 'removed'
  readonly segments: number
  /** How long the oldest sealed segment waits, milliseconds; null = none does. */
  readonly oldest_ms: number | null
  readonly failures: number
  readonly last_error: string | null
  /** Unix milliseconds. */
  readonly last_delivery: number | null
}

const ROTATE_MS = 1000
/** A look that nothing asks for, for processes that died meanwhile. */
const LOOK_MS = 2000
/** Most files that one commit names, and that the ledger goes on naming without making sure that they are gone. */
const MAX_FILES = 256
/** For sinks without a `delivery` of their own. */
const BACKOFF = { backoff_ms: 100, max_backoff_ms: 5000 }

export class Shipper {
  #config: SinkConfig
  #active = true
  readonly #place: ShipperPlace
  readonly #deps: ShipperDeps
  readonly #files: Files
  readonly #row: Row
  readonly #cells: Cells
  readonly #backlog: Backlog
  readonly #parcel: Parcel
  /** Segments of other boots that are in `accepted`. */
  readonly #counted = new Set<string>()
  #ledger: Ledger | null = null
  #sink: Sink | null = null
  #changes = -1
  #looked = -Infinity
  #retryAt = 0
  #failures = 0
  #lastError: string | null = null
  #lastDelivery: number | null = null
  #rotated = 0

  constructor(config: SinkConfig, place: ShipperPlace, deps: ShipperDeps) {
    this.#config = config
    this.#place = place
    this.#deps = deps
    this.#files = deps.files ?? systemFiles
    this.#row = new Row(place.cells, -1)
    this.#cells = new Cells(place.cells)
    this.#backlog = new Backlog({ files: this.#files, folder: place.folder, boot: place.boot, cells: place.cells, clock: deps.clock, isDead: deps.isDead })
    this.#parcel = new Parcel(this.#files, place.folder, this.#backlog, config.spool.fsync === 'seal')
  }

  get config(): SinkConfig {
    return this.#config
  }

  /** It is in the configuration. */
  get active(): boolean {
    return this.#active
  }

  /** The last attempt failed. */
  get failing(): boolean {
    return this.#failures > 0
  }

  /** Nothing waits that is sealed. */
  get empty(): boolean {
    return this.#backlog.segments.length === 0
  }

  /** @param delivers this process is the one that does */
  report(delivers: boolean): SinkReport {
    const oldest = this.#backlog.segments[0]
    const state = !this.#active ? 'removed' : !delivers ? 'waiting' : this.#failures > 0 ? 'failing' : 'delivering'
    return {
      sink: this.#config.name, kind: this.#config.kind, state, segments: this.#backlog.segments.length,
      oldest_ms: oldest === undefined ? null : Math.max(0, this.#deps.clock.wall() - oldest.written), failures: this.#failures, last_error: this.#lastError, last_delivery: this.#lastDelivery,
    }
  }

  /**
   * The sink is configured like this from now on. Files of the one before are closed; not while `pass` runs. Never throws.
   * @param config null: it is not in the configuration any more; its records stay in the spool
   */
  async configure(config: SinkConfig | null): Promise<void> {
    await this.#end()
    this.#active = config !== null
    this.#config = config ?? this.#config
    this.#parcel.empty()
    this.#retryAt = 0
  }

  /**
   * Looks for work and does what is due. Never throws: what fails is told, and tried again after a pause.
   * @param all everything is due, however little it is. @param final the data threads are gone: what they left open is sealed
   */
  async pass(all = false, final = false): Promise<void> {
    const { clock } = this.#deps
    try {
      if (final || this.#cells.changes !== this.#changes || clock.now() - this.#looked >= LOOK_MS) this.#look(final)
      if (!this.#active || clock.now() < this.#retryAt) return
      this.#sink ??= await this.#open()
      while (this.#due(all)) if (!(await this.#deliver(this.#sink))) return
      if (clock.now() - this.#rotated >= ROTATE_MS) await this.#rotate(false)
    } catch (error) {
      await this.#failed(error)
    }
  }

  /** Ends; what is not delivered stays in the spool. Never throws. */
  async close(): Promise<void> {
    await this.#end()
    this.#ledger?.close()
    this.#ledger = null
  }

  async #end(): Promise<void> {
    try {
      if (this.#sink !== null) await this.#rotate(true)
    } catch (error) {
      await this.#failed(error)
    }
    await this.#closeSink()
  }

  // ---------------------------------------------------------------- looking

  #look(final: boolean): void {
    const ledger = (this.#ledger ??= this.#openLedger())
    const { changes } = this.#cells
    const done = new Set(ledger.entry.done)
    const found = this.#backlog.look((id) => done.has(id), final, (name) => this.#added(name, ledger.entry))
    for (const file of found.done) this.#backlog.remove(file)
    this.#countDropped(ledger, found.dropped)
    this.#countTallies(ledger, found.tallies)
    this.#row.complete()
    this.#changes = changes
    this.#looked = this.#deps.clock.now()
  }

  #openLedger(): Ledger {
    const { folder, boot } = this.#place
    this.#files.mkdirSync(folder, { recursive: true })
    const ledger = new Ledger(this.#files, ledgerFile(folder), this.#config.spool.fsync === 'seal')
    if (ledger.damaged) this.#deps.log.error('the ledger of a sink cannot be read: its counts begin again, and records may be delivered twice', { sink: this.#config.name })
    this.#counted.clear()
    this.#row.accepted = ledger.records - (ledger.entry.boot.id === boot ? ledger.entry.boot.records : 0)
    this.#show(ledger)
    return ledger
  }

  /** Records of this boot are in the rows of the threads that wrote them. */
  #added({ id, boot, records }: SegmentName, { part }: Entry): void {
    if (boot === this.#place.boot || this.#counted.has(id)) return
    this.#counted.add(id)
    this.#row.accepted += records - (part?.id === id ? part.records : 0)
  }

  #countDropped(ledger: Ledger, names: readonly SegmentName[]): void {
    for (let at = 0; at < names.length; at += MAX_FILES) {
      const some = names.slice(at, at + MAX_FILES)
      const count = (of: readonly SegmentName[]): number => of.reduce((sum, { records }) => sum + records, 0)
      const own = some.filter(({ boot }) => boot === this.#place.boot)
      this.#commit(ledger, { dropped: this.#plus(ledger, { dropped_oldest: count(some) }) }, some, count(own))
    }
  }

  #countTallies(ledger: Ledger, files: readonly string[]): void {
    for (const file of files.slice(0, MAX_FILES)) {
      const counts = readTally(this.#files, join(this.#place.folder, file)) ?? []
      const more = Object.fromEntries(counts.map((count, i) => [DROP_REASONS[i], count]))
      const dropped = this.#plus(ledger, more)
      ledger.commit({ dropped, done: [...this.#done(ledger), file] })
      this.#row.accepted += counts.reduce((sum, count) => sum + count, 0)
      this.#show(ledger)
      this.#backlog.remove(file)
    }
  }

  // ---------------------------------------------------------------- delivering

  async #open(): Promise<Sink> {
    const { create, clock, log } = this.#deps
    const sink = await create(this.#config, { clock, log })
    try {
      const state = await sink.open(this.#ledger!.entry.state)
      if (state) this.#commit(this.#ledger!, { state }, [], 0)
    } catch (error) {
      await sink.close().catch(() => undefined)
      throw error
    }
    return sink
  }

  #due(all: boolean): boolean {
    const [oldest] = this.#backlog.segments
    if (oldest === undefined) return false
    const { rows, bytes, wait_ms } = this.#sink!.batch
    return all || wait_ms === 0 || this.#deps.clock.now() - oldest.since >= wait_ms || this.#backlog.bytes >= bytes || this.#backlog.records >= rows
  }

  /** @returns false: not now */
  async #deliver(sink: Sink): Promise<boolean> {
    const ledger = this.#ledger!
    const records = this.#parcel.fill(sink.batch, ledger.entry.part)
    const outcome = records.length === 0 ? { delivered: 0, rejected: 0, error: null } : checked(await sink.deliver(records), records.length)
    const { delivered, rejected, state, error } = outcome
    const { finished, torn, own } = this.#parcel.consume(delivered + rejected, this.#place.boot)
    const counts = { delivered: ledger.entry.delivered + delivered, dropped: this.#plus(ledger, { rejected, torn }), part: this.#parcel.part }
    if (finished.length > 0 || delivered + rejected > 0 || state !== undefined) this.#commit(ledger, state === undefined ? counts : { ...counts, state }, finished, own)
    if (error !== null) {
      this.#pause(error)
      return false
    }
    if (this.#failures > 0) this.#deps.log.info('the sink takes records again', { sink: this.#config.name })
    this.#failures = 0
    if (delivered > 0) this.#lastDelivery = this.#deps.clock.wall()
    return true
  }

  async #rotate(all: boolean): Promise<void> {
    this.#rotated = this.#deps.clock.now()
    const state = await this.#sink!.rotate?.(all)
    if (state !== undefined) this.#commit(this.#ledger!, { state }, [], 0)
  }

  /** Commits, then removes. @param own how many of the records that it counts this boot wrote */
  #commit(ledger: Ledger, change: Partial<Omit<Entry, 'commits' | 'done' | 'boot'>>, files: readonly SegmentName[], own: number): void {
    const { boot } = ledger.entry
    const before = boot.id === this.#place.boot ? boot.records : 0
    ledger.commit({ ...change, done: [...this.#done(ledger), ...files.map(({ id }) => id)], boot: { id: this.#place.boot, records: before + own } })
    this.#show(ledger)
    for (const name of files) {
      this.#backlog.forget(name.id)
      this.#counted.delete(name.id)
      this.#backlog.remove(fileOf(name))
    }
  }

  /** What the ledger goes on naming. All of it is removed by now; that this outlives a loss of power, too, is only made sure of now and then. */
  #done({ entry: { done } }: Ledger): readonly string[] {
    if (done.length < MAX_FILES) return done
    this.#parcel.flush(this.#place.folder)
    return []
  }

  #plus({ entry: { dropped } }: Ledger, more: Partial<Record<DropReason, number>>): Record<DropReason, number> {
    return Object.fromEntries(DROP_REASONS.map((reason) => [reason, dropped[reason] + (more[reason] ?? 0)])) as Record<DropReason, number>
  }

  #show({ entry }: Ledger): void {
    for (const [i, reason] of DROP_REASONS.entries()) this.#row.setDropped(i, entry.dropped[reason])
    this.#row.delivered = entry.delivered
  }

  // ---------------------------------------------------------------- failing

  /** Whatever was begun is forgotten: the folder and the ledger say how far it came. */
  async #failed(error: unknown): Promise<void> {
    this.#pause(error)
    this.#parcel.empty()
    if (this.#ledger?.unsure === true) this.#forget()
    await this.#closeSink()
  }

  /** The next look reads the ledger and the folder again. */
  #forget(): void {
    this.#ledger?.close()
    this.#ledger = null
    this.#backlog.reset()
    this.#changes = -1
  }

  #pause(error: unknown): void {
    const { clock, log, random } = this.#deps
    const delivery = 'delivery' in this.#config ? this.#config.delivery : BACKOFF
    this.#lastError = error instanceof Error ? error.message : codeOf(error)
    if (this.#failures === 0) log.error('records cannot be delivered; they wait in the spool', { sink: this.#config.name, reason: this.#lastError })
    this.#retryAt = clock.now() + backoff(this.#failures, delivery.backoff_ms, delivery.max_backoff_ms, random())
    this.#failures++
  }

  async #closeSink(): Promise<void> {
    const sink = this.#sink
    this.#sink = null
    await sink?.close().catch((error: unknown) => this.#deps.log.warn('a sink could not be closed', { sink: this.#config.name, reason: codeOf(error) }))
  }
}

function checked(outcome: Delivery, records: number): Delivery {
  const { delivered, rejected } = outcome
  if (Number.isInteger(delivered) && Number.isInteger(rejected) && delivered >= 0 && rejected >= 0 && delivered + rejected <= records) return outcome
  throw new Error(`the sink says that it dealt with ${delivered} + ${rejected} of ${records} records`)
}
