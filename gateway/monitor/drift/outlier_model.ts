/**
 * Outliers by a model of their own, such as an isolation forest (Liu, Ting and Zhou 2008): it scores rows of requests, and the share that it takes for
 * outliers is watched like the other shares, against that of the training data or of the first whole season.
 *
 * A forest takes its `contamination` of the training data for outliers, and of the night another share than of the day. So a window, or a part of
 * a season, must have more than chance makes of twice the usual share; a whole season has all hours and is tested against the usual share itself.
 * Layout of a slot's head: outliers and scores in words 7 and 8, behind those of `rates.ts`.
 */
import { WeirError } from '../../errors.ts'
import type { Columns } from '../../payload/columns.ts'
import { featureReader, type FeatureReader } from '../../payload/features.ts'
import { percent, spanOf } from '../words.ts'
import type { Drift } from './drift.ts'
import type { Judged } from './state.ts'
import { chance, type Level, LEAST_ROWS } from './findings.ts'
import type { Finding } from './judge.ts'
import { type ShareCount, testShare } from './shares.ts'

const [OUTLIERS, SCORED] = [7, 8]
/** What the score is called by those who export such models; `decision_function` of scikit-learn is `scores` in skl2onnx. */
const USUAL_NAMES = ['scores', 'score', 'decision_function']
/** Questions to the model that a thread has under way; what comes meanwhile is not scored. */
export const MAX_QUESTIONS = 4
/** By hours of the day the share may be so many times the usual one. */
const HOURS = 2
const ROUTE = { name: '', side: 'input' } as const

export interface OutlierModel {
  readonly name: string
  /** Output with the score; null = one of the usual names, or the first. */
  readonly output: string | null
  readonly threshold: number
  /** Outliers lie below the threshold, else above. */
  readonly below: boolean
  /** What the training data had; null = the first whole season tells. */
  readonly usual: Usual | null
}

type Usual = Pick<ShareCount, 'expected' | 'expectedOf'>

/** What was usual in the first season with this model; survives reloads. */
export interface Learned {
  readonly by: string
  /** What was counted before is not of this model alone, or not all of it. */
  readonly since: number
  usual: Usual | null
}

/** @param said options of the file, the share in per cent @param rows of the training data */
export function modelOf({ backend, output, threshold, below, usual }: { readonly backend: string; readonly output?: string | undefined; readonly threshold: number; readonly below: boolean; readonly usual?: number | undefined }, rows: number): OutlierModel {
  return { name: backend, output: output ?? null, threshold, below, usual: usual === undefined ? null : { expected: Math.round((usual / 100) * rows), expectedOf: rows } }
}

// ---------------------------------------------------------------- counting

/** The columns of these names, as a question to the model; all of them where none has such a name (a matrix has one name for all). */
export function chosen({ columns, outputs: _outputs, outputParameters: _outputParameters, parameters: _parameters, ...rest }: Columns, names: ReadonlySet<string> | null): Columns {
  const wanted = names === null ? columns : columns.filter(({ name }) => names.has(name))
  return { ...rest, columns: wanted.length === 0 ? columns : wanted }
}

export class ScoreReader {
  readonly #model: OutlierModel
  #reader: FeatureReader | null = null
  #scores = new Float64Array(64)

  constructor(model: OutlierModel) {
    this.#model = model
  }

  /** @param rows that were asked about @returns scores that are NaN are not counted @throws WeirError `INVALID_ANSWER` */
  read(answer: Columns, rows: number): readonly [outliers: number, scored: number] {
    const { output, threshold, below } = this.#model
    const names = answer.columns.map(({ name }) => name)
    const name = output ?? USUAL_NAMES.find((usual) => names.includes(usual)) ?? names[0] ?? ''
    if (!names.includes(name)) throw new WeirError('INVALID_ANSWER', `the answer has no output "${name}"; it has ${names.slice(0, 20).join(', ') || 'none'}`)
    if (this.#reader?.names[0] !== name) this.#reader = featureReader([name])
    const view = this.#reader.view(answer)
    if (this.#scores.length < view.rows) this.#scores = new Float64Array(2 * view.rows)
    if (view.rows !== rows || !view.numbers(0, this.#scores)) throw new WeirError('INVALID_ANSWER', `output "${name}": expected one number for each of ${rows} rows`)
    let [outliers, scored] = [0, 0]
    for (let row = 0; row < rows; row++) {
      const score = this.#scores[row]!
      if (below ? score < threshold : score > threshold) outliers++
      if (score === score) scored++
    }
    return [outliers, scored]
  }
}

/** @param head of the slot of this time */
export function countScores(head: Uint32Array, outliers: number, scored: number): void {
  head[OUTLIERS]! += outliers
  head[SCORED]! += scored
}

// ---------------------------------------------------------------- judging

/** @returns none where there is no model, no score, or nothing to compare with yet */
export function modelFindings(level: Level, drift: Drift): Finding[] {
  const { model, share } = drift.options
  if (model === null) return []
  learn(model, level, drift)
  const counted = counts(model, level.judged, drift)
  if (counted === null || counted.of === 0) return []
  const { count, of, expected, expectedOf } = counted
  const design = Math.max(1, ...drift.plan.features.map((watched) => (watched.side === 'input' ? watched.design : 1)))
  const { p, rise, threshold } = testShare(counted, share, design)
  const beyondHours = level.level === 'season' && level.whole ? p : testShare({ ...counted, expected: Math.min(expectedOf, HOURS * expected) }, share, design).p
  return [{
    watched: ROUTE, cause: 'outlier_share', statistic: 'outlier_share', level: level.level, p: beyondHours, effect: rise, threshold, count: [count, of], enough: of / design >= LEAST_ROWS, quiet: false,
    reason: () => `"${model.name}" takes ${count} of ${of} scored rows (${percent(count / of)}) for outliers, usually ${expected} of ${expectedOf} (${percent(expected / expectedOf)}); ${chance(beyondHours, level.limits)}; ${spanOf(level.judged.from, level.judged.to)}`,
  }]
}

/** For `GET /state`. */
export function modelReport(drift: Drift, window: Judged | null): unknown {
  const { model } = drift.options
  if (model === null) return undefined
  const { state } = drift
  const show = (judged: Judged | null): unknown => (judged === null ? null : { outliers: judged.cells[OUTLIERS], scored: judged.cells[SCORED] })
  const usual = usualOf(model, drift)
  const active = state.judge.active.get(`outlier_share ${ROUTE.name}`)
  return {
    backend: model.name, window: show(window), season: show(state.season), usual: usual === null ? null : { outliers: usual.expected, scored: usual.expectedOf },
    alarm: active === undefined ? null : { since: new Date(active.since).toISOString(), score: active.score, threshold: active.threshold, reason: active.reason },
  }
}

function counts(model: OutlierModel, { cells }: Judged, drift: Drift): ShareCount | null {
  const usual = usualOf(model, drift)
  return usual === null ? null : { share: 'outlier_share', count: cells[OUTLIERS]!, of: cells[SCORED]!, ...usual }
}

function usualOf(model: OutlierModel, { state }: Drift): Usual | null {
  return model.usual ?? (state.outliers?.by === identityOf(model) ? state.outliers.usual : null)
}

/** Another model, or another threshold, is learned anew: from what was counted since. */
function learn(model: OutlierModel, { level, judged, whole }: Level, { state }: Drift): void {
  if (model.usual !== null) return
  const by = identityOf(model)
  if (state.outliers?.by !== by) state.outliers = { by, since: judged.to, usual: null }
  const { outliers } = state
  if (outliers.usual !== null || level !== 'season' || !whole || judged.from < outliers.since || judged.cells[SCORED]! < LEAST_ROWS) return
  outliers.usual = { expected: judged.cells[OUTLIERS]!, expectedOf: judged.cells[SCORED]! }
}

function identityOf({ name, output, threshold, below }: OutlierModel): string {
  return JSON.stringify([name, output, threshold, below])
}
