/** Deadlines that travel: what trusted callers give holds on every route, what is left goes on to backends, anew at every attempt. */
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { bytes, chunk, request } from './message.ts'
import { pause, Upstream } from './scripted.ts'
import { expectProblem, startWeir, type Weir } from './weir.ts'

/** 20 ms, and what a busy machine takes to run three processes. */
const SLACK_MS = 250
const HEADER = 'x-request-timeout-ms'
const ALL = [HEADER, 'grpc-timeout', 'x-envoy-upstream-rq-timeout-ms', 'x-envoy-expected-rq-timeout-ms']

let upstream: Upstream
let second: Upstream
/** Believes its callers, which come over loopback. */
let trusting: Weir
let strict: Weir
let renamed: Weir
let silent: Weir

function config(more: string): string {
  return `
access_log: stdout
${more}
backends:
  up: { url: "http://127.0.0.1:${upstream.port}" }
  second: { url: "http://127.0.0.1:${second.port}" }
  constant: { answer: { status: 200, body: constant } }
routes:
  - { name: plain, match: { path: "/plain/**" }, backend: up }
  - { name: constant, match: { path: /constant }, backend: constant }
  - { name: total, match: { path: "/total/**" }, backend: up, plugins: [{ timeout: { total: 2s } }] }
  - { name: tries, match: { path: "/tries/**" }, backend: up, plugins: [{ timeout: { total: 2s, per_try: 400ms } }, { fallback: { to: [second] } }] }
`
}

beforeAll(async () => {
  upstream = await Upstream.listen()
  second = await Upstream.listen()
  const trusted = 'forwarded: { trusted: ["127.0.0.0/8"] }'
  ;[trusting, strict, renamed, silent] = await Promise.all([
    startWeir(config(trusted)), startWeir(config('')), startWeir(config(`${trusted}\ndeadlines: { header: X-Budget }`)), startWeir(config(`${trusted}\ndeadlines: { header: "" }`)),
  ])
})
beforeEach(async () => {
  await upstream.fresh()
  await second.fresh()
})
afterAll(async () => {
  await Promise.all([trusting, strict, renamed, silent].map((weir) => weir?.stop()))
  await upstream?.close()
  await second?.close()
})

/** What the upstream was told: the values of each name. */
async function told(weir: Weir, path: string, lines: readonly string[]): Promise<Record<string, string[]>> {
  const got = await weir.exchange(request('GET', path, lines))
  expect(got.status).toBe(200)
  const { head } = upstream.requests.at(-1)!
  return Object.fromEntries([...ALL, 'x-budget'].map((name) => [name, head.all(name)]).filter(([, values]) => values!.length > 0)) as Record<string, string[]>
}

/** A whole number of milliseconds a little below `ms`. */
function expectLeft(value: string | undefined, ms: number): void {
  expect(value).toMatch(/^[1-9][0-9]*$/)
  expect(Number(value)).toBeLessThanOrEqual(ms)
  expect(Number(value)).toBeGreaterThan(ms - SLACK_MS)
}

describe('towards backends', () => {
  it('without a deadline nothing is told', async () => {
    expect(await told(trusting, '/plain/x', [])).toEqual({})
    expect(await told(strict, '/plain/x', [])).toEqual({})
  })

  it('the total of the route', async () => {
    const headers = await told(strict, '/total/x', [])
    expect(Object.keys(headers)).toEqual([HEADER])
    expectLeft(headers[HEADER]![0], 2000)
  })

  it('the shorter of the caller\'s and the route\'s', async () => {
    expectLeft((await told(trusting, '/total/x', [`${HEADER}: 500`]))[HEADER]![0], 500)
    expectLeft((await told(trusting, '/total/x', [`${HEADER}: 90000`]))[HEADER]![0], 2000)
    expectLeft((await told(trusting, '/plain/x', [`${HEADER}: 90000`]))[HEADER]![0], 90_000)
  })

  it('in the words that the caller used, beside the own one', async () => {
    const grpc = await told(trusting, '/plain/x', ['grpc-timeout: 3S'])
    expect(Object.keys(grpc)).toEqual([HEADER, 'grpc-timeout'])
    expect(grpc['grpc-timeout']![0]).toBe(`${grpc[HEADER]![0]}m`)
    expectLeft(grpc[HEADER]![0], 3000)
    const envoy = await told(trusting, '/plain/x', ['x-envoy-expected-rq-timeout-ms: 700', 'x-envoy-upstream-rq-timeout-ms: 600'])
    expect(Object.keys(envoy)).toEqual([HEADER, 'x-envoy-expected-rq-timeout-ms'])
    expect(envoy['x-envoy-expected-rq-timeout-ms']).toEqual(envoy[HEADER])
    expectLeft(envoy[HEADER]![0], 600)
  })

  it('anew at every attempt: the time that went is gone', async () => {
    upstream.onRequest = () => new Promise<void>(() => {})
    const got = await trusting.exchange(request('GET', '/tries/x', [`${HEADER}: 2000`]))
    expect([got.status, got.head.one('x-weir-fallback')]).toEqual([200, 'up;timeout'])
    const [first, last] = [upstream, second].map((server) => server.requests[0]!.head.one(HEADER))
    expectLeft(first, 400)
    // Of the 2 s more is left; its own time is less.
    expectLeft(last, 400)
    upstream.onRequest = () => new Promise<void>(() => {})
    await trusting.exchange(request('GET', '/tries/y', [`${HEADER}: 600`]))
    expectLeft(second.requests[1]!.head.one(HEADER), 200)
  })

  it('under another name', async () => {
    const headers = await told(renamed, '/total/x', ['x-budget: 700', `${HEADER}: 5`])
    expectLeft(headers['x-budget']![0], 700)
    expect(headers[HEADER]).toEqual(['5'])
  })

  it('not at all where it has none: what callers send is theirs', async () => {
    expect(await told(silent, '/total/x', [`${HEADER}: 0`, 'grpc-timeout: soon'])).toEqual({ [HEADER]: ['0'], 'grpc-timeout': ['soon'] })
  })
})

describe('of untrusted callers', () => {
  it('is dropped, whatever it says', async () => {
    upstream.onRequest = async () => {
      await pause(60)
      return 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok'
    }
    expect(await told(strict, '/plain/x', [`${HEADER}: 1`, 'grpc-timeout: 1m', 'x-envoy-upstream-rq-timeout-ms: x', 'X-Envoy-Expected-Rq-Timeout-Ms: 1'])).toEqual({})
  })
})

describe('of trusted callers', () => {
  it.each([`${HEADER}: 150`, 'grpc-timeout: 150m', 'grpc-timeout: 150000u', 'x-envoy-upstream-rq-timeout-ms: 150', 'x-envoy-expected-rq-timeout-ms: 150'])('%s: 504 on a route without limits', async (line) => {
    upstream.onRequest = () => new Promise<void>(() => {})
    const from = performance.now()
    expectProblem(await trusting.exchange(request('GET', '/plain/x', [line])), 504, 'DEADLINE_EXCEEDED')
    const ms = performance.now() - from
    expect(ms).toBeGreaterThanOrEqual(149)
    expect(ms).toBeLessThan(150 + SLACK_MS)
    await upstream.peer.untilOver(500)
  })

  it('comes before a longer total, and a shorter total before it', async () => {
    upstream.onRequest = () => new Promise<void>(() => {})
    expectProblem(await trusting.exchange(request('GET', '/total/x', [`${HEADER}: 100`])), 504, 'DEADLINE_EXCEEDED')
    expectProblem(await trusting.exchange(request('GET', '/total/x', [`${HEADER}: 9000`])), 504, 'TOTAL_TIMEOUT')
  })

  it.each([`${HEADER}: 0`, 'grpc-timeout: 0m'])('%s: over before it was here, 504 without a call', async (line) => {
    for (const path of ['/plain/x', '/total/x', '/constant']) expectProblem(await trusting.exchange(request('GET', path, [line])), 504, 'DEADLINE_EXCEEDED')
    expect(upstream.peers).toHaveLength(0)
  })

  it.each(['soon', '-5', '1.5', '1s', '', '12345678901234567890'])('%j makes no sense: 400 that names the header, and the connection goes on', async (value) => {
    const caller = await trusting.connect()
    await caller.send(request('GET', '/plain/x', [`${HEADER}: ${value}`]), request('GET', '/constant'))
    const got = await caller.readFinal()
    expectProblem(got, 400, 'BAD_HEADER')
    expect(got.body.toString()).toContain(HEADER)
    expect((await caller.readFinal()).body.toString()).toBe('constant')
    expect(upstream.peers).toHaveLength(0)
    caller.destroy()
  })

  it('an answer that goes out is cut', async () => {
    upstream.onConnection = async (peer) => {
      await peer.readRequest()
      await peer.send('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n')
      while (!peer.over) {
        await peer.send(chunk('more'))
        await pause(20)
      }
    }
    const got = await trusting.exchange(request('GET', '/plain/x', [`${HEADER}: 150`]))
    expect([got.status, got.complete]).toEqual([200, false])
    await upstream.peer.untilOver(500)
  })

  it('a request that is still arriving is answered, and its upload given up', async () => {
    for (const path of ['/plain/x', '/total/x', '/tries/x']) {
      upstream.onConnection = async (peer) => void (await peer.until(() => peer.count > 0, 'the head'))
      const caller = await trusting.connect()
      const from = performance.now()
      await caller.send(`POST ${path} HTTP/1.1\r\nHost: a\r\n${HEADER}: 150\r\nContent-Length: 1000\r\n\r\nbegin`)
      const sending = (async () => {
        for (let i = 0; i < 20 && !caller.over; i++) {
          await pause(20)
          caller.socket.write('.')
        }
      })()
      const got = await caller.readFinal('POST')
      expectProblem(got, 504, 'DEADLINE_EXCEEDED')
      expect(performance.now() - from).toBeLessThan(150 + SLACK_MS)
      await sending
      caller.destroy()
      await upstream.fresh()
    }
  })

  it('leaves nothing behind: the connection serves on, and no exchange is left', async () => {
    const caller = await trusting.connect()
    for (let i = 0; i < 20; i++) {
      await caller.send(request('GET', '/plain/x', [`${HEADER}: 5000`]))
      expect((await caller.readFinal()).status).toBe(200)
    }
    caller.destroy()
    await trusting.untilMetric(0, 'weir_backend_in_flight', { backend: 'up' })
  })
})

describe('between two gateways', () => {
  it('the second one believes the first', async () => {
    const front = await startWeir(`
backends: { next: { url: "http://127.0.0.1:${trusting.port}" } }
routes: [{ name: all, match: { path: "/**" }, backend: next, plugins: [{ timeout: { total: 300ms } }] }]
`)
    try {
      expect(bytes(await front.exchange(request('GET', '/plain/x')).then(({ body }) => body)).toString()).toBe('ok')
      expectLeft(upstream.requests[0]!.head.one(HEADER), 300)
      upstream.onRequest = () => new Promise<void>(() => {})
      expectProblem(await front.exchange(request('GET', '/plain/y')), 504)
      await upstream.peers.at(-1)!.untilOver(500)
    } finally {
      await front.stop()
    }
  })
})
