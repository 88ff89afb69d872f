/**
 * Client-side throttling: a client that sees its requests refused sheds part of them itself, which costs the server nothing.
 *
 * Idea: Site Reliability Engineering (Beyer et al. 2016), ch. 21: shed with probability max(0, (requests − K · accepts) / (requests + 1))
 * over a window, requests counted when they are attempted, those that are shed included. What is under way is taken for accepted until
 * it is refused: counted the other way, a burst of slow requests would shed the next ones.
 * Never more than `MOST` is shed (the book's formula falls to one request in as many as the window had), so that a server that is back is
 * found: from a whole window of refusals, half of the traffic passes after about one and a half windows. Below `FEW` requests nothing is.
 * Layout: a ring of `SLICES` slices of the window, three counts each, and their sums. Exact to one slice.
 */

const SLICES = 10
const MOST = 0.9
const FEW = 10

const ATTEMPTED = 0
const SHED = 1
const REFUSED = 2
const KINDS = 3

export class Throttle {
  readonly #multiplier: number
  readonly #sliceMs: number
  readonly #counts = new Float64Array(SLICES * KINDS)
  readonly #sums = new Float64Array(KINDS)
  /** Number of the slice that is counted in, since time began. */
  #slice: number

  /** @param multiplier K @param now milliseconds */
  constructor(multiplier: number, windowMs: number, now: number) {
    this.#multiplier = multiplier
    this.#sliceMs = windowMs / SLICES
    this.#slice = Math.floor(now / this.#sliceMs)
  }

  /** Counts a request. @param random uniform in [0, 1) @returns false when it is to be shed */
  admits(now: number, random: number): boolean {
    this.#advance(now)
    const shed = random < this.probability
    this.#add(ATTEMPTED)
    if (shed) this.#add(SHED)
    return !shed
  }

  /** A request that was admitted was refused by the server. */
  refused(now: number): void {
    this.#advance(now)
    this.#add(REFUSED)
  }

  /** Of the next request to be shed, as of the last call. */
  get probability(): number {
    const attempted = this.#sums[ATTEMPTED]!
    if (attempted < FEW) return 0
    // A refusal may be younger than its request, which then has left the window before it.
    const accepted = Math.max(0, attempted - this.#sums[SHED]! - this.#sums[REFUSED]!)
    return Math.min(MOST, Math.max(0, (attempted - this.#multiplier * accepted) / (attempted + 1)))
  }

  #add(kind: number): void {
    this.#counts[(this.#slice % SLICES) * KINDS + kind]! += 1
    this.#sums[kind]! += 1
  }

  #advance(now: number): void {
    const slice = Math.floor(now / this.#sliceMs)
    const passed = Math.min(SLICES, slice - this.#slice)
    if (passed <= 0) return
    for (let i = 1; i <= passed; i++) this.#forget((this.#slice + i) % SLICES)
    this.#slice = slice
  }

  #forget(slot: number): void {
    for (let kind = 0; kind < KINDS; kind++) {
      const at = slot * KINDS + kind
      this.#sums[kind]! -= this.#counts[at]!
      this.#counts[at] = 0
    }
  }
}
