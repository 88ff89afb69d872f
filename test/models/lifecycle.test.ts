/** Models that come, change and go in a running weir: the folder, the admin listener, the protocol's own orders, threads that die. */
import { cpSync, mkdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { startWeir, type Weir } from '../blackbox/weir.ts'
import { badModels, fixtures, golden, temporary } from './setup.ts'

const CANCER = join(fixtures, 'cancer/1/model.onnx')
const CONTRACT = fileURLToPath(new URL('../../gateway/plugin.ts', import.meta.url))
const body = golden(join(fixtures, 'cancer/1'))[0]!.text

let folder: ReturnType<typeof temporary>
let weir: Weir | null = null
beforeEach(() => {
  folder = temporary()
  put('m', '1')
  put('stays', '1')
})
afterEach(async () => {
  await weir?.stop()
  weir = null
  folder.remove()
})

function put(name: string, version: string, from = CANCER): void {
  mkdirSync(join(folder.path, name, version), { recursive: true })
  cpSync(from, join(folder.path, name, version, 'model.onnx'))
}

async function start(models = 'watch: off', more = ''): Promise<void> {
  weir = await startWeir(`models: { path: ${folder.path}, ${models} }\n${more}`, { threads: 2 })
}

interface Answer {
  readonly status: number
  readonly body: Record<string, unknown>
}

async function call(port: number, method: string, path: string, text?: string): Promise<Answer> {
  const answer = await fetch(`http://127.0.0.1:${port}${path}`, { method, ...(text !== undefined && { body: text }) })
  return { status: answer.status, body: (await answer.json()) as Record<string, unknown> }
}

const admin = (method: string, path: string): Promise<Answer> => call(weir!.admin, method, path)
const ask = (method: string, path: string, text?: string): Promise<Answer> => call(weir!.port, method, path, text)

interface Shown {
  readonly name: string
  readonly version: string
  readonly state: string
  readonly reason: string
  readonly bytes: number
  readonly memory_bytes: number
  readonly modified_at: string
  readonly loaded_at: string
  readonly inputs: readonly object[]
}

async function models(): Promise<Shown[]> {
  return (await admin('GET', '/models')).body['models'] as Shown[]
}

async function states(): Promise<string[]> {
  return (await models()).map(({ name, version, state }) => `${name}/${version} ${state}`)
}

/** Which versions answer for `m`, over many connections: both threads are among them. */
async function versions(path = '/v2/models/m/infer'): Promise<unknown[]> {
  const answers = await Promise.all(Array.from({ length: 24 }, () => ask('POST', path, body)))
  return [...new Set(answers.map(({ status, body }) => (status === 200 ? body['model_version'] : status)))]
}

it('the folder is watched: new, broken, mended and removed versions', async () => {
  await start('watch: 50ms')
  expect(await versions()).toEqual(['1'])
  put('m', '2')
  await expect.poll(states).toEqual(['m/1 ready', 'm/2 ready', 'stays/1 ready'])
  expect(await versions()).toEqual(['2'])
  writeFileSync(join(folder.path, 'm/2/model.onnx'), 'half')
  await expect.poll(async () => (await models())[1]!.reason).toMatch(/^m\/2\/model\.onnx: .* \(the file before serves on\)$/)
  expect(await versions()).toEqual(['2'])
  rmSync(join(folder.path, 'm/2'), { recursive: true })
  await expect.poll(states).toEqual(['m/1 ready', 'stays/1 ready'])
  expect(await versions()).toEqual(['1'])
  expect(await versions('/v2/models/m/versions/2/infer')).toEqual([404])
})

it('load and unload on the admin listener; what is unloaded answers 503 and is told of', async () => {
  await start()
  put('m', '2')
  expect(await admin('POST', '/models/m/load')).toEqual({ status: 200, body: { model: 'm', state: 'ready' } })
  expect([await versions(), await versions('/v2/models/m/versions/1/infer')]).toEqual([['2'], ['1']])
  expect((await admin('POST', '/models/m/unload')).status).toBe(200)
  expect([await states(), await versions(), await versions('/v2/models/stays/infer')]).toEqual([['m/1 unloaded', 'm/2 unloaded', 'stays/1 ready'], [503], ['1']])
  expect(await ask('POST', '/v2/models/m/infer', body)).toMatchObject({ status: 503, body: { error: 'model "m" version 2 is not ready' } })
  expect(await admin('POST', '/models/x/unload')).toEqual({ status: 404, body: { error: 'there is no model "x" in the repository' } })
  put('m', '3', join(badModels, 'truncated.onnx'))
  expect(await admin('POST', '/models/m/load')).toEqual({ status: 422, body: { error: 'm/3/model.onnx: Protobuf parsing failed.' } })
  expect([await states(), await versions()]).toEqual([['m/1 ready', 'm/2 ready', 'm/3 failed', 'stays/1 ready'], ['2']])
})

it('load, unload and index as Triton has them, for callers who may', async () => {
  await start('watch: off, control: explicit')
  expect((await ask('POST', '/v2/repository/models/m/unload')).status).toBe(200)
  expect((await ask('POST', '/v2/repository/index')).body).toEqual([{ name: 'm', version: '1', state: 'UNAVAILABLE', reason: 'unloaded' }, { name: 'stays', version: '1', state: 'READY' }])
  expect(await versions()).toEqual([503])
  put('m', '2')
  expect((await ask('POST', '/v2/repository/models/m/load')).status).toBe(200)
  expect(await versions()).toEqual(['2'])
  expect((await ask('POST', '/v2/repository/models/x/load')).status).toBe(404)
  await weir!.stop()
  await start()
  expect((await ask('POST', '/v2/repository/models/m/unload')).status).toBe(403)
  expect(await versions()).toEqual(['2'])
})

it('a reload with unchanged models loads nothing; a bad one changes nothing', async () => {
  await start()
  put('m', '2')
  await admin('POST', '/models/m/load')
  const before = await models()
  const loads = async (): Promise<number> => (await weir!.metrics()).sum('weir_model_loads_total')
  expect(await loads()).toBe(3)
  expect((await admin('POST', '/reload')).status).toBe(200)
  expect([await models(), await loads(), await versions()]).toEqual([before, 3, ['2']])
  await admin('POST', '/models/m/unload')
  const file = join(weir!.folder, 'weir.yaml')
  writeFileSync(file, `${readFileSync(file, 'utf8')}backends: { b: { model: nothing } }\n`)
  expect((await admin('POST', '/reload')).status).toBe(422)
  expect([await states(), await versions()]).toEqual([['m/1 unloaded', 'm/2 unloaded', 'stays/1 ready'], [503]])
})

it('a data thread that is replaced has what was loaded since', async () => {
  writeFileSync(
    join(folder.path, 'dying.ts'),
    `import { plugin, Type } from ${JSON.stringify(CONTRACT)}
export default plugin({ name: 'dying', summary: 's', stability: 'beta', config: Type.Object({}, { additionalProperties: false }), example: {}, onError: 'closed', build: () => ({ request() { process.exit(7) } }) })`,
  )
  await start('watch: off', `backends: { one: { answer: { body: a } } }\nroutes: [{ name: die, match: { path: /die }, backend: one, plugins: [{ use: "${folder.path}/dying.ts" }] }]\n`)
  put('m', '2')
  await admin('POST', '/models/m/load')
  await admin('POST', '/models/stays/unload')
  await ask('GET', '/die').catch(() => undefined)
  await expect.poll(async () => (await admin('GET', '/ready')).body, { timeout: 10_000 }).toMatchObject({ ready: true, threads: { serving: 2, restarts: 1 } })
  expect([await versions(), await versions('/v2/models/stays/infer')]).toEqual([['2'], [503]])
})

it('/models tells what an operator asks', async () => {
  await start('labels: { m: { stable: 1 } }')
  const m = (await models())[0]!
  expect(m).toMatchObject({ name: 'm', version: '1', state: 'ready', reason: '', labels: ['stable'], placement: 'inline', copies: 2, why: expect.stringMatching(/^a run of one row takes .* µs/), independent_rows: true })
  expect(m.bytes).toBe(statSync(CANCER).size)
  expect([m.memory_bytes, m.modified_at <= m.loaded_at]).toEqual([2 * m.bytes, true])
  expect(m.inputs).toMatchObject([{ name: 'features', dtype: 'FP32', shape: [-1, 30] }])
  expect(JSON.stringify(m)).not.toContain('"id"')
})
