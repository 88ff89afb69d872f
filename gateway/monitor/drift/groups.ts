/** Counts of a feature in the groups that its distribution is compared in. */
import { countGroups } from '../../stats/groups.ts'
import { shown } from '../words.ts'
import type { Watched } from './watched.ts'

/** Numbers in about ten groups of equal mass and what is outside; categories one by one. @param cells value cells of the feature */
export function groupsOf({ numeric }: Watched, cells: Uint32Array): Float64Array {
  return numeric === null ? Float64Array.from(cells) : countGroups(numeric.groups, cells)
}

/** What the i-th group is called in a sentence. */
export function groupName({ numeric, labels }: Watched, i: number): string {
  if (numeric === null) return shown(labels[i] ?? '')
  const { edges } = numeric.groups
  const [low, high] = [valueAt(numeric, edges[i]!), valueAt(numeric, edges[i + 1]!)]
  if (low === -Infinity) return `below ${short(high)}`
  return high === Infinity ? `from ${short(low)} on` : `${short(low)} to ${short(high)}`
}

function valueAt({ centre, scale }: { readonly centre: number; readonly scale: number }, z: number): number {
  return centre + z * scale
}

/** Four digits. */
export function short(value: number): string {
  return Number.isFinite(value) ? String(Number(value.toPrecision(4))) : 'none'
}
