/** One address of an HTTP backend, as one thread sees it. */
import net from 'node:net'
import type tls from 'node:tls'
import { readFileSync } from 'node:fs'
import type { Address, EndpointConfig, HttpBackendConfig, UpstreamTls } from '../../config/config.ts'
import type { Deadlines } from '../wire/deadlines.ts'
import { Pool, type PoolOptions } from '../wire/pool.ts'
import type { Gate } from './ejection.ts'
import type { PeakEwma } from './latency.ts'

/** Answer heads may be larger than request heads: they come from fewer and better known peers. */
export const ANSWER_LIMITS = { head_bytes: 65_536, fields: 512, target_bytes: 0 }

export class Endpoint {
  readonly config: EndpointConfig
  /** Where it connects to: of the config, or one of the addresses that its name stands for. */
  readonly address: Address
  readonly pool: Pool
  inFlight = 0
  answered = 0
  failed = 0
  /** null when nobody ejects. */
  gate: Gate | null = null
  /** null when nobody chooses by it. */
  latency: PeakEwma | null = null
  /** By active checks; null = not checked (yet). */
  healthy: boolean | null = null
  /** `clock.now()` when it came back or was added; 0 = it was there from the beginning. */
  since = 0
  /** Its weight, as far as slow start lets it have that. */
  share: number
  /** Mean share of those it is chosen among ÷ its own: requests in flight times this are comparable. */
  scale = 1
  /** Of smooth weighted round robin. */
  turn = 0

  constructor(config: EndpointConfig, options: PoolOptions) {
    this.config = config
    this.address = options.address
    this.share = config.weight
    this.pool = new Pool(options)
  }

  /** As a user would write it; the address follows where a name has several. */
  get url(): string {
    return `${this.config.scheme}://${this.config.authority}${this.config.prefix}`
  }

  /** The same for the same endpoint in every process. */
  get identity(): string {
    return this.address === this.config.address || 'unix' in this.address ? this.url : `${this.url}@${this.address.host}`
  }
}

/** Makes endpoints of a backend, and the pools of their own that checks use. What is read from files is read once. */
export class EndpointMaker {
  readonly #backend: HttpBackendConfig
  readonly #deadlines: Deadlines
  readonly #counted: (delta: 1 | -1) => void
  readonly #tls: ReadonlyMap<EndpointConfig, tls.ConnectionOptions | null>

  constructor(backend: HttpBackendConfig, deadlines: Deadlines, counted: (delta: 1 | -1) => void) {
    this.#backend = backend
    this.#deadlines = deadlines
    this.#counted = counted
    this.#tls = new Map(backend.endpoints.map((config) => [config, tlsFor(config, backend.tls)]))
  }

  /** @param address of the config, or one that its name stands for */
  make(config: EndpointConfig, address: Address): Endpoint {
    const { connections, keep_alive_ms: keepAliveMs, lifetime_ms: lifetimeMs } = this.#backend
    return new Endpoint(config, { ...this.#options(config, address), connections, keepAliveMs, lifetimeMs, counted: this.#counted })
  }

  /** One connection at a time, none kept. */
  checkPool({ config, address }: Endpoint): Pool {
    return new Pool({ ...this.#options(config, address), connections: 1, keepAliveMs: 0, lifetimeMs: 0, counted: () => undefined })
  }

  #options(config: EndpointConfig, address: Address): Pick<PoolOptions, 'address' | 'tls' | 'limits' | 'deadlines'> {
    return { address, tls: this.#tls.get(config)!, limits: ANSWER_LIMITS, deadlines: this.#deadlines }
  }
}

/** Certificate and server name go by the url, whatever address it stands for. */
export function tlsFor(endpoint: EndpointConfig, options: UpstreamTls): tls.ConnectionOptions | null {
  if (endpoint.scheme !== 'https') return null
  const host = 'host' in endpoint.address ? endpoint.address.host : ''
  const name = options.server_name === '' ? host : options.server_name
  return {
    rejectUnauthorized: options.verify,
    // An address is no server name (RFC 6066 §3); it is still verified against the certificate.
    ...(net.isIP(name) === 0 && name !== '' ? { servername: name } : {}),
    ...(options.ca === null ? {} : { ca: readFileSync(options.ca) }),
    ...(options.cert === null ? {} : { cert: readFileSync(options.cert) }),
    ...(options.key === null ? {} : { key: readFileSync(options.key) }),
  }
}
