/** What labels were in training, from the profile: counts by class, or by cell of the fine grid. */
import type { FeatureProfile, Profile } from '../../profile/profile.ts'
import { type Affine, GRID_CELLS } from '../../stats/grid.ts'
import { RELEVANCES } from './layout.ts'
import type { Kind, Setup } from './setup.ts'

export interface Baseline {
  /** Name of the label's column. */
  readonly column: string
  readonly counts: Float64Array
  readonly rows: number
  /** What the cells of `counts` are called; null = they are those of the grid. */
  readonly names: readonly string[] | null
}

/** @param wanted the label's column; undefined: the one whose role is `label` @returns its name and profile, or a complaint */
export function labelColumn(profile: Profile, wanted?: string): readonly [string, FeatureProfile] | string {
  const columns = Object.entries(profile.features)
  if (wanted !== undefined) return columns.find(([name]) => name === wanted) ?? `the profile has no column "${wanted}"; it has ${columns.slice(0, 20).map(([name]) => name).join(', ')}`
  const labels = columns.filter(([, { role }]) => role === 'label')
  if (labels.length === 1) return labels[0]!
  return `the profile has ${labels.length === 0 ? 'no column' : 'several columns'} whose role is label: say which with \`label\``
}

export function gridOf(feature: FeatureProfile): Affine | null {
  return feature.numeric === null ? null : feature.numeric.grid
}

type Reader = (label: string) => number | string

/** @param read as `Labels.read` @returns null where the profile has nothing of the kind */
export function baselineOf(column: string, feature: FeatureProfile, { kind, classes }: Pick<Setup, 'kind' | 'classes'>, read: Reader): Baseline | null {
  if (kind === 'regression') return feature.numeric === null ? null : { column, ...fromGrid(feature), names: null }
  const names = kind === 'binary' ? ['negative', 'positive'] : kind === 'multiclass' ? classes : Array.from({ length: RELEVANCES }, (_, i) => String(i))
  const counts = new Float64Array(names.length)
  for (const [value, count] of valuesOf(feature, kind)) {
    const found = read(value)
    if (typeof found === 'number') counts[Math.min(counts.length - 1, Math.round(found))]! += count
  }
  const rows = counts.reduce((sum, count) => sum + count, 0)
  return rows > 0 ? { column, counts, rows, names } : null
}

function fromGrid({ numeric }: FeatureProfile): { readonly counts: Float64Array; readonly rows: number } {
  const counts = new Float64Array(GRID_CELLS)
  for (const [cell, count] of numeric!.grid.cells) counts[cell] = count
  return { counts, rows: numeric!.count }
}

/** Numbers that are codes are listed as values too; of a 0/1 column that is not, the mean tells. */
function valuesOf({ categorical, numeric }: FeatureProfile, kind: Kind): readonly (readonly [string, number])[] {
  if (categorical !== null) return categorical.values
  if (numeric === null || kind !== 'binary' || numeric.min < 0 || numeric.max > 1) return []
  const ones = Math.round(numeric.mean * numeric.count)
  return [['1', ones], ['0', numeric.count - ones]]
}
