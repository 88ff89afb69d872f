/** What a model takes and gives, and how a request is made to fit it. */
import { WeirError } from '../errors.ts'
import type { Column, Columns, Dtype } from '../payload/columns.ts'
import { clip } from '../payload/json.ts'
import { shapeText } from '../payload/tensor.ts'
import { concatenate, convert } from './convert.ts'

export interface TensorSpec {
  readonly name: string
  /** null: no tensor (a ZipMap's sequence of maps), or a type the protocol does not know. */
  readonly dtype: Dtype | null
  /** -1 is a variable dimension. What an output declares may be wrong: the result's own shape counts. */
  readonly shape: readonly number[]
  /** Names of the classes along the last dimension, where the graph tells them (a ZipMap that was taken out); for `classification`. */
  readonly classes?: readonly string[]
  /** Symbol of a variable first dimension ('' when it has no name), null when it is fixed. */
  readonly rows: string | null
}

export interface Signature {
  readonly inputs: readonly TensorSpec[]
  readonly outputs: readonly TensorSpec[]
}

/** Names listed in a message. */
const MAX_LISTED = 10

/** Names of all outputs; null when there is one that cannot be sent. */
export function allOutputs({ outputs }: Signature): readonly string[] | null {
  return outputs.every(({ dtype }) => dtype !== null) ? namesOf(outputs) : null
}

/** Requested outputs in their order, or all. @throws WeirError `MODEL_INPUT` */
export function chooseOutputs(request: Columns, signature: Signature): string[] {
  const names = request.outputs ?? signature.outputs.map(({ name }) => name)
  for (const name of names) {
    const spec = signature.outputs.find((output) => output.name === name)
    if (spec === undefined) throw new WeirError('MODEL_INPUT', `unknown output "${clip(name)}"; the model gives ${list(namesOf(signature.outputs))}`)
    if (spec.dtype !== null) continue
    const others = namesOf(signature.outputs.filter((output) => output.dtype !== null))
    throw new WeirError('MODEL_INPUT', `output "${clip(name)}" of the model is not a tensor (a sequence or a map) and cannot be sent; request ${list(others)} alone`)
  }
  return [...names]
}

/** Tensors of a request that says what they are: names, types and shapes must be the model's. @throws WeirError `MODEL_INPUT` */
export function bindTensors(request: Columns, signature: Signature): Column[] {
  const { inputs } = signature
  for (const { name } of request.columns) {
    if (inputs.some((spec) => spec.name === name)) continue
    throw new WeirError('MODEL_INPUT', `unknown input "${clip(name)}"; the model takes ${list(namesOf(inputs))}`)
  }
  const bound = inputs.map((spec) => {
    const column = request.columns.find(({ name }) => name === spec.name)
    if (column === undefined) throw new WeirError('MODEL_INPUT', `input "${spec.name}" is missing (${spec.dtype} ${shapeText(spec.shape)})`)
    if (column.dtype !== spec.dtype) throw new WeirError('MODEL_INPUT', `input "${spec.name}": expected datatype ${spec.dtype}, found ${column.dtype}`)
    checkShape(column.shape, spec)
    return column
  })
  checkRows(bound, inputs)
  return whole(bound)
}

/** onnxruntime-node 1.30 cuts texts off at a NUL in silence. */
function whole(columns: Column[]): Column[] {
  for (const { name, data } of columns) {
    const at = Array.isArray(data) ? data.findIndex((text) => text.includes('\0')) : -1
    if (at >= 0) throw new WeirError('MODEL_INPUT', `input "${name}": element ${at} holds a NUL character, which models cannot take`)
  }
  return columns
}

function checkShape(shape: readonly number[], spec: TensorSpec, hint = ''): void {
  const fits = shape.length === spec.shape.length && spec.shape.every((size, i) => size === -1 || size === shape[i])
  if (!fits) throw new WeirError('MODEL_INPUT', `input "${spec.name}": expected shape ${shapeText(spec.shape)}, found ${shapeText(shape)}${hint}`)
}

/** Inputs whose first dimension is the same variable have as many rows (ONNX Runtime would broadcast some of them in silence). */
function checkRows(columns: readonly Column[], specs: readonly TensorSpec[]): void {
  const first = new Map<string, Column>()
  columns.forEach((column, i) => {
    const symbol = specs[i]!.rows
    if (symbol === null) return
    const other = first.get(symbol)
    if (other === undefined) first.set(symbol, column)
    else if (other.shape[0] !== column.shape[0]) {
      throw new WeirError('MODEL_INPUT', `input "${column.name}": expected ${other.shape[0]} rows as in "${other.name}", found ${column.shape[0]}`)
    }
  })
}

/**
 * Values without declared datatypes: named features, one column an input, or the columns `features` of the only input, a
 * matrix. The column '' is the only input; columns of a data frame fill a matrix by position when nobody told its features.
 * Numbers are converted if nothing but precision is lost. Features the model does not know are ignored: apps send ids and
 * context along.
 * @throws WeirError `MODEL_INPUT`
 */
export function bindRows(request: Columns, { inputs }: Signature, features: readonly string[] | null): Column[] {
  const byName = new Map(request.columns.map((column) => [column.name, column]))
  const [only] = inputs
  if (inputs.length === 1 && only !== undefined) return whole([bindOnly(request, byName, only, features)])
  if (byName.size === 1 && byName.has('')) throw new WeirError('MODEL_INPUT', `the model takes the inputs ${list(namesOf(inputs))}: send values by these names, not a plain list`)
  const bound = found(namesOf(inputs), byName).map((column, i) => fit(column, inputs[i]!))
  checkRows(bound, inputs)
  return whole(bound)
}

function bindOnly(request: Columns, byName: ReadonlyMap<string, Column>, only: TensorSpec, features: readonly string[] | null): Column {
  const tensor = byName.get(only.name) ?? byName.get('')
  // A feature may have the name of the input it is a part of.
  const told = features !== null && (tensor === undefined || (features.length > 1 && features.every((name) => byName.has(name))))
  if (tensor !== undefined && !told) return fit(tensor, only)
  if (request.ordered === true) {
    const frame = byPosition(request.columns, only, features)
    if (frame !== null) return frame
  }
  return sideBySide(found(features ?? [only.name], byName), only)
}

/** Columns of a data frame that was made without names, or whose names nobody here knows; null when their names count. */
function byPosition(columns: readonly Column[], only: TensorSpec, features: readonly string[] | null): Column | null {
  const numbered = columns.every(({ name }, i) => name === String(i))
  if (features !== null) return numbered && columns.length === features.length ? sideBySide(columns, only) : null
  const [first] = columns
  if (first !== undefined && columns.length === 1) return fit(first, only)
  const width = only.shape.length === 2 ? only.shape[1] : 1
  if (width !== -1 && width !== columns.length) {
    throw new WeirError('MODEL_INPUT', `input "${only.name}": expected ${width} column${width === 1 ? '' : 's'} (shape ${shapeText(only.shape)}), found ${columns.length}`)
  }
  return sideBySide(columns, only)
}

function sideBySide(columns: readonly Column[], only: TensorSpec): Column {
  const matrix = concatenate(columns, only.name, only.dtype!)
  checkShape(matrix.shape, only)
  return matrix
}

function found(names: readonly string[], byName: ReadonlyMap<string, Column>): Column[] {
  const missing = names.filter((name) => !byName.has(name))
  if (missing.length === 0) return names.map((name) => byName.get(name)!)
  const unknown = [...byName.keys()].filter((name) => !names.includes(name))
  const hint = unknown.length === 0 ? '' : `; found instead ${list(unknown)}`
  throw new WeirError('MODEL_INPUT', `missing feature${missing.length === 1 ? '' : 's'} ${list(missing)}${hint}`)
}

/** A column in the rank of its input: `[N]` and `[N,1]` are the same there, and one value is a scalar. */
function fit(column: Column, spec: TensorSpec): Column {
  const shape = ranked(column.shape, spec.shape)
  const rowless = shape.length === spec.shape.length - 1 && shape.every((size, i) => spec.shape[i + 1] === -1 || spec.shape[i + 1] === size)
  checkShape(shape, spec, rowless ? '; the first dimension counts rows: send a list of rows, be it of one' : '')
  return { name: spec.name, dtype: spec.dtype!, shape, data: convert({ ...column, name: spec.name }, spec.dtype!) }
}

function ranked(shape: readonly number[], wanted: readonly number[]): readonly number[] {
  const rank = wanted.length
  if (rank === 2 && shape.length === 1 && (wanted[1] === 1 || wanted[1] === -1)) return [shape[0]!, 1]
  if (rank === 1 && shape.length === 2 && shape[1] === 1) return [shape[0]!]
  return rank === 0 && shape.every((size) => size === 1) ? [] : shape
}

function namesOf(specs: readonly TensorSpec[]): string[] {
  return specs.map(({ name }) => name)
}

function list(names: readonly string[]): string {
  const shown = names.slice(0, MAX_LISTED).map((name) => `"${clip(name)}"`)
  const rest = names.length - shown.length
  return rest > 0 ? `${shown.join(', ')} and ${rest} more` : shown.join(', ')
}
