/**
 * Sums of counts by time: slots of cells in memory, each stamped with the number of its stretch of time (its begin / its length).
 *
 * A slot is taken by its stamp alone, never by how long ago it was written: after a jump of the clock old slots are simply not asked for, or
 * begun anew. One writer; whoever reads reads slots that are no longer written to.
 */

/** Stamp and spare: cells are a multiple of 8 bytes away from the begin of a slot. */
const STAMP_WORDS = 2

export class Ring {
  readonly #memory: Uint32Array
  readonly #slots: number
  readonly #width: number

  /** @param memory at least `ringBytes` from `offset` on */
  constructor(memory: SharedArrayBuffer, offset: number, slots: number, words: number) {
    this.#width = words + STAMP_WORDS
    this.#slots = slots
    this.#memory = new Uint32Array(memory, offset, slots * this.#width)
  }

  /** Cells of this stamp, zeroed when they were of another one. @param stamp > 0, of 32 bits */
  open(stamp: number): Uint32Array {
    const start = (stamp % this.#slots) * this.#width
    const cells = this.#memory.subarray(start + STAMP_WORDS, start + this.#width)
    if (this.#memory[start] !== stamp) {
      cells.fill(0)
      this.#memory[start] = stamp
    }
    return cells
  }

  /** null: nothing was counted then, or it is too long ago. */
  at(stamp: number): Uint32Array | null {
    const start = (stamp % this.#slots) * this.#width
    return this.#memory[start] === stamp ? this.#memory.subarray(start + STAMP_WORDS, start + this.#width) : null
  }

  stampOf(slot: number): number {
    return this.#memory[slot * this.#width]!
  }

  get slots(): number {
    return this.#slots
  }

  /** Adds the cells of the stamps from..to (both included) that are there. @returns how many were */
  sum(from: number, to: number, into: Uint32Array): number {
    let found = 0
    for (let stamp = from; stamp <= to; stamp++) {
      const cells = this.at(stamp)
      if (cells === null) continue
      found++
      addInto(into, cells)
    }
    return found
  }
}

export function ringBytes(slots: number, words: number): number {
  return slots * (words + STAMP_WORDS) * 4
}

export function addInto(into: Uint32Array, cells: Uint32Array): void {
  for (let i = 0; i < into.length; i++) into[i]! += cells[i]!
}
