/** The admin listener, on node:http in the control thread: a slow or hostile caller of it never meets an exchange. */
import { type IncomingMessage, type RequestListener, createServer, type Server, type ServerResponse } from 'node:http'
import { createServer as createTlsServer } from 'node:https'
import type { Socket } from 'node:net'
import type { AdminConfig, Address } from '../../config/config.ts'
import { type Clock, LateError } from '../clock.ts'
import type { Log } from '../plugin.ts'
import type { AdminControl } from './control.ts'
import { type Answered, type Asked, type Endpoint, endpointsOf, listOf, refused } from './endpoints.ts'
import { hostGuard, isLoopback, sameOrigin, tokenGuard } from './guard.ts'
import { listen } from './listen.ts'
import { certificates } from './tls.ts'

export interface AdminOptions extends AdminConfig {
  /** Only `/metrics`, `/ready` and `/healthz`, open to everybody who reaches it. */
  readonly readOnly?: boolean
  /** Further names a listener on loopback goes by. */
  readonly hosts?: readonly string[]
}

export interface AdminDeps {
  readonly clock: Clock
  readonly log: Log
}

export interface AdminServer {
  /** With the port that was given for 0. */
  readonly address: Address
  close(): Promise<void>
}

export const MAX_BODY_BYTES = 1 << 20
export const MAX_CONNECTIONS = 256
const LIMITS = {
  maxHeaderSize: 16 << 10,
  headersTimeout: 5_000,
  requestTimeout: 10_000,
  connectionsCheckingInterval: 1_000,
  keepAliveTimeout: 5_000,
  insecureHTTPParser: false,
} as const
/** Neither side moved a byte. */
const IDLE_MS = 70_000
/** How long `close` waits for answers under way. */
const CLOSE_MS = 1_000

/** @throws when the address cannot be had, a certificate cannot be read, or everybody could drain the gateway */
export async function startAdmin(options: AdminOptions, control: AdminControl, deps: AdminDeps): Promise<AdminServer> {
  const { address, token, tls, readOnly = false } = options
  if (!readOnly && !isLoopback(address) && token === null && (tls === null || tls.client_ca === null)) {
    throw new Error('the admin listener is reachable from other machines: it needs `token`, or `tls` with `client_ca`')
  }
  const handler = handlerOf(options, control, deps)
  const certs = tls === null ? null : await certificates(tls, deps)
  const server = certs === null ? createServer(LIMITS, handler) : createTlsServer({ ...LIMITS, ...certs.current }, handler)
  certs?.serve(server)
  server.maxConnections = MAX_CONNECTIONS
  server.timeout = IDLE_MS
  server.on('clientError', rejectBroken)
  const bound = await listen(server, address)
  return { address: bound, close: () => closed(server, deps.clock).finally(() => certs?.close()) }
}

/** Answers under way get a moment. */
async function closed(server: Server, clock: Clock): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>()
  server.close(() => resolve())
  server.closeIdleConnections()
  const deadline = clock.after(CLOSE_MS, () => server.closeAllConnections())
  await promise
  deadline.cancel()
}

function rejectBroken(_error: Error, socket: Socket): void {
  if (socket.writable) socket.end('HTTP/1.1 400 Bad Request\r\nconnection: close\r\ncontent-length: 0\r\n\r\n')
  else socket.destroy()
}

// ---------------------------------------------------------------- one request

function handlerOf(options: AdminOptions, control: AdminControl, { clock, log }: AdminDeps): RequestListener {
  const { readOnly = false } = options
  const endpoints = endpointsOf(control, clock).filter((endpoint) => !readOnly || endpoint.readOnly === true)
  const allowedHost = hostGuard(options.address, options.hosts ?? [])
  const allowedToken = tokenGuard(readOnly ? null : options.token)
  const root: Endpoint = { path: '/', methods: ['GET'], summary: 'this list', ...(readOnly ? { open: true } : {}), answer: () => listOf(endpoints) }

  async function judged(request: IncomingMessage): Promise<Answered> {
    const { headers } = request
    if (!allowedHost(headers.host)) return refused(403, 'this listener answers to localhost alone; say so in Host')
    const [path = '', query = ''] = splitTarget(request.url ?? '')
    const found = path === '/' ? { endpoint: root, rest: [] } : find(endpoints, path)
    if (found?.endpoint.open !== true && !allowedToken(headers.authorization)) return refused(401, 'send `authorization: Bearer <token>` with the token of `admin`')
    if (found === null) return refused(404, 'there is nothing here; / lists what there is')
    const method = request.method === 'HEAD' ? 'GET' : request.method
    const { endpoint, rest } = found
    if (method !== 'GET' && method !== 'POST' || !endpoint.methods.includes(method)) {
      return { ...refused(405, `use ${endpoint.methods.join(' or ')}`), allow: endpoint.methods }
    }
    if (method === 'POST' && !sameOrigin(headers)) return refused(403, 'a page of another origin may not do this')
    const body = method === 'POST' ? await jsonOf(request) : { value: undefined }
    if ('status' in body) return body
    return endpoint.answer({ method, rest, query: new URLSearchParams(query), body: body.value } satisfies Asked)
  }

  return (request, response) => {
    judged(request)
      .catch((error: unknown) => failed(error, log))
      .then((answered) => send(response, answered, log))
      .catch(() => response.destroy())
  }
}

function failed(error: unknown, log: Log): Answered {
  if (error instanceof LateError) return refused(504, `the gateway gave ${error.message}`)
  log.error('an admin request failed', { error })
  return refused(500, 'weir itself failed; the log says how')
}

function splitTarget(target: string): [string, string] {
  const mark = target.indexOf('?')
  return mark < 0 ? [target, ''] : [target.slice(0, mark), target.slice(mark + 1)]
}

function find(endpoints: readonly Endpoint[], path: string): { endpoint: Endpoint; rest: string[] } | null {
  for (const endpoint of endpoints) {
    if (path === endpoint.path) return { endpoint, rest: [] }
    if (!endpoint.path.endsWith('/') || !path.startsWith(endpoint.path)) continue
    const rest = decoded(path.slice(endpoint.path.length).split('/'))
    if (rest !== null) return { endpoint, rest }
  }
  return null
}

function decoded(segments: readonly string[]): string[] | null {
  try {
    return segments.map((segment) => decodeURIComponent(segment))
  } catch {
    return null
  }
}

/** The JSON of a POST, bounded. */
async function jsonOf(request: IncomingMessage): Promise<{ value: unknown } | Answered> {
  const chunks: Buffer[] = []
  let bytes = 0
  for await (const chunk of request.iterator({ destroyOnReturn: false }) as AsyncIterable<Buffer>) {
    bytes += chunk.length
    if (bytes > MAX_BODY_BYTES) return refused(413, `the body is larger than ${MAX_BODY_BYTES} bytes`)
    chunks.push(chunk)
  }
  if (bytes === 0) return { value: undefined }
  try {
    return { value: JSON.parse(Buffer.concat(chunks).toString()) as unknown }
  } catch {
    return refused(400, 'the body is not JSON')
  }
}

function send(response: ServerResponse, { status, body, type, allow }: Answered, log: Log): void {
  const text = type === undefined ? json(body, log) : String(body)
  response.writeHead(text === null ? 500 : status, {
    'content-type': type ?? 'application/json',
    'content-length': Buffer.byteLength(text ?? UNWRITABLE),
    'cache-control': 'no-store',
    'x-content-type-options': 'nosniff',
    'content-security-policy': "default-src 'none'",
    ...(status === 401 ? { 'www-authenticate': 'Bearer' } : {}),
    ...(status === 413 ? { connection: 'close' } : {}),
    ...(allow === undefined ? {} : { allow: allow.join(', ') }),
  })
  response.end(text ?? UNWRITABLE)
}

const UNWRITABLE = '{"error":"the answer cannot be written as JSON; the log says why"}\n'

/** For people who use curl as much as for machines. */
function json(body: unknown, log: Log): string | null {
  try {
    return `${JSON.stringify(body ?? null, null, 2)}\n`
  } catch (error) {
    log.error('an admin answer cannot be written as JSON', { error })
    return null
  }
}
