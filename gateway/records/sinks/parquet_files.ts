/** Records of one route as the bytes of a Parquet file, wherever the file goes; what columns a route has had lies beside its files. */
import type { Log } from '../../plugin.ts'
import type { LogRecord } from '../record.ts'
import { segment } from './envelope.ts'
import { envelopeOf, RESERVED, typedOf } from './rows.ts'
import { parquetOf, type TableColumn } from './table.ts'
import { type Known, TypedColumns } from './typed.ts'

/** Routes whose columns are kept in memory. */
const MAX_ROUTES = 100
/** Readers of data lakes leave out names that begin with a dot. */
const COLUMNS_FILE = '.columns.json'

/** Where the columns of a route are remembered, below the place of its files. */
export interface Shelf {
  /** null: there is none yet. */
  read(file: string): Promise<string | null>
  write(file: string, text: string): Promise<void>
}

export class ParquetFiles {
  readonly #sink: string
  readonly #typed: boolean
  readonly #log: Log
  readonly #shelf: Shelf
  readonly #routes = new Map<string, TypedColumns>()

  /** @param sink its name @param typed columns of decoded bodies beside the envelope */
  constructor(sink: string, typed: boolean, log: Log, shelf: Shelf) {
    this.#sink = sink
    this.#typed = typed
    this.#log = log
    this.#shelf = shelf
  }

  /** @param records of one route; calls do not overlap. @returns null: it cannot be written, which no further attempt changes. @throws what the shelf throws */
  async bytesOf(records: readonly LogRecord[]): Promise<Uint8Array | null> {
    const { route } = records[0]!
    const envelope = envelopeOf(records)
    const about = { weir_route: route }
    const typed = this.#typed ? await this.#columns(route, records) : []
    try {
      return parquetOf([...envelope, ...typed], records.length, about)
    } catch (error) {
      this.#log.warn('typed columns of a route cannot be written; its records are written without', { sink: this.#sink, route, reason: (error as Error).message })
    }
    try {
      return parquetOf(envelope, records.length, about)
    } catch (error) {
      this.#log.error('records cannot be written as Parquet', { sink: this.#sink, route, records: records.length, reason: (error as Error).message })
      return null
    }
  }

  async #columns(route: string, records: readonly LogRecord[]): Promise<TableColumn[]> {
    const known = await this.#columnsOf(route)
    const columns = typedOf(records, known)
    if (known.size > known.saved) {
      await this.#shelf.write(columnsFile(route), JSON.stringify(known.list))
      known.saved = known.size
    }
    if (known.dropped > 0) this.#log.warn('a route has more columns than a file takes; the bodies hold them all', { sink: this.#sink, route, values: known.dropped })
    known.dropped = 0
    return columns
  }

  /** What the route has had so far, so that files of all times have the same columns and types. */
  async #columnsOf(route: string): Promise<TypedColumns> {
    let found = this.#routes.get(route)
    if (found === undefined) {
      found = new TypedColumns(knownOf((await this.#shelf.read(columnsFile(route))) ?? '[]'), RESERVED)
      if (this.#routes.size >= MAX_ROUTES) this.#routes.clear()
      this.#routes.set(route, found)
    }
    return found
  }
}

const columnsFile = (route: string): string => `route=${segment(route)}/${COLUMNS_FILE}`

/** Nothing of a file that somebody spoilt: then types are learnt anew. */
function knownOf(text: string): Known[] {
  try {
    const list = JSON.parse(text) as Known[]
    return list.every(isKnown) ? list : []
  } catch {
    return []
  }
}

function isKnown({ side, name, role, column, kind, depth }: Known): boolean {
  return ['input', 'output'].includes(side) && ['', 'rows', 'text'].includes(role) && typeof name === 'string' && typeof column === 'string' && ['double', 'int64', 'boolean', 'string'].includes(kind) && [0, 1, 2].includes(depth)
}
