/**
 * Two weirs in a row: the one in front translates, the one behind is the model server. Every format of a caller before every format of a
 * backend; the expected answers are those of the libraries that trained the models.
 */
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it, test } from 'vitest'
import { fixtures, type Golden, golden } from '../models/setup.ts'
import { freePort } from '../servers.ts'
import { expectProblem, startWeir, type Weir } from './weir.ts'
import { request } from './message.ts'

const FORMATS = ['oip', 'kserve_v1', 'tfs', 'mlflow', 'rows'] as const
type Name = (typeof FORMATS)[number]

/** Feature names of the columns of a matrix; churn takes its features as inputs. */
const named = (count: number): string[] => Array.from({ length: count }, (_, i) => `f${i}`)
const MODELS: Readonly<Record<string, readonly string[] | null>> = { iris: named(4), cancer: named(30), churn: null }

let front: Weir
let behind: Weir

/** Serves each model on a path a format; the Open Inference Protocol by the built-in endpoints, whose metadata is asked for. */
function serving(): string {
  const lines = [`models: ${fixtures}`, 'backends:']
  for (const [model, columns] of Object.entries(MODELS)) lines.push(`  ${model}: { onnx: ${join(fixtures, model, '1/model.onnx')}${columns === null ? '' : `, columns: [${columns.join(', ')}]`} }`)
  lines.push('routes:')
  for (const model of Object.keys(MODELS)) {
    lines.push(`  - { name: rows_${model}, match: { method: POST, path: "/rows/${model}/**" }, format: rows, backend: ${model} }`)
    lines.push(`  - { name: mlflow_${model}, match: { method: POST, path: /mlflow/${model}/invocations }, format: mlflow, backend: ${model} }`)
    for (const format of ['tfs', 'kserve_v1']) lines.push(`  - { name: ${format}_${model}, match: { method: POST, path: "/${format}/v1/models/${model}/versions/1:predict" }, format: ${format}, backend: ${model} }`)
  }
  return `${lines.join('\n')}\n`
}

function prefix(format: Name, model: string): string {
  if (format === 'oip') return ''
  return format === 'rows' || format === 'mlflow' ? `/${format}/${model}` : `/${format}`
}

function translating(port: number, dead: number): string {
  const backends = FORMATS.flatMap((format) =>
    Object.entries(MODELS).map(([model, columns]) => {
      const options = [`format: ${format}`, ...(format === 'rows' || format === 'mlflow' ? [] : [`model: ${model}, version: 1`]), ...(columns === null ? [] : [`columns: [${columns.join(', ')}]`])]
      return `  ${format}_${model}: { url: "http://127.0.0.1:${port}${prefix(format, model)}", speaks: { ${options.join(', ')} } }`
    }),
  )
  const routes = FORMATS.flatMap((caller) =>
    FORMATS.filter((format) => format !== caller).flatMap((format) =>
      Object.keys(MODELS).map((model) => `  - { name: ${caller}_${format}_${model}, match: { path: /${caller}/${format}/${model} }, format: ${caller}, backend: ${format}_${model} }`),
    ),
  )
  return `
backends:
${backends.join('\n')}
  exact: { url: "http://127.0.0.1:${port}", speaks: { format: oip, model: identity_int64 } }
  unknown: { url: "http://127.0.0.1:${port}", speaks: { format: oip, model: nosuch } }
  dead: { url: "http://127.0.0.1:${dead}", speaks: { format: oip, model: iris } }
  wrong: { url: "http://127.0.0.1:${port}/nowhere", speaks: { format: mlflow } }
  inside: { onnx: ${join(fixtures, 'iris/1/model.onnx')}, columns: [${named(4).join(', ')}] }
routes:
${routes.join('\n')}
  - { name: exact, match: { path: /exact }, format: rows, backend: exact }
  - { name: unknown, match: { path: /unknown }, format: rows, backend: unknown }
  - { name: falls, match: { path: /falls }, format: rows, backend: dead, plugins: [{ fallback: { to: [wrong, inside], on: [connect, "404"] } }] }
`
}

beforeAll(async () => {
  behind = await startWeir(serving())
  front = await startWeir(translating(behind.port, await freePort()))
})
afterAll(async () => {
  await front?.stop()
  await behind?.stop()
})

// ---------------------------------------------------------------- bodies

type Row = Readonly<Record<string, unknown>>

/** The tensors of a case as rows of features by name, and as rows of values. */
function rowsOf({ request: { inputs } }: Golden, columns: readonly string[] | null): { objects: Row[]; values: unknown[][] } {
  const count = inputs[0]!.shape[0]!
  const values = Array.from({ length: count }, (_, row) => inputs.flatMap(({ shape, data }) => data.flat(8).slice(row * shape[1]!, (row + 1) * shape[1]!)))
  const names = columns ?? inputs.map(({ name }) => name)
  return { objects: values.map((list) => Object.fromEntries(names.map((name, i) => [name, list[i]]))), values }
}

function bodyOf(format: Name, one: Golden, columns: readonly string[] | null): string {
  const { objects, values } = rowsOf(one, columns)
  switch (format) {
    case 'oip':
      return JSON.stringify({ id: 'q', inputs: one.request.inputs })
    case 'rows':
      return JSON.stringify(objects)
    case 'mlflow':
      return JSON.stringify({ dataframe_split: { columns: Object.keys(objects[0]!), data: values } })
    case 'kserve_v1':
    case 'tfs':
      return JSON.stringify({ instances: columns === null ? objects : values })
  }
}

interface Predicted {
  readonly label: number
  readonly probabilities: number[]
}

function predictions(format: Name, body: string): Predicted[] {
  const value: unknown = JSON.parse(body)
  if (format === 'rows') return value as Predicted[]
  if (format !== 'oip') return (value as { predictions: Predicted[] }).predictions
  const { outputs, id } = value as { id: string; outputs: { name: string; data: number[]; shape: number[] }[] }
  expect(id).toBe('q')
  const [labels, probabilities] = ['label', 'probabilities'].map((name) => outputs.find((output) => output.name === name)!)
  const width = probabilities!.shape[1]!
  return labels!.data.map((label, row) => ({ label, probabilities: probabilities!.data.slice(row * width, (row + 1) * width) }))
}

function expectGolden(got: readonly Predicted[], { response_outputs, rtol, atol }: Golden): void {
  const [labels, probabilities] = response_outputs
  expect(got.map(({ label }) => label)).toEqual(labels!.data.map(Number))
  got.flatMap((one) => one.probabilities).forEach((value, i) => {
    const wanted = Number(probabilities!.data[i])
    expect(Math.abs(value - wanted), `element ${i}: ${value}, not ${wanted}`).toBeLessThanOrEqual(atol + rtol * Math.abs(wanted))
  })
  expect(got.flatMap((one) => one.probabilities)).toHaveLength(probabilities!.data.length)
}

/** What JSON numbers can say, and every output. */
const plain = ({ request: { outputs, inputs } }: Golden): boolean => outputs === undefined && inputs.every(({ shape }) => shape[0]! > 0)

const post = (path: string, body: string | Buffer, lines: string[] = ['content-type: application/json']) => front.exchange(request('POST', path, lines, Buffer.from(body as string)), 'POST', 10_000)

for (const [model, columns] of Object.entries(MODELS)) {
  const cases = golden(join(fixtures, model, '1')).filter(plain)
  describe(model, () => {
    test('has golden cases', () => expect(cases.length).toBeGreaterThan(2))
    for (const caller of FORMATS) {
      for (const backend of FORMATS.filter((format) => format !== caller)) {
        it(`${caller} before ${backend}`, async () => {
          for (const one of cases) {
            const answer = await post(`/${caller}/${backend}/${model}`, bodyOf(caller, one, columns))
            const body = answer.body.toString()
            expect(`${answer.status} ${body}`).toMatch(/^200 /)
            expect(answer.head.one('content-type')).toBe('application/json')
            expectGolden(predictions(caller, body), one)
          }
        })
      }
    }
  })
}

// ---------------------------------------------------------------- the rest of a gateway around it

const IRIS = golden(join(fixtures, 'iris/1'))[0]!
/** The only input of identity_int64. */
const INT64 = golden(join(fixtures, 'identity_int64/1'))[0]!.request.inputs[0]!.name

it('integers beyond 2^53 pass through two gateways and a model exactly', async () => {
  const answer = await post('/exact', `[{"${INT64}":9007199254740993},{"${INT64}":-9223372036854775808}]`)
  expect(`${answer.status} ${answer.body.toString()}`).toMatch(/^200 \[\{"[^"]+":9007199254740993\},\{"[^"]+":-9223372036854775808\}\]$/)
})

it('everybody gets an answer to what he asked', async () => {
  const ids = Array.from({ length: 200 }, (_, i) => 9007199254740993n + BigInt(i) * 2n)
  const answers = await Promise.all(ids.map((id) => post('/exact', `{"${INT64}":${id}}`)))
  expect(answers.map(({ status, body }) => `${status} ${/:(\d+)\}/.exec(body.toString())?.[1]}`)).toEqual(ids.map((id) => `200 ${id}`))
})

it('a model that is not there keeps the status and sentence of its server', async () => {
  const answer = await post('/unknown', '{"a":1}')
  expect([answer.status, JSON.parse(answer.body.toString())]).toMatchObject([404, { error: expect.stringContaining('nosuch') }])
})

it('a request that does not fit names the feature', async () => {
  const answer = await post('/rows/oip/iris', '{"f0":1}')
  expectProblem(answer, 400, 'MODEL_INPUT')
  expect(answer.body.toString()).toContain('f1')
})

it('a caller may compress its body', async () => {
  const { gzipSync } = await import('node:zlib')
  const answer = await post('/rows/oip/iris', gzipSync(bodyOf('rows', IRIS, MODELS['iris']!)), ['content-type: application/json', 'content-encoding: gzip'])
  expect(`${answer.status} ${answer.body.toString()}`).toMatch(/^200 /)
  expectGolden(predictions('rows', answer.body.toString()), IRIS)
})

it('falls back from one translated backend over another to a model inside, with the same request', async () => {
  const answer = await post('/falls', bodyOf('rows', IRIS, MODELS['iris']!))
  expect([answer.status, answer.head.one('x-weir-fallback'), answer.head.one('x-weir-backend')]).toEqual([200, 'dead;connect', 'inside'])
  expectGolden(predictions('rows', answer.body.toString()), IRIS)
})

it('other methods go to the backend as they are', async () => {
  const answer = await front.exchange(request('GET', '/rows/oip/iris'))
  expect(answer.status).toBe(404)
  expectProblem(answer, 404, 'NO_ROUTE')
})
