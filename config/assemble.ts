/** From valid parts of the file to the types of `config.ts`. Each function reports what the schema cannot say and gives null then. */
import { checkSelector } from '../gateway/expression/selector.ts'
import { isComplaint, parseAddress, parseEndpoint } from './addresses.ts'
import type { Address, AdminConfig, AnswerBackendConfig, BackendConfig, BatchingConfig, EjectionConfig, EndpointConfig, HealthConfig, HttpBackendConfig, ListenConfig, ServerTls, SpeaksConfig, UpstreamTls } from './config.ts'
import { needFile } from './files.ts'
import { join } from './issues.ts'
import { complain, type Scene } from './scene.ts'

// ---------------------------------------------------------------- listeners

export function address(scene: Scene, text: string, path: string): Address | null {
  const parsed = parseAddress(text, scene.base)
  return isComplaint(parsed) ? complain(scene, path, parsed) : parsed
}

interface WrittenTls {
  readonly cert: string
  readonly key: string
  readonly client_ca?: string
}
type WrittenListen = string | { readonly address: string; readonly tls?: WrittenTls }

function serverTls(scene: Scene, tls: WrittenTls | undefined, path: string): ServerTls | null {
  if (tls === undefined) return null
  const file = (key: 'cert' | 'key' | 'client_ca') => needFile(scene, join(path, key), tls[key])
  return { cert: file('cert')!, key: file('key')!, client_ca: file('client_ca') }
}

export function listeners(scene: Scene, written: WrittenListen | readonly WrittenListen[]): ListenConfig[] {
  const one = (item: WrittenListen, path: string): ListenConfig[] => {
    const text = typeof item === 'string' ? item : item.address
    const found = address(scene, text, typeof item === 'string' ? path : join(path, 'address'))
    return found === null ? [] : [{ address: found, tls: typeof item === 'string' ? null : serverTls(scene, item.tls, join(path, 'tls')) }]
  }
  return Array.isArray(written) ? written.flatMap((item: WrittenListen, i) => one(item, join('listen', i))) : one(written as WrittenListen, 'listen')
}

export function admin(scene: Scene, written: string | { address: string; token?: string; tls?: WrittenTls }): AdminConfig | null {
  if (written === 'off') return null
  const options = typeof written === 'string' ? { address: written } : written
  const found = address(scene, options.address, typeof written === 'string' ? 'admin' : 'admin.address')
  const tls = serverTls(scene, options.tls, 'admin.tls')
  return found === null ? null : { address: found, token: options.token ?? null, tls }
}

// ---------------------------------------------------------------- backends

interface WrittenHttp {
  readonly url?: string
  readonly urls?: readonly WrittenUrl[]
  readonly balance?: Exclude<HttpBackendConfig['balance'], 'hash'> | { readonly hash: string }
  readonly connect: number
  readonly response_headers: number
  readonly idle: number
  readonly connections: number
  readonly keep_alive: number
  readonly lifetime: number
  readonly host?: HttpBackendConfig['host']
  readonly headers?: Readonly<Record<string, string>>
  readonly tls?: Partial<Omit<UpstreamTls, 'verify'>> & { readonly verify: boolean }
  readonly speaks?: WrittenSpeaks
  readonly health?: { readonly path?: string; readonly tcp: boolean; readonly interval: number; readonly timeout: number; readonly unhealthy: number; readonly healthy: number }
  readonly ejection: 'off' | { readonly consecutive: number; readonly error_rate: number; readonly min_requests: number; readonly window: number; readonly base: number; readonly max: number; readonly max_percent: number }
  readonly limits?: { readonly in_flight: number; readonly queue: number; readonly queue_wait: number; readonly adaptive: 'off' | { readonly min: number } }
  readonly throttle?: { readonly multiplier: number; readonly window: number }
  readonly slow_start: number
  readonly panic: number
  readonly dns_refresh: number
}
type WrittenUrl = string | { readonly url: string; readonly weight: number; readonly zone?: string; readonly priority: number }
type WrittenSpeaks = SpeaksConfig['format'] | { readonly format: SpeaksConfig['format']; readonly model?: string; readonly version?: string | number; readonly columns?: readonly string[] }
export type WrittenBatching = 'off' | { readonly max_rows: number; readonly max_wait: number }
interface WrittenAnswer {
  readonly status: number
  readonly headers?: Readonly<Record<string, string>>
  readonly body?: string
  readonly json?: unknown
  readonly rows?: Readonly<Record<string, unknown>>
}
type WrittenBackend =
  | WrittenHttp
  | { readonly onnx: string; readonly placement?: 'auto' | 'inline' | 'thread'; readonly batching: WrittenBatching; readonly columns?: readonly string[] }
  | { readonly model: string; readonly version: string | number }
  | { readonly answer: WrittenAnswer }

export function backend(scene: Scene, name: string, written: WrittenBackend): BackendConfig | null {
  const path = join('backends', name)
  if ('onnx' in written) {
    needFile(scene, join(path, 'onnx'), written.onnx)
    return { kind: 'onnx', name, path: written.onnx, placement: written.placement ?? 'auto', batching: batching(written.batching), columns: written.columns ?? null }
  }
  if ('model' in written) return { kind: 'model', name, model: written.model, version: String(written.version) }
  if ('answer' in written) return answer(scene, name, written.answer, join(path, 'answer'))
  return http(scene, name, written as WrittenHttp, path)
}

export function batching(written: WrittenBatching): BatchingConfig | null {
  return written === 'off' ? null : { max_rows: written.max_rows, max_wait_ms: written.max_wait }
}

/** Formats whose requests name the model in the path. */
const NAMED_MODEL: readonly SpeaksConfig['format'][] = ['oip', 'kserve_v1', 'tfs']

function speaks(scene: Scene, written: WrittenSpeaks | undefined, path: string): SpeaksConfig | null {
  if (written === undefined) return null
  const { format, model = '', version = '', columns = null } = typeof written === 'string' ? { format: written } : written
  const named = NAMED_MODEL.includes(format)
  if (named && model === '') return complain(scene, path, { rule: 'missing-key', message: `\`${format}\` names a model in every request, and none is given`, help: `Write \`speaks: { format: ${format}, model: … }\`.` })
  if (!named && model !== '') return complain(scene, join(path, 'model'), { rule: 'useless-key', message: `\`${format}\` has no name of a model in its requests`, help: 'Remove it.' })
  return { format, model, version: String(version), columns }
}

function hashBy(scene: Scene, balance: WrittenHttp['balance'], path: string): string {
  if (typeof balance !== 'object') return ''
  const complaint = checkSelector(balance.hash)
  if (complaint !== null) complain(scene, join(path, 'hash'), { rule: 'bad-selector', message: complaint, help: '' })
  else if (/^(input|output)\./.test(balance.hash)) {
    complain(scene, join(path, 'hash'), { rule: 'bad-selector', message: '`hash` cannot look into bodies', help: 'Use `header.…`, `cookie.…`, `query.…` or `client.ip`.' })
  }
  return balance.hash
}

function http(scene: Scene, name: string, written: WrittenHttp, path: string): HttpBackendConfig | null {
  const places = written.url !== undefined ? [[written.url, join(path, 'url')] as const] : (written.urls ?? []).map((one, i) => [one, join(join(path, 'urls'), i)] as const)
  const endpoints: EndpointConfig[] = []
  const seen = new Map<string, string>()
  for (const [one, at] of places) {
    const { url, weight, zone = '', priority } = typeof one === 'string' ? { url: one, weight: 1, priority: 0 } : one
    const parsed = parseEndpoint(url, scene.base)
    if (isComplaint(parsed)) complain(scene, at, parsed)
    else if (seen.has(JSON.stringify(parsed))) complain(scene, at, { rule: 'duplicate-endpoint', message: 'this endpoint is listed twice', help: 'An endpoint twice would get twice the share; list each once.' })
    else endpoints.push({ ...parsed, weight, zone, priority })
    if (!isComplaint(parsed)) seen.set(JSON.stringify(parsed), at)
  }
  const headers = written.headers === undefined ? [] : fields(scene, written.headers, join(path, 'headers'), BACKEND_FIELDS)
  if (endpoints.length < places.length || headers === null) return null
  const secure = endpoints.some((endpoint) => endpoint.scheme === 'https')
  if (written.tls !== undefined && !secure) {
    scene.issues.warning(join(path, 'tls'), scene.tree.places.key(join(path, 'tls')), { rule: 'useless-tls', message: '`tls` has no effect on http urls', help: 'Write `https://` in the url.' })
  }
  return {
    kind: 'http', name, endpoints, headers,
    balance: typeof written.balance === 'object' ? 'hash' : (written.balance ?? 'least_request'),
    hash_by: hashBy(scene, written.balance, join(path, 'balance')),
    slow_start_ms: written.slow_start, panic: written.panic / 100, dns_refresh_ms: written.dns_refresh,
    health: health(scene, written.health, join(path, 'health')),
    ejection: ejection(scene, written.ejection, join(path, 'ejection')),
    limits: written.limits === undefined ? null : limits(scene, written.limits, join(path, 'limits')),
    throttle: written.throttle === undefined ? null : { multiplier: written.throttle.multiplier, window_ms: written.throttle.window },
    connect_ms: written.connect, response_headers_ms: written.response_headers, idle_ms: written.idle,
    connections: written.connections, keep_alive_ms: written.keep_alive, lifetime_ms: written.lifetime,
    // A certificate and a virtual host go by the name in the url; a plain-http model server sees the caller's Host, as behind any reverse proxy.
    host: written.host ?? (secure ? 'backend' : 'keep'),
    tls: upstreamTls(scene, written.tls, join(path, 'tls')),
    speaks: speaks(scene, written.speaks, join(path, 'speaks')),
  }
}

/** What a server of the Open Inference Protocol answers when it can serve. */
const READY_PATH = '/v2/health/ready'

function health(scene: Scene, written: WrittenHttp['health'], path: string): HealthConfig | null {
  if (written === undefined) return null
  const { interval, timeout, unhealthy, healthy, tcp } = written
  if (tcp && written.path !== undefined) return complain(scene, join(path, 'path'), { rule: 'conflicting-keys', message: '`path` does not go with `tcp`', help: 'A check is one of the two.' })
  if (timeout > interval) return complain(scene, path, { rule: 'out-of-range', message: '`timeout` is longer than `interval`', help: 'One check ends before the next begins.' })
  return { check: tcp ? 'tcp' : 'http', path: tcp ? '' : (written.path ?? READY_PATH), interval_ms: interval, timeout_ms: timeout, unhealthy, healthy }
}

function ejection(scene: Scene, written: WrittenHttp['ejection'], path: string): EjectionConfig | null {
  if (written === 'off') return null
  const { consecutive, min_requests, window, base, max } = written
  if (base > max) return complain(scene, path, { rule: 'out-of-range', message: '`base` is longer than `max`', help: 'The first ejection is the shortest.' })
  return { consecutive, error_rate: written.error_rate / 100, min_requests, window_ms: window, base_ms: base, max_ms: max, max_share: written.max_percent / 100 }
}

function limits(scene: Scene, { in_flight, queue, queue_wait, adaptive }: NonNullable<WrittenHttp['limits']>, path: string): HttpBackendConfig['limits'] {
  if (adaptive !== 'off' && adaptive.min > in_flight) return complain(scene, join(path, 'adaptive'), { rule: 'out-of-range', message: '`min` is more than `in_flight`', help: 'The limit moves between the two.' })
  return { in_flight, queue, queue_wait_ms: queue_wait, adaptive: adaptive === 'off' ? null : adaptive }
}

function upstreamTls(scene: Scene, tls: WrittenHttp['tls'], path: string): UpstreamTls {
  const file = (key: 'ca' | 'cert' | 'key') => needFile(scene, join(path, key), tls?.[key] ?? undefined)
  const [ca, cert, key] = [file('ca'), file('cert'), file('key')]
  if ((cert === null) !== (key === null)) complain(scene, path, { rule: 'incomplete-tls', message: `\`${cert === null ? 'key' : 'cert'}\` is given without \`${cert === null ? 'cert' : 'key'}\``, help: 'A client certificate needs both.' })
  return { verify: tls?.verify ?? true, ca, cert, key, server_name: tls?.server_name ?? '' }
}

function answer(scene: Scene, name: string, written: WrittenAnswer, path: string): AnswerBackendConfig | null {
  const bodies = (['body', 'json', 'rows'] as const).filter((key) => written[key] !== undefined)
  if (bodies.length > 1) return complain(scene, join(path, bodies[1]!), { rule: 'conflicting-keys', message: `\`${bodies[1]}\` does not go with \`${bodies[0]}\``, help: 'An answer has one body.' })
  if (bodies.length > 0 && (written.status === 204 || written.status === 205 || written.status === 304)) {
    return complain(scene, join(path, bodies[0]!), { rule: 'conflicting-keys', message: `an answer with status ${written.status} has no body`, help: 'Remove the body, or use another status.' })
  }
  const headers = written.headers === undefined ? [] : fields(scene, written.headers, join(path, 'headers'), FRAMING_FIELDS)
  if (headers === null) return null
  const { body, json, rows } = written
  return { kind: 'answer', name, status: written.status, headers, body: body !== undefined ? { text: body } : json !== undefined ? { json } : rows !== undefined ? { rows } : null }
}

// ---------------------------------------------------------------- header fields

/** Fields that frame a message or belong to one connection: the wire writes them. */
export const FRAMING_FIELDS = ['content-length', 'transfer-encoding', 'connection', 'keep-alive', 'te', 'trailer', 'upgrade', 'expect', 'proxy-connection', 'proxy-authenticate', 'proxy-authorization']
const BACKEND_FIELDS = [...FRAMING_FIELDS, 'host']

/** Flat; null when one of them is `refused`. */
export function fields(scene: Scene, written: Readonly<Record<string, string>>, path: string, refused: readonly string[]): string[] | null {
  let right = true
  for (const name of Object.keys(written)) {
    if (!refused.includes(name.toLowerCase())) continue
    right = false
    const help = name.toLowerCase() === 'host' ? 'Use `host: { name: … }`.' : 'weir frames messages itself; remove it.'
    scene.issues.error(join(path, name), scene.tree.places.key(join(path, name)), { rule: 'bad-header', message: `the field \`${name}\` cannot be set here`, help })
  }
  return right ? Object.entries(written).flat() : null
}
