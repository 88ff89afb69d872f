/** Parameters of the Open Inference Protocol: reading them, and those that steer how tensors travel. */
import { type Code, WeirError } from '../errors.ts'
import type { Parameters } from './columns.ts'
import { clip, type JsonReader } from './json.ts'

/** What belongs to one transport of one tensor; not echoed and not sent on. */
const STEERING = new Set(['binary_data', 'binary_data_size', 'classification'])

/** @param label whose they are, for messages @param code of errors @throws WeirError */
export function readParameters(json: JsonReader, label: string | (() => string), code: Code): Parameters {
  const what = (): string => (typeof label === 'string' ? label : label())
  if (json.kind() !== 'object') throw new WeirError(code, `expected ${what()} to be an object, found ${json.describe()}`)
  const parameters: Record<string, Parameters[string]> = {}
  if (!json.enterObject()) return parameters
  do {
    const key = json.key()
    if (Object.hasOwn(parameters, key)) throw new WeirError(code, `${what()} has "${clip(key)}" twice`)
    const value = readParameter(json, () => `${what()} ${JSON.stringify(clip(key))}`, code)
    if (key === '__proto__') Object.defineProperty(parameters, key, { value, enumerable: true, configurable: true, writable: true })
    else parameters[key] = value
  } while (json.nextMember())
  return parameters
}

function readParameter(json: JsonReader, what: () => string, code: Code): Parameters[string] {
  const kind = json.kind()
  if (kind === 'string') return json.string()
  if (kind === 'boolean') return json.boolean()
  if (kind !== 'number') throw new WeirError(code, `expected ${what()} to be a string, number or boolean, found ${json.describe()}`)
  const value = json.number()
  if (!Number.isFinite(value)) throw new WeirError(code, `expected ${what()} to be a number in the range of FP64, found ${json.token}`)
  return json.integral && !Number.isSafeInteger(value) ? (json.bigint() ?? value) : value
}

/** Parameters of a request. @throws WeirError `MODEL_INPUT` */
export function checkRequest(parameters: Parameters): void {
  const { binary_data_output: binary } = parameters
  if (binary !== undefined && typeof binary !== 'boolean') throw new WeirError('MODEL_INPUT', `expected binary_data_output to be true or false, found ${shown(binary)}`)
}

/** Parameters of a requested output. @throws WeirError `MODEL_INPUT` */
export function checkOutput(name: string, parameters: Parameters): void {
  const refuse = (text: string): WeirError => new WeirError('MODEL_INPUT', `output "${clip(name)}": ${text}`)
  const { binary_data: binary, classification } = parameters
  if (binary !== undefined && typeof binary !== 'boolean') throw refuse(`expected binary_data to be true or false, found ${shown(binary)}`)
  if (classification !== undefined && !(typeof classification === 'number' && Number.isSafeInteger(classification) && classification > 0)) {
    throw refuse(`expected classification to be an integer from 1, found ${shown(classification)}`)
  }
  if (Object.hasOwn(parameters, 'shared_memory_region')) throw refuse('shared memory is not supported')
}

function shown(value: Parameters[string]): string {
  return typeof value === 'string' ? JSON.stringify(clip(value)) : String(value)
}

/** `"parameters":{…},` or ''. @param size of the tensor's bytes behind the JSON; -1 = it is JSON */
export function tensorParameters(parameters: Parameters | undefined, size: number): string {
  if (parameters === undefined) return size < 0 ? '' : `"parameters":{"binary_data_size":${size}},`
  const entries = Object.entries(parameters).filter(([key]) => !STEERING.has(key))
  if (size >= 0) entries.push(['binary_data_size', size])
  return entries.length === 0 ? '' : `"parameters":${object(entries)},`
}

/** `"parameters":{…},` or ''. */
export function parametersText(parameters: Parameters | undefined): string {
  return parameters === undefined ? '' : `"parameters":${object(Object.entries(parameters))},`
}

function object(entries: readonly (readonly [string, Parameters[string]])[]): string {
  return `{${entries.map(([key, value]) => `${JSON.stringify(key)}:${typeof value === 'bigint' ? value : JSON.stringify(value)}`).join(',')}}`
}
