/**
 * Versions that are loaded, replaced, broken, mended and taken away again and again in a running weir, by its admin listener and by its
 * folder, while callers ask: who asks for a version that stays never notices, and nothing is left behind. `WEIR_PROOF=full` is 500 rounds.
 */
import { cpSync, mkdirSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { startWeir, type Weir } from '../blackbox/weir.ts'
import { slow } from '../models/graphs.ts'
import { fixtures, golden, temporary } from '../models/setup.ts'
import { Callers } from './calls.ts'

const FULL = process.env['WEIR_PROOF'] === 'full'
const ROUNDS = FULL ? 500 : 20
/** 4 MiB of weights and half a millisecond a run: on the inference thread, and a session that stays behind is seen. */
const WIDTH = 1024
const CANCER = join(fixtures, 'cancer/1/model.onnx')
const cancer = golden(join(fixtures, 'cancer/1'))[0]!
const RIGHT = cancer.response_outputs[1]!.data[0] as number
const big = JSON.stringify({ inputs: [{ name: 'x', datatype: 'FP32', shape: [1, WIDTH], data: new Array(WIDTH).fill(1) }] })

const folder = temporary()
const callers = new Callers()
let weir: Weir
let bigFile: string

/** In one step, as those who know do it; the watch must not care. */
function put(name: string, version: string, from: string): void {
  mkdirSync(join(folder.path, name, version), { recursive: true })
  const file = join(folder.path, name, version, 'model.onnx')
  cpSync(from, `${file}.new`)
  renameSync(`${file}.new`, file)
}

beforeAll(async () => {
  bigFile = join(folder.path, 'big.onnx')
  writeFileSync(bigFile, slow(WIDTH, 4))
  for (const version of ['1', '2']) put('m', version, CANCER)
  put('big', '1', bigFile)
  weir = await startWeir(`models: { path: ${folder.path}, watch: 20ms, labels: { m: { stable: 1 } } }\n`, { threads: 2 })
}, 40_000)
afterAll(async () => {
  callers.close()
  await weir?.stop()
  folder.remove()
})

interface Shown {
  readonly name: string
  readonly version: string
  readonly state: string
  readonly memory_bytes: number
}

async function shown(): Promise<string[]> {
  const answer = await fetch(`http://127.0.0.1:${weir.admin}/models`)
  const { models } = (await answer.json()) as { models: Shown[] }
  return models.filter(({ state }) => state !== 'unloaded').map(({ name, version, state, memory_bytes }) => `${name}/${version} ${state} ${memory_bytes}`)
}

const states = async (): Promise<string[]> => (await shown()).map((line) => line.split(' ').slice(0, 2).join(' '))
const until = (state: string): Promise<void> => expect.poll(states, { timeout: 10_000, interval: 10 }).toContain(state)
const gone = (version: string): Promise<void> => expect.poll(async () => (await states()).filter((state) => state.startsWith(version)), { timeout: 10_000, interval: 10 }).toEqual([])
const order = async (what: 'load' | 'unload', name: string): Promise<number> => (await fetch(`http://127.0.0.1:${weir.admin}/models/${name}/${what}`, { method: 'POST' })).status
const ready = async (): Promise<string[]> => (await weir.metrics()).text.split('\n').filter((line) => /^weir_model_ready\{.*\} 1$/.test(line)).sort()

/** Ask one after the other until they are told to stop, and look at what comes. */
class Asking {
  answered = 0
  readonly failures: string[] = []
  #going = true
  readonly #done: Promise<unknown>

  constructor(paths: readonly (readonly [path: string, body: string, right: number])[]) {
    this.#done = Promise.all(paths.map((each) => this.#ask(...each)))
  }

  async stop(): Promise<void> {
    this.#going = false
    await this.#done
  }

  async #ask(path: string, body: string, right: number): Promise<void> {
    while (this.#going) {
      const answer = await callers.post(weir.port, path, body).catch((error: Error) => ({ status: 0, body: error.message }))
      const found = answer!.status === 200 ? probability(answer!.body) : NaN
      if (Math.abs(found - right) < 1e-4) this.answered++
      else this.failures.push(`${path}: ${answer!.status} ${answer!.body.slice(0, 200)}`)
    }
  }
}

/** The first value of the last output. */
function probability(body: string): number {
  const { outputs, predictions } = JSON.parse(body) as { outputs?: { data: number[] }[]; predictions?: { probabilities: number[] }[] }
  return outputs?.at(-1)!.data[0] ?? predictions![0]!.probabilities[0]!
}

/** By order: each is carried out when it is answered. */
async function byOrder(version: string): Promise<void> {
  put('m', version, CANCER)
  put('big', version, bigFile)
  expect([await order('load', 'm'), await order('load', 'big')]).toEqual([200, 200])
  put('m', '2', CANCER)
  writeFileSync(join(folder.path, 'm', version, 'model.onnx'), 'broken')
  expect(await order('load', 'm')).toBe(422)
  put('comes', '1', bigFile)
  expect([await order('load', 'comes'), await order('unload', 'comes')]).toEqual([200, 200])
  for (const name of ['m', 'big']) rmSync(join(folder.path, name, version), { recursive: true })
  expect([await order('load', 'm'), await order('load', 'big')]).toEqual([200, 200])
}

/** By the folder alone: weir looks and sees. */
async function byFolder(version: string): Promise<void> {
  put('m', version, join(folder.path, 'big.onnx'))
  writeFileSync(join(folder.path, 'm', version, 'model.onnx'), 'broken')
  put('big', version, bigFile)
  await until(`big/${version} ready`)
  await until(`m/${version} failed`)
  put('m', version, CANCER)
  await until(`m/${version} ready`)
  for (const name of ['m', 'big']) rmSync(join(folder.path, name, version), { recursive: true })
  for (const name of ['m', 'big']) await gone(`${name}/${version}`)
}

const mean = (values: readonly number[]): number => values.reduce((sum, value) => sum + value, 0) / values.length

it(`${ROUNDS} rounds under load: no failed request for what stays, and the memory stays where it was`, { timeout: FULL ? 1_200_000 : 90_000 }, async () => {
  const before = { shown: await shown(), ready: await ready() }
  const instances = (cancer.request.inputs[0]!.data as number[]).slice(0, 30)
  const asking = new Asking([
    ['/v2/models/m/versions/1/infer', cancer.text, RIGHT],
    ['/v2/models/m/versions/2/infer', cancer.text, RIGHT],
    // The highest version that is ready, whichever that is.
    ['/v2/models/m/infer', cancer.text, RIGHT],
    ['/v1/models/m/labels/stable:predict', JSON.stringify({ instances: [instances] }), RIGHT],
    ['/v2/models/big/versions/1/infer', big, 1],
    ['/v2/models/big/infer', big, 1],
  ])
  const resident_mib: number[] = []
  for (let round = 0; round < ROUNDS; round++) {
    await (round % 2 === 0 ? byOrder : byFolder)(String(3 + (round % 3)))
    resident_mib.push(await weir.residentMiB())
  }
  await asking.stop()
  expect(asking.failures.slice(0, 5)).toEqual([])
  expect(asking.answered).toBeGreaterThan(10 * ROUNDS)

  await expect.poll(shown, { timeout: 5000 }).toEqual(before.shown)
  expect(await ready()).toEqual(before.ready)
  // A session of `big` that stayed behind each round would be 4 MiB more each: 20 MiB from one quarter to the next in twenty rounds.
  const quarter = ROUNDS / 4
  const grown = mean(resident_mib.slice(-quarter)) - mean(resident_mib.slice(-2 * quarter, -quarter))
  console.log(`resident MiB: ${resident_mib.map(Math.round).filter((_, i) => i % Math.ceil(ROUNDS / 20) === 0).join(' ')}; third to last quarter ${grown.toFixed(1)}; ${asking.answered} answers`)
  expect(grown, `resident MiB: ${resident_mib.map(Math.round).join(' ')}`).toBeLessThan(FULL ? 15 : 60)
})
