/**
 * Did the level of a stream change, and in which direction? CUSUM of standardised values, Page–Hinkley of raw ones.
 *
 * Idea: Page (1954). CUSUM adds up what exceeds an allowance k (half the shift to be found, in standard deviations) and alarms at h; how often it does so
 * without a change is known: Siegmund's approximation, whose inverse gives h for an alarm budget. Page–Hinkley learns the mean as it goes; as in river 0.26.
 * Error: Siegmund's run length is within 2 % from h = 3. Both assume independent values: with autocorrelation alarms come sooner.
 */

/** 1 = up, -1 = down, 0 = no change told. */
export type Change = -1 | 0 | 1

export class Cusum {
  readonly #k: number
  readonly #h: number
  #up = 0
  #down = 0

  /** @param k allowance and @param h limit, both in standard deviations */
  constructor(k: number, h: number) {
    this.#k = k
    this.#h = h
  }

  /** The larger of the two sums, in standard deviations; alarms above h. */
  get statistic(): number {
    return Math.max(this.#up, this.#down)
  }

  /** All that it knows. */
  get sums(): readonly [up: number, down: number] {
    return [this.#up, this.#down]
  }

  set sums([up, down]: readonly [up: number, down: number]) {
    this.#up = up
    this.#down = down
  }

  /** Begins anew after an alarm. @param z standardised by what is expected */
  update(z: number): Change {
    this.#up = Math.max(0, this.#up + z - this.#k)
    this.#down = Math.max(0, this.#down - z - this.#k)
    if (this.#up <= this.#h && this.#down <= this.#h) return 0
    const change = this.#up > this.#h ? 1 : -1
    this.reset()
    return change
  }

  reset(): void {
    this.#up = 0
    this.#down = 0
  }
}

/** Values until a false alarm of the two-sided CUSUM, on average. */
export function cusumRunLength(k: number, h: number): number {
  // Of one side; the continuous boundary lies 1.166 further out.
  const b = 2 * k * (h + 1.166)
  return (Math.exp(b) - b - 1) / (2 * k * k) / 2
}

/** The limit h whose false alarms are that many values apart on average. @param runLength above 1 */
export function cusumLimit(k: number, runLength: number): number {
  let [low, high] = [0, 1]
  while (cusumRunLength(k, high) < runLength) high *= 2
  for (let i = 0; i < 60; i++) {
    const middle = (low + high) / 2
    if (cusumRunLength(k, middle) < runLength) low = middle
    else high = middle
  }
  return high
}

export interface PageHinkleyOptions {
  /** Values before anything is told. */
  readonly least: number
  /** Deviations from the mean that do not count. */
  readonly delta: number
  readonly threshold: number
  /** What is kept of the sums from one value to the next. */
  readonly alpha: number
  readonly mode: 'up' | 'down' | 'both'
}

/** river's defaults. */
export const PAGE_HINKLEY: PageHinkleyOptions = { least: 30, delta: 0.005, threshold: 50, alpha: 0.9999, mode: 'both' }

export class PageHinkley {
  readonly #options: PageHinkleyOptions
  #count = 0
  #mean = 0
  #rise = 0
  #fall = 0
  #leastRise = Infinity
  #mostFall = -1

  constructor(options: PageHinkleyOptions = PAGE_HINKLEY) {
    this.#options = options
  }

  /** Begins anew after a change. */
  update(x: number): Change {
    const { least, delta, threshold, alpha, mode } = this.#options
    this.#mean += (x - this.#mean) / ++this.#count
    const deviation = x - this.#mean
    this.#rise = alpha * this.#rise + deviation - delta
    this.#fall = alpha * this.#fall + deviation + delta
    this.#leastRise = Math.min(this.#leastRise, this.#rise)
    this.#mostFall = Math.max(this.#mostFall, this.#fall)
    if (this.#count < least) return 0
    const up = mode !== 'down' && this.#rise - this.#leastRise > threshold
    const down = mode !== 'up' && this.#mostFall - this.#fall > threshold
    if (!up && !down) return 0
    this.reset()
    return up ? 1 : -1
  }

  reset(): void {
    this.#count = 0
    this.#mean = 0
    this.#rise = 0
    this.#fall = 0
    this.#leastRise = Infinity
    this.#mostFall = -1
  }
}
