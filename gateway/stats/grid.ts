/**
 * A fixed fine grid of a normalised value z = (x − centre) / scale: the one sketch of a numeric feature.
 *
 * Idea: log-linear cells (HdrHistogram; Prometheus native histograms), but linear where the mass is, of a value that was made comparable by
 * the baseline's centre and scale: raw logarithmic cells put 1.7e9 ± 1000 into one cell. Every cell and every edge is a constant, so
 * that grids are merged by adding integers, in any order, on any machine, bit-equal, and every score is computed from the cells afterwards.
 * Layout: 64 |z| + 64.5 is cut to an integer k; up to |z| < 1 a cell is one k (1/64 of a scale), up to 3 two, then 16 cells an octave up to
 * 4095 scales, then one cell for the rest. Cell `MIDDLE` is [−1/128, 1/128), the others lie around it symmetrically, each is [lower, upper).
 * The half keeps edges away from what data like to sit on: multiples of 1/64 of the scale lie 1/128 or more from every edge, so that a
 * value means the same cell as a float64 in a file and as a float32 in a tensor.
 * Error: a value is known to its cell: ± 1/128 scale up to |z| = 1, ± 1/64 up to 3, ± 1/32 of (|z| + 1) beyond; a share below a value to the
 * mass of the value's cell. z itself is rounded: what lies less than 2⁻⁵⁰ (|z| + 1) from an edge may count on its other side, everywhere alike.
 */
import { totalOf } from './counts.ts'

const FINE = 64
/** k of the ends of the two linear parts, and where cells stop. */
const LINEAR_1 = 2 * FINE
const LINEAR_2 = 4 * FINE
const END = 2 ** 18
/** Cells of one side up to LINEAR_1, LINEAR_2, END, the middle included. */
const SIDE_1 = 64
const SIDE_2 = 128
const SIDE = 288

/** Both sides, the middle, one overflow cell at each end. */
export const GRID_CELLS = 2 * SIDE + 1
export const MIDDLE = SIDE

/** What makes values of a feature comparable: z = (x − centre) / scale. */
export interface Affine {
  readonly centre: number
  /** > 0. */
  readonly scale: number
}

/** Cells of |z| < 4, where nearly all values are, by the integer part of 64 z + 256.5: without branches that the sign of a value would mislead. */
const NEAR = 4 * FINE
const CELLS = Uint16Array.from({ length: 2 * NEAR }, (_, i) => farCell((i - NEAR) / FINE))

/** The cell of a normalised value, monotone in z; ±Infinity in the ends; -1 for NaN, which callers count apart. */
export function cellOf(z: number): number {
  const t = FINE * z + (NEAR + 0.5)
  return t >= 0 && t < 2 * NEAR ? CELLS[t | 0]! : farCell(z)
}

/** The same for any z. */
function farCell(z: number): number {
  if (z >= 0) {
    // Half a step more than a cell has, so that 0 is in the middle of its cell.
    const t = FINE * z + (FINE + 0.5)
    return t < END ? MIDDLE + side(t | 0) : GRID_CELLS - 1
  }
  const t = FINE * -z + (FINE + 0.5)
  // Lower edges belong to their cells on this side of zero too, hence the ceiling.
  if (t <= END) return MIDDLE - side(Math.ceil(t) - 1)
  return z < 0 ? 0 : -1
}

/** Cells between the middle and the one that holds k. */
function side(k: number): number {
  if (k < LINEAR_1) return k - FINE
  if (k < LINEAR_2) return SIDE_1 + ((k - LINEAR_1) >> 1)
  const octave = 31 - Math.clz32(k)
  return SIDE_2 + ((octave - 8) << 4) + (k >> (octave - 4)) - 16
}

const LOWER = lowerEdges()

/** z from which on a value is in the cell; −Infinity for the first. @param cell 0 to GRID_CELLS − 1 */
export function lowerEdge(cell: number): number {
  return LOWER[cell]!
}

/** z from which on a value is in the next cell; Infinity for the last. */
export function upperEdge(cell: number): number {
  return LOWER[cell + 1]!
}

function lowerEdges(): Float64Array {
  const edges = new Float64Array(GRID_CELLS + 1)
  edges[0] = -Infinity
  edges[GRID_CELLS] = Infinity
  for (let i = 0; i < SIDE; i++) {
    const upper = (least(i + 1) - 64.5) / FINE
    edges[MIDDLE + i + 1] = upper
    edges[MIDDLE - i] = -upper
  }
  return edges
}

/** The smallest k of the i-th cell from the middle. */
function least(i: number): number {
  if (i < SIDE_1) return FINE + i
  if (i < SIDE_2) return LINEAR_1 + 2 * (i - SIDE_1)
  return (16 + ((i - SIDE_2) & 15)) << (((i - SIDE_2) >> 4) + 4)
}

/** Where values lie, by their cells; counts of 32 bits, which may lie in shared memory (one writer). */
export class Grid {
  readonly centre: number
  readonly scale: number
  readonly cells: Uint32Array

  /** @param cells GRID_CELLS long; new ones if left out */
  constructor(affine: Affine, cells: Uint32Array = new Uint32Array(GRID_CELLS)) {
    this.centre = affine.centre
    this.scale = affine.scale
    this.cells = cells
  }

  /** Counts a value. @returns its cell; -1 = NaN, not counted */
  add(x: number): number {
    const cell = cellOf((x - this.centre) / this.scale)
    if (cell >= 0) this.cells[cell]!++
    return cell
  }

  /** Adds the counts of a grid with the same centre and scale. @throws RangeError when they differ */
  merge(other: Grid): void {
    if (other.centre !== this.centre || other.scale !== this.scale) throw new RangeError('grids of different centres or scales cannot be merged')
    addCells(this.cells, other.cells)
  }

  get total(): number {
    return totalOf(this.cells)
  }

  /** The p-quantile, interpolated in its cell; NaN when empty. Off by less than the cell: `quantileCell`. Of an end its finite edge. */
  quantile(p: number): number {
    const cell = quantileCell(this.cells, p)
    if (cell < 0) return NaN
    if (cell === 0) return this.#value(upperEdge(cell))
    if (cell === GRID_CELLS - 1) return this.#value(lowerEdge(cell))
    const within = (p * this.total - below(this.cells, cell)) / this.cells[cell]!
    return this.#value(lowerEdge(cell) + Math.min(1, Math.max(0, within)) * (upperEdge(cell) - lowerEdge(cell)))
  }

  /** What the quantile of the values lies between, ±Infinity at the ends; NaN when empty. */
  quantileBounds(p: number): readonly [number, number] {
    const cell = quantileCell(this.cells, p)
    return cell < 0 ? [NaN, NaN] : [this.#value(lowerEdge(cell)), this.#value(upperEdge(cell))]
  }

  /** The share of values below x, interpolated in its cell; NaN when empty. Off by less than the share of that cell. */
  cdf(x: number): number {
    const z = (x - this.centre) / this.scale
    const cell = cellOf(z)
    if (cell < 0) return NaN
    const width = upperEdge(cell) - lowerEdge(cell)
    const within = width === Infinity ? 0.5 : (z - lowerEdge(cell)) / width
    return (below(this.cells, cell) + within * this.cells[cell]!) / this.total
  }

  #value(z: number): number {
    return this.centre + z * this.scale
  }
}

/** into += from, cell by cell. */
function addCells(into: Uint32Array, from: Uint32Array): void {
  for (let i = 0; i < into.length; i++) into[i]! += from[i]!
}

/** The cell that holds the value of rank ⌈p · total⌉; -1 when empty. */
function quantileCell(cells: Uint32Array, p: number): number {
  const rank = Math.max(1, Math.ceil(p * totalOf(cells)))
  let seen = 0
  for (let i = 0; i < cells.length; i++) {
    seen += cells[i]!
    if (seen >= rank) return i
  }
  return -1
}

function below(cells: Uint32Array, cell: number): number {
  let count = 0
  for (let i = 0; i < cell; i++) count += cells[i]!
  return count
}
