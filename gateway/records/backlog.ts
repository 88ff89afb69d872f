/** The segments of one sink that wait for delivery: found in its folder, taken over from processes that are dead, oldest first. */
import { join } from 'node:path'
import type { Clock } from '../clock.ts'
import { Row } from './cells.ts'
import type { Files } from './files.ts'
import { byAge, fileOf, type SegmentName, segmentOf, tallyOf } from './names.ts'
import { moveTo, sealOrphan, takeOver } from './recovery.ts'

export interface Segment {
  /** Its stage is `seg` or `ship`. */
  name: SegmentName
  readonly bytes: number
  /** When it was found, of the monotonic clock. */
  readonly since: number
  /** When it was written last, Unix milliseconds. */
  readonly written: number
}

export interface BacklogDeps {
  readonly files: Files
  readonly folder: string
  readonly boot: string
  readonly cells: SharedArrayBuffer
  readonly clock: Clock
  /** Whether the process of another boot is gone. */
  isDead(boot: string): boolean
}

/** What a look at the folder found beside segments that wait. */
export interface Found {
  /** Files in the ledger already: to be removed. */
  readonly done: readonly string[]
  /** Given up for newer ones: to be counted and removed. */
  readonly dropped: readonly SegmentName[]
  /** Files of dead boots: to be counted and removed. */
  readonly tallies: readonly string[]
}

export class Backlog {
  readonly #deps: BacklogDeps
  readonly #row: Row
  #segments: Segment[] = []

  constructor(deps: BacklogDeps) {
    this.#deps = deps
    this.#row = new Row(deps.cells, -1)
  }

  /** Oldest first. */
  get segments(): readonly Segment[] {
    return this.#segments
  }
  get records(): number {
    return this.#segments.reduce((sum, { name }) => sum + name.records, 0)
  }
  get bytes(): number {
    return this.#segments.reduce((sum, { bytes }) => sum + bytes, 0)
  }

  /**
   * Looks at the folder.
   * @param isDone whether an id is in the ledger @param final the data threads of this process are gone: what they left open is sealed
   * @param added called for every segment that was not known
   * @throws what the system says
   */
  look(isDone: (id: string) => boolean, final: boolean, added: (name: SegmentName) => void): Found {
    const { files, folder } = this.#deps
    const found = { done: [] as string[], dropped: [] as SegmentName[], tallies: [] as string[] }
    const known = new Set(this.#segments.map(({ name }) => name.id))
    for (const file of files.readdirSync(folder)) {
      const tally = tallyOf(file)
      const segment = segmentOf(file)
      if (isDone(segment?.id ?? file)) found.done.push(file)
      else if (tally !== null && tally.boot !== this.#deps.boot && this.#deps.isDead(tally.boot)) found.tallies.push(file)
      else if (segment !== null && (segment.stage === 'drop' || !known.has(segment.id))) this.#sort(this.#own(segment, final), known, found.dropped, added)
    }
    this.#segments.sort((a, b) => byAge(a.name, b.name))
    this.#row.queued = this.#segments.length
    return found
  }

  /** @returns false: it was given up meanwhile */
  claim(segment: Segment): boolean {
    if (segment.name.stage === 'ship') return true
    const ship: SegmentName = { ...segment.name, stage: 'ship' }
    if (!moveTo(this.#deps.files, this.#deps.folder, segment.name, ship)) return false
    segment.name = ship
    return true
  }

  /** Everything is to be found again. */
  reset(): void {
    this.#segments = []
  }

  /** It waits no more. */
  forget(id: string): void {
    this.#segments = this.#segments.filter(({ name }) => name.id !== id)
    this.#row.queued = this.#segments.length
  }

  /** Takes a file out of the folder, and its bytes out of the spool. */
  remove(file: string): void {
    const { files, folder, boot } = this.#deps
    const path = join(folder, file)
    const bytes = files.statSync(path, { throwIfNoEntry: false })?.size
    if (bytes === undefined) return
    files.unlinkSync(path)
    const name = segmentOf(file)
    // What was given up is out of the count since then, and what a dead process did not come to remove was never in it.
    if (name?.owner === boot && name.stage !== 'drop') this.#row.freed += bytes
  }

  #sort(name: SegmentName | null, known: ReadonlySet<string>, dropped: SegmentName[], added: (name: SegmentName) => void): void {
    if (name === null) return
    const { files, folder, clock } = this.#deps
    if (name.stage === 'drop') {
      this.forget(name.id)
      dropped.push(name)
    } else {
      const { size, mtimeMs } = files.statSync(join(folder, fileOf(name)))
      this.#segments.push({ name, bytes: size, since: clock.now(), written: mtimeMs })
    }
    if (!known.has(name.id)) added(name)
  }

  /** @returns it as this process's own and sealed; null: there is nothing to do with it */
  #own(name: SegmentName, final: boolean): SegmentName | null {
    const { files, folder, boot, cells, isDead } = this.#deps
    if (name.owner === boot) return name.stage !== 'open' ? name : final ? takeOver(files, folder, name, new Row(cells, name.thread)) : null
    if (!isDead(name.owner)) return null
    const own = name.stage === 'open' ? sealOrphan(files, folder, name, boot) : this.#adopt(name)
    if (own !== null && own.stage !== 'drop') this.#row.written += files.statSync(join(folder, fileOf(own))).size
    return own
  }

  #adopt(name: SegmentName): SegmentName | null {
    const own: SegmentName = { ...name, owner: this.#deps.boot }
    return moveTo(this.#deps.files, this.#deps.folder, name, own) ? own : null
  }
}
