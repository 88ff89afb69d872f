/**
 * Classification extension (Triton, docs/protocol/extension_classification.md and src/classification.cc): an output as
 * its highest values, each a text `value:index[:label]`, instead of all of them.
 */
import { WeirError } from '../errors.ts'
import type { Column, Columns, Data } from './columns.ts'
import { fixedText } from './numbers.ts'
import { shapeText } from './tensor.ts'

/** Values that have an order for us; Triton takes these too. */
type Numbers = Exclude<Data, string[]>

/**
 * Outputs of a model as the request wants them: those with a `classification` parameter become texts.
 * @param labels of an output's classes, where the model tells them
 * @returns `columns` itself when nothing is asked @throws WeirError `MODEL_INPUT`
 */
export function classifyOutputs(columns: readonly Column[], request: Columns, labels: (output: string) => readonly string[] | undefined): readonly Column[] {
  const { outputs, outputParameters } = request
  if (outputs === undefined || outputParameters === undefined) return columns
  return columns.map((column) => {
    const count = outputParameters[outputs.indexOf(column.name)]?.['classification']
    return typeof count === 'number' ? classified(column, count, labels(column.name)) : column
  })
}

/**
 * The `count` highest values of each row, or all when it has fewer, in descending order; of equal ones the lower index
 * comes first, NaN last. The first of two or more dimensions counts rows and the rest is one row of classes, as in
 * Triton; a tensor of one dimension is one row.
 * @param labels by class; used when there are as many as classes
 * @returns BYTES of shape [rows, count], [count] for one dimension or none @throws WeirError `MODEL_INPUT`
 */
export function classified(column: Column, count: number, labels?: readonly string[]): Column {
  const { name, dtype, shape, data } = column
  const refuse = (text: string): WeirError => new WeirError('MODEL_INPUT', `output "${name}": ${text}`)
  if (!Number.isSafeInteger(count) || count < 1) throw refuse(`expected classification to be an integer from 1, found ${count}`)
  if (Array.isArray(data) || dtype === 'BOOL' || dtype === 'FP16' || dtype === 'BF16') throw refuse(`a classification needs integers, FP32 or FP64, the output is ${dtype} ${shapeText(shape)}`)
  const rows = shape.length > 1 ? shape[0]! : 1
  const classes = rows === 0 ? 0 : data.length / rows
  const kept = Math.min(count, classes)
  const named = labels !== undefined && labels.length === classes ? labels : null
  const floating = dtype === 'FP32' || dtype === 'FP64'
  const texts: string[] = []
  for (let row = 0; row < rows; row++) {
    const values = data.subarray(row * classes, (row + 1) * classes)
    for (const index of highest(values, kept)) {
      const value = values[index]!
      const text = `${floating && typeof value === 'number' ? fixedText(value) : value}:${index}`
      texts.push(named === null ? text : `${text}:${named[index]}`)
    }
  }
  return { name, dtype: 'BYTES', shape: shape.length > 1 ? [rows, kept] : [kept], data: texts }
}

/** Positions of the highest values of one row. */
function highest(row: Numbers, count: number): number[] {
  const order = Array.from({ length: row.length }, (_, index) => index)
  // A stable sort leaves equal values in the order of their positions.
  return order.sort((a, b) => (above(row[a]!, row[b]!) ? -1 : above(row[b]!, row[a]!) ? 1 : 0)).slice(0, count)
}

function above(a: number | bigint, b: number | bigint): boolean {
  return a > b || (Number.isNaN(b) && !Number.isNaN(a))
}
