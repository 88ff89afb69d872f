/** One column on its way: what is there, of which type, and the store that keeps the rest. */
import { MAJORITY } from '../read/spelling.ts'
import type { Cell, Scalar } from '../read/table.ts'
import { NumberStore } from './number_store.ts'
import { TextStore, TimeStore } from './text_store.ts'
import { isEpoch, isTimeName, isTimeText } from './times.ts'

/** First values of a column: they place its grid and say its type. */
const SAMPLE = 32_768
/** Of all columns together. */
const MAX_SAMPLED = 4_000_000

export class Collector {
  readonly name: string
  nulls = 0
  /** Rows with a value, be it an empty list. */
  present = 0
  /** Least and most values of a row that has some. */
  least = Infinity
  most = 0
  /** null until enough values have come. */
  store: NumberStore | TextStore | TimeStore | null = null
  readonly #timed: boolean
  readonly #enough: number
  #values: Scalar[] = []
  #slots: number[] = []

  /** @param timed whether rows have hours @param columns how many there are */
  constructor(name: string, timed: boolean, columns: number) {
    this.name = name
    this.#timed = timed
    this.#enough = Math.max(256, Math.min(SAMPLE, Math.floor(MAX_SAMPLED / columns)))
  }

  /** @param slots hour of each row; null = no times */
  add(cells: readonly Cell[], rows: number, slots: Int32Array | null): void {
    for (let row = 0; row < rows; row++) {
      const cell = cells[row]
      if (cell === undefined) continue
      if (cell === null) this.nulls++
      else if (typeof cell === 'object') this.#list(cell, slots === null ? -1 : slots[row]!)
      else {
        this.#sized(1)
        this.#value(cell, slots === null ? -1 : slots[row]!)
      }
    }
  }

  /** Nothing follows. */
  end(): void {
    if (this.store === null && this.#values.length > 0) this.#open()
  }

  #list(values: readonly Scalar[], slot: number): void {
    this.#sized(values.length)
    for (const value of values) if (value !== null) this.#value(value, slot)
  }

  #sized(values: number): void {
    this.present++
    if (values < this.least) this.least = values
    if (values > this.most) this.most = values
  }

  #value(value: Scalar, slot: number): void {
    if (this.store !== null) {
      this.store.add(value, slot)
      return
    }
    this.#values.push(value)
    this.#slots.push(slot)
    if (this.#values.length === this.#enough) this.#open()
  }

  #open(): void {
    const [values, slots] = [this.#values, this.#slots]
    const store = storeFor(this.name, values, this.#timed)
    values.forEach((value, i) => store.add(value, slots[i]!))
    this.store = store
    this.#values = []
    this.#slots = []
  }
}

function storeFor(name: string, values: readonly Scalar[], timed: boolean): NumberStore | TextStore | TimeStore {
  const most = MAJORITY * values.length
  const numbers = values.filter((value) => typeof value === 'number' || typeof value === 'bigint')
  if (numbers.length >= most) return isTimeName(name) && numbers.every((value) => isEpoch(Number(value))) ? new TimeStore() : new NumberStore(values, timed)
  if (values.filter((value) => typeof value === 'boolean').length >= most) return new TextStore('boolean', values, timed)
  return values.filter((value) => typeof value === 'string' && isTimeText(value)).length >= most ? new TimeStore() : new TextStore('string', values, timed)
}
