/** The dashboard of data against a real Prometheus that scrapes a real weir: records, schema, drift, labels; and what the admin listener tells of them. */
import { execFile } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { afterAll, beforeAll, expect, it, vi } from 'vitest'
import { MAIN, startWeir, type Weir } from '../blackbox/weir.ts'
import { describeWith, freePort } from '../servers.ts'
import { complaints, dashboards, queriesOf } from './dashboard.ts'
import { type Prometheus, startPrometheus } from './prometheus.ts'

const CHANNELS = ['web', 'app', 'shop', 'phone']

/** Training data: amounts 0 to 99, four channels, scores 0 to 0.99, a third of them right. */
function training(): string {
  const rows = Array.from({ length: 600 }, (_, i) => `${i % 100},${CHANNELS[i % 4]},${(i % 100) / 100},${i % 3 === 0 ? 1 : 0}`)
  return ['amount,channel,score,bought', ...rows].join('\n')
}

describeWith('prometheus', 'every query of the dashboard of data against a running weir', (program) => {
  let folder: string
  let weir: Weir
  let prometheus: Prometheus
  let traffic: NodeJS.Timeout
  let server: Server
  let turns = 0

  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), 'weir-data-'))
    writeFileSync(join(folder, 'train.csv'), training())
    await promisify(execFile)(process.execPath, [MAIN, 'profile', join(folder, 'train.csv'), '--prediction', 'score', '--label', 'bought', '-o', join(folder, 'profile.json')])
    // A model that says how far the amount is; beyond 90 it says more than it should.
    server = createServer((request, response) => {
      let body = ''
      request.on('data', (chunk: Buffer) => (body += String(chunk)))
      request.on('end', () => {
        // What is no JSON gets here too: the monitors only watch.
        const amount = Number(/"amount":(\d+)/.exec(body)?.[1] ?? 50)
        response.setHeader('content-type', 'application/json').end(JSON.stringify({ score: amount > 90 ? 9 : amount / 100 }))
      })
    })
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    weir = await startWeir(
      `
state: ${folder}/state
sinks:
  lake: { parquet: ${folder}/lake, rotate: 1s, spool: { segment_age: 100ms } }
  dead: { cloudevents: "http://127.0.0.1:${await freePort()}/" }
backends:
  model: { url: "http://127.0.0.1:${(server.address() as AddressInfo).port}" }
routes:
  - name: score
    match: { path: /score }
    format: rows
    backend: model
    plugins:
      - log: { sink: lake }
      - log: { sink: dead, sample: 20%, max_body: 10B }
      - schema: { profile: ${folder}/profile.json, rules: { channel: { values: [web, app, shop] } }, rows: { max: 5 }, window: 10s }
      - drift: { profile: ${folder}/profile.json, window: 1h, save_every: 1s, outliers: { model: { backend: model, output: score, sample: 100% } } }
      - labels: { by: request_id, window: 1s, span: 10s, keep: 30m, min_labels: 20, profile: ${folder}/profile.json, segments: { by: input.channel, values: [web] }, receipt: { secret: sixteen-letters-and-more } }
      - guard: { outputs: { score: { max: 1 } }, mode: observe }
`,
      { threads: 2 },
    )
    traffic = setInterval(() => void turn().catch(() => undefined), 40)
    prometheus = await startPrometheus(program, [{ url: `http://127.0.0.1:${weir.admin}/metrics` }])
    // A window of the schema has to end, and labels to be summed up.
    await vi.waitFor(async () => expect((await weir.metrics()).sum('weir_alarms_total', { kind: 'schema' })).toBeGreaterThan(0), { timeout: 40_000, interval: 250 })
    await prometheus.scraped(8)
  }, 90_000)

  afterAll(async () => {
    clearInterval(traffic)
    await prometheus?.close()
    await weir?.stop()
    server?.closeAllConnections()
    server?.close()
    rmSync(folder, { recursive: true, force: true })
  })

  /** Three of four amounts are seen in training; every 25th request cannot be read; labels come for most, and one for nobody. */
  async function turn(): Promise<void> {
    const i = turns++
    const id = `row-${i}`
    const body = i % 25 === 24 ? '{' : JSON.stringify({ amount: i % 10 === 9 ? 'much' : (i * 7) % 120, channel: CHANNELS[i % 4] })
    await fetch(`http://127.0.0.1:${weir.port}/score`, { method: 'POST', headers: { 'x-request-id': id }, body })
    const labels = [{ request_id: id, label: (i * 7) % 100 > 60 === (i % 5 > 0) ? 1 : 0 }, ...(i % 10 === 0 ? [{ request_id: 'nobody', label: 1 }] : [])]
    await fetch(`http://127.0.0.1:${weir.port}/labels`, { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify(labels) })
  }

  it('is accepted, finds something, and has the labels of its legend', async () => {
    expect(await complaints(prometheus, queriesOf(dashboards.data), '10s')).toEqual([])
  })

  it('tells what happened, and every record is accounted for', async () => {
    const value = async (expr: string): Promise<number | undefined> => (await prometheus.query(expr))[0]?.value
    expect(await value('weir_records_delivered_total{sink="lake"}')).toBeGreaterThan(20)
    expect(await value('weir_records_pending{sink="dead"}')).toBeGreaterThan(2)
    expect(await value('weir_records_spool_bytes{sink="dead"}')).toBeGreaterThan(200)
    expect(await value('weir_records_spool_limit_bytes{sink="dead"}')).toBe(2 ** 30)
    const left = await prometheus.query('sum by (sink) (weir_records_accepted_total) - sum by (sink) (weir_records_delivered_total) - sum by (sink) (weir_records_dropped_total) - sum by (sink) (weir_records_pending)')
    expect(left.map((sample) => sample.value)).toEqual([0, 0])
    expect(await value('sum(weir_schema_anomalies_total{feature="amount"})')).toBeGreaterThan(2)
    expect(await value('sum(weir_guard_violations_total{output="score",action="observed"})')).toBeGreaterThan(2)
    expect(await value('sum(weir_labels_total{outcome="accepted"})')).toBeGreaterThan(20)
    expect(await value('sum(weir_labels_total{outcome="orphan"})')).toBeGreaterThan(2)
    // There before the first one; whether the full hour comes while this runs is up to the clock.
    expect(await value('weir_alarms_total{kind="drift"}')).toBeGreaterThanOrEqual(0)
  })

  it('and the admin listener tells the same', async () => {
    const ask = async (path: string): Promise<unknown> => (await fetch(`http://127.0.0.1:${weir.admin}${path}`)).json()
    expect(await ask('/records')).toMatchObject({
      records: [
        { sink: 'lake', kind: 'parquet', delivery: { state: 'delivering', last_error: null, last_delivery: expect.stringMatching(/^\d{4}-.*Z$/) as unknown } },
        { sink: 'dead', kind: 'cloudevents', delivered: 0, delivery: { state: 'failing', last_delivery: null, last_error: expect.stringMatching(/./) as unknown } },
      ],
    })
    const { records } = (await ask('/records')) as { records: { accepted: number; delivered: number; dropped: Record<string, number>; pending: { records: number } }[] }
    for (const { accepted, delivered, dropped, pending } of records) expect(accepted).toBe(delivered + Object.values(dropped).reduce((sum, count) => sum + count, 0) + pending.records)
    const { alarms } = (await ask('/alarms')) as { alarms: { time: string; route: string; plugin: string; kind: string; feature: string }[] }
    expect(alarms.length).toBeGreaterThan(0)
    expect(alarms.every(({ route, plugin, kind }) => route === 'score' && plugin === kind)).toBe(true)
    expect(alarms.map(({ feature }) => feature)).toContain('amount')
    expect(alarms.map(({ time }) => time)).toEqual(alarms.map(({ time }) => time).toSorted().reverse())
    expect(await ask('/drift')).toMatchObject({ drift: [{ route: 'score', plugin: 'drift', state: expect.any(Object) as unknown }] })
    expect(await ask('/quality')).toMatchObject({ quality: [{ route: 'score', plugin: 'labels', state: { kind: 'binary' } }] })
  })
})
