/**
 * Limits of time over sockets: each fires, when it says, with a word of its own, while the head is awaited and in the middle of a stream;
 * the backend's connection goes with it.
 */
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { type DeafServer, startDeafServer } from './deaf.ts'
import { bytes, chunk, chunked, request, type ReceivedAnswer } from './message.ts'
import { pause, type Peer, Upstream } from './scripted.ts'
import { expectProblem, startWeir, type Weir } from './weir.ts'

const LIMIT_MS = 150
/** 20 ms, and what a busy machine takes to run three processes. */
const SLACK_MS = 250
const ROLE = 'data: {"choices":[{"delta":{"role":"assistant","content":""}}]}\n\n'
const TOKEN = 'data: {"choices":[{"delta":{"content":"Hi"}}]}\n\n'
const STREAM = 'HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n'

let upstream: Upstream
let second: Upstream
let deaf: DeafServer
let weir: Weir

beforeAll(async () => {
  upstream = await Upstream.listen()
  second = await Upstream.listen()
  deaf = await startDeafServer()
  const route = (name: string, limits: string, more = '', backend = 'up'): string => `  - { name: ${name}, match: { path: "/${name}/**" }, backend: ${backend}, plugins: [{ timeout: { ${limits} } }${more}] }`
  const back = ', { fallback: { to: [second] } }'
  weir = await startWeir(`
access_log: stdout
timeouts: { idle: 10s }
backends:
  up: { url: "http://127.0.0.1:${upstream.port}" }
  second: { url: "http://127.0.0.1:${second.port}" }
  deaf: { url: "http://127.0.0.1:${deaf.port}", connect: 10s }
routes:
${[
  route('connect', 'connect: 150ms', '', 'deaf'),
  ...['response_headers', 'first_byte', 'first_token', 'idle', 'per_try', 'total'].map((limit) => route(limit, `${limit}: 150ms`)),
  route('first_token_back', 'first_token: 150ms, total: 3s', back),
  route('per_try_back', 'per_try: 150ms, total: 3s', back),
  route('total_back', 'per_try: 100ms, total: 150ms', back),
].join('\n')}
`)
})
beforeEach(async () => {
  await upstream.fresh()
  await second.fresh()
})
afterAll(async () => {
  await weir?.stop()
  await upstream?.close()
  await second?.close()
  deaf?.stop()
})

/** Runs for every connection: reads one request, then `script`. */
function afterRequest(server: Upstream, script: (peer: Peer) => unknown): void {
  server.onConnection = async (peer) => {
    await peer.readRequest()
    await script(peer)
  }
}

const asking = ['Accept: text/event-stream']
const never = (): void => undefined

/** How long an exchange took, measured where it was asked. */
async function timed(path: string, lines: readonly string[] = []): Promise<{ got: ReceivedAnswer; ms: number }> {
  const caller = await weir.connect()
  const from = performance.now()
  await caller.send(request('GET', path, lines))
  const got = await caller.readFinal()
  const ms = performance.now() - from
  caller.destroy()
  return { got, ms }
}

/** Not before its time; a millisecond less is the clocks'. */
function expectOnTime(ms: number, limit = LIMIT_MS): void {
  expect(ms).toBeGreaterThanOrEqual(limit - 1)
  expect(ms).toBeLessThan(limit + SLACK_MS)
}

/** `code` of the last line of the access log. */
async function logged(path: string): Promise<string | null> {
  const line = (): string | undefined => weir.stdout.split('\n').findLast((text) => text.includes(`"target":"${path}"`))
  await expect.poll(line, { timeout: 2000, interval: 5 }).toBeDefined()
  return (JSON.parse(line()!) as { code: string | null }).code
}

describe('while the head is awaited', () => {
  it.each([
    ['connect', 'CONNECT_TIMEOUT', []],
    ['response_headers', 'HEADERS_TIMEOUT', []],
    ['first_token', 'FIRST_TOKEN_TIMEOUT', asking],
    ['per_try', 'TRY_TIMEOUT', []],
    ['total', 'TOTAL_TIMEOUT', []],
  ])('%s: 504 %s', async (limit, code, lines) => {
    afterRequest(upstream, never)
    const { got, ms } = await timed(`/${limit}/head`, lines)
    expectProblem(got, 504, code)
    expectOnTime(ms)
    if (limit !== 'connect') await upstream.peer.untilOver(500)
  })

  it.each([
    ['first_token', 'FIRST_TOKEN_TIMEOUT', asking],
    ['per_try', 'TRY_TIMEOUT', []],
    ['total', 'TOTAL_TIMEOUT', []],
    ['response_headers', 'HEADERS_TIMEOUT', []],
  ])('%s: half a head that trickles on does not prolong it', async (limit, code, lines) => {
    afterRequest(upstream, async (peer) => {
      for (let i = 0; i < 20 && !peer.over; i++) {
        await peer.send(i === 0 ? 'HTTP/1.1 200 OK\r\n' : `x-${i}: y\r\n`)
        await pause(30)
      }
    })
    const { got, ms } = await timed(`/${limit}/trickle`, lines)
    expectProblem(got, 504, code)
    expectOnTime(ms)
  })
})

describe('in the middle of an answer', () => {
  /** Sends the beginning of a stream, goes on as the script says, and is cut. @returns milliseconds from the last thing sent to the cut */
  async function cut(path: string, script: (peer: Peer) => Promise<void>): Promise<{ got: ReceivedAnswer; whole: number; last: number }> {
    let lastAt = 0
    afterRequest(upstream, async (peer) => {
      await script(peer)
      lastAt = performance.now()
    })
    const caller = await weir.connect()
    const from = performance.now()
    await caller.send(request('GET', path, asking))
    const got = await caller.readFinal()
    await upstream.peer.untilOver(500)
    expect(got.complete).toBe(false)
    return { got, whole: caller.overAt - from, last: caller.overAt - lastAt }
  }

  it('first_byte: a head and no body', async () => {
    const { last } = await cut('/first_byte/x', async (peer) => void (await peer.send(STREAM)))
    expectOnTime(last)
    expect(await logged('/first_byte/x')).toBe('FIRST_BYTE_TIMEOUT')
  })

  it('idle: a body that stops', async () => {
    const { got, last } = await cut('/idle/x', async (peer) => {
      await peer.send(STREAM)
      for (let i = 0; i < 4; i++) {
        await pause(60)
        await peer.send(chunk(TOKEN))
      }
    })
    expect(got.body.toString()).toBe(TOKEN.repeat(4))
    expectOnTime(last)
    expect(await logged('/idle/x')).toBe('IDLE_TIMEOUT')
  })

  it('first_token: roles and comments are no content', async () => {
    const { got, whole } = await cut('/first_token/x', async (peer) => {
      await peer.send(STREAM, chunk(ROLE))
      for (let i = 0; i < 20 && !peer.over; i++) {
        await pause(20)
        await peer.send(chunk(': still here\n\n'))
      }
    })
    expect(got.body.toString()).toContain(ROLE)
    expectOnTime(whole)
    expect(await logged('/first_token/x')).toBe('FIRST_TOKEN_TIMEOUT')
  })

  it('total: however busy the stream is', async () => {
    const { whole } = await cut('/total/x', async (peer) => {
      await peer.send(STREAM)
      for (let i = 0; i < 40 && !peer.over; i++) {
        await peer.send(chunk(TOKEN))
        await pause(10)
      }
    })
    expectOnTime(whole)
    expect(await logged('/total/x')).toBe('TOTAL_TIMEOUT')
  })
})

describe('what is in time passes', () => {
  it.each(['first_token', 'per_try', 'first_byte', 'response_headers', 'idle'])('%s: a stream that begins in time and takes longer', async (limit) => {
    afterRequest(upstream, async (peer) => {
      await peer.send(STREAM, chunk(ROLE))
      await pause(40)
      for (let i = 0; i < 4; i++) {
        await peer.send(chunk(TOKEN))
        await pause(70)
      }
      await peer.send(bytes('0\r\n\r\n'))
    })
    const { got, ms } = await timed(`/${limit}/long`, asking)
    expect([got.complete, got.body.toString()]).toEqual([true, ROLE + TOKEN.repeat(4)])
    expect(ms).toBeGreaterThan(LIMIT_MS)
  })
})

describe('idle, towards the caller', () => {
  it('a caller that stops reading is cut, and the backend with it', async () => {
    const piece = Buffer.alloc(65_536, 0x61)
    afterRequest(upstream, async (peer) => {
      await peer.send(`HTTP/1.1 200 OK\r\nContent-Length: ${piece.length * 1000}\r\n\r\n`)
      peer.socket.on('error', () => undefined)
      for (let i = 0; i < 1000 && !peer.over; i++) if (!peer.socket.write(piece)) await Promise.race([new Promise((done) => peer.socket.once('drain', done)), peer.untilOver(3000)])
    })
    const caller = await weir.connect()
    caller.discard = true
    caller.socket.pause()
    await caller.send(request('GET', '/idle/reader'))
    await (await upstream.connection()).untilOver(3000)
    expect(await logged('/idle/reader')).toBe('IDLE_TIMEOUT')
    caller.destroy()
  })

  it('a caller that stops sending is 408, and its upload is given up', async () => {
    upstream.onConnection = async (peer) => void (await peer.until(() => peer.count > 0, 'the head'))
    const caller = await weir.connect()
    const from = performance.now()
    await caller.send('POST /idle/upload HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\nbegin')
    const got = await caller.readFinal('POST')
    expectOnTime(performance.now() - from)
    expectProblem(got, 408, 'REQUEST_TIMEOUT')
    expect(got.head.list('connection')).toContain('close')
    await upstream.peer.untilOver(500)
    caller.destroy()
  })
})

describe('behind a fallback', () => {
  it.each(['first_token_back', 'per_try_back'])('%s: a stream without content in time is replaced by another', async (route) => {
    afterRequest(upstream, async (peer) => peer.send(STREAM, chunk(ROLE)))
    second.onRequest = () => Buffer.concat([bytes(STREAM), chunked([ROLE, TOKEN])])
    const { got, ms } = await timed(`/${route}/x`, asking)
    expect([got.complete, got.body.toString(), got.head.one('x-weir-fallback')]).toEqual([true, ROLE + TOKEN, 'up;timeout'])
    expectOnTime(ms)
    await upstream.peer.untilOver(500)
  })

  it('no more than the total is ever spent, and one answer is given', async () => {
    afterRequest(upstream, never)
    afterRequest(second, never)
    const { got, ms } = await timed('/total_back/x')
    expectProblem(got, 504, 'TOTAL_TIMEOUT')
    expectOnTime(ms)
    await upstream.peer.untilOver(500)
    await second.peer.untilOver(500)
  })
})

it('every timer that fired is counted once', async () => {
  const metrics = await weir.metrics()
  const count = (route: string, limit: string): number => metrics.sum('weir_timeout_total', { route, limit })
  expect(['total', 'per_try', 'first_token'].map((limit) => count(limit, limit))).toEqual([3, 2, 3])
  expect([count('first_token_back', 'first_token'), count('per_try_back', 'per_try')]).toEqual([1, 1])
  expect(count('idle', 'total') + count('response_headers', 'total')).toBe(0)
})
