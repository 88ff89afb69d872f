/**
 * Rows: one JSON object of named features, or an array of them. One object in, one object out; an array in, an array of
 * the same length and order out.
 *
 * A key is a column (`collector.ts` says of what type). A column with one value a row (`[N]` or `[N,1]`) is written as that
 * value, a vector as a list.
 */
import { WeirError } from '../errors.ts'
import type { Format, Written } from '../exchange.ts'
import { objectTexts, type Style } from './cells.ts'
import { ANSWER, type Dialect, REQUEST } from './collector.ts'
import { type Columns, rowCount } from './columns.ts'
import { JsonReader } from './json.ts'
import { Table } from './table.ts'

const REQUESTS: Style = { code: 'MODEL_INPUT', missing: 'null', bare: true, b64: false }
const ANSWERS: Style = { code: 'MODEL_FAILED', missing: 'error', bare: true, b64: false }

export const rows: Format = {
  name: 'rows',
  typed: false,
  readRequest: (body) => read(body, { side: REQUEST, b64: false }),
  readAnswer: (body) => read(body, { side: ANSWER, b64: false }),
  writeRequest: (columns) => write(columns, columns, REQUESTS),
  writeAnswer: (columns, request) => write(columns, request, ANSWERS),
}

function read(body: Buffer, dialect: Dialect): Columns {
  const json = new JsonReader(body, dialect.side.json)
  const kind = json.kind()
  if (kind !== 'object' && kind !== 'array') throw new WeirError(dialect.side.json, `expected an object or an array of objects, found ${json.describe()}`)
  const table = new Table(json, dialect)
  const single = kind === 'object'
  if (single) table.row()
  else if (json.enterArray()) {
    do table.row()
    while (json.nextElement())
  }
  json.end()
  return single ? { columns: table.columns(), single } : { columns: table.columns() }
}

function write({ columns }: Columns, request: Columns, style: Style): Written {
  const objects = objectTexts(columns, rowCount(request), style)
  return { type: 'application/json', body: Buffer.from(request.single === true ? (objects[0] ?? '{}') : `[${objects.join(',')}]`) }
}
