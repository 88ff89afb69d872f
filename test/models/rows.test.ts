/** Rows against real models: features by name, one input a column and one matrix of named columns. */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { Answer, Backend } from '../../gateway/exchange.ts'
import { rows } from '../../gateway/payload/rows.ts'
import { graph, sequence } from './graphs.ts'
import { ask, configOf, fixtures, golden, onnx, rowsOf, type Stage, stage, temporary, textOf } from './setup.ts'

const measurements = Array.from({ length: 30 }, (_, i) => `m${i}`)
const folder = temporary()
const config = configOf(null, {
  churn: onnx('churn', join(fixtures, 'churn/1/model.onnx')),
  cancer: onnx('cancer', join(fixtures, 'cancer/1/model.onnx'), { columns: measurements }),
  bare: onnx('bare', join(fixtures, 'cancer/1/model.onnx')),
  embedding: onnx('embedding', join(fixtures, 'embedding/1/model.onnx')),
  fraud: onnx('fraud', join(fixtures, 'fraud/2/model.onnx'), { columns: Array.from({ length: 12 }, (_, i) => `f${i}`) }),
  logx: onnx('logx', join(fixtures, 'logx/1/model.onnx')),
  flag: onnx('flag', join(fixtures, 'identity_bool/1/model.onnx')),
  zipmap: onnx('zipmap', join(fixtures, 'cancer_zipmap/1/model.onnx'), { columns: measurements }),
  sequence: onnx('sequence', join(folder.path, 'sequence.onnx')),
})
let current: Stage
beforeAll(async () => {
  const [x, s] = [{ name: 'x', type: 'FP32', shape: ['N'] }, sequence('s', 'FP32')] as const
  writeFileSync(join(folder.path, 'sequence.onnx'), graph({ inputs: [x], outputs: [s], nodes: [{ op: 'SequenceConstruct', inputs: ['x'], outputs: ['s'] }] }))
  current = await stage(config)
})
afterAll(async () => {
  await current.close()
  folder.remove()
})

function backend(name: string): Backend {
  return current.models.backend(config.backends[name] as never)
}

interface Labelled {
  readonly label: number
  readonly probabilities: number[]
}

function parsed(answer: Answer): unknown {
  return JSON.parse(textOf(answer))
}

function oneRow(answer: Answer): Labelled {
  return parsed(answer) as Labelled
}

/** The golden tensors of a case as rows. */
function asRows(name: string, names: readonly string[]): Record<string, unknown>[] {
  const one = golden(join(fixtures, name, '1')).find((candidate) => candidate.name === 'b4')!
  const { inputs } = one.request
  return Array.from({ length: 4 }, (_, row) =>
    Object.fromEntries(inputs.length > 1 ? inputs.map((input) => [input.name, input.data[row]]) : names.map((key, i) => [key, inputs[0]!.data[row * names.length + i]])),
  )
}

function expected(name: string): { label: number[]; probabilities: number[] } {
  const one = golden(join(fixtures, name, '1')).find((candidate) => candidate.name === 'b4')!
  return Object.fromEntries(one.response_outputs.map((output) => [output.name, output.data])) as never
}

describe.each([['churn', []], ['cancer', measurements]] as const)('%s', (name, names) => {
  test('rows in, rows out, as the training library answers', async () => {
    const answer = rowsOf<Labelled>(await ask(backend(name), JSON.stringify(asRows(name, names)), rows))
    const { label, probabilities } = expected(name)
    expect(answer).toHaveLength(4)
    answer.forEach((row, i) => {
      expect(Object.keys(row)).toEqual(['label', 'probabilities'])
      expect(row.label).toBe(label[i])
      row.probabilities.forEach((value, k) => expect(value).toBeCloseTo(probabilities[i * 2 + k]!, 5))
    })
  })

  test('one object in, one out; order of keys and unknown features do not matter', async () => {
    const row = asRows(name, names)[2]!
    const shuffled = Object.fromEntries([['user_id', 'u-1'], ...Object.entries(row).reverse(), ['extra', 5]])
    const answer = await ask(backend(name), JSON.stringify(shuffled), rows)
    expect(oneRow(answer).label).toBe(expected(name).label[2])
  })
})

test('a missing feature is named, with what was found instead', async () => {
  const row = asRows('churn', [])[0]!
  const { age, ...rest } = row
  const wrong = ask(backend('churn'), JSON.stringify({ ...rest, aeg: age }), rows)
  await expect(wrong).rejects.toMatchObject({ code: 'MODEL_INPUT', message: 'missing feature "age"; found instead "aeg"' })
})

test('many missing features are counted', async () => {
  await expect(ask(backend('cancer'), '{"m0":1}', rows)).rejects.toThrow(/^missing features "m1", "m2", .*"m10" and 19 more$/)
})

test('a matrix without column names takes its vector', async () => {
  const one = golden(join(fixtures, 'cancer/1')).find((candidate) => candidate.name === 'b4')!
  const features = (one.request.inputs[0]!.data as number[]).slice(0, 30)
  expect(oneRow(await ask(backend('bare'), JSON.stringify({ features }), rows)).label).toBe(expected('cancer').label[0])
  await expect(ask(backend('bare'), JSON.stringify({ features: features.slice(1) }), rows)).rejects.toThrow('input "features": expected shape [-1,30], found [1,29]')
  await expect(ask(backend('bare'), '{"m0":1}', rows)).rejects.toThrow('missing feature "features"; found instead "m0"')
})

test('no rows in, no rows out', async () => {
  expect(rowsOf(await ask(backend('cancer'), '[]', rows))).toEqual([])
})

test.each([
  ['churn', { age: 'old' }, '"age" in row 0: expected a number in the range of FP32, found the string "old"'],
  ['churn', { plan: 3 }, '"plan" in row 0: expected a string, found 3'],
  ['churn', { plan: null }, '"plan" in row 0: expected a string, found null'],
  ['churn', { age: 1e300 }, '"age" in row 0: expected a number in the range of FP32, found 1e+300'],
  ['churn', { age: [1, 2] }, 'input "age": expected shape [-1,1], found [1,2]'],
])('%s %j', async (name, change, message) => {
  await expect(ask(backend(name), JSON.stringify({ ...asRows('churn', [])[0], ...change }), rows)).rejects.toMatchObject({ code: 'MODEL_INPUT', message })
})

test('what is null stops a row only where the model takes it', async () => {
  const [first, second] = asRows('churn', [])
  await expect(ask(backend('churn'), JSON.stringify([first, { ...second, plan: null }]), rows)).rejects.toMatchObject({ code: 'MODEL_INPUT', message: '"plan" in row 1: expected a string, found null' })
  const answer = await ask(backend('churn'), JSON.stringify([{ ...first, channel: 'web' }, { ...second, channel: null }]), rows)
  expect(rowsOf(answer)).toEqual(rowsOf(await ask(backend('churn'), JSON.stringify([first, second]), rows)))
})

test('integers of a model are whole numbers in their range', async () => {
  const ids = async (text: string) => ask(backend('embedding'), text, rows)
  expect(rowsOf(await ids('[{"ids":3},{"ids":-1}]'))).toHaveLength(2)
  await expect(ids('{"ids":1.5}')).rejects.toThrow('"ids" in row 0: expected an integer -9223372036854775808 to 9223372036854775807, found 1.5')
  await expect(ids('[{"ids":1},{"ids":null}]')).rejects.toThrow('"ids" in row 1: expected an integer -9223372036854775808 to 9223372036854775807, found null')
  await expect(ids('{"ids":1e19}')).rejects.toThrow('found 10000000000000000000')
})

test('true is no number to a model of booleans, nor the other way', async () => {
  expect(parsed(await ask(backend('flag'), '{"INPUT0":[true,false]}', rows))).toEqual({ OUTPUT0: [true, false] })
  await expect(ask(backend('flag'), '{"INPUT0":[1,0]}', rows)).rejects.toThrow('"INPUT0" in row 0 at [0]: expected true or false, found 1')
})

test('null is a missing number, which tree models take', async () => {
  const row = Object.fromEntries(Array.from({ length: 12 }, (_, i) => [`f${i}`, null]))
  const answer = rowsOf<Labelled>(await ask(backend('fraud'), JSON.stringify([row, { ...row, f0: 1 }]), rows))
  expect(answer).toHaveLength(2)
  expect(answer[0]!.probabilities[0]! + answer[0]!.probabilities[1]!).toBeCloseTo(1, 5)
})

test('an answer JSON cannot carry is an error that names it, and the model goes on', async () => {
  await expect(ask(backend('logx'), '{"x":0}', rows)).rejects.toMatchObject({ code: 'MODEL_FAILED', message: '"y": element 0 is -Infinity, which JSON cannot carry' })
  expect(parsed(await ask(backend('logx'), '{"x":1}', rows))).toEqual({ y: 0 })
})

test('the probabilities of a ZipMap model are a list a row', async () => {
  const answer = rowsOf<{ output_label: number; output_probability: number[] }>(await ask(backend('zipmap'), JSON.stringify(asRows('cancer_zipmap', measurements)), rows))
  const { output_label, output_probability } = expected('cancer_zipmap') as unknown as Record<string, number[]>
  expect(answer.map((row) => row.output_label)).toEqual(output_label)
  answer.forEach((row, i) => row.output_probability.forEach((value, k) => expect(value).toBeCloseTo(output_probability![i * 2 + k]!, 5)))
})

test('an output that is no tensor is named', async () => {
  await expect(ask(backend('sequence'), '[{"x":1}]', rows)).rejects.toMatchObject({ code: 'MODEL_INPUT' })
  await expect(ask(backend('sequence'), '[{"x":1}]', rows)).rejects.toThrow('output "s" of the model is not a tensor')
})
