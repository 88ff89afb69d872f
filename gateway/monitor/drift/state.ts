/** What drift knows beside its counts. */
import { Judge } from './judge.ts'
import type { Learned } from './outlier_model.ts'

/** Texts of a feature that are remembered. */
const NAMES = 50

/** One stretch of time that was judged. */
export interface Judged {
  readonly from: number
  readonly to: number
  readonly rows: number
  readonly cells: Uint32Array
}

/** What outlives a reload. */
export class DriftState {
  readonly judge = new Judge()
  /** Begin of the first chunk with rows; NaN before. */
  began = NaN
  /** Number of the last window and chunk that were closed; NaN before. */
  window = NaN
  chunk = NaN
  last: Judged | null = null
  previous: Judged | null = null
  season: Judged | null = null
  /** By feature: texts that are not listed, with counts, of this season and of the one before. */
  names: Map<string, number>[] = []
  older: Map<string, number>[] = []
  namesSince = NaN
  /** Of `DriftOptions.model`. */
  outliers: Learned | null = null
  /** Features that had a value at some time. */
  readonly met = new Set<number>()
}

export function addName(names: Map<string, number>, text: string, count: number): void {
  if (names.has(text) || names.size < NAMES) names.set(text, (names.get(text) ?? 0) + count)
}
