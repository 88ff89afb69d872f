/**
 * How late an event loop is, from a timer that should run every `SAMPLE_MS`.
 *
 * Idea: what a timer is late by is what every request waits that arrives meanwhile. Of the last second's quarters each has its largest
 * lateness, and the delay is the second largest of these: a single pause, of a garbage collection or of a machine that slept, is over
 * when it is seen and delays nobody any more; a loop that has too much to do is late again and again.
 * Layout: one number for each of the last four quarters of a second.
 * Error: a delay is seen up to `SAMPLE_MS` too small.
 */

export const SAMPLE_MS = 20
const QUARTER_MS = 250
const QUARTERS = 4

export class LoopDelay {
  readonly #largest = new Float64Array(QUARTERS)
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
    const turns = quarter - this.#quarter
    for (let i = 1; i <= Math.min(QUARTERS, turns); i++) this.#largest[(this.#quarter + i) % QUARTERS] = 0
    this.#quarter = quarter
    const at = quarter % QUARTERS
    if (late > this.#largest[at]!) this.#largest[at] = late
    return turns > 0
  }

  /** Milliseconds. */
  get delay(): number {
    return this.#largest.toSorted()[QUARTERS - 2]!
  }
}
