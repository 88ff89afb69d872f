/** CSV as a table: a header line, cells typed by column. A `\t` or `;` instead of the comma is seen in the header. */
import { CsvCutter, type CsvCell } from './cutter.ts'
import { progressOf, textOf } from './source.ts'
import { type Kind, kindOf, readCells } from './spelling.ts'
import { type Batch, type Cell, DataError, type Table } from './table.ts'

const BATCH_ROWS = 4_096
/** Rows from which the kinds of columns are learned. */
const LEARN_ROWS = 20_000
/** Of one record. A quote that is never closed would take the rest of the file into memory. */
const MAX_RECORD = 16 << 20
export const MAX_COLUMNS = 10_000

/** @param wanted null: all columns @throws DataError */
export async function openCsv(file: string, wanted: readonly string[] | null): Promise<Table> {
  const progress = progressOf(file)
  const records = new Records(file, textOf(file, progress))
  const names = header(file, await records.header())
  const taken = names.flatMap((name, i) => (wanted === null || wanted.includes(name) ? [i] : []))
  const columns = taken.map((i) => names[i]!)

  async function* batches(): AsyncGenerator<Batch, void> {
    const kinds: (Kind | null)[] = columns.map(() => null)
    let learned = false
    for (;;) {
      const spelled: CsvCell[][] = columns.map(() => [])
      const rows = await records.read(names.length, taken, spelled, learned ? BATCH_ROWS : LEARN_ROWS)
      if (rows === 0) return
      learned = true
      progress.rows += rows
      yield { rows, columns, cells: spelled.map((cells, i): Cell[] => readCells((kinds[i] ??= kindOf(cells)) ?? 'text', cells)) }
    }
  }
  return { format: 'csv', columns, progress, notes: records.notes, batches }
}

/** Names as pandas reads them: what has no name (an index written along) is `Unnamed: 0`. */
function header(file: string, cells: readonly CsvCell[]): string[] {
  if (cells.length > MAX_COLUMNS) throw new DataError(`${file}:1: expected at most ${MAX_COLUMNS} columns, found ${cells.length}`)
  const names = cells.map((cell, i) => (cell === null || cell === '' ? `Unnamed: ${i}` : cell))
  const twice = names.find((name, i) => names.indexOf(name) !== i)
  if (twice !== undefined) throw new DataError(`${file}:1: expected every column once in the header, found "${twice}" twice`)
  return names
}

/** Pulls text as it needs it and hands out records. */
class Records {
  readonly notes: string[] = []
  readonly #file: string
  readonly #text: AsyncGenerator<string, void>
  #cutter!: CsvCutter
  #buffer = ''
  #at = 0
  #last = false

  constructor(file: string, text: AsyncGenerator<string, void>) {
    this.#file = file
    this.#text = text
  }

  async header(): Promise<CsvCell[]> {
    while (!this.#last && !/[\n\r]/.test(this.#buffer)) await this.#more()
    this.#cutter = new CsvCutter(this.#file, delimiterOf(this.#buffer))
    const cells: CsvCell[] = []
    if (!(await this.#record(cells))) throw new DataError(`${this.#file}: expected a header line, found an empty file`)
    return cells
  }

  /** Appends up to `most` rows to the columns `taken`. @returns how many; 0 at the end */
  async read(width: number, taken: readonly number[], into: readonly CsvCell[][], most: number): Promise<number> {
    const cells: CsvCell[] = []
    let rows = 0
    while (rows < most) {
      // Without waiting as long as the text at hand reaches.
      const { line } = this.#cutter
      const next = this.#at < this.#buffer.length ? this.#cutter.next(this.#buffer, this.#at, this.#last, cells) : -1
      if (next < 0) {
        if (this.#last) {
          this.#broken()
          return rows
        }
        await this.#more()
        continue
      }
      const ended = this.#buffer.length
      this.#at = next
      // pandas reads over empty lines too, whatever the number of columns.
      if (cells.length === 1 && cells[0] === null) continue
      if (cells.length !== width) {
        if (next > ended && cells.length < width) {
          this.notes.push(`${this.#file}:${line}: the last line broke off after ${cells.length} of ${width} cells; it was left out`)
          return rows
        }
        throw new DataError(`${this.#file}:${line}: expected ${width} cells as in the header, found ${cells.length}`)
      }
      for (let i = 0; i < taken.length; i++) into[i]!.push(cells[taken[i]!]!)
      rows++
    }
    return rows
  }

  async #record(cells: CsvCell[]): Promise<boolean> {
    for (;;) {
      const next = this.#at < this.#buffer.length ? this.#cutter.next(this.#buffer, this.#at, this.#last, cells) : -1
      if (next >= 0) {
        this.#at = next
        if (cells.length > 1 || cells[0] !== null) return true
      } else if (this.#last) return false
      else await this.#more()
    }
  }

  async #more(): Promise<void> {
    const { value } = await this.#text.next()
    if (value === undefined) {
      this.#last = true
      return
    }
    this.#buffer = this.#at >= this.#buffer.length ? value : this.#buffer.slice(this.#at) + value
    this.#at = 0
    if (this.#buffer.length > MAX_RECORD + 2 * value.length) throw new DataError(`${this.#file}:${this.#cutter.line}: a record of more than ${MAX_RECORD >> 20} MiB; a quote that is opened here is probably never closed`)
  }

  /** What is left at the end is a quoted cell that never ends. */
  #broken(): void {
    if (this.#at >= this.#buffer.length || !this.#cutter.open) return
    const { line } = this.#cutter
    if (/[\n\r]./s.test(this.#buffer.slice(this.#at))) throw new DataError(`${this.#file}:${line}: a quote that is opened here is never closed`)
    this.notes.push(`${this.#file}:${line}: the last line broke off within a quoted cell; it was left out`)
    this.#at = this.#buffer.length
  }
}

function delimiterOf(text: string): string {
  const line = /^[^\n\r]*/.exec(text)![0]
  if (line.includes(',')) return ','
  if (line.includes('\t')) return '\t'
  return line.includes(';') ? ';' : ','
}
