/** How much may be asked again: what keeps retries and hedges from making a backend's bad day worse. */

/** Budgets that can share one memory: threads, those of the generation before this one included. */
const PLACES = 64
/** Cells of a place: whose it is (0 = nobody's), second of the last sign of life, requests under way, retries under way. */
const WIDTH = 4
const OWNER = 0
const BEAT = 1
const ACTIVE = 2
const RETRIES = 3
/** A place without a sign of life for so long belonged to a thread that died (or stands still): its counts say nothing, and another may have it. */
const STALE_S = 10

export const BUDGET_BYTES = PLACES * WIDTH * Int32Array.BYTES_PER_ELEMENT
/** How often `beat` wants to be called, milliseconds. */
export const BEAT_MS = 2000

/**
 * Envoy's retry budget (`retry_budget`: `budget_percent`, `min_retry_concurrency`), for all threads together: at no moment more retries under way than
 * max(min, ⌊ratio % of the requests under way⌋).
 *
 * Each budget writes its counts to a place of its own, whole and not as differences, and reads those of all. A thread that dies takes nothing with
 * it: its place runs out. One that takes counts itself first and looks then, so that two at the same moment may both be refused, but never both let
 * through. More than 64 budgets on one memory do not see each other.
 */
export class Budget {
  readonly #cells: Int32Array
  readonly #percent: number
  readonly #min: number
  readonly #id: number
  /** Where its cells begin; -1 = there was no place. */
  #at = -1
  #second = 0
  #active = 0
  #retries = 0

  /** @param memory `BUDGET_BYTES` long, zeroed when new. @param percent 0–100. @param now milliseconds, of a clock all threads share. @param id of this budget, above 0 */
  constructor(memory: SharedArrayBuffer, percent: number, min: number, now: number, id = 1 + Math.floor(Math.random() * 0x7fff_fffe)) {
    this.#cells = new Int32Array(memory)
    this.#percent = percent
    this.#min = min
    this.#id = id
    this.beat(now)
  }

  /** A request begins. */
  enter(): void {
    this.#active++
    this.#write(ACTIVE, this.#active)
  }

  /** A request is over. */
  leave(): void {
    this.#active--
    this.#write(ACTIVE, this.#active)
  }

  /** A retry wants to begin. @returns false when the budget is used up; after true call `giveBack` when the retry has its outcome */
  take(): boolean {
    this.#write(RETRIES, ++this.#retries)
    if (this.#sum(RETRIES, this.#retries) <= this.limit) return true
    this.giveBack()
    return false
  }

  giveBack(): void {
    this.#write(RETRIES, --this.#retries)
  }

  /** Retries that may be under way now. */
  get limit(): number {
    return Math.max(this.#min, Math.floor((this.#percent * this.#sum(ACTIVE, this.#active)) / 100))
  }

  /** A sign of life. @param now milliseconds */
  beat(now: number): void {
    this.#second = Math.floor(now / 1000)
    if (!this.#owns()) this.#claim()
    this.#write(BEAT, this.#second)
  }

  /** Nothing is under way any more. */
  close(): void {
    this.#write(ACTIVE, 0)
    this.#write(RETRIES, 0)
    this.#write(OWNER, 0)
    this.#at = -1
  }

  #owns(): boolean {
    return this.#at >= 0 && Atomics.load(this.#cells, this.#at + OWNER) === this.#id
  }

  /** Takes a free place, or one whose owner is gone. */
  #claim(): void {
    const cells = this.#cells
    this.#at = -1
    for (let at = 0; at < cells.length && this.#at < 0; at += WIDTH) {
      const owner = Atomics.load(cells, at + OWNER)
      if (owner !== 0 && !this.#stale(at)) continue
      if (Atomics.compareExchange(cells, at + OWNER, owner, this.#id) === owner) this.#at = at
    }
    this.#write(BEAT, this.#second)
    this.#write(ACTIVE, this.#active)
    this.#write(RETRIES, this.#retries)
  }

  #stale(at: number): boolean {
    return Atomics.load(this.#cells, at + BEAT) < this.#second - STALE_S
  }

  #write(cell: number, value: number): void {
    if (this.#owns()) Atomics.store(this.#cells, this.#at + cell, value)
  }

  /** @param own the count of this budget, whether or not it has a place */
  #sum(cell: number, own: number): number {
    const cells = this.#cells
    let sum = own
    for (let at = 0; at < cells.length; at += WIDTH) {
      const owner = Atomics.load(cells, at + OWNER)
      if (owner !== 0 && owner !== this.#id && !this.#stale(at)) sum += Atomics.load(cells, at + cell)
    }
    return sum
  }
}

/** What may have been saved up, in hundredths. */
const MOST_SAVED = 10 * 100

/** A share of requests: every request earns `percent` hundredths of one, at most ten are saved up, none is there at first. */
export class Allowance {
  readonly #percent: number
  #hundredths = 0

  /** @param percent 0–100 */
  constructor(percent: number) {
    this.#percent = percent
  }

  earn(): void {
    this.#hundredths = Math.min(MOST_SAVED, this.#hundredths + this.#percent)
  }

  get enough(): boolean {
    return this.#hundredths >= 100
  }

  /** Call only when there is `enough`. */
  spend(): void {
    this.#hundredths -= 100
  }
}
