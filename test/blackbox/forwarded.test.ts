/** Who is told what about the caller: X-Forwarded-*, Forwarded (RFC 7239), Via, request ids. */
import { tmpdir } from 'node:os'
import path from 'node:path'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { answer, type Head, type ReceivedAnswer, request } from './message.ts'
import { connect, type Target, Upstream } from './scripted.ts'
import { expectProblem, expectRefused, startWeir, type Weir } from './weir.ts'

let upstream: Upstream
/** As it comes: trusts nobody. */
let strict: Weir
/** Trusts loopback, writes both kinds, listens on IPv4, IPv6 and a unix socket. */
let trusting: Weir
let socket: string

const config = (): string => `
backends:
  up: { url: "http://127.0.0.1:${upstream.port}" }
routes:
  - { name: all, match: { path: "/**" }, backend: up }
`

beforeAll(async () => {
  upstream = await Upstream.listen()
  socket = path.join(tmpdir(), `weir-${process.pid}-forwarded.sock`)
  strict = await startWeir(config())
  trusting = await startWeir(`forwarded: { trusted: ["127.0.0.0/8", "::1/128"], write: both }\n${config()}`, { listen: (port) => `["127.0.0.1:${port}", "[::1]:${port}", "unix:${socket}"]` })
})
beforeEach(() => upstream.fresh())
afterAll(async () => {
  await strict?.stop()
  await trusting?.stop()
  await upstream?.close()
})

/** The head that the upstream receives. */
async function told(weir: Weir, lines: readonly string[] = [], to: Target = { port: weir.port }): Promise<Head> {
  const peer = await connect(to)
  await peer.send(request('GET', '/', lines))
  expect((await peer.readFinal()).status).toBe(200)
  peer.destroy()
  return upstream.request.head
}

/** Elements of a Forwarded field, pairs by lower-case name. Quotes are dropped: what needs them is looked at in the raw field. */
function forwardedOf(head: Head): Record<string, string>[] {
  return head.all('forwarded').join(',').split(',').map((element) => {
    const pairs = element.trim().split(';').map((pair) => pair.trim().split('=') as [string, string])
    return Object.fromEntries(pairs.map(([name, value]) => [name.toLowerCase(), value.replace(/^"(.*)"$/, '$1')]))
  })
}

const CLAIMS = ['X-Forwarded-For: 6.6.6.6', 'x-FORWARDED-for: 7.7.7.7', 'X-Forwarded-Proto: https', 'X-Forwarded-Host: evil.test', 'X-Forwarded-Port: 443', 'Forwarded: for=6.6.6.6;proto=https']
const ALIASES = ['X-Forwarded-Prefix: /evil', 'X-Forwarded-Scheme: https', 'X-Forwarded-Ssl: on', 'X-Real-IP: 6.6.6.6', 'X-Original-URL: /admin', 'X-Rewrite-URL: /admin']

describe('15: X-Forwarded-*', () => {
  it('15: a caller is described by its connection', async () => {
    const head = await told(strict)
    expect(head.all('x-forwarded-for')).toEqual(['127.0.0.1'])
    expect(head.all('x-forwarded-proto')).toEqual(['http'])
    expect(head.all('x-forwarded-host')).toEqual(['weir.test'])
    expect(head.all('x-forwarded-port')).toEqual([String(strict.port)])
  })

  it('15: what an untrusted caller claims is not passed on, nor are the aliases', async () => {
    const head = await told(strict, [...CLAIMS, ...ALIASES])
    expect(head.all('x-forwarded-for')).toEqual(['127.0.0.1'])
    expect(head.all('x-forwarded-proto')).toEqual(['http'])
    expect(head.all('x-forwarded-host')).toEqual(['weir.test'])
    expect(head.all('x-forwarded-port')).toEqual([String(strict.port)])
    expect(head.has('forwarded')).toBe(false)
    for (const line of ALIASES) expect(head.all(line.slice(0, line.indexOf(':')))).toEqual([])
    expect(head.raw.toString('latin1')).not.toMatch(/6\.6\.6\.6|7\.7\.7\.7|evil/)
  })

  it('15: to what a trusted caller says its own address is added', async () => {
    const head = await told(trusting, ['X-Forwarded-For: 203.0.113.7', 'X-Forwarded-For: 10.0.0.1', 'X-Forwarded-Proto: https', 'X-Forwarded-Host: api.test'])
    expect(head.list('x-forwarded-for')).toEqual(['203.0.113.7', '10.0.0.1', '127.0.0.1'])
    expect(head.list('x-forwarded-proto')[0]).toBe('https')
    expect(head.list('x-forwarded-host')[0]).toBe('api.test')
  })
})

/** The port may be told too (RFC 7239, 6). */
const LOOPBACK = /^127\.0\.0\.1(:\d+)?$/

describe('16: Forwarded', () => {
  it('16: of an IPv4 caller', async () => {
    expect(forwardedOf(await told(trusting))).toEqual([{ for: expect.stringMatching(LOOPBACK), host: 'weir.test', proto: 'http' }])
  })

  it('16: what holds a colon is quoted', async () => {
    const text = (await told(trusting, ['Host: weir.test:8080'])).one('forwarded')!
    expect(text).toContain('host="weir.test:8080"')
    expect(text).toMatch(/for=(127\.0\.0\.1|"127\.0\.0\.1:\d+")(;|$)/)
  })

  it('16: IPv6 is bracketed and quoted', async () => {
    const head = await told(trusting, [], { host: '::1', port: trusting.port })
    expect(head.one('forwarded')).toMatch(/for="\[::1\](:\d+)?"/)
    expect(head.one('x-forwarded-for')).toBe('::1')
  })

  it('16: a unix socket is unknown', async () => {
    expect(forwardedOf(await told(trusting, [], { path: socket }))[0]!['for']).toBe('unknown')
  })

  it('16: a trusted one is continued', async () => {
    const list = forwardedOf(await told(trusting, ['Forwarded: for="[2001:db8::1]:4711";proto=https']))
    expect(list).toEqual([{ for: '[2001:db8::1]:4711', proto: 'https' }, { for: expect.stringMatching(LOOPBACK), host: 'weir.test', proto: 'http' }])
  })
})

describe('17: Via, loops and Max-Forwards', () => {
  it('17: is added last, both ways', async () => {
    upstream.onRequest = () => answer(200, ['Via: 1.0 back'], 'ok')
    const got = await strict.exchange(request('GET', '/', ['Via: 1.0 fred, HTTP/1.1 p.example (Apache)']))
    expect(upstream.request.head.list('via')).toEqual(['1.0 fred', 'http/1.1 p.example (apache)', '1.1 weir'])
    expect(got.head.list('via')).toEqual(['1.0 back', '1.1 weir'])
  })

  it('17: a chain of two gateways is no loop, nor are names that only look alike', async () => {
    for (const via of ['1.1 weir', '1.1 weird, 1.1 a.weir, 1.1 weir.test:80, 1.1 weird']) {
      expect((await strict.exchange(request('GET', '/', [`Via: ${via}`]))).status).toBe(200)
    }
  })

  it.each(['1.1 weir, 1.1 weir, 1.1 weir', '1.1 weir (a), HTTP/1.1 weir, 1.0 fred, 1.0 weir'])('17: "Via: %s" is a loop', async (via) => {
    expectProblem(await strict.exchange(request('GET', '/', [`Via: ${via}`])), 508, 'LOOP')
    expect(upstream.peers).toHaveLength(0)
    const lines = via.split(', ').map((hop) => `Via: ${hop}`)
    expectProblem(await strict.exchange(request('GET', '/', lines)), 508, 'LOOP')
  })

  it('17: a request that comes back to weir ends', async () => {
    const bounced: Promise<ReceivedAnswer>[] = []
    upstream.onRequest = async ({ head }, peer) => {
      bounced.push(strict.exchange(head.raw))
      const { status, body } = await bounced.at(-1)!
      await peer.send(answer(status, ['Content-Type: application/json'], body))
    }
    const got = await strict.exchange(request('GET', '/'))
    expect(got.status).toBe(508)
    expect(bounced.length).toBeLessThan(10)
  })

  it('17: TRACE is refused', async () => {
    expectProblem(await strict.exchange(request('TRACE', '/', ['Max-Forwards: 0'])), 501, 'METHOD_NOT_SUPPORTED')
    expect(upstream.peers).toHaveLength(0)
  })

  it('17: OPTIONS counts Max-Forwards down and goes no further at 0', async () => {
    expect((await strict.exchange(request('OPTIONS', '/', ['Max-Forwards: 3']))).status).toBe(200)
    expect(upstream.request.head.one('max-forwards')).toBe('2')
    await upstream.fresh()
    const last = await strict.exchange(request('OPTIONS', '/', ['Max-Forwards: 0']))
    expect(last.status).toBeLessThan(300)
    expect(upstream.requests).toHaveLength(0)
  })
})

describe('18: ids', () => {
  const identify = async (lines: readonly string[]): Promise<{ sent: string; got: ReceivedAnswer }> => {
    const got = await strict.exchange(request('GET', '/', lines))
    const sent = upstream.request.head.one('x-request-id')!
    expect(got.head.one('x-request-id')).toBe(sent)
    await upstream.fresh()
    return { sent, got }
  }

  it.each(['abc', '!', '~'.repeat(128), 'a/b:c;d=e,f'])('18: %j is kept and echoed', async (id) => {
    expect((await identify([`X-Request-Id: ${id}`])).sent).toBe(id)
  })

  it.each([[], ['X-Request-Id:'], [`X-Request-Id: ${'a'.repeat(129)}`], ['X-Request-Id: a b'], ['X-Request-Id: \xe9'], ['X-Request-Id: a\tb']])('18: %j is replaced', async (...lines) => {
    const { sent } = await identify(lines)
    expect(sent).toMatch(/^[0-9a-f]{8}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{12}$/)
  })

  it('18: two ids become one', async () => {
    await identify(['X-Request-Id: a', 'X-Request-Id: b'])
  })

  it('18: an upstream that echoes it does not double it', async () => {
    upstream.onRequest = ({ head }) => answer(200, [`x-request-id: ${head.one('x-request-id')}`, 'X-Weir-Route: forged', 'x-weir-inference-id: forged'])
    const { head } = await strict.exchange(request('GET', '/'))
    expect(head.all('x-request-id')).toHaveLength(1)
    expect(head.all('x-weir-route')).toEqual(['all'])
    expect(head.one('x-weir-inference-id')).not.toBe('forged')
  })

  it('18: traceparent is left alone', async () => {
    const parent = '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01'
    const head = await told(strict, [`traceparent: ${parent}`, 'tracestate: a=1'])
    expect(head.one('traceparent')).toBe(parent)
    expect(head.one('tracestate')).toBe('a=1')
  })

  it('18: the answer says which way the request went', async () => {
    const { head } = await strict.exchange(request('GET', '/'))
    expect(head.one('x-weir-route')).toBe('all')
    expect(head.one('x-weir-backend')).toBe('up')
    expect(head.one('x-weir-attempts')).toBe('1')
    expect(head.one('x-weir-inference-id')).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/)
    expect(head.one('server-timing')).toMatch(/^weir;dur=[\d.]+, ?backend;dur=[\d.]+$/)
  })

  it('18: errors before routing have an id too', async () => {
    await expectRefused(strict, 'GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n', 400, 'BAD_HOST')
  })
})
