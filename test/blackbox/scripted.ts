/**
 * A scripted client and a scripted upstream: exact bytes at exact moments, and a record of what came back.
 *
 * Both ends of a conversation are a `Peer`. Sockets are half-open and without Nagle, so a FIN, a RST and every
 * segment is an event of its own. Every wait has an end; when it passes, the error shows what was received.
 */
import { once } from 'node:events'
import net from 'node:net'
import tls from 'node:tls'
import { bodiless, bytes, fieldOf, framingOf, Head, type Field, type Framing, type ReceivedAnswer, type ReceivedRequest } from './message.ts'

const PATIENCE_MS = 3000
const CRLF = bytes('\r\n')
const HEAD_END = bytes('\r\n\r\n')

export const pause = (ms: number): Promise<void> => new Promise((done) => setTimeout(done, ms))

/** The connection was over before what was waited for. */
export class Over extends Error {}

interface Content {
  readonly framing: Framing
  readonly body: Buffer
  readonly chunks: readonly Buffer[]
  readonly trailers: readonly Field[]
  readonly complete: boolean
}

export class Peer {
  readonly socket: net.Socket
  /** Every segment received and when (`performance.now()`). */
  readonly arrivals: { readonly at: number; readonly data: Buffer }[] = []
  /** Bytes received so far, also those that were not kept. */
  count = 0
  /** The other side sent FIN. */
  ended = false
  /** The connection is gone, both directions. */
  closed = false
  error: NodeJS.ErrnoException | null = null
  /** When the other side ended or the connection broke; 0 = not yet. */
  overAt = 0
  /** Count what arrives and keep nothing; for large bodies. */
  discard = false
  #parts: Buffer[] = []
  #size = 0
  readonly #waiters = new Set<() => void>()

  constructor(socket: net.Socket) {
    this.socket = socket
    socket.setNoDelay(true)
    socket.on('data', (data: Buffer) => this.#received(data))
    socket.on('end', () => this.#changed(() => (this.ended = true)))
    socket.on('error', (error) => this.#changed(() => (this.error = error)))
    socket.on('close', () => this.#changed(() => (this.closed = true)))
  }

  /** Nothing more will come. */
  get over(): boolean {
    return this.ended || this.closed
  }

  /** The connection was reset, not ended. */
  get wasReset(): boolean {
    return this.error?.code === 'ECONNRESET' || this.error?.code === 'EPIPE'
  }

  /** Everything received so far, read or not; '' while discarding. */
  get heard(): string {
    return Buffer.concat(this.arrivals.map(({ data }) => data)).toString('latin1')
  }

  /** Received and not yet read. */
  get unread(): Buffer {
    if (this.#parts.length !== 1) this.#parts = [Buffer.concat(this.#parts)]
    return this.#parts[0]!
  }

  // -------------------------------------------------------------- sending

  /** Resolves when the bytes are with the kernel: true, or false when the connection broke first. */
  send(...texts: (string | Buffer)[]): Promise<boolean> {
    const data = Buffer.concat(texts.map(bytes))
    return new Promise((done) => this.socket.write(data, (error) => done(error == null)))
  }

  /** Sends in pieces that the other side receives as reads of their own. @param cuts offsets, ascending */
  async sendCut(data: Buffer, cuts: readonly number[], gap_ms = 1): Promise<void> {
    let from = 0
    for (const cut of [...cuts, data.length]) {
      if (cut > from) await this.send(data.subarray(from, cut))
      from = cut
      if (from < data.length) await pause(gap_ms)
    }
  }

  /** FIN; receiving goes on. */
  finish(): void {
    this.socket.end()
  }

  reset(): void {
    this.socket.resetAndDestroy()
  }

  destroy(): void {
    this.socket.destroy()
  }

  // -------------------------------------------------------------- reading

  /** Waits until `ready`. @throws when `timeout_ms` pass */
  async until(ready: () => boolean, what: string, timeout_ms = PATIENCE_MS): Promise<void> {
    if (ready()) return
    await new Promise<void>((done, failed) => {
      const check = (): void => {
        if (!ready()) return
        clearTimeout(timer)
        this.#waiters.delete(check)
        done()
      }
      const timer = setTimeout(() => {
        this.#waiters.delete(check)
        failed(new Error(`waited ${timeout_ms} ms for ${what}; ${this.state()}`))
      }, timeout_ms)
      this.#waiters.add(check)
    })
  }

  /** The other side ended or reset the connection. @returns milliseconds it took from the call */
  async untilOver(timeout_ms = PATIENCE_MS): Promise<number> {
    const from = performance.now()
    await this.until(() => this.over, 'the end of the connection', timeout_ms)
    return this.overAt - from
  }

  /** Waits `quiet_ms` and gives what arrived by then; nothing is consumed. */
  async settle(quiet_ms = 50): Promise<Buffer> {
    await pause(quiet_ms)
    return this.unread
  }

  /** Everything up to the end of the connection. */
  async readAll(timeout_ms = PATIENCE_MS): Promise<Buffer> {
    await this.untilOver(timeout_ms)
    return this.#take(this.#size)
  }

  /** Up to `count` bytes: fewer only when the connection is over. */
  async read(count: number, timeout_ms = PATIENCE_MS): Promise<Buffer> {
    await this.until(() => this.#size >= count || this.over, `${count} bytes`, timeout_ms)
    return this.#take(Math.min(count, this.#size))
  }

  /** The next bytes are exactly these. @throws as soon as they are not */
  async expectBytes(text: string | Buffer): Promise<void> {
    const want = bytes(text)
    const differs = (): boolean => !this.unread.subarray(0, want.length).equals(want.subarray(0, this.#size))
    await this.until(() => this.#size >= want.length || this.over || differs(), `bytes ${show(want)}`)
    const got = await this.read(Math.min(want.length, this.#size))
    if (!got.equals(want)) throw new Error(`expected bytes ${show(want)}, got ${show(got)}; ${this.state()}`)
  }

  /** @throws Over when the connection is over before the head is whole */
  async readHead(timeout_ms = PATIENCE_MS): Promise<Head> {
    return new Head(await this.#through(HEAD_END, 'a head', timeout_ms))
  }

  async readRequest(timeout_ms = PATIENCE_MS): Promise<ReceivedRequest> {
    const head = await this.readHead(timeout_ms)
    const [method = '', target = '', version = ''] = head.line.split(' ')
    return { head, method, target, version, ...(await this.readContent(head, 'none', timeout_ms)) }
  }

  /** One answer, informational or final. @param method of the request it belongs to */
  async readAnswer(method = 'GET', timeout_ms = PATIENCE_MS): Promise<ReceivedAnswer> {
    const head = await this.readHead(timeout_ms)
    const [, version = '', code = '0', phrase = ''] = /^(\S+) (\d+) ?(.*)$/s.exec(head.line) ?? []
    const status = Number(code)
    const content = bodiless(status, method) ? EMPTY : await this.readContent(head, 'close', timeout_ms)
    return { head, version, status, phrase, informed: [], ...content }
  }

  /** The final answer, with the informational ones before it. */
  async readFinal(method = 'GET', timeout_ms = PATIENCE_MS): Promise<ReceivedAnswer> {
    const informed: ReceivedAnswer[] = []
    for (;;) {
      const one = await this.readAnswer(method, timeout_ms)
      if (one.status >= 200 || one.status === 101) return { ...one, informed }
      informed.push(one)
    }
  }

  /** The body behind `head`; incomplete when the connection is over first. */
  async readContent(head: Head, open: 'none' | 'close', timeout_ms = PATIENCE_MS): Promise<Content> {
    const { framing, length } = framingOf(head, open)
    if (framing === 'none') return EMPTY
    if (framing === 'chunked') return this.#readChunks(timeout_ms)
    const body = framing === 'length' ? await this.read(length, timeout_ms) : await this.readAll(timeout_ms)
    const complete = framing === 'length' ? body.length === length : this.ended && this.error === null
    return { framing, body, chunks: [body], trailers: [], complete }
  }

  /** One chunk's data; empty for the last one. @throws Over */
  async readChunk(timeout_ms = PATIENCE_MS): Promise<Buffer> {
    const line = (await this.#through(CRLF, 'a chunk size', timeout_ms)).toString('latin1')
    const size = Number.parseInt(line, 16)
    if (!/^[0-9a-f]+(;.*)?\r\n$/i.test(line)) throw new Error(`not a chunk size: ${JSON.stringify(line)}`)
    if (size === 0) return Buffer.alloc(0)
    const data = await this.read(size + 2, timeout_ms)
    if (data.length < size + 2) throw new Cut(data.subarray(0, size))
    return data.subarray(0, size)
  }

  /** What is known of the connection, for messages. */
  state(): string {
    const status = this.error !== null ? `broken (${this.error.code})` : this.ended ? 'ended' : this.closed ? 'closed' : 'open'
    return `the connection is ${status}, unread: ${show(this.unread)}`
  }

  async #readChunks(timeout_ms: number): Promise<Content> {
    const chunks: Buffer[] = []
    const content = (complete: boolean, trailers: Field[] = []): Content => ({ framing: 'chunked', body: Buffer.concat(chunks), chunks, trailers, complete })
    try {
      for (let data = await this.readChunk(timeout_ms); data.length > 0; data = await this.readChunk(timeout_ms)) chunks.push(data)
      const trailers: Field[] = []
      for (;;) {
        const line = (await this.#through(CRLF, 'a trailer', timeout_ms)).toString('latin1').slice(0, -2)
        if (line === '') return content(true, trailers)
        trailers.push(fieldOf(line))
      }
    } catch (error) {
      if (!(error instanceof Over)) throw error
      if (error instanceof Cut) chunks.push(error.rest)
      return content(false)
    }
  }

  /** Everything up to and including `mark`. */
  async #through(mark: Buffer, what: string, timeout_ms: number): Promise<Buffer> {
    await this.until(() => this.unread.includes(mark) || this.over, what, timeout_ms)
    const at = this.unread.indexOf(mark)
    if (at < 0) throw new Over(`over before ${what}: ${this.state()}`)
    return this.#take(at + mark.length)
  }

  #take(count: number): Buffer {
    const all = this.unread
    this.#parts = [all.subarray(count)]
    this.#size -= count
    return all.subarray(0, count)
  }

  #received(data: Buffer): void {
    this.count += data.length
    if (!this.discard) {
      this.arrivals.push({ at: performance.now(), data })
      this.#parts.push(data)
      this.#size += data.length
    }
    for (const check of [...this.#waiters]) check()
  }

  #changed(change: () => void): void {
    change()
    if (this.overAt === 0) this.overAt = performance.now()
    for (const check of [...this.#waiters]) check()
  }
}

/** A chunk that broke off. */
class Cut extends Over {
  readonly rest: Buffer
  constructor(rest: Buffer) {
    super('over inside a chunk')
    this.rest = rest
  }
}

const EMPTY: Content = { framing: 'none', body: Buffer.alloc(0), chunks: [], trailers: [], complete: true }

function show(data: Buffer): string {
  const text = JSON.stringify(data.subarray(0, 600).toString('latin1'))
  return data.length > 600 ? `${text} … (${data.length} bytes)` : text
}

// ---------------------------------------------------------------- client

export type Target = { readonly host?: string; readonly port: number } | { readonly path: string }

/** Opens a connection, over TLS when `secure` is given. @throws when it cannot be opened */
export async function connect(to: Target, secure?: tls.ConnectionOptions): Promise<Peer> {
  const options = 'path' in to ? { path: to.path } : { host: to.host ?? '127.0.0.1', port: to.port }
  const socket = secure === undefined ? net.connect({ ...options, allowHalfOpen: true }) : tls.connect({ ...options, ...secure } as tls.ConnectionOptions)
  await once(socket, secure === undefined ? 'connect' : 'secureConnect')
  return new Peer(socket)
}

// ---------------------------------------------------------------- upstream

export interface UpstreamOptions {
  readonly host?: string
  readonly port?: number
  /** Of a unix socket. */
  readonly path?: string
  readonly tls?: tls.TlsOptions
}

/** Called with each whole request; what it returns is sent. */
export type RequestScript = (request: ReceivedRequest, peer: Peer) => Promise<string | Buffer | void> | string | Buffer | void
export type ConnectionScript = (peer: Peer) => unknown

export class Upstream {
  /** Every connection since the last `fresh()`, in order of arrival. */
  peers: Peer[] = []
  /** Every whole request that the request script was called for. */
  requests: ReceivedRequest[] = []
  /** What runs for a new connection. The usual one reads requests and runs `onRequest`. */
  onConnection: ConnectionScript = (peer) => this.#serve(peer)
  onRequest: RequestScript = ok
  /** Errors of scripts; `fresh()` throws the first. */
  readonly failures: unknown[] = []
  readonly #server: net.Server
  /** Also those that never became a peer, such as failed TLS handshakes. */
  readonly #sockets = new Set<net.Socket>()

  private constructor(server: net.Server) {
    this.#server = server
    server.on('connection', (socket: net.Socket) => this.#sockets.add(socket.on('close', () => this.#sockets.delete(socket))))
    server.on(server instanceof tls.Server ? 'secureConnection' : 'connection', (socket: net.Socket) => this.#accept(socket))
  }

  static async listen(options: UpstreamOptions = {}): Promise<Upstream> {
    const server = options.tls === undefined ? net.createServer({ allowHalfOpen: true }) : tls.createServer({ ...options.tls, allowHalfOpen: true } as tls.TlsOptions)
    const upstream = new Upstream(server)
    server.listen(options.path === undefined ? { host: options.host ?? '127.0.0.1', port: options.port ?? 0 } : { path: options.path })
    await once(server, 'listening')
    return upstream
  }

  get port(): number {
    return (this.#server.address() as net.AddressInfo).port
  }

  /** The only connection. @throws when there are none or several */
  get peer(): Peer {
    if (this.peers.length !== 1) throw new Error(`${this.peers.length} connections came, not one`)
    return this.peers[0]!
  }

  /** The only request. @throws when there are none or several */
  get request(): ReceivedRequest {
    if (this.requests.length !== 1) throw new Error(`${this.requests.length} requests came, not one`)
    return this.requests[0]!
  }

  /** The `nth` connection, waiting for it. */
  async connection(nth = 0, timeout_ms = PATIENCE_MS): Promise<Peer> {
    const deadline = performance.now() + timeout_ms
    while (this.peers.length <= nth) {
      if (performance.now() > deadline) throw new Error(`waited ${timeout_ms} ms for connection ${nth}; ${this.peers.length} came`)
      await pause(1)
    }
    return this.peers[nth]!
  }

  /** As new: every connection is ended and its other side has noticed, scripts and records are the usual ones. */
  async fresh(): Promise<void> {
    this.onConnection = () => undefined
    // A connection that was made but not yet accepted comes in the next turn.
    for (let known = -1; known !== this.peers.length; await pause(1)) {
      known = this.peers.length
      await Promise.all(this.peers.map(part))
    }
    this.peers = []
    this.requests = []
    this.onConnection = (peer) => this.#serve(peer)
    this.onRequest = ok
    const failure = this.failures.shift()
    this.failures.length = 0
    if (failure !== undefined) throw failure
  }

  async close(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy()
    await new Promise((done) => this.#server.close(done))
  }

  #accept(socket: net.Socket): void {
    const peer = new Peer(socket)
    this.peers.push(peer)
    Promise.resolve()
      .then(() => this.onConnection(peer))
      .catch((error: unknown) => {
        // That the other side left in the middle of a script is for the test to judge.
        if (!(error instanceof Over)) this.failures.push(error)
      })
  }

  async #serve(peer: Peer): Promise<void> {
    for (;;) {
      const request = await requestOrEnd(peer)
      if (request === null) return peer.finish()
      this.requests.push(request)
      const text = await this.onRequest(request, peer)
      if (text !== undefined) await peer.send(text)
    }
  }
}

const ok: RequestScript = (request) => {
  const body = request.method === 'HEAD' ? '' : 'ok'
  return `HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n${body}`
}

const FOREVER_MS = 2 ** 31 - 1

/** A whole request, or null when the connection is over first. */
async function requestOrEnd(peer: Peer): Promise<ReceivedRequest | null> {
  try {
    const request = await peer.readRequest(FOREVER_MS)
    return request.complete ? request : null
  } catch (error) {
    if (error instanceof Over) return null
    throw error
  }
}

/** Ends a connection and waits until the other side has ended it too. */
async function part(peer: Peer): Promise<void> {
  peer.finish()
  peer.discard = true
  peer.socket.resume()
  await peer.until(() => peer.over, 'the other side to end', 500).catch(() => undefined)
  peer.destroy()
}
