/**
 * TensorFlow Serving's predict API over REST (g3doc/api_rest.md, "Predict API"; util/json_tensor.cc).
 *
 * `instances` are rows and answered as rows (`predictions`), `inputs` whole tensors and answered whole (`outputs`); the only
 * output has no name in the answer. NaN and infinities are tokens, as TF Serving reads and writes them; an answer of weir
 * never holds them.
 */
import { WeirError } from '../errors.ts'
import type { Format, Written } from '../exchange.ts'
import type { Style } from './cells.ts'
import { ANSWER, type Dialect, REQUEST } from './collector.ts'
import { areRows, Choice, instancesText, readInstances, readPredictions, readTensors, tensorsText } from './instances.ts'
import { rowCount } from './columns.ts'
import { clip } from './json.ts'
import { TokenReader } from './json_tokens.ts'

const REQUESTS: Dialect = { side: REQUEST, b64: true }
const ANSWERS: Dialect = { side: ANSWER, b64: true }
const REQUEST_STYLE: Style = { code: 'MODEL_INPUT', missing: 'token', bare: false, b64: false }
const ANSWER_STYLE: Style = { code: 'MODEL_FAILED', missing: 'error', bare: false, b64: true }
/** The one signature a model here has. */
const SIGNATURE = 'serving_default'

export const tfs: Format = {
  name: 'tfs',
  typed: false,

  readRequest(body) {
    const json = new TokenReader(body, REQUEST.json)
    const choice = new Choice<'instances' | 'inputs'>(REQUESTS)
    json.members((key) => {
      if (key === 'instances') choice.take(key, () => readInstances(json, key, REQUESTS))
      else if (key === 'inputs') choice.take(key, () => readTensors(json, key, REQUESTS))
      else if (key === 'signature_name') checkSignature(json)
      else json.skip()
    })
    json.end()
    const { key, columns } = choice
    if (key === null) throw new WeirError('BAD_BODY', 'expected "instances" or "inputs", found neither')
    if (columns.length === 0) throw new WeirError('MODEL_INPUT', `expected at least one value in "${key}", found none`)
    return key === 'inputs' ? { columns, columnar: true } : { columns }
  },

  readAnswer(body) {
    const json = new TokenReader(body, ANSWER.json)
    const choice = new Choice<'predictions' | 'outputs'>(ANSWERS)
    json.members((key) => {
      if (key === 'predictions' || key === 'outputs') choice.take(key, () => readPredictions(json, key, ANSWERS, key === 'outputs'))
      else json.skip()
    })
    json.end()
    const { key, columns } = choice
    if (key === null) throw new WeirError('INVALID_ANSWER', 'the answer has neither "predictions" nor "outputs"')
    return key === 'outputs' ? { columns, columnar: true } : { columns }
  },

  writeRequest({ columns, columnar }) {
    const plain = columns.length === 1
    if (columnar === true || !areRows(columns)) return written('inputs', tensorsText(columns, plain, REQUEST_STYLE))
    return written('instances', instancesText(columns, plain, rowCount({ columns }), REQUEST_STYLE))
  },

  writeAnswer({ columns }, request) {
    const plain = columns.length === 1
    if (request.columnar === true) return written('outputs', tensorsText(columns, plain, ANSWER_STYLE))
    return written('predictions', instancesText(columns, plain, rowCount(request), ANSWER_STYLE))
  },
}

function written(key: string, text: string): Written {
  return { type: 'application/json', body: Buffer.from(`{"${key}":${text}}`) }
}

function checkSignature(json: TokenReader): void {
  if (json.kind() !== 'string') throw new WeirError('BAD_BODY', `expected "signature_name" to be a string, found ${json.describe()}`)
  const name = json.string()
  // An empty one is the default to TF Serving too.
  if (name !== SIGNATURE && name !== '') throw new WeirError('MODEL_INPUT', `unknown signature "${clip(name)}"; the model has "${SIGNATURE}" alone`)
}

