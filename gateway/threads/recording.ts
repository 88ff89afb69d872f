/** Records as the control thread sees them: the boot of this process, the counts of all sinks, the records thread and its replacement. */
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import type { BuildIssue, Config, SinkConfig } from '../../config/config.ts'
import type { Clock } from '../clock.ts'
import type { Registry, RegistryView } from '../metrics.ts'
import type { Log } from '../plugin.ts'
import { Cells, type Counts, makeCells } from '../records/cells.ts'
import { type Lock, newLock } from '../records/lock.ts'
import { bootLock, newBoot, spoolFolder } from '../records/names.ts'
import { DROP_REASONS, type DropReason } from '../records/record.ts'
import type { SinkReport } from '../records/shipper.ts'
import { recordMetrics } from '../vital.ts'
import type { Spawned } from './crew.ts'
import { Link, type RecordsData, type RecordsGrant, type RecordsKeeperOrders, type RecordsOrders } from './messages.ts'

export interface RecordingOptions {
  readonly clock: Clock
  readonly log: Log
  readonly registry: Registry
  spawn(data: RecordsData): Spawned
}

/** What is told of one sink. `accepted = delivered + Σ dropped + pending`, read at one moment. */
export interface SinkRecords {
  readonly sink: string
  readonly kind: SinkConfig['kind']
  readonly accepted: number
  readonly delivered: number
  readonly dropped: Readonly<Record<DropReason, number>>
  readonly pending: { readonly records: number; readonly bytes: number }
  readonly max_bytes: number
  /** null while the records thread does not answer. */
  readonly delivery: Omit<SinkReport, 'sink' | 'kind'> | null
}

/** What `/records` tells. */
export interface RecordsReport {
  readonly sinks: readonly SinkRecords[]
  /** Why the records thread did not answer. */
  readonly error: string | null
}

interface Running {
  readonly worker: Spawned
  readonly link: Link<RecordsKeeperOrders, RecordsOrders>
}

const QUICK_MS = 5_000
/** Less than the admin listener waits, so that it tells the counts and who did not answer. */
const REPORT_MS = 1_500
const FIRST_DELAY_MS = 100
const MAX_DELAY_MS = 30_000
/** Counts are shown once they have what earlier processes left, so that no scrape sees them begin at 0; after this long without, anyway. */
const SHOW_MS = 60_000
/** What is left after the drain is at least this long: a healthy sink takes what waits within it. */
const LEAST_MS = 1_000

export class Recording {
  readonly #options: RecordingOptions
  readonly #metrics
  readonly #cells = new Map<string, SharedArrayBuffer>()
  /** Every sink that there ever was in this process, as it was last. */
  readonly #sinks = new Map<string, SinkConfig>()
  #place: RecordsData | null = null
  #lock: Lock | null = null
  #config: Config | null = null
  #running: Running | null = null
  #view: RegistryView = { series: [], slabs: [] }
  #deaths = 0
  #began = 0
  #ended: Promise<void> | null = null

  constructor(options: RecordingOptions) {
    this.#options = options
    this.#metrics = options.registry.handles(recordMetrics)
  }

  /**
   * What data threads need for the sinks of a configuration; null when it has none. Takes the lock of this boot the first time.
   * @returns a problem when the folder cannot be used
   */
  grant({ sinks, state, threads }: Config): RecordsGrant | BuildIssue | null {
    const names = Object.keys(sinks)
    if (names.length === 0 || state === null) return null
    try {
      this.#place ??= this.#begin(spoolFolder(state))
    } catch (error) {
      return { at: 'state', rule: 'state', message: `records cannot be kept there (${(error as NodeJS.ErrnoException).code ?? 'it cannot be locked'})`, help: 'The folder must be writable, on a file system with locks.' }
    }
    for (const name of names) if (!this.#cells.has(name)) this.#cells.set(name, makeCells(threads))
    return { ...this.#place, cells: Object.fromEntries(names.map((name) => [name, this.#cells.get(name)!])) }
  }

  /** This configuration runs now. */
  runs(config: Config): void {
    this.#config = config
    for (const sink of Object.values(config.sinks)) this.#sinks.set(sink.name, sink)
    if (this.#place === null) return
    if (this.#running === null) this.#began = this.#options.clock.now()
    this.#running ??= this.#spawn(this.#place)
    this.#configure(this.#running)
  }

  /** Shows the counts; of the records thread too. */
  views(): RegistryView[] {
    const late = this.#options.clock.now() - this.#began >= SHOW_MS
    for (const name of this.#sinks.keys()) if (late || new Cells(this.#cells.get(name)!).complete) this.#show(name, this.#counts(name))
    return [this.#view]
  }

  async report(): Promise<RecordsReport> {
    const said = await this.#running?.link.ask('report', [], REPORT_MS).catch((error: Error) => error)
    const error = said instanceof Error ? said.message : null
    return { sinks: this.#sinksWith(said instanceof Error || said === undefined ? [] : said), error }
  }

  #sinksWith(delivery: readonly SinkReport[]): SinkRecords[] {
    return [...this.#sinks.values()].map(({ name, kind, spool }) => {
      const { accepted, delivered, dropped, pending, bytes } = this.#counts(name)
      const { sink: _sink, kind: _kind, ...rest } = delivery.find(({ sink }) => sink === name) ?? {}
      return {
        sink: name, kind, accepted, delivered, dropped: Object.fromEntries(DROP_REASONS.map((reason, i) => [reason, dropped[i]])) as Record<DropReason, number>,
        pending: { records: pending, bytes }, max_bytes: spool.max_bytes, delivery: 'state' in rest ? (rest as Omit<SinkReport, 'sink' | 'kind'>) : null,
      }
    })
  }

  /** The data threads are gone: delivers what there is. Runs once. @param left_ms of the drain */
  finish(left_ms: number): Promise<void> {
    return (this.#ended ??= this.#finish(Math.max(left_ms, LEAST_MS)))
  }

  async #finish(deadline_ms: number): Promise<void> {
    const running = this.#running
    if (running !== null) {
      await running.link.ask('finish', [deadline_ms], deadline_ms + QUICK_MS).catch((error: Error) => this.#options.log.warn('records wait in the spool for the next start', { reason: error.message }))
      await running.worker.terminate()
    }
    this.#lock?.release()
  }

  // ---------------------------------------------------------------- the thread

  #begin(spool: string): RecordsData {
    const boot = newBoot(this.#options.clock)
    mkdirSync(join(spool, 'sinks'), { recursive: true })
    this.#lock = newLock(bootLock(spool, boot))
    return { spool, boot }
  }

  #spawn(place: RecordsData): Running {
    const { clock, spawn } = this.#options
    const worker = spawn(place)
    const link = new Link<RecordsKeeperOrders, RecordsOrders>(worker, clock, { registry: async (view) => void (this.#view = view) })
    let reason = ''
    worker.on('error', (error) => (reason = error instanceof Error ? (error.stack ?? error.message) : String(error)))
    worker.on('exit', (code) => this.#died(place, link, reason === '' ? `it ended with code ${String(code)}` : reason))
    return { worker, link }
  }

  #died(place: RecordsData, link: Running['link'], reason: string): void {
    const { clock, log } = this.#options
    link.gone(`the records thread died: ${reason}`)
    if (this.#ended !== null) return
    const delay_ms = Math.min(FIRST_DELAY_MS * 2 ** this.#deaths, MAX_DELAY_MS)
    this.#deaths++
    log.error('the records thread died and is replaced; records wait in the spool', { reason, replaced_in_ms: delay_ms })
    clock.after(delay_ms, () => {
      if (this.#ended !== null) return
      this.#running = this.#spawn(place)
      this.#configure(this.#running)
    })
  }

  #configure({ link }: Running): void {
    const sinks = Object.values(this.#config!.sinks).map((config) => ({ config, cells: this.#cells.get(config.name)! }))
    void link.ask('configure', [sinks], QUICK_MS).catch((error: Error) => this.#options.log.error('the records thread was not configured', { reason: error.message }))
  }

  // ---------------------------------------------------------------- the counts

  #counts(sink: string): Counts {
    return new Cells(this.#cells.get(sink)!).counts()
  }

  #show(sink: string, { accepted, delivered, dropped, pending, bytes }: Counts): void {
    const metrics = this.#metrics
    const raise = (counter: { readonly value: number; add(count: number): void }, to: number): void => counter.add(to - counter.value)
    raise(metrics.weir_records_accepted_total({ sink }), accepted)
    raise(metrics.weir_records_delivered_total({ sink }), delivered)
    for (const [i, reason] of DROP_REASONS.entries()) raise(metrics.weir_records_dropped_total({ sink, reason }), dropped[i]!)
    metrics.weir_records_pending({ sink }).set(pending)
    metrics.weir_records_spool_bytes({ sink }).set(bytes)
    metrics.weir_records_spool_limit_bytes({ sink }).set(this.#sinks.get(sink)!.spool.max_bytes)
  }
}
