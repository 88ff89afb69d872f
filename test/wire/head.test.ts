/** Heads: what RFC 9110 and 9112 say, field by field. Cuts are in `split.test.ts`, other implementations in `conformance/wire`. */
import { describe, expect, it } from 'vitest'
import { CHUNKED, readRequestHead, UNTIL_CLOSE } from '../../gateway/wire/head.ts'
import { isAuthority } from '../../gateway/wire/target.ts'
import { answerHead, codeOf, latin1, LIMITS, requestHead } from './helpers.ts'

const request = (lines: readonly string[], line = 'GET /x HTTP/1.1'): string => [line, 'Host: a.test', ...lines, '', ''].join('\r\n')
const refused = (lines: readonly string[], line?: string): string | null => codeOf(() => requestHead(request(lines, line)))
const answer = (lines: readonly string[], line = 'HTTP/1.1 200 OK'): string => [line, ...lines, '', ''].join('\r\n')
const badAnswer = (lines: readonly string[], line?: string): string | null => codeOf(() => answerHead(answer(lines, line)))

describe('request line', () => {
  it('is method, target and version', () => {
    const head = requestHead(request([], 'PATCH /a/b?c=d&e HTTP/1.0'))
    expect([head.method, head.target, head.minor]).toEqual(['PATCH', '/a/b?c=d&e', 0])
  })

  it('keeps the target byte for byte', () => {
    const target = "/%41%2F//x;y=1:@!$&'()*+,=~-._/%e9?q=%0d%0a&[]|^`{}\"<>"
    expect(requestHead(request([], `GET ${target} HTTP/1.1`)).target).toBe(target)
  })

  it('takes any token as a method, with its case', () => {
    expect(requestHead(request([], "a!#$%&'*+-.^_`|~9Z /x HTTP/1.1")).method).toBe("a!#$%&'*+-.^_`|~9Z")
  })

  it.each([
    ['', 'BAD_REQUEST_LINE'],
    ['GET', 'BAD_REQUEST_LINE'],
    ['GET /x', 'BAD_REQUEST_LINE'],
    ['GET  /x HTTP/1.1', 'BAD_REQUEST_LINE'],
    ['GET\t/x HTTP/1.1', 'BAD_REQUEST_LINE'],
    [' GET /x HTTP/1.1', 'BAD_REQUEST_LINE'],
    ['GET /x  HTTP/1.1', 'BAD_REQUEST_LINE'],
    ['GET /x HTTP/1.1 ', 'BAD_REQUEST_LINE'],
    ['GET /x http/1.1', 'BAD_REQUEST_LINE'],
    ['GET /x HTTP/1.1\r', 'BAD_REQUEST_LINE'],
    ['G\x00T /x HTTP/1.1', 'BAD_REQUEST_LINE'],
    ['GET /x HTTP/1.2', 'HTTP_VERSION'],
    ['GET /x HTTP/0.9', 'HTTP_VERSION'],
    ['GET /x HTTP/2.0', 'HTTP_VERSION'],
    ['GET /x HTTP/11', 'HTTP_VERSION'],
    ['GET /x HTTP/1.10', 'BAD_REQUEST_LINE'],
    ['GET /x#frag HTTP/1.1', 'BAD_TARGET'],
    ['GET /x\\y HTTP/1.1', 'BAD_TARGET'],
    ['GET /x\xe9 HTTP/1.1', 'BAD_TARGET'],
    ['GET /x\x7f HTTP/1.1', 'BAD_TARGET'],
    ['GET /x\ty HTTP/1.1', 'BAD_TARGET'],
    ['GET x HTTP/1.1', 'BAD_TARGET'],
    ['GET * HTTP/1.1', 'BAD_TARGET'],
    ['GET a.test:80 HTTP/1.1', 'BAD_TARGET'],
    ['GET ftp://a.test/ HTTP/1.1', 'BAD_TARGET'],
    ['GET /a/../b HTTP/1.1', 'BAD_TARGET'],
    ['GET /a/%2E%2e HTTP/1.1', 'BAD_TARGET'],
    ['GET /./a HTTP/1.1', 'BAD_TARGET'],
    ['CONNECT a.test:80 HTTP/1.1', 'METHOD_NOT_SUPPORTED'],
    ['TRACE /x HTTP/1.1', 'METHOD_NOT_SUPPORTED'],
  ])('%j is refused with %s', (line, code) => {
    expect(refused([], line)).toBe(code)
  })

  it.each(['/a/..b', '/a/...', '/.well-known/x', '/a?b=/../c', '/%2e%2e%2e', '/a/b..'])('%s holds no dot segment', (target) => {
    expect(requestHead(request([], `GET ${target} HTTP/1.1`)).target).toBe(target)
  })

  it('`*` is for OPTIONS', () => {
    expect(requestHead(request([], 'OPTIONS * HTTP/1.1')).target).toBe('*')
  })

  it('forgives one empty line before it, not two (RFC 9112 2.2)', () => {
    expect(requestHead(`\r\n${request([])}`).target).toBe('/x')
    expect(codeOf(() => requestHead(`\r\n\r\n${request([])}`))).toBe('BAD_REQUEST_LINE')
  })
})

describe('absolute target (RFC 9112 3.2.2)', () => {
  it.each([
    ['http://a.test/x?y', '/x?y'],
    ['HTTP://A.TEST/', '/'],
    ['http://a.test', '/'],
    ['http://a.test?q', '/?q'],
    ['https://a.test/z', '/z'],
  ])('%s becomes %s', (target, origin) => {
    const head = requestHead(request([], `GET ${target} HTTP/1.1`))
    expect(head.target).toBe(origin)
    expect(head.host.toLowerCase()).toBe('a.test')
  })

  it.each(['http://b.test/', 'http://u@a.test/', 'http:///', 'http://a.test:x/', 'http://a.test:80/'])('%s next to Host: a.test is refused', (target) => {
    expect(refused([], `GET ${target} HTTP/1.1`)).toBe('BAD_HOST')
  })

  it('gives the Host of HTTP/1.0 without one', () => {
    const head = requestHead('GET http://a.test:81/x HTTP/1.0\r\n\r\n')
    expect([head.host, head.headers]).toEqual(['a.test:81', ['Host', 'a.test:81']])
  })
})

describe('Host', () => {
  const withHosts = (hosts: readonly string[]): string => ['GET / HTTP/1.1', ...hosts.map((host) => `Host: ${host}`), '', ''].join('\r\n')

  it.each(['a', 'a.test:80', 'A-b_c.test', '127.0.0.1', '[::1]', '[::1]:8080', '[::ffff:1.2.3.4]:1', 'a.', '%41.test'])('%s is one', (host) => {
    expect(requestHead(withHosts([host])).host).toBe(host)
  })

  it.each(['', ' ', 'a b', 'a,b', 'a, b', 'u@a', 'a/b', 'a?b', 'a#b', 'http://a', 'a:b', 'a:', ':80', 'a:80:80', 'a:99999', 'a:-1', 'a\\b', '::1', '[::1', '::1]', '[]', '[x]', '[:]', '[1:2]', '.', '..', '.a', 'a..b', '[.:]', '[::1%25lo]', '[v1.a]', '[::1]a', '[::1]a:80', 'a[', 'a\xe9', '"a"', '<a>', '%zz', 'a%', '%4'])(
    '%j is none',
    (host) => {
      expect(codeOf(() => requestHead(withHosts([host])))).toBe('BAD_HOST')
    },
  )

  it('must be one in HTTP/1.1', () => {
    expect(codeOf(() => requestHead(withHosts([])))).toBe('BAD_HOST')
    expect(codeOf(() => requestHead(withHosts(['a', 'a'])))).toBe('BAD_HOST')
    expect(codeOf(() => requestHead('GET / HTTP/1.1\r\nhost: a\r\nHOST: b\r\n\r\n'))).toBe('BAD_HOST')
  })

  it('may be missing in HTTP/1.0', () => {
    expect(requestHead('GET / HTTP/1.0\r\n\r\n').host).toBe('')
    expect(codeOf(() => requestHead('GET / HTTP/1.0\r\nHost: a\r\nHost: a\r\n\r\n'))).toBe('BAD_HOST')
  })

  it('a port is at most 65535', () => {
    expect([isAuthority('a:65535'), isAuthority('a:65536'), isAuthority('a:00080')]).toEqual([true, false, true])
  })
})

describe('fields', () => {
  it('keep case, order, duplicates and bytes', () => {
    const head = requestHead(request(['X-b: 1', 'x-A: \xe9\xff', 'X-b: 2', 'Cookie: a="b, c"', 'x-empty:', 'x-tabs:\t a \t b\t ', '__proto__: 1', 'constructor: 2']))
    expect(head.headers).toEqual(['Host', 'a.test', 'X-b', '1', 'x-A', '\xe9\xff', 'X-b', '2', 'Cookie', 'a="b, c"', 'x-empty', '', 'x-tabs', 'a \t b', '__proto__', '1', 'constructor', '2'])
  })

  it.each([
    ['x : 1', 'space before the colon'],
    ['x\t: 1', 'tab before the colon'],
    [' x: 1', 'leading space'],
    ['x: 1\r\n folded', 'folding'],
    ['x: 1\r\n\tfolded', 'folding by tab'],
    ['x', 'no colon'],
    [': 1', 'no name'],
    ['x: a\x00b', 'NUL'],
    ['x: a\x01', 'control'],
    ['x: a\x7f', 'DEL'],
    ['x: a\rb', 'bare CR'],
    ['x: a\nb: 2', 'bare LF'],
    ['x: a\r\r', 'CR CR LF'],
    ['x\x00: a', 'NUL in a name'],
    ['x(y): a', 'no token'],
    ['\xe9: a', 'obs-text in a name'],
    ['x: a\n', 'LF before CR LF'],
  ])('%j (%s) is refused', (line) => {
    expect(refused([line])).toBe('BAD_HEADER')
  })

  it('a twin by underscore of a name that steers is refused, wherever the underscore stands', () => {
    for (const name of ['content_length', 'Transfer_Encoding', 'X_Forwarded_For', 'x-forwarded_for', 'x_forwarded-for', 'x_request-id', 'Keep_Alive']) expect(refused([`${name}: 1`])).toBe('BAD_HEADER')
    expect(requestHead(request(['x_y: 1'])).headers).toContain('x_y')
  })

  it('a byte that cannot be is told at once, without waiting for the next', () => {
    const data = latin1('GET / HTTP/1.1\r\nHost: a\r\nx: a\x00')
    expect(codeOf(() => readRequestHead(data, 0, data.length, LIMITS))).toBe('BAD_HEADER')
  })
})

describe('framing', () => {
  it.each([
    [['Content-Length: 5'], 5],
    [['Content-Length: 0'], 0],
    [['content-length:\t005 '], 5],
    [['Transfer-Encoding: chunked'], CHUNKED],
    [['Transfer-Encoding: CHUNKED '], CHUNKED],
    [[], 0],
  ])('%j is %d', (lines, length) => {
    const head = requestHead(request(lines, 'POST /x HTTP/1.1'))
    expect(head.length).toBe(length)
    expect(head.headers).toEqual(['Host', 'a.test'])
  })

  it.each([
    [['Content-Length: 5', 'Transfer-Encoding: chunked']],
    [['Transfer-Encoding: chunked', 'Content-Length: 0']],
    [['Content-Length: 5', 'Content-Length: 5']],
    [['Content-Length: 5', 'content-length: 6']],
    [['Transfer-Encoding: chunked', 'Transfer-Encoding: chunked']],
    [['Transfer-Encoding: chunked', 'Transfer-Encoding: identity']],
    ...['', '+5', '-0', '-5', '0x5', '5, 5', '5,5', '5 5', '5.0', '5e0', '1_0', 'five', '\xb2', '1234567890123456', '5;'].map((value) => [[`Content-Length: ${value}`]]),
    ...['', 'identity', 'xchunked', 'chunkedx', 'chunked, chunked', 'chunked, gzip', 'chunked,', ',chunked', '"chunked"', 'chunked;q=1', 'chun ked', '\x0bchunked', 'chunked gzip'].map((value) => [
      [`Transfer-Encoding: ${value}`],
    ]),
  ])('%j is refused', (lines) => {
    expect(['BAD_FRAMING', 'BAD_HEADER']).toContain(refused(lines, 'POST /x HTTP/1.1'))
  })

  it('a coding that exists and is not supported is 501', () => {
    expect(refused(['Transfer-Encoding: gzip, chunked'], 'POST /x HTTP/1.1')).toBe('UNSUPPORTED_CODING')
  })

  it('HTTP/1.0 has no Transfer-Encoding', () => {
    expect(refused(['Transfer-Encoding: chunked'], 'POST /x HTTP/1.0')).toBe('BAD_FRAMING')
  })
})

describe('connection', () => {
  it.each([
    ['HTTP/1.1', [], true],
    ['HTTP/1.1', ['Connection: close'], false],
    ['HTTP/1.1', ['Connection: CLOSE'], false],
    ['HTTP/1.1', ['Connection: keep-alive'], true],
    ['HTTP/1.1', ['Connection: a, close ,b'], false],
    ['HTTP/1.1', ['Connection: a', 'Connection: close'], false],
    ['HTTP/1.1', ['Connection: closed'], true],
    ['HTTP/1.0', [], false],
    ['HTTP/1.0', ['Connection: keep-alive'], true],
    ['HTTP/1.0', ['Connection: Keep-Alive, close'], false],
  ])('%s with %j persists: %s', (version, lines, persistent) => {
    expect(requestHead(request(lines, `GET /x ${version}`)).persistent).toBe(persistent)
  })

  it('takes away what it names, and nothing that identifies or secures', () => {
    const head = requestHead(request(['Connection: x-a, X-B , authorization, cookie, host, via, x-request-id', 'X-A: 1', 'x-b: 2', 'x-c: 3', 'Authorization: k', 'Cookie: c', 'Via: 1.1 p', 'x-request-id: r']))
    expect(head.headers).toEqual(['Host', 'a.test', 'x-c', '3', 'Authorization', 'k', 'Cookie', 'c', 'Via', '1.1 p', 'x-request-id', 'r'])
  })

  it('hop-by-hop fields are gone without being named', () => {
    expect(requestHead(request(['Keep-Alive: 1', 'Proxy-Connection: x', 'TE: trailers', 'Trailer: x', 'Upgrade: y', 'Proxy-Authorization: z', 'HTTP2-Settings: q'])).headers).toEqual(['Host', 'a.test'])
  })

  it('Upgrade counts when Connection names it', () => {
    expect(requestHead(request(['Upgrade: websocket', 'Connection: Upgrade'])).upgrade).toBe('websocket')
    expect(requestHead(request(['Upgrade: websocket'])).upgrade).toBe('')
    expect(requestHead(request(['Upgrade: a', 'Connection: upgrade', 'Upgrade: b'])).upgrade).toBe('a,b')
  })

  it('TE: trailers', () => {
    expect(requestHead(request(['TE: deflate, Trailers'])).trailers).toBe(true)
    expect(requestHead(request(['TE: gzip'])).trailers).toBe(false)
  })
})

describe('Expect', () => {
  it('100-continue counts with a body, in HTTP/1.1', () => {
    expect(requestHead(request(['Expect: 100-Continue', 'Content-Length: 1'], 'PUT / HTTP/1.1')).expects).toBe(true)
    expect(requestHead(request(['Expect: 100-continue'], 'PUT / HTTP/1.1')).expects).toBe(false)
    expect(requestHead(request(['Expect: 100-continue', 'Content-Length: 1'], 'PUT / HTTP/1.0')).expects).toBe(false)
  })

  it('anything else is refused, whatever stands beside it', () => {
    expect(refused(['Expect: x'])).toBe('EXPECTATION_FAILED')
    expect(refused(['Expect: x', 'Expect: 100-continue'])).toBe('EXPECTATION_FAILED')
    expect(refused(['Expect: 100-continue', 'Expect: x'])).toBe('EXPECTATION_FAILED')
  })
})

describe('limits', () => {
  const limits = { head_bytes: 200, fields: 3, target_bytes: 20 }
  const line = 'GET / HTTP/1.1\r\nHost: a\r\n'

  it('the head: the last byte that fits, and one more', () => {
    const pad = (count: number): string => `${line}x: ${'v'.repeat(count)}\r\n\r\n`
    const room = 200 - pad(0).length
    expect(requestHead(pad(room), limits).end).toBe(200)
    expect(codeOf(() => requestHead(pad(room + 1), limits))).toBe('HEAD_TOO_LARGE')
  })

  it('a head that never ends', () => {
    const data = latin1(`${line}x: ${'v'.repeat(500)}`)
    expect(readRequestHead(data, 0, 199, limits)).toBeNull()
    expect(codeOf(() => readRequestHead(data, 0, 200, limits))).toBe('HEAD_TOO_LARGE')
  })

  it('fields and target', () => {
    expect(requestHead(`${line}b: 1\r\nc: 1\r\n\r\n`, limits).headers.length).toBe(6)
    expect(codeOf(() => requestHead(`${line}b: 1\r\nc: 1\r\nd: 1\r\n\r\n`, limits))).toBe('HEAD_TOO_LARGE')
    expect(requestHead(`GET /${'a'.repeat(19)} HTTP/1.1\r\nHost: a\r\n\r\n`, limits).target.length).toBe(20)
    expect(codeOf(() => requestHead(`GET /${'a'.repeat(20)} HTTP/1.1\r\nHost: a\r\n\r\n`, limits))).toBe('TARGET_TOO_LONG')
    expect(codeOf(() => requestHead(`${'M'.repeat(65)} / HTTP/1.1\r\nHost: a\r\n\r\n`, limits))).toBe('BAD_REQUEST_LINE')
  })

  it('many fields are read as they are when the limit allows them', () => {
    const many = { head_bytes: 1 << 20, fields: 10_000, target_bytes: 20 }
    const names = Array.from({ length: 3000 }, (_, i) => `x-${i}`)
    const head = requestHead(`${line}${names.map((name) => `${name}: ${name}!\r\n`).join('')}\r\n`, many)
    expect(head.headers.length).toBe(2 + 2 * names.length)
    expect(names.every((name, i) => head.headers[2 + 2 * i] === name && head.headers[3 + 2 * i] === `${name}!`)).toBe(true)
    // The scratch that grew for it does not disturb the next head.
    expect(requestHead(request(['x: 1'])).headers).toEqual(['Host', 'a.test', 'x', '1'])
  })
})

describe('answers', () => {
  it('status and phrase', () => {
    const head = answerHead(answer([], 'HTTP/1.0 299 So \xe9\tso'))
    expect([head.minor, head.status, head.phrase]).toEqual([0, 299, 'So \xe9\tso'])
    expect(answerHead(answer([], 'HTTP/1.1 200 ')).phrase).toBe('')
    expect(answerHead(answer([], 'HTTP/1.1 200')).phrase).toBe('')
  })

  it.each(['HTTP/1.2 200 OK', 'HTTP/2 200 OK', 'http/1.1 200 OK', 'HTTP/1.1  200 OK', 'HTTP/1.1 20 OK', 'HTTP/1.1 2000 OK', 'HTTP/1.1 099 X', 'HTTP/1.1 600 X', 'HTTP/1.1 2x0 OK', 'HTTP/1.1 200\tOK', 'HTTP/1.1 200 O\x00K', 'HTTP/1.1 200 O\rK', 'ICY 200 OK', ' HTTP/1.1 200 OK', '\r\nHTTP/1.1 200 OK'])(
    '%j is none',
    (line) => {
      expect(badAnswer([], line)).toBe('BAD_ANSWER')
    },
  )

  it.each([
    [['Content-Length: 5', 'Content-Length: 5']],
    [['Content-Length: 5', 'Transfer-Encoding: chunked']],
    [['Transfer-Encoding: gzip, chunked']],
    [['Transfer-Encoding: identity']],
    [['Content-Length: +5']],
    [['Content-Length: ']],
    [['x: 1\r\n folded']],
    [['x : 1']],
    [['x: \x00']],
  ])('%j is refused', (lines) => {
    expect(badAnswer(lines)).toBe('BAD_ANSWER')
  })

  it('HTTP/1.0 has no Transfer-Encoding', () => {
    expect(badAnswer(['Transfer-Encoding: chunked'], 'HTTP/1.0 200 OK')).toBe('BAD_ANSWER')
  })

  it('lengths', () => {
    expect(answerHead(answer(['Content-Length: 7'])).length).toBe(7)
    expect(answerHead(answer(['Transfer-Encoding: Chunked'])).length).toBe(CHUNKED)
    const open = answerHead(answer([]))
    expect([open.length, open.persistent]).toEqual([UNTIL_CLOSE, false])
    const head = answerHead(answer(['Content-Length: 7']), true)
    expect([head.length, head.stated, head.persistent]).toEqual([0, 7, true])
    const notModified = answerHead(answer(['Content-Length: 7'], 'HTTP/1.1 304 Not Modified'))
    expect([notModified.length, notModified.stated, notModified.persistent]).toEqual([0, 7, true])
  })

  it('a 204 that says it has a body is not followed by another answer', () => {
    expect(answerHead(answer(['Content-Length: 7'], 'HTTP/1.1 204 No Content')).persistent).toBe(false)
    expect(answerHead(answer(['Transfer-Encoding: chunked'], 'HTTP/1.1 204 No Content')).persistent).toBe(false)
    expect(answerHead(answer(['Content-Length: 0'], 'HTTP/1.1 204 No Content')).persistent).toBe(true)
  })

  it('an informational answer that says it has a body is refused: what follows is a body to some and an answer to others', () => {
    expect(badAnswer(['Content-Length: 7'], 'HTTP/1.1 103 Early Hints')).toBe('BAD_ANSWER')
    expect(badAnswer(['Transfer-Encoding: chunked'], 'HTTP/1.1 100 Continue')).toBe('BAD_ANSWER')
    expect(badAnswer(['Content-Length: 0'], 'HTTP/1.1 100 Continue')).toBeNull()
  })

  it.each([
    ['timeout=5', 5000],
    ['timeout=5, max=100', 5000],
    ['max=100 , Timeout = 7', 7000],
    ['timeout=0', 1],
    ['timeout=x', 0],
    ['timeout=-1', 0],
    ['max=1', 0],
    ['', 0],
  ])('Keep-Alive: %s → %d ms', (value, ms) => {
    expect(answerHead(answer([`Keep-Alive: ${value}`, 'Content-Length: 0'])).keepAliveMs).toBe(ms)
  })
})

describe('fields that tell a deadline', () => {
  it.each([['x-request-timeout-ms: 5', true], ['GRPC-Timeout: 5S', true], ['X-Envoy-Upstream-RQ-Timeout-ms: 5', true], ['x-envoy-expected-rq-timeout-ms: 5', true], ['x-timeout: 5', false], ['accept: x', false]])('%s: %s', (line, timed) => {
    expect(requestHead(request([line])).fields.timed).toBe(timed)
  })
})
