/**
 * The golden files of every small model over HTTP, by every protocol that can carry them: the built-in endpoints of one weir for the Open
 * Inference Protocol (JSON and binary) and for `:predict` in rows and columns, routes for `rows` and MLflow. The answers expected are those
 * of the library that trained the model. The protocols are written here by their documents, without the code of weir's formats.
 */
import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { startWeir, type Weir } from '../blackbox/weir.ts'
import { fixtures, type Golden, golden } from '../models/setup.ts'

type Value = number | bigint | boolean | string

interface Tensor {
  readonly name: string
  readonly datatype: string
  readonly shape: readonly number[]
  readonly data: readonly Value[]
}

interface Case extends Omit<Golden, 'request' | 'response_outputs'> {
  readonly request: { readonly id?: string; readonly inputs: readonly Tensor[]; readonly outputs?: readonly { readonly name: string }[] }
  readonly response_outputs: readonly Tensor[]
}

// ---------------------------------------------------------------- JSON that keeps integers beyond 2^53

type Reviver = (key: string, value: unknown, context: { readonly source?: string }) => unknown
const exact: Reviver = (_key, value, { source = '' }) => (typeof value === 'number' && Number.isInteger(value) && !Number.isSafeInteger(value) && /^-?\d+$/.test(source) ? BigInt(source) : value)
const parse = <T>(text: string): T => JSON.parse(text, exact as (key: string, value: unknown) => unknown) as T
const { rawJSON } = JSON as unknown as { rawJSON(text: string): unknown }
const write = (value: unknown): string => JSON.stringify(value, (_key, each: unknown) => (typeof each === 'bigint' ? rawJSON(String(each)) : each))

function cases(model: string, version: string): Case[] {
  return golden(join(fixtures, model, version)).map((one) => ({ ...one, request: parse<Case['request']>(one.text), response_outputs: one.response_outputs.map((output, i) => ({ ...output, data: parse<Value[]>(`[${one.spelled[i]}]`) })) }))
}

// ---------------------------------------------------------------- tensors as each protocol has them

const flat = (values: unknown): Value[] => (Array.isArray(values) ? values.flatMap(flat) : [values as Value])

/** Row-major values as nested lists of this shape. */
function nested(data: readonly Value[], [first, ...rest]: readonly number[]): unknown {
  if (first === undefined) return data[0]
  const size = rest.reduce((product, dimension) => product * dimension, 1)
  return Array.from({ length: first }, (_, i) => nested(data.slice(i * size, (i + 1) * size), rest))
}

const whole = ({ data, shape }: Tensor): unknown[] => nested(flat(data), shape) as unknown[]

const ARRAYS = { FP32: Float32Array, INT32: Int32Array, INT8: Int8Array, INT64: BigInt64Array } as const

/** The binary extension: little-endian elements (as every machine that Node runs on has them); of BOOL one byte, of BYTES a length of four bytes before each text. */
function packed({ datatype, data }: Tensor): Buffer {
  const values = flat(data)
  if (datatype === 'BYTES') return Buffer.concat(values.map((text) => lengthFirst(Buffer.from(String(text)))))
  if (datatype === 'BOOL') return Buffer.from(values.map(Number))
  if (datatype === 'INT64') return Buffer.from(BigInt64Array.from(values, BigInt).buffer)
  return Buffer.from(ARRAYS[datatype as 'FP32'].from(values, Number).buffer)
}

function lengthFirst(text: Buffer): Buffer {
  const length = Buffer.alloc(4)
  length.writeUInt32LE(text.length)
  return Buffer.concat([length, text])
}

function unpacked(datatype: string, bytes: Buffer): Value[] {
  if (datatype === 'BYTES') {
    const texts: string[] = []
    for (let at = 0; at < bytes.length; at += 4 + bytes.readUInt32LE(at)) texts.push(bytes.toString('utf8', at + 4, at + 4 + bytes.readUInt32LE(at)))
    return texts
  }
  if (datatype === 'BOOL') return [...bytes].map((byte) => byte === 1)
  if (datatype === 'INT64') return Array.from({ length: bytes.length / 8 }, (_, i) => bytes.readBigInt64LE(8 * i))
  return [...new ARRAYS[datatype as keyof typeof ARRAYS](new Uint8Array(bytes).buffer)]
}

// ---------------------------------------------------------------- the protocols

type Answers = ReadonlyMap<string, readonly Value[]>

interface Request {
  readonly path: string
  readonly body: string | Buffer
  readonly headers?: Readonly<Record<string, string>>
}

interface Protocol {
  carries(one: Case): boolean
  ask(model: string, version: string, one: Case): Request
  read(body: Buffer, headers: Headers, one: Case): Answers
}

/** Every output is asked for, and there are values: what has neither shapes nor names of outputs cannot say more. */
const plain = ({ request }: Case): boolean => request.outputs === undefined && request.inputs.every(({ data }) => data.length > 0)

/** Feature names of the columns of the only matrix, or null: inputs are the features. The width of the identities differs from case to case. */
function features({ request: { inputs } }: Case): string[] | null {
  const [only] = inputs
  return inputs.length === 1 && !only!.name.startsWith('INPUT') && only!.datatype === 'FP32' && only!.shape.length === 2 && only!.shape[1]! > 1 ? Array.from({ length: only!.shape[1]! }, (_, i) => `f${i}`) : null
}

/** Rows as objects: an input of one value a row is that value. */
function objects({ request: { inputs } }: Case, single: boolean): Record<string, unknown>[] {
  return Array.from({ length: inputs[0]!.shape[0]! }, (_, row) => Object.fromEntries(inputs.map((input) => [input.name, single ? flat(whole(input)[row])[0] : whole(input)[row]])))
}

/** As TensorFlow Serving names outputs: the only one has no name, several are objects by name, row by row. */
function predictions(body: Buffer, { response_outputs: outputs }: Case): Answers {
  const rows = parse<{ predictions: unknown[] }>(body.toString()).predictions
  if (outputs.length === 1) return new Map([[outputs[0]!.name, flat(rows)]])
  return byName(rows as Record<string, unknown>[], outputs)
}

function byName(rows: readonly Record<string, unknown>[], outputs: readonly Tensor[]): Answers {
  for (const row of rows) expect(Object.keys(row)).toEqual(outputs.map(({ name }) => name))
  return new Map(outputs.map(({ name }) => [name, flat(rows.map((row) => row[name]))]))
}

interface Output {
  readonly name: string
  readonly datatype: string
  readonly shape: readonly number[]
  readonly data: readonly Value[]
  readonly parameters?: { readonly binary_data_size: number }
}

function tensors(outputs: readonly Output[], one: Case, values: (output: Output) => readonly Value[]): Answers {
  expect(outputs.map(({ name, datatype, shape }) => [name, datatype, shape])).toEqual(one.response_outputs.map(({ name, datatype, shape }) => [name, datatype, shape]))
  return new Map(outputs.map((output) => [output.name, values(output)]))
}

const infer = (model: string, version: string) => `/v2/models/${model}/versions/${version}/infer`
const predict = (model: string, version: string) => `/v1/models/${model}/versions/${version}:predict`

const protocols: Readonly<Record<string, Protocol>> = {
  'Open Inference Protocol, JSON': {
    carries: () => true,
    ask: (model, version, { text }) => ({ path: infer(model, version), body: text }),
    read: (body, _headers, one) => tensors(parse<{ outputs: Output[] }>(body.toString()).outputs, one, ({ data }) => data),
  },
  'Open Inference Protocol, binary': {
    carries: () => true,
    ask(model, version, { request }) {
      const parts = request.inputs.map(packed)
      const inputs = request.inputs.map(({ name, datatype, shape }, i) => ({ name, datatype, shape, parameters: { binary_data_size: parts[i]!.length } }))
      const head = Buffer.from(JSON.stringify({ ...request, parameters: { binary_data_output: true }, inputs }))
      return { path: infer(model, version), body: Buffer.concat([head, ...parts]), headers: { 'inference-header-content-length': String(head.length) } }
    },
    read(body, headers, one) {
      const length = Number(headers.get('inference-header-content-length'))
      let at = length
      return tensors((JSON.parse(body.toString('utf8', 0, length)) as { outputs: Output[] }).outputs, one, ({ datatype, parameters }) => unpacked(datatype, body.subarray(at, (at += parameters!.binary_data_size))))
    },
  },
  'v1 instances': {
    carries: plain,
    ask: (model, version, one) => ({ path: predict(model, version), body: write({ instances: one.request.inputs.length === 1 ? whole(one.request.inputs[0]!) : objects(one, false) }) }),
    read: (body, _headers, one) => predictions(body, one),
  },
  'v1 inputs': {
    carries: plain,
    ask: (model, version, { request: { inputs } }) => ({ path: predict(model, version), body: write({ inputs: Object.fromEntries(inputs.map((input) => [input.name, whole(input)])) }) }),
    read(body, _headers, { response_outputs: outputs }) {
      const found = parse<{ outputs: unknown }>(body.toString()).outputs
      return new Map(outputs.map(({ name }) => [name, flat(outputs.length === 1 ? found : (found as Record<string, unknown>)[name])]))
    },
  },
  'MLflow inputs': {
    carries: plain,
    ask: (model, version, { request: { inputs } }) => ({ path: `/mlflow/${model}/${version}/invocations`, body: write({ inputs: Object.fromEntries(inputs.map((input) => [input.name, whole(input)])) }) }),
    read: (body, _headers, one) => predictions(body, one),
  },
  'MLflow dataframe_split': {
    // A data frame has one value a cell.
    carries: (one) => plain(one) && (features(one) !== null || one.request.inputs.every(({ shape }) => shape.length === 1 || shape[1] === 1)),
    ask(model, version, one) {
      const columns = features(one) ?? one.request.inputs.map(({ name }) => name)
      const data = features(one) === null ? objects(one, true).map((row) => Object.values(row)) : whole(one.request.inputs[0]!)
      return { path: `/mlflow/${model}/${version}/invocations`, body: write({ dataframe_split: { columns, data } }) }
    },
    read: (body, _headers, one) => predictions(body, one),
  },
  rows: {
    carries: plain,
    ask(model, version, one) {
      const names = features(one)
      const rows = names === null ? objects(one, one.request.inputs.every(({ shape }) => shape[1] === 1)) : (whole(one.request.inputs[0]!) as Value[][]).map((values) => Object.fromEntries(values.map((value, i) => [names[i]!, value])))
      return { path: `/rows/${model}/${version}`, body: write(rows) }
    },
    read: (body, _headers, { response_outputs }) => byName(parse<Record<string, unknown>[]>(body.toString()), response_outputs),
  },
}

// ---------------------------------------------------------------- one weir for all of them

const models = readdirSync(fixtures).flatMap((model) => readdirSync(join(fixtures, model)).map((version) => ({ model, version, cases: cases(model, version) })))
let weir: Weir

function config(): string {
  const lines = [`models: ${fixtures}`, 'backends:']
  for (const { model, version, cases } of models) {
    const columns = features(cases[0]!)
    lines.push(`  ${model}_${version}: { onnx: ${join(fixtures, model, version, 'model.onnx')}${columns === null ? '' : `, columns: [${columns.join(', ')}]`} }`)
  }
  lines.push('routes:')
  for (const { model, version } of models) {
    lines.push(`  - { name: rows_${model}_${version}, match: { path: /rows/${model}/${version} }, format: rows, backend: ${model}_${version} }`)
    lines.push(`  - { name: mlflow_${model}_${version}, match: { path: /mlflow/${model}/${version}/invocations }, format: mlflow, backend: ${model}_${version} }`)
  }
  return `${lines.join('\n')}\n`
}

beforeAll(async () => {
  weir = await startWeir(config(), { threads: 2 })
}, 40_000)
afterAll(() => weir.stop())

/** Integers and texts to the last digit, floats within the tolerance of the file. */
function same(got: readonly unknown[], { datatype, data, name }: Tensor, { rtol, atol }: Case): void {
  const wanted = flat(data)
  expect(got, name).toHaveLength(wanted.length)
  if (!datatype.startsWith('FP')) return expect(got.map(String), name).toEqual(wanted.map(String))
  got.forEach((value, i) => {
    const [found, right] = [Number(value), Number(wanted[i])]
    if (!(Math.abs(found - right) <= atol + rtol * Math.abs(right))) expect.fail(`${name}: element ${i}: ${found}, not ${right}`)
  })
}

describe.each(models)('$model/$version', ({ model, version, cases }) => {
  for (const [name, { carries, ask, read }] of Object.entries(protocols)) {
    const carried = cases.filter(carries)
    if (carried.length === 0) continue
    it(`${name}: ${carried.length} cases`, async () => {
      for (const one of carried) {
        const { path, body, headers = {} } = ask(model, version, one)
        const answer = await fetch(`http://127.0.0.1:${weir.port}${path}`, { method: 'POST', headers: { 'content-type': 'application/json', ...headers }, body: body as string })
        const received = Buffer.from(await answer.arrayBuffer())
        expect(answer.status, `${one.name}: ${received.toString('utf8', 0, 300)}`).toBe(200)
        const answers = read(received, answer.headers, one)
        for (const output of one.response_outputs) same(answers.get(output.name)!, output, one)
      }
    })
  }
})

it('every protocol carries something of most models', () => {
  for (const [name, { carries }] of Object.entries(protocols)) expect(models.filter(({ cases }) => cases.some(carries)).length, name).toBeGreaterThan(models.length / 2)
})
