/**
 * KServe's v1 protocol (docs/predict-api/v1): `{"instances": […]}` in, `{"predictions": […]}` out. An instance is a value,
 * a list, or an object of values by name. `inputs` is another word for `instances`, as in KServe's own server
 * (kserve/utils/utils.py, get_predict_input).
 */
import { WeirError } from '../errors.ts'
import type { Format, Written } from '../exchange.ts'
import type { Style } from './cells.ts'
import { ANSWER, type Dialect, REQUEST } from './collector.ts'
import { type Column, rowCount } from './columns.ts'
import { Choice, instancesText, readInstances, predictionsOf } from './instances.ts'
import { JsonReader } from './json.ts'

const REQUESTS: Dialect = { side: REQUEST, b64: true }
const ANSWERS: Dialect = { side: ANSWER, b64: true }
const REQUEST_STYLE: Style = { code: 'MODEL_INPUT', missing: 'null', bare: false, b64: false }
const ANSWER_STYLE: Style = { code: 'MODEL_FAILED', missing: 'error', bare: false, b64: true }

export const kserveV1: Format = {
  name: 'kserve_v1',
  typed: false,

  readRequest(body) {
    const json = new JsonReader(body, REQUEST.json)
    const choice = new Choice<'instances' | 'inputs'>(REQUESTS)
    json.members((key) => {
      if (key === 'instances' || key === 'inputs') choice.take(key, () => readInstances(json, key, REQUESTS))
      else json.skip()
    })
    json.end()
    if (choice.key === null) throw new WeirError('BAD_BODY', 'expected "instances", found none')
    return { columns: choice.columns }
  },

  readAnswer: (body) => predictionsOf(new JsonReader(body, ANSWER.json), ANSWERS),

  writeRequest({ columns }) {
    return written('instances', instancesText(columns, columns.length === 1 && !isFeature(columns[0]!), rowCount({ columns }), REQUEST_STYLE))
  },

  writeAnswer({ columns }, request) {
    return written('predictions', instancesText(columns, columns.length === 1, rowCount(request), ANSWER_STYLE))
  },
}

/** A named value a row: it keeps its name, which a matrix, the only input of a model, does not need. */
function isFeature({ name, shape }: Column): boolean {
  return name !== '' && (shape.length < 2 || (shape.length === 2 && shape[1] === 1))
}

function written(key: string, text: string): Written {
  return { type: 'application/json', body: Buffer.from(`{"${key}":${text}}`) }
}
