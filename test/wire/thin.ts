/** Listener, forwarder and one HTTP backend in this process: all of the wire and nothing that is configured, for tests that want to look inside. */
import type { HttpBackendConfig, ListenerTimeouts, LimitsConfig, Config } from '../../config/config.ts'
import { type Clock, systemClock } from '../../gateway/clock.ts'
import { Generation } from '../../gateway/generation.ts'
import { Registry } from '../../gateway/metrics.ts'
import type { CompiledRoute } from '../../gateway/pipeline/route.ts'
import type { Log } from '../../gateway/plugin.ts'
import { Forwarder } from '../../gateway/server/forward.ts'
import { Listener } from '../../gateway/server/listener.ts'
import { compileRouter } from '../../gateway/server/router.ts'
import type { ExchangeRecord } from '../../gateway/telemetry/access.ts'
import { uuidv7 } from '../../gateway/telemetry/request_id.ts'
import { httpBackend, type HttpBackend } from '../../gateway/upstream/transport.ts'
import { backendMetrics, listenerMetrics } from '../../gateway/vital.ts'
import { Deadlines } from '../../gateway/wire/deadlines.ts'

export interface ThinOptions {
  readonly backend?: Partial<HttpBackendConfig>
  readonly timeouts?: Partial<ListenerTimeouts>
  readonly limits?: Partial<LimitsConfig>
  readonly route?: Partial<CompiledRoute>
  readonly clock?: Clock
}

export interface Thin {
  readonly port: number
  readonly listener: Listener
  readonly forwarder: Forwarder
  readonly backend: HttpBackend
  readonly deadlines: Deadlines
  /** What the access log would say, in order. */
  readonly records: ExchangeRecord[]
  /** Warnings and errors that were logged: a gateway that works has none. */
  readonly complaints: string[]
  close(): Promise<void>
}

/** The config of a backend on loopback ports, with the timeouts of a patient test. */
export function backendConfig(ports: readonly number[], more: Partial<HttpBackendConfig> = {}): HttpBackendConfig {
  return {
    kind: 'http',
    name: 'up',
    endpoints: ports.map((port) => ({ scheme: 'http', address: { host: '127.0.0.1', port }, authority: `127.0.0.1:${port}`, prefix: '', weight: 1, zone: '', priority: 0 })),
    balance: 'round_robin',
    connect_ms: 2000,
    response_headers_ms: 10_000,
    idle_ms: 10_000,
    connections: 1024,
    keep_alive_ms: 4000,
    lifetime_ms: 0,
    host: 'keep',
    headers: [],
    tls: { verify: true, ca: null, cert: null, key: null, server_name: '' },
    speaks: null, hash_by: '', slow_start_ms: 0, panic: 0, dns_refresh_ms: 0, health: null, ejection: null, limits: null, throttle: null,
    ...more,
  }
}

/** A log that keeps what is worse than information. */
export function keepingLog(complaints: string[]): Log {
  const keep = (message: string, fields?: object): void => void complaints.push(`${message} ${JSON.stringify(fields ?? {})}`)
  return { debug() {}, info() {}, warn: keep, error: keep }
}

/** A gateway whose one route sends everything to the upstream at `port`. */
export async function thin(port: number, options: ThinOptions = {}): Promise<Thin> {
  const clock = options.clock ?? systemClock
  const registry = new Registry()
  const deadlines = new Deadlines(clock)
  const complaints: string[] = []
  const log = keepingLog(complaints)
  const records: ExchangeRecord[] = []
  const backend = httpBackend(backendConfig([port], options.backend), { clock, deadlines, metrics: registry.handles(backendMetrics), random: Math.random })
  const route = {
    name: 'all', format: null, maxBodyBytes: 64 << 20, backend, plugins: [], slots: 0, request: null, requestBody: null, send: backend.send, response: null,
    responseBody: null, responseChunk: null, finish: null, done: null, replayBytes: 0, plain: options.route === undefined, admin: new Map(), close: async () => {}, ...options.route,
  } as unknown as CompiledRoute
  const limits: LimitsConfig = { head_bytes: 16_384, fields: 100, target_bytes: 8192, connections: 10_000, in_flight: 10_000, ...options.limits }
  const config = { forwarded: { trusted: [], write: 'none', via: '' }, deadlines: { header: '' }, routes: [], limits, answer_headers: false } as unknown as Config
  const router = compileRouter([{ match: { host: null, methods: [], path: '/**', headers: {}, when: null }, when: null, route }])
  const forwarder = new Forwarder({ clock, log, registry, inferenceId: uuidv7(clock), record: (record) => void records.push(record) })
  forwarder.generation = new Generation(1, config, router, [route], async () => {})
  const listener = new Listener(
    { address: { host: '127.0.0.1', port: 0 }, tls: null },
    {
      timeouts: { request_headers_ms: 10_000, idle_ms: 10_000, ...options.timeouts },
      limits, clock, deadlines, log, metrics: registry.handles(listenerMetrics), reusePort: false, refuse: forwarder.refuse,
    },
    forwarder.serve,
  )
  const address = await listener.listen()
  return {
    port: 'port' in address ? address.port : 0,
    listener, forwarder, backend, deadlines, records, complaints,
    async close() {
      backend.close()
      const closed = listener.close()
      listener.destroy()
      await closed
    },
  }
}
