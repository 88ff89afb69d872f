import { describe, expect, it } from 'vitest'
import type { Config, HttpBackendConfig, PluginConfig, RouteConfig } from '../../config/config.ts'
import { Gateway, type ModelPart } from '../../gateway/gateway.ts'
import { Generation } from '../../gateway/generation.ts'
import { Registry } from '../../gateway/metrics.ts'
import { type Host, type Log, plugin, type Plugin, Type } from '../../gateway/plugin.ts'
import { gather } from '../../gateway/server/buffer.ts'
import type { HttpBackend } from '../../gateway/upstream/transport.ts'
import { FakeClock } from '../fake_clock.ts'

const quiet: Log = { debug() {}, info() {}, warn() {}, error() {} }

function http(name: string, idle_ms = 1000): HttpBackendConfig {
  const endpoint = { scheme: 'http', address: { host: '127.0.0.1', port: 1 }, authority: '127.0.0.1:1', prefix: '', weight: 1, zone: '', priority: 0 } as const
  const tls = { verify: true, ca: null, cert: null, key: null, server_name: '' }
  return { kind: 'http', name, endpoints: [endpoint], balance: 'least_request', connect_ms: 1000, response_headers_ms: 1000, idle_ms, connections: 10, keep_alive_ms: 1000, lifetime_ms: 0, host: 'keep', headers: [], tls, speaks: null, hash_by: '', slow_start_ms: 0, panic: 0, dns_refresh_ms: 0, health: null, ejection: null, limits: null, throttle: null }
}

function route(name: string, backend: string, plugins: string[] = []): RouteConfig {
  const at = (name: string, i: number): PluginConfig => ({ name, use: null, options: {}, on_error: 'closed', at: `routes[0].plugins[${i}]` })
  return { name, match: { host: null, methods: [], path: `/${name}`, headers: {}, when: null }, backend, format: null, criticality: 'standard', max_body_bytes: 100, plugins: plugins.map(at) }
}

function config(backends: Config['backends'][string][], routes: RouteConfig[], more: Partial<Config> = {}): Config {
  return {
    file: '', hash: '', listen: [], admin: null, metrics: null, threads: 1, state: null, timeouts: { request_headers_ms: 1, idle_ms: 1 },
    limits: { head_bytes: 1, fields: 1, target_bytes: 1, connections: 1, in_flight: 1 }, forwarded: { trusted: [], write: 'none', via: '' }, answer_headers: true,
    effective: null, access_log: { to: 'off' }, drain: { grace_ms: 0, deadline_ms: 0 }, models: null, inference: { threads: 1, intra_op_threads: 1, queue: 64 }, overload: { loop_delay_ms: null, memory: null }, tracing: null, zone: '', deadlines: { header: '' }, sinks: {}, backends: Object.fromEntries(backends.map((one) => [one.name, one])), routes, ...more,
  }
}

/** A gateway over backends that do nothing but say when they were opened and closed. */
function setUp(plugins: Plugin[] = []) {
  const events: string[] = []
  const used: Generation[] = []
  const httpBackend = (of: HttpBackendConfig): HttpBackend => {
    events.push(`open ${of.name}`)
    return { name: of.name, kind: 'http', config: of, send: () => Promise.reject(new Error('not here')), state: () => [], close: () => void events.push(`close ${of.name}`) }
  }
  const gateway = new Gateway({
    clock: new FakeClock(), log: quiet, registry: new Registry(), thread: 0, formats: () => null,
    compileSelector: () => Promise.reject(new Error('none')) as never,
    compileCondition: (text) => ({ text, body: false, answer: 'none', test: () => true }),
    httpBackend,
    plugin: (of) => plugins.find(({ name }) => name === of.name) ?? Promise.reject(new Error('no such file')),
    gather,
    use: (generation) => void used.push(generation),
  })
  const load = async (of: Config, models: ModelPart | null = null): Promise<Generation> => {
    const built = await gateway.prepare(of, models)
    if (!(built instanceof Generation)) throw new Error(JSON.stringify(built))
    gateway.swap(built)
    return built
  }
  return { gateway, events, used, load }
}

/** Says when it is built and closed; `build` may go wrong. */
function observed(name: string, events: string[], build: (host: Host) => void = () => undefined): Plugin {
  return plugin({
    name, summary: 's', stability: 'stable', config: Type.Object({}), example: {}, onError: 'closed',
    build: (_options, host) => {
      build(host as unknown as Host)
      events.push(`build ${name}`)
      return { close: () => void events.push(`close ${name}`) }
    },
  }) as unknown as Plugin
}

describe('a reload', () => {
  it('keeps a backend that did not change, and closes one that did when its last exchange is done', async () => {
    const { gateway, events, used, load } = setUp()
    const first = await load(config([http('a'), http('b')], [route('r', 'a')]))
    first.enter()
    const second = await load(config([http('a'), http('b', 2000)], [route('r', 'a')]))
    expect(events).toEqual(['open a', 'open b', 'open b'])
    expect(used).toEqual([first, second])
    expect(gateway.current).toBe(second)
    expect(first.router.find('GET', '/r', [])).toMatchObject({ route: { backend: (second.router.find('GET', '/r', []) as { route: { backend: unknown } }).route.backend } })
    first.leave()
    await first.closed
    expect(events).toEqual(['open a', 'open b', 'open b', 'close b'])
  })

  it('closes an idle old generation at once, after the new one is in use', async () => {
    const { events, load } = setUp()
    const first = await load(config([http('a')], []))
    await load(config([], []))
    await first.closed
    expect(events).toEqual(['open a', 'close a'])
  })

  it('keeps what a plugin keeps', async () => {
    const kept: object[] = []
    const events: string[] = []
    const { load } = setUp([observed('one', events, (host) => void kept.push(host.keep('state', () => ({}))))])
    const of = config([http('a')], [route('r', 'a', ['one'])])
    await load(of)
    await load(of)
    expect(kept[0]).toBe(kept[1])
  })
})

describe('a config that cannot be built', () => {
  it('changes nothing, closes what it had built, and names every problem', async () => {
    const events: string[] = []
    const good = observed('good', events)
    const bad = observed('bad', events, () => {
      throw new Error('no wood')
    })
    const { gateway, events: opened, used, load } = setUp([good, bad])
    const first = await load(config([http('a')], [route('r', 'a', ['good'])]))
    const issues = await gateway.prepare(config([http('a'), http('b')], [route('r', 'a', ['good', 'bad']), route('s', 'b', ['good']), route('t', 'b', ['missing'])]), null)
    expect(issues).toEqual([
      { at: 'routes[0].plugins[1]', rule: 'plugin-build', message: '"bad" could not be built: no wood', help: '' },
      { at: 'routes[0].plugins[0]', rule: 'plugin-load', message: '"missing" could not be loaded: no such file', help: '' },
    ])
    expect(used).toEqual([first])
    expect(events).toEqual(['build good', 'build good', 'close good', 'build good', 'close good'])
    expect(opened).toEqual(['open a', 'open b', 'close b'])
  })

  it('leaves the kept state of the running one', async () => {
    const made: number[] = []
    let fail = false
    const events: string[] = []
    const one = observed('one', events, (host) => {
      host.keep('state', () => made.push(1))
      if (fail) throw new Error('no')
    })
    const { gateway, load } = setUp([one])
    const of = config([http('a')], [route('r', 'a', ['one'])])
    await load(of)
    fail = true
    await gateway.prepare(of, null)
    fail = false
    await load(of)
    expect(made).toHaveLength(1)
  })
})

it('a generation that is discarded closes everything it opened', async () => {
  const { gateway, events, load } = setUp()
  await load(config([http('a')], []))
  const next = await gateway.prepare(config([http('a'), http('b')], []), null)
  await gateway.discard(next as Generation)
  expect(events).toEqual(['open a', 'open b', 'close b'])
})

describe('models', () => {
  const answer = { name: 'm', kind: 'model', send: () => Promise.reject(new Error('not here')) } as const
  const model = { kind: 'model', name: 'm', model: 'm', version: 'latest' } as const

  it('give backends to routes, and endpoints behind them', async () => {
    const events: string[] = []
    const builtin = (await (await setUp().gateway.prepare(config([http('x')], [route('v2', 'x'), route('r', 'x')]), null) as Generation).router.find('GET', '/v2', [])).route!
    const part: ModelPart = {
      backends: new Map([['m', answer]]),
      routes: [{ match: route('v2', 'm').match, when: null, route: builtin }, { match: route('r', 'm').match, when: null, route: builtin }],
      close: () => void events.push('closed'),
    }
    const { load } = setUp()
    const generation = await load(config([model], [route('r', 'm')]), part)
    expect(generation.router.find('GET', '/r', [])).toMatchObject({ route: { backend: answer } })
    expect(generation.router.find('GET', '/v2', [])).toMatchObject({ route: builtin })
    await load(config([], []))
    await generation.closed
    expect(events).toEqual(['closed'])
  })

  it('are closed when something else of the config is wrong', async () => {
    const events: string[] = []
    const part: ModelPart = { backends: new Map([['m', answer]]), routes: [], close: () => void events.push('closed') }
    expect(await setUp().gateway.prepare(config([model], [route('r', 'm', ['missing'])]), part)).toHaveLength(1)
    expect(events).toEqual(['closed'])
  })
})
