/**
 * Fuzzing of the codec (WEIR_FUZZ_SECONDS, 3 by default) and of a gateway through sockets. A failure prints the seed and the bytes:
 * run again with WEIR_FUZZ_SEED=… and keep the bytes in `regressions.ts`.
 */
import net from 'node:net'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { request } from '../../blackbox/message.ts'
import { connect, pause, Upstream } from '../../blackbox/scripted.ts'
import { type Thin, thin } from '../../wire/thin.ts'
import { check, Fuzzer, type Kind } from './fuzz.ts'
import { regressions } from './regressions.ts'

const seconds = Number(process.env['WEIR_FUZZ_SECONDS'] ?? 3)
const seed = Number(process.env['WEIR_FUZZ_SEED'] ?? Math.floor(Math.random() * 2 ** 31))

describe('codec', () => {
  it.each(regressions)('%s', (_, kind, raw, cuts) => {
    const data = Buffer.from(raw, 'latin1')
    check(kind, data, cuts, false)
    check(kind, data, [...data.keys()], true)
  })

  it(`mutants of the corpus, seed ${seed}, ${seconds} s`, { timeout: seconds * 1000 + 20_000 }, () => {
    console.log(`fuzzing the codec with seed ${seed}`)
    const fuzzer = new Fuzzer(seed)
    const end = performance.now() + seconds * 1000
    const codes = new Map<string, number>()
    let messages = 0
    let count = 0
    while (count % 100 !== 0 || performance.now() < end) {
      const kind: Kind = count++ % 2 === 0 ? 'request' : 'answer'
      const data = fuzzer.mutant(kind)
      const cuts = fuzzer.cuts(data.length)
      const bodyless = kind === 'answer' && fuzzer.chance(5) === 0
      try {
        const reading = check(kind, data, cuts, bodyless)
        messages += reading.messages.length
        codes.set(String(reading.code), (codes.get(String(reading.code)) ?? 0) + 1)
      } catch (error) {
        throw new Error(`seed ${seed}, case ${count}: ${kind} ${JSON.stringify(data.toString('latin1'))}, cuts ${JSON.stringify(cuts)}`, { cause: error })
      }
    }
    // The mutants reach every way to end, or they would prove little.
    for (const code of ['null', 'BAD_REQUEST_LINE', 'BAD_TARGET', 'BAD_HEADER', 'BAD_HOST', 'BAD_FRAMING', 'BAD_ANSWER', 'HTTP_VERSION', 'HEAD_TOO_LARGE']) expect(codes.get(code) ?? 0, code).toBeGreaterThan(0)
    expect(messages).toBeGreaterThan(count / 20)
  })
})

describe('gateway', () => {
  let upstream: Upstream
  let gateway: Thin
  beforeAll(async () => {
    upstream = await Upstream.listen()
    gateway = await thin(upstream.port, { timeouts: { request_headers_ms: 150, idle_ms: 150 }, backend: { response_headers_ms: 300, idle_ms: 150, connect_ms: 300 } })
  })
  afterAll(async () => {
    await gateway?.close()
    await upstream?.close()
  })

  /** Sends mutants in pieces and waits until the gateway has ended the connection. @returns what it said */
  function torment(fuzzer: Fuzzer): Promise<string> {
    const data = fuzzer.mutant('request')
    const cuts = [...new Set(fuzzer.cuts(data.length)), data.length].sort((a, b) => a - b).slice(0, 6)
    const leave = fuzzer.chance(4)
    return new Promise((resolve, reject) => {
      const socket = net.connect({ port: gateway.port, host: '127.0.0.1', allowHalfOpen: true })
      const late = setTimeout(() => reject(new Error(`seed ${seed}: neither answered nor closed: ${JSON.stringify(data.toString('latin1'))}`)), 5000)
      let said = ''
      socket.on('data', (part: Buffer) => void (said += part.toString('latin1')))
      socket.on('error', () => {})
      socket.on('end', () => socket.end())
      socket.on('close', () => {
        clearTimeout(late)
        resolve(said)
      })
      void (async () => {
        let from = 0
        for (const cut of cuts) {
          socket.write(data.subarray(from, cut))
          from = cut
          await pause(fuzzer.chance(3))
        }
        if (leave === 0) socket.resetAndDestroy()
        else if (leave === 1) socket.end()
      })()
    })
  }

  it(`ends every connection and goes on, seed ${seed}`, { timeout: 30_000 }, async () => {
    const fuzzer = new Fuzzer(seed)
    // Backends are no better: a mutant answers every tenth request.
    upstream.onRequest = (got) => (fuzzer.chance(10) === 0 ? fuzzer.mutant('answer') : `HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n${got.method === 'HEAD' ? '' : 'ok'}`)
    for (let round = 0; round < 12; round++) await Promise.all(Array.from({ length: 40 }, () => torment(fuzzer)))
    upstream.onRequest = () => 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok'
    const peer = await connect({ port: gateway.port })
    await peer.send(request('GET', '/'))
    expect((await peer.readFinal()).body.toString()).toBe('ok')
    peer.destroy()
    expect(gateway.complaints).toEqual([])
    for (let waited = 0; gateway.listener.connections > 0 && waited < 3000; waited += 20) await pause(20)
    expect([gateway.listener.connections, gateway.forwarder.inFlight, gateway.backend.state()[0]!.in_flight]).toEqual([0, 0, 0])
  })
})
