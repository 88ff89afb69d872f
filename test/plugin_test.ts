/**
 * A bench for one plugin (or several): a compiled route on a fake clock, with backends that are plain functions.
 *
 *   const bench = await pluginTest(rateLimit, { per_second: 1 })
 *   const { answer } = await bench.run({ headers: ['x-user-id', 'a'] })
 *   expect(answer.status).toBe(200)
 *   expect(bench.metric('weir_rate_limit_total', { decision: 'passed' })).toBe(1)
 *   await bench.close()   // fails when a timer is left
 */
import type { PluginConfig, RouteConfig } from '../config/config.ts'
import { decode, fill } from '../config/decode.ts'
import type { JsonSchema } from '../config/shape.ts'
import { Answer, type Backend, type Body, Exchange, type Flow, type Format, Leg, problem, reply, type Send, type Sink } from '../gateway/exchange.ts'
import { WeirError } from '../gateway/errors.ts'
import { compileCondition } from '../gateway/expression/condition.ts'
import { compileSelector } from '../gateway/expression/selector.ts'
import { Registry, totals } from '../gateway/metrics.ts'
import { type CompileDeps, compileRoute } from '../gateway/pipeline/compile.ts'
import { KeepStore } from '../gateway/pipeline/host.ts'
import type { CompiledRoute } from '../gateway/pipeline/route.ts'
import { runDone, runFinish, runRequest, runRequestBody, runResponse, runResponseBody, tapChunks } from '../gateway/pipeline/run.ts'
import type { Alarm, Declarations, Log, Plugin, Profile, Records, TSchema } from '../gateway/plugin.ts'
import { FakeClock } from './fake_clock.ts'

export interface Setup {
  readonly route?: string
  /** The route's backend is `main`; by default it answers 200 `main`. */
  readonly backends?: Readonly<Record<string, Send>>
  /** Says of backends whether they are available; those that are not named always are. */
  readonly available?: Readonly<Record<string, () => boolean>>
  readonly format?: Format
  /** The route speaks openai. */
  readonly openai?: boolean
  readonly onError?: 'open' | 'closed'
  readonly maxBodyBytes?: number
  /** From an earlier bench, to test a reload. */
  readonly keep?: KeepStore
  readonly clock?: FakeClock
  readonly registry?: Registry
  /** Sinks by name. */
  readonly records?: Readonly<Record<string, Records>>
  /** Whatever path is asked for. */
  readonly profile?: Profile
  /** Folder of `state:`. */
  readonly state?: string
  /** One of several data threads; then `share` must be the same for all of them. */
  readonly thread?: { readonly index: number; readonly count: number }
  readonly share?: (key: string, bytes: number) => SharedArrayBuffer
}

export interface RequestInit {
  readonly method?: string
  readonly target?: string
  readonly headers?: string[]
  readonly body?: Body | string
  readonly address?: string
  readonly trusted?: boolean
}

export interface LogLine {
  readonly level: keyof Log
  readonly message: string
  readonly fields: Readonly<Record<string, unknown>>
}

export class Bench {
  readonly route: CompiledRoute
  readonly clock: FakeClock
  readonly registry: Registry
  readonly log: readonly LogLine[]
  /** Raised so far. */
  readonly alarms: readonly Alarm[]

  constructor(route: CompiledRoute, clock: FakeClock, registry: Registry, log: readonly LogLine[], alarms: readonly Alarm[]) {
    this.alarms = alarms
    this.route = route
    this.clock = clock
    this.registry = registry
    this.log = log
  }

  exchange(init: RequestInit = {}): Exchange {
    const backend = this.route.backend
    return makeExchange({ ...init, started: this.clock.now() }, this.route, new Leg(backend))
  }

  /** The whole life of one exchange as the server runs it, its body drained. What waits for time needs `clock.tick` from outside. */
  async run(init: RequestInit = {}): Promise<{ readonly x: Exchange; readonly answer: Answer; readonly body: string }> {
    const x = this.exchange(init)
    try {
      x.answer = (await runRequest(this.route, x)) ?? (await runRequestBody(this.route, x)) ?? (await this.#send(x))
      await this.#respond(x)
      x.status = x.answer.status
      const body = await collect(x.answer.body, tapChunks(this.route, x))
      runFinish(this.route, x)
      return { x, answer: x.answer, body: body.toString() }
    } finally {
      runDone(this.route, x)
    }
  }

  async #send(x: Exchange): Promise<Answer> {
    try {
      return await this.route.send(x, x.leg)
    } catch (error) {
      const known = error instanceof WeirError ? error : new WeirError('INTERNAL', undefined, { cause: error })
      x.error ??= known
      return problem(known, x.requestId)
    }
  }

  async #respond(x: Exchange): Promise<void> {
    await runResponse(this.route, x)
    if (this.route.responseBody !== null) x.answer!.body = await collect(x.answer!.body)
    await runResponseBody(this.route, x)
  }

  /** Sum over the series of a metric whose labels hold at least these. */
  metric(name: string, labels: Readonly<Record<string, string>> = {}): number {
    const rows = totals([this.registry.view()], name)
    return rows.filter((row) => Object.entries(labels).every(([key, value]) => row.labels[key] === value)).reduce((sum, row) => sum + row.value, 0)
  }

  async close(): Promise<void> {
    await this.route.close()
    if (this.clock.pending > 0) throw new Error(`${this.clock.pending} timers left after close`)
  }
}

/** @param options as in YAML (`'5s'`, `'1MiB'`); defaults are filled in */
export function pluginTest<C extends TSchema, M extends Declarations>(plugin: Plugin<C, M>, options: unknown = {}, setup: Setup = {}): Promise<Bench> {
  return pipelineTest([[plugin as unknown as Plugin, options]], setup)
}

/** Several plugins in one route, in this order. */
export async function pipelineTest(plugins: readonly (readonly [plugin: Plugin, options?: unknown])[], setup: Setup = {}): Promise<Bench> {
  const clock = setup.clock ?? new FakeClock()
  const registry = setup.registry ?? new Registry()
  const { log, lines } = recorder()
  const alarms: Alarm[] = []
  const config = routeConfig(plugins, setup)
  const deps = { ...makeDeps(setup, clock, registry, log), alarm: (_route: string, _plugin: string, alarm: Alarm) => void alarms.push(alarm) }
  const route = await compileRoute(config, plugins.map(([plugin]) => plugin), deps)
  return new Bench(route, clock, registry, lines, alarms)
}

export function routeConfig(plugins: readonly (readonly [plugin: Plugin, options?: unknown])[], setup: Setup = {}): RouteConfig {
  const configs = plugins.map(([plugin, options = {}], i): PluginConfig => {
    const schema = plugin.config as JsonSchema
    const decoded = decode(schema, fill(schema, options), process.cwd())
    const complaint = plugin.check?.(decoded as never)
    if (complaint !== undefined) throw new Error(complaint)
    return { name: plugin.name, use: null, options: decoded, on_error: setup.onError ?? plugin.onError, at: `routes[0].plugins[${i}]` }
  })
  return {
    name: setup.route ?? 'test',
    match: { host: null, methods: [], path: '/**', headers: {}, when: null },
    backend: 'main',
    format: setup.openai === true ? 'openai' : (setup.format?.name ?? null),
    criticality: 'standard',
    max_body_bytes: setup.maxBodyBytes ?? 1 << 20,
    plugins: configs,
  }
}

export function makeDeps(setup: Setup, clock: FakeClock, registry: Registry, log: Log): CompileDeps {
  const sends: Readonly<Record<string, Send>> = { main: () => reply(200, 'main'), ...setup.backends }
  const backends = new Map(Object.entries(sends).map(([name, send]): [string, Backend] => [name, makeBackend(name, send, setup.available?.[name])]))
  const keep = setup.keep ?? new KeepStore()
  const { records, profile, state, thread, share } = setup
  return {
    backends, formats: () => setup.format ?? null, registry, clock, log, keep, compileSelector, compileCondition,
    records: (sink) => records?.[sink] ?? null,
    ...(profile !== undefined && { profile: () => profile }), ...(state !== undefined && { state }), ...(thread !== undefined && { thread }), ...(share !== undefined && { share }),
  }
}

export function makeBackend(name: string, send: Send, available?: () => boolean): Backend {
  const named = (answer: Answer): Answer => {
    answer.backend ||= name
    return answer
  }
  const sending: Send = (x, leg) => {
    x.attempts++
    const answer = send(x, leg)
    return answer instanceof Promise ? answer.then(named) : named(answer)
  }
  return { name, kind: 'http', send: sending, ...(available !== undefined && { available }) }
}

export function recorder(): { readonly log: Log; readonly lines: LogLine[] } {
  const lines: LogLine[] = []
  const level = (name: keyof Log) => (message: string, fields: Readonly<Record<string, unknown>> = {}) => void lines.push({ level: name, message, fields })
  return { log: { debug: level('debug'), info: level('info'), warn: level('warn'), error: level('error') }, lines }
}

export function makeExchange(init: RequestInit & { readonly started?: number }, route: { readonly name: string; readonly format: Format | null; readonly maxBodyBytes: number; readonly slots?: number }, leg: Leg): Exchange {
  return new Exchange({
    method: init.method ?? 'POST',
    target: init.target ?? '/',
    headers: [...(init.headers ?? [])],
    body: typeof init.body === 'string' ? Buffer.from(init.body) : (init.body ?? null),
    caller: { address: init.address ?? '192.0.2.1', port: 40000, tls: false, trusted: init.trusted ?? false, inform: () => undefined },
    route,
    minor: 1,
    upgrade: '',
    requestId: 'request-1',
    inferenceId: '01890a5d-ac96-774b-bcce-b302099a8057',
    started: init.started ?? 0,
    leg,
    slots: route.slots ?? 0,
  })
}

// ---------------------------------------------------------------- bodies

/** A flow that a test feeds by hand; pauses are honoured by whoever calls `push`. */
export class HandFlow implements Flow {
  readonly length: number
  sink: Sink | null = null
  paused = false
  cancelled = false

  constructor(length = -1) {
    this.length = length
  }

  start(sink: Sink): void {
    this.sink = sink
  }

  pause(): void {
    this.paused = true
  }

  resume(): void {
    this.paused = false
  }

  cancel(): void {
    this.cancelled = true
  }

  push(text: string): void {
    if (!this.cancelled && !this.sink!.data(Buffer.from(text))) this.paused = true
  }

  end(trailers: string[] | null = null): void {
    if (!this.cancelled) this.sink!.end(trailers)
  }

  fail(error: WeirError): void {
    if (!this.cancelled) this.sink!.fail(error)
  }
}

/** Makes a body whole. Rejects with what broke it. */
export function collect(body: Body, tap: ((chunk: Buffer) => Buffer | null) | null = null): Promise<Buffer> {
  const seen = (chunk: Buffer): Buffer => (tap === null ? chunk : (tap(chunk) ?? Buffer.alloc(0)))
  if (body === null) return Promise.resolve(Buffer.alloc(0))
  if (Buffer.isBuffer(body)) return Promise.resolve(seen(body))
  const chunks: Buffer[] = []
  return new Promise((resolve, reject) => {
    body.start({
      data(chunk) {
        chunks.push(Buffer.from(seen(chunk)))
        return true
      },
      end: () => resolve(Buffer.concat(chunks)),
      fail: reject,
    })
  })
}
