/** Faults on purpose, from outside: what the caller gets, what the server sees, what is said of it. */
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { request } from './message.ts'
import { Upstream } from './scripted.ts'
import { expectProblem, startWeir, type Weir } from './weir.ts'

let upstream: Upstream
/** Believes its callers, which come over loopback. */
let trusting: Weir
let strict: Weir

const config = (more: string): string => `
access_log: stdout
${more}
backends:
  up: { url: "http://127.0.0.1:${upstream.port}" }
  constant: { answer: { body: constant } }
routes:
  - { name: asked, match: { path: /asked }, backend: up, plugins: [{ fault: { by_header: true } }] }
  - { name: reset, match: { path: /reset }, backend: up, plugins: [{ fault: { abort: { reset: true, percent: 100 } } }] }
  - { name: cut, match: { path: /cut }, backend: constant, plugins: [{ fault: { cut: { after: 4, percent: 100 } } }] }
  - { name: helped, match: { path: /helped }, backend: constant, plugins: [{ fault: { cut: { after: 4, percent: 100 }, backends: [constant] } }, { fallback: { to: [up] } }] }
  - { name: tries, match: { path: /tries }, backend: up, plugins: [{ retry: { max: 2, backoff: { base: 1ms, max: 1ms } } }, { fault: { abort: { status: 503, percent: 100 } } }] }
`

beforeAll(async () => {
  upstream = await Upstream.listen()
  ;[trusting, strict] = await Promise.all([startWeir(config('forwarded: { trusted: ["127.0.0.0/8"] }')), startWeir(config(''))])
})
beforeEach(() => upstream.fresh())
afterAll(async () => {
  await Promise.all([trusting?.stop(), strict?.stop()])
  await upstream?.close()
})

/** The line of the access log about the last request of a route. */
async function logged(weir: Weir, route: string): Promise<{ status: number; code: string | null; flags: string[]; attempts: number }> {
  const lines = () => weir.stdout.split('\n').filter((line) => line.includes(`"route":"${route}"`))
  await expect.poll(lines, { timeout: 3000 }).not.toEqual([])
  return JSON.parse(lines().at(-1)!) as { status: number; code: string | null; flags: string[]; attempts: number }
}

it('is said at the start and at a reload, once for each place', async () => {
  const said = () => strict.stderr.match(/warning caution: faults are injected here/g)
  expect(said()).toHaveLength(5)
  expect((await fetch(`http://127.0.0.1:${strict.admin}/reload`, { method: 'POST' })).status).toBe(200)
  await expect.poll(said, { timeout: 3000 }).toHaveLength(10)
})

describe('by header', () => {
  const ask = request('GET', '/asked', ['x-envoy-fault-abort-request: 418'])

  it('a caller that is trusted is obeyed; the server is not asked', async () => {
    expect((await trusting.exchange(ask)).status).toBe(418)
    expect(upstream.requests).toEqual([])
    expect(await logged(trusting, 'asked')).toMatchObject({ status: 418, code: null, flags: ['FI'], attempts: 0 })
  })

  it('the client behind a proxy that is trusted, too', async () => {
    expect((await trusting.exchange(request('GET', '/asked', ['x-envoy-fault-abort-request: 418', 'x-forwarded-for: 203.0.113.7']))).status).toBe(418)
  })

  it('a stranger is not', async () => {
    expect((await strict.exchange(ask)).status).toBe(200)
    expect(upstream.requests).toHaveLength(1)
  })
})

it('a reset is a 502 of which the server knows nothing', async () => {
  expectProblem(await strict.exchange(request('GET', '/reset')), 502, 'RESET')
  expect(upstream.requests).toEqual([])
})

it('a cut answer is cut for the caller, not completed', async () => {
  const got = await strict.exchange(request('GET', '/cut'))
  expect([got.status, got.head.one('content-length'), got.body.toString(), got.complete]).toEqual([200, '8', 'cons', false])
  expect(await logged(strict, 'cut')).toMatchObject({ status: 200, code: 'RESET', flags: expect.arrayContaining(['FI']) })
})

it('a fallback takes over from a cut answer that it held', async () => {
  const got = await strict.exchange(request('GET', '/helped'))
  expect([got.status, got.complete, got.head.one('x-weir-fallback')]).toEqual([200, true, 'constant;reset'])
})

it('every attempt of a retry meets it', async () => {
  expect((await strict.exchange(request('GET', '/tries'))).status).toBe(503)
  expect((await strict.metrics()).sum('weir_fault_total', { route: 'tries', kind: 'abort' })).toBe(3)
  expect(upstream.requests).toEqual([])
})
