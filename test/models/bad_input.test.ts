/** Forty requests that do not fit a model: each is a 400 that names the tensor, and the next good one works. */
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { WeirError } from '../../gateway/errors.ts'
import { ask, configOf, fixtures, golden, json, onnx, type Stage, stage } from './setup.ts'

const models = ['cancer', 'simple', 'simple_int8', 'simple_string', 'identity_fp32', 'identity_int64', 'identity_bool', 'identity_bytes', 'embedding', 'churn']
const config = configOf(null, Object.fromEntries(models.map((name) => [name, onnx(name, join(fixtures, name, '1/model.onnx'))])))
let current: Stage
beforeAll(async () => {
  current = await stage(config)
})
afterAll(() => current.close())

interface Tensor {
  name?: unknown
  shape?: unknown
  datatype?: unknown
  data?: unknown
}

const thirty = Array.from({ length: 30 }, (_, i) => i / 10)
const sixteen = Array.from({ length: 16 }, (_, i) => i)
const features = (change: Tensor): object => ({ inputs: [{ name: 'features', shape: [1, 30], datatype: 'FP32', data: thirty, ...change }] })
const pair = (datatype: string, change: Tensor, data: unknown = sixteen): object => ({
  inputs: [{ name: 'INPUT0', shape: [1, 16], datatype, data }, { name: 'INPUT1', shape: [1, 16], datatype, data, ...change }],
})
const one = (datatype: string, shape: unknown, data: unknown): object => ({ inputs: [{ name: 'INPUT0', shape, datatype, data }] })
const raw = (text: string): { raw: string } => ({ raw: text })

const cases: readonly (readonly [model: string, body: object, message: string])[] = [
  ['cancer', features({ name: 'feature' }), 'unknown input "feature"; the model takes "features"'],
  ['cancer', features({ shape: [1, 29], data: thirty.slice(1) }), 'input "features": expected shape [-1,30], found [1,29]'],
  ['cancer', features({ shape: [30] }), 'input "features": expected shape [-1,30], found [30]'],
  ['cancer', features({ shape: [1, 1, 30] }), 'input "features": expected shape [-1,30], found [1,1,30]'],
  ['cancer', features({ shape: [2, 30] }), 'input "features": shape [2,30] has 60 elements, found 30'],
  ['cancer', features({ shape: [30, 1] }), 'input "features": expected shape [-1,30], found [30,1]'],
  ['cancer', features({ shape: [-1, 30] }), 'input "features": expected a dimension of the shape to be an integer from 0, found -1'],
  ['cancer', features({ shape: [1.5, 30] }), 'input "features": expected a dimension of the shape to be an integer from 0, found 1.5'],
  ['cancer', features({ shape: [2 ** 52, 2 ** 52] }), 'input "features": shape [4503599627370496,4503599627370496] has more than 2^53 elements, found 30'],
  ['cancer', features({ shape: undefined }), 'input "features" has no "shape"'],
  ['cancer', features({ shape: '1,30' }), 'input "features": expected shape to be an array of integers, found the string "1,30"'],
  ['cancer', features({ datatype: 'FP64' }), 'input "features": expected datatype FP32, found FP64'],
  ['cancer', features({ datatype: 'INT64', data: thirty.map(Math.round) }), 'input "features": expected datatype FP32, found INT64'],
  ['cancer', features({ datatype: 'FLOAT' }), 'input "features": unknown datatype "FLOAT"'],
  ['cancer', features({ datatype: undefined }), 'input "features" has no "datatype"'],
  ['cancer', features({ datatype: 'FP16' }), 'input "features": FP16 cannot travel as JSON'],
  ['cancer', features({ datatype: 'BF16' }), 'input "features": BF16 cannot travel as JSON'],
  ['cancer', features({ data: undefined }), 'input "features" has no "data"'],
  ['cancer', features({ data: thirty.map(String) }), 'input "features": element 0: expected a number in the range of FP32, found the string "0"'],
  ['cancer', features({ data: [...thirty.slice(1), null] }), 'input "features": element 29: expected a number in the range of FP32, found null'],
  ['cancer', features({ data: [...thirty.slice(1), 1e39] }), 'input "features": element 29: expected a number in the range of FP32, found 1e+39'],
  ['cancer', features({ data: [thirty.slice(1)] }), 'input "features": data does not have the shape [1,30]: expected 30 at depth 2, found 29'],
  ['cancer', features({ data: [[thirty]] }), 'input "features": data is nested deeper than its shape [1,30]'],
  ['cancer', features({ data: [...thirty.slice(1), [1]] }), 'input "features": data mixes arrays and values'],
  ['cancer', features({ data: { 0: 1 } }), 'input "features": expected data to be an array, found an object'],
  ['cancer', raw(`{"inputs":[{"name":"features","shape":[1,30],"datatype":"FP32","data":[${'NaN,'.repeat(29)}1]}]}`), 'input "features": invalid JSON'],
  ['cancer', raw(`{"inputs":[{"name":"features","shape":[1,30],"datatype":"FP32","data":${'['.repeat(10_000)}`), 'input "features": data is nested deeper than its shape [1,30]'],
  ['cancer', { ...features({}), outputs: [{ name: 'labels' }] }, 'unknown output "labels"; the model gives "label", "probabilities"'],
  ['cancer', { ...features({}), outputs: [{ name: '__proto__' }] }, 'unknown output "__proto__"'],
  ['cancer', { inputs: [...(features({}) as { inputs: object[] }).inputs, ...(features({}) as { inputs: object[] }).inputs] }, 'input "features" is given twice'],
  ['simple', { inputs: (pair('INT32', {}) as { inputs: object[] }).inputs.slice(0, 1) }, 'input "INPUT1" is missing (INT32 [-1,16])'],
  ['simple', pair('INT32', { shape: [2, 16], data: [...sixteen, ...sixteen] }), 'input "INPUT1": expected 1 rows as in "INPUT0", found 2'],
  ['simple', pair('INT32', { data: [...sixteen.slice(1), 0.5] }), 'input "INPUT1": element 15: expected an integer -2147483648 to 2147483647, found 0.5'],
  ['simple', pair('INT32', { data: [...sixteen.slice(1), 2 ** 31] }), 'input "INPUT1": element 15: expected an integer -2147483648 to 2147483647, found 2147483648'],
  ['simple', pair('INT32', { datatype: 'INT64' }), 'input "INPUT1": expected datatype INT32, found INT64'],
  ['simple', { inputs: [...(pair('INT32', {}) as { inputs: object[] }).inputs, { name: 'INPUT2', shape: [1], datatype: 'INT32', data: [1] }] }, 'unknown input "INPUT2"; the model takes "INPUT0", "INPUT1"'],
  ['simple_int8', pair('INT8', { data: [...sixteen.slice(1), 128] }), 'input "INPUT1": element 15: expected an integer -128 to 127, found 128'],
  ['simple_string', pair('BYTES', { data: sixteen }, sixteen.map(String)), 'input "INPUT1": element 0: expected a string, found 0'],
  ['identity_int64', one('INT64', [1, 1], [1.5]), 'input "INPUT0": element 0: expected an integer -9223372036854775808 to 9223372036854775807, found 1.5'],
  ['identity_int64', raw('{"inputs":[{"name":"INPUT0","shape":[1,1],"datatype":"INT64","data":[9223372036854775808]}]}'), 'input "INPUT0": element 0: expected an integer -9223372036854775808 to 9223372036854775807, found 9223372036854775808'],
  ['identity_bool', one('BOOL', [1, 1], [1]), 'input "INPUT0": element 0: expected true or false, found 1'],
  ['identity_bytes', one('BYTES', [1, 1], [null]), 'input "INPUT0": element 0: expected a string, found null'],
  ['identity_bytes', raw('{"inputs":[{"name":"INPUT0","shape":[1,1],"datatype":"BYTES","data":["\\ud800"]}]}'), 'input "INPUT0": invalid JSON'],
  ['identity_bytes', one('BYTES', [1, 2], ['a', 'b\0c']), 'input "INPUT0": element 1 holds a NUL character, which models cannot take'],
  ['identity_fp32', one('FP32', [1], [1]), 'input "INPUT0": expected shape [-1,-1], found [1]'],
  ['embedding', { inputs: [{ name: 'ids', shape: [1, 1], datatype: 'INT64', data: [1] }] }, 'input "ids": expected shape [-1], found [1,1]'],
  ['churn', { inputs: [{ name: 'age', shape: [1, 1], datatype: 'BYTES', data: ['45'] }] }, 'input "age": expected datatype FP32, found BYTES'],
]

test.each(cases)('%s %j', async (model, body, message) => {
  const backend = current.models.backend(config.backends[model] as never)
  const text = 'raw' in body ? (body.raw as string) : JSON.stringify(body)
  const error = await ask(backend, text).then(() => null, (caught: WeirError) => caught)
  expect(error?.message).toContain(message)
  expect(error?.status).toBe(400)
  const good = golden(join(fixtures, model, '1'))[0]!
  const answer = json(await ask(backend, good.text))
  expect(answer.outputs.map((output: { name: string }) => output.name)).toEqual(good.response_outputs.map((output) => output.name))
})
