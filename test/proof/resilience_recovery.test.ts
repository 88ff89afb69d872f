/**
 * A backend whose endpoints go and come under load, as deployments and outages have it: no caller notices, few requests find out, and an
 * endpoint that is back is used again within one interval of its checks. One second of an outage lasts 50 ms.
 */
import { rename, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { pause } from '../blackbox/scripted.ts'
import { startWeir, type Weir } from '../blackbox/weir.ts'
import { random } from '../conformance/wire/fuzz.ts'
import { Fickle, Seen } from './fickle.ts'
import { Storm } from './storm.ts'

const SECOND_MS = 50
const DOWN_MS = 60 * SECOND_MS
const INTERVAL_MS = 5 * SECOND_MS
const THREADS = 2
const CALLERS = 16
/** A machine with other work. */
const SLACK_MS = 400

const next = random(Math.floor(Math.random() * 2 ** 31))
const chance = (below: number): number => Math.floor(next() * below)
const seen = new Seen()
let backends: Fickle[]
let weir: Weir

const HEAD = (): string => `listen: 127.0.0.1:${weir.port}\nadmin: 127.0.0.1:${weir.admin}\nthreads: ${THREADS}\n`
const config = (endpoints: readonly Fickle[]): string => `
drain: { grace: 10ms, deadline: 2s }
backends:
  up:
    urls: [${endpoints.map(({ port }) => `"http://127.0.0.1:${port}"`).join(', ')}]
    health: { path: /health, interval: ${INTERVAL_MS}ms, timeout: 100ms, unhealthy: 2, healthy: 1 }
    ejection: { consecutive: 3, base: ${2 * SECOND_MS}ms, max: ${5 * SECOND_MS}ms }
routes:
  - { name: again, match: { path: "/again/**" }, backend: up, plugins: [{ timeout: { total: 3s, per_try: 1s } }, { retry: { max: 3, on: [connect, reset], methods: [GET, POST], budget: { ratio: 100% }, backoff: { base: 5ms, max: 20ms } } }] }
`

beforeAll(async () => {
  backends = await Promise.all(Array.from({ length: 6 }, () => Fickle.listen(seen, chance)))
  for (const backend of backends) backend.bad = 0
})
afterAll(async () => void (await Promise.all(backends.map((backend) => backend.away()))))
beforeEach(async () => void (weir = await startWeir(config(backends.slice(0, 4)), { threads: THREADS })))
afterEach(() => weir.stop())

const load = (): Storm => new Storm({ port: weir.port, callers: CALLERS, chance, seen, routes: ['again'], lossy: false, leavers: false })

/** Everybody got an answer, and a good one. */
async function expectUnnoticed(storm: Storm): Promise<void> {
  const { complaints, status, sent } = await storm.stop()
  expect(complaints).toEqual([])
  expect(status).toEqual({ 200: sent })
  expect(sent).toBeGreaterThan(100)
}

describe('an endpoint that is down for 60 s', () => {
  it('refusing connections: nobody notices, few find out, and it is back within one interval', async () => {
    const [down, ...others] = backends as [Fickle, ...Fickle[]]
    const storm = load()
    await pause(500)
    const before = { own: down.requests, others: others.map(({ requests }) => requests) }
    expect(before.own).toBeGreaterThan(0)
    await down.away()
    await pause(DOWN_MS)
    const failed = (await weir.metrics()).sum('weir_attempts_total', { backend: 'up', outcome: 'connect' })
    const began = performance.now()
    await down.back()
    await expect.poll(() => down.requests, { timeout: 5000, interval: 5 }).toBeGreaterThan(before.own)
    const took = performance.now() - began
    await pause(500)
    await expectUnnoticed(storm)
    // Each thread finds out by three failures in a row, or two checks; what was under way by then fails with them.
    expect(failed).toBeLessThanOrEqual(THREADS * (3 + CALLERS))
    expect(took).toBeLessThan(INTERVAL_MS * 1.1 + SLACK_MS)
  })

  it('answering 503: as many requests as it takes to know, and the checks', async () => {
    const [down] = backends as [Fickle]
    const storm = load()
    await pause(500)
    down.refusing = true
    const before = { requests: down.requests, checks: down.checks }
    await pause(DOWN_MS)
    const asked = { requests: down.requests - before.requests, checks: down.checks - before.checks }
    down.refusing = false
    const began = performance.now()
    await expect.poll(() => down.requests - before.requests, { timeout: 5000, interval: 5 }).toBeGreaterThan(asked.requests)
    const took = performance.now() - began
    await storm.stop()
    expect(asked.requests).toBeLessThanOrEqual(THREADS * (3 + CALLERS))
    // Each thread checks for itself, every interval less ten per cent.
    expect(asked.checks).toBeLessThanOrEqual(THREADS * (DOWN_MS / (0.9 * INTERVAL_MS) + 2))
    expect(took).toBeLessThan(INTERVAL_MS * 1.1 + SLACK_MS)
  })
})

describe('all endpoints replaced one after another under load', () => {
  it.each<[string, (backend: Fickle) => Promise<void>]>([
    ['with care', (backend) => backend.retire()],
    ['at once, with what is under way', (backend) => backend.away()],
  ])('restarted %s: nobody notices', async (_how, stop) => {
    const storm = load()
    await pause(300)
    for (const backend of backends.slice(0, 4)) {
      await stop(backend)
      await pause(200)
      const before = backend.requests
      await backend.back()
      await expect.poll(() => backend.requests, { timeout: 5000 }).toBeGreaterThan(before)
    }
    await expectUnnoticed(storm)
  })

  it('by others, in the file: nobody notices, and nobody asks the old ones any more', async () => {
    const storm = load()
    await pause(300)
    for (let i = 1; i <= 2; i++) {
      const file = join(weir.folder, 'weir.yaml')
      await writeFile(`${file}.new`, HEAD() + config(backends.slice(i, i + 4)))
      await rename(`${file}.new`, file)
      expect(await (await fetch(`http://127.0.0.1:${weir.admin}/reload`, { method: 'POST' })).json()).toMatchObject({ ok: true })
      await pause(300)
      // Whoever is no longer named is stopped.
      await backends[i - 1]!.away()
      await pause(200)
    }
    await expectUnnoticed(storm)
    expect(backends[5]!.requests).toBeGreaterThan(0)
    await Promise.all([backends[0]!.back(), backends[1]!.back()])
  })
})
