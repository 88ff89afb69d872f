/** A repository that changes: what is loaded, what is not yet, and what stays. Files are made up, the clock stands still. */
import { cpSync, mkdirSync, renameSync, rmSync, utimesSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { ModelsConfig } from '../../config/config.ts'
import { ModelSet } from '../../gateway/models/repository/model_set.ts'
import type { Library } from '../../gateway/models/repository/library.ts'
import type { Step } from '../../gateway/models/repository/step.ts'
import { RepositoryWatch } from '../../gateway/models/repository/watch.ts'
import { FakeClock } from '../fake_clock.ts'
import { fakeLibrary, type FakePool } from './fake_pool.ts'
import { configOf, memoryLog, repositoryConfig, temporary } from './setup.ts'

const EVERY = 2000

let folder: ReturnType<typeof temporary>
let clock: FakeClock
let log: ReturnType<typeof memoryLog>
let pool: FakePool
let library: Library
let set: ModelSet
let watch: RepositoryWatch

beforeEach(() => {
  folder = temporary()
  clock = new FakeClock()
  log = memoryLog()
})
afterEach(async () => {
  watch.close()
  await library.close()
  expect(clock.pending).toBe(0)
  folder.remove()
})

function put(version: string, text = `good ${version}`, name = 'm'): void {
  mkdirSync(join(folder.path, name, version), { recursive: true })
  writeFileSync(join(folder.path, name, version, 'model.onnx'), text)
}

async function begin(more: Partial<ModelsConfig> = {}): Promise<void> {
  const made = fakeLibrary(clock)
  pool = made.pool
  library = made.library
  set = new ModelSet(configOf(repositoryConfig(folder.path, { watch_ms: EVERY, ...more })), library, log)
  await set.load(null)
  watch = new RepositoryWatch(folder.path, EVERY, { clock, log }, async (sight) => {
    const step = await set.follow(sight)
    if (step !== null) await show(step)
  })
  await look()
}

/** No data threads: what leaves is given back at once. */
async function show(step: Step, failures = new Map<number, string>()): Promise<void> {
  for (const loaded of step.commit(failures)) await set.giveBack(loaded)
}

async function look(times = 1): Promise<void> {
  for (let i = 0; i < times; i++) {
    clock.advance(EVERY)
    await watch.look()
  }
}

/** `name/version state` of everything, in order. */
function states(): string[] {
  return set.report().map(({ name, version, state }) => `${name}/${version} ${state}`)
}

function reasonOf(version: string): string {
  return set.report().find((model) => model.version === version)!.reason
}

describe('what is new', () => {
  test('is loaded once two looks have found it the same', async () => {
    put('1')
    await begin()
    put('2')
    await look()
    expect(states()).toEqual(['m/1 ready'])
    await look()
    expect(states()).toEqual(['m/1 ready', 'm/2 ready'])
    put('1', 'good', 'another')
    await look(2)
    expect(states()).toEqual(['another/1 ready', 'm/1 ready', 'm/2 ready'])
    await look(3)
    expect(pool.loads).toHaveLength(3)
  })

  test('and half-copied is not loaded, however long the copy takes', async () => {
    put('1')
    await begin()
    for (let i = 1; i <= 5; i++) {
      put('2', 'good'.repeat(i))
      await look()
      expect(states()).toEqual(['m/1 ready'])
    }
    expect(pool.loads).toHaveLength(1)
    await look()
    expect(states()).toEqual(['m/1 ready', 'm/2 ready'])
  })

  test('waits for its siblings too', async () => {
    put('1')
    await begin()
    put('2')
    await look()
    writeFileSync(join(folder.path, 'm/2/weights.bin'), 'w')
    await look()
    expect(states()).toEqual(['m/1 ready'])
    await look()
    expect(states()).toEqual(['m/1 ready', 'm/2 ready'])
  })

  test('and without its model file is not there yet', async () => {
    put('1')
    await begin()
    mkdirSync(join(folder.path, 'm/2'))
    await look(3)
    expect(states()).toEqual(['m/1 ready'])
  })

  test('and bad is told of, tried once, and tried again when it changes', async () => {
    put('1')
    await begin()
    put('2', 'bad')
    await look(5)
    expect(states()).toEqual(['m/1 ready', 'm/2 failed'])
    expect(reasonOf('2')).toBe('m/2/model.onnx: no good')
    expect(pool.loads).toHaveLength(2)
    put('2', 'good now')
    await look(2)
    expect(states()).toEqual(['m/1 ready', 'm/2 ready'])
  })

  test('that was missing at the start and comes later', async () => {
    mkdirSync(join(folder.path, 'm/1'), { recursive: true })
    writeFileSync(join(folder.path, 'm/1/model.onnx.part'), '')
    await begin()
    expect(states()).toEqual(['m/1 failed'])
    await look(2)
    expect(states()).toEqual(['m/1 failed'])
    put('1')
    await look(2)
    expect(states()).toEqual(['m/1 ready'])
  })
})

describe('what changes in its place', () => {
  test('replaces what serves once it is loaded', async () => {
    put('1')
    await begin()
    const before = set.report()[0]!.id
    put('1', 'good as new')
    await look()
    expect(set.report()[0]!.id).toBe(before)
    await look()
    expect(states()).toEqual(['m/1 ready'])
    expect(set.report()[0]!.id).not.toBe(before)
    expect(pool.open.size).toBe(1)
  })

  test('and is bad replaces nothing, and the reason is shown', async () => {
    put('1')
    await begin()
    const before = set.report()[0]!.id
    put('1', 'bad')
    await look(4)
    expect(set.report()).toMatchObject([{ id: before, state: 'ready', reason: 'm/1/model.onnx: no good (the file before serves on)' }])
    expect(pool.loads).toHaveLength(2)
    put('1', 'good again')
    await look(2)
    expect(set.report()).toMatchObject([{ state: 'ready', reason: '' }])
    expect(pool.open.size).toBe(1)
  })

  test('and goes back to what it was needs no load', async () => {
    put('1')
    const at = new Date(1_600_000_000_000)
    utimesSync(join(folder.path, 'm/1/model.onnx'), at, at)
    await begin()
    renameSync(join(folder.path, 'm/1/model.onnx'), join(folder.path, 'aside'))
    put('1', 'bad')
    await look(2)
    expect(reasonOf('1')).not.toBe('')
    renameSync(join(folder.path, 'aside'), join(folder.path, 'm/1/model.onnx'))
    await look(2)
    expect(set.report()).toMatchObject([{ state: 'ready', reason: '' }])
    expect(pool.loads).toHaveLength(2)
  })

  test('keeps serving where a data thread could not open it', async () => {
    put('1')
    await begin()
    const before = set.report()[0]!.id
    put('1', 'good as new')
    const step = (await set.loadOne('m')) as Step
    const fresh = step.opening()!.models.find(({ state }) => state === 'loading')!
    expect(step.opening()!.models.map(({ id, state }) => [id, state])).toEqual([[before, 'ready'], [fresh.id, 'loading']])
    await show(step, new Map([[fresh.id, 'it changed while it was being loaded']]))
    expect(set.report()).toMatchObject([{ id: before, state: 'ready', reason: 'm/1/model.onnx: it changed while it was being loaded (the file before serves on)' }])
    expect(step.problem()).toEqual({ code: 'MODEL_NOT_READY', message: set.report()[0]!.reason })
    expect([...pool.open]).toEqual([before])
  })
})

describe('what goes', () => {
  test('is unloaded, after two looks', async () => {
    put('1')
    put('2')
    await begin()
    rmSync(join(folder.path, 'm/2'), { recursive: true })
    await look()
    expect(states()).toEqual(['m/1 ready', 'm/2 ready'])
    await look()
    expect(states()).toEqual(['m/1 ready'])
    rmSync(join(folder.path, 'm'), { recursive: true })
    await look(2)
    expect([states(), pool.open.size]).toEqual([[], 0])
  })

  test('with its whole folder (a mount that is gone) takes nothing down', async () => {
    put('1')
    await begin()
    renameSync(folder.path, `${folder.path}.aside`)
    await look(3)
    expect(states()).toEqual(['m/1 ready'])
    expect(log.lines.filter(({ level }) => level === 'warn')).toHaveLength(1)
    renameSync(`${folder.path}.aside`, folder.path)
    await look(3)
    expect([states(), pool.loads.length]).toEqual([['m/1 ready'], 1])
  })
})

describe('policy', () => {
  test('latest: the new one comes, then the old one goes', async () => {
    put('1')
    put('2')
    await begin({ versions: { latest: 1 } })
    expect(states()).toEqual(['m/2 ready'])
    put('3')
    const opened: string[] = []
    const sight = async (): Promise<void> => {
      const step = (await set.loadOne('m')) as Step
      opened.push(...step.opening()!.models.map(({ version, state }) => `${version} ${state}`))
      await show(step)
    }
    await sight()
    expect(opened).toEqual(['2 ready', '3 loading'])
    expect([states(), pool.open.size]).toEqual([['m/3 ready'], 1])
  })

  test('latest: one that does not load replaces none that works, now and after a start', async () => {
    put('1')
    await begin({ versions: { latest: 1 } })
    put('2', 'bad')
    await look(3)
    expect(states()).toEqual(['m/1 ready', 'm/2 failed'])
    expect(pool.loads).toHaveLength(2)
    watch.close()
    await library.close()
    await begin({ versions: { latest: 1 } })
    expect(states()).toEqual(['m/1 ready', 'm/2 failed'])
  })

  test('specific: others are never loaded', async () => {
    put('1')
    await begin({ versions: { specific: ['1', '3'] } })
    put('2')
    put('3')
    await look(2)
    expect(states()).toEqual(['m/1 ready', 'm/3 ready'])
  })
})

describe('load and unload', () => {
  const unload = (name: string): Promise<void> => show(set.unloadOne(name) as Step)

  test('an unload stays one until a load; the watch leaves it alone', async () => {
    put('1')
    put('1', 'good', 'other')
    await begin()
    await unload('m')
    expect([states(), pool.open.size]).toEqual([['m/1 unloaded', 'other/1 ready'], 1])
    put('2')
    await look(3)
    expect(states()).toEqual(['m/1 unloaded', 'other/1 ready'])
    const step = (await set.loadOne('m')) as Step
    await show(step)
    expect([step.problem(), states()]).toEqual([null, ['m/1 ready', 'm/2 ready', 'other/1 ready']])
    put('3')
    await look(2)
    expect(states()).toContain('m/3 ready')
  })

  test('is told as unloading until nobody has it any more', async () => {
    put('1')
    await begin()
    const step = set.unloadOne('m') as Step
    const [leaving] = step.commit(new Map())
    expect(states()).toEqual(['m/1 unloading'])
    expect(pool.open.size).toBe(1)
    await set.giveBack(leaving!)
    expect([states(), pool.open.size]).toEqual([['m/1 unloaded'], 0])
  })

  test('a load tries again what failed with the same file, and says why it failed', async () => {
    put('1', 'bad')
    await begin()
    const step = (await set.loadOne('m')) as Step
    await show(step)
    expect([step.problem(), pool.loads.length]).toEqual([{ code: 'MODEL_NOT_READY', message: 'm/1/model.onnx: no good' }, 2])
  })

  test('a load of what is loaded does nothing', async () => {
    put('1')
    await begin()
    const step = (await set.loadOne('m')) as Step
    expect(step.opening()).toBeNull()
    await show(step)
    expect([step.problem(), pool.loads.length, pool.open.size]).toEqual([null, 1, 1])
  })

  test('a load that is not shown after all is given back', async () => {
    put('1')
    await begin()
    put('2')
    await ((await set.loadOne('m')) as Step).abandon()
    expect([states(), pool.open.size]).toEqual([['m/1 ready'], 1])
  })

  test.each(['nothing', '..', '../m', 'm/1', '', '.hidden'])('%j is no model', async (name) => {
    put('1')
    put('1', 'good', '.hidden')
    await begin()
    const refusal = { code: 'MODEL_NOT_FOUND', message: `there is no model "${name}" in the repository` }
    expect(await set.loadOne(name)).toEqual(refusal)
    expect(set.unloadOne(name)).toEqual(refusal)
  })

  test('what is being loaded is told of meanwhile', async () => {
    put('1')
    await begin()
    put('2')
    const seen: string[][] = []
    pool.during = async () => void seen.push(states())
    await show((await set.loadOne('m')) as Step)
    expect(seen).toEqual([['m/1 ready', 'm/2 loading']])
  })
})

describe('a manifest', () => {
  test('that does not fit keeps a version out, and a new file from replacing', async () => {
    put('1')
    await begin()
    put('1', 'good as new')
    writeFileSync(join(folder.path, 'm/1/manifest.sha256'), `${'0'.repeat(64)}  model.onnx\n`)
    put('2')
    cpSync(join(folder.path, 'm/1/manifest.sha256'), join(folder.path, 'm/2/manifest.sha256'))
    await look(2)
    expect(states()).toEqual(['m/1 ready', 'm/2 failed'])
    expect(reasonOf('2')).toMatch(/^m\/2\/model\.onnx: "model\.onnx" is not what manifest\.sha256 says: expected sha256 000000000000…, found [0-9a-f]{12}…$/)
    expect(reasonOf('1')).toMatch(/ \(the file before serves on\)$/)
    expect(pool.loads).toHaveLength(1)
  })
})

describe('a reload of the configuration', () => {
  async function reload(more: Partial<ModelsConfig> = {}): Promise<ModelSet> {
    const next = new ModelSet(configOf(repositoryConfig(folder.path, { watch_ms: EVERY, ...more })), library, log)
    await next.load(set)
    return next
  }

  test('loads nothing that is loaded, and shares it until both are closed', async () => {
    put('1')
    put('2')
    await begin()
    const next = await reload()
    expect([pool.loads.length, next.report().map(({ id }) => id)]).toEqual([2, set.report().map(({ id }) => id)])
    await set.close()
    expect(pool.open.size).toBe(2)
    await next.close()
    expect(pool.open.size).toBe(0)
  })

  test('keeps what works where the file in its place is bad, and says so', async () => {
    put('1')
    await begin()
    put('1', 'bad')
    const next = await reload()
    expect(next.report()).toMatchObject([{ id: set.report()[0]!.id, state: 'ready' }])
    expect(next.issues).toEqual([{ severity: 'warning', at: 'models', rule: 'model-replace', message: 'm/1/model.onnx: no good (the file before serves on)', help: 'The file before is served on.' }])
    await next.close()
    expect(pool.open.size).toBe(1)
  })

  test('loads again what was unloaded', async () => {
    put('1')
    await begin()
    await show(set.unloadOne('m') as Step)
    expect((await reload()).report()).toMatchObject([{ state: 'ready' }])
  })

  test('lets go of versions that its policy leaves out', async () => {
    put('1')
    put('2')
    await begin()
    const next = await reload({ versions: { latest: 1 } })
    expect(next.report().map(({ version }) => version)).toEqual(['2'])
    await set.close()
    expect(pool.open.size).toBe(1)
  })
})

describe('labels', () => {
  test('stand for versions that are there; one that is not ready is a warning, one that is not there an error', async () => {
    put('1')
    put('2', 'bad')
    await begin({ labels: { m: { stable: '1', canary: '2', next: '3' } } })
    expect(set.issues.filter(({ at }) => at.startsWith('models.labels'))).toEqual([
      { severity: 'warning', at: 'models.labels.m.canary', rule: 'label-not-ready', message: 'label "canary" of model "m" stands for version 2, which is not ready', help: 'Requests to it are answered 503 until it is.' },
      { severity: 'error', at: 'models.labels.m.next', rule: 'unknown-version', message: 'model "m" has no version 3', help: 'It has 1, 2.' },
    ])
  })
})
