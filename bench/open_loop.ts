/**
 * Open-loop load: `node open_loop.ts URL PER_SECOND SECONDS` sends one request every 1/PER_SECOND seconds whatever the answers do, and
 * prints `{ p50_ms, p99_ms, … }`. A request that has to wait for its turn waits on the clock of the answer: latency counts from the
 * moment it was due (no coordinated omission). It spins for the last two milliseconds instead of sleeping, since timers are too coarse.
 */
import { connect, type Socket } from 'node:net'
import { requestBody } from './load.ts'

const WARM_UP_SECONDS = 1
const SPIN_MS = 2
const HEAD_END = Buffer.from('\r\n\r\n')

class Connection {
  readonly #socket: Socket
  readonly #free: (connection: Connection, latency_ms: number) => void
  #due = 0
  #held: Buffer = Buffer.alloc(0)

  constructor(socket: Socket, free: (connection: Connection, latency_ms: number) => void) {
    this.#socket = socket
    this.#free = free
    socket.on('data', (chunk: Buffer) => this.#received(chunk))
    socket.on('error', (error) => fail(error.message))
    socket.on('close', () => fail('a connection was closed'))
  }

  send(bytes: Buffer, due: number): void {
    this.#due = due
    this.#socket.write(bytes)
  }

  #received(chunk: Buffer): void {
    this.#held = this.#held.length === 0 ? chunk : Buffer.concat([this.#held, chunk])
    const end = this.#held.indexOf(HEAD_END)
    if (end < 0) return
    const head = this.#held.toString('latin1', 0, end)
    const length = /\r\ncontent-length: *(\d+)/i.exec(head)
    if (!head.startsWith('HTTP/1.1 200') || length === null) fail(`unexpected answer: ${head}`)
    if (this.#held.length < end + HEAD_END.length + Number(length![1])) return
    this.#held = Buffer.alloc(0)
    this.#free(this, performance.now() - this.#due)
  }
}

let over = false
function fail(why: string): void {
  if (over) return
  console.error(why)
  process.exit(1)
}

function quantile(sorted: Float64Array, q: number): number {
  return sorted[Math.min(sorted.length - 1, Math.ceil(q * sorted.length) - 1)]!
}

async function main(url: URL, perSecond: number, seconds: number): Promise<void> {
  const body = requestBody()
  const head = `POST ${url.pathname} HTTP/1.1\r\nHost: ${url.host}\r\nContent-Type: application/json\r\nUser-Agent: weir-bench\r\nContent-Length: ${Buffer.byteLength(body)}\r\n\r\n`
  const bytes = Buffer.from(head + body)
  const total = perSecond * (seconds + WARM_UP_SECONDS)
  const latencies: number[] = []
  const idle: Connection[] = []
  const waiting: number[] = []
  let answered = 0

  const free = (connection: Connection, latency_ms: number): void => {
    if (++answered > perSecond * WARM_UP_SECONDS) latencies.push(latency_ms)
    const next = waiting.shift()
    if (next === undefined) idle.push(connection)
    else connection.send(bytes, next)
  }
  for (let i = 0; i < 64; i++) {
    const socket = connect({ port: Number(url.port), host: url.hostname, noDelay: true })
    await new Promise<void>((resolve) => socket.once('connect', resolve))
    idle.push(new Connection(socket, free))
  }

  const begun = performance.now()
  let sent = 0
  const turn = (): void => {
    const now = performance.now()
    for (; sent < total && begun + (sent * 1000) / perSecond <= now; sent++) {
      const due = begun + (sent * 1000) / perSecond
      const connection = idle.shift()
      if (connection === undefined) waiting.push(due)
      else connection.send(bytes, due)
    }
    if (answered < total) {
      const left_ms = begun + (sent * 1000) / perSecond - performance.now()
      if (left_ms > SPIN_MS) setTimeout(turn, left_ms - SPIN_MS)
      else setImmediate(turn)
      return
    }
    over = true
    const sorted = Float64Array.from(latencies).sort()
    console.log(JSON.stringify({ p50_ms: quantile(sorted, 0.5), p99_ms: quantile(sorted, 0.99), max_ms: sorted.at(-1), requests: sorted.length }))
    process.exit(0)
  }
  turn()
}

if (process.argv[1] === import.meta.filename) await main(new URL(process.argv[2]!), Number(process.argv[3]), Number(process.argv[4]))
