/**
 * How far what was counted is from what it is compared with, and what of that is noise.
 *
 * Idea: every statistic is shown without its bias (what two samples of one distribution score on average, with so many rows) next to its floor (what
 * they exceed in one of 1 / level windows). The p value is that of the two-sample G test on the same groups, whatever statistic is chosen, its
 * statistic divided by the design factor of rows that depend on each other.
 * Sources: `stats/divergence.ts`, `ks.ts`, `wasserstein.ts`, `chi_square.ts`; the mean of a Brownian bridge for KS and Wasserstein.
 */
import { gTest } from '../../stats/chi_square.ts'
import { totalOf } from '../../stats/counts.ts'
import { debiased, jsBias, jsBits, jsFloor, lInfinity, occupied, psi, psiBias, psiFloor } from '../../stats/divergence.ts'
import { EquivalentShift, massOfJs, shiftOfKs } from '../../stats/equivalent.ts'
import { GRID_CELLS, lowerEdge } from '../../stats/grid.ts'
import { ks } from '../../stats/ks.ts'
import { chi2Sf, normalIsf } from '../../stats/tails.ts'
import { wasserstein } from '../../stats/wasserstein.ts'
import { groupName, groupsOf } from './groups.ts'
import { tfdvScore } from './tfdv.ts'
import type { Statistic, Watched } from './watched.ts'

export interface Score {
  readonly score: number
  /** The score without what chance contributes on average, never below 0. */
  readonly debiased: number
  /** What chance exceeds with the probability `level`; null where no formula is known. */
  readonly floor: number | null
  /** The shift of a normal feature, in its standard deviations, that scores as much; of categories the share of rows moved. null: not known of this statistic. */
  readonly equivalent: number | null
  /** l_infinity: the group or the value that moved most. */
  readonly at?: string
}

export interface Comparison {
  /** Values compared: those of the window and those of the other side. */
  readonly rows: number
  readonly reference: number
  /** Groups that one of the two has values in, and the counts of both. */
  readonly cells: number
  readonly counts: readonly (readonly [group: string, window: number, reference: number])[]
  readonly p: number
  readonly scores: Partial<Readonly<Record<Statistic, Score>>>
}

/** Groups that are listed; of categories with more the rest is left out. */
const SHOWN = 40
const KS_BIAS = Math.sqrt(Math.PI / 2) * Math.LN2
const BRIDGE = Math.sqrt(2 / Math.PI)
const GRID_EDGES = Float64Array.from({ length: GRID_CELLS + 1 }, (_, i) => (i < GRID_CELLS ? lowerEdge(i) : Infinity))
const SHIFTS = new Map<string, EquivalentShift>()

/** One side of a comparison: groups always, cells where they are still known. */
export interface Side {
  readonly groups: Float64Array
  readonly cells: Uint32Array | null
  readonly nan: number
}

export function sideOf(watched: Watched, cells: Uint32Array, nan = 0): Side {
  return { groups: groupsOf(watched, cells), cells, nan }
}

/** @param level probability of the floors */
export function compare(watched: Watched, live: Side, reference: Side, level: number, wanted: readonly Statistic[]): Comparison {
  const [n, m] = [totalOf(live.groups), totalOf(reference.groups)]
  const cells = occupied(live.groups, reference.groups)
  const base = { rows: n, reference: m, cells, counts: countsOf(watched, live.groups, reference.groups) }
  if (n === 0 || m === 0) return { ...base, p: 1, scores: {} }
  const scores: Partial<Record<Statistic, Score>> = {}
  for (const statistic of wanted) {
    const score = scoreOf(statistic, watched, live, reference, { n, m, cells, level })
    if (score !== null) scores[statistic] = score
  }
  return { ...base, p: pOf(watched, live, reference), scores }
}

/** That both sides come from one distribution. */
export function pOf(watched: Watched, live: Side, reference: Side): number {
  const test = gTest(live.groups, reference.groups)
  return test.df === 0 ? 1 : chi2Sf(test.statistic / watched.design, test.df)
}

interface Size {
  readonly n: number
  readonly m: number
  readonly cells: number
  readonly level: number
}

/** @returns null where it cannot be computed: categories have no order, and what is only known in groups no cells */
export function scoreOf(statistic: Statistic, watched: Watched, live: Side, reference: Side, { n, m, cells, level }: Size): Score | null {
  const [a, b] = [live.groups, reference.groups]
  // Rows that depend on each other count for fewer.
  const few = n / watched.design
  const spread = 1 / few + 1 / m
  switch (statistic) {
    case 'js_bits': {
      const score = jsBits(a, b)
      const net = debiased(score, jsBias(cells, few, m))
      return { score, debiased: net, floor: jsFloor(cells, few, m, level), equivalent: watched.numeric === null ? massOfJs(net) : shiftOf('js', watched, net) }
    }
    case 'psi': {
      const score = psi(a, b)
      const net = debiased(score, psiBias(cells, few, m))
      return { score, debiased: net, floor: psiFloor(cells, few, m, level), equivalent: watched.numeric === null ? null : shiftOf('psi', watched, net) }
    }
    case 'l_infinity': {
      const { distance, index } = lInfinity(a, b)
      const most = Math.sqrt(varianceOf(a, b, n, m) * spread)
      const net = debiased(distance, most * BRIDGE)
      return { score: distance, debiased: net, floor: most * normalIsf(level / (2 * Math.max(1, cells))), equivalent: watched.numeric === null ? net : shiftOf('l_infinity', watched, net), at: groupName(watched, index) }
    }
    case 'ks': {
      if (watched.numeric === null) return null
      const { distance } = live.cells !== null && reference.cells !== null ? ks(live.cells, reference.cells) : ks(a, b)
      const net = debiased(distance, KS_BIAS * Math.sqrt(spread))
      return { score: distance, debiased: net, floor: Math.sqrt((-Math.log(level / 2) / 2) * spread), equivalent: shiftOfKs(Math.min(net, 1 - 1e-9)) }
    }
    case 'wasserstein_sd': {
      const { numeric } = watched
      if (numeric === null || live.cells === null || reference.cells === null || !(numeric.sd > 0)) return null
      const unit = numeric.scale / numeric.sd
      const score = wasserstein(live.cells, reference.cells, GRID_EDGES) * unit
      const net = debiased(score, bridgeArea(reference.cells) * BRIDGE * Math.sqrt(spread) * unit)
      return { score, debiased: net, floor: null, equivalent: net }
    }
    case 'tfdv_js_bits': {
      const score = tfdvScore(watched, live, reference)
      return score === null ? null : { score, debiased: debiased(score, jsBias(10, few, m)), floor: jsFloor(10, few, m, level), equivalent: null }
    }
  }
}

/** One table a number of groups; profiles have a handful of them. */
function shiftOf(score: 'js' | 'psi' | 'l_infinity', { numeric }: Watched, value: number): number {
  const k = Math.min(16, Math.max(2, numeric!.groups.count - 2))
  const key = `${score} ${k}`
  let table = SHIFTS.get(key)
  if (table === undefined) SHIFTS.set(key, (table = new EquivalentShift(score, k)))
  return table.sigma(value)
}

/** ∫ √(F (1 − F)) in scales: times √(2/π) √(1/n + 1/m) the mean of Wasserstein's distance of two samples. */
function bridgeArea(cells: Uint32Array): number {
  const n = totalOf(cells)
  let below = 0
  let area = 0
  for (let i = 0; i < GRID_CELLS; i++) {
    const width = GRID_EDGES[i + 1]! - GRID_EDGES[i]!
    const middle = (below + cells[i]! / 2) / n
    below += cells[i]!
    if (width < Infinity) area += width * Math.sqrt(middle * (1 - middle))
  }
  return area
}

/** Of the group whose share varies most. */
function varianceOf(a: Float64Array, b: Float64Array, n: number, m: number): number {
  let most = 0
  for (let i = 0; i < a.length; i++) {
    const share = (a[i]! + b[i]!) / (n + m)
    most = Math.max(most, share * (1 - share))
  }
  return most
}

function countsOf(watched: Watched, a: Float64Array, b: Float64Array): (readonly [string, number, number])[] {
  const counts: (readonly [string, number, number])[] = []
  for (let i = 0; i < a.length && counts.length < SHOWN; i++) if (a[i]! > 0 || b[i]! > 0) counts.push([groupName(watched, i), a[i]!, b[i]!])
  return counts
}
