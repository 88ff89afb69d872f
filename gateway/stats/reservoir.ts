/**
 * A uniform sample of a stream of unknown length, the same for the same seed.
 *
 * Idea: algorithm L (Li, 1994): how many values are passed over until the next one is kept is drawn, so that most values cost a comparison.
 * Error: none; every value is in the sample with probability size / seen. Randomness: mulberry32, 2³² states, which is no secret.
 */

export class Reservoir<T> {
  readonly items: T[] = []
  readonly #size: number
  #state: number
  #seen = 0
  /** The number of the next value to be kept. */
  #next: number
  #w = 1

  /** @param size values kept, from 1 */
  constructor(size: number, seed: number) {
    this.#size = size
    this.#state = seed | 0
    this.#next = size
    this.#skip()
  }

  get seen(): number {
    return this.#seen
  }

  add(item: T): void {
    const number = this.#seen++
    if (number < this.#size) this.items.push(item)
    else if (number === this.#next) {
      this.items[Math.floor(this.#uniform() * this.#size)] = item
      this.#next++
      this.#skip()
    }
  }

  #skip(): void {
    this.#w *= Math.exp(Math.log(this.#uniform()) / this.#size)
    this.#next += Math.floor(Math.log(this.#uniform()) / Math.log(1 - this.#w))
  }

  /** In (0, 1). */
  #uniform(): number {
    this.#state = (this.#state + 0x6d2b79f5) | 0
    let t = Math.imul(this.#state ^ (this.#state >>> 15), 1 | this.#state)
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
    return (((t ^ (t >>> 14)) >>> 0) + 0.5) / 2 ** 32
  }
}
