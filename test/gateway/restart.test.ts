/**
 * Restarts under load lose no request: the new process opens the same port beside the old one (SO_REUSEPORT), then the old one
 * is told to stop. Callers keep their connections as long as answers let them. `WEIR_PROOF=full` restarts 100 times.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import http from 'node:http'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { pause, Upstream } from '../blackbox/scripted.ts'
import { freePort, MAIN, Weir } from '../blackbox/weir.ts'

const ROUNDS = process.env['WEIR_PROOF'] === 'full' ? 100 : 10
const CALLERS = 8

let folder = ''
let upstream: Upstream

beforeAll(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'weir-restart-'))
  upstream = await Upstream.listen()
})
afterAll(async () => {
  await upstream.close()
  await rm(folder, { recursive: true, force: true })
})

/** Callers that ask one after the other, each with at most one connection, which it keeps. */
class Load {
  answered = 0
  readonly failures: string[] = []
  /** Answers that said it was the last one on the connection. */
  closes = 0
  #going = true
  readonly #agents: http.Agent[] = []
  readonly #done: Promise<unknown>

  constructor(port: number) {
    this.#done = Promise.all(Array.from({ length: CALLERS }, () => this.#caller(port)))
  }

  async stop(): Promise<void> {
    this.#going = false
    await this.#done
    for (const agent of this.#agents) agent.destroy()
  }

  async #caller(port: number): Promise<void> {
    const agent = new http.Agent({ keepAlive: true, maxSockets: 1 })
    this.#agents.push(agent)
    while (this.#going) {
      await this.#ask(agent, port).then(
        (status) => (status === 200 ? this.answered++ : this.failures.push(`status ${status}`)),
        (error: Error) => this.failures.push(error.message),
      )
    }
  }

  #ask(agent: http.Agent, port: number): Promise<number> {
    return new Promise((resolve, reject) => {
      const ask = http.request({ agent, port, host: '127.0.0.1', method: 'POST', path: '/' }, (answer) => {
        if (answer.headers.connection === 'close') this.closes++
        answer.on('error', reject).on('end', () => resolve(answer.statusCode!)).resume()
      })
      ask.on('error', reject).end('x'.repeat(1000))
    })
  }
}

it(`${ROUNDS} restarts lose no request`, async () => {
  const port = await freePort()

  async function start(): Promise<Weir> {
    const admin = await freePort()
    const file = path.join(folder, `${admin}.yaml`)
    await writeFile(file, `listen: 127.0.0.1:${port}\nadmin: 127.0.0.1:${admin}\nthreads: 2\ndrain: { grace: 300ms, deadline: 10s }
backends: { up: { url: "http://127.0.0.1:${upstream.port}" } }\nroutes: [{ name: all, match: { path: "/**" }, backend: up }]\n`)
    const child: ChildProcess = spawn(process.execPath, [MAIN, 'run', file], { stdio: ['ignore', 'pipe', 'pipe'] })
    const weir = new Weir(child, path.join(folder, 'none'), port, admin)
    await weir.ready()
    return weir
  }

  let running = await start()
  const load = new Load(port)
  const served: number[] = []
  for (let round = 0; round < ROUNDS; round++) {
    const next = await start()
    await pause(100)
    const exit = once(running.process, 'exit')
    running.process.kill('SIGTERM')
    expect(await exit).toEqual([0, null])
    expect(running.stderr).toContain('"cut":0')
    served.push(load.answered)
    running = next
  }
  await load.stop()
  await running.stop()
  expect(load.failures).toEqual([])
  expect(load.closes).toBeGreaterThanOrEqual(ROUNDS)
  for (const [i, count] of served.entries()) expect(count, `answers by round ${i}`).toBeGreaterThan(served[i - 1] ?? 0)
}, ROUNDS * 15_000)
