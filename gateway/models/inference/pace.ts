/** How many rows one run may have, so that a request of many rows does not hold up everybody else. */
import type { Measured } from './placement.ts'

/** A model may be this much faster a row than its run of one row says: most of that is the call. */
const MAX_ROWS = 65_536

/**
 * A run of `rows` rows takes about `target_ms`. The first guess is the measured run of one row; every full run corrects it,
 * by a factor of two at most, because one run may have been interrupted.
 */
export class Pace {
  readonly #target_ms: number
  #rows: number

  /** @param measured of a model whose rows depend on each other: it is never cut */
  constructor(target_ms: number, { run_us, independent_rows }: Measured) {
    this.#target_ms = target_ms
    this.#rows = independent_rows && run_us !== null ? clamp((target_ms * 1000) / run_us) : Infinity
  }

  /** Infinity: do not cut. */
  get rows(): number {
    return this.#rows
  }

  ran(rows: number, took_ms: number): void {
    if (rows !== this.#rows) return
    const fitting = took_ms > 0 ? (rows * this.#target_ms) / took_ms : Infinity
    this.#rows = clamp(Math.min(Math.max(fitting, rows / 2), rows * 2))
  }

  /** Its rows depend on each other after all. */
  stop(): void {
    this.#rows = Infinity
  }
}

function clamp(rows: number): number {
  return Math.max(1, Math.min(MAX_ROWS, Math.floor(rows)))
}
