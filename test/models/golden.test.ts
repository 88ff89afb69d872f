/** Answers of the library that trained each model, through the whole path: bytes in, bytes out. */
import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { builtins, configOf, exchange, fixtures, type Golden, golden, json, largeModels, repositoryConfig, type Stage, stage, textOf } from './setup.ts'
import type { Answer } from '../../gateway/exchange.ts'

/** Folders with models, and what is too large to be kept with the project. */
const LARGE = ['slow', 'heavy']
if (largeModels === null) console.log('left out: golden files of slow and heavy (WEIR_TEST_DATA names no folder that has them)')

function suite(root: string, names: readonly string[], placement: 'auto' | 'thread' = 'auto'): void {
  let current: Stage
  beforeAll(async () => {
    current = await stage(configOf(repositoryConfig(root, { placement })))
  })
  afterAll(() => current.close())

  async function infer(model: string, version: string, body: string): Promise<Answer> {
    const route = builtins(current.models).find(({ path }) => path === '/v2/models/{model}/versions/{version}/infer')!
    return route.handle(exchange(body), { model, version })
  }

  for (const name of names) {
    for (const version of readdirSync(join(root, name))) {
      for (const one of golden(join(root, name, version))) {
        test(`${name}/${version} ${one.name}`, async () => {
          const answer = await infer(name, version, one.text)
          expect(answer.status, textOf(answer)).toBe(200)
          compare(answer, one, name, version)
        })
      }
    }
  }
}

function compare(answer: Answer, one: Golden, name: string, version: string): void {
  const got = json(answer)
  expect(got.model_name).toBe(name)
  expect(got.model_version).toBe(version)
  expect(got.id).toBe(one.request.id)
  expect(got.outputs.map((output: { name: string }) => output.name)).toEqual(one.response_outputs.map((output) => output.name))
  const spelled = [...textOf(answer).matchAll(/"data":\[([^\]]*)\]/g)].map((match) => match[1]!)
  one.response_outputs.forEach((expected, i) => {
    const output = got.outputs[i]!
    expect(output.datatype).toBe(expected.datatype)
    expect(output.shape).toEqual(expected.shape)
    expect(output.data.length).toBe(expected.data.length)
    if (expected.datatype.startsWith('FP')) close(output.data, expected.data as number[], one)
    // As text: JSON.parse would lose them.
    else if (/^U?INT64$/.test(expected.datatype)) expect(spelled[i]).toBe(one.spelled[i]!.replaceAll(' ', ''))
    else expect(output.data).toEqual(expected.data)
  })
}

function close(got: readonly number[], expected: readonly number[], { rtol, atol }: Golden): void {
  expected.forEach((value, i) => {
    if (!(Math.abs(got[i]! - value) <= atol + rtol * Math.abs(value))) expect.fail(`element ${i}: got ${got[i]}, expected ${value}`)
  })
}

describe('small models', () => suite(fixtures, readdirSync(fixtures)))
describe('small models on the inference thread', () => suite(fixtures, readdirSync(fixtures), 'thread'))
describe.runIf(largeModels !== null)('large models', () => {
  if (largeModels !== null) suite(largeModels, LARGE)
})
