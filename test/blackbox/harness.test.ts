/** The scripted client and upstream against node:http: what tests the gateway must itself be right. */
import http from 'node:http'
import net, { type AddressInfo } from 'node:net'
import { once } from 'node:events'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { answer, chunk, chunked, Head, request } from './message.ts'
import { connect, Over, pause, type Peer, Upstream } from './scripted.ts'
import { Metrics } from './weir.ts'

describe('the client against a node:http server', () => {
  let server: http.Server
  let handler: http.RequestListener
  let peer: Peer
  const port = (): number => (server.address() as AddressInfo).port

  beforeAll(async () => {
    server = http.createServer((asked, answered) => handler(asked, answered)).listen(0, '127.0.0.1')
    await once(server, 'listening')
  })
  beforeEach(async () => {
    peer = await connect({ port: port() })
  })
  afterAll(() => {
    server.close()
    server.closeAllConnections()
  })

  it('reads answers framed by length, by chunks with trailers and by the end', async () => {
    handler = (asked, answered) => {
      if (asked.url === '/length') answered.writeHead(200, 'Fine', { 'content-length': 5, 'X-Two': ['1', '2'] }).end('12345')
      else if (asked.url === '/chunks') {
        answered.writeHead(200, { trailer: 'x-sum' }).write('abc')
        answered.addTrailers({ 'x-sum': '9' })
        answered.end('de')
      } else answered.writeHead(200, { connection: 'close', 'transfer-encoding': 'identity' }).end('open')
    }
    await peer.send(request('GET', '/length'), request('GET', '/chunks'))
    const length = await peer.readAnswer()
    expect(length).toMatchObject({ status: 200, phrase: 'Fine', framing: 'length', complete: true })
    expect(length.head.all('x-two')).toEqual(['1', '2'])
    expect(() => length.head.one('x-two')).toThrow('2 times')
    expect(length.body.toString()).toBe('12345')
    const chunks = await peer.readAnswer()
    expect(chunks).toMatchObject({ framing: 'chunked', complete: true, trailers: [['x-sum', '9']] })
    expect(chunks.body.toString()).toBe('abcde')
    const old = await connect({ port: port() })
    await old.send('GET /close HTTP/1.0\r\n\r\n')
    expect(await old.readAnswer()).toMatchObject({ framing: 'close', complete: true, body: Buffer.from('open') })
  })

  it('tells a cut answer from a whole one, and a reset from an end', async () => {
    handler = (asked, answered) => {
      answered.writeHead(200, asked.url === '/length' ? { 'content-length': 9 } : {}).write('abc')
      setTimeout(() => (asked.url === '/length' ? answered.socket!.end() : answered.socket!.resetAndDestroy()), 20)
    }
    await peer.send(request('GET', '/length'))
    expect(await peer.readAnswer()).toMatchObject({ complete: false, body: Buffer.from('abc') })
    expect(peer.wasReset).toBe(false)
    const other = await connect({ port: port() })
    await other.send(request('GET', '/chunks'))
    expect(await other.readAnswer()).toMatchObject({ framing: 'chunked', complete: false, body: Buffer.from('abc') })
    expect(other.wasReset).toBe(true)
  })

  it('reads informational answers and answers without a body', async () => {
    handler = (asked, answered) => {
      answered.writeEarlyHints({ link: '</a>; rel=preload' })
      answered.writeHead(asked.method === 'HEAD' ? 200 : 304, { 'content-length': 7 }).end()
    }
    await peer.send(request('HEAD', '/'), request('GET', '/'))
    const head = await peer.readFinal('HEAD')
    expect(head.informed.map(({ status }) => status)).toEqual([103])
    expect(head).toMatchObject({ status: 200, framing: 'none' })
    expect((await peer.readFinal()).status).toBe(304)
    expect(peer.unread).toHaveLength(0)
  })

  it('sends cuts that arrive as reads of their own, half-closes and resets', async () => {
    const reads: string[] = []
    const raw = net.createServer({ allowHalfOpen: true }, (socket) => {
      socket.on('data', (data) => reads.push(data.toString())).on('end', () => socket.end('bye')).on('error', (error) => reads.push(error.name))
    })
    raw.listen(0, '127.0.0.1')
    await once(raw, 'listening')
    const one = await connect({ port: (raw.address() as AddressInfo).port })
    await one.sendCut(Buffer.from('abcdef'), [1, 4], 10)
    one.finish()
    expect((await one.readAll()).toString()).toBe('bye')
    expect(reads).toEqual(['a', 'bcd', 'ef'])
    const two = await connect({ port: (raw.address() as AddressInfo).port })
    two.reset()
    await expect.poll(() => reads.at(-1)).toBe('Error')
    raw.close()
  })

  it('says what it waited for and what came instead', async () => {
    handler = (_, answered) => void answered.write('part')
    await peer.send(request('GET', '/'))
    await peer.readHead()
    await expect(peer.read(100, 50)).rejects.toThrow(/waited 50 ms for 100 bytes; the connection is open, unread: "4\\r\\npart/)
    await peer.expectBytes('4\r\npa')
    await expect(peer.expectBytes('XX')).rejects.toThrow('expected bytes "XX", got "rt"')
    server.closeAllConnections()
    await expect(peer.readHead()).rejects.toThrow(Over)
  })

  it('stops reading when paused, so that the sender stalls', async () => {
    let stalled = false
    handler = (_, answered) => void (stalled = !answered.write(Buffer.alloc(1 << 25)))
    peer.socket.pause()
    await peer.send(request('GET', '/'))
    await expect.poll(() => stalled).toBe(true)
    await pause(50)
    expect(peer.count).toBe(0)
    peer.discard = true
    peer.socket.resume()
    await peer.until(() => peer.count > 1 << 25, 'all of it')
    peer.destroy()
  })
})

describe('the upstream against a node:http client', () => {
  let upstream: Upstream
  const agent = new http.Agent({ keepAlive: true, maxSockets: 1 })

  beforeAll(async () => {
    upstream = await Upstream.listen()
  })
  beforeEach(() => upstream.fresh())
  afterAll(() => upstream.close())

  async function ask(method: string, body?: string): Promise<{ status: number; body: string; trailers: NodeJS.Dict<string> }> {
    const asking = http.request({ port: upstream.port, method, agent, path: '/p?q' })
    if (body !== undefined) asking.write(body)
    asking.end()
    const [answered] = (await once(asking, 'response')) as [http.IncomingMessage]
    let text = ''
    for await (const part of answered) text += String(part)
    return { status: answered.statusCode!, body: text, trailers: answered.trailers }
  }

  it('answers requests of one connection and keeps them', async () => {
    expect(await ask('POST', 'hello')).toMatchObject({ status: 200, body: 'ok' })
    upstream.onRequest = ({ body }) => answer(404, ['X-A: 1'], body.toString().toUpperCase())
    expect(await ask('POST', 'again')).toMatchObject({ status: 404, body: 'AGAIN' })
    expect(upstream.peers).toHaveLength(1)
    expect(upstream.requests.map(({ method, target, body }) => [method, target, body.toString()])).toEqual([['POST', '/p?q', 'hello'], ['POST', '/p?q', 'again']])
    expect(() => upstream.request).toThrow('2 requests')
  })

  it('runs a script of its own for a connection', async () => {
    upstream.onConnection = async (peer) => {
      await peer.readRequest()
      await peer.send('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n', chunk('one '))
      await pause(20)
      await peer.send(chunked(['two'], ['X-T: 5']))
    }
    expect(await ask('GET')).toEqual({ status: 200, body: 'one two', trailers: { 'x-t': '5' } })
    expect(upstream.requests).toHaveLength(0)
  })

  it('resets, ends, and stays silent', async () => {
    upstream.onConnection = (peer) => peer.reset()
    await expect(ask('GET')).rejects.toMatchObject({ code: 'ECONNRESET' })
    upstream.onRequest = (_, peer) => peer.finish()
    upstream.onConnection = (peer) => peer.readRequest().then(() => peer.finish())
    await expect(ask('GET')).rejects.toThrow('socket hang up')
  })

  it('begins afresh, and tells of scripts that failed', async () => {
    upstream.onConnection = async (peer) => {
      await peer.send(answer(200, ['Connection: close'], 'x'))
      throw new Error('in a script')
    }
    await ask('GET')
    await expect(upstream.fresh()).rejects.toThrow('in a script')
    expect(await ask('GET')).toMatchObject({ status: 200, body: 'ok' })
    expect(upstream.peers).toHaveLength(1)
  })
})

it('heads keep case, order, duplicates and bytes', () => {
  const head = new Head(Buffer.from('GET / HTTP/1.1\r\nB: \xe9 \r\na:1\r\nA: 2,  3\r\n\r\n', 'latin1'))
  expect(head.fields).toEqual([['B', '\xe9'], ['a', '1'], ['A', '2,  3']])
  expect(head.list('a')).toEqual(['1', '2', '3'])
})

it('metrics are summed over the series that match', () => {
  const metrics = new Metrics('# HELP a x\na_total{route="r",code="2xx"} 3\na_total{route="s",code="2xx"} 4\na_total{route="r",code="499"} 1\nb 7\n')
  expect(metrics.sum('a_total', { code: '2xx' })).toBe(7)
  expect(metrics.sum('a_total', { route: 'r', code: '499' })).toBe(1)
  expect(metrics.sum('b')).toBe(7)
})
