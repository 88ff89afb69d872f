/** Records and cells of CSV (RFC 4180), cut out of text that comes in pieces. */
import { DataError } from './table.ts'

const QUOTE = 0x22
const LF = 0x0a
const CR = 0x0d

/** `''` was quoted; null is an empty cell without quotes, which is how PostgreSQL's COPY tells an empty text from none. */
export type CsvCell = string | null

export class CsvCutter {
  /** Line on which the next record begins, from 1. */
  line = 1
  /** The text ended within a quoted cell of the record that `next` did not find whole. */
  open = false
  readonly #file: string
  readonly #delimiter: number
  /** Where the cell ended that was cut last; −1 = the text ended first. */
  #end = 0

  constructor(file: string, delimiter: string) {
    this.#file = file
    this.#delimiter = delimiter.charCodeAt(0)
  }

  /**
   * Cuts the record that begins at `at` into `cells`.
   * @param last no text follows this one @returns where the next record begins, or −1: the record is not whole yet
   * @throws DataError
   */
  next(text: string, at: number, last: boolean, cells: CsvCell[]): number {
    let lines = 1
    let count = 0
    for (;;) {
      const quoted = text.charCodeAt(at) === QUOTE
      const cell = quoted ? this.#quoted(text, at, last) : this.#plain(text, at)
      const end = this.#end
      if (end < 0 || (end === text.length && !last)) return -1
      cells[count++] = cell
      if (quoted) lines += breaks(cell!)
      const c = text.charCodeAt(end)
      if (c === this.#delimiter) {
        at = end + 1
        continue
      }
      // A carriage return at the very end may be half of a line break.
      if (c === CR && end + 1 === text.length && !last) return -1
      cells.length = count
      this.line += lines
      return end + (c === CR && text.charCodeAt(end + 1) === LF ? 2 : 1)
    }
  }

  #plain(text: string, start: number): CsvCell {
    const delimiter = this.#delimiter
    const { length } = text
    let at = start
    for (; at < length; at++) {
      const c = text.charCodeAt(at)
      if (c === delimiter || c === LF || c === CR) break
      if (c === QUOTE) this.#fail('a quote within a cell that is not quoted; put the cell into quotes and double the quote')
    }
    this.#end = at
    return at === start ? null : text.slice(start, at)
  }

  #quoted(text: string, start: number, last: boolean): CsvCell {
    let cell = ''
    let from = start + 1
    for (;;) {
      const end = text.indexOf('"', from)
      // A quote at the very end may be the first of two.
      if (end < 0 || (end + 1 === text.length && !last)) return this.#unfinished()
      cell += text.slice(from, end)
      if (text.charCodeAt(end + 1) !== QUOTE) return this.#closed(text, end + 1, cell)
      cell += '"'
      from = end + 2
    }
  }

  #unfinished(): null {
    this.open = true
    this.#end = -1
    return null
  }

  #closed(text: string, at: number, cell: string): string {
    const c = text.charCodeAt(at)
    if (at < text.length && c !== this.#delimiter && c !== LF && c !== CR) this.#fail(`expected the end of the cell behind its closing quote, found ${JSON.stringify(text[at])}`)
    this.open = false
    this.#end = at
    return cell
  }

  #fail(found: string): never {
    throw new DataError(`${this.#file}:${this.line}: ${found}`)
  }
}

function breaks(cell: string): number {
  let count = 0
  for (let at = cell.indexOf('\n'); at >= 0; at = cell.indexOf('\n', at + 1)) count++
  return count
}
