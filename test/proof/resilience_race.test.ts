/**
 * The race for a kept connection with retries on: a backend ends connections just when the next request goes out. Nobody with a method
 * that may be repeated notices; a POST that is not listed is executed once at most, and told so. `WEIR_PROOF=full`: ten thousand each.
 */
import { afterAll, beforeAll, expect, it } from 'vitest'
import { request } from '../blackbox/message.ts'
import type { Peer } from '../blackbox/scripted.ts'
import { startWeir, type Weir } from '../blackbox/weir.ts'
import { random } from '../conformance/wire/fuzz.ts'
import { Fickle, Seen } from './fickle.ts'

const TRIALS = process.env['WEIR_PROOF'] === 'full' ? 10_000 : 600
const LANES = 4
const seed = Math.floor(Math.random() * 2 ** 31)
const next = random(seed)
const seen = new Seen()
let backend: Fickle
let weir: Weir

beforeAll(async () => {
  backend = await Fickle.listen(seen, (below) => Math.floor(next() * below))
  backend.bad = 0
  backend.ends = true
  // The budget has room for all lanes at once: beyond it a failure is answered, whatever the method.
  weir = await startWeir(`
backends: { up: { url: "http://127.0.0.1:${backend.port}" } }
routes:
  - { name: usual, match: { path: "/usual/**" }, backend: up, plugins: [{ retry: { max: 3, on: [connect, reset], backoff: { base: 1ms, max: 2ms }, budget: { min: ${LANES} } } }] }
  - { name: listed, match: { path: "/listed/**" }, backend: up, plugins: [{ retry: { max: 3, on: [connect, reset], methods: [GET, POST], backoff: { base: 1ms, max: 2ms }, budget: { min: ${LANES} } } }] }
`)
})
afterAll(async () => {
  await weir?.stop()
  await backend?.away()
})

/** @returns how often each status came, and how often requests were executed: [never, once, twice, …] */
async function trials(method: string, route: string, body?: string): Promise<{ statuses: Record<number, number>; executed: number[] }> {
  const statuses: Record<number, number> = {}
  const executed: number[] = []
  let count = 0
  async function lane(): Promise<void> {
    let peer: Peer = await weir.connect()
    while (count < TRIALS) {
      const id = `${method}-${route}-${count++}`
      await peer.send(request(method, `/${route}/${id}`, [], body))
      const { status } = await peer.readFinal(method, 10_000)
      statuses[status] = (statuses[status] ?? 0) + 1
      const times = seen.take(id)
      if (status === 200) expect(times, id).toBeGreaterThanOrEqual(1)
      executed[times] = (executed[times] ?? 0) + 1
      if (peer.over) peer = await weir.connect()
      peer.arrivals.length = 0
      for (let turns = Math.floor(next() * 8); turns > 0; turns--) await new Promise((done) => setImmediate(done))
    }
    peer.destroy()
  }
  await Promise.all(Array.from({ length: LANES }, lane))
  return { statuses, executed }
}

const TIME = { timeout: 30_000 + TRIALS * 20 }

it.each([['GET', 'usual', undefined], ['PUT', 'usual', 'body'], ['POST', 'listed', 'body']])(`%s on the route \`%s\`: nobody notices, ${TRIALS} trials, seed ${seed}`, TIME, async (method, route, body) => {
  const { statuses } = await trials(method, route, body)
  expect(statuses).toEqual({ 200: TRIALS })
  expect((await weir.metrics()).sum('weir_retry_overflow_total')).toBe(0)
})

it(`POST that is not listed: executed once at most, ${TRIALS} trials, seed ${seed}`, TIME, async () => {
  const { statuses, executed } = await trials('POST', 'usual', 'body')
  expect(Object.keys(statuses).every((status) => status === '200' || status === '502')).toBe(true)
  expect(executed.length, `executed ${executed.join(' ')}`).toBeLessThanOrEqual(2)
  expect(statuses[502], 'races that were told').toBeGreaterThan(0)
  const metrics = await weir.metrics()
  expect(metrics.sum('weir_retry_denied_total', { route: 'usual', why: 'method' })).toBe(statuses[502])
  expect(metrics.sum('weir_retry_total', { route: 'usual', result: 'success' }), 'races that were repaired').toBeGreaterThan(0)
})
