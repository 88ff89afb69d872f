/** The repository changes while callers ask: real models on real inference threads, two data threads in this one. */
import { cpSync, mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { BackendConfig, Config, ModelsConfig } from '../../config/config.ts'
import { WeirError } from '../../gateway/errors.ts'
import { FakeCrew, type FakeThread } from './crew.ts'
import { ask, badModels, configOf, fixtures, golden, json, onnx, repositoryConfig, temporary } from './setup.ts'

const FULL = process.env['WEIR_PROOF'] === 'full'
const CYCLES = FULL ? 500 : 50
const cancer = golden(join(fixtures, 'cancer/1'))[0]!
const expected = cancer.response_outputs[1]!.data as number[]

let folder: ReturnType<typeof temporary>
let crew: FakeCrew

beforeEach(() => {
  folder = temporary()
})
afterEach(async () => {
  await crew.close()
  folder.remove()
})

function put(name: string, version: string, from = join(fixtures, 'cancer/1/model.onnx')): void {
  mkdirSync(join(folder.path, name, version), { recursive: true })
  cpSync(from, join(folder.path, name, version, 'model.onnx'))
}

function config(more: Partial<ModelsConfig> = {}, backends: Record<string, BackendConfig> = {}): Config {
  const references = { latest: 'latest', one: '1', stable: 'stable' }
  const models = Object.entries(references).map(([name, version]): [string, BackendConfig] => [name, { kind: 'model', name, model: 'm', version }])
  return configOf(repositoryConfig(folder.path, { labels: { m: { stable: '1' } }, ...more }), { ...Object.fromEntries(models), ...backends })
}

async function start(more: Partial<ModelsConfig> = {}, backends: Record<string, BackendConfig> = {}): Promise<FakeCrew> {
  crew = await FakeCrew.start(config(more, backends))
  return crew
}

/** Which version answers. @throws as the backend */
async function versionOf(thread: FakeThread, backend = 'latest'): Promise<string> {
  const answer = await ask(thread.part.backends.get(backend)!, cancer.text)
  return answer.model!.version
}

function versions(backend = 'latest'): Promise<string[]> {
  return Promise.all(crew.threads.map((thread) => versionOf(thread, backend).catch((error: WeirError) => error.code)))
}

function states(): string[] {
  return crew.live.report().map(({ name, version, state }) => `${name}/${version} ${state}`)
}

describe.each(['inline', 'thread'] as const)('%s', (placement) => {
  test('a new version is loaded and answers; latest follows it, numbers and labels stay', async () => {
    put('m', '1')
    await start({ placement })
    put('m', '2')
    expect(await crew.live.load('m')).toBeNull()
    expect([await versions(), await versions('one'), await versions('stable')]).toEqual([['2', '2'], ['1', '1'], ['1', '1']])
    expect(crew.live.index()).toEqual(['1', '2'].map((version) => ({ name: 'm', version, state: 'READY', reason: '' })))
  })

  test('a version that is bad replaces none that works', async () => {
    put('m', '1')
    await start({ placement })
    put('m', '2', join(badModels, 'truncated.onnx'))
    expect(await crew.live.load('m')).toEqual({ code: 'MODEL_NOT_READY', message: 'm/2/model.onnx: Protobuf parsing failed.' })
    put('m', '1', join(badModels, 'not_onnx.onnx'))
    expect(await crew.live.load('m')).toMatchObject({ code: 'MODEL_NOT_READY', message: expect.stringContaining('m/1/model.onnx: Protobuf parsing failed. (the file before serves on)') })
    expect([await versions(), states()]).toEqual([['1', '1'], ['m/1 ready', 'm/2 failed']])
    expect(crew.live.index()[1]).toEqual({ name: 'm', version: '2', state: 'UNAVAILABLE', reason: 'm/2/model.onnx: Protobuf parsing failed.' })
  })

  test('an unload waits for the run under way, then 503, and a load brings it back', async () => {
    put('m', '1')
    put('ranker', '1', join(fixtures, 'ranker/1/model.onnx'))
    await start({ placement }, { ranker: { kind: 'model', name: 'ranker', model: 'ranker', version: 'latest' } })
    const rows = 20_000
    const body = JSON.stringify({ inputs: [{ name: 'features', datatype: 'FP32', shape: [rows, 12], data: new Array(rows * 12).fill(0.5) }] })
    const running = ask(crew.threads[0]!.part.backends.get('ranker')!, body)
    // The run begins once its body was read.
    await new Promise((resolve) => setImmediate(resolve))
    const order: string[] = []
    const unloading = crew.live.unload('ranker').then(() => order.push('unloaded'))
    void running.then(() => order.push('answered'))
    expect(json(await running).outputs[0]!.shape).toEqual([rows, 1])
    await unloading
    expect(order).toEqual(['answered', 'unloaded'])
    expect(await versions('ranker')).toEqual(['MODEL_NOT_READY', 'MODEL_NOT_READY'])
    expect([states(), await versions()]).toEqual([['m/1 ready', 'ranker/1 unloaded'], ['1', '1']])
    expect(crew.open).toEqual([1, 1])
    expect(await crew.live.load('ranker')).toBeNull()
    expect(crew.open).toEqual([2, 2])
  })
})

test('what is unknown is said to be', async () => {
  put('m', '1')
  await start()
  expect(await crew.live.load('x')).toEqual({ code: 'MODEL_NOT_FOUND', message: 'there is no model "x" in the repository' })
  expect(await crew.live.unload('x')).toEqual({ code: 'MODEL_NOT_FOUND', message: 'there is no model "x" in the repository' })
  expect(await crew.live.unload('m')).toBeNull()
  expect(await crew.live.unload('m')).toBeNull()
})

test('changes that wait for each other are bounded', async () => {
  put('m', '1')
  await start()
  const outcomes = await Promise.all(Array.from({ length: 40 }, () => crew.live.load('m')))
  expect(outcomes.filter((refusal) => refusal === null)).toHaveLength(32)
  expect(outcomes.at(-1)).toEqual({ code: 'OVERLOADED', message: '32 changes of models wait already' })
})

test('no thread shows a version before all have it', async () => {
  put('m', '1')
  await start()
  const [first, second] = crew.threads as [FakeThread, FakeThread]
  const gate = Promise.withResolvers<void>()
  let orders = 0
  first.before = async () => void orders++
  second.before = () => gate.promise
  put('m', '2')
  const loading = crew.live.load('m')
  await expect.poll(() => orders).toBe(1)
  await expect.poll(() => first.inside.models).toBe(2)
  expect([await versionOf(first), states()]).toEqual(['1', ['m/1 ready']])
  gate.resolve()
  expect(await loading).toBeNull()
  expect(await versions()).toEqual(['2', '2'])
})

test.each(['inline', 'thread'] as const)('a data thread that is replaced gets the list as it is, %s', async (placement) => {
  put('m', '1')
  put('other', '1')
  await start({ placement })
  put('m', '2')
  await crew.live.load('m')
  await crew.live.unload('other')
  crew.die(0)
  const thread = await crew.spawn(0)
  expect([await versionOf(thread), thread.inside.models]).toEqual(['2', 2])
})

test('a file that changes before a data thread opens it is not shown on any', async () => {
  put('m', '1')
  await start({ placement: 'inline' })
  put('m', '2')
  crew.threads[1]!.before = async () => put('m', '2', join(fixtures, 'iris/1/model.onnx'))
  expect(await crew.live.load('m')).toEqual({ code: 'MODEL_NOT_READY', message: 'm/2/model.onnx: it changed while it was being loaded' })
  expect([states(), await versions(), crew.open]).toEqual([['m/1 ready', 'm/2 failed'], ['1', '1'], [1, 1]])
})

test('a data thread that does not carry it out is given up; the others go on', async () => {
  put('m', '1')
  await start()
  crew.threads[1]!.before = () => Promise.reject(new Error('out of memory'))
  put('m', '2')
  expect(await crew.live.load('m')).toBeNull()
  expect([crew.givenUp, await versions()]).toEqual([[1], ['2']])
})

describe('a reload of the configuration', () => {
  const loads = (): string[] => crew.live.report().map(({ id, loaded_at }) => `${id} ${loaded_at}`)

  test('with unchanged models loads and opens nothing', async () => {
    put('m', '1')
    put('m', '2')
    const iris = onnx('iris', join(fixtures, 'iris/1/model.onnx'))
    await start({}, { iris })
    const before = loads()
    expect(crew.open).toEqual([3, 3])
    await crew.reload(config({}, { iris }))
    expect(loads()).toEqual(before)
    await expect.poll(() => crew.open).toEqual([3, 3])
    expect(await versions()).toEqual(['2', '2'])
  })

  test('that fails leaves everything as it was, what was loaded for it is given back', async () => {
    put('m', '1')
    await start()
    const before = loads()
    put('m', '2')
    await crew.reload(config(), false)
    expect([loads(), crew.open, await versions()]).toEqual([before, [1, 1], ['1', '1']])
    expect(await crew.live.load('m')).toBeNull()
    expect(await versions()).toEqual(['2', '2'])
  })

  test('that comes between a change and its turn: the change is made again, on what runs then', async () => {
    put('m', '1')
    put('other', '1')
    await start()
    const reloading = crew.reload(config())
    // Prepared at once, on the old list; its turn comes after the reload, which loads everything again.
    const unloading = crew.live.unload('m')
    put('other', '2')
    const loading = crew.live.load('other')
    await reloading
    expect([await unloading, await loading, states()]).toEqual([null, null, ['m/1 unloaded', 'other/1 ready', 'other/2 ready']])
    await expect.poll(() => crew.open).toEqual([2, 2])
  })

  test('without models lets go of all of them, and with them again starts again', async () => {
    put('m', '1')
    await start({ placement: 'thread' })
    const old = crew.grant!
    await Promise.all(crew.threads.map(({ part }) => part.close()))
    crew.grants.drop(old)
    await expect.poll(() => crew.open).toEqual([0, 0])
    await new Promise((resolve) => setTimeout(resolve, 50))
    crew.grant = await crew.grants.load(crew.config, null)
    for (const thread of crew.threads) thread.part = await thread.inside.open(crew.config, crew.grants.for(thread.index, crew.grant)!)
    expect(await versions()).toEqual(['1', '1'])
  })
})

describe.each(['inline', 'thread'] as const)('load, unload, replace and break, %s', (placement) => {
  test(`${CYCLES} times under load: what stays answers right, and nothing is left behind`, { timeout: FULL ? 600_000 : 60_000 }, async () => {
    put('m', '1')
    put('m', '2')
    put('stays', '1')
    await start({ placement }, { stays: { kind: 'model', name: 'stays', model: 'stays', version: '1' } })
    const baseline = crew.open
    const callers = new Callers(['stays', 'one', 'stable', 'latest'])
    for (let i = 0; i < CYCLES; i++) {
      const version = String(3 + (i % 3))
      put('m', version)
      expect(await crew.live.load('m')).toBeNull()
      // The same content is another file: it replaces what serves.
      put('m', '2')
      expect(await crew.live.load('m')).toBeNull()
      writeFileSync(join(folder.path, 'm', version, 'model.onnx'), 'broken')
      expect(await crew.live.load('m')).toMatchObject({ code: 'MODEL_NOT_READY' })
      rmSync(join(folder.path, 'm', version), { recursive: true })
      put('comes', '1')
      await crew.live.load('comes')
      await crew.live.unload('comes')
      expect(await crew.live.load('m')).toBeNull()
    }
    await callers.stop()
    expect(callers.failures).toEqual([])
    expect(callers.answered).toBeGreaterThan(CYCLES)
    await expect.poll(() => crew.open).toEqual(baseline)
    expect(states()).toEqual(['comes/1 unloaded', 'm/1 ready', 'm/2 ready', 'stays/1 ready'])
    expect(crew.givenUp).toEqual([])
  })
})

/** Ask one after the other, on every thread, and look at what comes. */
class Callers {
  answered = 0
  readonly failures: string[] = []
  #going = true
  readonly #done: Promise<unknown>

  constructor(backends: readonly string[]) {
    this.#done = Promise.all(crew.threads.flatMap((thread) => backends.map((backend) => this.#caller(thread, backend))))
  }

  async stop(): Promise<void> {
    this.#going = false
    await this.#done
  }

  async #caller(thread: FakeThread, backend: string): Promise<void> {
    while (this.#going) {
      try {
        const { outputs } = json(await ask(thread.part.backends.get(backend)!, cancer.text))
        const [right, found] = [expected[0]!, outputs[1]!.data[0]!]
        if (Math.abs(right - found) > 1e-4) this.failures.push(`${backend}: expected ${right}, found ${found}`)
        else this.answered++
      } catch (error) {
        this.failures.push(`${backend}: ${String(error)}`)
      }
      await new Promise((resolve) => setImmediate(resolve))
    }
  }
}
