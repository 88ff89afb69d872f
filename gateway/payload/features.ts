/** Named values out of a request or an answer, whatever its layout: a column a feature, or the columns of one matrix. */
import { type Column, type Columns, rowCount } from './columns.ts'
import { widened } from './halves.ts'

/** `undefined`: the row has no such value (the column is not there). `null`: it says null. */
export type FeatureValue = number | bigint | string | boolean | null | undefined

/** Compiled for a list of names; read with `view`, once an exchange. */
export interface FeatureReader {
  readonly names: readonly string[]
  view(columns: Columns): FeatureView
}

export interface FeatureView {
  readonly rows: number
  /**
   * @param feature index into the names of the reader
   * @param at of a list, its element in row-major order
   */
  value(feature: number, row: number, at?: number): FeatureValue
  /** Values a row: 1 of a scalar, the elements of a list, 0 where the column is not there. */
  width(feature: number): number
  /** The numbers of a feature in the order of rows where it is numeric, one a row, without nulls (a fast path); else false. BOOL is not numeric. @param into at least `rows` long */
  numbers(feature: number, into: Float64Array): boolean
  /** Names of columns of the body that are no feature of the reader; at most 32. */
  readonly unknown: readonly string[]
}

const MAX_UNKNOWN = 32
const NONE: readonly string[] = []

/**
 * Features are columns by their names. What no column is called is looked for in the one column that is a matrix as wide as `matrix`
 * (a tensor of a model has one name for all its features), or, in a data frame without names, in the column of its position.
 * @param names what to read
 * @param matrix names of the columns of the model's matrix in their order, where that has more than what is read
 * @param texts names that are texts, even where all cells of a CSV look like numbers (a postal code)
 */
export function featureReader(names: readonly string[], matrix: readonly string[] = names, texts: readonly string[] = NONE): FeatureReader {
  return new Reader(names, matrix, texts)
}

class Reader implements FeatureReader {
  readonly names: readonly string[]
  readonly #index: ReadonlyMap<string, number>
  /** By feature, its column in the matrix; −1 = it has none. */
  readonly #inMatrix: readonly number[]
  readonly #width: number
  readonly #texts: ReadonlySet<number> | null
  /** By position of a column, the feature it was last: bodies of one caller look alike, and then no name is looked up. */
  readonly #guess: number[] = []

  constructor(names: readonly string[], matrix: readonly string[], texts: readonly string[]) {
    this.names = names
    this.#index = new Map(names.map((name, i) => [name, i]))
    this.#inMatrix = names.map((name) => matrix.indexOf(name))
    this.#width = matrix.length
    this.#texts = texts.length === 0 ? null : new Set(texts.map((name) => names.indexOf(name)))
  }

  view(request: Columns): FeatureView {
    const { columns } = request
    const view = new View(rowCount(request), this.names.length)
    let left = this.names.length
    let strangers: Column[] | null = null
    for (let i = 0; i < columns.length; i++) {
      const column = columns[i]!
      const feature = this.#find(column.name, i)
      if (feature < 0) {
        ;(strangers ??= []).push(column)
      } else {
        view.put(feature, column.spelled !== undefined && this.#texts?.has(feature) === true ? asText(column, column.spelled) : column)
        left--
      }
    }
    if (strangers === null) return view
    const rest = left === 0 ? strangers : this.#fromMatrix(strangers, request.ordered === true && strangers.length === columns.length, view)
    if (rest.length > 0) view.unknown = rest.slice(0, MAX_UNKNOWN).map(({ name }) => name)
    return view
  }

  #find(name: string, position: number): number {
    const guess = this.#guess[position]
    if (guess !== undefined && this.names[guess] === name) return guess
    const found = this.#index.get(name)
    if (found === undefined) return -1
    if (position <= this.names.length) this.#guess[position] = found
    return found
  }

  /** @returns the columns in which nothing was found */
  #fromMatrix(strangers: readonly Column[], ordered: boolean, view: View): readonly Column[] {
    const width = this.#width
    const inMatrix = this.#inMatrix
    if (ordered && strangers.length === width && strangers.every(({ name }, i) => name === String(i))) {
      inMatrix.forEach((at, feature) => at >= 0 && view.put(feature, strangers[at]!))
      return []
    }
    const fitting = strangers.filter((column) => widthOf(column) === width && (column.shape.length === 2 || (width === 1 && column.name === '')))
    const [only] = fitting
    if (only === undefined || fitting.length > 1) return strangers
    const readable = widened(only)
    inMatrix.forEach((at, feature) => at >= 0 && view.putColumn(feature, readable, at, width))
    return strangers.filter((column) => column !== only)
  }
}

function asText({ name, shape, nulls }: Column, spelled: readonly string[]): Column {
  return { name, dtype: 'BYTES', shape, data: [...spelled], ...(nulls !== undefined && { nulls }) }
}

/** Values a row. */
function widthOf({ shape, data }: Column): number {
  if (shape.length < 2) return 1
  if (shape.length === 2) return shape[1]!
  return shape[0] === 0 ? 0 : data.length / shape[0]!
}

/** Where the columns of a matrix are: the place of a feature's first value, and the step from row to row. */
interface Places {
  readonly first: number[]
  readonly step: number
}

class View implements FeatureView {
  readonly rows: number
  unknown: readonly string[] = NONE
  /** By feature: where it is. */
  readonly #columns: (Column | null)[]
  /** null: every feature has a column of its own. */
  #matrix: Places | null = null

  constructor(rows: number, features: number) {
    this.rows = rows
    this.#columns = new Array<Column | null>(features).fill(null)
  }

  put(feature: number, column: Column): void {
    this.#columns[feature] = column.dtype === 'FP16' || column.dtype === 'BF16' ? widened(column) : column
  }

  /** One column of a matrix; a feature that has a column of its own keeps it. */
  putColumn(feature: number, matrix: Column, at: number, width: number): void {
    if (this.#columns[feature] !== null) return
    this.#columns[feature] = matrix
    this.#matrix ??= { first: new Array<number>(this.#columns.length).fill(-1), step: width }
    this.#matrix.first[feature] = at
  }

  width(feature: number): number {
    const column = this.#columns[feature] ?? null
    if (column === null) return 0
    return this.#inMatrix(feature) ? 1 : widthOf(column)
  }

  value(feature: number, row: number, at = 0): FeatureValue {
    const column = this.#columns[feature] ?? null
    if (column === null) return undefined
    const { data, shape, nulls, dtype } = column
    const i = shape.length === 1 && at === 0 ? row : this.#place(column, feature, row, at)
    if (nulls !== undefined && nulls[i] === 1) return null
    const value = data[i]
    return dtype === 'BOOL' && value !== undefined ? value === 1 : value
  }

  numbers(feature: number, into: Float64Array): boolean {
    const column = this.#columns[feature] ?? null
    if (column === null || column.nulls !== undefined || this.width(feature) !== 1) return false
    const { dtype, data } = column
    if (dtype === 'BOOL' || Array.isArray(data)) return false
    const rows = this.rows
    if (rows === 0) return true
    let i = this.#place(column, feature, 0, 0)
    const step = rows === 1 ? 0 : this.#place(column, feature, 1, 0) - i
    if (i + (rows - 1) * step >= data.length) return false
    const wide = dtype === 'INT64' || dtype === 'UINT64'
    for (let row = 0; row < rows; row++, i += step) into[row] = wide ? Number(data[i]) : (data[i] as number)
    return true
  }

  #inMatrix(feature: number): boolean {
    return this.#matrix !== null && this.#matrix.first[feature]! >= 0
  }

  /** @returns −1 for what is not there */
  #place(column: Column, feature: number, row: number, at: number): number {
    if (this.#inMatrix(feature)) return at === 0 ? this.#matrix!.first[feature]! + row * this.#matrix!.step : -1
    const width = widthOf(column)
    if (at >= width) return -1
    // A scalar belongs to every row.
    return column.shape.length === 0 ? at : row * width + at
  }
}
