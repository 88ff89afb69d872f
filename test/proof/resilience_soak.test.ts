/**
 * A storm: backends that reset, stall, cut, answer early or nonsense, go away and come back; callers who leave; reloads that move
 * endpoints; data threads that are killed. Every request has one outcome, nobody gets the answer of somebody else or half of one as if it
 * were whole, what weir counts adds up with what callers and backends saw, and afterwards nothing is left. `WEIR_PROOF=full`: an hour.
 */
import { mkdtempSync, readdirSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { request } from '../blackbox/message.ts'
import { pause } from '../blackbox/scripted.ts'
import { type Metrics, startWeir, type Weir } from '../blackbox/weir.ts'
import { random } from '../conformance/wire/fuzz.ts'
import { type Chance, Fickle, Seen } from './fickle.ts'
import { Storm, type StormOptions, type Tally } from './storm.ts'

const FULL = process.env['WEIR_PROOF'] === 'full'
const STORM_MS = FULL ? 3_000_000 : 12_000
const KILLS_MS = FULL ? 600_000 : 4000
const CALM_MS = 1500
const CALLERS = 40
const THREADS = 2
const CONTRACT = resolve(import.meta.dirname, '../../gateway/plugin.ts')
const ROUTES = ['plain', 'post', 'again', 'twice', 'stream', 'buffer']

const seed = Math.floor(Math.random() * 2 ** 31)
const next = random(seed)
const chance: Chance = (below) => Math.floor(next() * below)
const seen = new Seen()
const folder = mkdtempSync(join(tmpdir(), 'weir-soak-'))
let backends: Fickle[]
let spare: Fickle
let weir: Weir

/** Dies when it is asked to, and tells what its thread holds on to. */
const PROBE = `import { plugin, reply, Type } from ${JSON.stringify(CONTRACT)}
import { threadId } from 'node:worker_threads'
export default plugin({ name: 'probe', summary: 's', stability: 'beta', config: Type.Object({}, { additionalProperties: false }), example: {}, onError: 'closed',
  build: () => ({ request(x) {
    if (x.path.endsWith('/die')) setImmediate(() => { throw new Error('killed by the storm') })
    const resources = {}
    for (const name of process.getActiveResourcesInfo()) resources[name] = (resources[name] ?? 0) + 1
    const listeners = process.eventNames().reduce((sum, name) => sum + process.listenerCount(name), 0)
    return reply(200, { thread: threadId, sockets: resources.TCPSocketWrap ?? 0, timers: resources.Timeout ?? 0, listeners })
  } }) })`

/** @param endpoints which of the backends stand in the file */
function config(endpoints: readonly number[]): string {
  const limits = 'connect: 300ms, response_headers: 500ms, idle: 400ms, keep_alive: 300ms'
  const urls = endpoints.map((i) => `"http://127.0.0.1:${backends[i]!.port}"`).join(', ')
  const route = (name: string, backend: string, plugins: readonly string[]): string => `  - { name: ${name}, match: { path: "/${name}/**" }, backend: ${backend}, plugins: [${plugins.join(', ')}] }`
  const again = 'retry: { max: 2, on: [connect, reset, 429, 503], methods: [GET, POST] }'
  const fallback = (stream: string): string => `fallback: { to: [spare], on: [timeout, connect, reset, 5xx, 429, ejected, overload, invalid], stream: ${stream} }`
  return `
limits: { in_flight: 1000 }
backends:
  one: { url: "http://127.0.0.1:${backends[0]!.port}", ${limits}, limits: { in_flight: 30, queue: 10, queue_wait: 50ms } }
  up: { urls: [${urls}], ${limits}, health: { path: /health, interval: 300ms, timeout: 200ms }, ejection: { consecutive: 5, base: 200ms, max: 1s }, panic: 30%, slow_start: 500ms }
  spare: { url: "http://127.0.0.1:${spare.port}", ${limits} }
routes:
${[
  route('plain', 'one', []),
  route('post', 'up', [`{ retry: { max: 2, on: [connect, reset, 429, 503] } }`]),
  route('again', 'up', ['{ timeout: { total: 1500ms, per_try: 400ms } }', `{ ${again} }`, `{ ${fallback('pass')} }`]),
  route('twice', 'up', ['{ timeout: { total: 1500ms } }', '{ hedge: { delay: { min: 20ms, percentile: 80 }, max_share: 20%, methods: [GET, POST] } }', `{ ${again} }`]),
  route('stream', 'up', ['{ timeout: { total: 2s, first_token: 300ms } }', `{ ${fallback('pass')} }`]),
  route('buffer', 'up', ['{ concurrency: { max: 20, queue: 10, queue_wait: 100ms } }', '{ timeout: { total: 2s, per_try: 600ms } }', `{ ${fallback('buffer')} }`]),
  `  - { name: probe, match: { path: "/probe/**" }, backend: one, plugins: [{ use: "${join(folder, 'probe.ts')}" }] }`,
].join('\n')}
`
}

beforeAll(async () => {
  writeFileSync(join(folder, 'probe.ts'), PROBE)
  backends = await Promise.all(Array.from({ length: 4 }, () => Fickle.listen(seen, chance)))
  spare = await Fickle.listen(seen, chance)
  spare.bad = 5
  weir = await startWeir(config([0, 1, 2, 3]), { threads: THREADS })
}, 30_000)
afterAll(async () => {
  await weir?.stop()
  await Promise.all([...(backends ?? []), spare].map((backend) => backend?.away()))
  rmSync(folder, { recursive: true, force: true })
})

async function reload(endpoints: readonly number[]): Promise<void> {
  const file = join(weir.folder, 'weir.yaml')
  writeFileSync(`${file}.new`, `listen: 127.0.0.1:${weir.port}\nadmin: 127.0.0.1:${weir.admin}\nthreads: ${THREADS}\ndrain: { grace: 10ms, deadline: 2s }\n${config(endpoints)}`)
  // In one step: the watch would say of half a file that it is wrong.
  renameSync(`${file}.new`, file)
  const answer = await fetch(`http://127.0.0.1:${weir.admin}/reload`, { method: 'POST' })
  expect(await answer.json()).toMatchObject({ ok: true })
}

/** Endpoints go and come, in the file and on the network, until `stop` says so. */
async function churn(going: () => boolean): Promise<number> {
  let reloads = 0
  while (going()) {
    const gone = 1 + chance(3)
    await backends[gone]!.away()
    await pause(100 + chance(300))
    await reload([0, 1, 2, 3].filter((i) => i !== gone))
    await pause(100 + chance(300))
    await backends[gone]!.back()
    await reload([0, 1, 2, 3])
    await pause(200 + chance(400))
    reloads += 2
  }
  return reloads
}

const storm = (more: Partial<StormOptions> = {}): Storm => new Storm({ port: weir.port, callers: CALLERS, chance, seen, routes: ROUTES, lossy: false, leavers: true, ...more })

interface Counts {
  readonly requests: number
  readonly attempts: number
  /** Attempts that no backend need have seen. */
  readonly unsent: number
  readonly lost: number
  readonly seen: number
}

async function counts(): Promise<Counts> {
  const metrics = await weir.metrics()
  const of = (...outcomes: string[]): number => outcomes.reduce((sum, outcome) => sum + metrics.sum('weir_attempts_total', { outcome }), 0)
  const probes = metrics.sum('weir_requests_total', { route: 'probe' })
  return { requests: metrics.sum('weir_requests_total') - probes, attempts: metrics.sum('weir_attempts_total'), unsent: of('connect', 'ejected', 'overload'), lost: of('aborted', 'reset', 'timeout'), seen: seen.total }
}

function minus(a: Counts, b: Counts): Counts {
  return { requests: a.requests - b.requests, attempts: a.attempts - b.attempts, unsent: a.unsent - b.unsent, lost: a.lost - b.lost, seen: a.seen - b.seen }
}

const quiet = async (): Promise<void> => {
  await weir.untilMetric(0, 'weir_backend_in_flight')
  await weir.untilMetric(0, 'weir_connections')
}

/** What each thread holds on to, told by the thread itself on a connection of its own. */
async function held(): Promise<{ files: number; threads: string[] }> {
  const threads = new Map<number, string>()
  for (let i = 0; i < 200 && threads.size < THREADS; i++) {
    const { thread, ...rest } = JSON.parse((await weir.exchange(request('GET', '/probe/resources'))).body.toString()) as { thread: number }
    threads.set(thread, JSON.stringify(rest))
  }
  await weir.untilMetric(0, 'weir_connections')
  return { files: readdirSync(`/proc/${weir.process.pid}/fd`).length, threads: [...threads.values()] }
}

const suspicious: string[] = []
/** What weir logged of itself: kept is what must not be there, the rest would fill the memory of a long run. */
function readLog(): readonly string[] {
  const lines = weir.stderr.split('\n')
  weir.stderr = lines.pop()!
  suspicious.push(...lines.filter((line) => /unhandled|INTERNAL|PLUGIN_FAILED|"level":"error"/.test(line)))
  return suspicious
}

const mean = (values: readonly number[]): number => values.reduce((sum, value) => sum + value, 0) / values.length
const told = ({ sent, whole, cut, left, unknown, none, status }: Tally): string => JSON.stringify({ sent, whole, cut, left, unknown, none, status })

it(`seed ${seed}: one outcome a request, counters that add up, nothing left`, { timeout: STORM_MS + KILLS_MS + 120_000 }, async () => {
  // What is made once is made before anything is compared.
  await (async () => {
    const first = storm()
    await pause(2000)
    await first.stop()
    await quiet()
    await pause(1000)
  })()
  const before = { counts: await counts(), held: await held() }

  const first = storm()
  const end = performance.now() + STORM_MS
  const resident_mib: number[] = []
  const sampled = (async () => {
    while (performance.now() < end) {
      await pause(STORM_MS / 24)
      resident_mib.push(await weir.residentMiB())
      readLog()
    }
  })()
  const reloads = await churn(() => performance.now() < end)
  await sampled
  const stormy = await first.stop()
  await quiet()
  const during = minus(await counts(), before.counts)
  console.log(`storm: ${told(stormy)}, ${reloads} reloads, attempts ${JSON.stringify(during)}, MiB ${resident_mib.map(Math.round).join(' ')}`)
  expect(stormy.complaints).toEqual([])
  // Each request is counted once; of those whose caller left before any backend saw them, weir may have seen none.
  expect(stormy.whole + stormy.cut + stormy.left + stormy.unknown).toBe(stormy.sent)
  expect(during.requests).toBeGreaterThanOrEqual(stormy.sent - stormy.unknown)
  expect(during.requests).toBeLessThanOrEqual(stormy.sent)
  // What a backend saw was an attempt, and what it did not see broke off on the way.
  expect(during.seen).toBeLessThanOrEqual(during.attempts - during.unsent)
  expect(during.attempts - during.unsent - during.seen).toBeLessThanOrEqual(during.lost)
  expect((await weir.metrics()).sum('weir_thread_restarts_total')).toBe(0)
  const quarter = resident_mib.length / 4
  expect(mean(resident_mib.slice(-quarter)) - mean(resident_mib.slice(-2 * quarter, -quarter)), 'MiB from the third to the last quarter').toBeLessThan(FULL ? 15 : 40)

  // Data threads die under load.
  const second = storm({ lossy: true })
  const kills = FULL ? 5 : 2
  for (let i = 0; i < kills; i++) {
    await pause(KILLS_MS / kills / 2)
    await weir.exchange(request('GET', '/probe/die')).catch(() => undefined)
    await weir.untilMetric(i + 1, 'weir_thread_restarts_total')
    await weir.untilMetric(THREADS, 'weir_threads')
    await pause(KILLS_MS / kills / 2)
  }
  const lossy = await second.stop()
  console.log(`threads killed: ${told(lossy)}`)
  expect(lossy.complaints).toEqual([])
  expect(lossy.whole).toBeGreaterThan(100)
  // Only who was with the thread that died got no answer.
  expect(lossy.none).toBeLessThanOrEqual(kills * CALLERS)

  // Calm again: everything is counted to the last one.
  for (const backend of [...backends, spare]) backend.bad = 0
  await quiet()
  await pause(1500)
  const calmBefore = await counts()
  const third = storm({ leavers: false, routes: ['plain', 'post', 'stream'], callers: 4 })
  await pause(CALM_MS)
  const calm = await third.stop()
  await quiet()
  const calmly = minus(await counts(), calmBefore)
  console.log(`calm: ${told(calm)}`)
  expect(calm.complaints).toEqual([])
  expect(calm.status).toEqual({ 200: calm.sent })
  expect([calmly.requests, calmly.attempts, calmly.seen]).toEqual([calm.sent, calm.sent, calm.sent])

  // Nothing is left: connections to backends that nobody uses end by themselves.
  await expect.poll(held, { timeout: 10_000, interval: 500 }).toEqual(before.held)
  await expect.poll(() => [...backends, spare].reduce((sum, { connections }) => sum + connections, 0), { timeout: 5000 }).toBe(0)
  const metrics: Metrics = await weir.metrics()
  expect(['weir_backend_in_flight', 'weir_backend_queued', 'weir_connections', 'weir_plugin_errors_total'].map((name) => metrics.sum(name))).toEqual([0, 0, 0, 0])
  expect(metrics.sum('weir_thread_restarts_total')).toBe(kills)
  const deaths = readLog().filter((line) => line.includes('killed by the storm'))
  expect(suspicious.filter((line) => !deaths.includes(line))).toEqual([])
})
