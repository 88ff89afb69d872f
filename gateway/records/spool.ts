/**
 * The spool of one sink in one data thread: appends records to a segment of its own, one synchronous write each, so that what `append`
 * accepted is in the kernel when it returns and outlives the process. What it cannot keep it counts, on disk too (`drops.ts`).
 */
import { join } from 'node:path'
import type { SpoolConfig } from '../../config/config.ts'
import type { Clock, Timer } from '../clock.ts'
import type { Log } from '../plugin.ts'
import { Cells, reasonIndex, Row } from './cells.ts'
import { Encoder } from './codec.ts'
import { Drops } from './drops.ts'
import { codeOf, type Files, systemFiles, writeAll } from './files.ts'
import { byAge, fileOf, openName, type SegmentName, segmentOf, tallyFile } from './names.ts'
import type { LogRecord, OnFull, Records } from './record.ts'
import { moveTo, takeOver } from './recovery.ts'
import { Room } from './room.ts'
import { header } from './segment.ts'

export interface SpoolDeps {
  readonly clock: Clock
  readonly log: Log
  readonly encoder: Encoder
  readonly files?: Files
}

export interface SpoolPlace {
  readonly sink: string
  /** The folder of the sink. */
  readonly folder: string
  readonly boot: string
  readonly thread: number
  /** Data threads of the process. */
  readonly threads: number
}

const [SPOOL_FULL, DISK, TOO_LARGE] = [reasonIndex('spool_full'), reasonIndex('disk'), reasonIndex('too_large')]
/** After a failure of the disk records are dropped for this long before it is asked again: a full disk must not make every answer slow. */
const DISK_PAUSE_MS = 100
/** While so many segments wait, age is no reason to make another one: a sink that is dead for days leaves large files, not many. */
const MANY_SEGMENTS = 128
const MIN_SEGMENT_BYTES = 4096

export class Spool {
  readonly #place: SpoolPlace
  readonly #clock: Clock
  readonly #log: Log
  readonly #files: Files
  readonly #encoder: Encoder
  readonly #row: Row
  readonly #cells: Cells
  readonly #drops: Drops
  readonly #room: Room
  #config: SpoolConfig
  #maxBytes = 0
  #segmentBytes = 0
  #fd = -1
  #open: SegmentName | null = null
  /** Bytes of the open segment up to its last whole frame. */
  #size = 0
  #age: Timer | null = null
  /** When the disk may be asked again; 0 = it works. */
  #pausedUntil = 0

  /** Takes over what a thread of the same number left in this process. @throws when the folder cannot be made */
  constructor(place: SpoolPlace, config: SpoolConfig, cells: SharedArrayBuffer, { clock, log, encoder, files = systemFiles }: SpoolDeps) {
    this.#place = place
    this.#clock = clock
    this.#log = log
    this.#files = files
    this.#encoder = encoder
    this.#row = new Row(cells, place.thread)
    this.#cells = new Cells(cells)
    this.#config = config
    this.#room = new Room(clock, this.#cells)
    this.configure(config)
    files.mkdirSync(place.folder, { recursive: true })
    this.#drops = new Drops(place.sink, files, join(place.folder, tallyFile(place.boot, place.thread)), this.#row, { clock, log })
    this.#adopt()
  }

  /** New limits; they hold from the next record. */
  configure(config: SpoolConfig): void {
    this.#config = config
    this.#maxBytes = config.max_bytes
    // Half of the room is for sealed segments, so that there is an oldest one that can be given up.
    this.#segmentBytes = Math.max(MIN_SEGMENT_BYTES, Math.min(config.segment_bytes, Math.floor(config.max_bytes / (2 * this.#place.threads))))
    this.#room.limit = config.max_bytes
  }

  /** As one route writes it. */
  records(onFull: OnFull): Records {
    const room = onFull === 'block' ? () => this.#room.wait() : () => null
    return { append: (record) => this.append(record, onFull), room }
  }

  /** @returns false: it was dropped, and counted by its reason */
  append(record: LogRecord, onFull: OnFull): boolean {
    if (this.#pausedUntil > 0 && this.#clock.now() < this.#pausedUntil) return this.#drop(DISK)
    const frame = this.#encoder.encode(record)
    if (frame === null || frame.length > this.#maxBytes / 2) return this.#drop(TOO_LARGE)
    if (!this.#fits(frame.length, onFull)) return this.#drop(SPOOL_FULL)
    if (!this.#write(frame) && !(onFull === 'drop_oldest' && this.#dropOldest() && this.#write(frame))) return this.#drop(DISK)
    this.#row.openRecords++
    this.#row.accepted++
    if (this.#size >= this.#segmentBytes) this.seal()
    return true
  }

  /** What is open becomes a segment that can be delivered. */
  seal(): void {
    const open = this.#open
    if (open === null) return
    this.#age?.cancel()
    this.#open = null
    const records = this.#row.openRecords
    try {
      this.#files.closeSync(this.#fd)
      moveTo(this.#files, this.#place.folder, open, { ...open, records, stage: 'seg' })
    } catch (error) {
      this.#log.error('a segment of the spool could not be sealed; its records come after a restart', { sink: this.#place.sink, reason: codeOf(error) })
    }
    this.#row.openRecords = 0
    this.#row.changed()
  }

  /** Seals and lets go of the files; a later `append` opens new ones. */
  close(): void {
    this.seal()
    this.#room.close()
    this.#drops.close()
  }

  // ---------------------------------------------------------------- writing

  #fits(bytes: number, onFull: OnFull): boolean {
    while (this.#cells.bytes + bytes > this.#maxBytes) if (onFull !== 'drop_oldest' || !this.#dropOldest()) return false
    return true
  }

  /** @returns false: nothing of it is in the segment */
  #write(frame: Buffer): boolean {
    try {
      if (this.#open === null) this.#begin()
      writeAll(this.#files, this.#fd, frame, null)
    } catch (error) {
      this.#failed(error)
      return false
    }
    this.#size += frame.length
    this.#row.written += frame.length
    if (this.#pausedUntil > 0) this.#log.info('the spool can be written again', { sink: this.#place.sink })
    this.#pausedUntil = 0
    return true
  }

  #begin(): void {
    const { boot, thread, folder, sink } = this.#place
    this.#row.seq++
    const open = openName(boot, this.#row.seq, thread)
    const head = header(sink)
    const path = join(folder, fileOf(open))
    const fd = this.#files.openSync(path, 'ax')
    try {
      writeAll(this.#files, fd, head, null)
    } catch (error) {
      this.#files.closeSync(fd)
      this.#files.unlinkSync(path)
      throw error
    }
    this.#fd = fd
    this.#open = open
    this.#size = head.length
    this.#row.written += head.length
    this.#armAge()
  }

  #armAge(): void {
    this.#age = this.#clock.after(this.#config.segment_ms, () => (this.#cells.queued < MANY_SEGMENTS ? this.seal() : this.#armAge()))
  }

  /** Cuts off what was written of a frame; when that fails too, the segment ends here: its name tells how many records it has. */
  #failed(error: unknown): void {
    const { sink } = this.#place
    if (this.#pausedUntil === 0) this.#log.error('the spool cannot be written: records are dropped and counted until it can', { sink, reason: codeOf(error) })
    this.#pausedUntil = this.#clock.now() + DISK_PAUSE_MS
    if (this.#open === null) return
    try {
      this.#files.ftruncateSync(this.#fd, this.#size)
    } catch {
      this.seal()
    }
  }

  /** @returns false: there is no sealed segment of this process that the shipper does not have */
  #dropOldest(): boolean {
    const { folder, boot } = this.#place
    try {
      const sealed = this.#files.readdirSync(folder).map(segmentOf).filter((name) => name !== null)
      for (const name of sealed.filter(({ owner, stage }) => owner === boot && stage === 'seg').toSorted(byAge)) if (this.#giveUp(name)) return true
    } catch (error) {
      this.#log.error('the oldest segment of the spool could not be given up', { sink: this.#place.sink, reason: codeOf(error) })
    }
    return false
  }

  /** Its name is enough to count it by; the records thread does, and removes it. */
  #giveUp(name: SegmentName): boolean {
    const { folder } = this.#place
    const path = join(folder, fileOf(name))
    const bytes = this.#files.statSync(path, { throwIfNoEntry: false })?.size
    const dropped: SegmentName = { ...name, stage: 'drop' }
    if (bytes === undefined || !moveTo(this.#files, folder, name, dropped)) return false
    this.#row.freed += bytes
    this.#row.changed()
    this.#files.truncateSync(join(folder, fileOf(dropped)), 0)
    return true
  }

  #drop(reason: number): false {
    this.#drops.add(reason)
    return false
  }

  /** What a thread that died left open. */
  #adopt(): void {
    const { folder, boot, thread } = this.#place
    for (const name of this.#files.readdirSync(folder).map(segmentOf)) if (name?.boot === boot && name.thread === thread && name.stage === 'open') takeOver(this.#files, folder, name, this.#row)
    this.#row.openRecords = 0
  }
}
