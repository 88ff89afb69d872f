/** The race of a kept connection: its backend ends it just when the next request goes out. WEIR_PROOF=full runs it ten thousand times. */
import { once } from 'node:events'
import net from 'node:net'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { connect, type Peer } from '../blackbox/scripted.ts'
import { random } from '../conformance/wire/fuzz.ts'
import { type Thin, thin } from './thin.ts'

const TRIALS = process.env['WEIR_PROOF'] === 'full' ? 10_000 : 300
const LANES = 4

/** Turns of the event loop: finer than any timer. */
async function turns(count: number): Promise<void> {
  for (let i = 0; i < count; i++) await new Promise((done) => setImmediate(done))
}

/** Reads requests with `Content-Length` or none, answers each, and some turns later ends the connection in one of three ways. */
class Fickle {
  readonly server: net.Server
  /** How often each target was executed: read whole by a connection that had not been ended. */
  readonly executed = new Map<string, number>()
  readonly #chance: (below: number) => number

  constructor(seed: number) {
    const next = random(seed)
    this.#chance = (below) => Math.floor(next() * below)
    this.server = net.createServer({ allowHalfOpen: true }, (socket) => this.#serve(socket))
  }

  #serve(socket: net.Socket): void {
    let text = ''
    let over = false
    socket.on('error', () => {})
    socket.on('end', () => socket.end())
    socket.on('data', (data: Buffer) => {
      if (over) return
      text += data.toString('latin1')
      for (;;) {
        const head = /^(\w+) (\S+) [^]*?\r\n\r\n/.exec(text)
        if (head === null) return
        const length = Number(/\r\ncontent-length: (\d+)/i.exec(head[0])?.[1] ?? 0)
        if (text.length < head[0].length + length) return
        text = text.slice(head[0].length + length)
        this.executed.set(head[2]!, (this.executed.get(head[2]!) ?? 0) + 1)
        socket.write('HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok')
        void turns(this.#chance(8)).then(() => {
          if (this.#chance(2) === 0) return
          over = true
          const how = this.#chance(3)
          if (how === 0) socket.end()
          else if (how === 1) socket.destroy()
          else socket.resetAndDestroy()
        })
      }
    })
  }
}

describe('idle reuse', () => {
  const seed = Math.floor(Math.random() * 2 ** 31)
  let backend: Fickle
  let gateway: Thin

  beforeAll(async () => {
    backend = new Fickle(seed)
    backend.server.listen(0, '127.0.0.1')
    await once(backend.server, 'listening')
  })
  afterEach(() => gateway?.close())
  afterAll(async () => void (await new Promise((done) => backend.server.close(done))))

  /** `TRIALS` requests in a few lanes, each after some turns of the loop. @returns statuses by target */
  async function trials(method: string): Promise<Map<string, number>> {
    gateway = await thin((backend.server.address() as net.AddressInfo).port)
    const next = random(seed + 1)
    const statuses = new Map<string, number>()
    let count = 0
    async function lane(): Promise<void> {
      let peer: Peer = await connect({ port: gateway.port })
      while (count < TRIALS) {
        const target = `/${method}/${count++}`
        await peer.send(`${method} ${target} HTTP/1.1\r\nHost: a\r\n${method === 'POST' ? 'Content-Length: 4\r\n\r\nbody' : '\r\n'}`)
        const got = await peer.readFinal(method, 10_000)
        statuses.set(target, got.status)
        if (peer.over) peer = await connect({ port: gateway.port })
        peer.arrivals.length = 0
        await turns(Math.floor(next() * 8))
      }
      peer.destroy()
    }
    await Promise.all(Array.from({ length: LANES }, lane))
    return statuses
  }

  const TIME = { timeout: 20_000 + TRIALS * 20 }

  it(`GET: no caller sees any of it, ${TRIALS} trials, seed ${seed}`, TIME, async () => {
    const statuses = await trials('GET')
    expect([...statuses].filter(([, status]) => status !== 200)).toEqual([])
    expect(statuses.size).toBe(TRIALS)
    expect(gateway.records.filter((record) => record.attempts > 1).length, 'races that were repaired').toBeGreaterThan(0)
    expect(gateway.complaints).toEqual([])
  })

  it(`POST: never executed twice, and once when it was answered, ${TRIALS} trials, seed ${seed}`, TIME, async () => {
    const statuses = await trials('POST')
    for (const [target, status] of statuses) {
      const times = backend.executed.get(target) ?? 0
      expect([200, 502], target).toContain(status)
      expect(times, target).toBeLessThanOrEqual(1)
      if (status === 200) expect(times, target).toBe(1)
    }
    expect(gateway.records.every((record) => record.attempts === 1)).toBe(true)
    expect([...statuses.values()].filter((status) => status === 502).length, 'races that were told').toBeGreaterThan(0)
  })
})
