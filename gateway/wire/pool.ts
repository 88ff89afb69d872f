/** Connections of one thread to one endpoint: the youngest idle one is used first, so that a burst's surplus ages and closes. */
import net from 'node:net'
import tls from 'node:tls'
import type { Address } from '../../config/config.ts'
import type { Deadlines } from './deadlines.ts'
import type { HeadLimits } from './head.ts'
import { Outbound, type OutboundOwner } from './outbound.ts'

export interface PoolOptions {
  readonly address: Address
  /** null = plain TCP or unix socket. */
  readonly tls: tls.ConnectionOptions | null
  readonly limits: HeadLimits
  readonly deadlines: Deadlines
  /** Open connections at most. */
  readonly connections: number
  /** How long an idle connection is kept, milliseconds. */
  readonly keepAliveMs: number
  /** A connection older than this carries no further request, so that a changed address is noticed under load too; 0 = no limit. */
  readonly lifetimeMs: number
  /** Told of every connection opened (1) and closed (-1). */
  readonly counted: (delta: 1 | -1) => void
}

/** One receive buffer for all plain connections of the thread (`onread`): a fresh 64 KiB for each read costs a tenth of the throughput. */
const RECEIVE = Buffer.allocUnsafeSlow(65_536)
/** A backend that says it keeps a connection for n seconds is believed for this much less, so that it does not close what is just being used. */
const KEEP_ALIVE_MARGIN_MS = 1000

export class Pool implements OutboundOwner {
  readonly limits: HeadLimits
  readonly deadlines: Deadlines
  readonly #options: PoolOptions
  readonly #idle: Outbound[] = []
  readonly #open = new Set<Outbound>()
  #session: Buffer | undefined
  #closed = false

  constructor(options: PoolOptions) {
    this.#options = options
    this.limits = options.limits
    this.deadlines = options.deadlines
  }

  get open(): number {
    return this.#open.size
  }

  get idle(): number {
    return this.#idle.length
  }

  /** A connection can be had: kept or new. */
  get hasRoom(): boolean {
    return this.#idle.length > 0 || this.#open.size < this.#options.connections
  }

  /** An idle connection, or null. */
  kept(): Outbound | null {
    return this.#idle.pop() ?? null
  }

  /** A new connection, still connecting; null when there are too many. */
  fresh(): Outbound | null {
    if (this.#open.size >= this.#options.connections) return null
    const connection = new Outbound((self) => this.#connect(self), this)
    this.#open.add(connection)
    this.#options.counted(1)
    return connection
  }

  #connect(connection: Outbound): net.Socket {
    const { address, tls: secure } = this.#options
    const where = 'unix' in address ? { path: address.unix } : { host: address.host, port: address.port }
    if (secure !== null) return this.#connectTls(connection, where, secure)
    const socket = net.connect({
      ...where,
      // A tunnel's backend may end its direction and still listen; everywhere else the end of it ends the connection.
      allowHalfOpen: true,
      noDelay: true,
      keepAlive: true,
      keepAliveInitialDelay: 30_000,
      onread: {
        buffer: RECEIVE,
        callback: (size, buffer) => {
          connection.received((buffer as Buffer).subarray(0, size))
          return true
        },
      },
    } as net.NetConnectOpts)
    socket.once('connect', () => connection.ready())
    return socket
  }

  #connectTls(connection: Outbound, where: object, secure: tls.ConnectionOptions): net.Socket {
    const socket = tls.connect({ ...where, ...secure, allowHalfOpen: true, ALPNProtocols: ['http/1.1'], session: this.#session } as tls.ConnectionOptions)
    socket.setNoDelay(true)
    socket.setKeepAlive(true, 30_000)
    socket.on('session', (session: Buffer) => {
      this.#session = session
    })
    socket.on('data', (chunk: Buffer) => connection.received(chunk))
    socket.once('secureConnect', () => connection.ready())
    return socket
  }

  // ---- OutboundOwner

  free(connection: Outbound, idleMs: number): void {
    if (this.#closed || this.#tooOld(connection)) return connection.destroy()
    const said = idleMs === 0 ? Number.POSITIVE_INFINITY : idleMs - KEEP_ALIVE_MARGIN_MS
    const keep = Math.min(this.#options.keepAliveMs, said)
    if (keep <= 0) return connection.destroy()
    this.deadlines.set(connection, keep)
    this.#idle.push(connection)
  }

  #tooOld(connection: Outbound): boolean {
    const { lifetimeMs } = this.#options
    return lifetimeMs > 0 && this.deadlines.now() - connection.born >= lifetimeMs
  }

  closed(connection: Outbound): void {
    if (this.#open.delete(connection)) this.#options.counted(-1)
    const at = this.#idle.lastIndexOf(connection)
    if (at >= 0) this.#idle.splice(at, 1)
  }

  /** Closes idle connections now and busy ones when they are free. */
  close(): void {
    this.#closed = true
    for (const connection of [...this.#idle]) connection.destroy()
  }
}
