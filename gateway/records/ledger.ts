/**
 * What became of the records of one sink, committed in one write: counts, the state of the sink, and which segments are done. Segments are
 * removed after the commit that names them, so a crash in between neither loses nor repeats them.
 *
 * The file has two slots of fixed size that are written in turn, so that a commit works on a full disk (it is what makes room there) and a torn
 * write leaves the slot before. Layout of a slot, little-endian: u32 length | u32 CRC-32 | JSON. The valid one with the higher `commits` counts.
 */
import { crc32 } from 'node:zlib'
import { FRAME_BYTES, frameAt } from './codec.ts'
import { codeOf, type Files, writeAll } from './files.ts'
import { DROP_REASONS, type DropReason } from './record.ts'
import type { SinkState } from './sink.ts'

const SLOT_BYTES = 128 << 10
const SLOTS = 2

export interface Entry {
  /** Commits so far. */
  readonly commits: number
  readonly delivered: number
  readonly dropped: Readonly<Record<DropReason, number>>
  readonly state: SinkState | null
  /** Ids of segments and tallies that are in the counts, and not known to be removed. */
  readonly done: readonly string[]
  /** The segment of which only the first records are in the counts. */
  readonly part: { readonly id: string; readonly records: number } | null
  /** How many records in the counts are of segments that this boot wrote. */
  readonly boot: { readonly id: string; readonly records: number }
}

const NOTHING: Entry = { commits: 0, delivered: 0, dropped: Object.fromEntries(DROP_REASONS.map((reason) => [reason, 0])) as Record<DropReason, number>, state: null, done: [], part: null, boot: { id: '', records: 0 } }

export class Ledger {
  readonly #files: Files
  readonly #fd: number
  readonly #sync: boolean
  #entry: Entry
  #unsure = false
  /** The file was there and had nothing to read. */
  readonly damaged: boolean

  /** @param sync commits are on the disk, not only in the kernel, when `commit` returns @throws what the system says */
  constructor(files: Files, path: string, sync: boolean) {
    this.#files = files
    this.#sync = sync
    const bytes = files.existsSync(path) ? files.readFileSync(path) : null
    const entries = bytes === null ? [] : slots(bytes)
    this.#entry = entries.reduce((newest, entry) => (entry.commits > newest.commits ? entry : newest), NOTHING)
    // The very first commit may have been torn: then the other slot was never written.
    this.damaged = entries.length === 0 && bytes !== null && halves(bytes).every((slot) => slot.some((byte) => byte !== 0))
    this.#fd = files.openSync(path, bytes === null ? 'w+' : 'r+')
    if (bytes?.length !== SLOTS * SLOT_BYTES) this.#make()
  }

  get entry(): Entry {
    return this.#entry
  }
  /** A commit failed on its way to the disk: only the file says whether it counts. */
  get unsure(): boolean {
    return this.#unsure
  }

  /** Of all records in the counts. */
  get records(): number {
    return this.#entry.delivered + DROP_REASONS.reduce((sum, reason) => sum + this.#entry.dropped[reason], 0)
  }

  /** @throws what the system says, or that the entry is too large; then the entry before stays the one that counts */
  commit(change: Partial<Omit<Entry, 'commits'>>): void {
    const next: Entry = { ...this.#entry, ...change, commits: this.#entry.commits + 1 }
    const payload = Buffer.from(JSON.stringify(next))
    if (payload.length + FRAME_BYTES > SLOT_BYTES) throw new Error('the state of the sink is too large for the ledger')
    const slot = Buffer.alloc(FRAME_BYTES + payload.length)
    slot.writeUInt32LE(payload.length, 0)
    slot.writeUInt32LE(crc32(payload), 4)
    payload.copy(slot, FRAME_BYTES)
    this.#unsure = true
    writeAll(this.#files, this.#fd, slot, (next.commits % SLOTS) * SLOT_BYTES)
    if (this.#sync) this.#files.fdatasyncSync(this.#fd)
    this.#unsure = false
    this.#entry = next
  }

  /** Never throws: what was committed is where it is. */
  close(): void {
    try {
      this.#files.closeSync(this.#fd)
    } catch {
      // A file that cannot be closed has nothing left to write.
    }
  }

  /** Takes the room on the disk that all commits will need. */
  #make(): void {
    try {
      writeAll(this.#files, this.#fd, Buffer.alloc(SLOTS * SLOT_BYTES), 0)
    } catch (error) {
      this.#files.closeSync(this.#fd)
      throw new Error(`the ledger could not be made (${codeOf(error)})`, { cause: error })
    }
  }
}

function halves(bytes: Buffer): Buffer[] {
  return Array.from({ length: SLOTS }, (_, i) => bytes.subarray(i * SLOT_BYTES, (i + 1) * SLOT_BYTES))
}

function slots(bytes: Buffer): Entry[] {
  return halves(bytes)
    .map((slot) => frameAt(slot, 0))
    .filter((payload) => payload !== null)
    .map((payload) => ({ ...NOTHING, ...(JSON.parse(payload.toString()) as Entry) }))
}
