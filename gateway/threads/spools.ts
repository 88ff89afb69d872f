/** The spools of one data thread: one a sink, for all routes and generations. */
import type { Config } from '../../config/config.ts'
import type { Clock } from '../clock.ts'
import type { Log } from '../plugin.ts'
import { Encoder } from '../records/codec.ts'
import { sinkFolder } from '../records/names.ts'
import type { OnFull, Records } from '../records/record.ts'
import { Spool } from '../records/spool.ts'
import type { RecordsGrant } from './messages.ts'

export class Spools {
  readonly #deps: { readonly clock: Clock; readonly log: Log; readonly encoder: Encoder }
  readonly #thread: number
  readonly #spools = new Map<string, Spool>()
  #known: ReadonlySet<string> = new Set()

  constructor(thread: number, clock: Clock, log: Log) {
    this.#thread = thread
    this.#deps = { clock, log, encoder: new Encoder() }
  }

  /** Makes those that are new; a sink that left keeps its spool, since exchanges of an older generation may still write. @throws when a folder cannot be made */
  open({ sinks, threads }: Config, { spool, boot, cells }: RecordsGrant): void {
    this.#known = new Set(Object.keys(sinks))
    for (const { name, spool: config } of Object.values(sinks)) {
      const place = { sink: name, folder: sinkFolder(spool, name), boot, thread: this.#thread, threads }
      if (!this.#spools.has(name)) this.#spools.set(name, new Spool(place, config, cells[name]!, this.#deps))
    }
  }

  /** The configuration runs: its limits hold. */
  commit({ sinks }: Config): void {
    for (const { name, spool } of Object.values(sinks)) this.#spools.get(name)?.configure(spool)
  }

  /** @returns null: the configuration that is being built has no such sink */
  records(sink: string, onFull: OnFull): Records | null {
    return this.#known.has(sink) ? this.#spools.get(sink)!.records(onFull) : null
  }

  close(): void {
    for (const spool of this.#spools.values()) spool.close()
  }
}
