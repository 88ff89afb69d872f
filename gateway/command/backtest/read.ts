/** Files as requests on their own time: rows of anything (CSV, JSONL, Parquet), or weir's own records. */
import { nearest } from '../../../config/issues.ts'
import { timeOf } from '../../profile/build/times.ts'
import { openRows, openTable } from '../../profile/read/open.ts'
import { type Cell, DataError, type Progress, type Row } from '../../profile/read/table.ts'
import { isItem, type Item } from '../replay/item.ts'
import { openRequests, rowText } from '../replay/read.ts'
import type { Answered, Event } from './event.ts'
import { inOrder } from './order.ts'

/** What of the file is what. */
export interface Columns {
  readonly time: string
  /** null: the file has no labels. */
  readonly label: string | null
  /** What the model said: no part of the request, and the answer of a backend that is not asked. */
  readonly predictions: readonly string[]
}

export interface Span {
  /** Unix milliseconds; rows before and from `to` on are left out. */
  readonly from: number
  readonly to: number
  readonly limit: number
}

export interface Events {
  /** Requests of weir's own log, with the answers there were. */
  readonly logged: boolean
  readonly progress: Progress
  /** Filled while it is read. */
  readonly notes: readonly string[]
  /** In the order of time. @throws DataError */
  read(): AsyncGenerator<Event, void>
}

/** Names the request and no value of it. */
const ID = 'request_id'
/** Listed in a message. */
const MAX_LISTED = 20

/** @param route of the records that are read @throws DataError */
export async function openEvents(path: string, route: string, columns: Columns, span: Span): Promise<Events> {
  const table = await openTable([path])
  const logged = table.columns.includes('record_id')
  const source = logged ? records(path, route, columns) : await rows(path, columns, table.columns)
  return { ...source, logged, read: () => within(inOrder(source.read(), path), span) }
}

async function* within(events: AsyncIterable<Event>, { from, to, limit }: Span): AsyncGenerator<Event, void> {
  let left = limit
  for await (const event of events) {
    if (event.time < from) continue
    if (event.time >= to || left-- <= 0) return
    yield event
  }
}

// ---------------------------------------------------------------- rows

type Source = Omit<Events, 'logged'>

async function rows(path: string, columns: Columns, known: readonly string[]): Promise<Source> {
  const { time, label, predictions } = columns
  expectColumn(path, time, known, '--time COLUMN says which one is')
  for (const name of label === null ? predictions : [label, ...predictions]) expectColumn(path, name, known, 'no such column')
  const aside = new Set([time, ID, ...predictions, ...(label === null ? [] : [label])])
  const open = await openRows(path)

  async function* read(): AsyncGenerator<Event, void> {
    let row = 0
    for await (const batch of open) for (const values of batch) yield eventOf(path, values, ++row, columns, aside)
  }
  return { progress: open.progress, notes: open.notes, read }
}

function expectColumn(path: string, name: string, known: readonly string[], help: string): void {
  if (known.includes(name)) return
  if (known.length === 0) throw new DataError(`${path}: expected rows with a column "${name}", found none`)
  const near = nearest(name, [...known])
  const listed = known.slice(0, MAX_LISTED).join(', ')
  throw new DataError(`${path}: expected a column "${name}" (${help}), found ${listed}${known.length > MAX_LISTED ? ' …' : ''}${near === null ? '' : `; did you mean "${near}"?`}`)
}

function eventOf(path: string, row: Row, number: number, { time, label, predictions }: Columns, aside: ReadonlySet<string>): Event {
  const at = timeOf(row[time])
  if (Number.isNaN(at)) throw new DataError(`${path}, row ${number}, column "${time}": expected a time (ISO 8601, or a number of seconds or milliseconds since 1970), found ${shown(row[time])}`)
  return {
    time: at,
    row: number,
    id: typeof row[ID] === 'string' ? row[ID] : '',
    request: { row: rowText(without(row, aside)) },
    answer: predictions.length === 0 ? null : { row: rowText(only(row, predictions)) },
    duration_ms: 0,
    label: label === null ? undefined : row[label],
  }
}

function shown(cell: Cell): string {
  return cell === undefined ? 'none' : typeof cell === 'string' ? JSON.stringify(cell.slice(0, 60)) : String(cell)
}

function without(row: Row, names: ReadonlySet<string>): Row {
  return Object.fromEntries(Object.entries(row).filter(([name]) => !names.has(name)))
}

function only(row: Row, names: readonly string[]): Row {
  return Object.fromEntries(names.filter((name) => row[name] !== undefined).map((name) => [name, row[name]]))
}

// ---------------------------------------------------------------- records

function records(path: string, route: string, { label }: Columns): Source {
  if (label !== null) throw new DataError(`${path}: holds records of weir, which have no labels: leave --label out, or join the labels to rows of features first`)
  const requests = openRequests(path, route, { prefix: '', target: null })
  const skipped = new Map<string, number>()
  const notes: string[] = []

  async function* read(): AsyncGenerator<Event, void> {
    for await (const one of requests.read()) {
      const why = isItem(one) ? unusable(one) : one.skipped
      if (why !== null) skipped.set(why, (skipped.get(why) ?? 0) + 1)
      else yield recordEvent(one as Item, requests.progress.rows)
    }
    notes.push(...requests.notes, ...[...skipped].map(([reason, count]) => `${count} records were left out: ${reason}`))
  }
  return { progress: requests.progress, notes, read }
}

function unusable({ time }: Item): string | null {
  return time === null ? 'they say no time' : null
}

function recordEvent({ id, method, target, headers, body, time, before }: Item, row: number): Event {
  const answer: Answered | null = before === null || before.body === null ? null : { status: before.status, headers: before.headers, body: before.body }
  return { time: time!, row, id, request: { method, target, headers, body }, answer, duration_ms: before?.duration_ms ?? 0, label: undefined }
}
