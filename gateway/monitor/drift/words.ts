/** Why a feature is not what it was, in sentences with the numbers. */
import { Grid, GRID_CELLS, lowerEdge, upperEdge } from '../../stats/grid.ts'
import { percent, shown } from '../words.ts'
import type { Comparison } from './compare.ts'
import { short } from './groups.ts'
import type { ShareCount } from './shares.ts'
import type { Share, Watched } from './watched.ts'

/** Nearly all values are one: a constant, where the training data has no such value. */
const CONSTANT = 0.999
const QUANTILES = [0.1, 0.5, 0.9]

const SAYS: Readonly<Record<Share, string>> = {
  null_share: 'has no value', nan_share: 'is NaN', infinite_share: 'is infinite', wrong_type_share: 'is a text instead of a number',
  unseen_share: 'has a value that the training data does not list', sentinel_share: 'is a value that stands for "not known"', outlier_share: 'lies far outside what is usual',
}

/** @param names unlisted values with their counts, the most frequent first */
export function shareWords({ name, sentinels }: Watched, { share, count, of, expected, expectedOf }: ShareCount, names: readonly (readonly [string, number])[]): string {
  const listed = share === 'unseen_share' ? names.slice(0, 3).map(([text, n]) => `${shown(text)} about ${n} times`) : share === 'sentinel_share' ? [...sentinels].map(shown) : []
  const which = listed.length === 0 ? '' : ` (${listed.join(', ')})`
  const everywhere = count === of ? 'every one of' : `${count} of`
  return `"${name}" ${SAYS[share]}${which} in ${everywhere} ${of} rows (${percent(count / of)}), in the training data in ${expected} of ${expectedOf} (${percent(expectedOf === 0 ? 0 : expected / expectedOf)})`
}

/** @param cells value cells of the feature @param reference the same of what it is compared with; null: only groups are known */
export function moveWords(watched: Watched, cells: Uint32Array, reference: Uint32Array | null, comparison: Comparison): string {
  if (watched.numeric === null) return `"${watched.name}": ${categoryWords(comparison)}`
  const constant = constantOf(watched, cells)
  if (constant !== null) return `"${watched.name}" is constant: nearly every value is about ${short(constant)}`
  if (reference === null) return `"${watched.name}" ${directionOf(comparison)}: ${categoryWords(comparison)}`
  const { centre, scale, sd } = watched.numeric
  const [now, then] = [new Grid({ centre, scale }, cells), new Grid({ centre, scale }, reference)]
  const [mean, before] = [meanOf(now), meanOf(then)]
  const shift = sd > 0 ? (mean - before) / sd : NaN
  const quantiles = (grid: Grid): string => QUANTILES.map((p) => short(grid.quantile(p))).join(', ')
  return `"${watched.name}" moved ${shift < 0 ? 'down' : 'up'}: its mean is ${short(mean)} instead of ${short(before)} (${shift < 0 ? '' : '+'}${shift.toFixed(2)} standard deviations), its 10, 50 and 90 % quantiles are ${quantiles(now)} instead of ${quantiles(then)}`
}

/** The groups whose shares changed most. */
function categoryWords({ counts, rows, reference }: Comparison): string {
  const moved = counts.map(([group, a, b]) => [group, a / rows, b / reference] as const).sort((x, y) => Math.abs(y[1] - y[2]) - Math.abs(x[1] - x[2]))
  return moved.slice(0, 3).map(([group, now, then]) => `${group} ${percent(then)} -> ${percent(now)}`).join(', ')
}

/** Of groups in their order: whether nearly all of the difference of the distribution functions lies on one side. */
function directionOf({ counts, rows, reference }: Comparison): string {
  let [apart, up, down] = [0, 0, 0]
  for (const [, now, then] of counts) {
    apart += then / reference - now / rows
    up += Math.max(0, apart)
    down += Math.max(0, -apart)
  }
  if (up > 4 * down) return 'moved up'
  return down > 4 * up ? 'moved down' : 'is distributed differently'
}

function constantOf({ numeric, baseline }: Watched, cells: Uint32Array): number | null {
  let [most, total] = [0, 0]
  for (let i = 0; i < GRID_CELLS; i++) {
    total += cells[i]!
    if (cells[i]! > cells[most]!) most = i
  }
  if (cells[most]! < CONSTANT * total || baseline.cells[most]! > baseline.values / 2) return null
  return numeric!.centre + numeric!.scale * middleOf(most)
}

/** Each value in the middle of its cell; of the ends at their finite edge. */
function meanOf({ cells, centre, scale }: Grid): number {
  let [sum, total] = [0, 0]
  for (let i = 0; i < GRID_CELLS; i++) {
    sum += cells[i]! * middleOf(i)
    total += cells[i]!
  }
  return centre + (scale * sum) / total
}

function middleOf(cell: number): number {
  if (cell === 0) return upperEdge(0)
  return cell === GRID_CELLS - 1 ? lowerEdge(cell) : (lowerEdge(cell) + upperEdge(cell)) / 2
}
