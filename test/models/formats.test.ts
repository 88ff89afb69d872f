/** Models asked in the formats of other servers: golden cases in, what the training libraries said out. */
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { Format } from '../../gateway/exchange.ts'
import { kserveV1 } from '../../gateway/payload/kserve_v1.ts'
import { mlflow } from '../../gateway/payload/mlflow.ts'
import { tfs } from '../../gateway/payload/tfs.ts'
import { configOf, exchange, fixtures, type Golden, golden, onnx, type Stage, stage, textOf } from './setup.ts'

const config = configOf(null, {
  iris: onnx('iris', join(fixtures, 'iris/1/model.onnx')),
  cancer: onnx('cancer', join(fixtures, 'cancer/1/model.onnx')),
  churn: onnx('churn', join(fixtures, 'churn/1/model.onnx')),
  logx: onnx('logx', join(fixtures, 'logx/1/model.onnx')),
})
let current: Stage
beforeAll(async () => {
  current = await stage(config)
})
afterAll(() => current.close())

async function answered(model: string, format: Format, body: unknown, headers: string[] = []): Promise<Record<string, unknown>> {
  const x = exchange(Buffer.isBuffer(body) || typeof body === 'string' ? body : JSON.stringify(body), format, { headers })
  const answer = await current.models.backend(config.backends[model] as never).send(x, x.leg)
  expect(answer.status).toBe(200)
  return JSON.parse(textOf(answer)) as Record<string, unknown>
}

interface Prediction {
  readonly label: number
  readonly probabilities: number[]
}

function caseOf(model: string): Golden {
  return golden(join(fixtures, model, '1')).find(({ name }) => name === 'b4')!
}

function rowsIn({ request }: Golden): unknown[][] {
  const wide = request.inputs.length > 1
  const width = wide ? 1 : request.inputs[0]!.shape[1]!
  return Array.from({ length: 4 }, (_, row) => (wide ? request.inputs.map(({ data }) => data[row]) : request.inputs[0]!.data.slice(row * width, (row + 1) * width)))
}

function expectPredictions(found: unknown, { response_outputs: [label, probabilities], atol }: Golden): void {
  const width = probabilities!.shape[1]!
  const predictions = found as Prediction[]
  expect(predictions).toHaveLength(4)
  predictions.forEach((prediction, row) => {
    expect(Object.keys(prediction)).toEqual(['label', 'probabilities'])
    expect(prediction.label).toBe(label!.data[row])
    expect(prediction.probabilities).toHaveLength(width)
    prediction.probabilities.forEach((value, i) => expect(Math.abs(value - (probabilities!.data[row * width + i] as number))).toBeLessThan(2 * atol))
  })
}

describe.each(['iris', 'cancer', 'churn'])('%s', (model) => {
  const one = caseOf(model)
  const rows = rowsIn(one)
  const names = one.request.inputs.map(({ name }) => name)
  const named = names.length > 1
  const instances = named ? rows.map((values) => Object.fromEntries(values.map((value, i) => [names[i]!, [value]]))) : rows
  const inputs = named ? Object.fromEntries(names.map((name, i) => [name, rows.map((values) => [values[i]])])) : rows
  const columns = named ? names : rows[0]!.map((_, i) => `c${i}`)

  test('kserve_v1', async () => {
    expectPredictions((await answered(model, kserveV1, { instances })).predictions, one)
  })

  test('tfs, by rows and by columns', async () => {
    expectPredictions((await answered(model, tfs, { signature_name: 'serving_default', instances })).predictions, one)
    const { outputs } = await answered(model, tfs, { inputs })
    const { label, probabilities } = outputs as { label: number[]; probabilities: number[][] }
    expectPredictions(label.map((value, i) => ({ label: value, probabilities: probabilities[i] })), one)
  })

  test('mlflow, every shape of body', async () => {
    for (const body of [{ dataframe_split: { columns, data: rows } }, { instances }, { inputs }]) expectPredictions((await answered(model, mlflow, body)).predictions, one)
    const csv = [columns, ...rows].map((cells) => cells.join(',')).join('\n')
    expectPredictions((await answered(model, mlflow, csv, ['content-type', 'text/csv'])).predictions, one)
    if (named) expectPredictions((await answered(model, mlflow, { dataframe_records: rows.map((values) => Object.fromEntries(values.map((value, i) => [names[i]!, value]))) })).predictions, one)
  })

  test('compressed', async () => {
    expectPredictions((await answered(model, kserveV1, gzipSync(JSON.stringify({ instances })), ['content-encoding', 'gzip'])).predictions, one)
  })
})

test('the only output has no name', async () => {
  // The model's own shape is [N,1].
  expect(await answered('logx', tfs, { instances: [1, 1] })).toEqual({ predictions: [[0], [0]] })
  expect(await answered('logx', tfs, { inputs: { x: [[1], [1]] } })).toEqual({ outputs: [[0], [0]] })
  expect(await answered('logx', mlflow, { dataframe_records: [{ x: 1 }] })).toEqual({ predictions: [[0]] })
  expect(await answered('logx', kserveV1, { instances: [{ x: 1 }] })).toEqual({ predictions: [[0]] })
})

test('no instances are answered with none', async () => {
  expect(await answered('logx', kserveV1, { instances: [] })).toEqual({ predictions: [] })
  expect(await answered('logx', mlflow, { dataframe_split: { columns: ['x'], data: [] } })).toEqual({ predictions: [] })
})

test('what JSON cannot carry is an error in each', async () => {
  for (const [format, body] of [[tfs, { inputs: [0] }], [kserveV1, { instances: [0] }], [mlflow, { inputs: [0] }]] as const) {
    await expect(answered('logx', format, body)).rejects.toMatchObject({ code: 'MODEL_FAILED', message: '"y": element 0 is -Infinity, which JSON cannot carry' })
  }
})
