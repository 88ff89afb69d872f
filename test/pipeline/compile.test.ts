import { describe, expect, test } from 'vitest'
import { reply, type Send } from '../../gateway/exchange.ts'
import { Registry, totals } from '../../gateway/metrics.ts'
import { compileRoute } from '../../gateway/pipeline/compile.ts'
import { BuildProblem, KeepStore } from '../../gateway/pipeline/host.ts'
import { type Hooks, type Host, type Nesting, type Plugin, plugin, slot, Type } from '../../gateway/plugin.ts'
import { FakeClock } from '../fake_clock.ts'
import { makeDeps, pipelineTest, recorder, routeConfig, type Setup } from '../plugin_test.ts'

const Empty = Type.Object({}, { additionalProperties: false })

function built(name: string, build: (host: Host) => Hooks | Promise<Hooks>, more: Partial<Plugin> = {}): Plugin {
  return { ...plugin({ name, summary: '', stability: 'stable', onError: 'closed', config: Empty, example: {}, build: (_config, host) => build(host as unknown as Host) }), ...more } as unknown as Plugin
}

function bench(plugins: readonly Plugin[], setup: Setup = {}) {
  return pipelineTest(plugins.map((one) => [one]), setup)
}

async function problemOf(plugins: readonly Plugin[]): Promise<BuildProblem> {
  const error = await bench(plugins).catch((problem: unknown) => problem)
  expect(error).toBeInstanceOf(BuildProblem)
  return error as BuildProblem
}

describe('the onion', () => {
  const layer = (name: string, nesting: Nesting, seen: string[]): Plugin =>
    built(name, () => ({ send: (next) => (x, leg) => (seen.push(name), next(x, leg)) }), { nesting })

  test('nests in the fixed order, whatever the order of the YAML', async () => {
    for (const order of [[0, 1, 2, 3, 4, 5], [5, 4, 3, 2, 1, 0], [2, 0, 5, 1, 4, 3]]) {
      const seen: string[] = []
      const all = (['total', 'cache', 'fallback', 'hedge', 'retry', 'attempt'] as const).map((level) => layer(level, level, seen))
      await (await bench(order.map((i) => all[i]!))).run()
      expect(seen).toEqual(['total', 'cache', 'fallback', 'hedge', 'retry', 'attempt'])
    }
  })

  test('one plugin may stand at two levels', async () => {
    const seen: string[] = []
    const wrap = (name: string) => (next: Send): Send => (x, leg) => (seen.push(name), next(x, leg))
    const both = built('both', () => ({ send: { attempt: wrap('attempt'), total: wrap('total') } }))
    await (await bench([layer('retry', 'retry', seen), both])).run()
    expect(seen).toEqual(['total', 'retry', 'attempt'])
  })

  test('two at the same level are refused', async () => {
    const problem = await problemOf([layer('one', 'retry', []), layer('two', 'retry', [])])
    expect(problem).toMatchObject({ at: 'routes[0].plugins[1]', rule: 'same-nesting' })
    expect(problem.message).toContain('"one" and "two"')
  })

  test('a send without a level is refused', async () => {
    expect(await problemOf([built('lost', () => ({ send: (next) => next }))])).toMatchObject({ at: 'routes[0].plugins[0]', rule: 'no-nesting' })
  })

  test('a request hook that picks the backend is obeyed only when it says so', async () => {
    const other: Send = () => reply(200, 'other')
    const pick = (declared: boolean): Plugin =>
      built('pick', (host) => ({ request: (x) => void (x.leg.backend = host.backend('other')), ...(declared && { picksBackend: true as const }) }))
    expect((await (await bench([pick(true)], { backends: { other } })).run()).body).toBe('other')
    const undeclared = await bench([pick(false)], { backends: { other } })
    expect(undeclared.route.send).toBe(undeclared.route.backend.send)
  })

  test('a wrapper may send to another backend through a leg of its own', async () => {
    const detour = built('detour', (host) => ({ send: (next) => (x, leg) => next(x, leg.child(host.backend('other'))) }), { nesting: 'cache' })
    expect((await (await bench([detour], { backends: { other: () => reply(200, 'other') } })).run()).body).toBe('other')
  })
})

describe('slots', () => {
  const user = slot<string>('user')
  const giver = (name = 'giver'): Plugin =>
    built(name, (host) => {
      const cell = host.provide(user)
      return { request: (x) => cell.set(x, `user of ${x.method}`) }
    })
  const taker = (seen: unknown[]): Plugin =>
    built('taker', (host) => {
      const cell = host.use(user)
      return { response: (x) => void seen.push(cell.get(x)) }
    })

  test('carry a value from one plugin to a later one', async () => {
    const seen: unknown[] = []
    const b = await bench([giver(), taker(seen)])
    await b.run({ method: 'PUT' })
    expect([b.route.slots, seen]).toEqual([1, ['user of PUT']])
  })

  test('are undefined until set, and each exchange has its own', async () => {
    const seen: unknown[] = []
    const lazy = built('lazy', (host) => (host.provide(user), {}))
    await (await bench([lazy, taker(seen)])).run()
    expect(seen).toEqual([undefined])
  })

  test('use before provide is a load error that names both', async () => {
    const problem = await problemOf([taker([]), giver()])
    expect(problem).toMatchObject({ at: 'routes[0].plugins[0]', rule: 'slot-not-provided' })
    expect(problem.message).toContain('"taker" uses slot "user"')
  })

  test('two providers are a load error that names both', async () => {
    const problem = await problemOf([giver(), giver('second')])
    expect(problem).toMatchObject({ at: 'routes[0].plugins[1]', rule: 'slot-provided-twice' })
    expect(problem.message).toMatch(/"second".*"user".*"giver"/)
  })
})

describe('the host', () => {
  test('metrics are named after the plugin and carry the route', async () => {
    const metrics = { seen_total: { type: 'counter', help: 'x' } } as const
    const counting = built('counting', (host) => {
      const counter = (host.metrics as unknown as { seen_total: () => { add(): void } }).seen_total()
      return { request: () => counter.add() }
    }, { metrics })
    const b = await bench([counting])
    await b.run()
    expect(b.metric('weir_counting_seen_total', { route: 'test' })).toBe(1)
  })

  test('timers stop when the route closes, and none can be armed afterwards', async () => {
    let host: Host | null = null
    let fired = 0
    const b = await bench([built('ticking', (given) => ((host = given), {}))])
    host!.every(10, () => fired++)
    host!.after(10, () => fired++)
    host!.after(1000, () => fired++)
    b.clock.advance(20)
    expect(fired).toBe(3)
    await b.close()
    host!.after(10, () => fired++)
    host!.every(10, () => fired++)
    b.clock.advance(5000)
    expect([fired, b.clock.pending]).toEqual([3, 0])
  })

  test('a timer that throws is counted and stops nothing', async () => {
    const b = await bench([
      built('bad', (host) => {
        host.every(10, () => {
          throw new Error('x')
        })
        return {}
      }),
    ])
    b.clock.advance(30)
    expect(b.metric('weir_plugin_errors_total', { plugin: 'bad' })).toBe(3)
  })

  test('a backend that does not exist is a load error that lists those that do', async () => {
    const problem = await problemOf([built('lost', (host) => (host.backend('nowhere'), {}))])
    expect(problem).toMatchObject({ at: 'routes[0].plugins[0]', rule: 'unknown-backend', help: 'Backends are: main.' })
  })

  test('a selector that cannot be read is a load error of the plugin', async () => {
    const problem = await problemOf([built('lost', (host) => (host.selector('heder.a'), {}))])
    expect(problem).toMatchObject({ at: 'routes[0].plugins[0]', rule: 'plugin-build' })
    expect(problem.message).toContain('did you mean `header`?')
  })

  test('the log carries route and plugin; the second of a kind is told apart', async () => {
    const talking = built('talking', (host) => ({ request: () => host.log.info('hello', { a: 1 }) }))
    const b = await bench([talking, talking])
    await b.run()
    expect(b.log.map((line) => line.fields)).toEqual([
      { route: 'test', plugin: 'talking', a: 1 },
      { route: 'test', plugin: 'talking#2', a: 1 },
    ])
    expect(b.route.plugins).toEqual(['talking', 'talking#2'])
  })

  test('alarms that a plugin may raise are counted from 0, those of no other kind', async () => {
    const b = await bench([built('watching', () => ({}), { alarms: ['schema', 'rate'] }), built('other', () => ({}))])
    expect(totals([b.registry.view()], 'weir_alarms_total').map(({ labels, value }) => [labels['route'], labels['kind'], value])).toEqual([['test', 'schema', 0], ['test', 'rate', 0]])
  })

  test('admin routes are found by instance', async () => {
    const admin = { 'GET /state': { summary: 's', handle: () => 1 } }
    const b = await bench([built('shown', () => ({ admin })), built('hidden', () => ({})), built('shown', () => ({ admin }))])
    expect([...b.route.admin]).toEqual([['shown', admin], ['shown#2', admin]])
  })
})

describe('closing and failing', () => {
  test('close runs once, in reverse, and one that throws does not stop the others', async () => {
    const seen: string[] = []
    const closing = (name: string): Plugin => built(name, () => ({ close: () => void seen.push(name) }))
    const bad = built('bad', () => ({ close: () => Promise.reject(new Error('x')) }))
    const b = await bench([closing('a'), bad, closing('c')])
    await b.route.close()
    await b.route.close()
    expect(seen).toEqual(['c', 'a'])
    expect(b.metric('weir_plugin_errors_total', { plugin: 'bad' })).toBe(1)
  })

  test('what was built before a failure is closed, timers included', async () => {
    const seen: string[] = []
    const clock = new FakeClock()
    const first = built('first', (host) => (host.every(10, () => undefined), { close: () => void seen.push('first') }))
    const second = built('second', (host) => {
      host.after(10, () => undefined)
      throw new Error('no luck')
    })
    await expect(bench([first, second], { clock })).rejects.toMatchObject({ at: 'routes[0].plugins[1]', rule: 'plugin-build', message: '"second" could not be built: no luck' })
    expect([seen, clock.pending]).toEqual([['first'], 0])
  })

  test('replayBytes is the most that any plugin needs', async () => {
    const b = await bench([built('a', () => ({ replayBytes: 10 })), built('b', () => ({ replayBytes: 30 })), built('c', () => ({}))])
    expect(b.route.replayBytes).toBe(30)
  })
})

describe('what is kept', () => {
  const keeping = (key: string): Plugin => built('keeping', (host) => {
    const cell = host.keep(key, () => ({ count: 0 }))
    return { request: (_x) => reply(200, String(++cell.count)) }
  })

  async function generation(keep: KeepStore, key: string, route = 'test'): Promise<string> {
    keep.begin()
    const b = await bench([keeping(key)], { keep, route })
    keep.commit()
    return (await b.run()).body
  }

  test('survives a reload with the same route, plugin and key, and is dropped after one without', async () => {
    const keep = new KeepStore()
    expect(await generation(keep, 'a')).toBe('1')
    expect(await generation(keep, 'a')).toBe('2')
    expect(await generation(keep, 'b')).toBe('1')
    expect(keep.size).toBe(1)
    expect(await generation(keep, 'a')).toBe('1')
    expect(await generation(keep, 'a', 'other')).toBe('1')
    expect(keep.size).toBe(1)
  })

  test('a generation that failed leaves nothing, and takes nothing away', async () => {
    const keep = new KeepStore()
    expect(await generation(keep, 'a')).toBe('1')
    keep.begin()
    await bench([keeping('b')], { keep })
    keep.abandon()
    expect(keep.size).toBe(1)
    expect(await generation(keep, 'a')).toBe('2')
  })

  test('two of a kind keep apart', async () => {
    const keep = new KeepStore()
    await bench([keeping('a'), keeping('a')], { keep })
    expect(keep.size).toBe(2)
  })

  test('shared memory comes from the control thread under route, plugin and key, and is local without one', async () => {
    const asked: [string, number][] = []
    const seen: SharedArrayBuffer[] = []
    const sharing = built('sharing', async (host) => (seen.push(await host.share('k', 64)), {}))
    const config = routeConfig([[sharing]])
    const { log } = recorder()
    const deps = makeDeps({}, new FakeClock(), new Registry(), log)
    const memory = new SharedArrayBuffer(64)
    await compileRoute(config, [sharing], { ...deps, share: async (key, bytes) => (asked.push([key, bytes]), memory) })
    expect(asked).toEqual([['["test","sharing","k"]', 64]])
    expect(seen[0]).toBe(memory)
    await compileRoute(config, [sharing], deps)
    await compileRoute(config, [sharing], deps)
    expect(seen[1]!.byteLength).toBe(64)
    expect(seen[2]).toBe(seen[1])
  })
})

