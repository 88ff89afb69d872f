/**
 * Counts of windows in memory that all threads see: every thread writes its own part, the sum is exact.
 *
 * A ring of slots, each stamped with the number of its window (time / length). Layout of a slot, 4-byte words: stamp, rows, requests,
 * requests that could not be read, rows with columns nobody told of, three spare; rows by feature and kind; then two doubles a feature, the
 * least and the greatest number out of range; then the first texts of a feature that its domain does not hold, 64 bytes each: length and UTF-8.
 */
import { KINDS } from './anomalies.ts'

export const SLOTS = 4
const HEAD = 8
/** Texts kept of a feature. */
export const TEXTS = 4
const TEXT = 64
const [STAMP, ROWS, REQUESTS, UNREADABLE, NEW] = [0, 1, 2, 3, 4]

/** Sums of a window, or of several. */
export interface Sums {
  rows: number
  requests: number
  unreadable: number
  unknown: number
  /** By feature and kind (`cellOf`). */
  readonly counts: Float64Array
  readonly least: Float64Array
  readonly greatest: Float64Array
  /** By feature: some values that its domain does not hold. */
  readonly texts: readonly string[][]
}

export function emptySums(features: number): Sums {
  return {
    rows: 0, requests: 0, unreadable: 0, unknown: 0, counts: new Float64Array(features * KINDS), least: new Float64Array(features).fill(Infinity), greatest: new Float64Array(features).fill(-Infinity),
    texts: Array.from({ length: features }, () => []),
  }
}

/** Bytes of one thread's part. */
export function windowBytes(features: number): number {
  return SLOTS * slotBytes(features)
}

function slotBytes(features: number): number {
  const words = HEAD + features * KINDS
  return (words + (words % 2)) * 4 + features * (16 + TEXTS * TEXT)
}

/** One slot of one thread's part. */
class Slot {
  readonly words: Uint32Array
  readonly extremes: Float64Array
  readonly #texts: Uint8Array

  constructor(memory: SharedArrayBuffer, index: number, features: number) {
    const start = index * slotBytes(features)
    const words = HEAD + features * KINDS
    this.words = new Uint32Array(memory, start, words)
    const doubles = start + (words + (words % 2)) * 4
    this.extremes = new Float64Array(memory, doubles, features * 2)
    this.#texts = new Uint8Array(memory, doubles + features * 16, features * TEXTS * TEXT)
  }

  begin(stamp: number): void {
    this.words.fill(0)
    for (let i = 0; i < this.extremes.length; i += 2) {
      this.extremes[i] = Infinity
      this.extremes[i + 1] = -Infinity
    }
    this.#texts.fill(0)
    this.words[STAMP!] = stamp
  }

  textsOf(feature: number): string[] {
    const texts: string[] = []
    for (let i = 0; i < TEXTS; i++) {
      const at = (feature * TEXTS + i) * TEXT
      const length = this.#texts[at]!
      if (length > 0) texts.push(Buffer.from(this.#texts.subarray(at + 1, at + 1 + length)).toString())
    }
    return texts
  }

  /** @param text as `cut` makes it */
  putText(feature: number, index: number, text: string): void {
    const bytes = Buffer.from(text)
    const at = (feature * TEXTS + index) * TEXT
    this.#texts.set(bytes, at + 1)
    this.#texts[at] = bytes.length
  }
}

/** As many whole characters as fit. */
function cut(text: string): string {
  let short = text.slice(0, TEXT - 1)
  while (Buffer.byteLength(short) > TEXT - 1) short = Array.from(short).slice(0, -1).join('')
  return short
}

function slotsOf(memory: SharedArrayBuffer, features: number): Slot[] {
  return Array.from({ length: SLOTS }, (_, i) => new Slot(memory, i, features))
}

/** The part of this thread. */
export class WindowWriter {
  readonly #slots: readonly Slot[]
  #slot: Slot
  /** What is in the slot's texts. */
  #texts: readonly string[][]
  readonly #features: number

  constructor(memory: SharedArrayBuffer, features: number) {
    this.#features = features
    this.#texts = emptySums(features).texts
    this.#slots = slotsOf(memory, features)
    this.#slot = this.#slots[0]!
  }

  /** What is counted from here on belongs to this window. @param stamp > 0, of 32 bits */
  turn(stamp: number): void {
    const slot = this.#slots[stamp % SLOTS]!
    if (slot.words[STAMP!] !== stamp) slot.begin(stamp)
    this.#slot = slot
    this.#texts = Array.from({ length: this.#features }, (_, feature) => slot.textsOf(feature))
  }

  request(rows: number, unknown: boolean): void {
    const { words } = this.#slot
    words[ROWS!]! += rows
    words[REQUESTS!]!++
    if (unknown) words[NEW!]! += rows
  }

  unreadable(): void {
    const { words } = this.#slot
    words[REQUESTS!]!++
    words[UNREADABLE!]!++
  }

  count(cell: number, rows: number): void {
    this.#slot.words[HEAD + cell]! += rows
  }

  outOfRange(feature: number, value: number): void {
    const { extremes } = this.#slot
    if (value < extremes[2 * feature]!) extremes[2 * feature] = value
    if (value > extremes[2 * feature + 1]!) extremes[2 * feature + 1] = value
  }

  /** The first ones of a window stay. */
  unexpected(feature: number, text: string): void {
    const known = this.#texts[feature]!
    if (known.length === TEXTS || text === '') return
    const short = cut(text)
    if (known.includes(short)) return
    this.#slot.putText(feature, known.length, short)
    known.push(short)
  }
}

/** All parts, as whoever judges reads them: once no thread writes to the window any more. */
export class WindowReader {
  readonly #parts: readonly (readonly Slot[])[]
  readonly #features: number

  constructor(parts: readonly SharedArrayBuffer[], features: number) {
    this.#parts = parts.map((memory) => slotsOf(memory, features))
    this.#features = features
  }

  /** Adds what all threads counted in the window. */
  add(stamp: number, into: Sums): void {
    for (const slots of this.#parts) {
      const slot = slots[stamp % SLOTS]!
      if (slot.words[STAMP!] === stamp) this.#addSlot(slot, into)
    }
  }

  #addSlot(slot: Slot, into: Sums): void {
    const { words, extremes } = slot
    into.rows += words[ROWS!]!
    into.requests += words[REQUESTS!]!
    into.unreadable += words[UNREADABLE!]!
    into.unknown += words[NEW!]!
    for (let cell = 0; cell < into.counts.length; cell++) into.counts[cell]! += words[HEAD + cell]!
    for (let feature = 0; feature < this.#features; feature++) {
      into.least[feature] = Math.min(into.least[feature]!, extremes[2 * feature]!)
      into.greatest[feature] = Math.max(into.greatest[feature]!, extremes[2 * feature + 1]!)
      const texts = into.texts[feature]!
      for (const text of slot.textsOf(feature)) if (texts.length < TEXTS && !texts.includes(text)) texts.push(text)
    }
  }
}
