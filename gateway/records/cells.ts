/**
 * The counts of one sink as all threads see them: a row of doubles a data thread and one, the last, for the records thread. Each row has
 * one writer; the rows of a thread that died are carried on by the one in its place. Sums over the rows are what is shown:
 *
 *   accepted = Σ accepted      dropped[r] = Σ dropped[r]      delivered = the last row's      pending = accepted − delivered − Σ dropped
 *
 * The last row begins with what earlier boots accepted, delivered and dropped, so that counts go on over a restart.
 */
import { DROP_REASONS, type DropReason } from './record.ts'

const ACCEPTED = 0
const DELIVERED = 1
const WRITTEN = 2
const FREED = 3
const SEQ = 4
const OPEN_RECORDS = 5
const CHANGES = 6
const QUEUED = 7
const DROPPED = 8
const COMPLETE = 15
const ROW = 16

/** Its place among `DROP_REASONS`. */
export const reasonIndex = (reason: DropReason): number => DROP_REASONS.indexOf(reason)

export function makeCells(threads: number): SharedArrayBuffer {
  return new SharedArrayBuffer((threads + 1) * ROW * Float64Array.BYTES_PER_ELEMENT)
}

export interface Counts {
  readonly accepted: number
  readonly delivered: number
  /** In the order of `DROP_REASONS`. */
  readonly dropped: readonly number[]
  readonly pending: number
  /** Of files that wait. */
  readonly bytes: number
}

/** One row, for its writer. */
export class Row {
  readonly #cells: Float64Array

  /** @param index a data thread's, or −1: the records thread's */
  constructor(cells: SharedArrayBuffer, index: number) {
    const all = new Float64Array(cells)
    const at = index < 0 ? all.length - ROW : index * ROW
    this.#cells = all.subarray(at, at + ROW)
  }

  get accepted(): number {
    return this.#cells[ACCEPTED]!
  }
  set accepted(count: number) {
    this.#cells[ACCEPTED] = count
  }
  set delivered(count: number) {
    this.#cells[DELIVERED] = count
  }
  /** Bytes that this thread added to the spool. */
  get written(): number {
    return this.#cells[WRITTEN]!
  }
  set written(bytes: number) {
    this.#cells[WRITTEN] = bytes
  }
  /** Bytes that this thread took out of the spool. */
  get freed(): number {
    return this.#cells[FREED]!
  }
  set freed(bytes: number) {
    this.#cells[FREED] = bytes
  }
  /** Of the newest segment. */
  get seq(): number {
    return this.#cells[SEQ]!
  }
  set seq(seq: number) {
    this.#cells[SEQ] = seq
  }
  /** Records of the open segment that are in `accepted`. */
  get openRecords(): number {
    return this.#cells[OPEN_RECORDS]!
  }
  set openRecords(records: number) {
    this.#cells[OPEN_RECORDS] = records
  }
  /** A segment was sealed or given up. */
  changed(): void {
    this.#cells[CHANGES]!++
  }
  /** Segments that wait for the sink. */
  set queued(segments: number) {
    this.#cells[QUEUED] = segments
  }
  /** What earlier processes left is in the counts. */
  complete(): void {
    this.#cells[COMPLETE] = 1
  }
  dropped(reason: number): number {
    return this.#cells[DROPPED + reason]!
  }
  setDropped(reason: number, count: number): void {
    this.#cells[DROPPED + reason] = count
  }
}

/** All rows, to read. */
export class Cells {
  readonly #cells: Float64Array

  constructor(cells: SharedArrayBuffer) {
    this.#cells = new Float64Array(cells)
  }

  /** Of files in the spool, all threads together. */
  get bytes(): number {
    return this.#sum(WRITTEN) - this.#sum(FREED)
  }
  /** Grows whenever a data thread seals a segment or gives one up. */
  get changes(): number {
    return this.#sum(CHANGES)
  }
  get queued(): number {
    return this.#sum(QUEUED)
  }
  /** What earlier processes left is in the counts. */
  get complete(): boolean {
    return this.#sum(COMPLETE) > 0
  }

  /** What has left is read before what came, so that a record on its way is pending, never missing. */
  counts(): Counts {
    const delivered = this.#sum(DELIVERED)
    const dropped = DROP_REASONS.map((_, reason) => this.#sum(DROPPED + reason))
    const accepted = this.#sum(ACCEPTED)
    return { accepted, delivered, dropped, pending: accepted - delivered - dropped.reduce((sum, count) => sum + count, 0), bytes: this.bytes }
  }

  #sum(column: number): number {
    let sum = 0
    for (let at = column; at < this.#cells.length; at += ROW) sum += this.#cells[at]!
    return sum
  }
}
