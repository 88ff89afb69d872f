/** Rows of named values, turned into columns. Every row has the keys of the first one: a forgotten feature must not pass for a missing value. */
import { WeirError } from '../errors.ts'
import { Collector, type Dialect } from './collector.ts'
import type { Column } from './columns.ts'
import { clip, type JsonReader } from './json.ts'

export const MAX_COLUMNS = 65_536

export class Table {
  readonly #json: JsonReader
  readonly #dialect: Dialect
  readonly #byName = new Map<string, Collector>()
  #rows = 0

  constructor(json: JsonReader, dialect: Dialect) {
    this.#json = json
    this.#dialect = dialect
  }

  /** Reads one object. */
  row(): void {
    const json = this.#json
    const { side } = this.#dialect
    const row = this.#rows++
    if (json.kind() !== 'object') throw new WeirError(side.json, `row ${row}: expected an object, found ${json.describe()}`)
    let keys = 0
    json.members((key) => {
      this.#collector(key, row).cell(json, row)
      keys++
    })
    if (keys === this.#byName.size) return
    for (const [name, { rows }] of this.#byName) {
      if (rows <= row) throw new WeirError(side.value, `row ${row} lacks "${clip(name)}", which row 0 has; send null for a missing number`)
    }
  }

  columns(): Column[] {
    return [...this.#byName].map(([name, collector]) => collector.column(name, this.#rows))
  }

  #collector(key: string, row: number): Collector {
    const { side } = this.#dialect
    let found = this.#byName.get(key)
    if (found === undefined) {
      if (row > 0) throw new WeirError(side.value, `row ${row} has "${clip(key)}", which row 0 lacks`)
      if (this.#byName.size === MAX_COLUMNS) throw new WeirError(side.value, `expected at most ${MAX_COLUMNS} keys in a row, found more`)
      found = new Collector(key, this.#dialect)
      this.#byName.set(key, found)
    }
    if (found.rows > row) throw new WeirError(side.json, `row ${row} has "${clip(key)}" twice`)
    found.rows = row + 1
    return found
  }
}
