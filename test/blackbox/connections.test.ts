/** Connections of both sides: reuse and its races, keep-alive, names, IPv6, unix sockets. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { pathToFileURL } from 'node:url'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { type DeafServer, startDeafServer } from './deaf.ts'
import { answer, request } from './message.ts'
import { connect, pause, type Peer, Upstream } from './scripted.ts'
import { expectProblem, freePort, startWeir, type Weir } from './weir.ts'

let folder: string
let upstream: Upstream
/** On IPv6 loopback, same port number as `upstream`. */
let six: Upstream
/** On a unix socket. */
let local: Upstream
/** On IPv4 alone. */
let four: Upstream
let deaf: DeafServer
/** A port of the gateway on every interface. */
let everywhere: number
let weir: Weir

/** What `changing.test` resolves to in the gateway: the content of this file, read at each look-up; empty = no such name. */
const addressFile = (): string => path.join(folder, 'address')

/** Runs in the gateway before it: a resolver that a test can change. */
const RESOLVER = (file: string): string => `
import dns from 'node:dns'
import { readFileSync } from 'node:fs'
import { syncBuiltinESMExports } from 'node:module'
const real = dns.lookup
const missing = () => Object.assign(new Error('getaddrinfo ENOTFOUND changing.test'), { code: 'ENOTFOUND', syscall: 'getaddrinfo' })
const find = () => readFileSync(${JSON.stringify(file)}, 'utf8').split(' ').filter(Boolean).map((address) => ({ address, family: address.includes(':') ? 6 : 4 }))
dns.lookup = (name, options, done) => {
  if (typeof options === 'function') [options, done] = [{}, options]
  if (name !== 'changing.test') return real(name, options, done)
  const found = find()
  setImmediate(() => (found.length === 0 ? done(missing()) : options?.all ? done(null, found) : done(null, found[0].address, found[0].family)))
}
dns.promises.lookup = (name, options) => new Promise((yes, no) => dns.lookup(name, options ?? {}, (error, address, family) => (error ? no(error) : yes(options?.all ? address : { address, family }))))
syncBuiltinESMExports()
`

beforeAll(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'weir-connections-'))
  await writeFile(addressFile(), '127.0.0.1')
  await writeFile(path.join(folder, 'resolver.mjs'), RESOLVER(addressFile()))
  const port = await freePort()
  upstream = await Upstream.listen({ port })
  six = await Upstream.listen({ host: '::1', port })
  four = await Upstream.listen()
  local = await Upstream.listen({ path: path.join(folder, 'up.sock') })
  deaf = await startDeafServer()
  everywhere = await freePort()
  weir = await startWeir(
    `
timeouts: { request_headers: 400ms, idle: 1s }
backends:
  up: { url: "http://127.0.0.1:${port}", connect: 500ms, response_headers: 500ms, keep_alive: 700ms }
  six: { url: "http://[::1]:${port}/six" }
  local: { url: "unix:${folder}/up.sock" }
  no_socket: { url: "unix:${folder}/none.sock" }
  deaf: { url: "http://127.0.0.1:${deaf.port}", connect: 200ms }
  nowhere: { url: "http://no-such-host.invalid:${port}", connect: 2s }
  changing: { url: "http://changing.test:${port}", connect: 500ms, keep_alive: 200ms }
  busy: { url: "http://127.0.0.1:${port}", lifetime: 300ms }
  either: { url: "http://changing.test:${four.port}", connect: 500ms, keep_alive: 200ms }
routes:
  - { name: six, match: { host: six.test, path: "/**" }, backend: six }
  - { name: local, match: { host: local.test, path: "/**" }, backend: local }
  - { name: no_socket, match: { host: nosocket.test, path: "/**" }, backend: no_socket }
  - { name: deaf, match: { host: deaf.test, path: "/**" }, backend: deaf }
  - { name: nowhere, match: { host: nowhere.test, path: "/**" }, backend: nowhere }
  - { name: busy, match: { host: busy.test, path: "/**" }, backend: busy }
  - { name: either, match: { host: either.test, path: "/**" }, backend: either }
  - { name: changing, match: { host: changing.test, path: "/**" }, backend: changing }
  - { name: all, match: { path: "/**" }, backend: up }
`,
    {
      listen: (at) => `["127.0.0.1:${at}", "[::1]:${at}", ":${everywhere}", "unix:${folder}/in.sock"]`,
      env: { NODE_OPTIONS: `--import=${pathToFileURL(path.join(folder, 'resolver.mjs')).href}` },
    },
  )
})
beforeEach(() => Promise.all([upstream.fresh(), six.fresh(), local.fresh(), four.fresh()]))
afterAll(async () => {
  await weir?.stop()
  deaf?.stop()
  await Promise.all([upstream, six, local, four].map((one) => one?.close()))
  await rm(folder, { recursive: true, force: true })
})

const ask = (host: string, target = '/'): Buffer => request('GET', target, [`Host: ${host}`])

describe('60: reuse', () => {
  it('60: one connection serves many requests', async () => {
    for (let i = 0; i < 10; i++) expect((await weir.exchange(request('POST', `/${i}`, [], 'x'), 'POST')).status).toBe(200)
    expect(upstream.peers).toHaveLength(1)
  })

  it('60: an upstream that ends idle connections at the worst moment is never seen by a GET', async () => {
    let turn = 0
    upstream.onRequest = (_, peer) => {
      const delay = turn++ % 8
      void peer.send(answer(200, [], 'ok')).then(() => (delay === 0 ? peer.finish() : delay === 1 ? peer.reset() : setTimeout(() => peer.finish(), delay / 4)))
    }
    const callers = await Promise.all(Array.from({ length: 4 }, () => weir.connect()))
    const statuses = await Promise.all(
      callers.map(async (caller) => {
        const seen: number[] = []
        for (let i = 0; i < 250; i++) {
          await caller.send(request('GET', `/${i}`))
          seen.push((await caller.readFinal()).status)
        }
        caller.destroy()
        return seen
      }),
    )
    expect(statuses.flat().filter((status) => status !== 200)).toEqual([])
  })

  it('60: a POST is never executed twice', async () => {
    upstream.onRequest = (_, peer) => {
      void peer.send(answer(200, [], 'ok')).then(() => setTimeout(() => (Math.random() < 0.5 ? peer.reset() : peer.finish()), Math.random()))
    }
    const caller = await weir.connect()
    let failed = 0
    for (let i = 0; i < 300; i++) {
      await caller.send(request('POST', `/${i}`, [], 'x'))
      const got = await caller.readFinal('POST')
      if (got.status !== 200) {
        expectProblem(got, 502, 'RESET')
        failed++
      }
    }
    caller.destroy()
    const targets = upstream.requests.map(({ target }) => target)
    expect(new Set(targets).size).toBe(targets.length)
    expect(failed).toBeLessThan(150)
  })

  it('60: an unused connection is given up after `keep_alive`', async () => {
    await weir.exchange(request('GET', '/'))
    const idle = upstream.peer
    expect(await idle.untilOver(2500)).toBeGreaterThan(300)
    expect((await weir.exchange(request('GET', '/'))).status).toBe(200)
    expect(upstream.peers).toHaveLength(2)
  })

  it('60: a shorter time that the upstream announces holds', async () => {
    upstream.onRequest = () => answer(200, ['Keep-Alive: timeout=1'], 'ok')
    await weir.exchange(request('GET', '/'))
    await pause(600)
    upstream.onRequest = () => answer(200, ['Keep-Alive: timeout=0'], 'ok')
    await weir.exchange(request('GET', '/'))
    await weir.exchange(request('POST', '/', [], 'x'), 'POST')
    expect(upstream.requests).toHaveLength(3)
    expect(upstream.peers.length).toBeGreaterThanOrEqual(2)
  })
})

describe('61: connections of callers', () => {
  it('61: an idle one is kept for `idle`, then ended', async () => {
    const caller = await weir.connect()
    await caller.send(request('GET', '/'))
    await caller.readFinal()
    await pause(600)
    await caller.send(request('GET', '/'))
    expect((await caller.readFinal()).status).toBe(200)
    expect(await caller.untilOver(2500)).toBeGreaterThan(700)
    expect(caller.unread).toHaveLength(0)
  })

  it('61: `connection: close` is answered in kind', async () => {
    const caller = await weir.connect()
    await caller.send(request('GET', '/', ['Connection: close']))
    const got = await caller.readFinal()
    expect(got.head.list('connection')).toContain('close')
    expect(await caller.readAll(500)).toHaveLength(0)
  })

  it('61: HTTP/1.0 ends with the answer unless it asks not to', async () => {
    const caller = await weir.connect()
    await caller.send('GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n')
    const kept = await caller.readFinal()
    expect(kept.status).toBe(200)
    if (kept.head.list('connection').includes('keep-alive')) {
      await caller.send('GET / HTTP/1.0\r\n\r\n')
      expect((await caller.readFinal()).status).toBe(200)
    }
    expect(await caller.readAll(500)).toHaveLength(0)
    const plain = await weir.connect()
    await plain.send('GET / HTTP/1.0\r\n\r\n')
    expect((await plain.readFinal()).status).toBe(200)
    expect(await plain.readAll(500)).toHaveLength(0)
  })

  it('61: Keep-Alive announces a time that is kept', async () => {
    const caller = await weir.connect()
    await caller.send(request('GET', '/'))
    const { head } = await caller.readFinal()
    expect(head.one('keep-alive')).toMatch(/^timeout=[01]$/)
    caller.destroy()
  })

  it('61: a head that does not arrive is 408, a connection without a byte just ends', async () => {
    const slow = await weir.connect()
    for (const part of ['GET / HTTP/1.1\r\n', 'Host: a\r\n', 'X-A: 1\r\n']) {
      await slow.send(part)
      await pause(150)
    }
    expectProblem(await slow.readFinal(), 408, 'REQUEST_TIMEOUT')
    await slow.untilOver(1000)
    const silent = await weir.connect()
    await silent.untilOver(2500)
    expect(silent.count).toBe(0)
  })

  it('61: a body that stops arriving is given up', async () => {
    const caller = await weir.connect()
    await caller.send(request('POST', '/', ['Content-Length: 10']), 'abc')
    expectProblem(await caller.readFinal('POST'), 408, 'REQUEST_TIMEOUT')
    await caller.untilOver(1000)
    await (await upstream.connection()).untilOver(1000)
    expect(upstream.requests).toHaveLength(0)
  })
})

describe('62: upstreams that close', () => {
  it.each([
    ['close', answer(200, ['Connection: close'], 'ok')],
    ['Close among others', answer(200, ['Connection: x, Close'], 'ok')],
    ['HTTP/1.0', 'HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok'],
  ])('62: after %s the connection is not used again', async (_, text) => {
    upstream.onRequest = () => text
    for (let i = 0; i < 2; i++) expect(await weir.exchange(request('POST', '/', [], 'x'), 'POST')).toMatchObject({ status: 200, body: Buffer.from('ok') })
    expect(upstream.peers).toHaveLength(2)
    for (const peer of upstream.peers) await peer.untilOver(1000)
  })

  it('62: an answer of HTTP/1.0 goes on as HTTP/1.1', async () => {
    upstream.onRequest = (_, peer) => {
      void peer.send('HTTP/1.0 200 OK\r\n\r\nold').then(() => peer.finish())
    }
    expect(await weir.exchange(request('GET', '/'))).toMatchObject({ version: 'HTTP/1.1', status: 200, complete: true, body: Buffer.from('old') })
  })
})

describe('63: peers that say nothing', () => {
  it('63: no accept: 504 after `connect`', async () => {
    const from = performance.now()
    expectProblem(await weir.exchange(ask('deaf.test')), 504, 'CONNECT_TIMEOUT')
    expect(performance.now() - from).toBeGreaterThan(150)
    await weir.untilMetric(0, 'weir_backend_connections', { backend: 'deaf' })
  })

  it('63: no answer: 504, and counted while it lasts', async () => {
    upstream.onRequest = () => undefined
    const caller = await weir.connect()
    await caller.send(request('GET', '/'))
    await weir.untilMetric(1, 'weir_backend_in_flight', { backend: 'up' })
    expectProblem(await caller.readFinal(), 504, 'HEADERS_TIMEOUT')
    await weir.untilMetric(0, 'weir_backend_in_flight')
    caller.destroy()
  })
})

describe('64: names', () => {
  it('64: one that does not exist is 503', async () => {
    expectProblem(await weir.exchange(ask('nowhere.test'), 'GET', 5000), 503, 'DNS_FAILED')
  })

  it('64: a change is followed without restart, and comes back after it was gone', async () => {
    const at = async (address: string): Promise<void> => {
      await writeFile(addressFile(), address)
      await Promise.all([upstream.fresh(), six.fresh()])
    }
    await at('127.0.0.1')
    expect((await weir.exchange(ask('changing.test'))).status).toBe(200)
    expect(upstream.requests).toHaveLength(1)
    await at('::1')
    await expect.poll(async () => ((await weir.exchange(ask('changing.test'))).status === 200 ? six.requests.length : 0), { timeout: 3000 }).toBeGreaterThan(0)
    await at('')
    expect([200, 503]).toContain((await weir.exchange(ask('changing.test'))).status)
    await at('127.0.0.1')
    await expect.poll(async () => ((await weir.exchange(ask('changing.test'))).status === 200 ? upstream.requests.length : 0), { timeout: 3000 }).toBeGreaterThan(0)
  })

  it('64: a connection in use all the time ends with its `lifetime`, and no request with it', async () => {
    const until = performance.now() + 700
    let answered = 0
    while (performance.now() < until) {
      expect((await weir.exchange(ask('busy.test'))).status).toBe(200)
      answered++
    }
    expect(upstream.peers.length).toBeGreaterThanOrEqual(3)
    expect(upstream.peers.length).toBeLessThan(answered)
  })

  it.each(['::1 127.0.0.1', '127.0.0.1 ::1'])('64: of several addresses (%s) one that works is found', async (addresses) => {
    await writeFile(addressFile(), addresses)
    expect((await weir.exchange(ask('either.test'))).status).toBe(200)
    expect(four.requests).toHaveLength(1)
  })
})

describe('65: IPv6', () => {
  const over6 = (): Promise<Peer> => connect({ host: '::1', port: weir.port })

  it('65: a caller and a Host', async () => {
    const caller = await over6()
    await caller.send(ask(`[::1]:${weir.port}`))
    expect((await caller.readFinal()).status).toBe(200)
    expect(upstream.request.head.one('host')).toBe(`[::1]:${weir.port}`)
    expect(upstream.request.head.one('x-forwarded-for')).toBe('::1')
    expect(upstream.request.head.one('x-forwarded-host')).toBe(`[::1]:${weir.port}`)
    caller.destroy()
  })

  it('65: a backend', async () => {
    expect((await weir.exchange(ask('six.test', '/a'))).status).toBe(200)
    expect(six.request.target).toBe('/six/a')
  })

  it('65: every interface: IPv4 callers are shown as such', async () => {
    for (const host of ['127.0.0.1', '::1']) {
      const caller = await connect({ host, port: everywhere })
      await caller.send(ask('a.test'))
      expect((await caller.readFinal()).status).toBe(200)
      expect(upstream.requests.at(-1)!.head.one('x-forwarded-for')).toBe(host)
      caller.destroy()
    }
  })

  it('65: an absolute target', async () => {
    const caller = await over6()
    await caller.send(`GET http://[::1]:${weir.port}/x HTTP/1.1\r\nHost: [::1]:${weir.port}\r\n\r\n`)
    expect((await caller.readFinal()).status).toBe(200)
    expect(upstream.request.target).toBe('/x')
    caller.destroy()
  })
})

describe('67: unix sockets', () => {
  it('67: of callers', async () => {
    const caller = await connect({ path: path.join(folder, 'in.sock') })
    await caller.send(request('POST', '/a', [], 'hello'), request('GET', '/b'))
    for (const method of ['POST', 'GET']) expect((await caller.readFinal(method)).status).toBe(200)
    expect(upstream.requests.map(({ target }) => target)).toEqual(['/a', '/b'])
    expect(upstream.requests[0]!.head.all('x-forwarded-for').join()).not.toMatch(/undefined|null/)
    caller.destroy()
  })

  it('67: of backends', async () => {
    const caller = await connect({ path: path.join(folder, 'in.sock') })
    await caller.send(ask('local.test', '/c'))
    expect((await caller.readFinal()).status).toBe(200)
    expect(local.request.target).toBe('/c')
    expect(local.request.head.one('host')).toBe('local.test')
    caller.destroy()
  })

  it('67: one that is not there is 503, without its path', async () => {
    const got = await weir.exchange(ask('nosocket.test'))
    expectProblem(got, 503, 'CONNECT_FAILED')
    expect(got.body.toString()).not.toContain(folder)
  })

  it('67: a caller that leaves is noticed', async () => {
    local.onRequest = () => undefined
    const caller = await connect({ path: path.join(folder, 'in.sock') })
    await caller.send(ask('local.test'))
    await expect.poll(() => local.requests.length).toBe(1)
    caller.destroy()
    expect(await local.peer.untilOver(1000)).toBeLessThan(100)
  })
})
