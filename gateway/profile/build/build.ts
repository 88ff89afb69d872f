/** A profile out of a table in one pass: the first rows tell what columns are and place the grids, then everything is counted. */
import { createHash } from 'node:crypto'
import { createReadStream } from 'node:fs'
import type { FeatureProfile, Profile } from '../profile.ts'
import { type Batch, DataError, type Table } from '../read/table.ts'
import { Collector } from './collector.ts'
import { describeColumn } from './describe.ts'
import { type Named, roleOf } from './roles.ts'
import { isTimeName, isTimeText, timeOf } from './times.ts'
import { Hours } from './windows.ts'

export interface ProfileOptions extends Named {
  readonly model: Profile['model']
}

/** @param source what `source` of the profile says, without the rows @param tick called between batches @throws DataError */
export async function buildProfile(table: Table, options: ProfileOptions, source: Omit<Profile['source'], 'rows'>, tick: () => void = () => undefined): Promise<Profile> {
  let builder: Builder | null = null
  for await (const batch of table.batches()) {
    builder ??= new Builder(options.time ?? seenTime(batch))
    builder.add(batch)
    tick()
  }
  builder ??= new Builder(options.time)
  for (const name of table.columns) builder.column(name)
  return builder.end(options, source)
}

/** The column of time: the first whose values are times, rather one that is called so. */
function seenTime({ columns, cells, rows }: Batch): string | null {
  const times = columns.filter((name, i) => {
    const values = cells[i]!.slice(0, rows).filter((cell) => cell !== null && cell !== undefined)
    return values.length > 0 && values.every((cell) => (typeof cell === 'string' ? isTimeText(cell) : isTimeName(name) && !Number.isNaN(timeOf(cell))))
  })
  return times.find((name) => isTimeName(name)) ?? times[0] ?? null
}

class Builder {
  readonly #time: string | null
  readonly #hours = new Hours()
  readonly #columns = new Map<string, Collector>()
  #rows = 0
  #from = Infinity
  #to = -Infinity
  /** The most columns a batch had: what a column may keep of its first values depends on it. */
  #width = 1

  constructor(time: string | null) {
    this.#time = time
  }

  add(batch: Batch): void {
    this.#width = Math.max(this.#width, batch.columns.length)
    const slots = this.#slots(batch)
    batch.columns.forEach((name, i) => this.column(name).add(batch.cells[i]!, batch.rows, slots))
    this.#rows += batch.rows
  }

  column(name: string): Collector {
    let column = this.#columns.get(name)
    if (column === undefined) this.#columns.set(name, (column = new Collector(name, this.#time !== null, this.#width)))
    return column
  }

  end(options: ProfileOptions, source: Omit<Profile['source'], 'rows'>): Profile {
    const names = [...this.#columns.keys()]
    for (const flag of ['time', 'label', 'prediction', 'id'] as const) {
      const name = options[flag]
      if (name !== null && !this.#columns.has(name)) throw new DataError(`--${flag}: there is no column "${name}"; the columns are ${names.join(', ')}`)
    }
    if (options.time !== null && this.#rows > 0 && this.#to === -Infinity) throw new DataError(`--time: expected times in column "${options.time}" (ISO 8601, or seconds or milliseconds since 1970), found none`)
    const named = { ...options, time: this.#time }
    const features = [...this.#columns.values()].map((column): [string, FeatureProfile] => {
      column.end()
      return [column.name, describeColumn(column, roleOf(column, named), this.#rows, this.#hours.list)]
    })
    return {
      weir_profile: 1,
      source: { ...source, rows: this.#rows },
      model: options.model,
      time: this.#to === -Infinity ? null : { column: this.#time!, from: new Date(this.#from).toISOString(), to: new Date(this.#to).toISOString() },
      features: Object.fromEntries(features),
    }
  }

  #slots({ columns, cells, rows }: Batch): Int32Array | null {
    if (this.#time === null) return null
    const slots = new Int32Array(rows).fill(-1)
    const times = cells[columns.indexOf(this.#time)]
    if (times === undefined) return slots
    for (let row = 0; row < rows; row++) {
      const time = timeOf(times[row])
      if (Number.isNaN(time)) continue
      if (time < this.#from) this.#from = time
      if (time > this.#to) this.#to = time
      slots[row] = this.#hours.slotOf(time)
    }
    return slots
  }
}

/** SHA-256 of the bytes of the files, one after the other. @throws DataError */
export async function sha256Of(files: readonly string[]): Promise<string> {
  const hash = createHash('sha256')
  for (const file of files) {
    try {
      for await (const piece of createReadStream(file, { highWaterMark: 1 << 20 })) hash.update(piece as Buffer)
    } catch (error) {
      throw new DataError(`${file}: cannot be read: ${(error as Error).message}`, { cause: error })
    }
  }
  return hash.digest('hex')
}
