/** What an Open Inference Protocol server says of a model (inference_rest.md, "Model Metadata Response JSON Object"), as a signature. */
import { WeirError } from '../errors.ts'
import type { Signature, TensorSpec } from '../models/signature.ts'
import { clip } from '../payload/json.ts'
import { isDtype } from '../payload/tensor.ts'

/** ONNX tensors of real models have up to 6 dimensions. */
const MAX_RANK = 16
const MAX_TENSORS = 4096

/** @throws WeirError `INVALID_ANSWER`; inputs must be usable, outputs are told by the answers themselves */
export function readMetadata(body: Buffer): Signature {
  const value = parsed(body)
  const inputs = tensors(value['inputs'])
  if (inputs.length === 0) throw lying('tells no inputs')
  for (const { name, dtype } of inputs) if (dtype === null) throw lying(`has a datatype for input "${clip(name)}" that the protocol does not know`)
  const names = new Set(inputs.map(({ name }) => name))
  if (names.size < inputs.length) throw lying('has an input twice')
  return { inputs, outputs: tensors(value['outputs'] ?? []) }
}

function lying(text: string): WeirError {
  return new WeirError('INVALID_ANSWER', `the metadata of the model at the backend ${text}`)
}

function parsed(body: Buffer): Readonly<Record<string, unknown>> {
  try {
    const value: unknown = JSON.parse(body.toString())
    if (isObject(value)) return value
  } catch {
    throw lying('is no JSON')
  }
  throw lying('is no JSON object')
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function tensors(list: unknown): TensorSpec[] {
  if (!Array.isArray(list)) throw lying('has no list of inputs, or one of outputs that is none')
  if (list.length > MAX_TENSORS) throw lying(`has more than ${MAX_TENSORS} tensors`)
  return list.map(tensor)
}

function tensor(value: unknown): TensorSpec {
  if (!isObject(value)) throw lying('has a tensor that is no object')
  const { name, datatype } = value
  if (typeof name !== 'string' || name === '') throw lying('has a tensor without a name')
  if (typeof datatype !== 'string') throw lying(`has no datatype for "${clip(name)}"`)
  const shape = dimensions(value['shape'], name)
  return { name, dtype: isDtype(datatype) ? datatype : null, shape, rows: shape[0] === -1 ? '' : null }
}

function dimensions(list: unknown, name: string): number[] {
  if (!Array.isArray(list) || list.length > MAX_RANK) throw lying(`has no usable shape for "${clip(name)}"`)
  return list.map((size: unknown) => {
    // Servers behind a gRPC gateway write 64-bit integers as strings (ProtoJSON).
    const number = typeof size === 'string' && /^-?\d+$/.test(size) ? Number(size) : size
    if (!Number.isSafeInteger(number) || (number as number) < -1) throw lying(`has no usable shape for "${clip(name)}"`)
    return number as number
  })
}
