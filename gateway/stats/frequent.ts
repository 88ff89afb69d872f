/**
 * The most frequent values of a stream, in bounded memory, with a guarantee.
 *
 * Idea: Misra and Gries (1982), mergeable (Agarwal et al. 2012). Up to 2k values are counted; with one more, the (k + 1)-th largest count is taken
 * off all, and what is not above 0 goes. That is rare enough to cost little, and takes as much off at least k + 1 values each time.
 * Error: counts are too small by at most `error` ≤ N / (k + 1), never too large; every value with more than N / (k + 1) is there. Merged, the
 * same holds for the sum. Exact (`error` 0) as long as there were never more than 2k values.
 */

export class FrequentItems {
  readonly #k: number
  #counts = new Map<string, number>()
  #total = 0
  #error = 0

  /** @param k values that are certain to be kept when frequent, from 1; twice as many are held */
  constructor(k: number) {
    this.#k = k
  }

  add(value: string, count = 1): void {
    this.#total += count
    this.#counts.set(value, (this.#counts.get(value) ?? 0) + count)
    if (this.#counts.size > 2 * this.#k) this.#prune()
  }

  merge(other: FrequentItems): void {
    for (const [value, count] of other.#counts) this.#counts.set(value, (this.#counts.get(value) ?? 0) + count)
    this.#total += other.#total
    this.#error += other.#error
    if (this.#counts.size > 2 * this.#k) this.#prune()
  }

  /** Everything added, what is no longer counted by value included. */
  get total(): number {
    return this.#total
  }

  /** What a count may lack. */
  get error(): number {
    return this.#error
  }

  /** Lower bound of a value's count. */
  count(value: string): number {
    return this.#counts.get(value) ?? 0
  }

  /** Values with lower bounds of their counts, the most frequent first, then by value. */
  items(): [value: string, count: number][] {
    return [...this.#counts].sort(([a, n], [b, m]) => m - n || (a < b ? -1 : 1))
  }

  #prune(): void {
    const sorted = Float64Array.from(this.#counts.values()).sort()
    const least = sorted[sorted.length - 1 - this.#k]!
    this.#error += least
    const kept = new Map<string, number>()
    for (const [value, count] of this.#counts) if (count > least) kept.set(value, count - least)
    this.#counts = kept
  }
}
