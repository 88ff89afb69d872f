/** What is measured, worked out at build: the options of `labels` as the engine knows them. */
import type { Affine } from '../../stats/grid.ts'

export type Kind = 'binary' | 'multiclass' | 'regression' | 'ranking'

/** By kind, what may be measured, and so what an alarm may ask for. */
export const STATISTICS = {
  binary: ['auc', 'pr_auc', 'ks', 'log_loss', 'brier', 'ece', 'slope', 'accuracy', 'precision', 'recall', 'f1'],
  multiclass: ['accuracy', 'macro_f1', 'log_loss', 'brier', 'ece'],
  regression: ['rmse', 'mae', 'bias', 'r2'],
  ranking: ['ndcg'],
} as const satisfies Record<Kind, readonly string[]>

/** Known before labels are, from calibrated scores (`stats/cbpe.ts`). */
export const ESTIMATED = {
  binary: ['estimated_auc', 'estimated_accuracy', 'estimated_precision', 'estimated_recall', 'estimated_f1'],
  multiclass: ['estimated_accuracy'],
  regression: [],
  ranking: [],
} as const satisfies Record<Kind, readonly string[]>

/** Of a windowed ring; with `MAX_PART_BYTES` the bound of its memory. */
export const MAX_WINDOWS = 4000
export const MAX_PART_BYTES = 256 << 20
/** Sums over a span are made at the end of every window. */
export const MAX_SPAN = 400

export interface Setup {
  readonly kind: Kind
  /** Milliseconds; windows begin at multiples of it. */
  readonly window: number
  /** How long a prediction waits for its label. */
  readonly keep: number
  /** What is judged at the end of a window: as many windows up to it as this holds. */
  readonly span: number
  /** How long labels usually take: windows are judged so long after their end. */
  readonly delay: number
  /** binary: at and above is predicted to be of the class. */
  readonly thresholds: readonly number[]
  /** multiclass: names, in the order of the scores. */
  readonly classes: readonly string[]
  /** Names of the segments that are told apart; all else is one more. */
  readonly groups: readonly string[]
  /** ranking: places that count, and whether a relevance r is worth r or 2^r − 1. */
  readonly k: number
  readonly exponential: boolean
  readonly duplicates: 'first' | 'last'
  /** regression: what labels are compared with; `centre` also keeps sums small. null = there is no baseline. */
  readonly grid: Affine | null
}

/** Scores an entry of the table of ids holds. */
export function widthOf({ kind, classes }: Pick<Setup, 'kind' | 'classes'>): number {
  return kind === 'multiclass' ? classes.length : 1
}

/** Windows of the ring: as long as an id waits, and the one that is being written. */
export function windowsOf({ window, keep }: Pick<Setup, 'window' | 'keep'>): number {
  return Math.ceil(keep / window) + 2
}
