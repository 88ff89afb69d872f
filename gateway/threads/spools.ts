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
      const known = this.#spools.get(name)
      const place = { sink: name, folder: sinkFolder(spool, name), boot, thread: this.#thread, threads }
      if (known === undefined) this.#spools.set(name, new Spool(place, config, cells[name]!, this.#deps))
      else known.configure(config)
    }
  }

  /** @returns null: the configuration that is being built has no such sink */
  records(sink: string, onFull: OnFull): Records | null {
    return this.#known.has(sink) ? this.#spools.get(sink)!.records(onFull) : null
  }

  close(): void {
    for (const spool of this.#spools.values()) spool.close()
  }
}
