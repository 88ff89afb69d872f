/** Retries and hedges over sockets: what each backend received, and what the caller got. */
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { answer, request } from './message.ts'
import { pause, type Peer, Upstream } from './scripted.ts'
import { expectProblem, freePort, startWeir, type Weir } from './weir.ts'

let first: Upstream
let second: Upstream
let weir: Weir

beforeAll(async () => {
  first = await Upstream.listen()
  second = await Upstream.listen()
  const [a, b] = [first, second].map(({ port }) => `http://127.0.0.1:${port}`)
  const nobody = `http://127.0.0.1:${await freePort()}`
  weir = await startWeir(`
access_log: stdout
backends:
  one: { url: "${a}" }
  two: { urls: ["${a}", "${b}"], balance: round_robin }
  # Of its own: what other tests do to their endpoints gets those ejected.
  pair: { urls: ["${a}", "${b}"], balance: round_robin }
  half: { urls: ["${nobody}", "${b}"], balance: round_robin }
routes:
  - { name: one, match: { path: "/one/**" }, backend: one, plugins: [{ retry: { replay: 1KiB } }] }
  - { name: listed, match: { path: "/listed/**" }, backend: one, plugins: [{ retry: { methods: [POST] } }] }
  - { name: two, match: { path: "/two/**" }, backend: two, plugins: [{ retry: {} }] }
  - { name: half, match: { path: "/half/**" }, backend: half, plugins: [{ retry: {} }] }
  - name: hedge
    match: { path: "/hedge/**" }
    backend: pair
    plugins: [{ hedge: { delay: { min: 100ms, percentile: 90 }, max_share: 50% } }]
`)
})
beforeEach(async () => void (await Promise.all([first.fresh(), second.fresh()])))
afterAll(async () => {
  await weir?.stop()
  await Promise.all([first?.close(), second?.close()])
})

const get = (path: string): ReturnType<Weir['exchange']> => weir.exchange(request('GET', path))
const post = (path: string, lines: string[] = [], body = '{}'): ReturnType<Weir['exchange']> => weir.exchange(request('POST', path, lines, body), 'POST')

/** What `upstream` does with its requests in turn; then it answers 200. */
function turns(upstream: Upstream, ...scripts: ((peer: Peer) => unknown)[]): void {
  upstream.onRequest = async (_request, peer) => {
    const script = scripts.shift()
    if (script === undefined) return answer(200, [], 'ok')
    await script(peer)
  }
}

const reset = (peer: Peer): void => peer.reset()
const answered = (status: number, lines: string[] = []) => (peer: Peer): unknown => peer.send(answer(status, lines, 'no'))

describe('a request that failed', () => {
  it.each<[string, (peer: Peer) => unknown]>([
    ['reset before its answer', reset],
    ['ended in the middle of the head', (peer) => peer.send('HTTP/1.1 200 O').then(() => peer.destroy())],
    ['answered 503', answered(503)],
    ['answered 429', answered(429)],
  ])('%s goes out once more; the caller sees the second answer', async (_what, script) => {
    turns(first, script)
    const got = await get('/one/a')
    expect([got.status, got.body.toString(), got.head.one('x-weir-attempts'), first.requests.length]).toEqual([200, 'ok', '2', 2])
    expect(first.requests[1]!.head).toEqual(first.requests[0]!.head)
  })

  it('with its body, on a fresh connection', async () => {
    turns(first, reset)
    const got = await weir.exchange(request('PUT', '/one/a', [], 'whole'), 'PUT')
    expect([got.status, first.requests.map(({ body }) => body.toString()), first.peers.length]).toEqual([200, ['whole', 'whole'], 2])
  })

  it('goes to the other endpoint', async () => {
    turns(first, ...Array.from({ length: 20 }, () => reset))
    for (let i = 0; i < 10; i++) expect((await get('/two/a')).status).toBe(200)
    expect(second.requests).toHaveLength(10)
    expect(first.requests.length).toBeGreaterThan(0)
  })

  it('a POST that nobody can have received too', async () => {
    for (let i = 0; i < 10; i++) expect((await post('/half/a')).status).toBe(200)
    expect(second.requests).toHaveLength(10)
    expect((await weir.metrics()).sum('weir_retry_total', { route: 'half', reason: 'connect', result: 'success' })).toBeGreaterThan(0)
  })
})

describe('what is not tried again', () => {
  it('a POST that may have been executed', async () => {
    turns(first, reset)
    expectProblem(await post('/one/a'), 502, 'RESET')
    expect(first.requests).toHaveLength(1)
    expect((await weir.metrics()).sum('weir_retry_denied_total', { route: 'one', why: 'method' })).toBeGreaterThan(0)
  })

  it('the race for a kept connection: a POST is executed once, a listed one and one with a key are answered', async () => {
    for (const [path, lines, status, count] of [['/one/a', [], 502, 2], ['/listed/a', [], 200, 3], ['/one/a', ['Idempotency-Key: "k"'], 200, 3]] as const) {
      await Promise.all([first.fresh(), pause(20)])
      turns(first, answered(200), reset)
      expect((await post('/one/first')).status).toBe(200)
      expect([(await post(path, [...lines])).status, first.requests.length]).toEqual([status, count])
    }
  })

  it('of two kept connections that have both gone stale only one is tried: the retry opens a new one', async () => {
    const both = Promise.all([post('/listed/a'), post('/listed/a')])
    const waiting: Peer[] = []
    first.onRequest = (_request, peer) => void waiting.push(peer)
    await expect.poll(() => waiting.length).toBe(2)
    for (const peer of waiting) await peer.send(answer(200, [], 'ok'))
    expect((await both).map(({ status }) => status)).toEqual([200, 200])
    // A restart of the backend that takes every kept connection along, told to weir only when it writes.
    first.onRequest = (_request, peer) => (waiting.includes(peer) ? peer.reset() : answer(200, [], 'fresh'))
    const got = await post('/listed/a')
    expect([got.status, got.body.toString(), got.head.one('x-weir-attempts')]).toEqual([200, 'fresh', '2'])
  })

  it('a body longer than `replay`, which streams', async () => {
    turns(first, reset)
    const got = await weir.exchange(request('PUT', '/one/a', [], 'x'.repeat(1 << 20)), 'PUT')
    expectProblem(got, 502, 'RESET')
    expect(first.requests).toHaveLength(1)
    await weir.untilMetric(1, 'weir_retry_impossible_total', { route: 'one' })
  })

  it('an answer that began', async () => {
    turns(first, (peer) => peer.send('HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf').then(() => peer.reset()))
    const got = await get('/one/a')
    expect([got.status, got.complete, first.requests.length]).toEqual([200, false, 1])
  })
})

describe('Retry-After', () => {
  it('is waited for', async () => {
    const at: number[] = []
    turns(first, (peer) => (at.push(performance.now()), peer.send(answer(503, ['Retry-After: 1']))), (peer) => (at.push(performance.now()), peer.send(answer(201))))
    expect((await get('/one/a')).status).toBe(201)
    // Timers of Node may fire up to a millisecond early.
    expect(at[1]! - at[0]!).toBeGreaterThanOrEqual(998)
  })

  it('beyond the limit the answer is the caller\'s, the field included', async () => {
    turns(first, answered(503, ['Retry-After: 6']))
    const got = await get('/one/a')
    expect([got.status, got.head.one('retry-after'), got.body.toString(), first.requests.length]).toEqual([503, '6', 'no', 1])
  })
})

it('a hedge: the second request goes to the other endpoint, its answer is taken, the slow one is given up', async () => {
  for (let i = 0; i < 60; i++) expect((await get('/hedge/a')).status).toBe(200)
  const stalled: Peer[] = []
  const before = first.requests.length + second.requests.length
  // Whichever is asked first does not answer.
  const script = (_request: unknown, peer: Peer): Buffer | undefined => (stalled.length === 0 ? void stalled.push(peer) : answer(200, [], 'quick'))
  first.onRequest = script
  second.onRequest = script
  const got = await get('/hedge/b')
  expect([got.status, got.body.toString(), got.head.one('x-weir-attempts')]).toEqual([200, 'quick', '2'])
  expect([first, second].map(({ requests }) => requests.filter(({ target }) => target === '/hedge/b').length)).toEqual([1, 1])
  const marks = [first, second].flatMap(({ requests }) => requests.filter(({ target }) => target === '/hedge/b').map(({ head }) => head.list('x-weir-hedge')))
  expect(marks.sort()).toEqual([[], ['1']])
  expect(first.requests.length + second.requests.length).toBe(before + 2)
  await stalled[0]!.untilOver()
  const metrics = await weir.metrics()
  expect([metrics.sum('weir_hedge_sent_total', { route: 'hedge' }), metrics.sum('weir_hedge_total', { route: 'hedge', result: 'won' })]).toEqual([1, 1])
})
