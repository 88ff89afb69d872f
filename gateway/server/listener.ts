/** One address weir listens on: accepts, limits, TLS with certificates that are read again when they change. */
import { readFileSync } from 'node:fs'
import { stat } from 'node:fs/promises'
import net from 'node:net'
import tls from 'node:tls'
import type { Address, LimitsConfig, ListenConfig, ListenerTimeouts, ServerTls } from '../../config/config.ts'
import type { Clock, Timer } from '../clock.ts'
import type { WeirError } from '../errors.ts'
import type { Handles } from '../metrics.ts'
import type { Log } from '../plugin.ts'
import type { listenerMetrics } from '../vital.ts'
import type { Deadlines } from '../wire/deadlines.ts'
import { Inbound, type InboundShared } from '../wire/inbound.ts'
import type { Incoming } from '../wire/incoming.ts'

/** Takes a request; it will be answered through it. */
export type Serve = (request: Incoming) => void

export interface ListenerOptions {
  readonly timeouts: ListenerTimeouts
  readonly limits: LimitsConfig
  readonly clock: Clock
  readonly deadlines: Deadlines
  readonly log: Log
  readonly metrics: Handles<typeof listenerMetrics>
  /** Several threads accept on the same port. */
  readonly reusePort: boolean
  /** Told of every request that was refused before it became one. */
  readonly refuse: (connection: Inbound, error: WeirError) => void
}

const BACKLOG = 4096
/** How long a stop waits for the first request of a connection that was just made. */
const FIRST_REQUEST_MS = 500
/** How often certificates are looked at. Kubernetes and certbot replace files; a watch per file would miss swapped symlinks. */
const CERTIFICATE_CHECK_MS = 1000

export class Listener {
  readonly #config: ListenConfig
  readonly #options: ListenerOptions
  readonly #shared: InboundShared
  readonly #server: net.Server
  readonly #connections = new Set<Inbound>()
  /** TCP connections before the end of their TLS handshake, by the name of the peer. */
  readonly #handshakes = new Map<string, net.Socket>()
  #certificates: Timer | null = null

  constructor(config: ListenConfig, options: ListenerOptions, serve: Serve) {
    this.#config = config
    this.#options = options
    const seconds = Math.floor(options.timeouts.idle_ms / 1000)
    const open = options.metrics.weir_connections()
    this.#shared = {
      limits: options.limits,
      timeouts: options.timeouts,
      deadlines: options.deadlines,
      serve,
      refuse: options.refuse,
      closed: (connection) => {
        this.#connections.delete(connection)
        open.add(-1)
      },
      keepAliveLines: `connection: keep-alive\r\n${seconds > 0 ? `keep-alive: timeout=${seconds}\r\n` : ''}\r\n`,
      dateLine: dateLine(options.clock),
      draining: false,
    }
    this.#server = this.#makeServer(config.tls)
  }

  get connections(): number {
    return this.#connections.size
  }

  #makeServer(secure: ServerTls | null): net.Server {
    const options = { allowHalfOpen: true, noDelay: true, keepAlive: true, keepAliveInitialDelay: 30_000 }
    const total = this.#options.metrics.weir_connections_total()
    const refused = this.#options.metrics.weir_connections_refused_total()
    const open = this.#options.metrics.weir_connections()
    const accept = (socket: net.Socket): void => {
      total.add()
      if (this.#connections.size >= this.#options.limits.connections) {
        refused.add()
        socket.destroy()
        return
      }
      open.add(1)
      this.#connections.add(new Inbound(socket, this.#shared, secure !== null))
    }
    if (secure === null) return net.createServer(options, accept)
    const server = tls.createServer({ ...options, ...serverContext(secure), ALPNProtocols: ['http/1.1'], handshakeTimeout: this.#options.timeouts.request_headers_ms })
    server.on('connection', (socket: net.Socket) => this.#shakeHands(socket))
    server.on('secureConnection', (socket) => {
      this.#handshakes.delete(nameOf(socket))
      accept(socket)
    })
    server.on('tlsClientError', (error, socket) => {
      this.#options.log.debug('TLS handshake failed', { error: error.message })
      socket.destroy()
    })
    return server
  }

  /** A connection whose handshake is not over is no connection of a caller yet; a stop need not wait for it. */
  #shakeHands(socket: net.Socket): void {
    if (this.#handshakes.size >= this.#options.limits.connections) {
      this.#options.metrics.weir_connections_refused_total().add()
      socket.destroy()
      return
    }
    const name = nameOf(socket)
    this.#handshakes.set(name, socket)
    socket.once('close', () => this.#handshakes.delete(name))
  }

  /** @returns the address, with the port that was given for port 0. @throws the system's error (EADDRINUSE, EACCES) */
  async listen(): Promise<Address> {
    const { address, tls: secure } = this.#config
    await new Promise<void>((resolve, reject) => {
      this.#server.once('error', reject)
      const where = 'unix' in address ? { path: address.unix } : { host: address.host, port: address.port, reusePort: this.#options.reusePort }
      this.#server.listen({ ...where, backlog: BACKLOG }, () => {
        this.#server.off('error', reject)
        resolve()
      })
    })
    this.#server.on('error', (error) => this.#options.log.error('listener failed', { error: error.message }))
    if (secure !== null) this.#watchCertificates(secure)
    const bound = this.#server.address()
    return typeof bound === 'object' && bound !== null && 'host' in address ? { host: address.host, port: bound.port } : address
  }

  #watchCertificates(secure: ServerTls): void {
    let known: string | null = null
    const files = [secure.cert, secure.key, ...(secure.client_ca === null ? [] : [secure.client_ca])]
    this.#certificates = this.#options.clock.every(CERTIFICATE_CHECK_MS, () => {
      void stamp(files).then((now) => {
        if (now !== null && known !== null && now !== known) this.#reloadCertificates(secure)
        known = now ?? known
      })
    })
    void stamp(files).then((now) => {
      known ??= now
    })
  }

  /** A bad certificate changes nothing: new connections go on with the old one. */
  #reloadCertificates(secure: ServerTls): void {
    try {
      ;(this.#server as tls.Server).setSecureContext(serverContext(secure))
      this.#options.log.info('certificate reloaded', { cert: secure.cert })
    } catch (error) {
      this.#options.log.error('the new certificate cannot be used; the old one stays', { cert: secure.cert, error: error instanceof Error ? error.message : String(error) })
    }
  }

  /** From now on answers carry `connection: close`; connections that wait for a request stay until their next answer or `close`. */
  drain(): void {
    this.#shared.draining = true
  }

  /**
   * Accepts no more and closes idle connections. Settles when the last connection is gone. A connection on which no request has
   * come yet was made a moment ago, and its first request is on the way: it is given that moment.
   */
  close(): Promise<void> {
    this.#shared.draining = true
    this.#certificates?.cancel()
    const closed = new Promise<void>((resolve) => this.#server.close(() => resolve()))
    this.#closeIdle((connection) => !connection.fresh)
    this.#options.clock.after(FIRST_REQUEST_MS, () => this.#closeIdle(() => true))
    for (const socket of this.#handshakes.values()) socket.destroy()
    return closed
  }

  #closeIdle(which: (connection: Inbound) => boolean): void {
    for (const connection of [...this.#connections]) if (connection.idle && which(connection)) connection.close()
  }

  /** Cuts what is left. */
  destroy(): void {
    for (const connection of [...this.#connections]) connection.destroy()
  }
}

function serverContext(secure: ServerTls): tls.SecureContextOptions & tls.TlsOptions {
  return {
    cert: readFileSync(secure.cert),
    key: readFileSync(secure.key),
    minVersion: 'TLSv1.2',
    ...(secure.client_ca === null ? {} : { ca: readFileSync(secure.client_ca), requestCert: true, rejectUnauthorized: true }),
  }
}

function nameOf(socket: net.Socket): string {
  return `${socket.remoteAddress} ${socket.remotePort}`
}

/** Size and times of all files, or null while one is missing. */
async function stamp(files: readonly string[]): Promise<string | null> {
  try {
    const stats = await Promise.all(files.map((file) => stat(file)))
    return stats.map((one) => `${one.ino}:${one.size}:${one.mtimeMs}`).join('|')
  } catch {
    return null
  }
}

/** `date: …` of the present second, made once a second. */
function dateLine(clock: Clock): () => string {
  let second = -1
  let line = ''
  return () => {
    const now = Math.floor(clock.wall() / 1000)
    if (now !== second) {
      second = now
      line = `date: ${new Date(now * 1000).toUTCString()}\r\n`
    }
    return line
  }
}
