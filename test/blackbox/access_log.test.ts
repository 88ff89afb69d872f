/** Lines of the access log of a running weir: which endpoint, which flags. */
import { afterAll, beforeAll, beforeEach, expect, it } from 'vitest'
import { answer, request } from './message.ts'
import { Upstream } from './scripted.ts'
import { freePort, startWeir, type Weir } from './weir.ts'

let upstream: Upstream
let gone: number
let weir: Weir

beforeAll(async () => {
  upstream = await Upstream.listen()
  gone = await freePort()
  weir = await startWeir(`
access_log: stdout
backends:
  up: { url: "http://127.0.0.1:${upstream.port}" }
  gone: { url: "http://127.0.0.1:${gone}" }
  both: { urls: ["http://127.0.0.1:${gone}", "http://127.0.0.1:${upstream.port}"], balance: round_robin, ejection: off }
  spare: { answer: { status: 200, body: "spare" } }
routes:
  - { name: up, match: { method: GET, path: "/up/**" }, backend: up }
  - { name: gone, match: { path: /gone }, backend: gone, plugins: [{ retry: { max: 1, backoff: { base: 1ms, max: 1ms } } }] }
  - { name: both, match: { path: /both }, backend: both, plugins: [{ retry: { max: 1, backoff: { base: 1ms, max: 1ms } } }] }
  - { name: spared, match: { path: /spared }, backend: gone, plugins: [{ fallback: { to: [spare] } }] }
`)
})
beforeEach(() => upstream.fresh())
afterAll(async () => {
  await weir?.stop()
  await upstream?.close()
})

/** The line of this request. */
async function lineOf(data: Buffer, id: string, method = 'GET'): Promise<Record<string, unknown>> {
  await weir.exchange(data, method)
  const find = (): string | undefined => weir.stdout.split('\n').find((line) => line.startsWith('{') && line.includes(`"request_id":"${id}"`))
  await expect.poll(find, { timeout: 3000, interval: 10 }).toBeDefined()
  return JSON.parse(find()!) as Record<string, unknown>
}

it('the endpoint that answered', async () => {
  expect(await lineOf(request('GET', '/up/a', ['x-request-id: good']), 'good')).toMatchObject({ status: 200, code: null, flags: [], backend: 'up', upstream: `http://127.0.0.1:${upstream.port}`, attempts: 1, phase: 'done', ended_by: 'backend' })
})

it('the endpoint that was asked last, where none answered; retries that were used up', async () => {
  expect(await lineOf(request('GET', '/gone', ['x-request-id: lost']), 'lost')).toMatchObject({
    status: 503, code: 'CONNECT_FAILED', flags: ['UF', 'URX', 'retry:exhausted'], backend: null, upstream: `http://127.0.0.1:${gone}`, attempts: 2, ended_by: 'backend',
  })
})

it('of two endpoints the one that answered', async () => {
  const seen = new Set<unknown>()
  for (const id of ['both-1', 'both-2']) {
    const line = await lineOf(request('GET', '/both', [`x-request-id: ${id}`]), id)
    expect(line).toMatchObject({ status: 200, flags: [], upstream: `http://127.0.0.1:${upstream.port}` })
    seen.add(line['attempts'])
  }
  // One at least began at the other endpoint.
  expect([...seen]).toContain(2)
})

it('no endpoint, where a constant answered', async () => {
  expect(await lineOf(request('GET', '/spared', ['x-request-id: spared']), 'spared')).toMatchObject({ status: 200, code: null, flags: [], backend: 'spare', upstream: null, fallback: 'gone;connect', attempts: 1 })
})

it('an endpoint that answers a 500 ended the exchange by itself', async () => {
  upstream.onRequest = (_request, peer) => void peer.send(answer(500))
  expect(await lineOf(request('GET', '/up/b', ['x-request-id: bad']), 'bad')).toMatchObject({ status: 500, code: null, flags: [], upstream: `http://127.0.0.1:${upstream.port}`, ended_by: 'backend' })
})

it.each([
  ['GET', '/nothing', 404, 'NO_ROUTE'],
  ['DELETE', '/up/a', 405, 'METHOD_NOT_ALLOWED'],
])('no route for %s %s: NR', async (method, target, status, code) => {
  const id = `none-${status}`
  expect(await lineOf(request(method, target, [`x-request-id: ${id}`]), id, method)).toMatchObject({ status, code, flags: ['NR'], route: null, backend: null, upstream: null, attempts: 0, ended_by: 'weir' })
})
