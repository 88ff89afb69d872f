/** Message framing, of answers: what an upstream may get wrong and what a caller gets then. RFC 9112 6, RFC 9110 6.4 and 15.2. */
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { answer, bytes, chunk, chunked, type ReceivedAnswer, request } from './message.ts'
import { pause, Upstream } from './scripted.ts'
import { expectProblem, startWeir, type Weir } from './weir.ts'

let upstream: Upstream
let weir: Weir

beforeAll(async () => {
  upstream = await Upstream.listen()
  weir = await startWeir(`
backends:
  up: { url: "http://127.0.0.1:${upstream.port}", connect: 1s, response_headers: 1s, idle: 1s }
routes:
  - { name: all, match: { path: "/**" }, backend: up }
`)
})
beforeEach(() => upstream.fresh())
afterAll(async () => {
  await weir?.stop()
  await upstream?.close()
})

/** Asks while the upstream answers each request on each connection with these bytes, keeping it open. */
async function given(text: string | Buffer, ask = request('GET', '/'), method = 'GET'): Promise<ReceivedAnswer> {
  upstream.onRequest = () => text
  return weir.exchange(ask, method)
}

/** The upstream's connection is given up and the next request gets an answer of its own. */
async function expectDiscarded(): Promise<void> {
  const first = await upstream.connection()
  await first.untilOver(1000)
  upstream.onRequest = () => answer(200, [], 'clean')
  expect(await weir.exchange(request('GET', '/next'))).toMatchObject({ status: 200, body: Buffer.from('clean') })
  expect(upstream.peers.length).toBeGreaterThan(1)
}

describe('34: answers with a doubtful length', () => {
  it.each([
    ['CL and TE', 'HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n'],
    ['two different CL', 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nok'],
    ['a list of different CL', 'HTTP/1.1 200 OK\r\nContent-Length: 2, 3\r\n\r\nok'],
    ['CL word', 'HTTP/1.1 200 OK\r\nContent-Length: two\r\n\r\nok'],
    ['CL negative', 'HTTP/1.1 200 OK\r\nContent-Length: -2\r\n\r\nok'],
    ['CL +2', 'HTTP/1.1 200 OK\r\nContent-Length: +2\r\n\r\nok'],
    ['CL 0x2', 'HTTP/1.1 200 OK\r\nContent-Length: 0x2\r\n\r\nok'],
    ['CL beyond 2^64', 'HTTP/1.1 200 OK\r\nContent-Length: 18446744073709551618\r\n\r\nok'],
    ['CL empty', 'HTTP/1.1 200 OK\r\nContent-Length:\r\n\r\nok'],
    ['TE in HTTP/1.0', 'HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n'],
    ['TE unknown', 'HTTP/1.1 200 OK\r\nTransfer-Encoding: xchunked\r\n\r\n2\r\nok\r\n0\r\n\r\n'],
    ['TE chunked twice', 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked, chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n'],
    ['TE gzip, chunked', 'HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n'],
    ['TE with VT', 'HTTP/1.1 200 OK\r\nTransfer-Encoding: \x0bchunked\r\n\r\n2\r\nok\r\n0\r\n\r\n'],
    ['a folded field', 'HTTP/1.1 200 OK\r\nX: 1\r\n 2\r\nContent-Length: 2\r\n\r\nok'],
    ['a space before the colon', 'HTTP/1.1 200 OK\r\nContent-Length : 2\r\n\r\nok'],
    ['bare LF', 'HTTP/1.1 200 OK\nContent-Length: 2\n\nok'],
    ['an empty name', 'HTTP/1.1 200 OK\r\n: x\r\nContent-Length: 2\r\n\r\nok'],
    ['another version', 'HTTP/2.0 200 OK\r\nContent-Length: 2\r\n\r\nok'],
    ['a status of two digits', 'HTTP/1.1 20 OK\r\nContent-Length: 2\r\n\r\nok'],
    ['a status of four digits', 'HTTP/1.1 2000 OK\r\nContent-Length: 2\r\n\r\nok'],
    ['status 000', 'HTTP/1.1 000 OK\r\nContent-Length: 2\r\n\r\nok'],
    ['a request', 'GET / HTTP/1.1\r\nHost: a\r\n\r\n'],
    ['a 101 nobody asked for', 'HTTP/1.1 101 Switching\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n'],
  ])('34: %s is a 502, and the connection is given up', async (_, text) => {
    expectProblem(await given(text), 502, 'BAD_ANSWER')
    await expectDiscarded()
  })

  it.each([
    ['bytes behind the answer', `${answer(200, [], 'ok').toString()}surplus`],
    ['a second answer', `${answer(200, [], 'ok').toString()}${answer(200, [], 'poison').toString()}`],
    ['bytes behind the last chunk', 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison'],
    ['a lone line end', `${answer(200, [], 'ok').toString()}\r\n`],
  ])('34: %s never reach the next caller', async (_, text) => {
    expect(await given(text)).toMatchObject({ status: 200, body: Buffer.from('ok') })
    await expectDiscarded()
  })

  it('34: an answer sent while the connection is idle never reaches anybody', async () => {
    expect((await given(answer(200, [], 'ok'))).status).toBe(200)
    await pause(20)
    await upstream.peer.send(answer(200, [], 'poison'))
    await expectDiscarded()
  })

  it('34: nor does it when it races with the next request', async () => {
    for (let i = 0; i < 50; i++) {
      upstream.onRequest = ({ target }) => answer(200, [], target)
      const caller = await weir.connect()
      await caller.send(request('GET', `/first/${i}`))
      await caller.readFinal()
      const racing = upstream.peers.at(-1)!.send(answer(200, [], 'poison'))
      await caller.send(request('GET', `/second/${i}`))
      const got = await caller.readFinal()
      expect([`/second/${i}`, 'poison']).toContain(got.status === 200 ? got.body.toString() : `/second/${i}`)
      await racing
      caller.destroy()
      // A byte that came before the request was sent must not be its answer; one that came after cannot be told apart.
      await pause(5)
      expect((await weir.exchange(request('GET', `/third/${i}`))).body.toString()).toBe(`/third/${i}`)
    }
  })
})

describe('35: answers without a body', () => {
  it('35: to HEAD: the length is kept, there are no bytes', async () => {
    const caller = await weir.connect()
    upstream.onRequest = () => 'HTTP/1.1 200 OK\r\nContent-Length: 1234\r\n\r\n'
    await caller.send(request('HEAD', '/'), request('HEAD', '/again'))
    for (let i = 0; i < 2; i++) expect((await caller.readFinal('HEAD')).head.all('content-length')).toEqual(['1234'])
    expect(await caller.settle()).toHaveLength(0)
    expect(upstream.peers).toHaveLength(1)
    caller.destroy()
  })

  it('35: to HEAD of a chunked resource', async () => {
    const got = await given('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n', request('HEAD', '/'), 'HEAD')
    expect(got.status).toBe(200)
    expect(got.head.has('content-length')).toBe(false)
  })

  it('35: 304 keeps what its length would be', async () => {
    const got = await given('HTTP/1.1 304 Not Modified\r\nETag: "a"\r\nContent-Length: 99\r\n\r\n')
    expect(got.status).toBe(304)
    expect(got.head.all('content-length')).toEqual(['99'])
    expect(got.head.one('etag')).toBe('"a"')
  })

  it.each([204, 304])('35: nothing is invented for %i', async (status) => {
    const caller = await weir.connect()
    upstream.onRequest = ({ target }) => (target === '/' ? `HTTP/1.1 ${status} X\r\n\r\n` : answer(200, [], 'next'))
    await caller.send(request('GET', '/'), request('GET', '/next'))
    const got = await caller.readFinal()
    expect(got.status).toBe(status)
    expect(got.head.has('content-length')).toBe(false)
    expect(got.head.has('transfer-encoding')).toBe(false)
    expect((await caller.readFinal()).body.toString()).toBe('next')
    expect(upstream.peers).toHaveLength(1)
    caller.destroy()
  })

  it.each([
    ['HEAD', 'HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil'],
    ['204', 'HTTP/1.1 204 No Content\r\n\r\nevil'],
    ['204 with CL', 'HTTP/1.1 204 No Content\r\nContent-Length: 4\r\n\r\nevil'],
    ['204 with TE', 'HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nevil\r\n0\r\n\r\n'],
    ['304', 'HTTP/1.1 304 Not Modified\r\nContent-Length: 4\r\n\r\nevil'],
  ])('35: body bytes with a %s go nowhere', async (kind, text) => {
    const method = kind === 'HEAD' ? 'HEAD' : 'GET'
    upstream.onRequest = () => text
    const caller = await weir.connect()
    await caller.send(request(method, '/'))
    const got = await caller.readFinal(method)
    if (got.status === 502) expectProblem(got, 502, 'BAD_ANSWER')
    else if (kind.startsWith('204')) expect([got.head.has('content-length'), got.head.has('transfer-encoding')]).toEqual([false, false])
    expect((await caller.settle()).toString()).toBe('')
    caller.destroy()
    await expectDiscarded()
  })
})

describe('36: informational answers', () => {
  const hints = 'HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\nConnection: X-Hop\r\nX-Hop: 1\r\n\r\n'

  it('36: 103 is forwarded as it comes, before the final one', async () => {
    upstream.onRequest = async (_, peer) => {
      await peer.send(hints)
      await caller.until(() => caller.count > 0, 'the hints')
      return answer(200, [], 'ok')
    }
    const caller = await weir.connect()
    await caller.send(request('GET', '/'))
    const got = await caller.readFinal()
    expect(got).toMatchObject({ status: 200, body: Buffer.from('ok') })
    expect(got.informed.map(({ status }) => status)).toEqual([103])
    expect(got.informed[0]!.head.one('link')).toBe('</a.css>; rel=preload')
    expect(got.informed[0]!.head.has('x-hop')).toBe(false)
    expect(got.informed[0]!.head.has('content-length')).toBe(false)
    caller.destroy()
  })

  it.each([100, 102])('36: %i that nobody asked for is dropped', async (status) => {
    const got = await given(`HTTP/1.1 ${status} X\r\n\r\nHTTP/1.1 ${status} X\r\nX: 1\r\n\r\n${answer(200, [], 'ok').toString()}`)
    expect(got).toMatchObject({ status: 200, informed: [], body: Buffer.from('ok') })
    expect((await weir.exchange(request('GET', '/again'))).status).toBe(200)
    expect(upstream.peers).toHaveLength(1)
  })

  it('36: an HTTP/1.0 caller gets none', async () => {
    const got = await given(hints + answer(200, [], 'ok').toString(), bytes('GET / HTTP/1.0\r\n\r\n'))
    expect(got).toMatchObject({ status: 200, informed: [], body: Buffer.from('ok') })
  })

  it('36: one that is never followed by a final one is not an answer', async () => {
    upstream.onRequest = async (_, peer) => {
      await peer.send(hints)
      peer.finish()
    }
    const got = await weir.exchange(request('POST', '/', [], 'x'), 'POST')
    expectProblem(got, 502)
    await upstream.fresh()
    upstream.onRequest = (_, peer) => void peer.send('HTTP/1.1 100 Continue\r\n\r\n')
    expectProblem(await weir.exchange(request('GET', '/')), 504, 'HEADERS_TIMEOUT')
  })

  it('36: an endless series of them ends', async () => {
    upstream.onRequest = async (_, peer) => {
      while (!peer.over) if (!(await peer.send('HTTP/1.1 102 Processing\r\n\r\n'.repeat(100)))) return
    }
    const got = await weir.exchange(request('GET', '/'))
    expect([502, 504]).toContain(got.status)
  })
})

describe('38: trailers', () => {
  const trailing = Buffer.concat([bytes('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n'), chunked(['abc'], ['X-Sum: 7', 'Host: evil', 'Authorization: x', 'Content-Length: 9', 'Transfer-Encoding: chunked', 'Connection: close', 'Set-Cookie: a=1', 'x-two: \xe9'])])

  it('38: of a request go no further', async () => {
    await weir.exchange(Buffer.concat([request('POST', '/', ['Transfer-Encoding: chunked', 'Trailer: X-Sum']), chunked(['abc'], ['X-Sum: 1', 'Host: evil', 'Content-Length: 9'])]), 'POST')
    expect(upstream.request.trailers).toEqual([])
    expect(upstream.request.head.raw.toString()).not.toMatch(/evil|X-Sum/i)
    expect(upstream.request.body.toString()).toBe('abc')
  })

  it('38: of an answer reach a caller that asked, without the forbidden ones', async () => {
    const got = await given(trailing, request('GET', '/', ['TE: trailers', 'Connection: TE']))
    expect(got).toMatchObject({ complete: true, framing: 'chunked', body: Buffer.from('abc') })
    expect(got.trailers).toEqual([['X-Sum', '7'], ['x-two', '\xe9']])
  })

  it('38: and nobody else', async () => {
    expect(await given(trailing)).toMatchObject({ complete: true, trailers: [], body: Buffer.from('abc') })
    const old = await given(trailing, bytes('GET / HTTP/1.0\r\nTE: trailers\r\n\r\n'))
    expect(old).toMatchObject({ framing: 'close', complete: true, body: Buffer.from('abc') })
  })

  it('38: malformed ones cut the answer', async () => {
    const got = await given('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nX : 1\r\n\r\n')
    expect(got.complete).toBe(false)
    await expectDiscarded()
  })
})

describe('39: answers that the end delimits', () => {
  beforeEach(() => {
    upstream.onRequest = async (_, peer) => {
      await peer.send('HTTP/1.1 200 OK\r\nX-A: 1\r\n\r\n')
      await peer.send('one ')
      await pause(10)
      await peer.send('two')
      peer.finish()
    }
  })

  it('39: are chunked to HTTP/1.1, and the connection stays', async () => {
    const caller = await weir.connect()
    await caller.send(request('GET', '/'))
    expect(await caller.readFinal()).toMatchObject({ framing: 'chunked', complete: true, body: Buffer.from('one two') })
    upstream.onRequest = () => answer(200, [], 'next')
    await caller.send(request('GET', '/next'))
    expect((await caller.readFinal()).body.toString()).toBe('next')
    caller.destroy()
  })

  it('39: stay so to HTTP/1.0', async () => {
    const got = await weir.exchange('GET / HTTP/1.0\r\n\r\n')
    expect(got).toMatchObject({ framing: 'close', complete: true, body: Buffer.from('one two') })
    expect(got.head.has('transfer-encoding')).toBe(false)
  })

  it('39: chunks become close-delimited to HTTP/1.0', async () => {
    const got = await given(Buffer.concat([bytes('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n'), chunked(['abc', 'de'])]), bytes('GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n'))
    expect(got).toMatchObject({ framing: 'close', complete: true, body: Buffer.from('abcde') })
    expect(got.head.has('transfer-encoding')).toBe(false)
  })

  it('39: a reset instead of the end is a failure', async () => {
    upstream.onRequest = async (_, peer) => {
      await peer.send('HTTP/1.1 200 OK\r\n\r\npart')
      await pause(30)
      peer.reset()
    }
    expect(await weir.exchange(request('GET', '/'))).toMatchObject({ framing: 'chunked', complete: false, body: Buffer.from('part') })
  })
})

describe('34: any cut of an answer is the same answer', () => {
  const kinds: [string, Buffer, string][] = [
    ['a length', answer(200, ['X-A: \xe9', 'Set-Cookie: a'], 'hello'), 'hello'],
    ['chunks', Buffer.concat([bytes('HTTP/1.1 103 Early Hints\r\nLink: <a>\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n'), chunk('hel'), bytes('2;x="y"\r\nlo\r\n'), chunked([], ['X-T: 1'])]), 'hello'],
  ]

  it.each(kinds)('34: %s', async (_, text, body) => {
    upstream.onRequest = async ({ target }, peer) => {
      const cut = Number(target.slice(1))
      await peer.sendCut(text, cut === 0 ? Array.from({ length: text.length - 1 }, (_, i) => i + 1) : [cut], cut === 0 ? 0 : 2)
    }
    const check = async (cut: number): Promise<void> => {
      expect(await weir.exchange(request('GET', `/${cut}`))).toMatchObject({ status: 200, complete: true, body: Buffer.from(body) })
    }
    for (let from = 0; from < text.length; from += 24) await Promise.all(Array.from({ length: Math.min(24, text.length - from) }, (_, i) => check(from + i)))
  })
})
