/**
 * Predictions that wait for their labels: a hash table in memory that all data threads share, without locks.
 *
 * Layout: sets of 8 entries: a key (the first 64 bits of the id's SHA-256; 32 further bits choose the set), a word, and doubles: time of
 * the prediction (Unix ms), label, scores: 28 + 8 · scores bytes an entry. The word is `turn(23) | group(6) | state(3)`; the turn counts the ids an
 * entry has had, so that a swap of the word fails when the entry became another id's meanwhile. An entry is written by whoever swapped its state
 * to WRITING or CLAIMED, and by nobody else: a label is counted once, whatever threads it comes to.
 * Error: two ids are taken for one with probability 2⁻⁹⁶ a pair. An entry older than `keep` is free. When a set is full its oldest entry makes
 * room: with as many ids as entries about one in seven, at 70 % one in a hundred.
 */
import { hash } from 'node:crypto'
import { CLAIMED, EMPTY, entriesOf, GROUP_SHIFT, LABEL, LABELLED, MAX_GROUPS, PENDING, SCORES, STATE, tableOf, TIME, TURN, WAYS, WRITING } from './table.ts'

/** Swaps that may be lost to other threads before a prediction is given up. */
const MAX_TRIES = 16

export type Inserted = 'kept' | 'evicted' | 'repeated' | 'lost'
export type Found = 'fresh' | 'again' | 'late' | 'unknown'

/** @param ids rounded up to whole sets @param width scores of an entry */
export function idBytes(ids: number, width: number): number {
  return entriesOf(ids) * (8 + 8 * (SCORES + width) + 4)
}

export class WaitingIds {
  readonly #sets: number
  readonly #width: number
  readonly #keep: number
  /** Two words an entry. */
  readonly #keys: Int32Array
  readonly #states: Int32Array
  readonly #values: Float64Array
  #high = 0
  #low = 0
  #first = 0
  /** The entry that was inserted last, and its word (before that, the word of the entry that is chosen). */
  #inserted = -1
  #word = 0
  /** The entry that `find` found. */
  at = -1

  /** @param memory `idBytes(ids, width)` long, zeroed when new @param keep milliseconds an id waits */
  constructor(memory: SharedArrayBuffer, ids: number, width: number, keep: number) {
    const { keys, values, states } = tableOf(memory, ids, width)
    this.#sets = states.length / WAYS
    this.#width = width
    this.#keep = keep
    this.#keys = keys
    this.#values = values
    this.#states = states
  }

  /** A prediction. @param scores `width` of them, from `offset` */
  insert(id: string, time: number, group: number, scores: ArrayLike<number>, offset: number, now: number, state = PENDING, label = NaN): Inserted {
    this.#aim(id)
    for (let attempt = 0; attempt < MAX_TRIES; attempt++) {
      if (this.#own(now) >= 0) return 'repeated'
      const at = this.#room(now)
      if (at < 0) return 'lost'
      // As it was when it was chosen: what it has become since may be worth keeping.
      const word = this.#word
      const evicts = (word & STATE) === PENDING && !this.#old(at, now)
      if (Atomics.compareExchange(this.#states, at, word, (word & ~STATE) | WRITING) !== word) continue
      this.#write(at, time, scores, offset, label)
      this.#inserted = at
      this.#word = ((word & -TURN) + TURN) | (group << GROUP_SHIFT) | state
      Atomics.store(this.#states, at, this.#word)
      return evicts ? 'evicted' : 'kept'
    }
    return 'lost'
  }

  /**
   * Looks for an id to label it. With `fresh`, and with `again` where `relabel`, the entry `at` is the caller's until `settle`.
   * An id that another thread labels at this moment is found `again`, and not given.
   */
  claim(id: string, now: number, relabel: boolean): Found {
    this.#aim(id)
    this.at = -1
    for (let attempt = 0; attempt < MAX_TRIES; attempt++) {
      const at = this.#own(now)
      if (at < 0) return this.#own(-Infinity) < 0 ? 'unknown' : 'late'
      const word = Atomics.load(this.#states, at)
      const state = word & STATE
      // Read after the word: while that stands, so does the key.
      if (state < PENDING || !this.#is(at)) continue
      if (state !== PENDING && !(state === LABELLED && relabel)) return 'again'
      if (Atomics.compareExchange(this.#states, at, word, (word & ~STATE) | CLAIMED) !== word) continue
      this.at = at
      return state === PENDING ? 'fresh' : 'again'
    }
    return 'again'
  }

  /**
   * An id that came with all that is known of it (a receipt), to be labelled once: as `claim` of an id that is not there yet.
   * Two threads may do so at once: both entries are seen by both before either counts, and the one that stands first in the set wins.
   */
  enter(id: string, time: number, group: number, scores: ArrayLike<number>, offset: number, now: number, label: number): Found {
    const inserted = this.insert(id, time, group, scores, offset, now, CLAIMED, label)
    if (inserted === 'repeated') return 'again'
    if (inserted === 'lost') return 'fresh'
    const mine = this.#inserted
    for (let at = this.#first; at < this.#first + WAYS; at++) {
      const word = Atomics.load(this.#states, at)
      if (at === mine || (word & STATE) < PENDING || !this.#is(at) || this.#old(at, now)) continue
      // What changed under this look is looked at again: it may have given way, been counted, or become another id's.
      if (at > mine && (word & STATE) === CLAIMED) {
        if (Atomics.compareExchange(this.#states, at, word, word & ~STATE) !== word) at--
        continue
      }
      if (Atomics.load(this.#states, at) !== word) {
        at--
        continue
      }
      this.#swap(mine, EMPTY)
      return 'again'
    }
    return this.#swap(mine, LABELLED) ? 'fresh' : 'again'
  }

  /** @returns false when the entry that was inserted is no longer this thread's */
  #swap(at: number, state: number): boolean {
    const word = this.#word
    return Atomics.compareExchange(this.#states, at, word, (word & ~STATE) | state) === word
  }

  /** The claimed entry is labelled. @param label NaN: it is not after all, and waits on as it did */
  settle(label: number): void {
    const at = this.at
    const word = Atomics.load(this.#states, at) & ~STATE
    const before = this.label
    if (!Number.isNaN(label)) this.#values[at * (SCORES + this.#width) + LABEL] = label
    this.at = -1
    Atomics.store(this.#states, at, word | (Number.isNaN(label) && Number.isNaN(before) ? PENDING : LABELLED))
  }

  /** Copies the scores of an id without claiming it. @returns false when it is not there */
  peek(id: string, into: Float64Array, offset: number): boolean {
    this.#aim(id)
    const at = this.#own(-Infinity)
    if (at < 0) return false
    const from = at * (SCORES + this.#width) + SCORES
    for (let i = 0; i < this.#width; i++) into[offset + i] = this.#values[from + i]!
    return this.#is(at)
  }

  get time(): number {
    return this.#values[this.at * (SCORES + this.#width) + TIME]!
  }

  /** NaN before there is one. */
  get label(): number {
    return this.#values[this.at * (SCORES + this.#width) + LABEL]!
  }

  get group(): number {
    return (Atomics.load(this.#states, this.at) >> GROUP_SHIFT) & (MAX_GROUPS - 1)
  }

  score(i: number): number {
    return this.#values[this.at * (SCORES + this.#width) + SCORES + i]!
  }

  /** Entries that wait for a label, or were labelled, and are not too old; a look at all of them. */
  count(now: number): { readonly waiting: number; readonly labelled: number } {
    let [waiting, labelled] = [0, 0]
    for (let at = 0; at < this.#states.length; at++) {
      const state = this.#states[at]! & STATE
      if (state === EMPTY || this.#old(at, now)) continue
      if (state === LABELLED) labelled++
      else waiting++
    }
    return { waiting, labelled }
  }

  #aim(id: string): void {
    // A text of bytes is made six times faster than a buffer.
    const digest = hash('sha256', id, 'latin1')
    this.#high = wordOf(digest, 0)
    this.#low = wordOf(digest, 4)
    this.#first = ((wordOf(digest, 8) >>> 0) % this.#sets) * WAYS
  }

  #is(at: number): boolean {
    return Atomics.load(this.#keys, 2 * at) === this.#high && Atomics.load(this.#keys, 2 * at + 1) === this.#low
  }

  /** The entry of the id; −1 = none that is younger than `keep`. */
  #own(now: number): number {
    for (let at = this.#first; at < this.#first + WAYS; at++) {
      const state = Atomics.load(this.#states, at) & STATE
      if (state >= PENDING && this.#is(at) && !this.#old(at, now)) return at
    }
    return -1
  }

  /** An empty entry of the set, an old one, or the oldest, with its word in `#word`; −1 while others write to all of them. */
  #room(now: number): number {
    let oldest = -1
    let least = Infinity
    for (let at = this.#first; at < this.#first + WAYS; at++) {
      const word = Atomics.load(this.#states, at)
      const state = word & STATE
      if (state === EMPTY) {
        this.#word = word
        return at
      }
      const time = this.#values[at * (SCORES + this.#width) + TIME]!
      // What is labelled only keeps a second label from counting: it goes before what still waits for its first.
      const rank = this.#old(at, now) ? -Infinity : state === LABELLED ? time - 1e15 : time
      if ((state !== PENDING && state !== LABELLED) || rank >= least) continue
      least = rank
      oldest = at
      this.#word = word
    }
    return oldest
  }

  #old(at: number, now: number): boolean {
    return this.#values[at * (SCORES + this.#width) + TIME]! < now - this.#keep
  }

  #write(at: number, time: number, scores: ArrayLike<number>, offset: number, label: number): void {
    const from = at * (SCORES + this.#width)
    Atomics.store(this.#keys, 2 * at, this.#high)
    Atomics.store(this.#keys, 2 * at + 1, this.#low)
    this.#values[from + TIME] = time
    this.#values[from + LABEL] = label
    for (let i = 0; i < this.#width; i++) this.#values[from + SCORES + i] = scores[offset + i]!
  }
}

function wordOf(bytes: string, at: number): number {
  return bytes.charCodeAt(at) | (bytes.charCodeAt(at + 1) << 8) | (bytes.charCodeAt(at + 2) << 16) | (bytes.charCodeAt(at + 3) << 24)
}
