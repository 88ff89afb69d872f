/**
 * A percentile of the last while, in bounded memory.
 *
 * Idea: counts in buckets whose bounds grow by a constant factor γ (DDSketch, Masson et al. 2019), so that the answer is off by a constant share.
 * The window is two halves: when the younger is old enough (and has enough samples, so that a quiet route does not forget), the elder is emptied and
 * becomes the younger. A pointer stands at the bucket of the percentile and moves with the samples, so that asking costs nothing to speak of.
 * Error: (γ − 1) / (γ + 1), 1 %, from 0.1 ms to 1 h; what is outside counts as the nearest bound. Memory: 3 × 880 cells of 32 bits.
 */

const GAMMA = 1.02
const LOG_GAMMA = Math.log(GAMMA)
const LEAST_MS = 0.1
const BUCKETS = Math.ceil(Math.log(3_600_000 / LEAST_MS) / LOG_GAMMA) + 1
/** Of a bucket with upper bound b the value that is nearest to all of it by ratio. */
const MIDDLE = 2 / (GAMMA + 1)

export class Percentile {
  readonly #percent: number
  readonly #half_ms: number
  readonly #enough: number
  #younger = new Uint32Array(BUCKETS)
  #elder = new Uint32Array(BUCKETS)
  readonly #both = new Uint32Array(BUCKETS)
  #youngerCount = 0
  #count = 0
  #since = -Infinity
  /** The bucket of the percentile, as far as it was asked for, and the samples up to and in it. */
  #at = 0
  #upTo = 0

  /** @param percent above 0, up to 100. @param window_ms samples this old are forgotten. @param enough samples below which nothing is known */
  constructor(percent: number, window_ms: number, enough: number) {
    this.#percent = percent
    this.#half_ms = window_ms / 2
    this.#enough = enough
  }

  /** @param now milliseconds */
  record(ms: number, now: number): void {
    if (this.#since === -Infinity) this.#since = now
    if (now - this.#since >= this.#half_ms && this.#youngerCount >= this.#enough) this.#turn(now)
    const bucket = bucketOf(ms)
    this.#younger[bucket]!++
    this.#both[bucket]!++
    this.#youngerCount++
    this.#count++
    if (bucket <= this.#at) this.#upTo++
  }

  /** Milliseconds, the nearest rank; null while too little is known. */
  get value(): number | null {
    if (this.#count < this.#enough || this.#count === 0) return null
    const both = this.#both
    const rank = Math.max(1, Math.ceil((this.#percent * this.#count) / 100))
    while (this.#upTo < rank) this.#upTo += both[++this.#at]!
    while (this.#upTo - both[this.#at]! >= rank) this.#upTo -= both[this.#at--]!
    return LEAST_MS * GAMMA ** this.#at * MIDDLE
  }

  #turn(now: number): void {
    const both = this.#both
    for (let i = 0; i < BUCKETS; i++) both[i]! -= this.#elder[i]!
    this.#count = this.#youngerCount
    const emptied = this.#elder.fill(0)
    this.#elder = this.#younger
    this.#younger = emptied
    this.#youngerCount = 0
    this.#since = now
    this.#upTo = 0
    for (let i = 0; i <= this.#at; i++) this.#upTo += both[i]!
  }
}

/** Bucket i holds (least · γⁱ⁻¹, least · γⁱ]. */
function bucketOf(ms: number): number {
  return ms <= LEAST_MS ? 0 : Math.min(BUCKETS - 1, Math.ceil(Math.log(ms / LEAST_MS) / LOG_GAMMA))
}
