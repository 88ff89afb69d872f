/** Message framing and smuggling, of requests: what is ambiguous is refused and the connection closed. RFC 9112 6 and 7. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { writeFile } from 'node:fs/promises'
import path from 'node:path'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { answer, bytes, chunk, chunked, request } from './message.ts'
import { pause, Upstream } from './scripted.ts'
import { expectProblem, expectRefused, MAIN, startWeir, type Weir } from './weir.ts'

let upstream: Upstream
let weir: Weir

beforeAll(async () => {
  upstream = await Upstream.listen()
  weir = await startWeir(`
timeouts: { request_headers: 2s, idle: 5s }
backends:
  up: { url: "http://127.0.0.1:${upstream.port}", connect: 1s, response_headers: 2s }
  refuse: { answer: { status: 413, body: "no" } }
routes:
  - { name: refuse, match: { path: /refuse }, backend: refuse }
  - { name: limited, match: { path: /limited }, backend: up, plugins: [ { rate_limit: { per_second: 0.001, burst: 1 } } ] }
  - { name: up, match: { path: "/up/**" }, backend: up }
  - { name: root, match: { path: "/" }, backend: up }
`)
})
beforeEach(() => upstream.fresh())
afterAll(async () => {
  await weir?.stop()
  await upstream?.close()
})

/** A POST with these field lines and these raw bytes behind the head. */
const post = (fields: readonly string[], rest: string): string => ['POST / HTTP/1.1', 'Host: weir.test', ...fields, '', rest].join('\r\n')
const FOLLOWING = 'GET /up/smuggled HTTP/1.1\r\nHost: weir.test\r\n\r\n'

async function expectRejected(data: string): Promise<void> {
  const peer = await weir.connect()
  await peer.send(data)
  const got = await peer.readFinal()
  expect([400, 501]).toContain(got.status)
  expectProblem(got, got.status)
  expect(got.head.list('connection')).toContain('close')
  expect((await peer.readAll(1000)).toString('latin1')).toBe('')
  peer.destroy()
  expect(upstream.requests).toHaveLength(0)
}

describe('27: two lengths, or none that is certain', () => {
  it.each<[string, string[]]>([
    ['CL and TE', ['Content-Length: 5', 'Transfer-Encoding: chunked']],
    ['TE and CL', ['Transfer-Encoding: chunked', 'Content-Length: 5']],
    ['two different CL', ['Content-Length: 5', 'Content-Length: 6']],
    ['two equal CL', ['Content-Length: 5', 'content-length: 5']],
    ['a list of CL', ['Content-Length: 5, 5']],
    ['a list of CL without space', ['Content-Length: 5,5']],
    ['CL +5', ['Content-Length: +5']],
    ['CL -0', ['Content-Length: -0']],
    ['CL -5', ['Content-Length: -5']],
    ['CL 0x5', ['Content-Length: 0x5']],
    ['CL 5e0', ['Content-Length: 5e0']],
    ['CL 5.0', ['Content-Length: 5.0']],
    ['CL 1_0', ['Content-Length: 1_0']],
    ['CL 5 5', ['Content-Length: 5 5']],
    ['CL empty', ['Content-Length:']],
    ['CL word', ['Content-Length: five']],
    ['CL quoted', ['Content-Length: "5"']],
    ['CL with VT', ['Content-Length: \x0b5']],
    ['CL with FF', ['Content-Length: 5\x0c']],
    ['CL with NBSP', ['Content-Length: \xa05']],
    ['CL superscript', ['Content-Length: \xb2']],
    ['CL beyond 2^64', ['Content-Length: 18446744073709551621']],
    ['CL beyond 2^53', ['Content-Length: 9007199254740993']],
    ['CL of 400 digits', [`Content-Length: ${'9'.repeat(400)}`]],
    ['TE xchunked', ['Transfer-Encoding: xchunked']],
    ['TE chunked twice', ['Transfer-Encoding: chunked, chunked']],
    ['TE lines twice', ['Transfer-Encoding: chunked', 'Transfer-Encoding: chunked']],
    ['TE identity', ['Transfer-Encoding: identity']],
    ['TE identity line and chunked', ['Transfer-Encoding: identity', 'Transfer-Encoding: chunked']],
    ['TE chunked, identity', ['Transfer-Encoding: chunked, identity']],
    ['TE gzip', ['Transfer-Encoding: gzip']],
    ['TE gzip, chunked', ['Transfer-Encoding: gzip, chunked']],
    ['TE with VT', ['Transfer-Encoding: \x0bchunked']],
    ['TE with FF', ['Transfer-Encoding: chunked\x0c']],
    ['TE with NUL', ['Transfer-Encoding: chunked\x00']],
    ['TE with NBSP', ['Transfer-Encoding: \xa0chunked']],
    ['TE with parameter', ['Transfer-Encoding: chunked;q=1']],
    ['TE quoted', ['Transfer-Encoding: "chunked"']],
    ['TE empty', ['Transfer-Encoding:']],
    ['TE comma', ['Transfer-Encoding: ,']],
    ['TE comma chunked', ['Transfer-Encoding: , chunked']],
    ['TE chunked comma', ['Transfer-Encoding: chunked,']],
    ['TE folded', ['Transfer-Encoding:\r\n chunked']],
    ['TE space before colon', ['Transfer-Encoding : chunked']],
    ['TE behind a bare CR', ['X: a\rTransfer-Encoding: chunked']],
    ['TE behind a bare LF', ['X: a\nTransfer-Encoding: chunked']],
  ])('27: %s', async (_, fields) => {
    await expectRejected(post(fields, `0\r\n\r\n${FOLLOWING}`))
  })

  it('27: TE in HTTP/1.0', async () => {
    await expectRejected(post(['Transfer-Encoding: chunked'], `0\r\n\r\n${FOLLOWING}`).replace('HTTP/1.1', 'HTTP/1.0'))
  })

  it('27: space around a length is no part of it, CHUNKED is chunked', async () => {
    expect((await weir.exchange(post(['Content-Length: \t 5 \t '], 'hello'), 'POST')).status).toBe(200)
    expect(upstream.request.head.all('content-length')).toEqual(['5'])
    await upstream.fresh()
    expect((await weir.exchange(post(['transfer-ENCODING:CHUNKED'], '5\r\nhello\r\n0\r\n\r\n'), 'POST')).status).toBe(200)
    expect(upstream.request.head.all('transfer-encoding')).toEqual(['chunked'])
    expect(upstream.request.body.toString()).toBe('hello')
  })

  it('27: no length at all is no body', async () => {
    const peer = await weir.connect()
    await peer.send(post([], ''), FOLLOWING)
    expect((await peer.readFinal('POST')).status).toBe(200)
    expect((await peer.readFinal()).status).toBe(200)
    expect(upstream.requests.map(({ target, body }) => [target, body.length])).toEqual([['/', 0], ['/up/smuggled', 0]])
    peer.destroy()
  })
})

describe('28: chunks', () => {
  it.each([
    ['an extension', '5;a=b\r\nhello\r\n0\r\n\r\n'],
    ['a quoted extension', '5;a="b;c";d\r\nhello\r\n0;x\r\n\r\n'],
    ['leading zeros', '0005\r\nhello\r\n000\r\n\r\n'],
    ['upper and lower case', 'A\r\n0123456789\r\na\r\nabcdefghij\r\n0\r\n\r\n'],
  ])('28: %s is read', async (_, body) => {
    expect((await weir.exchange(post(['Transfer-Encoding: chunked'], body), 'POST')).status).toBe(200)
    expect(upstream.request.body.toString()).toMatch(/^(hello|0123456789abcdefghij)$/)
    expect(upstream.request.chunks.every((part) => !part.includes(';'))).toBe(true)
  })

  it.each([
    ['LF behind the size', '5\nhello\r\n0\r\n\r\n'],
    ['CR behind the size', '5\rhello\r\n0\r\n\r\n'],
    ['LF behind the data', '5\r\nhello\n0\r\n\r\n'],
    ['nothing behind the data', '5\r\nhello0\r\n\r\n'],
    ['more data than said', '5\r\nhelloX\r\n0\r\n\r\n'],
    ['LF behind the last chunk', '5\r\nhello\r\n0\n\r\n'],
    ['LF at the very end', '5\r\nhello\r\n0\r\n\n'],
    ['no size', '\r\nhello\r\n0\r\n\r\n'],
    ['an extension without size', ';a\r\nhello\r\n0\r\n\r\n'],
    ['0x', '0x5\r\nhello\r\n0\r\n\r\n'],
    ['a sign', '+5\r\nhello\r\n0\r\n\r\n'],
    ['a minus', '-5\r\nhello\r\n0\r\n\r\n'],
    ['a leading space', ' 5\r\nhello\r\n0\r\n\r\n'],
    ['a trailing space', '5 \r\nhello\r\n0\r\n\r\n'],
    ['an underscore', '0_5\r\nhello\r\n0\r\n\r\n'],
    ['a letter', '5g\r\nhello\r\n0\r\n\r\n'],
    ['17 digits', '00000000000000005\r\nhello\r\n0\r\n\r\n'],
    ['2^64 + 5', '10000000000000005\r\nhello\r\n0\r\n\r\n'],
    ['2^53', '20000000000000\r\nhello\r\n0\r\n\r\n'],
    ['NUL in an extension', '5;a\x00\r\nhello\r\n0\r\n\r\n'],
    ['LF in an extension', '5;a\nb\r\nhello\r\n0\r\n\r\n'],
    ['CR in an extension', '5;a\rb\r\nhello\r\n0\r\n\r\n'],
    ['a long extension', `5;${'a'.repeat(64 << 10)}\r\nhello\r\n0\r\n\r\n`],
    ['a trailer without colon', '5\r\nhello\r\n0\r\nX\r\n\r\n'],
    ['a trailer with a space before the colon', '5\r\nhello\r\n0\r\nX : 1\r\n\r\n'],
    ['a folded trailer', '5\r\nhello\r\n0\r\nX: 1\r\n 2\r\n\r\n'],
    ['trailers without end', `5\r\nhello\r\n0\r\n${'X: 1\r\n'.repeat(10_000)}\r\n`],
  ])('28: %s is refused and never becomes a whole request', async (_, body) => {
    const peer = await weir.connect()
    await peer.send(post(['Transfer-Encoding: chunked'], body), FOLLOWING)
    const got = await peer.readFinal('POST')
    expect([400, 413, 431]).toContain(got.status)
    expectProblem(got, got.status)
    expect((await peer.readAll(1000)).toString('latin1')).toBe('')
    expect(upstream.requests).toHaveLength(0)
    for (const one of upstream.peers) await one.untilOver(1000)
  })

  it('28: what follows the last chunk is the next request', async () => {
    const peer = await weir.connect()
    await peer.send(post(['Transfer-Encoding: chunked'], '5\r\nhello\r\n0\r\n\r\n'), FOLLOWING, post(['Transfer-Encoding: chunked'], '0\r\n\r\n'), 'X\r\n\r\n')
    for (const method of ['POST', 'GET', 'POST']) expect((await peer.readFinal(method)).status).toBe(200)
    expectProblem(await peer.readFinal(), 400, 'BAD_REQUEST_LINE')
    expect(upstream.requests.map(({ method, body }) => [method, body.toString()])).toEqual([['POST', 'hello'], ['GET', ''], ['POST', '']])
    expect(await peer.readAll()).toHaveLength(0)
  })
})

describe('29: malformed fields', () => {
  it.each([
    ['a folded value', 'X-A: 1\r\n 2'],
    ['a fold by tab', 'X-A: 1\r\n\t2'],
    ['a space before the colon', 'X-A : 1'],
    ['a tab before the colon', 'X-A\t: 1'],
    ['a space inside a name', 'X A: 1'],
    ['no colon', 'X-A'],
    ['an empty name', ': 1'],
    ['a bare CR in a value', 'X-A: 1\r2'],
    ['a bare LF in a value', 'X-A: 1\n2'],
    ['a bare LF as line end', 'X-A: 1\nX-B: 2'],
    ['NUL in a value', 'X-A: 1\x002'],
    ['NUL in a name', 'X\x00A: 1'],
    ['a control in a value', 'X-A: \x01'],
    ['DEL in a value', 'X-A: \x7f'],
    ['VT in a value', 'X-A: \x0b1'],
    ['non-ASCII in a name', 'X-\xe9: 1'],
    ['a separator in a name', 'X-A(1): 1'],
    ['a slash in a name', 'X/A: 1'],
    ['a quote in a name', '"X": 1'],
    ['two CR', 'X-A: 1\r'],
  ])('29: %s', async (_, line) => {
    await expectRejected(`GET / HTTP/1.1\r\nHost: weir.test\r\n${line}\r\n\r\n${FOLLOWING}`)
  })

  it.each([
    ['a leading space on the first field', 'GET / HTTP/1.1\r\n Host: weir.test\r\n\r\n'],
    ['a leading tab on the first field', 'GET / HTTP/1.1\r\n\tX: 1\r\nHost: weir.test\r\n\r\n'],
    ['LF behind the request line', 'GET / HTTP/1.1\nHost: weir.test\r\n\r\n'],
    ['LF everywhere', 'GET / HTTP/1.1\nHost: weir.test\n\n'],
    ['CR behind the request line', 'GET / HTTP/1.1\rHost: weir.test\r\n\r\n'],
    ['LF at the end of the head', 'GET / HTTP/1.1\r\nHost: weir.test\r\n\nX: 1\r\n\r\n'],
    ['CR CR LF at the end of the head', 'GET / HTTP/1.1\r\nHost: weir.test\r\n\r\r\n\r\n'],
    ['a leading LF', '\nGET / HTTP/1.1\r\nHost: weir.test\r\n\r\n'],
    ['a TLS hello', '\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n'],
    ['garbage', '\x00\x01\x02\x03\r\n\r\n'],
  ])('29: %s', async (_, data) => {
    await expectRejected(data)
  })
})

describe('30: no way to be lenient', () => {
  it("30: Node's own switch changes nothing", async () => {
    const other = await startWeir('backends: { here: { answer: { status: 200, body: "here" } } }\nroutes: [{ name: all, match: { path: "/**" }, backend: here }]\n', { env: { NODE_OPTIONS: '--insecure-http-parser' } })
    try {
      await expectRefused(other, 'GET / HTTP/1.1\r\nHost: a\r\nX: 1\r\n 2\r\n\r\n', 400, 'BAD_HEADER')
      await expectRefused(other, post(['Content-Length: 5', 'Transfer-Encoding: chunked'], '0\r\n\r\n'), 400, 'BAD_FRAMING')
    } finally {
      await other.stop()
    }
  })

  it('30: nor does the file have one', async () => {
    const file = path.join(weir.folder, 'lenient.yaml')
    await writeFile(file, 'listen: 127.0.0.1:0\ninsecure_http_parser: true\nroutes: []\n')
    const child = spawn(process.execPath, [MAIN, 'check', file], { stdio: ['ignore', 'pipe', 'pipe'] })
    let text = ''
    for (const stream of [child.stdout, child.stderr]) stream.setEncoding('utf8').on('data', (part: string) => (text += part))
    const [code] = (await once(child, 'close')) as [number]
    expect(code).toBe(2)
    expect(text).toContain('insecure_http_parser')
    expect(text).toContain(':2:1')
  })
})

describe('31: answers before the body was read', () => {
  it('31: an answer of weir itself comes at once and ends the connection', async () => {
    const peer = await weir.connect()
    await peer.send(request('POST', '/nowhere', ['Content-Length: 1000000']), FOLLOWING)
    const got = await peer.readFinal('POST')
    expectProblem(got, 404, 'NO_ROUTE')
    expect(got.head.list('connection')).toContain('close')
    await peer.untilOver(2000)
    expect(peer.unread).toHaveLength(0)
    expect(upstream.peers).toHaveLength(0)
  })

  it('31: bytes of a body are never a request', async () => {
    for (const path of ['/nowhere', '/refuse']) {
      const peer = await weir.connect()
      await peer.send(request('POST', path, [], FOLLOWING))
      expect([404, 413]).toContain((await peer.readFinal('POST')).status)
      await peer.send(FOLLOWING)
      await pause(30)
      expect(peer.unread.toString('latin1').split('HTTP/1.1 ').length - 1).toBeLessThanOrEqual(1)
      expect(upstream.requests.length).toBeLessThanOrEqual(1)
      await upstream.fresh()
      peer.destroy()
    }
  })

  it('31: the answer is not lost while the caller still sends', async () => {
    for (let i = 0; i < 20; i++) {
      const peer = await weir.connect()
      await peer.send(request('POST', '/nowhere', ['Content-Length: 8388608']))
      void peer.send(Buffer.alloc(1 << 20))
      const got = await peer.readFinal('POST')
      expect(got.complete).toBe(true)
      expectProblem(got, 404, 'NO_ROUTE')
      peer.destroy()
    }
  })

  it("31: an upstream's early answer is forwarded at once, then the connection ends", async () => {
    upstream.onConnection = async (peer) => {
      await peer.readHead()
      await peer.send(answer(413, ['Connection: close'], 'too much'))
    }
    const peer = await weir.connect()
    await peer.send(request('POST', '/up/early', ['Content-Length: 1000000']), 'only this')
    const got = await peer.readFinal('POST')
    expect(got).toMatchObject({ status: 413, complete: true, body: Buffer.from('too much') })
    expect(got.head.list('connection')).toContain('close')
    await peer.untilOver(2000)
    expect(peer.unread).toHaveLength(0)
  })
})

it.each(['GET', 'HEAD', 'DELETE', 'OPTIONS'])('32: the body of a %s is forwarded, the next request is found', async (method) => {
  const peer = await weir.connect()
  await peer.send(request(method, '/up/1', [], 'GET / body'), request('GET', '/up/2'))
  expect((await peer.readFinal(method)).status).toBe(200)
  expect((await peer.readFinal()).status).toBe(200)
  expect(upstream.requests.map(({ target, body }) => [target, body.toString()])).toEqual([['/up/1', 'GET / body'], ['/up/2', '']])
  peer.destroy()
})

describe('33: what weir sends is framed anew', () => {
  it('33: a known length stays a length', async () => {
    await weir.exchange(request('POST', '/', [], 'hello'), 'POST')
    expect(upstream.request.head.all('content-length')).toEqual(['5'])
    expect(upstream.request.head.has('transfer-encoding')).toBe(false)
  })

  it('33: an unknown one is chunked, in chunks of its own, without extensions', async () => {
    await weir.exchange(post(['Transfer-Encoding: chunked'], '3;x=y\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n'), 'POST')
    expect(upstream.request.head.all('transfer-encoding')).toEqual(['chunked'])
    expect(upstream.request.head.has('content-length')).toBe(false)
    expect(upstream.request.body.toString()).toBe('hello')
  })

  it('33: a request without a body has no framing; an empty POST says 0', async () => {
    await weir.exchange(request('GET', '/'))
    expect(upstream.request.head.has('content-length')).toBe(false)
    expect(upstream.request.head.has('transfer-encoding')).toBe(false)
    await upstream.fresh()
    await weir.exchange(request('POST', '/', [], ''), 'POST')
    expect(upstream.request.head.all('content-length')).toEqual(['0'])
  })

  it('33: a small request is one write', async () => {
    await weir.exchange(request('POST', '/', [], 'hello'), 'POST')
    expect(upstream.peer.arrivals).toHaveLength(1)
  })
})

describe('37: Expect', () => {
  const expecting = (target: string, version = 'HTTP/1.1', value = '100-continue'): string => `POST ${target} ${version}\r\nHost: weir.test\r\nContent-Length: 5\r\nExpect: ${value}\r\n\r\n`

  it.each(['100-continue', '100-Continue'])('37: %s is answered when weir wants the body, and goes no further', async (value) => {
    const peer = await weir.connect()
    await peer.send(expecting('/', 'HTTP/1.1', value))
    expect((await peer.readAnswer('POST')).status).toBe(100)
    await peer.send('hello')
    expect((await peer.readAnswer('POST')).status).toBe(200)
    expect(upstream.request.body.toString()).toBe('hello')
    expect(upstream.request.head.has('expect')).toBe(false)
    peer.destroy()
  })

  it('37: a caller that does not wait is served too', async () => {
    const got = await weir.exchange(`${expecting('/')}hello`, 'POST')
    expect(got.status).toBe(200)
    expect(got.informed.length).toBeLessThanOrEqual(1)
    expect(upstream.request.body.toString()).toBe('hello')
  })

  it.each([['/nowhere', 404], ['/refuse', 413]])('37: %s is refused without asking for the body', async (target, status) => {
    const got = await weir.exchange(expecting(target), 'POST')
    expect(got.status).toBe(status)
    expect(got.informed).toEqual([])
  })

  it('37: a plugin that answers does so without asking for the body', async () => {
    expect((await weir.exchange(`${expecting('/limited')}hello`, 'POST')).status).toBe(200)
    const got = await weir.exchange(expecting('/limited'), 'POST')
    expectProblem(got, 429, 'RATE_LIMITED')
    expect(got.informed).toEqual([])
    expect(got.head.one('retry-after')).toMatch(/^[1-9]\d*$/)
  })

  it('37: what follows a refusal is not read as a request', async () => {
    const peer = await weir.connect()
    await peer.send(expecting('/nowhere'))
    const got = await peer.readFinal('POST')
    if (got.head.list('connection').includes('close')) return void (await peer.untilOver(1000))
    await peer.send('hello', FOLLOWING)
    expect((await peer.readFinal()).status).toBe(200)
    expect(upstream.request.target).toBe('/up/smuggled')
    peer.destroy()
  })

  it('37: an HTTP/1.0 caller gets no 100', async () => {
    const peer = await weir.connect()
    await peer.send(expecting('/', 'HTTP/1.0'))
    await pause(50)
    expect(peer.count).toBe(0)
    await peer.send('hello')
    const got = await peer.readFinal('POST')
    expect(got).toMatchObject({ status: 200, informed: [] })
  })

  it.each(['200-maybe', '100-continue, x'])('37: the expectation %j is unknown', async (value) => {
    expectProblem(await weir.exchange(expecting('/', 'HTTP/1.1', value), 'POST'), 417, 'EXPECTATION_FAILED')
    expect(upstream.peers).toHaveLength(0)
  })
})

describe('28, 31: any cut of the stream is the same stream', () => {
  const stream = Buffer.concat([
    request('POST', '/up/1?a', ['X-A: 1'], 'hello'),
    request('POST', '/up/2', ['Transfer-Encoding: chunked']), chunk('wo'), bytes('3;x="y"\r\nrld\r\n'), chunked([], ['X-T: 1']),
    request('GET', '/up/3'),
    request('PUT', '/up/4', ['Expect: 100-continue'], 'xyz'),
    bytes('GET http://weir.test/up/5 HTTP/1.1\r\nhost: weir.test\r\n\r\n'),
  ])
  const expected = ['POST /up/1?a hello', 'POST /up/2 world', 'GET /up/3 ', 'PUT /up/4 xyz', 'GET /up/5 ']

  async function check(cuts: readonly number[], gap_ms: number): Promise<void> {
    const peer = await weir.connect()
    const sent = peer.sendCut(stream, cuts, gap_ms)
    const echoes: string[] = []
    for (const line of expected) echoes.push((await peer.readFinal(line.split(' ')[0])).body.toString())
    expect(echoes).toEqual(expected)
    await sent
    expect(peer.unread).toHaveLength(0)
    peer.destroy()
  }

  beforeEach(() => {
    upstream.onRequest = ({ method, target, body }) => answer(200, [], `${method} ${target} ${body.toString()}`)
  })

  it('at one place', async () => {
    const cuts = Array.from({ length: stream.length - 1 }, (_, i) => i + 1)
    for (let at = 0; at < cuts.length; at += 24) await Promise.all(cuts.slice(at, at + 24).map((cut) => check([cut], 2)))
  })

  it('at every place at once', async () => {
    await check(Array.from({ length: stream.length - 1 }, (_, i) => i + 1), 0)
  })

  it('many requests in one write', async () => {
    const peer = await weir.connect()
    const count = 200
    await peer.send(...Array.from({ length: count }, (_, i) => request('POST', `/up/${i}`, [], `body ${i}`)))
    for (let i = 0; i < count; i++) expect((await peer.readFinal('POST')).body.toString()).toBe(`POST /up/${i} body ${i}`)
    expect(upstream.requests.map(({ target }) => target)).toEqual(Array.from({ length: count }, (_, i) => `/up/${i}`))
    peer.destroy()
  })

  it('pipelined requests are answered in order, one at a time', async () => {
    let under_way = 0
    let most = 0
    upstream.onRequest = async ({ target }) => {
      most = Math.max(most, ++under_way)
      await pause(target === '/up/0' ? 40 : 1)
      under_way--
      return answer(200, [], target)
    }
    const peer = await weir.connect()
    await peer.send(...Array.from({ length: 5 }, (_, i) => request('GET', `/up/${i}`)))
    for (let i = 0; i < 5; i++) expect((await peer.readFinal()).body.toString()).toBe(`/up/${i}`)
    expect(most).toBe(1)
    peer.destroy()
  })
})
