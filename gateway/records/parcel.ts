/** What goes to the sink next: segments that are loaded, and how far their records are dealt with. */
import { join } from 'node:path'
import type { Backlog, Segment } from './backlog.ts'
import { decode } from './codec.ts'
import type { Files } from './files.ts'
import { fileOf, type SegmentName } from './names.ts'
import type { LogRecord } from './record.ts'
import { readSegment } from './segment.ts'
import type { Batch } from './sink.ts'

/** Of one parcel, so that what a commit names fits into the ledger. */
const MAX_SEGMENTS = 256

interface Loaded {
  readonly segment: Segment
  readonly records: readonly LogRecord[]
  /** Bytes of each in the spool. */
  readonly sizes: readonly number[]
  /** Records dealt with. */
  at: number
}

export interface Consumed {
  readonly finished: readonly SegmentName[]
  /** Records of the finished ones that could not be read. */
  readonly torn: number
  /** Records, torn ones included, of segments that this boot wrote. */
  readonly own: number
}

export class Parcel {
  readonly #files: Files
  readonly #folder: string
  readonly #backlog: Backlog
  readonly #sync: boolean
  #loaded: Loaded[] = []

  /** @param sync a segment is on the disk before it is delivered */
  constructor(files: Files, folder: string, backlog: Backlog, sync: boolean) {
    this.#files = files
    this.#folder = folder
    this.#backlog = backlog
    this.#sync = sync
  }

  /** The segment of which a part is dealt with. */
  get part(): { readonly id: string; readonly records: number } | null {
    const [first] = this.#loaded
    return first === undefined || first.at === 0 ? null : { id: first.segment.name.id, records: first.at }
  }

  /**
   * The next records; none when all that is loaded could not be read.
   * @param part as committed @throws what the system says
   */
  fill({ rows, bytes }: Batch, part: { readonly id: string; readonly records: number } | null): LogRecord[] {
    const records: LogRecord[] = []
    let size = 0
    for (let i = 0; i < MAX_SEGMENTS && records.length < rows && size < bytes; i++) {
      const loaded = this.#loaded[i] ?? this.#load(part)
      if (loaded === null) break
      for (let at = loaded.at; at < loaded.records.length && records.length < rows && size < bytes; at++) {
        records.push(loaded.records[at]!)
        size += loaded.sizes[at]!
      }
    }
    return records
  }

  /** The first `count` records of the last `fill` are dealt with, and whatever cannot be read at that place. */
  consume(count: number, boot: string): Consumed {
    const finished: SegmentName[] = []
    let [torn, own, left] = [0, 0, count]
    for (let first = this.#loaded[0]; first !== undefined; first = this.#loaded[0]) {
      const { name } = first.segment
      const step = Math.min(left, first.records.length - first.at)
      first.at += step
      left -= step
      const whole = first.at === first.records.length
      const lost = whole ? Math.max(0, name.records - first.records.length) : 0
      if (name.boot === boot) own += step + lost
      torn += lost
      if (!whole) break
      finished.push(name)
      this.#loaded.shift()
    }
    return { finished, torn, own }
  }

  empty(): void {
    this.#loaded = []
  }

  /** Makes a file, or the names in a folder, outlive a loss of power, if that is wanted. @throws what the system says */
  flush(path: string): void {
    if (!this.#sync) return
    const fd = this.#files.openSync(path, 'r')
    try {
      this.#files.fsyncSync(fd)
    } finally {
      this.#files.closeSync(fd)
    }
  }

  /** @returns null: there is no other */
  #load(part: { readonly id: string; readonly records: number } | null): Loaded | null {
    for (let segment = this.#next(part); segment !== undefined; segment = this.#next(part)) {
      if (!this.#backlog.claim(segment)) {
        this.#backlog.forget(segment.name.id)
        continue
      }
      const { name } = segment
      const loaded = { segment, ...this.#read(name), at: part?.id === name.id ? part.records : 0 }
      this.#loaded.push(loaded)
      return loaded
    }
    return null
  }

  /** What was begun goes first: the ledger knows of one such segment alone. */
  #next(part: { readonly id: string } | null): Segment | undefined {
    const loaded = new Set(this.#loaded.map(({ segment }) => segment))
    const free = (segment: Segment): boolean => !loaded.has(segment)
    const { segments } = this.#backlog
    return segments.find((segment) => segment.name.id === part?.id && free(segment)) ?? segments.find(free)
  }

  #read(name: SegmentName): Pick<Loaded, 'records' | 'sizes'> {
    const path = join(this.#folder, fileOf(name))
    this.flush(path)
    const records: LogRecord[] = []
    const sizes: number[] = []
    for (const payload of readSegment(this.#files, path).payloads.slice(0, name.records)) {
      const record = read(payload)
      if (record === null) continue
      records.push(record)
      sizes.push(payload.length)
    }
    return { records, sizes }
  }
}

/** @returns null: its bytes are intact, and of a layout that this version does not know */
function read(payload: Buffer): LogRecord | null {
  try {
    return decode(payload)
  } catch {
    return null
  }
}
