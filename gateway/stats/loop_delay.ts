/**
 * How late an event loop is, from a timer that should run every `SAMPLE_MS`.
 *
 * Idea: what a timer is late by is what every request waits that arrives meanwhile. The delay of the last second is its second largest
 * lateness, the 98th percentile of an idle second's 50 samples (and still a percentile of a busy one, which has fewer): a single
 * pause, of a garbage collection or of a machine that slept, is over when it is seen and delays nobody any more.
 * Layout: the two largest of each of the last four quarters of a second.
 * Error: a delay is seen up to `SAMPLE_MS` too small.
 */

export const SAMPLE_MS = 20
const QUARTER_MS = 250
const QUARTERS = 4

export class LoopDelay {
  /** First and second of each quarter. */
  readonly #largest = new Float64Array(QUARTERS * 2)
  #last: number
  #quarter: number

  /** @param now milliseconds */
  constructor(now: number) {
    this.#last = now
    this.#quarter = Math.floor(now / QUARTER_MS)
  }

  /** The timer ran. @returns true when a quarter is over and `delay` may have changed */
  sample(now: number): boolean {
    const late = Math.max(0, now - this.#last - SAMPLE_MS)
    this.#last = now
    const quarter = Math.floor(now / QUARTER_MS)
    const turned = quarter !== this.#quarter
    for (let i = 1; i <= Math.min(QUARTERS, quarter - this.#quarter); i++) this.#keep((this.#quarter + i) % QUARTERS, 0, 0)
    this.#quarter = quarter
    const at = quarter % QUARTERS
    const first = this.#largest[at * 2]!
    const second = this.#largest[at * 2 + 1]!
    if (late > first) this.#keep(at, late, first)
    else if (late > second) this.#keep(at, first, late)
    return turned
  }

  /** Milliseconds. */
  get delay(): number {
    const sorted = this.#largest.toSorted()
    return sorted[sorted.length - 2]!
  }

  #keep(quarter: number, first: number, second: number): void {
    this.#largest[quarter * 2] = first
    this.#largest[quarter * 2 + 1] = second
  }
}
