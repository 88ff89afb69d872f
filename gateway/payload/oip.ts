/**
 * Open Inference Protocol v2 over REST, JSON tensors
 * (open-inference-protocol, specification/protocol/inference_rest.md, "Inference Request JSON Object" and "… Response …").
 *
 * Reading is strict: what a tensor says of itself must be true. Values are not coerced: 1.0 is no INT64, 1 is no BOOL.
 * Keys the protocol does not know are read over. 64-bit integers are exact.
 */
import type { Format } from '../exchange.ts'
import { type Code, WeirError } from '../errors.ts'
import type { Fields } from '../headers.ts'
import type { Column, Columns, Parameters } from './columns.ts'
import { clip, JsonReader } from './json.ts'
import { dtypes, elements, flatText, isDtype, readData, shapeText } from './tensor.ts'

/** ONNX tensors of real models have up to 6 dimensions. */
const MAX_RANK = 16
const JSON_TYPE = 'application/json'

/** A request is read against other errors than an answer: the one is the caller's fault, the other the backend's. */
interface Side {
  readonly json: Code
  readonly tensor: Code
  readonly tensors: 'inputs' | 'outputs'
  readonly word: 'input' | 'output'
}
const REQUEST: Side = { json: 'BAD_BODY', tensor: 'MODEL_INPUT', tensors: 'inputs', word: 'input' }
const ANSWER: Side = { json: 'INVALID_ANSWER', tensor: 'INVALID_ANSWER', tensors: 'outputs', word: 'output' }

export const oip: Format = {
  name: 'oip',
  typed: true,

  readRequest(body, fields) {
    checkHead(fields, REQUEST)
    const json = new JsonReader(body, REQUEST.json)
    let id: string | undefined
    let parameters: Parameters | undefined
    let columns: Column[] | undefined
    let outputs: RequestedOutput[] | undefined
    json.members((key) => {
      if (key === 'id') id = once(id, key, REQUEST, readText(json, key, REQUEST))
      else if (key === 'parameters') parameters = once(parameters, key, REQUEST, readParameters(json, 'parameters', REQUEST))
      else if (key === 'inputs') columns = once(columns, key, REQUEST, readTensors(json, REQUEST))
      else if (key === 'outputs') outputs = once(outputs, key, REQUEST, readRequestedOutputs(json))
      else json.skip()
    })
    json.end()
    if (columns === undefined || columns.length === 0) throw new WeirError('BAD_BODY', 'expected "inputs" to be an array of at least one tensor, found none')
    return {
      columns,
      ...(id !== undefined && { id }),
      ...(parameters !== undefined && { parameters }),
      // An empty list asks for all, as servers of this protocol take it.
      ...(outputs !== undefined && outputs.length > 0 && requested(outputs)),
    }
  },

  readAnswer(body, fields) {
    checkHead(fields, ANSWER)
    const json = new JsonReader(body, ANSWER.json)
    let id: string | undefined
    let name = ''
    let version = ''
    let parameters: Parameters | undefined
    let columns: Column[] | undefined
    json.members((key) => {
      if (key === 'id') id = readText(json, key, ANSWER)
      else if (key === 'model_name') name = readText(json, key, ANSWER)
      else if (key === 'model_version') version = readText(json, key, ANSWER)
      else if (key === 'parameters') parameters = readParameters(json, 'parameters', ANSWER)
      else if (key === 'outputs') columns = once(columns, key, ANSWER, readTensors(json, ANSWER))
      else json.skip()
    })
    json.end()
    if (columns === undefined) throw new WeirError('INVALID_ANSWER', 'the answer has no "outputs"')
    return { columns, model: { name, version }, ...(id !== undefined && { id }), ...(parameters !== undefined && { parameters }) }
  },

  writeRequest(columns) {
    const head = [...(columns.id === undefined ? [] : [`"id":${JSON.stringify(columns.id)}`]), ...parametersText(columns.parameters)]
    const inputs = columns.columns.map((column) => tensorText(column, REQUEST.tensor, REQUEST.word))
    const outputs = columns.outputs?.map((name, i) => `{${[`"name":${JSON.stringify(name)}`, ...parametersText(columns.outputParameters?.[i])].join(',')}}`)
    return encode(`{${[...head, `"inputs":[${inputs.join(',')}]`, ...(outputs === undefined ? [] : [`"outputs":[${outputs.join(',')}]`])].join(',')}}`)
  },

  writeAnswer(columns, request) {
    let text = '{'
    if (columns.model !== undefined) {
      text += `"model_name":${JSON.stringify(columns.model.name)},`
      if (columns.model.version !== '') text += `"model_version":${JSON.stringify(columns.model.version)},`
    }
    if (request.id !== undefined) text += `"id":${JSON.stringify(request.id)},`
    for (const part of parametersText(columns.parameters)) text += `${part},`
    const chosen = request.outputs === undefined ? columns.columns : request.outputs.map((name) => pick(columns.columns, name))
    return encode(`${text}"outputs":[${chosen.map((column) => tensorText(column, 'MODEL_FAILED', 'output')).join(',')}]}`)
  },
}

// ---------------------------------------------------------------- reading

interface RequestedOutput {
  readonly name: string
  readonly parameters: Parameters | undefined
}

function requested(outputs: readonly RequestedOutput[]): Pick<Columns, 'outputs' | 'outputParameters'> {
  const plain = outputs.every((output) => output.parameters === undefined)
  return { outputs: outputs.map((output) => output.name), ...(!plain && { outputParameters: outputs.map((output) => output.parameters) }) }
}

function checkHead(fields: Fields, side: Side): void {
  if (fields.get('inference-header-content-length') !== undefined) {
    throw new WeirError(side.json, 'the binary tensor extension is not supported here: send tensors as JSON')
  }
  const coding = fields.get('content-encoding')
  if (coding === undefined || coding.toLowerCase() === 'identity') return
  throw new WeirError(side.json, `content-encoding ${clip(coding)} is not read here: send the JSON as it is`)
}

function once<T>(before: T | undefined, key: string, side: Side, value: T): T {
  if (before !== undefined) throw new WeirError(side.json, `"${key}" is given twice`)
  return value
}

function readText(json: JsonReader, key: string, side: Side): string {
  if (json.kind() !== 'string') throw new WeirError(side.json, `expected "${key}" to be a string, found ${json.describe()}`)
  return json.string()
}

function readTensors(json: JsonReader, side: Side): Column[] {
  if (json.kind() !== 'array') throw new WeirError(side.json, `expected "${side.tensors}" to be an array of tensors, found ${json.describe()}`)
  const columns: Column[] = []
  const names = new Set<string>()
  if (!json.enterArray()) return columns
  do {
    const column = readTensor(json, columns.length, side)
    if (names.has(column.name)) throw new WeirError(side.tensor, `${side.word} "${clip(column.name)}" is given twice`)
    names.add(column.name)
    columns.push(column)
  } while (json.nextElement())
  return columns
}

/** `data` may come before what it needs to be understood; then it is read over and read again. */
function readTensor(json: JsonReader, index: number, side: Side): Column {
  const at = `${side.tensors}[${index}]`
  if (json.kind() !== 'object') throw new WeirError(side.json, `expected ${at} to be a tensor object, found ${json.describe()}`)
  let name: string | undefined
  let shape: number[] | undefined
  let datatype: string | undefined
  let parameters: Parameters | undefined
  let data: Column['data'] | undefined
  let dataAt = -1
  const label = () => (name === undefined ? at : `${side.word} "${clip(name)}"`)
  const owner = () => ({ code: side.tensor, label: label() })
  json.members((key) => {
    if (key === 'name') name = once(name, `${at}.name`, side, readText(json, `${at}.name`, side))
    else if (key === 'shape') shape = once(shape, `${at}.shape`, side, readShape(json, label(), side))
    else if (key === 'datatype') datatype = once(datatype, `${at}.datatype`, side, readText(json, `${at}.datatype`, side))
    else if (key === 'parameters') parameters = once(parameters, `${at}.parameters`, side, readParameters(json, label(), side))
    else if (key === 'data') {
      if (dataAt >= 0) throw new WeirError(side.json, `"${at}.data" is given twice`)
      json.peek()
      dataAt = json.pos
      if (name !== undefined && shape !== undefined && datatype !== undefined && isDtype(datatype)) data = readData(json, datatype, shape, owner())
      else json.skip()
    } else json.skip()
  })
  if (name === undefined) throw new WeirError(side.tensor, `${at} has no "name"`)
  if (shape === undefined) throw new WeirError(side.tensor, `${label()} has no "shape"`)
  if (datatype === undefined) throw new WeirError(side.tensor, `${label()} has no "datatype"`)
  if (!isDtype(datatype)) throw new WeirError(side.tensor, `${label()}: unknown datatype "${clip(datatype)}"; expected one of ${dtypes()}`)
  if (dataAt < 0) throw new WeirError(side.tensor, `${label()} has no "data"`)
  if (data === undefined) {
    const after = json.pos
    json.pos = dataAt
    data = readData(json, datatype, shape, owner())
    json.pos = after
  }
  return { name, dtype: datatype, shape, data, ...(parameters !== undefined && { parameters }) }
}

function readShape(json: JsonReader, label: string, side: Side): number[] {
  const wrong = (text: string): WeirError => new WeirError(side.tensor, `${label}: expected ${text}`)
  const shape: number[] = []
  if (json.kind() !== 'array') throw wrong(`shape to be an array of integers, found ${json.describe()}`)
  if (!json.enterArray()) return shape
  do {
    if (json.kind() !== 'number') throw wrong(`a dimension of the shape to be an integer, found ${json.describe()}`)
    const size = json.number()
    if (!json.integral || size < 0 || !Number.isSafeInteger(size)) throw wrong(`a dimension of the shape to be an integer from 0, found ${json.token}`)
    if (shape.length === MAX_RANK) throw wrong(`at most ${MAX_RANK} dimensions, found more`)
    shape.push(size)
  } while (json.nextElement())
  return shape
}

function readParameters(json: JsonReader, label: string, side: Side): Parameters {
  const what = label === 'parameters' ? '"parameters"' : `${label}: "parameters"`
  if (json.kind() !== 'object') throw new WeirError(side.json, `expected ${what} to be an object, found ${json.describe()}`)
  const entries = new Map<string, Parameters[string]>()
  json.members((key) => {
    if (entries.has(key)) throw new WeirError(side.json, `${what} has "${clip(key)}" twice`)
    entries.set(key, readParameter(json, `${what} ${JSON.stringify(clip(key))}`, side))
  })
  return Object.fromEntries(entries)
}

function readParameter(json: JsonReader, what: string, side: Side): Parameters[string] {
  const kind = json.kind()
  if (kind === 'string') return json.string()
  if (kind === 'boolean') return json.boolean()
  if (kind !== 'number') throw new WeirError(side.json, `expected ${what} to be a string, number or boolean, found ${json.describe()}`)
  const value = json.number()
  if (!Number.isFinite(value)) throw new WeirError(side.json, `expected ${what} to be a number in the range of FP64, found ${json.token}`)
  return json.integral && !Number.isSafeInteger(value) ? (json.bigint() ?? value) : value
}

function readRequestedOutputs(json: JsonReader): RequestedOutput[] {
  const outputs: RequestedOutput[] = []
  const names = new Set<string>()
  if (json.kind() !== 'array') throw new WeirError('BAD_BODY', `expected "outputs" to be an array, found ${json.describe()}`)
  if (!json.enterArray()) return outputs
  do {
    const at = `outputs[${outputs.length}]`
    if (json.kind() !== 'object') throw new WeirError('BAD_BODY', `expected ${at} to be an object with a "name", found ${json.describe()}`)
    let name: string | undefined
    let parameters: Parameters | undefined
    json.members((key) => {
      if (key === 'name') name = once(name, `${at}.name`, REQUEST, readText(json, `${at}.name`, REQUEST))
      else if (key === 'parameters') parameters = once(parameters, `${at}.parameters`, REQUEST, readParameters(json, at, REQUEST))
      else json.skip()
    })
    if (name === undefined) throw new WeirError('BAD_BODY', `${at} has no "name"`)
    if (names.has(name)) throw new WeirError('MODEL_INPUT', `output "${clip(name)}" is requested twice`)
    names.add(name)
    outputs.push({ name, parameters })
  } while (json.nextElement())
  return outputs
}

// ---------------------------------------------------------------- writing

function pick(columns: readonly Column[], name: string): Column {
  const column = columns.find((candidate) => candidate.name === name)
  if (column === undefined) throw new WeirError('INVALID_ANSWER', `the answer lacks the requested output "${clip(name)}"`)
  return column
}

function tensorText(column: Column, code: Code, word: Side['word']): string {
  const owner = { code, label: `${word} "${column.name}"` }
  if (elements(column.shape) !== column.data.length) {
    throw new WeirError('INTERNAL', `${owner.label}: shape ${shapeText(column.shape)} does not fit its ${column.data.length} elements`)
  }
  const head = [`"name":${JSON.stringify(column.name)}`, `"datatype":"${column.dtype}"`, `"shape":${shapeText(column.shape)}`, ...parametersText(column.parameters)]
  return `{${head.join(',')},"data":[${flatText(column, owner)}]}`
}

/** `"parameters":{…}`, or nothing. */
function parametersText(parameters: Parameters | undefined): string[] {
  if (parameters === undefined) return []
  const entries = Object.entries(parameters).map(([key, value]) => `${JSON.stringify(key)}:${typeof value === 'bigint' ? value : JSON.stringify(value)}`)
  return [`"parameters":{${entries.join(',')}}`]
}

function encode(text: string): { type: string; body: Buffer } {
  return { type: JSON_TYPE, body: Buffer.from(text) }
}
