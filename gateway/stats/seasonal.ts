/**
 * What a rate usually is at this time of the week (or day), and how much it varies.
 *
 * Idea: a season is cut into slots; of each slot the mean and variance over the last seasons are kept, old ones forgotten by weight. A few
 * seasons say little about one slot's variance, so it is drawn to the average of all slots as if that were `PRIOR` observations more.
 * Layout: per slot the number of seasons, the mean, the mean squared deviation: three doubles a slot.
 * Error: the standard deviation of a forecast includes that of the mean of n seasons, √(1 + 1/n). Nothing is said of a slot seen in fewer than two seasons.
 */

/** Seasons that are remembered at full weight. */
const MEMORY = 8
const PRIOR = 4

export interface Expected {
  readonly mean: number
  /** Of one new value around the mean. */
  readonly sd: number
  /** Seasons this rests on, at most `MEMORY`. */
  readonly seasons: number
}

export class Seasonal {
  readonly #slot_ms: number
  readonly #slots: number
  readonly #seasons: Float64Array
  readonly #means: Float64Array
  readonly #variances: Float64Array
  #open = -Infinity
  #sum = 0
  #count = 0

  /** @param season_ms a week, a day @param slots parts of a season, from 1 */
  constructor(season_ms: number, slots: number) {
    this.#slot_ms = season_ms / slots
    this.#slots = slots
    this.#seasons = new Float64Array(slots)
    this.#means = new Float64Array(slots)
    this.#variances = new Float64Array(slots)
  }

  /** All that it knows: three numbers, then the slots. */
  get numbers(): Float64Array {
    const numbers = new Float64Array(3 + 3 * this.#slots)
    numbers.set([this.#open, this.#sum, this.#count])
    ;[this.#seasons, this.#means, this.#variances].forEach((slots, i) => numbers.set(slots, 3 + i * this.#slots))
    return numbers
  }

  /** @param numbers of another one with as many slots */
  set numbers(numbers: Float64Array) {
    ;[this.#open, this.#sum, this.#count] = [numbers[0]!, numbers[1]!, numbers[2]!]
    ;[this.#seasons, this.#means, this.#variances].forEach((slots, i) => slots.set(numbers.subarray(3 + i * this.#slots, 3 + (i + 1) * this.#slots)))
  }

  /** Values of one slot of one season are averaged; it counts when the next one begins. @param time milliseconds of the wall clock, ascending; what is late belongs to the open slot */
  add(time: number, value: number): void {
    const slot = Math.floor(time / this.#slot_ms)
    if (slot > this.#open) {
      this.#close()
      this.#open = slot
    }
    this.#sum += value
    this.#count++
  }

  /** @returns null for what was seen in fewer than two seasons */
  expected(time: number): Expected | null {
    const at = this.#indexOf(Math.floor(time / this.#slot_ms))
    const seasons = this.#seasons[at]!
    if (seasons < 2) return null
    const variance = (this.#variances[at]! * seasons + PRIOR * this.#pooled()) / (seasons - 1 + PRIOR)
    return { mean: this.#means[at]!, sd: Math.sqrt(variance * (1 + 1 / seasons)), seasons }
  }

  #close(): void {
    if (this.#count === 0) return
    const at = this.#indexOf(this.#open)
    const seasons = Math.min(MEMORY, this.#seasons[at]! + 1)
    const delta = this.#sum / this.#count - this.#means[at]!
    this.#seasons[at] = seasons
    this.#means[at]! += delta / seasons
    this.#variances[at] = (1 - 1 / seasons) * (this.#variances[at]! + (delta * delta) / seasons)
    this.#sum = 0
    this.#count = 0
  }

  /** Average variance over all slots, unbiased. */
  #pooled(): number {
    let [squares, degrees] = [0, 0]
    for (let i = 0; i < this.#slots; i++) {
      if (this.#seasons[i]! < 2) continue
      squares += this.#variances[i]! * this.#seasons[i]!
      degrees += this.#seasons[i]! - 1
    }
    return squares / degrees
  }

  #indexOf(slot: number): number {
    return ((slot % this.#slots) + this.#slots) % this.#slots
  }
}
