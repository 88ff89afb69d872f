/** A folder of models with bad ones among them: the good serve, the bad are named. */
import { cpSync, mkdirSync, rmSync, symlinkSync, truncateSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { ModelBackendConfig } from '../../config/config.ts'
import { systemClock } from '../../gateway/clock.ts'
import { loadForCheck } from '../../gateway/models/repository/model_set.ts'
import { reasonOf, scanRepository } from '../../gateway/models/repository/folder.ts'
import { ask, badModels, configOf, fixtures, golden, json, memoryLog, onnx, repositoryConfig, type Stage, stage, temporary } from './setup.ts'

const folder = temporary()
const root = folder.path

function put(from: string, ...to: string[]): void {
  cpSync(from, join(root, ...to), { recursive: true })
}

function reference(name: string, model: string, version = 'latest'): ModelBackendConfig {
  return { kind: 'model', name, model, version }
}

let current: Stage
beforeAll(async () => {
  put(join(fixtures, 'cancer'), 'cancer')
  put(join(fixtures, 'diabetes/2'), 'diabetes', '2')
  put(join(badModels, 'truncated.onnx'), 'truncated', '1', 'model.onnx')
  put(join(badModels, 'not_onnx.onnx'), 'not_onnx', '1', 'model.onnx')
  put(join(badModels, 'newer_opset.onnx'), 'newer_opset', '1', 'model.onnx')
  put(join(badModels, 'external_data_missing/model.onnx'), 'external', '1', 'model.onnx')
  // The highest version is bad: latest is the one below.
  put(join(badModels, 'not_onnx.onnx'), 'cancer', '10', 'model.onnx')
  mkdirSync(join(root, 'cancer/drafts'))
  mkdirSync(join(root, 'no_file/1'), { recursive: true })
  mkdirSync(join(root, 'no_version/one'), { recursive: true })
  put(join(fixtures, 'iris/1'), '.hidden', '1')
  put(join(fixtures, 'iris/1'), '..data', '1')
  symlinkSync(join(fixtures, 'iris'), join(root, 'iris'))
  writeFileSync(join(root, 'README.md'), 'notes')
  current = await stage(configOf(repositoryConfig(root)))
})
afterAll(async () => {
  await current.close()
  folder.remove()
})

test('names in order, versions as numbers, links followed, dots and files ignored', async () => {
  const { models, remarks } = await scanRepository(root)
  expect(models.map(({ name, version }) => `${name}/${version}`)).toEqual(['cancer/1', 'cancer/2', 'cancer/3', 'cancer/10', 'diabetes/2', 'external/1', 'iris/1', 'newer_opset/1', 'no_file/1', 'not_onnx/1', 'truncated/1'])
  expect(remarks).toEqual(['no_version: expected folders named by a version (an integer) that hold model.onnx, found none'])
})

test.each([
  ['truncated', 'truncated/1/model.onnx: Protobuf parsing failed'],
  ['not_onnx', 'not_onnx/1/model.onnx: Protobuf parsing failed'],
  ['newer_opset', 'Opset 99 is under development'],
  ['external', 'External data path does not exist: "weights.bin"'],
  ['no_file', "no_file/1/model.onnx: Load model no_file/1/model.onnx failed. File doesn't exist"],
])('%s is reported with its file and the reason, without a path of the server', (name, reason) => {
  const found = current.control.description.models.find((model) => model.name === name)!
  expect(found.state).toBe('failed')
  expect(found.reason).toContain(`${name}/1/model.onnx: `)
  expect(found.reason).toContain(reason)
  expect(found.reason).not.toContain(root)
  expect(found.reason).not.toContain('onnxruntime_src')
  expect(current.log.lines).toContainEqual({ level: 'warn', message: 'a model did not load', fields: { name, version: '1', error: expect.stringContaining(root) } })
  expect(current.control.issues).toContainEqual({ severity: 'warning', at: 'models', rule: 'model-load', message: `cannot serve this model: ${found.reason}`, help: 'The other models are served.' })
})

test('the others serve, the latest is the highest that loaded', async () => {
  expect(current.models.find('cancer').identity).toEqual({ name: 'cancer', version: '3' })
  expect(current.models.find('cancer', '1').ready).toBe(true)
  const one = golden(join(fixtures, 'diabetes/2'))[0]!
  const answer = json(await ask(current.models.backend(reference('d', 'diabetes')), one.text))
  expect(answer.outputs[0]!.data[0]).toBeCloseTo(one.response_outputs[0]!.data[0] as number, 2)
})

test('a backend of a bad model answers 503 without a path', async () => {
  for (const [model, version] of [['truncated', 'latest'], ['cancer', '10']] as const) {
    const failed = ask(current.models.backend(reference('b', model, version)), golden(join(fixtures, 'cancer/1'))[0]!.text)
    await expect(failed).rejects.toMatchObject({ code: 'MODEL_NOT_READY', message: `model "${model}" version ${version === 'latest' ? '1' : version} is not ready` })
  }
})

test('an unknown model or version', () => {
  expect(() => current.models.find('nothing')).toThrow('there is no model "nothing"')
  expect(() => current.models.find('__proto__')).toThrow('there is no model "__proto__"')
  expect(() => current.models.find('cancer', '4')).toThrow('model "cancer" has no version 4')
  expect(() => current.models.find('cancer', '01')).toThrow('model "cancer" has no version 01')
})

test('a label is one of the config, and nothing that every object has', () => {
  expect(() => current.models.labelled('cancer', 'stable')).toThrow('model "cancer" has no label "stable"')
  expect(() => current.models.labelled('cancer', 'constructor')).toThrow('model "cancer" has no label "constructor"')
  expect(() => current.models.labelled('__proto__', 'constructor')).toThrow('there is no model "__proto__"')
  expect(() => current.models.labelled('constructor', 'name')).toThrow('there is no model "constructor"')
})

describe('check', () => {
  const deps = { log: memoryLog(), clock: systemClock }

  test('an onnx backend that does not load is an error that names file and reason', async () => {
    const issues = await loadForCheck(configOf(null, { bad: onnx('bad', join(badModels, 'truncated.onnx')), good: onnx('good', join(fixtures, 'cancer/1/model.onnx')) }), deps)
    expect(issues).toEqual([{ severity: 'error', at: 'backends.bad.onnx', rule: 'model-load', message: 'cannot serve this model: truncated.onnx: Protobuf parsing failed.', help: '' }])
  })

  test('a model of 2 GiB is refused in words', async () => {
    put(join(fixtures, 'cancer/1/model.onnx'), 'large', '1', 'model.onnx')
    truncateSync(join(root, 'large/1/model.onnx'), 2 ** 31)
    const issues = await loadForCheck(configOf(null, { large: onnx('large', join(root, 'large/1/model.onnx')) }), deps)
    rmSync(join(root, 'large'), { recursive: true })
    expect(issues.map(({ at, message }) => `${at} ${message}`)).toEqual(['backends.large.onnx cannot serve this model: model.onnx: the file has 2147483648 bytes, a model file must be smaller than 2 GiB; keep its weights as external data'])
  })

  test('columns must be those of the one matrix input', async () => {
    const issues = await loadForCheck(
      configOf(null, { a: onnx('a', join(fixtures, 'cancer/1/model.onnx'), { columns: ['x'] }), b: onnx('b', join(fixtures, 'churn/1/model.onnx'), { columns: ['age'] }) }),
      deps,
    )
    expect(issues.map(({ at, message }) => `${at} ${message}`)).toEqual([
      'backends.a.onnx cannot serve this model: model.onnx: "columns" has 1 names, its input "features" 30 columns',
      'backends.b.onnx cannot serve this model: model.onnx: "columns" needs a model with one input of two dimensions',
    ])
  })

  test('model backends must name a model and version that are there', async () => {
    const config = configOf(repositoryConfig(root, { placement: 'inline' }), { a: reference('a', 'canser'), b: reference('b', 'cancer', '7'), c: reference('c', 'truncated'), d: reference('d', 'cancer', '2') })
    const errors = (await loadForCheck(config, deps)).filter(({ severity }) => severity === 'error')
    expect(errors.map(({ at, rule }) => `${at} ${rule}`)).toEqual(['backends.a.model unknown-model', 'backends.b.version unknown-version'])
    expect(errors[1]!.help).toBe('It has 1, 2, 3, 10.')
  })

  test('a folder that is not there is an error', async () => {
    const issues = await loadForCheck(configOf(repositoryConfig(join(root, 'absent'))), deps)
    expect(issues).toEqual([{ severity: 'error', at: 'models.path', rule: 'models-path', message: 'the folder of models cannot be read (ENOENT)', help: 'It holds name/version/model.onnx.' }])
  })
})

test('a reason is short and without paths, whatever the library says', () => {
  expect(reasonOf(`Load model from /srv/m/a/1/model.onnx failed:/onnxruntime_src/onnxruntime/core/graph/model.cc:12 void f(const std::string&, int) Unknown   model\n file`, '/srv/m/a/1/model.onnx', 'a/1/model.onnx')).toBe('a/1/model.onnx: Unknown model file')
  expect(reasonOf('x'.repeat(10_000), '/a', 'a').length).toBeLessThan(400)
})
