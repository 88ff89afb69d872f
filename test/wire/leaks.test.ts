/** After two thousand exchanges of which many were cut, by either side and at any moment, nothing is left. */
import { once } from 'node:events'
import net from 'node:net'
import { expect, it } from 'vitest'
import { pause } from '../blackbox/scripted.ts'
import { random } from '../conformance/wire/fuzz.ts'
import { thin } from './thin.ts'

const EXCHANGES = 2000

const ANSWERS = [
  'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok',
  'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n',
  'HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\npart',
  'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n',
  `HTTP/1.1 200 OK\r\nContent-Length: 300000\r\n\r\n${'x'.repeat(300_000)}`,
  'HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n',
  'HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\nhello',
  'HTTP/1.1 413 Too Large\r\nConnection: close\r\nContent-Length: 0\r\n\r\n',
  'HTTP/1.1 200 OK\r\n\r\nuntil the end',
  'nonsense\r\n',
  '',
]

const WEBSOCKET = 'Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n'
const REQUESTS = [
  'GET / HTTP/1.1\r\nHost: a\r\n\r\n',
  'GET / HTTP/1.1\r\nHost: a\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n',
  'POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello',
  'POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 500\r\n\r\nhello',
  'POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n',
  'POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\nbroken',
  `POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 400000\r\n\r\n${'x'.repeat(400_000)}`,
  'PUT / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n',
  `GET / HTTP/1.1\r\nHost: a\r\n${WEBSOCKET}\r\n`,
  'GET / HTTP/1.1\r\nHost',
  'GET / HTTP/9.9\r\n\r\n',
]

it('sockets, exchanges and deadlines return to nothing', { timeout: 60_000 }, async () => {
  const seed = Math.floor(Math.random() * 2 ** 31)
  const next = random(seed)
  const chance = (below: number): number => Math.floor(next() * below)
  const cut = (socket: net.Socket): void => {
    const how = chance(4)
    if (how === 0) socket.resetAndDestroy()
    else if (how === 1) socket.destroy()
    else if (how === 2) socket.end()
  }
  const upstream = net.createServer({ allowHalfOpen: true }, (socket) => {
    socket.on('error', () => {})
    socket.on('end', () => socket.end())
    socket.on('data', () => {
      const text = ANSWERS[chance(ANSWERS.length)]!
      socket.write(text, 'latin1')
      // Five in eight go on living; the others are cut now or a little later.
      const fate = chance(8)
      if (fate < 2) cut(socket)
      else if (fate === 2) setTimeout(() => cut(socket), chance(5))
    })
  })
  upstream.listen(0, '127.0.0.1')
  await once(upstream, 'listening')
  const gateway = await thin((upstream.address() as net.AddressInfo).port, {
    timeouts: { request_headers_ms: 300, idle_ms: 300 },
    backend: { response_headers_ms: 250, idle_ms: 200, connect_ms: 500, keep_alive_ms: 200 },
  })

  async function one(): Promise<void> {
    const socket = net.connect({ port: gateway.port, host: '127.0.0.1', allowHalfOpen: true })
    const gone = new Promise((done) => socket.on('close', done))
    socket.on('error', () => {})
    socket.on('end', () => socket.end())
    if (chance(8) !== 0) socket.resume()
    const text = REQUESTS[chance(REQUESTS.length)]!
    const half = chance(3) === 0 ? chance(text.length) : text.length
    socket.write(text.slice(0, half), 'latin1')
    if (chance(3) === 0) await pause(chance(4))
    if (half < text.length) socket.write(text.slice(half), 'latin1')
    if (chance(3) === 0) {
      await pause(chance(6))
      cut(socket)
    }
    const patience = setTimeout(() => socket.destroy(), 100 + chance(200))
    await gone
    clearTimeout(patience)
  }
  let count = 0
  await Promise.all(
    Array.from({ length: 100 }, async () => {
      while (count++ < EXCHANGES) await one()
    }),
  )

  const left = async (): Promise<Record<string, number>> => ({
    callers: gateway.listener.connections,
    exchanges: gateway.forwarder.inFlight,
    ofGeneration: gateway.forwarder.generation!.inFlight,
    attempts: gateway.backend.state()[0]!.in_flight,
    connections: gateway.backend.state()[0]!.connections,
    idle: gateway.backend.state()[0]!.idle,
    deadlines: gateway.deadlines.size,
    accepted: await new Promise<number>((done, failed) => upstream.getConnections((error, open) => (error === null ? done(open) : failed(error)))),
  })
  const nothing = { callers: 0, exchanges: 0, ofGeneration: 0, attempts: 0, connections: 0, idle: 0, deadlines: 0, accepted: 0 }
  for (let waited = 0; waited < 4000 && Object.values(await left()).some((number) => number !== 0); waited += 50) await pause(50)
  expect(await left(), `seed ${seed}`).toEqual(nothing)
  expect(gateway.complaints).toEqual([])
  expect(gateway.records.length).toBeGreaterThan(EXCHANGES / 2)
  await gateway.close()
  await new Promise((done) => upstream.close(done))
})
