/** What monitors remember, over sockets and signals: processes one after the other with the same `state`. */
import { execFile } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { MAIN, startWeir, type Weir } from './weir.ts'

let folder: string
const started: Weir[] = []
beforeEach(() => (folder = mkdtempSync(join(tmpdir(), 'weir-memory-'))))
afterEach(async () => {
  for (const weir of started.splice(0)) await weir.stop()
  rmSync(folder, { recursive: true, force: true })
})

async function start(yaml: string, threads: number): Promise<Weir> {
  const weir = await startWeir(`state: ${folder}/state\n${yaml}`, { threads })
  started.push(weir)
  return weir
}

/** Every request on a connection of its own: the kernel deals them to the threads. */
const send = (weir: Weir, path: string, body: unknown): Promise<Response> => fetch(`http://127.0.0.1:${weir.port}${path}`, { method: 'POST', body: JSON.stringify(body), headers: { 'content-type': 'application/json', connection: 'close' } })
const state = async (weir: Weir, route: string, plugin: string) => (await fetch(`http://127.0.0.1:${weir.admin}/routes/${route}/${plugin}/state`)).json() as Promise<Record<string, never>>

async function kill(weir: Weir): Promise<void> {
  weir.process.kill('SIGKILL')
  await once(weir.process, 'exit')
}

describe('labels', () => {
  const labels = '{ labels: { window: 1s, span: 5m, keep: 10m, save_every: 1s } }'
  const yaml = `
backends:
  high: { answer: { rows: { score: 0.9 } } }
  low: { answer: { rows: { score: 0.2 } } }
  some: { answer: { rows: { score: 0.5 } } }
routes:
  - { name: one, match: { path: "/one" }, backend: some, format: rows, plugins: [{ split: { arms: { high: 50, low: 50 } } }, ${labels}] }
`
  /** Ids by their score. */
  async function predict(weir: Weir, count: number): Promise<{ readonly high: string[]; readonly low: string[] }> {
    const found = { high: [] as string[], low: [] as string[] }
    for (let i = 0; i < count; i++) {
      const answer = await send(weir, '/one', { a: 1 })
      const { score } = (await answer.json()) as { score: number }
      found[score > 0.5 ? 'high' : 'low'].push(answer.headers.get('x-weir-inference-id')!)
    }
    return found
  }
  const label = async (weir: Weir, inference_id: string, value: number) => (await (await send(weir, '/labels', { inference_id, label: value })).json()) as Record<string, unknown>

  it('are joined with predictions of the process before, and the AUC is over all', { timeout: 60_000 }, async () => {
    const before = await start(yaml, 3)
    const first = await predict(before, 40)
    // Half of them are labelled before: high scores are positive, with one mistake.
    const [early, late] = [first.high.splice(0, first.high.length >> 1), first.high]
    for (const id of early) expect(await label(before, id, 1)).toMatchObject({ accepted: 1 })
    expect(await before.stop()).toBe(0)
    const after = await start(yaml, 2)
    for (const id of early) expect(await label(after, id, 1)).toMatchObject({ duplicate: 1 })
    for (const id of late) expect(await label(after, id, 1)).toMatchObject({ accepted: 1 })
    for (const [i, id] of first.low.entries()) expect(await label(after, id, i === 0 ? 1 : 0)).toMatchObject({ accepted: 1 })
    const second = await predict(after, 10)
    for (const id of second.high) await label(after, id, 1)
    for (const id of second.low) await label(after, id, 0)
    const [positives, negatives, high] = [early.length + late.length + 1 + second.high.length, first.low.length - 1 + second.low.length, early.length + late.length + second.high.length]
    // Every positive with a high score is above every negative, the one with a low score ties with them.
    const auc = (high + 0.5) / positives
    await expect.poll(async () => ((await state(after, 'one', 'labels')) as unknown as { span: { labelled: number } }).span.labelled, { timeout: 10_000 }).toBe(positives + negatives)
    expect(await state(after, 'one', 'labels')).toMatchObject({ span: { predicted: 50, labelled: 50, measures: { auc: { value: expect.closeTo(auc, 9) } } }, ids: { waiting: 0, labelled: 50 } })
  })

  it('lose nothing that was saved to a kill', { timeout: 60_000 }, async () => {
    const before = await start(yaml, 3)
    const { high, low } = await predict(before, 20)
    await label(before, high[0] ?? low[0]!, 1)
    // A save that began after the last of them has all of them.
    const saves = async () => (await before.metrics()).sum('weir_labels_snapshots_total', { outcome: 'saved' })
    const until = (await saves()) + 2
    await expect.poll(async () => {
      await send(before, '/labels', { inference_id: 'nobody', label: 1 })
      return saves()
    }, { timeout: 20_000, interval: 200 }).toBeGreaterThanOrEqual(until)
    await kill(before)
    const after = await start(yaml, 1)
    expect(await state(after, 'one', 'labels')).toMatchObject({ ids: { waiting: 19, labelled: 1 } })
    const ids = [...high, ...low]
    const outcomes = await Promise.all(ids.map((id) => label(after, id, 0)))
    expect(outcomes.filter(({ accepted }) => accepted === 1)).toHaveLength(19)
    expect(outcomes.filter(({ duplicate }) => duplicate === 1)).toHaveLength(1)
    expect(readdirSync(join(folder, 'state', 'plugins', 'one', 'labels'))).toContain('labels.memory')
  })
})

describe('drift', () => {
  it('knows what was counted before, and counts on', { timeout: 60_000 }, async () => {
    const [data, profile] = [join(folder, 'train.csv'), join(folder, 'profile.json')]
    writeFileSync(data, `amount,plan\n${Array.from({ length: 500 }, (_, i) => `${i % 97},${i % 3 === 0 ? 'plus' : 'basic'}`).join('\n')}\n`)
    await promisify(execFile)(process.execPath, [MAIN, 'profile', data, '-o', profile])
    const yaml = `
backends: { up: { answer: { rows: { score: 0.5 } } } }
routes: [{ name: one, match: { path: /one }, backend: up, format: rows, plugins: [{ drift: { profile: ${profile}, window: 1m, save_every: 1s } }] }]
`
    const rows = async (weir: Weir): Promise<number> => {
      const { stretches } = (await (await fetch(`http://127.0.0.1:${weir.admin}/routes/one/drift/cells`)).json()) as { stretches: [number, [number, number][]][] }
      return stretches.reduce((sum, [, cells]) => sum + (cells.find(([position]) => position === 0)?.[1] ?? 0), 0)
    }
    const ask = async (weir: Weir, count: number): Promise<void> => {
      for (let i = 0; i < count; i++) await (await send(weir, '/one', { amount: i, plan: 'basic' })).arrayBuffer()
    }
    const first = await start(yaml, 3)
    await ask(first, 30)
    expect(await first.stop()).toBe(0)
    const second = await start(yaml, 2)
    await ask(second, 12)
    await expect.poll(() => rows(second), { timeout: 20_000, interval: 200 }).toBe(42)
    // A save that began after that.
    const saves = async () => (await second.metrics()).sum('weir_drift_snapshots_total', { outcome: 'saved' })
    const until = (await saves()) + 2
    await expect.poll(async () => {
      await ask(second, 1)
      return saves()
    }, { timeout: 20_000, interval: 200 }).toBeGreaterThanOrEqual(until)
    await kill(second)
    const third = await start(yaml, 1)
    await expect.poll(() => rows(third), { timeout: 20_000, interval: 200 }).toBeGreaterThanOrEqual(42)
    expect((await third.metrics()).sum('weir_drift_snapshots_total', { outcome: 'restored' })).toBe(1)
  })
})
