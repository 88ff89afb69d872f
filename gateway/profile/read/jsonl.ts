/** JSON Lines as a table: one object a line. Columns come as they are met. */
import { MAX_COLUMNS } from './csv.ts'
import { flatten, Wanted } from './flatten.ts'
import { linesOf, progressOf } from './source.ts'
import { type Batch, type Cell, DataError, type Progress, type Table } from './table.ts'

const BATCH_ROWS = 4_096
/** `JSON.parse` would round these. */
const LONG_INTEGER = /[0-9]{16}/
/** What Python's `json.dumps` writes and JSON has no word for; strings are matched so that they are read over. */
const TOKENS = /"(?:[^"\\]|\\.)*"|-?Infinity|NaN/g
/** Of weir's own records these stay JSON, as they are in the lake. */
const BODIES: ReadonlySet<string> = new Set(['request', 'sent', 'response'])
const MARK = '\u0000weir '

/** @param wanted null: all columns @throws DataError */
export async function openJsonl(file: string, wanted: readonly string[] | null): Promise<Table> {
  const progress = progressOf(file)
  const notes: string[] = []
  const rows = new Rows(file, wanted)
  const read = readBatches(file, progress, rows, notes)
  const first = await read.next()

  async function* batches(): AsyncGenerator<Batch, void> {
    if (first.done === true) return
    yield first.value
    yield* read
  }
  return { format: 'jsonl', columns: [...rows.columns], progress, notes, batches }
}

async function* readBatches(file: string, progress: Progress, rows: Rows, notes: string[]): AsyncGenerator<Batch, void> {
  for await (const { texts, whole } of linesOf(file, progress)) {
    for (const text of texts) {
      if (whole) rows.add(text)
      else if (!rows.tryAdd(text)) notes.push(`${file}:${rows.line}: the last line broke off; it was left out`)
      if (rows.count === BATCH_ROWS) yield rows.take(progress)
    }
  }
  if (rows.count > 0) yield rows.take(progress)
}

/** Rows on their way into columns. */
class Rows {
  line = 0
  count = 0
  readonly columns: string[] = []
  readonly #file: string
  readonly #wanted: Wanted
  readonly #index = new Map<string, number>()
  #cells: Cell[][] = []

  constructor(file: string, wanted: readonly string[] | null) {
    this.#file = file
    this.#wanted = new Wanted(wanted)
  }

  /** @throws DataError */
  add(line: string): void {
    if (!this.tryAdd(line)) throw new DataError(`${this.#where()}: expected one JSON object, found ${JSON.stringify(line.trim().slice(0, 60))}`)
  }

  /** @returns false: it is no JSON */
  tryAdd(line: string): boolean {
    this.line++
    const value = parse(line)
    if (value === undefined) return line.trim() === ''
    if (value === null || typeof value !== 'object' || Array.isArray(value)) throw new DataError(`${this.#where()}: expected one object a line (JSONL), found ${Array.isArray(value) ? 'an array; `jq -c ".[]"` makes lines of it' : JSON.stringify(value)}`)
    const record = Object.hasOwn(value, 'record_id') && Object.hasOwn(value, 'inference_id')
    for (const [key, cell] of Object.entries(value)) {
      if (record && cell !== null && BODIES.has(key)) this.#put(key, JSON.stringify(cell))
      else if (cell === null || typeof cell !== 'object') this.#put(key, cell as Cell)
      else if (this.#wanted.touches(key)) flatten(cell, key, (name, inner) => this.#put(name, inner), () => this.#where())
    }
    this.count++
    return true
  }

  take(progress: Progress): Batch {
    const batch = { rows: this.count, columns: [...this.columns], cells: this.#cells }
    progress.rows += this.count
    this.count = 0
    this.#cells = this.columns.map(() => [])
    return batch
  }

  #put(name: string, cell: Cell): void {
    let index = this.#index.get(name)
    if (index === undefined) {
      if (!this.#wanted.has(name)) return
      index = this.#newColumn(name)
    }
    const cells = this.#cells[index]!
    // A gap would turn the array into a slow one.
    while (cells.length < this.count) cells.push(undefined)
    cells[this.count] = cell
  }

  #newColumn(name: string): number {
    if (this.columns.length === MAX_COLUMNS) throw new DataError(`${this.#where()}: expected at most ${MAX_COLUMNS} columns; are keys of the objects data?`)
    this.#index.set(name, this.columns.length)
    this.columns.push(name)
    this.#cells.push([])
    return this.columns.length - 1
  }

  #where(): string {
    return `${this.#file}:${this.line}`
  }
}

/** @returns undefined: no JSON */
function parse(line: string): unknown {
  try {
    return LONG_INTEGER.test(line) ? (JSON.parse(line, exact) as unknown) : (JSON.parse(line) as unknown)
  } catch {
    return line.includes('NaN') || line.includes('Infinity') ? parseMarked(line) : undefined
  }
}

function parseMarked(line: string): unknown {
  try {
    return JSON.parse(line.replace(TOKENS, (token) => (token.startsWith('"') ? token : `"${MARK.replace('\u0000', '\\u0000')}${token}"`)), marked) as unknown
  } catch {
    return undefined
  }
}

function marked(key: string, value: unknown, context?: { source?: string }): unknown {
  return typeof value === 'string' && value.startsWith(MARK) ? Number(value.slice(MARK.length)) : exact(key, value, context)
}

/** A reviver with the source of the number (ECMAScript 2025, `JSON.parse` source text access). */
function exact(_key: string, value: unknown, context?: { source?: string }): unknown {
  if (typeof value !== 'number' || Number.isSafeInteger(value) || !Number.isInteger(value)) return value
  const source = context?.source ?? ''
  return /^-?[0-9]+$/.test(source) ? BigInt(source) : value
}
