/** A gateway that is not there, and a caller of its admin listener. */
import { type Agent, type IncomingHttpHeaders, request, type RequestOptions } from 'node:http'
import { request as tlsRequest, type RequestOptions as TlsOptions } from 'node:https'
import { onTestFinished } from 'vitest'
import type { AdminControl, PluginReport } from '../../gateway/admin/control.ts'
import { type AdminOptions, type AdminServer, startAdmin } from '../../gateway/admin/server.ts'
import { Registry } from '../../gateway/metrics.ts'
import type { Log } from '../../gateway/plugin.ts'
import { exchangeMetrics } from '../../gateway/vital.ts'
import { FakeClock } from '../fake_clock.ts'

/** Answers as a healthy gateway would; a test replaces what it is about. */
export function fakeControl(changes: Partial<AdminControl> = {}): AdminControl {
  const registry = new Registry()
  registry.handles(exchangeMetrics).weir_requests_total({ route: 'fraud', backend: 'fraud_v1', code: '2xx' }).add(42)
  return {
    views: () => [registry.view()],
    ready: () => ({ ready: true, reason: 'ready' }),
    config: () => ({ file: '/etc/weir.yaml', hash: 'abc123', loaded_at: Date.UTC(2026, 0, 31, 12), synchronized: true, issues: [], config: { listen: ['0.0.0.0:8080'], admin: { token: '***' } } }),
    routes: () => [{ name: 'fraud' }],
    backends: async () => [{ thread: 0, value: { fraud_v1: [] } }],
    records: async () => ({ sinks: [{ sink: 'lake', accepted: 0 }], error: null }),
    alarms: async () => [{ thread: 0, value: [] }],
    states: async () => [],
    models: () => [{ name: 'cancer', versions: ['1'] }],
    repository: async () => null,
    plugin: async (): Promise<PluginReport> => ({ kind: 'unknown' }),
    reload: async () => ({ ok: true, hash: 'def456', issues: [] }),
    drain: () => undefined,
    ...changes,
  }
}

export interface Got {
  readonly status: number
  readonly headers: IncomingHttpHeaders
  readonly text: string
  readonly json: unknown
}

export interface Started {
  readonly server: AdminServer
  readonly port: number
  readonly clock: FakeClock
  readonly logged: string[]
  get(path: string, headers?: Record<string, string>): Promise<Got>
  post(path: string, body?: string, headers?: Record<string, string>): Promise<Got>
  ask(options: RequestOptions, body?: string): Promise<Got>
}

export async function start(changes: Partial<AdminControl> = {}, options: Partial<AdminOptions> = {}, clock: FakeClock = new FakeClock()): Promise<Started> {
  const logged: string[] = []
  const note = (message: string): void => void logged.push(message)
  const log: Log = { debug: note, info: note, warn: note, error: note }
  const server = await startAdmin({ address: { host: '127.0.0.1', port: 0 }, token: null, tls: null, ...options }, fakeControl(changes), { clock, log })
  // A fake clock would never cut the connections that a broken test leaves open.
  onTestFinished(async () => {
    const closing = server.close()
    clock.advance(2_000)
    await closing
  })
  const port = 'port' in server.address ? server.address.port : 0
  const to = 'unix' in server.address ? { socketPath: server.address.unix } : { host: '127.0.0.1', port }
  const ask: Started['ask'] = (more, body) => send({ ...to, ...more }, body)
  return {
    server, port, clock, logged, ask,
    get: (path, headers = {}) => ask({ path, headers }),
    post: (path, body, headers = {}) => ask({ path, method: 'POST', headers }, body),
  }
}

export function send(options: RequestOptions | TlsOptions, body?: string, tls = false): Promise<Got> {
  const { promise, resolve, reject } = Promise.withResolvers<Got>()
  const asked = (tls ? tlsRequest : request)({ agent: false as unknown as Agent, ...options }, (response) => {
    const chunks: Buffer[] = []
    response.on('data', (chunk: Buffer) => chunks.push(chunk))
    response.on('error', reject)
    response.on('end', () => {
      const text = Buffer.concat(chunks).toString()
      const isJson = response.headers['content-type'] === 'application/json' && text !== ''
      resolve({ status: response.statusCode!, headers: response.headers, text, json: isJson ? JSON.parse(text) : undefined })
    })
  })
  asked.on('error', reject)
  asked.end(body)
  return promise
}
