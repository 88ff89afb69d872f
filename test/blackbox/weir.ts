/** Starts the real gateway as a process of its own, for tests that know it only by its sockets. */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import net from 'node:net'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import { expect } from 'vitest'
import type { ReceivedAnswer } from './message.ts'
import { connect, pause, Peer } from './scripted.ts'

/** Tests of the built package name another one. */
export const MAIN = process.env['WEIR_MAIN'] ?? fileURLToPath(new URL('../../gateway/main.ts', import.meta.url))
const START_MS = 15_000
const STOP_MS = 10_000

export interface WeirOptions {
  /** Value of `listen:`; default one address on IPv4 loopback at `port`. */
  readonly listen?: (port: number) => string
  readonly env?: Readonly<Record<string, string>>
  readonly threads?: number
}

/** A config without `listen`, `admin` and `threads`; those are written here, and a quick stop if it says nothing of `drain`. */
export async function startWeir(yaml: string, options: WeirOptions = {}): Promise<Weir> {
  const folder = await mkdtemp(path.join(tmpdir(), 'weir-blackbox-'))
  const port = await freePort()
  const admin = await freePort()
  const listen = options.listen?.(port) ?? `127.0.0.1:${port}`
  const file = path.join(folder, 'weir.yaml')
  const drain = /^drain:/m.test(yaml) ? '' : 'drain: { grace: 10ms, deadline: 2s }\n'
  // A machine that runs many tests at once is late often; what that does is tested where it is asked for.
  const calm = /^overload:/m.test(yaml) ? '' : 'overload: { loop_delay: off, memory: off }\n'
  await writeFile(file, `listen: ${listen}\nadmin: 127.0.0.1:${admin}\nthreads: ${options.threads ?? 1}\n${drain}${calm}${yaml}`)
  const weir = new Weir(spawn(process.execPath, [MAIN, 'run', file], { env: { ...process.env, ...options.env }, stdio: ['ignore', 'pipe', 'pipe'] }), folder, port, admin)
  await weir.ready()
  return weir
}

export class Weir {
  readonly process: ChildProcess
  readonly folder: string
  readonly port: number
  readonly admin: number
  stdout = ''
  stderr = ''

  constructor(child: ChildProcess, folder: string, port: number, admin: number) {
    this.process = child
    this.folder = folder
    this.port = port
    this.admin = admin
    child.stdout!.setEncoding('utf8').on('data', (text: string) => (this.stdout += text))
    child.stderr!.setEncoding('utf8').on('data', (text: string) => (this.stderr += text))
  }

  get running(): boolean {
    return this.process.exitCode === null && this.process.signalCode === null
  }

  /** Waits for `/ready`. @throws with the output when the process ends first */
  async ready(): Promise<void> {
    const deadline = performance.now() + START_MS
    while (performance.now() < deadline) {
      if (!this.running) break
      const answer = await fetch(`http://127.0.0.1:${this.admin}/ready`).catch(() => null)
      await answer?.arrayBuffer()
      if (answer?.status === 200) return
      await pause(20)
    }
    this.process.kill('SIGKILL')
    await rm(this.folder, { recursive: true, force: true })
    throw new Error(`weir did not become ready (exit code ${this.process.exitCode}):\n${this.stderr}${this.stdout}`)
  }

  connect(): Promise<Peer> {
    return connect({ port: this.port })
  }

  /** Sends bytes on a connection of their own and reads the final answer. */
  async exchange(data: string | Buffer, method = 'GET', timeout_ms?: number): Promise<ReceivedAnswer> {
    const peer = await this.connect()
    await peer.send(data)
    const answer = await peer.readFinal(method, timeout_ms)
    peer.destroy()
    return answer
  }

  /** Resident memory, MiB; Linux only, 0 elsewhere. */
  async residentMiB(): Promise<number> {
    const status = await readFile(`/proc/${this.process.pid}/status`, 'utf8').catch(() => '')
    return Number(/VmRSS:\s+(\d+)/.exec(status)?.[1] ?? 0) / 1024
  }

  async metrics(): Promise<Metrics> {
    const answer = await fetch(`http://127.0.0.1:${this.admin}/metrics`)
    return new Metrics(await answer.text())
  }

  /** Waits until a metric has a value. @throws with what it was */
  async untilMetric(value: number, name: string, labels: Readonly<Record<string, string>> = {}): Promise<void> {
    await expect.poll(async () => (await this.metrics()).sum(name, labels), { timeout: 3000, interval: 20 }).toBe(value)
  }

  /** SIGTERM and wait. @returns the exit code, null when it had to be killed */
  async stop(): Promise<number | null> {
    if (this.running) {
      this.process.kill('SIGTERM')
      const timer = setTimeout(() => this.process.kill('SIGKILL'), STOP_MS)
      await once(this.process, 'exit')
      clearTimeout(timer)
    }
    await rm(this.folder, { recursive: true, force: true })
    return this.process.exitCode
  }
}

/** Prometheus text, enough of it. */
export class Metrics {
  readonly text: string

  constructor(text: string) {
    this.text = text
  }

  /** Sum over the series that carry these labels. */
  sum(name: string, labels: Readonly<Record<string, string>> = {}): number {
    let total = 0
    for (const line of this.text.split('\n')) {
      const [, metric, set = '', value] = /^([a-z_]+)(?:\{(.*)\})? (\S+)$/.exec(line) ?? []
      if (metric === name && Object.entries(labels).every(([key, want]) => set.split(',').includes(`${key}="${want}"`))) total += Number(value)
    }
    return total
  }
}

/** One of weir's own error answers: status, code, JSON of the agreed shape, one length. */
export function expectProblem(answer: ReceivedAnswer, status: number, code?: string): void {
  const text = answer.body.toString()
  expect(`${answer.status} ${text}`).toMatch(new RegExp(`^${status} `))
  expect(answer.head.one('content-type')).toBe('application/json')
  const body = JSON.parse(text) as Record<string, unknown>
  expect(Object.keys(body).sort()).toEqual(['code', 'error', 'request_id'])
  expect(body['error']).toMatch(/\S/)
  expect(body['request_id']).toBe(answer.head.one('x-request-id'))
  if (code !== undefined) expect(body['code']).toBe(code)
}

/** Sends what must be refused: an error of this status, `connection: close`, and the end of the connection. */
export async function expectRefused(weir: Weir, data: string | Buffer, status: number, code?: string): Promise<void> {
  const peer = await weir.connect()
  await peer.send(data)
  const answer = await peer.readFinal()
  expectProblem(answer, status, code)
  expect(answer.head.list('connection')).toContain('close')
  expect(await peer.readAll(1000)).toHaveLength(0)
  peer.destroy()
}

/** A port nobody listens on, below the range the system gives out by itself. */
export async function freePort(): Promise<number> {
  for (;;) {
    const port = 10_000 + Math.floor(Math.random() * 20_000)
    const server = net.createServer()
    server.listen(port, '127.0.0.1')
    const free = await once(server, 'listening').then(() => true, () => false)
    if (free) await new Promise((done) => server.close(done))
    if (free) return port
  }
}
