/**
 * Bodies of the Open Inference Protocol as columns.
 *
 * Reading is strict: what a tensor says of itself must be true. Values are not coerced: 1.0 is no INT64, 1 is no BOOL.
 * Keys the protocol does not know are read over. 64-bit integers are exact.
 */
import { type Code, WeirError } from '../errors.ts'
import type { Fields } from '../headers.ts'
import { JSON_LENGTH, jsonLength, Tail } from './binary.ts'
import type { Column, Columns, Data, Dtype, Parameters } from './columns.ts'
import { clip, JsonReader } from './json.ts'
import { checkOutput, checkRequest, readParameters } from './oip_parameters.ts'
import { dtypes, isDtype, type Owner, readData } from './tensor.ts'

/** ONNX tensors of real models have up to 6 dimensions. */
export const MAX_RANK = 16
/** Up to so many names are compared with each other, more are kept in a set. */
const FEW = 8
const EMPTY = Buffer.alloc(0)

/** A request is read against other errors than an answer: the one is the caller's fault, the other the backend's. */
export interface Side {
  readonly json: Code
  readonly tensor: Code
  readonly tensors: 'inputs' | 'outputs'
  readonly word: 'input' | 'output'
}
const REQUEST: Side = { json: 'BAD_BODY', tensor: 'MODEL_INPUT', tensors: 'inputs', word: 'input' }
const ANSWER: Side = { json: 'INVALID_ANSWER', tensor: 'INVALID_ANSWER', tensors: 'outputs', word: 'output' }

/** @throws WeirError `BAD_BODY` or `MODEL_INPUT` */
export function readRequest(body: Buffer, fields: Fields): Columns {
  const stated = fields.get(JSON_LENGTH)
  const length = stated === undefined ? body.length : jsonLength(stated, body, REQUEST.json)
  if (length === 0 && stated !== undefined) return { columns: [], raw: body }
  const json = new JsonReader(stated === undefined ? body : body.subarray(0, length), REQUEST.json)
  const tail = new Tail(stated === undefined ? EMPTY : body.subarray(length))
  const request: { -readonly [K in keyof Columns]: Columns[K] } = { columns: [] }
  let outputs: RequestedOutput[] | undefined
  let inputs: Column[] | undefined
  if (json.enterObject()) {
    do {
      const key = json.key()
      if (key === 'inputs') inputs = once(inputs, key, REQUEST, readTensors(json, tail, REQUEST))
      else if (key === 'id') request.id = once(request.id, key, REQUEST, readText(json, key, REQUEST))
      else if (key === 'parameters') request.parameters = once(request.parameters, key, REQUEST, readParameters(json, '"parameters"', REQUEST.json))
      else if (key === 'outputs') outputs = once(outputs, key, REQUEST, readRequestedOutputs(json))
      else json.skip()
    } while (json.nextMember())
  }
  json.end()
  tail.end(REQUEST.json)
  if (inputs === undefined || inputs.length === 0) throw new WeirError('BAD_BODY', 'expected "inputs" to be an array of at least one tensor, found none')
  request.columns = inputs
  if (tail.used) request.binary = true
  if (request.parameters !== undefined) checkRequest(request.parameters)
  // An empty list asks for all, as servers of this protocol take it.
  if (outputs !== undefined && outputs.length > 0) {
    request.outputs = outputs.map(({ name }) => name)
    if (outputs.some(({ parameters }) => parameters !== undefined)) request.outputParameters = outputs.map(({ parameters }) => parameters)
  }
  return request
}

/** @throws WeirError `INVALID_ANSWER` */
export function readAnswer(body: Buffer, fields: Fields): Columns {
  const stated = fields.get(JSON_LENGTH)
  const length = stated === undefined ? body.length : jsonLength(stated, body, ANSWER.json)
  const json = new JsonReader(body.subarray(0, length), ANSWER.json)
  const tail = new Tail(body.subarray(length))
  let id: string | undefined
  let name = ''
  let version = ''
  let parameters: Parameters | undefined
  let columns: Column[] | undefined
  json.members((key) => {
    if (key === 'id') id = readText(json, key, ANSWER)
    else if (key === 'model_name') name = readText(json, key, ANSWER)
    else if (key === 'model_version') version = readText(json, key, ANSWER)
    else if (key === 'parameters') parameters = readParameters(json, '"parameters"', ANSWER.json)
    else if (key === 'outputs') columns = once(columns, key, ANSWER, readTensors(json, tail, ANSWER))
    else json.skip()
  })
  json.end()
  tail.end(ANSWER.json)
  if (columns === undefined) throw new WeirError('INVALID_ANSWER', 'the answer has no "outputs"')
  return {
    columns,
    model: { name, version },
    ...(id !== undefined && { id }),
    ...(parameters !== undefined && { parameters }),
    ...(tail.used && { binary: true }),
  }
}

function once<T>(before: T | undefined, key: string, side: Side, value: T): T {
  if (before !== undefined) throw new WeirError(side.json, `"${key}" is given twice`)
  return value
}

function readText(json: JsonReader, key: string, side: Side): string {
  if (json.kind() !== 'string') throw new WeirError(side.json, `expected "${key}" to be a string, found ${json.describe()}`)
  return json.string()
}

function readTensors(json: JsonReader, tail: Tail, side: Side): Column[] {
  if (json.kind() !== 'array') throw new WeirError(side.json, `expected "${side.tensors}" to be an array of tensors, found ${json.describe()}`)
  const columns: Column[] = []
  const names = new Names()
  if (!json.enterArray()) return columns
  do {
    const column = new TensorObject(json, columns.length, side).read(tail)
    if (!names.add(column.name)) throw new WeirError(side.tensor, `${side.word} "${clip(column.name)}" is given twice`)
    columns.push(column)
  } while (json.nextElement())
  return columns
}

/** Tells names that were there before. */
class Names {
  readonly #few: string[] = []
  #many: Set<string> | null = null

  /** @returns false when it was there */
  add(name: string): boolean {
    if (this.#many === null) {
      if (this.#few.includes(name)) return false
      this.#few.push(name)
      if (this.#few.length > FEW) this.#many = new Set(this.#few)
      return true
    }
    if (this.#many.has(name)) return false
    this.#many.add(name)
    return true
  }
}

/** One tensor while it is read: its members may come in any order. */
class TensorObject {
  readonly #json: JsonReader
  readonly #index: number
  readonly #side: Side
  #name: string | undefined
  #shape: number[] | undefined
  #datatype: string | undefined
  #parameters: Parameters | undefined
  #data: Data | undefined
  /** Where `data` stands; -1 = not seen. */
  #dataAt = -1

  constructor(json: JsonReader, index: number, side: Side) {
    this.#json = json
    this.#index = index
    this.#side = side
  }

  read(tail: Tail): Column {
    const json = this.#json
    if (json.kind() !== 'object') throw new WeirError(this.#side.json, `expected ${this.#at()} to be a tensor object, found ${json.describe()}`)
    if (json.enterObject()) {
      do this.#member(json.key())
      while (json.nextMember())
    }
    return this.#column(tail)
  }

  #member(key: string): void {
    const json = this.#json
    const side = this.#side
    if (key === 'name') this.#name = this.#once(this.#name, key, this.#text(key))
    else if (key === 'shape') this.#shape = this.#once(this.#shape, key, this.#dimensions())
    else if (key === 'datatype') this.#datatype = this.#once(this.#datatype, key, this.#text(key))
    else if (key === 'parameters') this.#parameters = this.#once(this.#parameters, key, readParameters(json, () => `${this.#label()}: "parameters"`, side.json))
    else if (key === 'data') this.#readData()
    else json.skip()
  }

  /** `data` may come before what it needs to be understood; then it is read over and read again. */
  #readData(): void {
    const json = this.#json
    if (this.#dataAt >= 0) throw new WeirError(this.#side.json, `"${this.#at()}.data" is given twice`)
    json.peek()
    this.#dataAt = json.pos
    const datatype = this.#datatype
    if (this.#name === undefined || this.#shape === undefined || datatype === undefined || !isDtype(datatype)) json.skip()
    else this.#data = readData(json, datatype, this.#shape, this.#owner())
  }

  #column(tail: Tail): Column {
    const name = this.#name
    const shape = this.#shape
    const dtype = this.#datatype
    const { tensor } = this.#side
    if (name === undefined) throw new WeirError(tensor, `${this.#at()} has no "name"`)
    if (shape === undefined) throw new WeirError(tensor, `${this.#label()} has no "shape"`)
    if (dtype === undefined) throw new WeirError(tensor, `${this.#label()} has no "datatype"`)
    if (!isDtype(dtype)) throw new WeirError(tensor, `${this.#label()}: unknown datatype "${clip(dtype)}"; expected one of ${dtypes()}`)
    const size = this.#parameters?.['binary_data_size']
    const data = size === undefined ? this.#jsonData(dtype, shape) : this.#binaryData(dtype, shape, size, tail)
    const parameters = size === undefined ? this.#parameters : withoutSize(this.#parameters!)
    return parameters === undefined ? { name, dtype, shape, data } : { name, dtype, shape, data, parameters }
  }

  #jsonData(dtype: Dtype, shape: readonly number[]): Data {
    if (this.#data !== undefined) return this.#data
    const json = this.#json
    if (this.#dataAt < 0) {
      const shared = this.#parameters !== undefined && Object.hasOwn(this.#parameters, 'shared_memory_region')
      throw new WeirError(this.#side.tensor, `${this.#label()} has no "data"${shared ? '; shared memory is not supported' : ''}`)
    }
    const after = json.pos
    json.pos = this.#dataAt
    const data = readData(json, dtype, shape, this.#owner())
    json.pos = after
    return data
  }

  #binaryData(dtype: Dtype, shape: readonly number[], size: Parameters[string], tail: Tail): Data {
    if (this.#dataAt >= 0) throw new WeirError(this.#side.tensor, `${this.#label()} has both "data" and "binary_data_size"; send one of them`)
    if (typeof size !== 'number' || !Number.isSafeInteger(size) || size < 0) {
      throw new WeirError(this.#side.tensor, `${this.#label()}: expected binary_data_size to be a number of bytes, found ${typeof size === 'string' ? JSON.stringify(clip(size)) : size}`)
    }
    return tail.take(dtype, shape, size, this.#owner())
  }

  #dimensions(): number[] {
    const json = this.#json
    const shape: number[] = []
    if (json.kind() !== 'array') throw this.#expected(`shape to be an array of integers, found ${json.describe()}`)
    if (!json.enterArray()) return shape
    do {
      if (json.kind() !== 'number') throw this.#expected(`a dimension of the shape to be an integer, found ${json.describe()}`)
      const size = json.number()
      if (!json.integral || size < 0 || !Number.isSafeInteger(size)) throw this.#expected(`a dimension of the shape to be an integer from 0, found ${json.token}`)
      if (shape.length === MAX_RANK) throw this.#expected(`at most ${MAX_RANK} dimensions, found more`)
      shape.push(size)
    } while (json.nextElement())
    return shape
  }

  #text(key: string): string {
    const json = this.#json
    if (json.kind() !== 'string') throw new WeirError(this.#side.json, `expected "${this.#at()}.${key}" to be a string, found ${json.describe()}`)
    return json.string()
  }

  #once<T>(before: T | undefined, key: string, value: T): T {
    if (before !== undefined) throw new WeirError(this.#side.json, `"${this.#at()}.${key}" is given twice`)
    return value
  }

  #at(): string {
    return `${this.#side.tensors}[${this.#index}]`
  }

  #label(): string {
    return this.#name === undefined ? this.#at() : `${this.#side.word} "${clip(this.#name)}"`
  }

  #owner(): Owner {
    return { code: this.#side.tensor, label: this.#label() }
  }

  #expected(text: string): WeirError {
    return new WeirError(this.#side.tensor, `${this.#label()}: expected ${text}`)
  }
}

/** The size of the bytes is said again when they are written again. */
function withoutSize(parameters: Parameters): Parameters | undefined {
  if (Object.keys(parameters).length === 1) return undefined
  const { binary_data_size: _, ...rest } = parameters
  return rest
}

interface RequestedOutput {
  readonly name: string
  readonly parameters: Parameters | undefined
}

function readRequestedOutputs(json: JsonReader): RequestedOutput[] {
  const outputs: RequestedOutput[] = []
  const names = new Names()
  if (json.kind() !== 'array') throw new WeirError('BAD_BODY', `expected "outputs" to be an array, found ${json.describe()}`)
  if (!json.enterArray()) return outputs
  do {
    const output = readRequestedOutput(json, `outputs[${outputs.length}]`)
    if (!names.add(output.name)) throw new WeirError('MODEL_INPUT', `output "${clip(output.name)}" is requested twice`)
    outputs.push(output)
  } while (json.nextElement())
  return outputs
}

function readRequestedOutput(json: JsonReader, at: string): RequestedOutput {
  if (json.kind() !== 'object') throw new WeirError('BAD_BODY', `expected ${at} to be an object with a "name", found ${json.describe()}`)
  let name: string | undefined
  let parameters: Parameters | undefined
  json.members((key) => {
    if (key === 'name') name = once(name, `${at}.name`, REQUEST, readText(json, `${at}.name`, REQUEST))
    else if (key === 'parameters') parameters = once(parameters, `${at}.parameters`, REQUEST, readParameters(json, () => `${at}: "parameters"`, REQUEST.json))
    else json.skip()
  })
  if (name === undefined) throw new WeirError('BAD_BODY', `${at} has no "name"`)
  if (parameters !== undefined) checkOutput(name, parameters)
  return { name, parameters }
}
