/** The request target and Host: one meaning for router and upstream, byte-exact paths, nothing that escapes. RFC 9112 3.2. */
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { request } from './message.ts'
import { Upstream } from './scripted.ts'
import { expectProblem, expectRefused, startWeir, type Weir } from './weir.ts'

let upstream: Upstream
let weir: Weir

beforeAll(async () => {
  upstream = await Upstream.listen()
  weir = await startWeir(`
access_log: stdout
backends:
  up: { url: "http://127.0.0.1:${upstream.port}" }
  below: { url: "http://127.0.0.1:${upstream.port}/base" }
  own: { url: "http://127.0.0.1:${upstream.port}", host: backend }
  named: { url: "http://127.0.0.1:${upstream.port}", host: { name: "models.internal" } }
routes:
  - { name: special, match: { host: special.test, path: "/**" }, backend: up }
  - { name: below, match: { host: below.test, path: "/**" }, backend: below }
  - { name: own, match: { host: own.test, path: "/**" }, backend: own }
  - { name: named, match: { host: named.test, path: "/**" }, backend: named }
  - { name: exact, match: { path: /admin/secret }, backend: up }
  - { name: all, match: { path: "/**" }, backend: up }
`)
})
beforeEach(() => upstream.fresh())
afterAll(async () => {
  await weir?.stop()
  await upstream?.close()
})

const raw = (line: string, ...fields: string[]): string => [line, ...fields, '', ''].join('\r\n')

async function expectNothingForwarded(data: string, status: number, code?: string): Promise<void> {
  await expectRefused(weir, data, status, code)
  expect(upstream.peers).toHaveLength(0)
}

describe('19: absolute-form', () => {
  it.each([
    ['http://a.test/b?c', '/b?c'],
    ['http://a.test', '/'],
    ['http://a.test?q', '/?q'],
    ['HTTP://a.test/%2F//x', '/%2F//x'],
  ])('19: %s is forwarded as %s', async (target, path) => {
    expect((await weir.exchange(raw(`GET ${target} HTTP/1.1`, 'Host: a.test'))).status).toBe(200)
    expect(upstream.request.target).toBe(path)
    expect(upstream.request.head.all('host')).toEqual(['a.test'])
  })

  it('19: Host comes from the target where it was left out (HTTP/1.0)', async () => {
    expect((await weir.exchange(raw('GET http://a.test:81/ HTTP/1.0'))).status).toBe(200)
    expect(upstream.request.head.one('host')).toBe('a.test:81')
  })

  it('19: routing and forwarding see the same host', async () => {
    const got = await weir.exchange(raw('GET http://special.test/x HTTP/1.1', 'Host: special.test'))
    expect(got.head.one('x-weir-route')).toBe('special')
    expect(upstream.request.head.one('host')).toBe('special.test')
  })

  it('19: two different hosts are refused', async () => {
    await expectNothingForwarded(raw('GET http://special.test/ HTTP/1.1', 'Host: a.test'), 400, 'BAD_HOST')
    await expectNothingForwarded(raw('GET http://a.test/ HTTP/1.1', 'Host: a.test:81'), 400, 'BAD_HOST')
  })

  it.each(['http://u:p@a.test/', 'http://u@a.test/', 'http:///x', 'http://', 'http:/a.test/', 'http:a.test', 'ftp://a.test/', 'http://a.test:x/', 'http://a b/'])('19: %s is refused', async (target) => {
    await expectNothingForwarded(raw(`GET ${target} HTTP/1.1`, 'Host: a.test'), 400)
  })
})

describe('20: exactly one valid Host', () => {
  it.each(['a.test', 'A.Test', 'a.test:8080', '127.0.0.1', '[::1]:80', '[::1]', 'a_b.test', 'xn--bcher-kva.example'])('20: %s is kept as it is', async (host) => {
    expect((await weir.exchange(raw('GET / HTTP/1.1', `Host: ${host}`))).status).toBe(200)
    expect(upstream.request.head.all('host')).toEqual([host])
  })

  it.each([
    ['none', []],
    ['two', ['Host: a.test', 'Host: b.test']],
    ['two equal', ['Host: a.test', 'host: a.test']],
    ['an empty one', ['Host:']],
    ['a blank one', ['Host:   ']],
    ['a list', ['Host: a.test, b.test']],
    ['userinfo', ['Host: u@a.test']],
    ['userinfo and password', ['Host: u:p@a.test']],
    ['a path', ['Host: a.test/x']],
    ['a query', ['Host: a.test?x']],
    ['a fragment', ['Host: a.test#x']],
    ['a space', ['Host: a test']],
    ['a tab', ['Host: a\ttest']],
    ['a backslash', ['Host: a\\test']],
    ['a url', ['Host: http://a.test']],
    ['a word as port', ['Host: a.test:x']],
    ['a port too large', ['Host: a.test:65536']],
    ['two ports', ['Host: a.test:80:81']],
    ['an open bracket', ['Host: [::1']],
    ['something behind the bracket', ['Host: [::1]x']],
    ['raw non-ASCII', ['Host: b\xfccher.test']],
    ['a quote', ['Host: "a.test"']],
    ['only a port', ['Host: :80']],
  ])('20: %s is refused', async (_, fields) => {
    await expectNothingForwarded(raw('GET / HTTP/1.1', ...fields), 400, 'BAD_HOST')
  })

  it('20: two hosts are refused in HTTP/1.0 too', async () => {
    await expectNothingForwarded(raw('GET / HTTP/1.0', 'Host: a.test', 'Host: b.test'), 400, 'BAD_HOST')
  })

  it('20: HTTP/1.0 may leave it out', async () => {
    const got = await weir.exchange(raw('GET / HTTP/1.0'))
    expect(got.status).toBe(200)
    expect(got.head.one('x-weir-route')).toBe('all')
    expect(upstream.request.head.all('host')).toHaveLength(1)
  })

  it('20: the host is matched without port and case', async () => {
    expect((await weir.exchange(raw('GET / HTTP/1.1', 'Host: SPECIAL.test:80'))).head.one('x-weir-route')).toBe('special')
  })

  it('20: `host: backend` and a fixed name replace it', async () => {
    await weir.exchange(raw('GET / HTTP/1.1', 'Host: own.test'))
    expect(upstream.request.head.all('host')).toEqual([`127.0.0.1:${upstream.port}`])
    expect(upstream.request.head.one('x-forwarded-host')).toBe('own.test')
    await upstream.fresh()
    await weir.exchange(raw('GET / HTTP/1.1', 'Host: named.test'))
    expect(upstream.request.head.all('host')).toEqual(['models.internal'])
  })
})

describe('21: forms of the target', () => {
  it('21: OPTIONS * is forwarded', async () => {
    expect((await weir.exchange(request('OPTIONS', '*'))).status).toBe(200)
    expect(upstream.request.head.line).toBe('OPTIONS * HTTP/1.1')
  })

  it.each(['GET *', 'OPTIONS */x', 'OPTIONS **', 'GET admin', 'GET a.test:80', 'OPTIONS a.test:80', 'GET ?x', 'GET .', 'GET @a.test', 'GET :80'])('21: %s is refused', async (start) => {
    await expectNothingForwarded(raw(`${start} HTTP/1.1`, 'Host: a.test'), 400, 'BAD_TARGET')
  })

  it.each(['GET  / HTTP/1.1', 'GET /  HTTP/1.1', 'GET / HTTP/1.1 ', 'GET\t/ HTTP/1.1', 'GET / x HTTP/1.1', 'GET /', 'GET', '/ HTTP/1.1', 'GET / http/1.1', 'GET / HTTP/1.10', 'GET / HTP/1.1', 'GET / HTTP 1.1'])('21: the line %j is refused', async (line) => {
    await expectNothingForwarded(raw(line, 'Host: a.test'), 400)
  })

  it.each(['GET / HTTP/2.0', 'GET / HTTP/0.9', 'GET / HTTP/1.2', 'GET / HTTP/3.0', 'GET / HTTP/9.9'])('21: %s is another version', async (line) => {
    await expectNothingForwarded(raw(line, 'Host: a.test'), 505, 'HTTP_VERSION')
  })

  it('21: the preface of HTTP/2 is answered in HTTP/1.1', async () => {
    await expectNothingForwarded('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', 505, 'HTTP_VERSION')
  })
})

describe('22: CONNECT', () => {
  it.each(['a.test:443', '/', 'http://a.test/'])('22: CONNECT %s is refused, what follows is not read', async (target) => {
    const after = request('GET', '/smuggled').toString()
    const peer = await weir.connect()
    await peer.send(raw(`CONNECT ${target} HTTP/1.1`, 'Host: a.test:443'), after)
    expectProblem(await peer.readFinal(), 501, 'METHOD_NOT_SUPPORTED')
    expect((await peer.readAll()).toString()).toBe('')
    expect(upstream.peers).toHaveLength(0)
  })
})

describe('23: paths are forwarded byte for byte', () => {
  it.each(['/a%2Fb', '/a%2fb', '//', '//a//b/', '/a?', '/?', '/a??b', '/a;v=1', '/%41', '/a+b', '/a%20b', '/a/..b/c..', '/.../a', '/.hidden', '/a.', "/!$&'()*,=:@~_-", '/a?x=/../y', '/a?x=%2e%2e', '/a?[]{}|^`"<>', '/%', '/%zz', '/%e2%82%ac'])('23: %s', async (target) => {
    expect((await weir.exchange(request('GET', target))).status).toBe(200)
    expect(upstream.request.head.line).toBe(`GET ${target} HTTP/1.1`)
  })

  it.each(['/admin/secret', '/admin/secret?x'])('23: %s is the route', async (target) => {
    expect((await weir.exchange(request('GET', target))).head.one('x-weir-route')).toBe('exact')
  })

  it.each(['//admin/secret', '/admin//secret', '/admin/secret/', '/admin%2Fsecret', '/admin/%73ecret', '/ADMIN/secret'])('23: %s is not', async (target) => {
    expect((await weir.exchange(request('GET', target))).head.one('x-weir-route')).toBe('all')
    expect(upstream.request.target).toBe(target)
  })

  it.each(['/..', '/.', '/../a', '/./a', '/a/..', '/a/.', '/a/../b', '/a/./b', '/%2e%2e/a', '/%2E%2E/a', '/.%2e/a', '/%2e./a', '/%2e', '/a/%2E', '/x/../admin/secret', '/..?q', 'http://weir.test/../a'])('23: dot segments in %s are refused', async (target) => {
    await expectNothingForwarded(request('GET', target).toString(), 400, 'BAD_TARGET')
  })
})

describe('24: a prefix is not escaped', () => {
  const ask = (target: string): Buffer => request('GET', target, ['Host: below.test'])

  it.each([['/', '/base/'], ['/a?b', '/base/a?b'], ['//evil.com/', '/base//evil.com/'], ['/http://evil.com/', '/base/http://evil.com/'], ['/@evil.com', '/base/@evil.com'], ['/?a', '/base/?a']])('24: %s becomes %s', async (target, path) => {
    expect((await weir.exchange(ask(target))).status).toBe(200)
    expect(upstream.request.target).toBe(path)
  })

  it.each(['/../x', '/%2e%2e/x', '/.%2E/x', '/a/../../x', '/\\..\\x', '/..\\x', '/a/..%2fx', '/..%2F..%2fx', '/..%5cx'])('24: %s is refused', async (target) => {
    await expectNothingForwarded(ask(target).toString('latin1'), 400, 'BAD_TARGET')
  })
})

describe('25: bytes that do not belong in a target', () => {
  it.each(['/a#b', '/#', '/a?b#c', '/a\\b', '\\\\evil.com/', '/\xe9', '/a?\xff', '/a\x00b', '/a\x01', '/a\x7fb', '/a\tb', '/a\x0bb'])('25: %j is refused', async (target) => {
    await expectNothingForwarded(request('GET', target).toString('latin1'), 400)
  })
})

describe('26: encoded control characters stay encoded', () => {
  it.each(['/a%00b', '/a%0d%0aX-Evil:%201', '/a%0aSet-Cookie:x', '/a?b=%0d%0a%0d%0aGET%20/'])('26: %s', async (target) => {
    const got = await weir.exchange(request('GET', target))
    expect(got.status).toBe(200)
    expect(upstream.request.target).toBe(target)
    expect(upstream.request.head.has('x-evil')).toBe(false)
    expect(got.head.has('set-cookie')).toBe(false)
    await expect.poll(() => weir.stdout).toContain(target)
    for (const line of weir.stdout.trim().split('\n')) if (line.startsWith('{')) expect(() => JSON.parse(line) as unknown).not.toThrow()
    expect(weir.stdout).not.toMatch(/^(X-Evil|Set-Cookie)/m)
  })
})
