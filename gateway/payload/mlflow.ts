/**
 * MLflow's scoring server (mlflow/pyfunc/scoring_server): a JSON object with exactly one of `dataframe_split`,
 * `dataframe_records`, `instances` and `inputs`, or a CSV body; `{"predictions": …}` back. One output is its list,
 * several are records by name, as MLflow writes a data frame. NaN tokens are read, as Python writes them.
 */
import { WeirError } from '../errors.ts'
import type { Format, Written } from '../exchange.ts'
import { cellTexts, type Style } from './cells.ts'
import { ANSWER, type Dialect, REQUEST } from './collector.ts'
import { type Column, rowCount } from './columns.ts'
import { readCsv } from './csv.ts'
import { readFrame } from './frame.ts'
import { areRows, Choice, instancesText, readInstances, predictionsOf, readTensors, tensorsText } from './instances.ts'
import { TokenReader } from './json_tokens.ts'
import { mediaType } from './media_type.ts'

const REQUESTS: Dialect = { side: REQUEST, b64: false }
const ANSWERS: Dialect = { side: ANSWER, b64: false }
const REQUEST_STYLE: Style = { code: 'MODEL_INPUT', missing: 'token', bare: false, b64: false }
const FRAME_STYLE: Style = { ...REQUEST_STYLE, bare: true }
const ANSWER_STYLE: Style = { code: 'MODEL_FAILED', missing: 'error', bare: false, b64: false }

const KEYS = ['dataframe_split', 'dataframe_records', 'instances', 'inputs'] as const
type Key = (typeof KEYS)[number]
const CSV = 'text/csv'
const JSON_TYPE = 'application/json'

export const mlflow: Format = {
  name: 'mlflow',
  typed: false,

  readRequest(body, fields) {
    const type = mediaType(fields.get('content-type')) ?? JSON_TYPE
    if (type === CSV) return { columns: readCsv(body), ordered: true }
    if (type !== JSON_TYPE) throw new WeirError('UNSUPPORTED_MEDIA_TYPE', `expected content-type ${JSON_TYPE} or ${CSV}, found ${type.slice(0, 60)}`)
    const json = new TokenReader(body, REQUEST.json)
    const choice = new Choice<Key>(REQUESTS)
    json.members((key) => {
      if (isKey(key)) choice.take(key, () => readData(json, key))
      else if (key === 'params') checkParams(json)
      else json.skip()
    })
    json.end()
    const { key, columns } = choice
    if (key === null) throw new WeirError('BAD_BODY', `expected exactly one of ${KEYS.map((name) => `"${name}"`).join(', ')}, found none`)
    return { columns, ...(key === 'inputs' && { columnar: true }), ...(key === 'dataframe_split' && { ordered: true }) }
  },

  readAnswer: (body) => predictionsOf(new TokenReader(body, ANSWER.json), ANSWERS),

  writeRequest({ columns, columnar }) {
    if (columnar !== true && columns.every(isFeature) && areRows(columns)) return written('dataframe_split', frameText(columns))
    return written('inputs', tensorsText(columns, columns.length === 1, REQUEST_STYLE))
  },

  writeAnswer({ columns }, request) {
    const plain = columns.length === 1
    if (plain && request.columnar === true) return written('predictions', tensorsText(columns, plain, ANSWER_STYLE))
    return written('predictions', instancesText(columns, plain, rowCount(request), ANSWER_STYLE))
  },
}

function isKey(key: string): key is Key {
  return (KEYS as readonly string[]).includes(key)
}

function readData(json: TokenReader, key: Key): Column[] {
  if (key === 'dataframe_split') return readFrame(json, REQUESTS)
  if (key === 'inputs') return readTensors(json, key, REQUESTS)
  const columns = readInstances(json, key, REQUESTS)
  if (key === 'dataframe_records' && columns[0]?.name === '' && columns.length === 1) throw new WeirError('BAD_BODY', `expected "${key}" to be a list of objects, found a list of values`)
  return columns
}

/** Models here have no parameters; the object is checked and read over. */
function checkParams(json: TokenReader): void {
  if (json.kind() !== 'object') throw new WeirError('BAD_BODY', `expected "params" to be an object, found ${json.describe()}`)
  json.skip()
}

/** A named value a row. */
function isFeature({ name, shape }: Column): boolean {
  return name !== '' && (shape.length === 1 || (shape.length === 2 && shape[1] === 1))
}

function frameText(columns: readonly Column[]): string {
  const count = rowCount({ columns })
  const cells = columns.map((column) => cellTexts(column, count, FRAME_STYLE))
  const rows = Array.from({ length: count }, (_, row) => `[${cells.map((cell) => cell(row)).join(',')}]`)
  return `{"columns":${JSON.stringify(columns.map(({ name }) => name))},"data":[${rows.join(',')}]}`
}

function written(key: string, text: string): Written {
  return { type: JSON_TYPE, body: Buffer.from(`{"${key}":${text}}`) }
}
