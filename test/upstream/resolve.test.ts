/** Names resolved again: what becomes of what they stand for. A resolver of the test, a fake clock, and real sockets for the draining. */
import { afterEach, describe, expect, it } from 'vitest'
import { systemClock } from '../../gateway/clock.ts'
import { Registry } from '../../gateway/metrics.ts'
import { Name } from '../../gateway/upstream/resolve.ts'
import { httpBackend, type HttpBackend } from '../../gateway/upstream/transport.ts'
import { backendMetrics } from '../../gateway/vital.ts'
import { Deadlines } from '../../gateway/wire/deadlines.ts'
import { answer } from '../blackbox/message.ts'
import { pause, Upstream } from '../blackbox/scripted.ts'
import { FakeClock, settled } from '../fake_clock.ts'
import { backendConfig } from '../wire/thin.ts'
import { collect, exchangeFor, send } from './legs.ts'

describe('a name', () => {
  interface Follow {
    readonly clock: FakeClock
    readonly name: Name
    readonly changes: (readonly string[])[]
    readonly results: boolean[]
    lookups: number
  }

  /** @param answers in order, null = failure; the last one stays */
  function follow(answers: readonly (readonly string[] | null)[], drawn = 0.5): Follow {
    const clock = new FakeClock()
    const changes: (readonly string[])[] = []
    const results: boolean[] = []
    const made = { clock, changes, results, lookups: 0 }
    const lookup = async (host: string): Promise<readonly string[]> => {
      expect(host).toBe('models.test')
      const found = answers[Math.min(made.lookups++, answers.length - 1)]
      if (found === null || found === undefined) throw new Error('SERVFAIL')
      return found
    }
    const name = new Name('models.test', 1000, { clock, random: () => drawn, lookup, changed: (addresses) => void changes.push(addresses), resolved: (good) => void results.push(good) })
    return Object.assign(made, { name })
  }

  it('is resolved at once and again; only a change is told, whatever the order', async () => {
    const { clock, changes, name } = follow([['10.0.0.1', '10.0.0.2'], ['10.0.0.2', '10.0.0.1'], ['10.0.0.2', '10.0.0.3']])
    await clock.tick(0)
    expect(changes).toEqual([['10.0.0.1', '10.0.0.2']])
    await clock.tick(1000)
    expect(changes.length).toBe(1)
    await clock.tick(1000)
    expect(changes[1]).toEqual(['10.0.0.2', '10.0.0.3'])
    name.close()
    expect(clock.pending).toBe(0)
  })

  it('the last good answer stays when there is none, or an empty one', async () => {
    const { clock, changes, results, name } = follow([['10.0.0.1'], null, [], ['10.0.0.1'], ['10.0.0.9']])
    await clock.tick(4000)
    await settled()
    expect(changes).toEqual([['10.0.0.1'], ['10.0.0.9']])
    expect(results).toEqual([true, false, false, true, true])
    name.close()
  })

  it.each([[0, 900], [1, 1100]])('with jitter: %f drawn, again after %i ms', async (drawn, ms) => {
    const made = follow([['10.0.0.1']], drawn)
    await made.clock.tick(ms - 1)
    expect(made.lookups).toBe(1)
    await made.clock.tick(1)
    expect(made.lookups).toBe(2)
    made.name.close()
  })

  it('one family, each address once, no more than 64 and of too many always the same', async () => {
    const many = Array.from({ length: 100 }, (_, i) => `10.0.${i}.1`)
    const { clock, changes, name } = follow([['::1', '10.0.0.1', '10.0.0.1'], ['::1', '::2'], many, many.toReversed()])
    await clock.tick(3000)
    expect(changes.slice(0, 2)).toEqual([['10.0.0.1'], ['::1', '::2']])
    expect([changes.length, changes[2]!.length]).toEqual([3, 64])
    name.close()
  })

  it('that is given up while it is resolved says nothing', async () => {
    const { clock, changes, name } = follow([['10.0.0.1']])
    name.close()
    await clock.tick(5000)
    expect([changes.length, clock.pending]).toEqual([0, 0])
  })
})

describe('its endpoints', () => {
  const open: { close(): void | Promise<void> }[] = []
  afterEach(async () => {
    for (const one of open.splice(0)) await one.close()
  })

  async function pair(): Promise<[Upstream, Upstream]> {
    const a = await Upstream.listen({ host: '127.0.0.1' })
    const b = await Upstream.listen({ host: '127.0.0.2', port: a.port })
    a.onRequest = () => answer(200, [], 'a')
    b.onRequest = () => answer(200, [], 'b')
    open.push(a, b)
    return [a, b]
  }

  function start(port: number, answers: () => readonly string[] | null): { backend: HttpBackend; good: () => number; bad: () => number } {
    const metrics = new Registry().handles(backendMetrics)
    const config = backendConfig([], {
      endpoints: [{ scheme: 'http', address: { host: 'localhost', port }, authority: `models.test:${port}`, prefix: '/p', weight: 3, zone: 'z', priority: 0 }], dns_refresh_ms: 20, host: 'backend', balance: 'round_robin',
    })
    const lookup = async (): Promise<readonly string[]> => {
      const found = answers()
      if (found === null) throw new Error('SERVFAIL')
      return found
    }
    const backend = httpBackend(config, { clock: systemClock, deadlines: new Deadlines(systemClock), metrics, random: Math.random, lookup })
    open.push(backend)
    const value = (result: 'ok' | 'error') => () => metrics.weir_dns_refreshes_total({ backend: 'up', result }).value
    return { backend, good: value('ok'), bad: value('error') }
  }

  const text = async (backend: HttpBackend): Promise<string> => (await collect((await send(backend, exchangeFor(backend))).body)).text
  const addresses = (backend: HttpBackend): string[] => backend.state().map(({ address }) => address)

  it('before the first answer the name itself; then every address, with weight, zone and Host of the name', async () => {
    const [a, b] = await pair()
    const { backend } = start(a.port, () => ['127.0.0.1', '127.0.0.2'])
    expect(addresses(backend)).toEqual([''])
    await expect.poll(() => addresses(backend)).toEqual(['127.0.0.1', '127.0.0.2'])
    expect(backend.state()[1]).toMatchObject({ url: `http://models.test:${a.port}/p`, weight: 3, zone: 'z' })
    expect([await text(backend), await text(backend)].sort()).toEqual(['a', 'b'])
    expect([b.request.head.one('host'), b.request.head.line]).toEqual([`models.test:${a.port}`, 'GET /p/ HTTP/1.1'])
  })

  it('one that stays keeps its connections; one that goes is drained: its answer comes to the end, its connection is closed', async () => {
    const [a, b] = await pair()
    let found: readonly string[] | null = ['127.0.0.1', '127.0.0.2']
    const { backend, bad } = start(a.port, () => found)
    await expect.poll(() => addresses(backend)).toEqual(['127.0.0.1', '127.0.0.2'])
    let finish: () => void = () => undefined
    b.onRequest = async (_, peer) => {
      await peer.send('HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nhalf')
      await new Promise<void>((done) => (finish = done))
      await peer.send('half')
    }
    const first = await Promise.all([send(backend, exchangeFor(backend)), send(backend, exchangeFor(backend))])
    const bodies = first.map(({ body }) => collect(body))
    found = ['127.0.0.1']
    await expect.poll(() => addresses(backend)).toEqual(['127.0.0.1'])
    const [endpoint] = backend.state()
    expect([endpoint!.answered, endpoint!.connections]).toEqual([1, 1])
    finish()
    expect((await Promise.all(bodies)).map((one) => one.text).sort()).toEqual(['a', 'halfhalf'])
    await b.peer.untilOver(1000)
    found = null
    const before = bad()
    await expect.poll(() => bad()).toBeGreaterThan(before + 1)
    expect(await text(backend)).toBe('a')
  })

  it('closing ends the resolving', async () => {
    const [a] = await pair()
    let lookups = 0
    const { backend } = start(a.port, () => (lookups++, ['127.0.0.1']))
    await expect.poll(() => lookups).toBeGreaterThan(1)
    backend.close()
    const then = lookups
    await pause(80)
    expect(lookups).toBeLessThanOrEqual(then + 1)
  })
})
