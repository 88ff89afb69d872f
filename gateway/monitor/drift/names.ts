/**
 * Which values a profile does not list, as far as they are frequent: a few texts with counts a feature, in memory all threads see.
 *
 * Idea: Misra and Gries (1982) with `ENTRIES` counters: whatever more than 1 / (ENTRIES + 1) of the unlisted values are is among them. The
 * exact number of unlisted values is a cell of its own; names serve people. A text is cut after `TEXT` bytes.
 * Layout of an entry: count (4 bytes), length (1), text. Of a slot: the entries of every feature.
 */
const ENTRIES = 6
const TEXT = 43
const ENTRY = 48

const encoder = new TextEncoder()

export class Names {
  readonly #bytes: Uint8Array
  readonly #counts: Uint32Array
  readonly #slots: number
  readonly #features: number
  readonly #text = new Uint8Array(TEXT)

  constructor(memory: SharedArrayBuffer, offset: number, slots: number, features: number) {
    const length = Names.bytes(slots, features)
    this.#bytes = new Uint8Array(memory, offset, length)
    this.#counts = new Uint32Array(memory, offset, length / 4)
    this.#slots = slots
    this.#features = features
  }

  static bytes(slots: number, features: number): number {
    return slots * features * ENTRIES * ENTRY
  }

  clear(stamp: number): void {
    const start = this.#at(stamp, 0)
    this.#bytes.fill(0, start, start + this.#features * ENTRIES * ENTRY)
  }

  add(stamp: number, feature: number, text: string): void {
    // Never half a character: encodeInto stops before one that does not fit.
    const { written } = encoder.encodeInto(text, this.#text)
    const start = this.#at(stamp, feature)
    let free = -1
    for (let at = start; at < start + ENTRIES * ENTRY; at += ENTRY) {
      if (this.#counts[at >> 2] === 0) free = at
      else if (this.#holds(at, written)) return void this.#counts[at >> 2]!++
    }
    if (free >= 0) this.#put(free, written)
    else for (let at = start; at < start + ENTRIES * ENTRY; at += ENTRY) this.#counts[at >> 2]!--
  }

  /** @param found called with each text and a lower bound of its count */
  read(stamp: number, feature: number, found: (text: string, count: number) => void): void {
    const start = this.#at(stamp, feature)
    for (let at = start; at < start + ENTRIES * ENTRY; at += ENTRY) {
      const count = this.#counts[at >> 2]!
      if (count > 0) found(Buffer.from(this.#bytes.subarray(at + 5, at + 5 + this.#bytes[at + 4]!)).toString(), count)
    }
  }

  #at(stamp: number, feature: number): number {
    return ((stamp % this.#slots) * this.#features + feature) * ENTRIES * ENTRY
  }

  #holds(at: number, length: number): boolean {
    if (this.#bytes[at + 4] !== length) return false
    for (let i = 0; i < length; i++) if (this.#bytes[at + 5 + i] !== this.#text[i]) return false
    return true
  }

  #put(at: number, length: number): void {
    this.#bytes[at + 4] = length
    this.#bytes.set(this.#text.subarray(0, length), at + 5)
    this.#counts[at >> 2] = 1
  }
}
