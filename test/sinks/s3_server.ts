/** The Versity S3 Gateway on a folder: a bucket is a folder there, an object a file, so that what was put is read without S3. */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { createServer, request } from 'node:http'
import type { AddressInfo, Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { freePort } from '../servers.ts'

export const ACCESS_KEY = 'weirkey'
export const SECRET_KEY = 'weir/secret+key'
const START_MS = 15_000

export class S3Server {
  readonly port: number
  readonly #folder: string
  readonly #program: string
  #child: ChildProcess | null = null
  #buckets = 0

  private constructor(program: string, folder: string, port: number) {
    this.#program = program
    this.#folder = folder
    this.port = port
  }

  static async start(program: string): Promise<S3Server> {
    const server = new S3Server(program, mkdtempSync(join(tmpdir(), 'weir-s3-')), await freePort())
    mkdirSync(join(server.#folder, 'buckets'))
    mkdirSync(join(server.#folder, 'about'))
    await server.run()
    return server
  }

  get endpoint(): string {
    return `http://127.0.0.1:${this.port}`
  }

  async run(): Promise<void> {
    // `--sidecar`: a folder for what the server keeps of objects, since not every file system of a test has extended attributes.
    this.#child = spawn(this.#program, ['--access', ACCESS_KEY, '--secret', SECRET_KEY, '--region', 'us-east-1', '--port', `127.0.0.1:${this.port}`, '--quiet', 'posix', '--sidecar', join(this.#folder, 'about'), join(this.#folder, 'buckets')], { stdio: 'ignore' })
    const deadline = performance.now() + START_MS
    while (performance.now() < deadline && this.#child.exitCode === null) {
      const answer = await fetch(this.endpoint).catch(() => null)
      await answer?.arrayBuffer()
      if (answer !== null) return
      await new Promise((resolve) => setTimeout(resolve, 30))
    }
    throw new Error(`versitygw did not start (exit code ${this.#child.exitCode})`)
  }

  async kill(): Promise<void> {
    const child = this.#child
    this.#child = null
    if (child === null || child.exitCode !== null) return
    child.kill('SIGKILL')
    await once(child, 'exit')
  }

  /** A new one. */
  makeBucket(): string {
    const name = `bucket-${++this.#buckets}`
    mkdirSync(this.folderOf(name))
    return name
  }

  folderOf(bucket: string): string {
    return join(this.#folder, 'buckets', bucket)
  }

  async stop(): Promise<void> {
    await this.kill()
    rmSync(this.#folder, { recursive: true, force: true })
  }
}

/** What becomes of the next request: `lost`: the server carries it out and nobody hears of it; `cut`: it never gets there. */
export type Fate = 'whole' | 'lost' | 'cut'

export interface Weather {
  readonly endpoint: string
  /** Of the next requests; without, all go through. */
  fates: Fate[]
  stop(): Promise<void>
}

/** A network in front of a server, which passes requests on byte for byte (the signature holds) and breaks as a test says. */
export async function startWeather(port: number): Promise<Weather> {
  const sockets = new Set<Socket>()
  const proxy = createServer((caller, answer) => {
    const fate = weather.fates.shift() ?? 'whole'
    const chunks: Buffer[] = []
    caller.on('data', (chunk: Buffer) => chunks.push(chunk))
    caller.on('end', () => {
      if (fate === 'cut') return void caller.socket.destroy()
      const onward = request({ host: '127.0.0.1', port, method: caller.method!, path: caller.url!, headers: caller.headers, agent: false }, (theirs) => {
        const parts: Buffer[] = []
        theirs.on('data', (part: Buffer) => parts.push(part))
        theirs.on('end', () => {
          if (fate === 'lost') caller.socket.destroy()
          else answer.writeHead(theirs.statusCode!, theirs.headers).end(Buffer.concat(parts))
        })
      })
      onward.on('error', () => caller.socket.destroy())
      onward.end(Buffer.concat(chunks))
    })
  })
  proxy.on('connection', (socket) => {
    sockets.add(socket)
    socket.on('close', () => sockets.delete(socket))
  })
  await new Promise<void>((resolve) => proxy.listen(0, '127.0.0.1', resolve))
  const weather: Weather = {
    endpoint: `http://127.0.0.1:${(proxy.address() as AddressInfo).port}`, fates: [],
    stop: () => {
      for (const socket of sockets) socket.destroy()
      return new Promise((resolve) => proxy.close(() => resolve()))
    },
  }
  return weather
}
