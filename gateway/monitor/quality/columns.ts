/** Scores out of an answer, row by row, as the engine takes them. */
import type { Columns } from '../../payload/columns.ts'
import { featureReader, type FeatureReader, type FeatureValue } from '../../payload/features.ts'
import type { Setup } from './setup.ts'

export interface RowScores {
  /** Row by row; NaN where there is none. */
  readonly scores: Float64Array
  readonly rows: number
}

export class ScoreReader {
  readonly #reader: FeatureReader
  readonly #kind: Setup['kind']
  readonly #classes: readonly string[]

  /** @param column name of the output */
  constructor(column: string, { kind, classes }: Pick<Setup, 'kind' | 'classes'>) {
    this.#reader = featureReader([column])
    this.#kind = kind
    this.#classes = classes
  }

  /** @returns null where there is no such column, or its shape is another */
  read(columns: Columns): RowScores | null {
    const view = this.#reader.view(columns)
    const width = view.width(0)
    if (width === 0 || view.rows === 0) return null
    if (this.#kind === 'multiclass') return this.#classScores(view.rows, width, (row, at) => view.value(0, row, at))
    // One list is a ranking too, whose items are no rows; of several scores a row the last is that of the class.
    const list = this.#kind === 'ranking' && view.rows === 1
    const rows = list ? width : view.rows
    const scores = new Float64Array(rows)
    for (let row = 0; row < rows; row++) scores[row] = asNumber(list ? view.value(0, 0, row) : view.value(0, row, width - 1))
    return { scores, rows }
  }

  /** Probabilities of all classes, or the name of one, which is then certain. */
  #classScores(rows: number, width: number, value: (row: number, at: number) => FeatureValue): RowScores | null {
    const k = this.#classes.length
    if (width !== k && width !== 1) return null
    const scores = new Float64Array(rows * k)
    for (let row = 0; row < rows; row++) {
      if (width === k) for (let at = 0; at < k; at++) scores[row * k + at] = asNumber(value(row, at))
      else {
        const at = this.#classes.indexOf(String(value(row, 0)))
        if (at < 0) scores.fill(NaN, row * k, (row + 1) * k)
        else scores[row * k + at] = 1
      }
    }
    return { scores, rows }
  }
}

function asNumber(value: FeatureValue): number {
  return typeof value === 'number' || typeof value === 'bigint' ? Number(value) : NaN
}
