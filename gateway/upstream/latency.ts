/**
 * How long an endpoint takes, with an eye on the worst: a rise counts at once, a fall with time.
 *
 * Idea: Finagle's and linkerd's peak EWMA. A sample above the estimate replaces it; one below moves it by 1 − e^(−Δt/τ), Δt since the last
 * sample, τ = 10 s. Reading decays towards 0 in the same way, so that an endpoint nobody asks because it was slow is asked again.
 * A failure counts as ten times what good answers of the backend usually take, however fast it was: a fast 500 must not look like a fast
 * endpoint, nor may one failure keep an endpoint away for long (τ · ln 10 = 23 s without load).
 */
const DECAY_MS = 10_000
/** What is expected before anybody has answered. */
const DEFAULT_MS = 30
const FAILURE = 10

/** What good answers of a whole backend take: a plain EWMA, the measure of its failures. */
export class Usual {
  ms = DEFAULT_MS
  #at = Number.NEGATIVE_INFINITY

  observe(ms: number, now: number): void {
    const kept = remaining(this.#at, now)
    this.ms = this.ms * kept + ms * (1 - kept)
    this.#at = now
  }
}

export class PeakEwma {
  readonly #usual: Usual
  #ms = 0
  #at = Number.NEGATIVE_INFINITY

  constructor(usual: Usual) {
    this.#usual = usual
  }

  /** The estimate, milliseconds; 0 = there is none yet. */
  at(now: number): number {
    return this.#ms * remaining(this.#at, now)
  }

  /**
   * The time that one more request may take, milliseconds. An endpoint that has answered nothing yet costs nothing, so that it is asked
   * at once; until it answers, every request it has counts as the usual time (Finagle).
   * @param load requests in flight
   */
  cost(load: number, now: number): number {
    return this.#at === Number.NEGATIVE_INFINITY ? load * this.#usual.ms : (load + 1) * this.at(now)
  }

  answered(ms: number, now: number): void {
    this.#usual.observe(ms, now)
    this.#observe(ms, now)
  }

  failed(ms: number, now: number): void {
    this.#observe(Math.max(ms, FAILURE * this.#usual.ms), now)
  }

  #observe(ms: number, now: number): void {
    const kept = remaining(this.#at, now)
    this.#ms = ms > this.#ms ? ms : this.#ms * kept + ms * (1 - kept)
    this.#at = now
  }
}

/** Share of an estimate of `at` that is left. */
function remaining(at: number, now: number): number {
  return Math.exp((at - now) / DECAY_MS)
}
