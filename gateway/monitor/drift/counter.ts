/**
 * Counts rows into the cells of this thread: the only part of drift that a request pays for.
 *
 * Cost: about 10 ns a number, 30 ns a category. A value is counted in exactly one cell.
 */
import type { FeatureValue, FeatureView } from '../../payload/features.ts'
import { cellOf, GRID_CELLS } from '../../stats/grid.ts'
import { Names } from './names.ts'
import { Ring, ringBytes } from './ring.ts'
import { type Plan, SPECIALS, type Watched } from './watched.ts'

/** Slots of a thread: the one that is written, and some that nobody summed yet. */
export const LIVE = 4
export const [ROWS, REQUESTS, UNREADABLE] = [0, 1, 2]
/** Behind those of `rates.ts` and `outlier_model.ts`. */
const ANSWERS = 9
export const [NULLS, ABSENT, NAN, INFINITE, WRONG, UNSEEN, SENTINEL] = SPECIALS.map((_, i) => i) as unknown as readonly [number, number, number, number, number, number, number]
const LAST = GRID_CELLS - 1

export class Counter {
  readonly #ring: Ring
  readonly #names: Names
  readonly #inputs: readonly Watched[]
  readonly #outputs: readonly Watched[]
  #stamp = -1
  /** Cells of the slot that is written. */
  #cells: Uint32Array = new Uint32Array(0)
  #numbers = new Float64Array(64)

  constructor(plan: Plan, part: SharedArrayBuffer) {
    this.#ring = new Ring(part, 0, LIVE, plan.words)
    this.#names = new Names(part, ringBytes(LIVE, plan.words), LIVE, plan.features.length)
    this.#inputs = plan.features.filter(({ side }) => side === 'input')
    this.#outputs = plan.features.filter(({ side }) => side === 'output')
  }

  /** What is counted from here on belongs to this stretch of time. @param stamp > 0, of 32 bits */
  turn(stamp: number): void {
    if (stamp === this.#stamp) return
    this.#stamp = stamp
    if (this.#ring.at(stamp) === null) this.#names.clear(stamp)
    this.#cells = this.#ring.open(stamp)
  }

  /** Cells before the first feature: `rates.ts` has its own there. */
  get head(): Uint32Array {
    return this.#cells
  }

  unreadable(): void {
    this.#cells[UNREADABLE]!++
  }

  request(view: FeatureView): void {
    this.#cells[ROWS]! += view.rows
    this.#cells[REQUESTS]!++
    this.#count(this.#inputs, view)
  }

  answer(view: FeatureView): void {
    this.#cells[ANSWERS]!++
    if (this.#inputs.length === 0) this.#cells[ROWS]! += view.rows
    this.#count(this.#outputs, view)
  }

  #count(features: readonly Watched[], view: FeatureView): void {
    if (this.#numbers.length < view.rows) this.#numbers = new Float64Array(2 * view.rows)
    for (let i = 0; i < features.length; i++) {
      const watched = features[i]!
      if (watched.numeric !== null && view.numbers(i, this.#numbers)) this.#addNumbers(watched, view.rows)
      else this.#addValues(watched, view)
    }
  }

  #addNumbers(watched: Watched, rows: number): void {
    const { centre, scale } = watched.numeric!
    const { at, sentinels } = watched
    const cells = this.#cells
    const numbers = this.#numbers
    if (sentinels.size > 0) {
      for (let row = 0; row < rows; row++) this.#addNumber(watched, numbers[row]!)
      return
    }
    for (let row = 0; row < rows; row++) {
      const cell = cellOf((numbers[row]! - centre) / scale)
      if (cell > 0 && cell < LAST) cells[at + cell]!++
      else this.#addNumber(watched, numbers[row]!)
    }
  }

  #addNumber({ at, numeric, sentinels }: Watched, x: number): void {
    const { centre, scale } = numeric!
    const special = at + GRID_CELLS
    const cells = this.#cells
    if (Number.isNaN(x)) cells[special + NAN]!++
    else if (x === Infinity || x === -Infinity) cells[special + INFINITE]!++
    else if (sentinels.has(x)) cells[special + SENTINEL]!++
    else cells[at + cellOf((x - centre) / scale)]!++
  }

  #addValues(watched: Watched, view: FeatureView): void {
    const { index, at, cells } = watched
    const width = view.width(index)
    if (width === 0) {
      this.#cells[at + cells + ABSENT]! += view.rows
      return
    }
    for (let row = 0; row < view.rows; row++) for (let k = 0; k < width; k++) this.#addValue(watched, view.value(index, row, k))
  }

  #addValue(watched: Watched, value: FeatureValue): void {
    const special = watched.at + watched.cells
    if (value === null) this.#cells[special + NULLS]!++
    else if (value === undefined) this.#cells[special + ABSENT]!++
    else if (watched.numeric === null) this.#addCategory(watched, value)
    else if (typeof value === 'number') this.#addNumber(watched, value)
    else if (typeof value === 'string') this.#cells[special + WRONG]!++
    else this.#addNumber(watched, Number(value))
  }

  #addCategory(watched: Watched, value: string | number | bigint | boolean): void {
    const special = watched.at + watched.cells
    if (value !== value) {
      this.#cells[special + NAN]!++
      return
    }
    const text = typeof value === 'string' ? value : String(value)
    const cell = watched.values!.get(text)
    if (cell !== undefined) this.#cells[watched.at + cell]!++
    else if (watched.sentinels.has(value as string | number) || watched.sentinels.has(text)) this.#cells[special + SENTINEL]!++
    else {
      this.#cells[special + UNSEEN]!++
      this.#names.add(this.#stamp, watched.order, text)
    }
  }
}

/** Bytes of one thread's part. */
export function partBytes(plan: Plan): number {
  return ringBytes(LIVE, plan.words) + Names.bytes(LIVE, plan.features.length)
}
