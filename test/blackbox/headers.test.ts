/** Hop-by-hop fields and header hygiene: what reaches the other side, byte for byte. RFC 9110 5 and 7.6.1. */
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { answer, bytes, chunked, type Head, type ReceivedAnswer, type ReceivedRequest, request } from './message.ts'
import { Upstream } from './scripted.ts'
import { expectProblem, expectRefused, startWeir, type Weir } from './weir.ts'

let upstream: Upstream
let weir: Weir

beforeAll(async () => {
  upstream = await Upstream.listen()
  weir = await startWeir(`
backends:
  up: { url: "http://127.0.0.1:${upstream.port}", connect: 1s, response_headers: 2s }
routes:
  - { name: all, match: { path: "/**" }, backend: up }
`)
})
beforeEach(() => upstream.fresh())
afterAll(async () => {
  await weir?.stop()
  await upstream?.close()
})

/** What the upstream receives of a request with these field lines. */
async function forwarded(lines: readonly string[], body?: string): Promise<ReceivedRequest> {
  const got = await weir.exchange(request(body === undefined ? 'GET' : 'POST', '/', lines, body))
  expect(got.status).toBe(200)
  return upstream.request
}

/** What the caller receives of an answer with these field lines. */
async function returned(lines: readonly string[], ask: readonly string[] = [], status = 200): Promise<ReceivedAnswer> {
  upstream.onRequest = () => answer(status, lines, status === 200 ? 'ok' : '')
  return weir.exchange(request('GET', '/', ask))
}

const namesOf = (head: Head): string[] => head.fields.map(([name]) => name.toLowerCase())
const only = (head: Head, names: readonly string[]): string[] => head.fields.filter(([name]) => names.includes(name)).map(([name, value]) => `${name}: ${value}`)

const HOP_BY_HOP = ['keep-alive', 'proxy-connection', 'proxy-authenticate', 'proxy-authorization', 'te', 'trailer', 'transfer-encoding', 'upgrade', 'http2-settings', 'expect']

describe('1: fields that Connection names go no further', () => {
  it('1: of a request', async () => {
    const { head } = await forwarded(['Connection: close, X-Foo', 'X-Foo: 1', 'X-Bar: 2'])
    expect(head.has('x-foo')).toBe(false)
    expect(head.one('x-bar')).toBe('2')
    expect(head.list('connection')).not.toContain('x-foo')
    expect(head.list('connection')).not.toContain('close')
  })

  it('1: whatever the case, the line and the empty members', async () => {
    const { head } = await forwarded(['X-FOO: 1', 'connection: ,  x-foo ,,', 'CONNECTION: X-Second', 'x-second: 2', 'x-foo: 3', 'X-Bar: 4'])
    expect(namesOf(head)).not.toContain('x-foo')
    expect(namesOf(head)).not.toContain('x-second')
    expect(head.one('x-bar')).toBe('4')
  })

  it('1: of an answer', async () => {
    const { head, body } = await returned(['Connection: keep-alive, X-Secret', 'X-Secret: 1', 'X-Kept: 2'])
    expect(head.has('x-secret')).toBe(false)
    expect(head.list('connection')).not.toContain('x-secret')
    expect(head.one('x-kept')).toBe('2')
    expect(body.toString()).toBe('ok')
  })

  it('1: of a 101', async () => {
    upstream.onRequest = (_, peer) => void peer.send('HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade, X-Secret\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\nX-Secret: 1\r\nX-Kept: 2\r\n\r\n')
    const got = await weir.exchange(request('GET', '/', ['Connection: Upgrade', 'Upgrade: websocket', 'Sec-WebSocket-Version: 13', 'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==']))
    expect(got.status).toBe(101)
    expect(got.head.has('x-secret')).toBe(false)
    expect(got.head.one('x-kept')).toBe('2')
  })
})

describe('2: Connection cannot take away what matters', () => {
  it('2: end-to-end fields and those weir writes stay', async () => {
    const named = ['X-Forwarded-For', 'X-Forwarded-Host', 'X-Forwarded-Proto', 'X-Forwarded-Port', 'Forwarded', 'Via', 'X-Request-Id', 'Authorization', 'Host', 'Content-Length', 'Cookie']
    const got = await forwarded([`Connection: ${named.join(', ')}`, 'Authorization: Basic eDp5', 'Cookie: a=1', 'X-Request-Id: mine'], 'hello')
    expect(got.head.one('authorization')).toBe('Basic eDp5')
    expect(got.head.one('cookie')).toBe('a=1')
    expect(got.head.one('host')).toBe('weir.test')
    expect(got.head.one('x-request-id')).toBe('mine')
    expect(got.head.one('x-forwarded-for')).toBe('127.0.0.1')
    expect(got.head.one('x-forwarded-proto')).toBe('http')
    expect(got.head.one('x-forwarded-host')).toBe('weir.test')
    expect(got.head.list('via').at(-1)).toBe('1.1 weir')
    expect(got.body.toString()).toBe('hello')
  })

  it('2: an answer that names Content-Length keeps its framing', async () => {
    const got = await returned(['Connection: Content-Length, Set-Cookie', 'Set-Cookie: a=1'])
    expect(got).toMatchObject({ complete: true, framing: 'length', body: Buffer.from('ok') })
  })
})

describe('3: hop-by-hop fields are dropped both ways', () => {
  const lines = ['Keep-Alive: timeout=5', 'Proxy-Connection: keep-alive', 'Proxy-Authenticate: Basic', 'Proxy-Authorization: Basic eDp5', 'TE: gzip', 'Trailer: X-Sum', 'Upgrade: foo/1', 'HTTP2-Settings: AAMAAABk', 'X-Kept: 1']

  it('3: of a request', async () => {
    const { head } = await forwarded(lines)
    expect(namesOf(head).filter((name) => HOP_BY_HOP.includes(name))).toEqual([])
    expect(head.one('x-kept')).toBe('1')
  })

  it('3: of an answer', async () => {
    const { head } = await returned(lines)
    expect(namesOf(head).filter((name) => HOP_BY_HOP.includes(name) && name !== 'keep-alive')).toEqual([])
    expect(head.all('keep-alive')).not.toContain('timeout=5')
    expect(head.one('x-kept')).toBe('1')
  })
})

describe('4: TE', () => {
  it('4: "trailers" is passed on by itself, and only when it was sent', async () => {
    const { head } = await forwarded(['TE: trailers, gzip', 'Connection: TE'])
    expect(head.all('te')).toEqual(['trailers'])
    expect(head.list('connection')).toContain('te')
    await upstream.fresh()
    expect((await forwarded(['TE: gzip;q=0.5', 'Connection: TE'])).head.has('te')).toBe(false)
    await upstream.fresh()
    expect((await forwarded([])).head.has('te')).toBe(false)
  })

  it('4: Trailer is announced only when trailers will come', async () => {
    upstream.onRequest = () => Buffer.concat([bytes('HTTP/1.1 200 OK\r\nTrailer: X-Sum\r\nTransfer-Encoding: chunked\r\n\r\n'), chunked(['abc'], ['X-Sum: 7'])])
    const without = await weir.exchange(request('GET', '/'))
    expect(without).toMatchObject({ complete: true, trailers: [], body: Buffer.from('abc') })
    expect(without.head.has('trailer')).toBe(false)
    const asked = await weir.exchange(request('GET', '/', ['TE: trailers', 'Connection: TE']))
    expect(asked).toMatchObject({ complete: true, trailers: [['X-Sum', '7']], body: Buffer.from('abc') })
  })
})

describe('5: duplicates keep count and order', () => {
  it('5: of a request', async () => {
    const lines = ['Cookie: a=1', 'X-A: 1', 'X-B: 1', 'X-A: 2', 'Cookie: b=2', 'X-A: 1, 2,,3']
    expect(only((await forwarded(lines)).head, ['Cookie', 'X-A', 'X-B'])).toEqual(lines)
  })

  it('5: of an answer', async () => {
    const lines = ['Set-Cookie: a=1; Path=/', 'Set-Cookie: b=2, c', 'X-A: 1', 'Set-Cookie: a=1; Path=/', 'X-A: 2', 'WWW-Authenticate: Basic', 'WWW-Authenticate: Bearer']
    expect(only((await returned(lines)).head, ['Set-Cookie', 'X-A', 'WWW-Authenticate'])).toEqual(lines)
  })
})

it('6: case of names and relative order are kept both ways', async () => {
  const lines = ['zZ-Last: 1', 'ACCEPT: */*', 'x-lower: 2', 'X-MiXeD: 3', 'User-agent: u', 'a: 4']
  const names = lines.map((line) => line.slice(0, line.indexOf(':')))
  expect(only((await forwarded(lines)).head, names)).toEqual(lines)
  await upstream.fresh()
  expect(only((await returned(lines)).head, names)).toEqual(lines)
})

describe('7: values are bytes', () => {
  const high = Buffer.from(Array.from({ length: 128 }, (_, i) => 128 + i)).toString('latin1')
  const lines = [`X-Latin: \xe9t\xe9`, `X-Utf8: ${Buffer.from('日本').toString('latin1')}`, `X-High: ${high}`, 'X-Tab: a\tb', 'X-Inner:   a  b  ', 'X-Empty:', "X-Marks: !\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~"]
  const names = lines.map((line) => line.slice(0, line.indexOf(':')))
  const trimmed = lines.map((line) => line.replace(/: *(.*?) *$/, ': $1'))

  it('7: of a request', async () => {
    expect(only((await forwarded(lines)).head, names)).toEqual(trimmed)
  })

  it('7: of an answer', async () => {
    expect(only((await returned(lines)).head, names)).toEqual(trimmed)
  })

  it.each([0x00, 0x01, 0x08, 0x0b, 0x0c, 0x1f, 0x7f])('7: control byte %i in an answer is a 502, and weir lives on', async (code) => {
    expectProblem(await returned([`X-Bad: a${String.fromCharCode(code)}b`]), 502, 'BAD_ANSWER')
    await upstream.fresh()
    expect((await weir.exchange(request('GET', '/'))).status).toBe(200)
  })
})

it('8: names of Object.prototype are names like others', async () => {
  const lines = ['__proto__: 1', 'constructor: 2', 'toString: 3', 'hasOwnProperty: 4', 'prototype: 5', '__proto__: 6']
  const names = lines.map((line) => line.slice(0, line.indexOf(':')))
  upstream.onRequest = () => answer(200, lines)
  const got = await weir.exchange(request('GET', '/?__proto__=1&constructor=2', lines))
  expect(got.status).toBe(200)
  expect(upstream.request.target).toBe('/?__proto__=1&constructor=2')
  expect(only(upstream.request.head, names)).toEqual(lines)
  expect(only(got.head, names)).toEqual(lines)
})

describe('9: methods', () => {
  it.each(['GET', 'get', 'FOO', 'PURGE', 'QUERY', 'M-SEARCH', 'PATCH', 'DELETE', "!#$%&'*+-.^_`|~09Az"])('9: %s is forwarded as it is', async (method) => {
    expect((await weir.exchange(request(method, '/'))).status).toBe(200)
    expect(upstream.request.method).toBe(method)
  })

  it.each(['G(T', 'G"T', 'GE\tT', 'G\x7fT', 'G\xe9T', 'GET/', 'GE:T', ' GET', ''])('9: %j is not a method', async (method) => {
    await expectRefused(weir, `${method} / HTTP/1.1\r\nHost: weir.test\r\n\r\n`, 400)
    expect(upstream.peers).toHaveLength(0)
  })
})

it.each(['HTTP/1.1 200 Fine indeed', 'HTTP/1.1 200 ', 'HTTP/1.1 200', 'HTTP/1.1 200 \xe9\xff', 'HTTP/1.1 200 a\tb', 'HTTP/1.1 200 a\x01b', 'HTTP/1.1 200 a\x00b', 'HTTP/1.1 200 a\x7fb'])('10: status line %j of the upstream never breaks weir', async (line) => {
  upstream.onRequest = () => `${line}\r\nContent-Length: 2\r\n\r\nok`
  const got = await weir.exchange(request('GET', '/'))
  if (/[\x00-\x08\x7f]/.test(line)) expectProblem(got, 502, 'BAD_ANSWER')
  else if (line !== 'HTTP/1.1 200' || got.status !== 502) expect(got).toMatchObject({ status: 200, body: Buffer.from('ok') })
  await upstream.fresh()
  expect((await weir.exchange(request('GET', '/'))).status).toBe(200)
})

describe('11: Date and Server', () => {
  it('11: Date of the upstream is kept, once', async () => {
    const { head } = await returned(['Date: Tue, 15 Nov 1994 08:12:31 GMT', 'Server: upstream/9'])
    expect(head.one('date')).toBe('Tue, 15 Nov 1994 08:12:31 GMT')
    expect(head.one('server')).toBe('upstream/9')
  })

  it('11: a Date is added where there is none, and no version of weir', async () => {
    for (const got of [await returned([]), await weir.exchange('GET / HTTP/1.1\r\n\r\n')]) {
      expect(Math.abs(Date.parse(got.head.one('date')!) - Date.now())).toBeLessThan(5000)
      expect(got.head.one('date')).toMatch(/^[A-Z][a-z]{2}, \d\d [A-Z][a-z]{2} \d{4} \d\d:\d\d:\d\d GMT$/)
      expect(got.head.one('server') ?? '').not.toMatch(/\d/)
    }
  })
})

describe('12: Content-Length goes on in canonical form or not at all', () => {
  it.each(['005', '00000000000000000005'])('12: %s of a caller', async (length) => {
    const got = await weir.exchange(`POST / HTTP/1.1\r\nHost: weir.test\r\nContent-Length: ${length}\r\n\r\nhello`, 'POST')
    if (got.status === 400) return expectProblem(got, 400, 'BAD_FRAMING')
    expect(upstream.request.head.all('content-length')).toEqual(['5'])
    expect(upstream.request.body.toString()).toBe('hello')
  })

  it('12: 002 of an upstream', async () => {
    upstream.onRequest = () => 'HTTP/1.1 200 OK\r\nContent-Length: 002\r\n\r\nok'
    const got = await weir.exchange(request('GET', '/'))
    if (got.status === 502) return expectProblem(got, 502, 'BAD_ANSWER')
    expect(got.head.all('content-length')).toEqual(['2'])
    expect(got.body.toString()).toBe('ok')
  })

  it('12: never both Content-Length and Transfer-Encoding', async () => {
    await forwarded([], 'hello')
    expect(upstream.request.head.has('transfer-encoding')).toBe(false)
    await upstream.fresh()
    await weir.exchange(Buffer.concat([request('POST', '/', ['Transfer-Encoding: chunked']), chunked(['hel', 'lo'])]), 'POST')
    expect(upstream.request.head.all('transfer-encoding')).toEqual(['chunked'])
    expect(upstream.request.head.has('content-length')).toBe(false)
    expect(upstream.request.body.toString()).toBe('hello')
  })
})

describe('13: limits of heads', () => {
  const many = (count: number): string[] => Array.from({ length: count }, (_, i) => `X-${i}: 1`)

  it('13: 100 fields pass, 101 are 431', async () => {
    expect((await weir.exchange(request('GET', '/', many(99)))).status).toBe(200)
    await expectRefused(weir, request('GET', '/', many(100)), 431, 'HEAD_TOO_LARGE')
  })

  it('13: 15 KiB of fields pass, more than 16 KiB are 431 before the head ends', async () => {
    expect((await weir.exchange(request('GET', '/', [`X-Long: ${'a'.repeat(15 << 10)}`]))).status).toBe(200)
    expect(upstream.request.head.one('x-long')).toHaveLength(15 << 10)
    await expectRefused(weir, `GET / HTTP/1.1\r\nHost: a\r\nX-Long: ${'a'.repeat(16 << 10)}`, 431, 'HEAD_TOO_LARGE')
    await expectRefused(weir, `GET / HTTP/1.1\r\nHost: a\r\n${'a'.repeat(17 << 10)}`, 431, 'HEAD_TOO_LARGE')
  })

  it('13: a target over 8 KiB is 414', async () => {
    expect((await weir.exchange(request('GET', `/${'a'.repeat(8191)}`))).status).toBe(200)
    await expectRefused(weir, request('GET', `/${'a'.repeat(8192)}`), 414, 'TARGET_TOO_LONG')
    await expectRefused(weir, `GET /${'a'.repeat(17 << 10)}`, 414, 'TARGET_TOO_LONG')
  })

  it('13: an endless method is refused', async () => {
    await expectRefused(weir, 'A'.repeat(17 << 10), 400)
  })

  it('13: a head of an upstream that has no end is a 502', async () => {
    upstream.onRequest = () => `HTTP/1.1 200 OK\r\nX-Long: ${'a'.repeat(1 << 20)}`
    expectProblem(await weir.exchange(request('GET', '/')), 502, 'BAD_ANSWER')
    await upstream.fresh()
    upstream.onRequest = () => answer(200, many(20_000))
    expectProblem(await weir.exchange(request('GET', '/')), 502, 'BAD_ANSWER')
  })
})

describe('14: underscores', () => {
  it('14: pass in names that mean nothing', async () => {
    expect(only((await forwarded(['x_custom: 1', 'X_USER_ID: 2'])).head, ['x_custom', 'X_USER_ID'])).toEqual(['x_custom: 1', 'X_USER_ID: 2'])
  })

  it.each(['content_length: 5', 'Content_Length: 0', 'Transfer_Encoding: chunked', 'transfer_encoding: identity', 'x_forwarded_for: 1.2.3.4', 'X_Forwarded-Proto: https', 'X-Forwarded_Host: evil', 'x_real_ip: 1.2.3.4'])('14: %s is refused', async (line) => {
    await expectRefused(weir, request('GET', '/', [line]), 400)
    expect(upstream.peers).toHaveLength(0)
  })
})
