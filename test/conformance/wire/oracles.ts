/**
 * Servers that read the same bytes: node:http in strict mode, nginx, HAProxy and weir. What reached the other side is seen by one more
 * node:http server behind them (the recorder), which says in its answer what it understood.
 */
import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import http from 'node:http'
import net from 'node:net'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { freePort } from '../../servers.ts'

/** A request as the recorder's parser understood it. */
export interface Recorded {
  readonly method: string
  readonly url: string
  /** Flat, as received. */
  readonly fields: readonly string[]
  /** latin1; null when an error behind it kept it from being read, though it was whole */
  readonly body: string | null
}

/** What a server did with some bytes. */
export interface Outcome {
  /** Final statuses it answered, in order. */
  readonly statuses: readonly number[]
  /** The requests that were understood (behind it), in order. */
  readonly recorded: readonly Recorded[]
  /** The connection was ended by the server. */
  readonly closed: boolean
}

const MARK = 'x-recorded: '

export interface Recorder {
  readonly port: number
  /** What was understood on the connection from this local port, answered or not. */
  on(port: number): readonly Recorded[]
  close(): Promise<void>
}

/** node:http, strict, that answers with what it understood. */
export async function recorder(): Promise<Recorder> {
  const byPort = new Map<number, Recorded[]>()
  const server = http.createServer({ insecureHTTPParser: false, requireHostHeader: true, keepAliveTimeout: 30_000, maxHeaderSize: 65_536 }, (request, response) => {
    const parts: Buffer[] = []
    const port = request.socket.remotePort!
    const record = (body: string | null): Recorded => {
      const seen = { method: request.method ?? '', url: request.url ?? '', fields: request.rawHeaders, body }
      byPort.set(port, [...(byPort.get(port) ?? []), seen])
      return seen
    }
    let ended = false
    request.on('data', (part: Buffer) => parts.push(part))
    request.on('close', () => {
      if (!ended && request.complete) record(null)
    })
    request.on('end', () => {
      ended = true
      const body = Buffer.concat(parts).toString('latin1')
      const seen = record(body)
      // Far less than a field may hold in any of them; bodies and fields that are longer are only compared by their beginning.
      const told = JSON.stringify({ ...seen, fields: seen.fields.map((text) => text.slice(0, 100)).slice(0, 60), body: body.slice(0, 500) })
      response.writeHead(200, { 'x-recorded': Buffer.from(told).toString('base64'), 'content-length': 2 })
      response.end('ok')
    })
  })
  server.on('connection', (socket: net.Socket) => socket.on('error', () => {}))
  server.on('connect', (_, socket) => socket.end('HTTP/1.1 405 Method Not Allowed\r\nContent-Length: 0\r\n\r\n'))
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return {
    port: (server.address() as net.AddressInfo).port,
    on: (port) => byPort.get(port) ?? [],
    async close() {
      server.closeAllConnections()
      await new Promise((done) => server.close(done))
    },
  }
}

/** Sends bytes and gives what came back by the time the server ended the connection, was silent for `quiet_ms`, or for six times that said nothing at all. */
export function exchange(port: number, data: Buffer, quiet_ms: number): Promise<{ text: string; closed: boolean; from: number }> {
  return new Promise((resolve) => {
    const socket = net.connect({ port, host: '127.0.0.1', allowHalfOpen: true })
    const parts: Buffer[] = []
    let from = 0
    const done = (closed: boolean): void => {
      clearTimeout(timer)
      socket.destroy()
      resolve({ text: Buffer.concat(parts).toString('latin1'), closed, from })
    }
    let timer = setTimeout(() => done(false), 6 * quiet_ms)
    socket.on('connect', () => {
      from = socket.localPort ?? 0
      socket.write(data)
    })
    socket.on('data', (part: Buffer) => {
      parts.push(part)
      clearTimeout(timer)
      timer = setTimeout(() => done(false), quiet_ms)
    })
    socket.on('end', () => done(true))
    socket.on('close', () => done(true))
    socket.on('error', () => {})
  })
}

/** @param direct the recorder, when it is asked itself: it knows more than it could say before an error */
export async function ask(port: number, data: Buffer, quiet_ms: number, direct?: Recorder): Promise<Outcome> {
  const { text, closed, from } = await exchange(port, data, quiet_ms)
  const statuses = [...text.matchAll(/HTTP\/1\.[01] ([2-5]\d\d)/g)].map((match) => Number(match[1]))
  const recorded = [...text.matchAll(new RegExp(`${MARK}([A-Za-z0-9+/=]+)`, 'gi'))].map((match) => JSON.parse(Buffer.from(match[1]!, 'base64').toString()) as Recorded)
  return { statuses, recorded: direct === undefined ? recorded : direct.on(from), closed }
}

/** Asks all of them, `width` at a time. */
export async function askAll(port: number, all: readonly Buffer[], quiet_ms: number, width: number, direct?: Recorder): Promise<Outcome[]> {
  const outcomes: Outcome[] = []
  let next = 0
  async function work(): Promise<void> {
    for (let i = next++; i < all.length; i = next++) outcomes[i] = await ask(port, all[i]!, quiet_ms, direct)
  }
  await Promise.all(Array.from({ length: width }, work))
  return outcomes
}

// ---------------------------------------------------------------- servers of other people

export interface Running {
  readonly port: number
  stop(): Promise<void>
}

async function run(program: string, args: readonly string[], folder: string, port: number): Promise<Running> {
  const child: ChildProcess = spawn(program, args, { stdio: ['ignore', 'ignore', 'pipe'] })
  let errors = ''
  child.stderr!.on('data', (text: Buffer) => void (errors += text))
  const deadline = performance.now() + 5000
  while (!(await listens(port))) {
    if (child.exitCode !== null || performance.now() > deadline) throw new Error(`${program} does not listen: ${errors}`)
    await new Promise((done) => setTimeout(done, 20))
  }
  return {
    port,
    async stop() {
      const gone = once(child, 'exit')
      child.kill('SIGKILL')
      await gone
      await rm(folder, { recursive: true, force: true })
    },
  }
}

function listens(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = net.connect(port, '127.0.0.1')
    socket.on('connect', () => resolve((socket.destroy(), true)))
    socket.on('error', () => resolve(false))
  })
}

/** nginx in front of `upstream`: one process, its usual strictness, buffers as large as the corpus needs. */
export async function nginx(program: string, upstream: number): Promise<Running> {
  const folder = await mkdtemp(path.join(tmpdir(), 'weir-nginx-'))
  const port = await freePort()
  const temp = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map((name) => `  ${name}_temp_path ${folder}/${name};`).join('\n')
  const config = `daemon off; master_process off; pid ${folder}/pid; error_log stderr emerg;
events { worker_connections 512; }
http {
  access_log off;
${temp}
  large_client_header_buffers 8 32k; client_header_timeout 3s; client_body_timeout 3s; keepalive_timeout 3s; proxy_read_timeout 3s;
  server { listen 127.0.0.1:${port}; server_name fallback.test; location / { proxy_pass http://127.0.0.1:${upstream}; proxy_http_version 1.1; proxy_set_header Connection ""; proxy_set_header Host $host; proxy_buffer_size 128k; proxy_buffers 4 128k; proxy_busy_buffers_size 128k; } }
}
`
  await writeFile(`${folder}/nginx.conf`, config)
  return run(program, ['-p', folder, '-e', 'stderr', '-c', `${folder}/nginx.conf`], folder, port)
}

/** HAProxy in front of `upstream`. */
export async function haproxy(program: string, upstream: number): Promise<Running> {
  const folder = await mkdtemp(path.join(tmpdir(), 'weir-haproxy-'))
  const port = await freePort()
  const config = `global
  maxconn 512
  tune.bufsize 65536
defaults
  mode http
  timeout client 3s
  timeout server 3s
  timeout connect 3s
  timeout http-request 3s
frontend front
  bind 127.0.0.1:${port}
  default_backend back
backend back
  server one 127.0.0.1:${upstream}
`
  await writeFile(`${folder}/haproxy.cfg`, config)
  return run(program, ['-q', '-db', '-f', `${folder}/haproxy.cfg`], folder, port)
}
