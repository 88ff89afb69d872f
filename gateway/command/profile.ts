/** `weir profile`: what a data set looks like, as a file; and what two of them differ in. */
import { writeFileSync } from 'node:fs'
import { basename } from 'node:path'
import { buildProfile, sha256Of } from '../profile/build/build.ts'
import { readProfile } from '../profile/check.ts'
import { compareProfiles } from '../profile/compare.ts'
import { openLake } from '../profile/read/lake.ts'
import { dataFiles, openTable } from '../profile/read/open.ts'
import { type Batch, DataError, type Table } from '../profile/read/table.ts'
import { profileText } from '../profile/write.ts'
import type { ProfileOrder } from './orders.ts'
import { progressBar } from './progress.ts'
import type { Terminal } from './run.ts'

/** @returns exit code: 2 = the data or the files cannot be used */
export async function profile(order: ProfileOrder, terminal: Terminal): Promise<number> {
  try {
    if (order.diff !== null) terminal.out(difference(order.diff))
    else await make(order, terminal)
    return 0
  } catch (error) {
    if (!(error instanceof DataError)) throw error
    terminal.error(`weir: ${error.message}\n`)
    return 2
  }
}

async function make(order: ProfileOrder, terminal: Terminal): Promise<void> {
  const files = dataFiles(order.data)
  const { table, predictions } = await open(order)
  const source = { file: order.data.map((path) => basename(path)).join(', '), sha256: await sha256Of(files) }
  const bar = progressBar(table.progress, terminal)
  const made = await buildProfile(table, { ...order, ...(predictions !== null && { predictions }) }, source, bar.tick).finally(bar.end)
  if (made.source.rows === 0) throw new DataError(`${order.data.join(', ')}: expected rows, found none: of no data there is nothing to tell`)
  refuseUnknown(order.columns, Object.keys(made.features))
  for (const note of table.notes) terminal.error(`weir: ${note}\n`)
  const text = profileText(made)
  if (order.out === null) return terminal.out(text)
  write(order.out, text)
  terminal.error(`${order.out}: ${Object.keys(made.features).length} columns of ${made.source.rows.toLocaleString('en-US')} rows\n`)
}

/** Records of weir's own are decoded; of them columns are chosen after that. */
async function open({ data, format, columns }: ProfileOrder): Promise<{ table: Table; predictions: ReadonlySet<string> | null }> {
  const lake = await openLake(data, format)
  if (lake === null) return { table: await openTable(data, { format, columns }), predictions: null }
  return { table: columns === null ? lake : choose(lake, columns), predictions: lake.predictions }
}

function choose(table: Table, wanted: readonly string[]): Table {
  async function* batches(): AsyncGenerator<Batch, void> {
    for await (const { rows, columns, cells } of table.batches()) {
      const taken = columns.flatMap((name, i) => (wanted.includes(name) ? [i] : []))
      yield { rows, columns: taken.map((i) => columns[i]!), cells: taken.map((i) => cells[i]!) }
    }
  }
  return { ...table, columns: table.columns.filter((name) => wanted.includes(name)), batches }
}

function refuseUnknown(wanted: readonly string[] | null, columns: readonly string[]): void {
  const missing = wanted?.find((name) => !columns.includes(name))
  if (missing !== undefined) throw new DataError(`--columns: there is no column "${missing}"`)
}

function write(file: string, text: string): void {
  try {
    writeFileSync(file, text)
  } catch (error) {
    throw new DataError(`${file}: cannot be written: ${(error as Error).message}`, { cause: error })
  }
}

function difference([before, after]: readonly [string, string]): string {
  const lines = compareProfiles(read(before), read(after))
  return lines.length === 0 ? 'The profiles say the same.\n' : `${lines.join('\n')}\n`
}

function read(file: string): ReturnType<typeof readProfile> {
  try {
    return readProfile(file)
  } catch (error) {
    throw new DataError((error as Error).message, { cause: error })
  }
}
