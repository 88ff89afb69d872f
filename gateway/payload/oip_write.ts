/** Columns as bodies of the Open Inference Protocol. */
import type { Written } from '../exchange.ts'
import { type Code, WeirError } from '../errors.ts'
import { BINARY_TYPE, dataToBytes } from './binary.ts'
import type { Column, Columns } from './columns.ts'
import { clip } from './json.ts'
import { parametersText, tensorParameters } from './oip_parameters.ts'
import { elements, flatText, jsonCarries, shapeText } from './tensor.ts'

const JSON_TYPE = 'application/json'

/** A raw request stays one. Tensors that came binary go binary again; others are JSON where JSON can carry them (no FP16, no BF16, no NaN). @throws WeirError */
export function writeRequest(columns: Columns): Written {
  if (columns.raw !== undefined && columns.columns.length === 0) return { type: BINARY_TYPE, body: columns.raw, jsonLength: 0 }
  const writer = new Writer('MODEL_INPUT', 'input')
  if (columns.id !== undefined) writer.text += `"id":${JSON.stringify(columns.id)},`
  writer.text += `${parametersText(columns.parameters)}"inputs":[`
  columns.columns.forEach((column, i) => writer.tensor(column, i, columns.binary === true || !jsonCarries(column)))
  writer.text += ']'
  if (columns.outputs !== undefined) {
    const outputs = columns.outputs.map((name, i) => `{${`"name":${JSON.stringify(name)},${parametersText(columns.outputParameters?.[i])}`.slice(0, -1)}}`)
    writer.text += `,"outputs":[${outputs.join(',')}]`
  }
  return writer.written()
}

/**
 * Outputs are binary where the request asks for it: its own `binary_data`, else `binary_data_output` of all; those of a raw request
 * always. @throws WeirError `MODEL_INPUT` for FP16 and BF16 in JSON, `MODEL_FAILED` for NaN and Infinity there
 */
export function writeAnswer(columns: Columns, request: Columns): Written {
  const writer = new Writer('MODEL_FAILED', 'output')
  const { model } = columns
  if (model !== undefined) {
    writer.text += `"model_name":${JSON.stringify(model.name)},`
    if (model.version !== '') writer.text += `"model_version":${JSON.stringify(model.version)},`
  }
  if (request.id !== undefined) writer.text += `"id":${JSON.stringify(request.id)},`
  writer.text += `${parametersText(columns.parameters)}"outputs":[`
  const all = request.raw !== undefined || request.parameters?.['binary_data_output'] === true
  const names = request.outputs
  if (names === undefined) columns.columns.forEach((column, i) => writer.tensor(column, i, all))
  else names.forEach((name, i) => writer.tensor(pick(columns.columns, name), i, (request.outputParameters?.[i]?.['binary_data'] as boolean | undefined) ?? all))
  writer.text += ']'
  return writer.written()
}

function pick(columns: readonly Column[], name: string): Column {
  const column = columns.find((candidate) => candidate.name === name)
  if (column === undefined) throw new WeirError('INVALID_ANSWER', `the answer lacks the requested output "${clip(name)}"`)
  return column
}

/** The JSON object without its braces' end, and the tensors that go behind it. */
class Writer {
  text = '{'
  #tail: Uint8Array[] | null = null
  #tailLength = 0
  readonly #code: Code
  readonly #word: 'input' | 'output'

  constructor(code: Code, word: 'input' | 'output') {
    this.#code = code
    this.#word = word
  }

  tensor(column: Column, index: number, binary: boolean): void {
    const { name, dtype, shape, data, parameters } = column
    if (elements(shape) !== data.length) {
      throw new WeirError('INTERNAL', `${this.#word} "${name}": shape ${shapeText(shape)} does not fit its ${data.length} elements`)
    }
    const head = `${index === 0 ? '' : ','}{"name":${JSON.stringify(name)},"datatype":"${dtype}","shape":${shapeText(shape)}`
    if (binary) {
      if (column.nulls?.includes(1) === true && (dtype === 'BYTES' || dtype === 'BOOL')) throw new WeirError(this.#code, `${this.#word} "${name}": holds null, which has no place here`)
      const bytes = dataToBytes(column)
      this.text += `${head},${tensorParameters(parameters, bytes.length).slice(0, -1)}}`
      ;(this.#tail ??= []).push(bytes)
      this.#tailLength += bytes.length
      return
    }
    if (dtype === 'FP16' || dtype === 'BF16') {
      throw new WeirError('MODEL_INPUT', `${this.#word} "${name}": ${dtype} cannot travel as JSON (Open Inference Protocol); ask for it with "binary_data": true`)
    }
    this.text += `${head},${tensorParameters(parameters, -1)}"data":[${flatText(column, { code: this.#code, label: `${this.#word} "${name}"` })}]}`
  }

  written(): Written {
    const text = `${this.text}}`
    const tail = this.#tail
    if (tail === null) return { type: JSON_TYPE, body: Buffer.from(text) }
    const jsonLength = Buffer.byteLength(text)
    const body = Buffer.allocUnsafe(jsonLength + this.#tailLength)
    body.write(text)
    let at = jsonLength
    for (const bytes of tail) {
      body.set(bytes, at)
      at += bytes.length
    }
    return { type: BINARY_TYPE, body, jsonLength }
  }
}
