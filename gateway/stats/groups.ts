/**
 * Groups of grid cells in which two samples are compared: about equal shares of the reference, as deciles are.
 *
 * Idea: groups follow the reference once and stay; the live side is counted into the same groups by one pass over its cells, at the end of
 * a window. Cells are never split. A cell that alone holds a group's share (an atom: a default, a zero, a code) is a group of its own. What lies
 * far outside everything the reference holds, below, above, and whatever lies between two atoms, are groups without reference mass, so that values never
 * seen are not hidden among seen ones (NannyML's bin outside the reference). Far: twice as far as the outermost value, because the next
 * n rows are expected to have one beyond it, and a cell that the reference lacks by chance makes the noise floor too low. Next to an atom: at once.
 * Error: a group is off its share by at most half the largest cell that is not an atom.
 */
import { cellOf, GRID_CELLS, lowerEdge, upperEdge } from './grid.ts'

export interface Groups {
  readonly count: number
  /** The group of each cell, ascending, GRID_CELLS long. */
  readonly of: Uint16Array
  /** Group i holds z in [edges[i], edges[i + 1]); count + 1 long, from −Infinity to Infinity. */
  readonly edges: Float64Array
}

/** @param cells counts of the reference, GRID_CELLS long. @param k groups wanted, from 1; a few more or less come out */
export function coarsen(cells: Uint32Array, k: number): Groups {
  const counts = Array.from(cells)
  const total = counts.reduce((sum, count) => sum + count, 0)
  const first = counts.findIndex((count) => count > 0)
  if (first < 0) return grouped([0])
  const last = counts.findLastIndex((count) => count > 0)
  const isAtom = (cell: number) => counts[cell]! * k >= total
  const atoms = counts.filter((_, cell) => isAtom(cell))
  const share = (total - atoms.reduce((sum, count) => sum + count, 0)) / Math.max(1, k - atoms.length)
  const [from, to] = [isAtom(first) ? first : beyond(lowerEdge(first), -1), isAtom(last) ? last : beyond(upperEdge(last), 1)]
  const starts = new Set([0])
  for (let cell = from; cell <= to; ) {
    starts.add(cell)
    const end = isAtom(cell) ? cell + 1 : runEnd(cell, to, isAtom)
    if (!isAtom(cell)) split(counts, cell, end, share, starts)
    cell = end
  }
  if (to + 1 < GRID_CELLS) starts.add(to + 1)
  return grouped([...starts].sort((a, b) => a - b))
}

/** The cell as far outside as the outermost value is from the centre, a scale at least. */
function beyond(z: number, side: -1 | 1): number {
  return cellOf(z + side * Math.max(1, Math.abs(z)))
}

function runEnd(from: number, last: number, isAtom: (cell: number) => boolean): number {
  let end = from
  while (end <= last && !isAtom(end)) end++
  return end
}

/** Cuts the cells [from, end) where the mass before the cut is nearest to a whole number of shares. */
function split(counts: readonly number[], from: number, end: number, share: number, starts: Set<number>): void {
  const mass = counts.slice(from, end).reduce((sum, count) => sum + count, 0)
  const parts = Math.max(1, Math.round(mass / share))
  let seen = 0
  let part = 1
  for (let cell = from; cell < end && part < parts; cell++) {
    const goal = (part * mass) / parts
    const after = seen + counts[cell]!
    if (after >= goal) {
      // A cut before the first cell of the run would make an empty group.
      const before = goal - seen < after - goal && seen > 0
      starts.add(before ? cell : cell + 1)
      while (part < parts && (part * mass) / parts <= after) part++
    }
    seen = after
  }
}

function grouped(starts: readonly number[]): Groups {
  const of = new Uint16Array(GRID_CELLS)
  for (let i = 0; i < starts.length; i++) of.fill(i, starts[i], starts[i + 1])
  return { count: starts.length, of, edges: Float64Array.from([...starts.map((start) => lowerEdge(start)), Infinity]) }
}

/** Counts by group. @param into at least `count` long, overwritten; new if left out */
export function countGroups(groups: Groups, cells: Uint32Array, into: Float64Array = new Float64Array(groups.count)): Float64Array {
  into.fill(0, 0, groups.count)
  for (let cell = 0; cell < GRID_CELLS; cell++) into[groups.of[cell]!]! += cells[cell]!
  return into
}
