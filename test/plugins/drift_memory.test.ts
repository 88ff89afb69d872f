/** What drift remembers: with `state`, restarts change nothing of what is shown, judged and raised. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { Answer } from '../../gateway/exchange.ts'
import { rows } from '../../gateway/payload/rows.ts'
import { KeepStore } from '../../gateway/pipeline/host.ts'
import type { Alarm } from '../../gateway/plugin.ts'
import drift from '../../plugins/drift.ts'
import { FakeClock } from '../fake_clock.ts'
import { categories, normals, numbers, profileOf, random, times } from '../monitor/drift/profiles.ts'
import { DAY, HOUR, MONDAY } from '../monitor/drift/world.ts'
import { type Bench, pluginTest, type Setup } from '../plugin_test.ts'

const z = normals(1)
const profile = profileOf({ amount: numbers(times(3000, () => 50 + 10 * z())), plan: categories({ basic: 2000, plus: 1000 }), score: numbers(times(3000, () => 0.5 + 0.1 * z()), { role: 'prediction' }) }, 3000)

let folder: string
beforeEach(() => (folder = mkdtempSync(join(tmpdir(), 'weir-drift-'))))
afterEach(() => rmSync(folder, { recursive: true }))

const SCORED = { main: () => new Answer(200, ['content-type', 'application/json'], Buffer.from('{"score":0.5}')) }

function bench(clock: FakeClock, setup: Setup = {}, options: object = {}): Promise<Bench> {
  return pluginTest(drift, { profile: 'churn.json', window: '1h', rates: ['traffic', 'errors', 'defaults'], ...options }, { format: rows, profile, clock, backends: SCORED, ...setup })
}

const get = (on: Bench, path: 'GET /state' | 'GET /cells'): unknown => on.route.admin.get('drift')![path]!.handle({ method: 'GET', query: new URLSearchParams(), body: undefined })

/** One request every ten minutes of ten rows; a plan that nobody knows from the third evening on, among nulls. */
function body(step: number): string {
  const [u, v] = [normals(step), random(step + 7)]
  return JSON.stringify(times(10, () => ({ amount: v() < 0.05 ? null : 50 + 10 * u(), plan: step > 6 * 68 && v() < 0.4 ? 'gold' : v() < 2 / 3 ? 'basic' : 'plus' })))
}

const STEP = DAY / 144

async function steps(on: Bench, from: number, to: number): Promise<void> {
  for (let step = from; step < to; step++) {
    await on.clock.tick(STEP)
    // The last of them is in a stretch that is not over.
    await on.run({ body: body(step) })
  }
}

const plain = (alarms: readonly Alarm[]) => alarms.map((alarm) => ({ ...alarm }))

describe('drift', () => {
  test.each([1, 2])('restarts in the middle of everything are not to be seen (persistence %d)', { timeout: 60_000 }, async (persistence) => {
    const [clock, other] = [new FakeClock(MONDAY), new FakeClock(MONDAY)]
    const stays = await bench(clock, {}, { persistence })
    const alarms: Alarm[] = []
    const cuts = [3, 61, 62, 150, 300, 6 * 69 + 2, 6 * 72 + 4]
    for (const [i, end] of [...cuts, 6 * 80].entries()) {
      await steps(stays, cuts[i - 1] ?? 0, end)
      const goes = await bench(other, { state: folder }, { persistence })
      expect(goes.metric('weir_drift_snapshots_total', { outcome: 'restored' })).toBe(i === 0 ? 0 : 2)
      await steps(goes, cuts[i - 1] ?? 0, end)
      expect(get(goes, 'GET /state')).toEqual(get(stays, 'GET /state'))
      expect(get(goes, 'GET /cells')).toEqual(get(stays, 'GET /cells'))
      alarms.push(...goes.alarms)
      await goes.close()
    }
    expect(plain(alarms)).toEqual(plain(stays.alarms))
    expect(alarms.map(({ feature, statistic }) => [feature, statistic])).toContainEqual(['plan', 'unseen_share'])
    await stays.close()
  })

  test('cells of several threads are put together, and counted on from there', async () => {
    const clock = new FakeClock(MONDAY)
    const memory = new Map<string, SharedArrayBuffer>()
    const share = (key: string, bytes: number): SharedArrayBuffer => memory.get(key) ?? (memory.set(key, new SharedArrayBuffer(bytes)), memory.get(key)!)
    const three = await Promise.all([0, 1, 2].map((index) => bench(clock, { state: folder, keep: new KeepStore(), share, thread: { index, count: 3 } })))
    for (let step = 0; step < 9; step++) {
      await clock.tick(STEP)
      await three[step % 3]!.run({ body: body(step) })
    }
    // The last stretch has not been summed yet.
    await three[2]!.run({ body: body(9) })
    for (const one of three) await one.route.close()
    const alone = await bench(clock, { state: folder })
    await alone.run({ body: body(10) })
    await clock.tick(2 * HOUR)
    const control = await bench(new FakeClock(MONDAY))
    await steps(control, 0, 9)
    await control.run({ body: body(9) })
    await control.run({ body: body(10) })
    await control.clock.tick(2 * HOUR)
    expect(get(alone, 'GET /cells')).toEqual(get(control, 'GET /cells'))
    expect((get(alone, 'GET /cells') as { stretches: [number, [number, number][]][] }).stretches.reduce((sum, [, cells]) => sum + (cells.find(([position]) => position === 0)?.[1] ?? 0), 0)).toBe(110)
    await alone.close()
    await control.close()
  })

  test('a kill loses what came since the last save', async () => {
    const clock = new FakeClock(MONDAY)
    const killed = await bench(clock, { state: folder })
    await steps(killed, 0, 7)
    const saved = (): number => killed.metric('weir_drift_snapshots_total', { outcome: 'saved' })
    await vi.waitFor(async () => {
      await clock.tick(60_000)
      expect(saved()).toBeGreaterThan(0)
    })
    const window = (on: Bench) => (get(on, 'GET /state') as { window: { rows: number } | null }).window
    expect(window(killed)).toMatchObject({ rows: 60 })
    const next = await bench(new FakeClock(clock.wall()), { state: folder })
    expect(window(next)).toEqual(window(killed))
    await next.close()
    await killed.close()
  })

  test('other columns begin anew, and so do other rates alone', async () => {
    const clock = new FakeClock(MONDAY)
    const before = await bench(clock, { state: folder })
    await steps(before, 0, 7)
    await before.close()
    const outcomes = (on: Bench) => ['restored', 'not_restored'].map((outcome) => on.metric('weir_drift_snapshots_total', { outcome }))
    const rates = await bench(clock, { state: folder }, { rates: ['traffic'] })
    expect(outcomes(rates)).toEqual([1, 1])
    await rates.close()
    const columns = await bench(clock, { state: folder }, { features: { plan: { watch: false } } })
    expect(outcomes(columns)).toEqual([0, 2])
    expect(get(columns, 'GET /state')).toMatchObject({ window: null })
    await columns.close()
  })
})
