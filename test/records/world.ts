/** A spool and its shipper over a real folder, with a process that can be killed at any call of the file system, and a disk that can be full. */
import fs from 'node:fs'
import { join } from 'node:path'
import type { SinkConfig, SpoolConfig } from '../../config/config.ts'
import type { Clock } from '../../gateway/clock.ts'
import { type Counts, Cells, makeCells } from '../../gateway/records/cells.ts'
import { Encoder } from '../../gateway/records/codec.ts'
import type { Files } from '../../gateway/records/files.ts'
import { DROP_REASONS, type DropReason, type LogRecord } from '../../gateway/records/record.ts'
import { Shipper } from '../../gateway/records/shipper.ts'
import type { Delivery, Sink, SinkState } from '../../gateway/records/sink.ts'
import { Spool } from '../../gateway/records/spool.ts'
import { FakeClock } from '../fake_clock.ts'
import { recorder } from '../plugin_test.ts'

const WRITES = ['openSync', 'writeSync', 'ftruncateSync', 'truncateSync', 'fsyncSync', 'fdatasyncSync', 'closeSync', 'renameSync', 'unlinkSync', 'mkdirSync'] as const

const TALLY_BYTES = 128

/** The file system of one process. */
export class Disk {
  /** Calls that change something until the process is dead; the last of them does half of its work. */
  left = Infinity
  /** Bytes that still fit for what grows; what is written over is always possible. */
  free = Infinity
  /** So many commits of the ledger fail from here on: in the write, or in the sync after it. */
  broken = 0
  readonly #open = new Set<number>()
  readonly files: Files

  constructor() {
    const wrapped: Record<string, unknown> = { ...fs }
    for (const name of WRITES) wrapped[name] = (...args: unknown[]) => this.#call(name, args)
    this.files = wrapped as unknown as Files
  }

  get dead(): boolean {
    return this.left <= 0
  }

  #call(name: (typeof WRITES)[number], args: unknown[]): unknown {
    if (this.dead) throw new Error('the process is dead')
    this.left--
    if (name === 'writeSync') return this.#write(args as [number, Buffer, number, number, number | null])
    if (this.dead && name !== 'openSync') throw new Error('the process was killed')
    if (name === 'fdatasyncSync' && this.#breaks()) throw Object.assign(new Error('EIO: i/o error'), { code: 'EIO' })
    // Tests do not lose power: a sync is a call that may fail, and nothing else.
    if (name === 'fdatasyncSync' || name === 'fsyncSync') return undefined
    const value = (fs[name] as (...args: unknown[]) => unknown)(...args)
    if (name === 'openSync') this.#open.add(value as number)
    if (name === 'closeSync') this.#open.delete(args[0] as number)
    return value
  }

  #breaks(): boolean {
    return this.broken > 0 && this.broken-- > 0
  }

  /** What the kernel does with the files of a dead process. */
  bury(): void {
    for (const fd of this.#open) fs.closeSync(fd)
    this.#open.clear()
  }

  #write([fd, bytes, offset, length, position]: [number, Buffer, number, number, number | null]): number {
    if (position !== null && length > TALLY_BYTES && this.#breaks()) throw Object.assign(new Error('EIO: i/o error'), { code: 'EIO' })
    const fits = position === null ? Math.min(length, this.free) : length
    const taken = this.dead ? Math.floor(fits / 2) : fits
    if (taken > 0) fs.writeSync(fd, bytes, offset, taken, position)
    if (position === null) this.free -= taken
    if (this.dead) throw new Error('the process was killed')
    if (taken === 0) throw Object.assign(new Error('ENOSPC: no space left on device'), { code: 'ENOSPC' })
    return taken
  }
}

/** A sink whose medium outlives every process: exactly once by the rules of `Sink`. */
export class Medium {
  readonly ids: string[] = []
  rows = 4
  wait_ms = 0
  /** What `deliver` does; null = takes everything. */
  mood: ((records: readonly LogRecord[]) => Delivery) | null = null
  opened = 0

  sink(): Sink {
    return {
      batch: { rows: this.rows, bytes: 1 << 20, wait_ms: this.wait_ms },
      open: async (state: SinkState | null) => {
        this.opened++
        this.ids.length = (state?.['length'] as number | undefined) ?? 0
        return state === null ? { length: 0 } : undefined
      },
      deliver: async (records) => {
        const outcome = this.mood === null ? { delivered: records.length, rejected: 0, error: null } : this.mood(records)
        this.ids.push(...records.slice(0, outcome.delivered).map(({ record_id }) => record_id))
        return { ...outcome, state: { length: this.ids.length } }
      },
      probe: async () => undefined,
      close: async () => undefined,
    }
  }
}

export const SPOOL: SpoolConfig = { max_bytes: 64 << 10, segment_bytes: 4096, segment_ms: 1000, fsync: 'seal' }

/** One process: threads, their spools and a shipper. */
export class Process {
  readonly disk = new Disk()
  readonly cells: SharedArrayBuffer
  readonly spools: Spool[]
  readonly shipper: Shipper
  readonly log = recorder()
  readonly boot: string
  /** A thread that is dead has no timers any more. */
  readonly #alive: { yes: boolean }[] = []
  readonly #folder: string
  readonly #threads: number
  readonly #clock: FakeClock
  readonly #spool: SpoolConfig

  constructor(folder: string, boot: string, medium: Medium, { clock = new FakeClock(), threads = 2, spool = SPOOL, isDead = (other: string) => other !== boot, cells = makeCells(threads) }: { clock?: FakeClock; threads?: number; spool?: SpoolConfig; isDead?: (boot: string) => boolean; cells?: SharedArrayBuffer } = {}) {
    this.boot = boot
    this.#folder = folder
    this.#threads = threads
    this.#clock = clock
    this.#spool = spool
    this.cells = cells
    this.spools = Array.from({ length: threads }, (_, thread) => this.makeSpool(thread))
    const config: SinkConfig = { kind: 'jsonl', name: 'lake', path: '/nowhere', gzip: false, max_file_bytes: 1, rotate_ms: 1000, spool }
    this.shipper = new Shipper(config, { folder, boot, cells }, { clock, log: this.log.log, create: () => medium.sink(), isDead, random: () => 0, files: this.disk.files })
  }

  makeSpool(thread: number): Spool {
    const place = { sink: 'lake', folder: this.#folder, boot: this.boot, thread, threads: this.#threads }
    const alive = (this.#alive[thread] = { yes: true })
    const clock = this.#clock
    const own: Clock = { now: () => clock.now(), wall: () => clock.wall(), after: (ms, run) => clock.after(ms, () => alive.yes && run()), every: (ms, run) => clock.every(ms, () => alive.yes && run()) }
    return new Spool(place, this.#spool, this.cells, { clock: own, log: this.log.log, encoder: new Encoder(), files: this.disk.files })
  }

  /** The thread is dead, and another one in its place. */
  replace(thread: number): void {
    this.#alive[thread]!.yes = false
    this.spools[thread] = this.makeSpool(thread)
  }

  get counts(): Counts {
    return new Cells(this.cells).counts()
  }

  dropped(reason: DropReason): number {
    return this.counts.dropped[DROP_REASONS.indexOf(reason)]!
  }
}

export function listing(folder: string): string[] {
  return fs.existsSync(folder) ? fs.readdirSync(folder).filter((file) => !file.endsWith('.tally') && file !== 'ledger').toSorted() : []
}

export function sizeOf(folder: string): number {
  return listing(folder).reduce((sum, file) => sum + fs.statSync(join(folder, file)).size, 0)
}
