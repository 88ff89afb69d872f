/** Columns of a request as a backend without datatypes takes them, where its config says more than its format does. */
import type { SpeaksConfig } from '../../config/config.ts'
import { WeirError } from '../errors.ts'
import { bindRows } from '../models/signature.ts'
import { widened } from '../payload/halves.ts'
import type { Column, Columns, Dtype } from '../payload/columns.ts'
import { clip } from '../payload/json.ts'
import { shapeText } from '../payload/tensor.ts'

/** Names listed in a message. */
const MAX_LISTED = 10

/**
 * - `columns` and `kserve_v1` or `tfs`: one matrix, of named features side by side.
 * - `columns` and `mlflow` or `rows`: these features in this order, cut out of a matrix if the request is one.
 * - else columns by their names; the only tensor of a typed request goes without one, as these formats write it.
 * @param typed whether the request says datatypes: then a single column is a tensor and not a feature
 * @throws WeirError `MODEL_INPUT`
 */
export function arrange(request: Columns, typed: boolean, { format, columns: names }: SpeaksConfig): Columns {
  if (request.raw !== undefined) throw new WeirError('MODEL_INPUT', 'a raw request says no name, datatype and shape, which its translation needs: send the tensor with its JSON')
  // The 16-bit floats are bits, which no format without datatypes could tell from integers.
  const columns = request.columns.map(widened)
  const [only] = columns
  const whole = columns.length === 1 && (typed || only!.name === '') ? only! : null
  const kept = request.single === true ? { single: true } : {}
  if (names === null) return { ...kept, columns: named(columns, whole, format), ...(request.columnar === true && { columnar: true }) }
  return { ...kept, columns: format === 'rows' || format === 'mlflow' ? features(columns, whole, names) : [matrix(columns, whole, names)] }
}

function named(columns: readonly Column[], whole: Column | null, format: SpeaksConfig['format']): readonly Column[] {
  if (whole === null) return columns
  if (format !== 'rows') return [unnamed(whole)]
  if (whole.name === '') throw new WeirError('MODEL_INPUT', 'the request has values without names, and the backend takes named features: send them by name')
  return columns
}

function unnamed(column: Column): Column {
  const { dtype, shape, data, nulls } = column
  return { name: '', dtype, shape, data, ...(nulls !== undefined && { nulls }) }
}

/** Of numbers FP64, unless all are one of the exact types. */
function matrix(columns: readonly Column[], whole: Column | null, names: readonly string[]): Column {
  const given = whole === null ? columns : [unnamed(whole)]
  const dtype = common((whole === null ? columns.filter(({ name }) => names.includes(name)) : given).map((column) => column.dtype))
  const spec = { name: '', dtype, shape: [-1, names.length], rows: '' }
  return bindRows({ columns: given }, { inputs: [spec], outputs: [] }, names)[0]!
}

function common(dtypes: readonly Dtype[]): Dtype {
  const [first] = dtypes
  const same = first !== undefined && dtypes.every((dtype) => dtype === first)
  return same ? first : 'FP64'
}

function features(columns: readonly Column[], whole: Column | null, names: readonly string[]): Column[] {
  if (whole !== null && !(names.length === 1 && whole.name === names[0])) return cut(whole, names)
  const missing = names.filter((name) => !columns.some((column) => column.name === name))
  if (missing.length > 0) {
    const listed = missing.slice(0, MAX_LISTED).map((name) => `"${clip(name)}"`)
    const rest = missing.length - listed.length
    throw new WeirError('MODEL_INPUT', `missing feature${missing.length === 1 ? '' : 's'} ${listed.join(', ')}${rest > 0 ? ` and ${rest} more` : ''}`)
  }
  return names.map((name) => columns.find((column) => column.name === name)!)
}

/** The columns of a matrix, one value a row each. */
function cut({ name, dtype, shape, data, nulls }: Column, names: readonly string[]): Column[] {
  const [rows = 1, width = 1, ...deeper] = shape
  if (shape.length === 0 || width !== names.length || deeper.length > 0) {
    throw new WeirError('MODEL_INPUT', `${name === '' ? 'the values' : `input "${clip(name)}"`}: expected ${names.length} values a row (shape [-1,${names.length}]), found shape ${shapeText(shape)}`)
  }
  return names.map((feature, column) => {
    const at = (_: unknown, row: number) => row * width + column
    const values = Array.isArray(data) ? Array.from({ length: rows }, (_, row) => data[at(_, row)]!) : every(data, rows, at)
    return { name: feature, dtype, shape: [rows], data: values, ...(nulls !== undefined && { nulls: every(nulls, rows, at) }) }
  })
}

function every<T extends Exclude<Column['data'], string[]>>(data: T, rows: number, at: (_: unknown, row: number) => number): T {
  const Kind = data.constructor as new (length: number) => { [index: number]: unknown }
  const values = new Kind(rows)
  for (let row = 0; row < rows; row++) values[row] = data[at(null, row)]
  return values as unknown as T
}
