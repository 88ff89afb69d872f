/** One address of an HTTP backend, as one thread sees it. */
import net from 'node:net'
import type tls from 'node:tls'
import { readFileSync } from 'node:fs'
import type { EndpointConfig, HttpBackendConfig, UpstreamTls } from '../../config/config.ts'
import type { Deadlines } from '../wire/deadlines.ts'
import { Pool } from '../wire/pool.ts'

/** Answer heads may be larger than request heads: they come from fewer and better known peers. */
const ANSWER_LIMITS = { head_bytes: 65_536, fields: 512, target_bytes: 0 }

export class Endpoint {
  readonly config: EndpointConfig
  readonly pool: Pool
  inFlight = 0
  answered = 0
  failed = 0

  constructor(config: EndpointConfig, backend: HttpBackendConfig, deadlines: Deadlines, counted: (delta: 1 | -1) => void) {
    this.config = config
    this.pool = new Pool({
      address: config.address,
      tls: config.scheme === 'https' ? tlsOptions(config, backend.tls) : null,
      limits: ANSWER_LIMITS,
      deadlines,
      connections: backend.connections,
      keepAliveMs: backend.keep_alive_ms,
      lifetimeMs: backend.lifetime_ms,
      counted,
    })
  }
}

function tlsOptions(endpoint: EndpointConfig, options: UpstreamTls): tls.ConnectionOptions {
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
