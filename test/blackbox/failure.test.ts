/** What goes wrong, and how the other side learns of it: honest errors, honest cuts, prompt aborts, bounded memory. */
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { answer, bytes, chunk, chunked, request } from './message.ts'
import { pause, type Peer, Upstream } from './scripted.ts'
import { type DeafServer, startDeafServer } from './deaf.ts'
import { expectProblem, freePort, startWeir, type Weir } from './weir.ts'

/** How long a caller's leaving may take to reach the upstream; a tick and the scheduler of a busy machine. */
const PROMPT_MS = 100

let upstream: Upstream
let deaf: DeafServer
let weir: Weir

beforeAll(async () => {
  upstream = await Upstream.listen()
  deaf = await startDeafServer()
  weir = await startWeir(`
access_log: stdout
timeouts: { request_headers: 500ms, idle: 10s }
backends:
  up: { url: "http://127.0.0.1:${upstream.port}", connect: 300ms, response_headers: 400ms, idle: 400ms }
  slow: { url: "http://127.0.0.1:${upstream.port}", response_headers: 10s, idle: 10s }
  nobody: { url: "http://127.0.0.1:${await freePort()}" }
  deaf: { url: "http://127.0.0.1:${deaf.port}", connect: 300ms }
  deaf_long: { url: "http://127.0.0.1:${deaf.port}", connect: 10s }
routes:
  - { name: nobody, match: { path: /nobody }, backend: nobody }
  - { name: deaf, match: { path: /deaf }, backend: deaf }
  - { name: deaf_long, match: { path: /deaf_long }, backend: deaf_long }
  - { name: slow, match: { path: "/slow/**" }, backend: slow }
  - { name: all, match: { path: "/**" }, backend: up }
`)
})
beforeEach(() => upstream.fresh())
afterAll(async () => {
  await weir?.stop()
  await upstream?.close()
  deaf?.stop()
})

/** Runs for every connection: reads one request, then `script`. */
function afterRequest(script: (peer: Peer) => unknown): void {
  upstream.onConnection = async (peer) => {
    await peer.readRequest()
    await script(peer)
  }
}

describe('40: no answer from the upstream', () => {
  it.each(['GET', 'POST'])('40: %s refused at the door is 503', async (method) => {
    expectProblem(await weir.exchange(request(method, '/nobody', [], method === 'POST' ? 'x' : undefined), method), 503, 'CONNECT_FAILED')
  })

  it('40: the error names no address', async () => {
    const got = await weir.exchange(request('GET', '/nobody'))
    expect(got.body.toString()).not.toMatch(/127\.0\.0\.1|ECONN|:\d{4,5}|\.ts/)
  })

  it.each<[string, (peer: Peer) => unknown]>([
    ['a reset', (peer) => peer.reset()],
    ['the end', (peer) => peer.finish()],
  ])('40: %s before any byte is 502', async (_, script) => {
    afterRequest(script)
    const got = await weir.exchange(request('POST', '/', [], 'x'), 'POST')
    expectProblem(got, 502, 'RESET')
    expect(got.head.one('x-weir-attempts')).toBe('1')
    expect(upstream.peers).toHaveLength(1)
  })

  it('40: a reset on accepting is one or the other', async () => {
    upstream.onConnection = (peer) => peer.reset()
    const got = await weir.exchange(request('GET', '/'))
    expectProblem(got, got.status === 503 ? 503 : 502, got.status === 503 ? 'CONNECT_FAILED' : 'RESET')
  })

  it.each(['HTTP/1.1 2', 'HTTP/1.1 200 OK\r\nContent-Le'])('40: half a head (%j) is 502', async (text) => {
    for (const end of ['finish', 'reset'] as const) {
      afterRequest(async (peer) => {
        await peer.send(text)
        await pause(10)
        peer[end]()
      })
      const got = await weir.exchange(request('GET', '/'))
      expectProblem(got, 502)
      await upstream.fresh()
    }
  })

  it.each(['SSH-2.0-OpenSSH_9.2\r\n', '\x15\x03\x01\x00\x02\x02\x16', 'HTTP/1.1\r\n\r\n', '\r\n\r\n', '<html>hello</html>\r\n\r\n', 'ICY 200 OK\r\n\r\n', 'HTTP/1.1 abc OK\r\n\r\n'])('40: garbage %j is 502', async (text) => {
    afterRequest((peer) => peer.send(text))
    expectProblem(await weir.exchange(request('GET', '/')), 502, 'BAD_ANSWER')
    await (await upstream.connection()).untilOver(1000)
  })

  it('40: silence is 504, after the time that the config says', async () => {
    afterRequest(() => undefined)
    const from = performance.now()
    expectProblem(await weir.exchange(request('GET', '/')), 504, 'HEADERS_TIMEOUT')
    expect(performance.now() - from).toBeGreaterThan(350)
    await upstream.peer.untilOver(1000)
  })

  it('40: half a head and silence is 504 too', async () => {
    afterRequest(async (peer) => {
      for (const part of ['HTTP/1.1 ', '200 OK\r\n', 'X-A: 1\r\n']) {
        await peer.send(part)
        await pause(150)
      }
    })
    expectProblem(await weir.exchange(request('GET', '/')), 504, 'HEADERS_TIMEOUT')
  })

  it('40: a connection that is not accepted is 504', async () => {
    expectProblem(await weir.exchange(request('GET', '/deaf')), 504, 'CONNECT_TIMEOUT')
  })

  it('40: the caller can go on with the connection', async () => {
    const caller = await weir.connect()
    await caller.send(request('GET', '/nobody'), request('GET', '/'))
    expectProblem(await caller.readFinal(), 503, 'CONNECT_FAILED')
    expect((await caller.readFinal()).status).toBe(200)
    caller.destroy()
  })
})

describe('41: an answer that breaks off is never made whole', () => {
  const ways = ['finish', 'reset'] as const

  it.each(ways)('41: of known length, upstream %s', async (way) => {
    afterRequest(async (peer) => {
      await peer.send('HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\npartial')
      await pause(20)
      peer[way]()
    })
    const caller = await weir.connect()
    await caller.send(request('GET', '/'))
    const got = await caller.readFinal()
    expect(got).toMatchObject({ status: 200, complete: false, framing: 'length', body: Buffer.from('partial') })
    await caller.until(() => caller.over, 'the end')
    expect(caller.unread).toHaveLength(0)
  })

  it.each(ways)('41: chunked, upstream %s between chunks and inside one', async (way) => {
    for (const part of [chunk('partial'), bytes('ff\r\npartial')]) {
      afterRequest(async (peer) => {
        await peer.send('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n', part)
        await pause(20)
        peer[way]()
      })
      const caller = await weir.connect()
      await caller.send(request('GET', '/'))
      expect(await caller.readFinal()).toMatchObject({ status: 200, complete: false, framing: 'chunked', body: Buffer.from('partial') })
      const all = Buffer.concat(caller.arrivals.map(({ data }) => data)).toString('latin1')
      expect(all).not.toMatch(/\r\n0\r\n/)
      expect(all).toMatch(/partial(\r\n)?$/)
      await upstream.fresh()
    }
  })

  it('41: silence in the middle cuts it after `idle`', async () => {
    afterRequest((peer) => peer.send('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n', chunk('partial')))
    const got = await weir.exchange(request('GET', '/'))
    expect(got).toMatchObject({ complete: false, body: Buffer.from('partial') })
    await upstream.peer.untilOver(1000)
  })

  it.each(['zz\r\nmore\r\n', '4\r\nmoreX\r\n', '4\nmore\n', '-4\r\nmore\r\n'])('41: a broken chunk (%j) cuts it', async (text) => {
    afterRequest(async (peer) => {
      await peer.send('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n', chunk('partial'))
      await pause(10)
      await peer.send(text)
    })
    const got = await weir.exchange(request('GET', '/'))
    expect(got.complete).toBe(false)
    expect(got.body.toString()).toMatch(/^partial(more)?$/)
    await upstream.peer.untilOver(1000)
  })

  it('41: an HTTP/1.0 caller sees a reset, not an end', async () => {
    afterRequest(async (peer) => {
      await peer.send('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n', chunk('partial'))
      await pause(20)
      peer.reset()
    })
    const caller = await weir.connect()
    await caller.send('GET / HTTP/1.0\r\n\r\n')
    expect(await caller.readFinal()).toMatchObject({ framing: 'close', complete: false })
    expect(caller.wasReset).toBe(true)
  })

  it('41: a HEAD and an empty body cannot be cut', async () => {
    upstream.onRequest = async (_, peer) => {
      await peer.send('HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n')
      peer.reset()
    }
    expect(await weir.exchange(request('GET', '/'))).toMatchObject({ status: 200, complete: true })
  })
})

it('42: a stream of events that fails is cut, no event is invented', async () => {
  afterRequest(async (peer) => {
    await peer.send('HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n', chunk('data: 1\n\n'))
    await pause(20)
    peer.reset()
  })
  const got = await weir.exchange(request('GET', '/'))
  expect(got).toMatchObject({ complete: false, body: Buffer.from('data: 1\n\n') })
})

describe('43: a caller that leaves', () => {
  type Leave = (caller: Peer) => void
  const leaves: [string, Leave][] = [
    ['by RST', (caller) => caller.reset()],
    ['by FIN', (caller) => caller.destroy()],
  ]

  async function expectAborted(route: string, run: () => Promise<Peer>): Promise<void> {
    const before = (await weir.metrics()).sum('weir_requests_total', { route, code: '499' })
    const seen = await run()
    expect(await seen.untilOver(1000)).toBeLessThan(PROMPT_MS)
    await weir.untilMetric(before + 1, 'weir_requests_total', { route, code: '499' })
    await weir.untilMetric(0, 'weir_backend_in_flight')
    await pause(20)
    expect(upstream.peers).toHaveLength(1)
  }

  it.each(leaves)('43: while it waits, %s', async (_, leave) => {
    upstream.onRequest = () => undefined
    await expectAborted('slow', async () => {
      const caller = await weir.connect()
      await caller.send(request('POST', '/slow/', [], 'x'))
      await expect.poll(() => upstream.requests.length).toBe(1)
      leave(caller)
      return upstream.peer
    })
    expect(upstream.requests).toHaveLength(1)
  })

  it.each(leaves)('43: while it uploads, %s', async (_, leave) => {
    upstream.onConnection = () => undefined
    await expectAborted('slow', async () => {
      const caller = await weir.connect()
      await caller.send(request('POST', '/slow/', ['Content-Length: 1000']), 'some of it')
      const seen = await upstream.connection()
      await seen.until(() => seen.unread.includes('some of it'), 'the upload')
      leave(caller)
      return seen
    })
  })

  it.each(leaves)('43: while it uploads chunks, %s, the upload is not completed', async (_, leave) => {
    upstream.onConnection = () => undefined
    await expectAborted('slow', async () => {
      const caller = await weir.connect()
      await caller.send(request('POST', '/slow/', ['Transfer-Encoding: chunked']), chunk('some of it'))
      const seen = await upstream.connection()
      await seen.until(() => seen.unread.includes('some of it'), 'the upload')
      leave(caller)
      return seen
    })
    expect(upstream.peer.unread.toString()).not.toContain('\r\n0\r\n')
  })

  it.each(leaves)('43: while it is answered, %s', async (_, leave) => {
    upstream.onRequest = async (_request, peer) => {
      await peer.send('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n', chunk('one'))
    }
    await expectAborted('slow', async () => {
      const caller = await weir.connect()
      await caller.send(request('GET', '/slow/'))
      await caller.until(() => caller.unread.includes('one'), 'the first chunk')
      leave(caller)
      return upstream.peer
    })
  })

  it.each(leaves)('43: while weir connects, %s', async (_, leave) => {
    const before = (await weir.metrics()).sum('weir_requests_total', { route: 'deaf_long', code: '499' })
    const caller = await weir.connect()
    await caller.send(request('GET', '/deaf_long'))
    await weir.untilMetric(1, 'weir_backend_in_flight', { backend: 'deaf_long' })
    leave(caller)
    await weir.untilMetric(before + 1, 'weir_requests_total', { route: 'deaf_long', code: '499' })
    await weir.untilMetric(0, 'weir_backend_in_flight')
    await weir.untilMetric(0, 'weir_backend_connections', { backend: 'deaf_long' })
  })

  it('43: while it does not read', async () => {
    upstream.onRequest = (_, peer) => void peer.send('HTTP/1.1 200 OK\r\nContent-Length: 100000000\r\n\r\n', Buffer.alloc(50_000_000))
    await expectAborted('slow', async () => {
      const caller = await weir.connect()
      caller.socket.pause()
      await caller.send(request('GET', '/slow/'))
      await pause(200)
      caller.reset()
      return upstream.peer
    })
  })

  it('43: it is not the failure of the upstream', async () => {
    const { text } = await weir.metrics()
    expect(text).toMatch(/weir_attempts_total\{[^}]*backend="slow"[^}]*outcome="aborted"[^}]*\} [1-9]/)
    const slow = text.split('\n').filter((line) => line.startsWith('weir_attempts_total') && line.includes('backend="slow"') && / [1-9]/.test(line))
    expect(slow.filter((line) => !/outcome="(ok|aborted)"/.test(line))).toEqual([])
  })

  it('43: the access log says 499', async () => {
    await expect.poll(() => weir.stdout).toMatch(/"target":"\/deaf_long"/)
    const left = weir.stdout.split('\n').filter((line) => line.includes('"CALLER_LEFT"')).map((line) => JSON.parse(line) as { status: number; phase: string; ended_by: string })
    expect(left.length).toBeGreaterThan(5)
    for (const { status, phase, ended_by } of left) expect([status, ended_by]).toEqual([phase === 'response' ? 200 : 499, 'caller'])
  })

  it('43: requests it had pipelined are not begun', async () => {
    upstream.onRequest = () => undefined
    const caller = await weir.connect()
    await caller.send(request('GET', '/slow/1'), request('POST', '/slow/2', [], 'x'))
    await expect.poll(() => upstream.requests.length).toBe(1)
    caller.reset()
    await upstream.peer.untilOver(1000)
    await pause(50)
    expect(upstream.requests.map(({ target }) => target)).toEqual(['/slow/1'])
  })
})

describe('44: a half-closed connection', () => {
  it('44: after the answer is just the end', async () => {
    const caller = await weir.connect()
    await caller.send(request('GET', '/'))
    expect((await caller.readFinal()).status).toBe(200)
    caller.finish()
    expect(await caller.readAll(1000)).toHaveLength(0)
  })

  it('44: in the middle of a head or of a body is no request', async () => {
    for (const text of ['GET / HT', 'GET / HTTP/1.1\r\nHost: a\r\n', 'POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nabc']) {
      const caller = await weir.connect()
      await caller.send(text)
      caller.finish()
      await caller.readAll(1000)
      expect(upstream.requests).toHaveLength(0)
    }
  })

  it('44: while an answer is owed it counts as leaving', async () => {
    upstream.onRequest = () => undefined
    const caller = await weir.connect()
    await caller.send(request('GET', '/slow/'))
    await expect.poll(() => upstream.requests.length).toBe(1)
    caller.finish()
    expect(await upstream.peer.untilOver(1000)).toBeLessThan(PROMPT_MS)
    await caller.untilOver(1000)
  })
})

describe('45: a final answer while the caller still sends', () => {
  it.each<[string, string[], string | Buffer]>([
    ['of known length', ['Content-Length: 10000000'], 'x'.repeat(1000)],
    ['in chunks', ['Transfer-Encoding: chunked'], chunk('x'.repeat(1000))],
  ])('45: upload %s: it is forwarded at once, the upload stops, the connection ends', async (_, fields, first) => {
    upstream.onConnection = async (peer) => {
      await peer.readHead()
      await peer.send(answer(429, ['Retry-After: 1'], 'later'))
    }
    const caller = await weir.connect()
    await caller.send(request('POST', '/slow/', fields), first)
    const got = await caller.readFinal('POST', 1000)
    expect(got).toMatchObject({ status: 429, complete: true, body: Buffer.from('later') })
    expect(got.head.one('retry-after')).toBe('1')
    expect(got.head.list('connection')).toContain('close')
    await (await upstream.connection()).untilOver(1000)
    await caller.untilOver(2000)
    expect(upstream.peers).toHaveLength(1)
  })

  it('45: a caller that keeps sending gets it whole', async () => {
    upstream.onConnection = async (peer) => {
      await peer.readHead()
      await peer.send(answer(413, [], 'no'.repeat(10_000)))
    }
    const caller = await weir.connect()
    await caller.send(request('POST', '/slow/', ['Content-Length: 50000000']))
    void caller.send(Buffer.alloc(500_000))
    expect(await caller.readFinal('POST')).toMatchObject({ status: 413, complete: true })
    caller.destroy()
  })
})

describe('46: backpressure', () => {
  const SIZE = 96 << 20
  /** What the kernels may hold on the way (two hops, both directions), and weir. */
  const ON_THE_WAY = 40 << 20

  it('46: a slow caller slows the upstream down, memory stays where it was', async () => {
    let sent = 0
    upstream.onRequest = async (_, peer) => {
      await peer.send(`HTTP/1.1 200 OK\r\nContent-Length: ${SIZE}\r\n\r\n`)
      for (const part = Buffer.alloc(1 << 20, 7); sent < SIZE && (await peer.send(part)); ) sent += part.length
    }
    const before = await weir.residentMiB()
    const caller = await weir.connect()
    caller.discard = true
    caller.socket.pause()
    await caller.send(request('GET', '/slow/'))
    await stalled(() => sent)
    expect(sent).toBeLessThan(ON_THE_WAY)
    expect((await weir.residentMiB()) - before).toBeLessThan(48)
    caller.socket.resume()
    await caller.until(() => caller.count > SIZE, 'all of it', 10_000)
    expect(sent).toBe(SIZE)
    expect((await weir.residentMiB()) - before).toBeLessThan(64)
    caller.destroy()
  })

  it('46: a slow upstream slows the caller down', async () => {
    upstream.onConnection = (peer) => void peer.socket.pause()
    const before = await weir.residentMiB()
    const caller = await weir.connect()
    let sent = 0
    const uploading = (async () => {
      await caller.send(request('POST', '/slow/', [`Content-Length: ${SIZE}`]))
      for (const part = Buffer.alloc(1 << 20, 7); sent < SIZE && (await caller.send(part)); ) sent += part.length
    })()
    await stalled(() => sent)
    expect(sent).toBeLessThan(ON_THE_WAY)
    expect((await weir.residentMiB()) - before).toBeLessThan(48)
    const peer = await upstream.connection()
    peer.discard = true
    peer.socket.resume()
    await peer.until(() => peer.count > SIZE, 'all of it', 10_000)
    await uploading
    await peer.send(answer(200, [], 'got it'))
    expect((await caller.readFinal('POST')).body.toString()).toBe('got it')
    caller.destroy()
  })

  it('46: fifty slow callers of 100 MB each', async () => {
    upstream.onRequest = async (_, peer) => {
      await peer.send('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n')
      const part = chunk(Buffer.alloc(64 << 10, 7))
      for (let sent = 0; sent < 100e6 && (await peer.send(part)); ) sent += part.length
    }
    const before = await weir.residentMiB()
    const callers = await Promise.all(Array.from({ length: 50 }, () => weir.connect()))
    for (const caller of callers) {
      caller.socket.pause()
      void caller.send(request('GET', '/slow/'))
    }
    await weir.untilMetric(50, 'weir_backend_in_flight', { backend: 'slow' })
    await pause(700)
    expect((await weir.residentMiB()) - before).toBeLessThan(96)
    for (const caller of callers) caller.reset()
    await weir.untilMetric(0, 'weir_backend_in_flight')
    await weir.untilMetric(0, 'weir_backend_connections', { backend: 'slow' })
  })

  /** Waits until a count has stopped growing. */
  async function stalled(count: () => number): Promise<void> {
    for (let last = -1; last !== count() || last === 0; await pause(250)) last = count()
  }
})

describe('60: a kept connection that ends before the answer', () => {
  /** Serves one request on the first connection and ends it when the next one comes; further connections work. */
  function endSecond(end: (peer: Peer) => void, later: (peer: Peer) => unknown): void {
    upstream.onConnection = async (peer) => {
      if (upstream.peers.indexOf(peer) > 0) return later(peer)
      upstream.requests.push(await peer.readRequest())
      await peer.send(answer(200, [], 'first'))
      upstream.requests.push(await peer.readRequest())
      end(peer)
    }
  }
  const serve = async (peer: Peer): Promise<void> => {
    upstream.requests.push(await peer.readRequest())
    await peer.send(answer(200, [], 'again'))
  }

  it.each(['finish', 'reset'] as const)('60: GET, HEAD and OPTIONS are sent once more (upstream %s)', async (way) => {
    for (const method of ['GET', 'HEAD', 'OPTIONS']) {
      endSecond((peer) => peer[way](), serve)
      expect((await weir.exchange(request('GET', '/'))).body.toString()).toBe('first')
      const got = await weir.exchange(request(method, '/second'), method)
      expect(got.status).toBe(200)
      expect(got.head.one('x-weir-attempts')).toBe('2')
      expect(upstream.requests.map(({ target }) => target)).toEqual(['/', '/second', '/second'])
      await upstream.fresh()
    }
  })

  it.each<[string, string | undefined]>([['POST', 'x'], ['POST', undefined], ['PUT', 'x'], ['DELETE', undefined], ['GET', 'x'], ['FOO', undefined]])('60: %s with body %s is not', async (method, body) => {
    endSecond((peer) => peer.reset(), serve)
    await weir.exchange(request('GET', '/'))
    const got = await weir.exchange(request(method, '/second', [], body), method)
    expectProblem(got, 502, 'RESET')
    expect(got.head.one('x-weir-attempts')).toBe('1')
    expect(upstream.peers).toHaveLength(1)
  })

  it('60: not twice', async () => {
    endSecond((peer) => peer.reset(), (peer) => peer.readRequest().then(() => peer.reset()))
    await weir.exchange(request('GET', '/'))
    const got = await weir.exchange(request('GET', '/second'))
    expectProblem(got, 502, 'RESET')
    expect(got.head.one('x-weir-attempts')).toBe('2')
    expect(upstream.peers).toHaveLength(2)
  })

  it('60: not on a fresh connection, and not when the answer has begun', async () => {
    afterRequest((peer) => peer.reset())
    expectProblem(await weir.exchange(request('GET', '/')), 502, 'RESET')
    expect(upstream.peers).toHaveLength(1)
    await upstream.fresh()
    endSecond((peer) => void peer.send('HTTP/1.1 200').then(() => peer.finish()), serve)
    await weir.exchange(request('GET', '/'))
    expectProblem(await weir.exchange(request('GET', '/second')), 502)
    expect(upstream.peers).toHaveLength(1)
  })
})

it('47: every failure ends once and leaves nothing behind', async () => {
  const sum = async (name: string): Promise<number> => (await weir.metrics()).sum(name)
  const total = await sum('weir_requests_total')
  let count = 0
  const ways: ((peer: Peer) => unknown)[] = [
    (peer) => peer.reset(),
    (peer) => peer.finish(),
    (peer) => peer.send('garbage\r\n\r\n'),
    (peer) => peer.send('HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc').then(() => peer.reset()),
    (peer) => peer.send('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc').then(() => peer.finish()),
    (peer) => peer.send(answer(200, [], 'ok'), 'surplus'),
    (peer) => peer.send(Buffer.concat([bytes('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n'), chunked(['fine'])])),
  ]
  upstream.onConnection = async (peer) => {
    for (;;) {
      const asked = await peer.readRequest(60_000).catch(() => null)
      if (asked === null || !asked.complete) return
      await ways[Number(asked.target.slice(1)) % ways.length]!(peer)
    }
  }
  for (let round = 0; round < 6; round++) {
    const callers = await Promise.all(Array.from({ length: 28 }, () => weir.connect()))
    await Promise.all(
      callers.map(async (caller, i) => {
        await caller.send(request(i % 3 === 0 ? 'POST' : 'GET', `/${i}`, [], i % 3 === 0 ? 'x' : undefined))
        count++
        if (i % 4 === 0) caller.reset()
        else await caller.readFinal().catch(() => null)
        caller.destroy()
      }),
    )
  }
  await weir.untilMetric(0, 'weir_connections')
  await weir.untilMetric(0, 'weir_backend_in_flight')
  // A caller that resets in the same instant may not have become a request at all.
  const ended = (await sum('weir_requests_total')) - total
  expect(ended).toBeLessThanOrEqual(count)
  expect(ended).toBeGreaterThanOrEqual(count * 0.75)
  expect(weir.stderr + weir.stdout).not.toMatch(/unhandled|uncaught|MaxListeners|INTERNAL/i)
  expect(weir.running).toBe(true)
})
