/**
 * Windows in memory: a ring of slots, each stamped with the number of its window (time / length) and holding the cells of every group. Every
 * data thread writes a ring of its own; sums over the rings are exact, and a window stays open to late labels until its slot is needed.
 */

export class Ring {
  readonly #slots: readonly Float64Array[]

  /** @param memory `ringBytes` long, zeroed when new @param cells of a window, all groups together */
  constructor(memory: SharedArrayBuffer, windows: number, cells: number) {
    this.#slots = Array.from({ length: windows }, (_, i) => new Float64Array(memory, i * 8 * (cells + 1), cells + 1))
  }

  /** The cells of a window from index 1 on, zeroed when it is new; null when a later window has its slot. */
  open(window: number): Float64Array | null {
    const slot = this.#slots[window % this.#slots.length]!
    const stamp = window + 1
    if (slot[0] === stamp) return slot
    if (slot[0]! > stamp) return null
    slot.fill(0)
    slot[0] = stamp
    return slot
  }

  /** One cell of a window; 0 when there is nothing of it. */
  cell(window: number, at: number): number {
    const slot = this.#slots[window % this.#slots.length]!
    return slot[0] === window + 1 ? slot[at + 1]! : 0
  }

  /** Adds the cells of a window. @returns false when there is nothing of it */
  add(window: number, into: Float64Array): boolean {
    const slot = this.#slots[window % this.#slots.length]!
    if (slot[0] !== window + 1) return false
    for (let i = 0; i < into.length; i++) into[i]! += slot[i + 1]!
    return true
  }
}

export function ringBytes(windows: number, cells: number): number {
  return windows * 8 * (cells + 1)
}
