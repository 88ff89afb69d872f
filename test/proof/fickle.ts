/** A backend that does anything: answers in every framing, early, late, never, half, twice; resets, stalls and goes away. Lean, since it runs for hours. */
import { once } from 'node:events'
import net from 'node:net'

export type Chance = (below: number) => number

/** What it did with one request; the first two are good answers. */
export type Deed = 'whole' | 'informed' | 'early' | 'refused' | 'reset' | 'cut' | 'stalled' | 'garbage' | 'extra' | 'late'

const BAD: readonly Deed[] = ['early', 'refused', 'reset', 'cut', 'stalled', 'garbage', 'extra', 'late']

/** Requests by id, as all backends of a test saw them. */
export class Seen {
  /** Heads that arrived. */
  total = 0
  readonly #byId = new Map<string, number>()

  add(id: string): void {
    this.total++
    this.#byId.set(id, (this.#byId.get(id) ?? 0) + 1)
  }

  has(id: string): boolean {
    return this.#byId.has(id)
  }

  /** How often `id` came; it is forgotten. */
  take(id: string): number {
    const count = this.#byId.get(id) ?? 0
    this.#byId.delete(id)
    return count
  }
}

export class Fickle {
  /** Of a hundred requests, how many fare badly. */
  bad = 30
  /** Ends kept connections in one of three ways, just when the next request may be on its way. */
  ends = false
  /** Answers everything 503, checks too. */
  refusing = false
  /** Requests that came, and checks of its health. */
  requests = 0
  checks = 0
  readonly port: number
  readonly #server: net.Server
  readonly #sockets = new Set<net.Socket>()
  readonly #seen: Seen
  readonly #chance: Chance

  private constructor(server: net.Server, port: number, seen: Seen, chance: Chance) {
    this.#server = server
    this.port = port
    this.#seen = seen
    this.#chance = chance
    server.on('connection', (socket) => this.#serve(socket))
  }

  static async listen(seen: Seen, chance: Chance): Promise<Fickle> {
    const server = net.createServer({ allowHalfOpen: true, noDelay: true })
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    return new Fickle(server, (server.address() as net.AddressInfo).port, seen, chance)
  }

  get connections(): number {
    return this.#sockets.size
  }

  /** Nobody listens, and what was open is reset. */
  async away(): Promise<void> {
    const closed = new Promise((done) => this.#server.close(done))
    for (const socket of this.#sockets) socket.resetAndDestroy()
    await closed
  }

  /** As a server that is stopped with care: what was asked is answered, then every connection is ended. */
  async retire(): Promise<void> {
    const closed = new Promise((done) => this.#server.close(done))
    for (const socket of this.#sockets) socket.end()
    await closed
  }

  async back(): Promise<void> {
    this.#server.listen(this.port, '127.0.0.1')
    await once(this.#server, 'listening')
  }

  #serve(socket: net.Socket): void {
    this.#sockets.add(socket)
    socket.on('close', () => this.#sockets.delete(socket))
    socket.on('error', () => undefined)
    socket.on('end', () => socket.end())
    let text = ''
    let deed: Deed | null = null
    socket.on('data', (data: Buffer) => {
      // What comes behind the end is executed by nobody.
      if (socket.writableEnded) return
      text += data.toString('latin1')
      for (;;) {
        const head = text.indexOf('\r\n\r\n')
        if (head < 0) return
        const lines = text.slice(0, head)
        if (deed === null) deed = this.#head(socket, lines)
        const size = bodySize(lines, text, head + 4)
        if (size < 0 || socket.destroyed) return
        text = text.slice(head + 4 + size)
        this.#answer(socket, lines, deed)
        deed = null
      }
    })
  }

  /** The head is there, the body perhaps not. */
  #head(socket: net.Socket, lines: string): Deed {
    if (lines.includes('/health ')) {
      this.checks++
      return 'whole'
    }
    this.requests++
    this.#seen.add(idOf(lines))
    const deed = this.#chance(100) < this.bad ? BAD[this.#chance(BAD.length)]! : this.#chance(8) === 0 ? 'informed' : 'whole'
    if (/\r\nexpect: 100/i.test(lines) && deed !== 'early') socket.write('HTTP/1.1 100 Continue\r\n\r\n')
    if (deed === 'early') socket.end('HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\nConnection: close\r\n\r\n')
    if (deed === 'reset') socket.resetAndDestroy()
    return deed
  }

  #answer(socket: net.Socket, lines: string, deed: Deed): void {
    if (deed === 'early' || deed === 'reset' || deed === 'stalled') return
    if (deed === 'garbage') return void socket.write('nonsense\r\n\r\n')
    if (deed === 'refused') return void socket.write(`HTTP/1.1 ${this.#chance(2) === 0 ? 503 : 429} No\r\nContent-Length: 2\r\n\r\nno`)
    if (deed === 'informed') socket.write('HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n')
    if (this.refusing) return void socket.write('HTTP/1.1 503 No\r\nContent-Length: 2\r\n\r\nno')
    const { head, parts } = this.#whole(lines)
    const half = deed === 'cut' ? parts.slice(0, parts.length - 1) : parts
    const write = (): void => {
      socket.write(head + half.join('') + (deed === 'extra' ? 'HTTP/1.1 200 OK\r\n\r\n' : ''))
      if (deed === 'cut') setTimeout(() => (this.#chance(2) === 0 ? socket.destroy() : socket.resetAndDestroy()), this.#chance(10))
    }
    if (deed === 'late') setTimeout(write, this.#chance(400))
    else write()
    if (this.ends && this.#chance(2) === 0) this.#end(socket, this.#chance(8), this.#chance(3))
  }

  /** @param turns of the event loop: finer than any timer */
  #end(socket: net.Socket, turns: number, how: number): void {
    if (turns > 0) return void setImmediate(() => this.#end(socket, turns - 1, how))
    if (how === 0) socket.end()
    else if (how === 1) socket.destroy()
    else socket.resetAndDestroy()
  }

  /** An answer that names its request, in one of three framings; the last part ends it. */
  #whole(lines: string): { head: string; parts: string[] } {
    const body = `{"id":"${idOf(lines)}","filler":"${'x'.repeat(this.#chance(20) === 0 ? 200_000 : this.#chance(500))}"}`
    if (lines.includes('/stream/')) {
      const event = (text: string): string => `data: ${text}\n\n`
      const chunk = (part: string): string => `${part.length.toString(16)}\r\n${part}\r\n`
      return { head: 'HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n', parts: [chunk(': hello\n\n'), chunk(event(body)), chunk(event('"end"')), '0\r\n\r\n'] }
    }
    const [one, two] = [body.slice(0, 8), body.slice(8)]
    if (this.#chance(2) === 0) return { head: `HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: ${body.length}\r\n\r\n`, parts: [one, two] }
    return { head: 'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n', parts: [`8\r\n${one}\r\n`, `${two.length.toString(16)}\r\n${two}\r\n`, '0\r\n\r\n'] }
  }
}

/** The last segment of the path. */
function idOf(lines: string): string {
  return lines.slice(0, lines.indexOf(' HTTP/')).split('/').at(-1)!
}

/** Bytes of the body behind the head, or -1 while it is not whole; chunked bodies of these tests hold no CRLF of their own. */
function bodySize(lines: string, text: string, from: number): number {
  if (/\r\ntransfer-encoding: chunked/i.test(lines)) {
    const end = text.indexOf('0\r\n\r\n', from)
    return end < 0 ? -1 : end + 5 - from
  }
  const length = Number(/\r\ncontent-length: (\d+)/i.exec(lines)?.[1] ?? 0)
  return text.length - from < length ? -1 : length
}
