/** Rows in the order of their times, where they are nearly so: data threads and partitions write side by side. */
import { DataError } from '../../profile/read/table.ts'

interface Timed {
  readonly time: number
  readonly row: number
}

/** Rows that are held to be put in order. */
const HELD_ROWS = 50_000
/** Between one row and the next. More is a time of another unit, or a row that is none. */
const MAX_GAP_MS = 366 * 86_400_000

/** @param file for messages @throws DataError */
export async function* inOrder<T extends Timed>(rows: AsyncIterable<T>, file: string, held = HELD_ROWS): AsyncGenerator<T, void> {
  let waiting: T[] = []
  let last = -Infinity

  function* first(count: number): Generator<T, void> {
    waiting.sort((a, b) => a.time - b.time)
    for (const row of waiting.slice(0, count)) {
      check(row, last, file, held)
      last = row.time
      yield row
    }
    waiting = waiting.slice(count)
  }

  for await (const row of rows) {
    waiting.push(row)
    if (waiting.length === 2 * held) yield* first(held)
  }
  yield* first(waiting.length)
}

function check({ time, row }: Timed, last: number, file: string, held: number): void {
  if (time < last) throw new DataError(`${file}, row ${row}: expected rows in the order of their times, at most ${held} rows apart, found ${iso(time)} behind ${iso(last)}; sort the file by time`)
  if (time - last > MAX_GAP_MS && last !== -Infinity) throw new DataError(`${file}, row ${row}: expected a row within a year of the one before it (${iso(last)}), found ${iso(time)}`)
}

function iso(time: number): string {
  return new Date(time).toISOString()
}
