/** A sink that is dead for the whole run, behind a spool that is soon full: what each policy does to callers, and that every record is counted. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { request } from './message.ts'
import { expectProblem, freePort, startWeir, type Weir } from './weir.ts'

const COUNT = 60
const BODY = `{"text":"${'x'.repeat(2000)}"}`

let folder: string
let weir: Weir

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'weir-full-'))
  const dead = `{ cloudevents: "http://127.0.0.1:${await freePort()}", spool: { max_bytes: 64KiB, segment: 4KiB, segment_age: 100ms } }`
  const route = (name: string): string => `{ name: ${name}, match: { path: /${name} }, backend: up, plugins: [{ log: { sink: ${name}, on_full: ${name}, queue: 5, queue_wait: 100ms } }] }`
  weir = await startWeir(`
state: ${folder}
sinks: { block: ${dead}, drop_newest: ${dead}, drop_oldest: ${dead} }
backends: { up: { answer: { status: 200, json: { ok: true } } } }
routes:
  - ${route('block')}
  - ${route('drop_newest')}
  - ${route('drop_oldest')}
`)
}, 30_000)
afterAll(async () => {
  await weir?.stop()
  rmSync(folder, { recursive: true, force: true })
})

const ask = (name: string): ReturnType<Weir['exchange']> => weir.exchange(request('POST', `/${name}`, [], BODY), 'POST')

describe('a full spool', () => {
  it.each(['drop_newest', 'drop_oldest'])('%s: no caller notices, and every record is accepted or dropped', async (name) => {
    for (let i = 0; i < COUNT; i++) expect((await ask(name)).status).toBe(200)
    // What is given up for newer records is counted when it leaves the disk.
    await expect.poll(async () => (await weir.metrics()).sum('weir_records_dropped_total', { sink: name }), { timeout: 5000 }).toBeGreaterThan(0)
    const metrics = await weir.metrics()
    const made = (outcome: string): number => metrics.sum('weir_log_records_total', { route: name, outcome })
    expect(made('accepted') + made('dropped')).toBe(COUNT)
    expect(metrics.sum('weir_records_delivered_total', { sink: name })).toBe(0)
    expect(metrics.sum('weir_records_accepted_total', { sink: name })).toBe(metrics.sum('weir_records_dropped_total', { sink: name }) + metrics.sum('weir_records_pending', { sink: name }))
  })

  it('block: callers are refused in time, and whoever was served has a record', async () => {
    const statuses: number[] = []
    for (let i = 0; i < COUNT; i++) {
      const answer = await ask('block')
      statuses.push(answer.status)
      if (answer.status !== 200) expectProblem(answer, 503, 'OVERLOADED')
    }
    const served = statuses.filter((status) => status === 200).length
    expect(statuses.slice(0, 10)).toEqual(Array(10).fill(200))
    expect(statuses.slice(-10)).toEqual(Array(10).fill(503))
    const metrics = await weir.metrics()
    expect(metrics.sum('weir_log_records_total', { route: 'block', outcome: 'accepted' })).toBe(served)
    expect(metrics.sum('weir_log_refused_total', { route: 'block', reason: 'queue_wait' })).toBe(COUNT - served)
    expect(metrics.sum('weir_records_pending', { sink: 'block' })).toBe(served)
    expect(metrics.sum('weir_records_dropped_total', { sink: 'block' })).toBe(0)
    expect(metrics.sum('weir_log_waiting')).toBe(0)
  }, 30_000)

  it('block: no more than `queue` wait', async () => {
    const answers = await Promise.all(Array.from({ length: 12 }, () => ask('block')))
    expect(answers.map(({ status }) => status)).toEqual(Array(12).fill(503))
    expect((await weir.metrics()).sum('weir_log_refused_total', { route: 'block', reason: 'queue_full' })).toBeGreaterThan(0)
  })
})
