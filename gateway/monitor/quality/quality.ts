/**
 * Predictions and labels of one route: joined, counted by the window of the prediction, on every data thread. What is made of the counts is
 * `review.ts`, on one of them. Knows no HTTP: scores, labels and times in, outcomes out.
 */
import { ndcg } from '../../stats/ndcg.ts'
import type { Entry, Labels } from './entries.ts'
import { type Inserted, WaitingIds } from './ids.ts'
import type { Receipt } from './receipt.ts'
import { Ring } from './ring.ts'
import { type Setup, windowsOf } from './setup.ts'
import { Tally } from './tally.ts'

/** Memory of the engine; both zeroed when new. */
export interface Memory {
  /** `idBytes`, of all threads. */
  readonly ids: SharedArrayBuffer
  /** `ringBytes`, of this thread alone. */
  readonly ring: SharedArrayBuffer
}

/** What became of labels. */
export interface Outcome {
  accepted: number
  unknown: number
  duplicate: number
  late: number
}

/** Told of every label that was counted. @param delay milliseconds from prediction to label */
export type OnLabel = (delay: number) => void

export class Quality {
  readonly tally: Tally
  readonly #setup: Setup
  readonly #ids: WaitingIds
  readonly #ring: Ring
  readonly #labels: Labels
  readonly #onLabel: OnLabel
  /** Scores of one row, or of all items of a ranking. */
  #scratch: Float64Array

  /** @param maxIds entries of `memory.ids` */
  constructor(setup: Setup, memory: Memory, maxIds: number, labels: Labels, onLabel: OnLabel) {
    this.#setup = setup
    this.tally = new Tally(setup)
    this.#ids = new WaitingIds(memory.ids, maxIds, this.tally.width, setup.keep)
    this.#ring = new Ring(memory.ring, windowsOf(setup), this.tally.layout.size * (setup.groups.length + 1))
    this.#labels = labels
    this.#onLabel = onLabel
    this.#scratch = new Float64Array(this.tally.width)
  }

  /** Ids of the table. A look at all of them. */
  ids(now: number): { readonly waiting: number; readonly labelled: number } {
    return this.#ids.count(now)
  }

  /**
   * One answer, that will be labelled row by row (a ranking: as a whole).
   * @param scores row by row @param group 0 = none of those listed @param told of every row
   */
  predict(id: string, scores: ArrayLike<number>, rows: number, time: number, group: number, told: (outcome: Inserted | 'invalid') => void): void {
    const { width } = this.tally
    const ranking = this.#setup.kind === 'ranking'
    for (let row = 0; row < rows; row++) {
      if (!this.tally.accepts(scores, row * width)) {
        told('invalid')
        // A ranking with a hole is none.
        if (ranking) return
        continue
      }
      const outcome = this.#ids.insert(rowId(id, row), time, group, scores, row * width, time)
      told(outcome)
      if (outcome === 'repeated' || (ranking && row > 0)) continue
      const at = this.#cells(time)
      if (at !== null) this.tally.predicted(at, this.#base(group), scores, row * width)
    }
  }

  /**
   * @param receipt verified, of this route @param group of the receipt
   * @returns what is wrong with the label, or null: `into` tells what became of it
   */
  label(entry: Entry, receipt: Receipt | null, group: number, now: number, into: Outcome): string | null {
    if (this.#setup.kind === 'ranking') return this.#ranking(entry, receipt, group, now, into)
    const list = Array.isArray(entry.label) ? (entry.label as readonly unknown[]) : null
    if (list !== null && entry.row !== null) return 'label: expected one value where `row` is given'
    const values: number[] = []
    for (const one of list ?? [entry.label]) {
      // In a list, null is a row whose label is not known.
      const value = list !== null && one === null ? NaN : this.#labels.read(one)
      if (typeof value === 'string') return value
      values.push(value)
    }
    const first = entry.row ?? 0
    for (const [i, value] of values.entries()) if (!Number.isNaN(value)) this.#row(entry, receipt, group, first + i, value, now, into)
    return null
  }

  /** Whether this is one of the predictions kept here. */
  knows(entry: Entry): boolean {
    return this.#ids.peek(rowId(entry.id, entry.row ?? 0), this.#room(this.tally.width), 0)
  }

  #row(entry: Entry, receipt: Receipt | null, group: number, row: number, label: number, now: number, into: Outcome): void {
    const { width } = this.tally
    const id = rowId(receipt?.id ?? entry.id, row)
    const relabel = this.#setup.duplicates === 'last'
    const found = this.#ids.claim(id, now, relabel)
    if (found === 'unknown' && receipt !== null) return this.#brought(entry, receipt, group, row, label, now, into)
    if (found === 'unknown' || found === 'late') return void into[found]++
    if (this.#ids.at < 0) return void into.duplicate++
    const { time, label: before } = this.#ids
    const scores = this.#room(width)
    for (let i = 0; i < width; i++) scores[i] = this.#ids.score(i)
    const base = this.#base(this.#ids.group)
    const cells = this.#cells(time)
    if (cells !== null && found === 'again') this.tally.labelled(cells, base, scores, 0, before, -1)
    if (cells !== null) this.tally.labelled(cells, base, scores, 0, label, 1)
    this.#ids.settle(cells === null ? NaN : label)
    this.#count(found === 'again' ? 'duplicate' : cells === null ? 'late' : 'accepted', entry, time, now, into)
  }

  /** A receipt whose id is not in the table: of another instance, or evicted, or from before a restart. */
  #brought(entry: Entry, { id, time, rows, scores }: Receipt, group: number, row: number, label: number, now: number, into: Outcome): void {
    if (row >= rows) return void into.unknown++
    if (time < now - this.#setup.keep) return void into.late++
    const cells = this.#cells(time)
    if (cells === null) return void into.late++
    const offset = row * this.tally.width
    if (this.#ids.enter(rowId(id, row), time, group, scores, offset, now, label) !== 'fresh') return void into.duplicate++
    this.tally.labelled(cells, this.#base(group), scores, offset, label, 1)
    this.#count('accepted', entry, time, now, into)
  }

  #ranking(entry: Entry, receipt: Receipt | null, group: number, now: number, into: Outcome): string | null {
    if (!Array.isArray(entry.label) || entry.row !== null) return 'label: expected a list, one relevance an item of the ranking'
    const relevances: number[] = []
    for (const one of entry.label) {
      const value = this.#labels.read(one)
      if (typeof value === 'string') return value
      relevances.push(value)
    }
    const id = receipt?.id ?? entry.id
    const scores = this.#scoresOf(id, receipt, relevances.length)
    if (scores === null) {
      into.unknown++
      return null
    }
    const gains = this.#setup.exponential ? relevances.map((relevance) => 2 ** relevance - 1) : relevances
    const value = ndcg(scores, gains, this.#setup.k)
    // Which relevances there were before is not remembered: the last of several labels cannot replace them.
    const found = this.#ids.claim(id, now, false)
    const time = found === 'fresh' ? this.#ids.time : (receipt?.time ?? now)
    const cells = this.#cells(time)
    let outcome: keyof Outcome = found === 'again' ? 'duplicate' : found === 'fresh' ? 'accepted' : found
    if (found === 'fresh') {
      group = this.#ids.group
      this.#ids.settle(cells === null ? NaN : 1)
    } else if (found === 'unknown' && receipt !== null) {
      outcome = time < now - this.#setup.keep ? 'late' : this.#ids.enter(id, time, group, scores, 0, now, 1) === 'fresh' ? 'accepted' : 'duplicate'
    }
    if (outcome === 'accepted' && cells === null) outcome = 'late'
    if (outcome === 'accepted') {
      this.tally.labelled(cells!, this.#base(group), scores, 0, value, 1)
      this.tally.relevances(cells!, this.#base(group), relevances, 1)
    }
    this.#count(outcome, entry, time, now, into)
    return null
  }

  /** Of all items; null when one is not there. */
  #scoresOf(id: string, receipt: Receipt | null, items: number): Float64Array | null {
    const scores = this.#room(items)
    let known = 0
    while (known < items && this.#ids.peek(rowId(id, known), scores, known)) known++
    if (known === items && items > 0) return scores
    return receipt !== null && receipt.rows === items ? Float64Array.from(receipt.scores) : null
  }

  #count(outcome: keyof Outcome, entry: Entry, time: number, now: number, into: Outcome): void {
    into[outcome]++
    if (outcome === 'accepted') this.#onLabel(Math.max(0, (entry.time ?? now) - time))
  }

  #cells(time: number): Float64Array | null {
    return this.#ring.open(Math.floor(time / this.#setup.window))
  }

  /** The first cell of a slot is its stamp. */
  #base(group: number): number {
    return 1 + group * this.tally.layout.size
  }

  #room(length: number): Float64Array {
    if (this.#scratch.length < length) this.#scratch = new Float64Array(length)
    return this.#scratch.length === length ? this.#scratch : this.#scratch.subarray(0, length)
  }
}

/** The first row of a request is the request. */
function rowId(id: string, row: number): string {
  return row === 0 ? id : `${id}#${row}`
}
