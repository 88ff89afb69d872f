/** Several endpoints behind one backend, over real sockets: what their answers do to them, and what the outside sees of it. */
import { afterEach, describe, expect, it } from 'vitest'
import type { EjectionConfig, HttpBackendConfig } from '../../config/config.ts'
import { systemClock } from '../../gateway/clock.ts'
import { WeirError } from '../../gateway/errors.ts'
import type { Exchange, Outgoing } from '../../gateway/exchange.ts'
import { headerOf } from '../../gateway/expression/fields.ts'
import { Registry } from '../../gateway/metrics.ts'
import { httpBackend, type HttpBackend } from '../../gateway/upstream/transport.ts'
import { backendMetrics } from '../../gateway/vital.ts'
import { Deadlines } from '../../gateway/wire/deadlines.ts'
import { answer } from '../blackbox/message.ts'
import { pause, Upstream } from '../blackbox/scripted.ts'
import { freePort } from '../servers.ts'
import { backendConfig } from '../wire/thin.ts'
import { collect, exchangeFor, refusal, send } from './legs.ts'

const EJECTION: EjectionConfig = { consecutive: 3, error_rate: 0, min_requests: 20, window_ms: 10_000, base_ms: 60, max_ms: 60, max_share: 1 }

const open: { close(): void | Promise<void> }[] = []
afterEach(async () => {
  for (const one of open.splice(0)) await one.close()
})

async function upstreams(count: number): Promise<Upstream[]> {
  const made = await Promise.all(Array.from({ length: count }, () => Upstream.listen()))
  for (const [i, one] of made.entries()) one.onRequest = () => answer(200, [], 'abcdef'[i])
  open.push(...made)
  return made
}

interface Started {
  readonly backend: HttpBackend
  readonly metrics: ReturnType<typeof handles>
}
const handles = (registry: Registry) => registry.handles(backendMetrics)

function start(ports: readonly number[], config: Partial<HttpBackendConfig> = {}, registry = new Registry()): Started {
  const metrics = handles(registry)
  const hashKey = (selector: string) => (x: Outgoing) => headerOf(x as Exchange, selector.replace('header.', ''))
  const backend = httpBackend(backendConfig(ports, config), { clock: systemClock, deadlines: new Deadlines(systemClock), metrics, random: Math.random, hashKey })
  open.push(backend)
  return { backend, metrics }
}

const ask = async (backend: HttpBackend, headers: string[] = ['Host', 'a.test']): Promise<string> => {
  try {
    const { body, status } = await send(backend, exchangeFor(backend, 'GET', null, { headers }))
    const { text, code } = await collect(body)
    return code ?? (status === 200 ? text : String(status))
  } catch (error) {
    return (error as WeirError).code
  }
}
const times = async (backend: HttpBackend, count: number): Promise<string[]> => {
  const found: string[] = []
  for (let i = 0; i < count; i++) found.push(await ask(backend))
  return found
}

describe('ejection', () => {
  it.each<[string, (up: Upstream) => void, string]>([
    ['500', (up) => (up.onRequest = () => answer(500, [], 'x')), '500'],
    ['a reset', (up) => (up.onRequest = (_, peer) => peer.reset()), 'RESET'],
    ['an answer that is cut', (up) => (up.onRequest = async (_, peer) => (await peer.send('HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\npart'), peer.destroy())), 'RESET'],
    ['an answer that stops', (up) => (up.onRequest = async (_, peer) => void (await peer.send('HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\npart'))), 'IDLE_TIMEOUT'],
    ['no answer', (up) => (up.onRequest = () => new Promise<void>(() => {})), 'HEADERS_TIMEOUT'],
    ['no HTTP', (up) => (up.onRequest = () => 'nonsense\r\n\r\n'), 'BAD_ANSWER'],
  ])('%s, three times: asked no more until the probe, which brings it back', async (_, break_, seen) => {
    const [a, b] = await upstreams(2)
    const { backend, metrics } = start([a!.port, b!.port], { ejection: EJECTION, response_headers_ms: 40, idle_ms: 40 })
    break_(a!)
    const found = await times(backend, 6)
    expect(found.filter((one) => one === seen).length).toBe(3)
    expect(backend.state()[0]!.ejection).toMatchObject({ reason: 'consecutive', times: 1, probing: false })
    expect(metrics.weir_ejections_total({ backend: 'up', reason: 'consecutive' }).value).toBe(1)
    expect(metrics.weir_endpoints({ backend: 'up', state: 'ejected' }).value).toBe(1)
    const before = a!.requests.length
    expect(new Set(await times(backend, 10))).toEqual(new Set(['b']))
    expect(a!.requests.length).toBe(before)
    a!.onRequest = () => answer(200, [], 'a')
    await pause(70)
    expect(await times(backend, 3)).toContain('a')
    expect(backend.state()[0]!.ejection).toBe(null)
    expect(metrics.weir_endpoints({ backend: 'up', state: 'available' }).value).toBe(2)
  })

  it('a refused connection', async () => {
    const [, b] = await upstreams(2)
    const { backend } = start([await freePort(), b!.port], { ejection: EJECTION })
    expect((await times(backend, 20)).filter((one) => one !== 'b')).toEqual(['CONNECT_FAILED', 'CONNECT_FAILED', 'CONNECT_FAILED'])
  })

  it('callers who leave eject nobody', async () => {
    const [a, b] = await upstreams(2)
    const { backend } = start([a!.port, b!.port], { ejection: EJECTION })
    a!.onRequest = b!.onRequest = () => new Promise<void>(() => {})
    for (let i = 0; i < 12; i++) {
      const asked = exchangeFor(backend)
      const sent = refusal(send(backend, asked))
      asked.leg.cancel(new WeirError('CALLER_LEFT'))
      expect(await sent).toBe('CALLER_LEFT')
    }
    expect(backend.state().map(({ ejection, requests }) => [ejection, requests])).toEqual([[null, 0], [null, 0]])
  })

  it('a kept connection that was closed just now says nothing, since the fresh one answers', async () => {
    const [a, b] = await upstreams(2)
    const { backend } = start([a!.port, b!.port], { ejection: { ...EJECTION, consecutive: 1 } })
    await times(backend, 4)
    const kept = [...a!.peers, ...b!.peers]
    expect(kept.length).toBe(2)
    a!.onRequest = b!.onRequest = (_, peer) => (kept.includes(peer) ? peer.destroy() : answer(200, [], 'again'))
    expect(new Set(await times(backend, 8))).toEqual(new Set(['again']))
    expect(kept.some((peer) => peer.over)).toBe(true)
    expect(backend.state().every(({ ejection }) => ejection === null)).toBe(true)
  })

  it('everybody out: NO_ENDPOINT, counted, and the backend says that it is not available', async () => {
    const [a, b] = await upstreams(2)
    const { backend, metrics } = start([a!.port, b!.port], { ejection: { ...EJECTION, base_ms: 5000, max_ms: 5000 } })
    a!.onRequest = b!.onRequest = () => answer(500, [], 'x')
    expect(backend.available!()).toBe(true)
    const found = await times(backend, 8)
    expect(found.slice(6)).toEqual(['NO_ENDPOINT', 'NO_ENDPOINT'])
    expect(backend.available!()).toBe(false)
    expect(metrics.weir_attempts_total({ backend: 'up', outcome: 'ejected' }).value).toBe(2)
    const error = await send(backend, exchangeFor(backend)).then(() => null, (reason: WeirError) => reason)
    expect([error!.reason, error!.status]).toEqual(['ejected', 503])
    expect(error!.retryAfter).toBeGreaterThan(4)
    expect(error!.retryAfter).toBeLessThanOrEqual(5.5)
  })

  it('many at once when the time is over: one of them is the probe', async () => {
    const [a, b] = await upstreams(2)
    const { backend } = start([a!.port, b!.port], { ejection: EJECTION })
    a!.onRequest = () => answer(500, [], 'x')
    await times(backend, 8)
    const before = a!.requests.length
    a!.onRequest = async () => {
      await pause(50)
      return answer(500, [], 'x')
    }
    await pause(70)
    const found = await Promise.all(Array.from({ length: 30 }, () => ask(backend)))
    expect([found.filter((one) => one === '500').length, a!.requests.length - before]).toEqual([1, 1])
  })

  it('`ejection: off`, and the only endpoint: nothing is kept', async () => {
    const [a, b] = await upstreams(2)
    a!.onRequest = b!.onRequest = () => answer(500, [], 'x')
    for (const { backend } of [start([a!.port, b!.port], { ejection: null }), start([a!.port], { ejection: EJECTION })]) {
      expect(new Set(await times(backend, 20))).toEqual(new Set(['500']))
      expect(backend.state()[0]).toMatchObject({ requests: null, success_rate: null, ejection: null })
    }
  })

  it('what one endpoint alone cannot be: unavailable', async () => {
    const [a] = await upstreams(1)
    expect(start([a!.port], { ejection: EJECTION }).backend.available).toBe(undefined)
  })
})

describe('who is asked next', () => {
  it('what was asked is noted, and another one asked the next time', async () => {
    const [a, b] = await upstreams(2)
    const { backend } = start([a!.port, b!.port], { balance: 'least_request' })
    for (let i = 0; i < 20; i++) {
      const asked = exchangeFor(backend)
      asked.leg.tried = []
      const first = await collect((await send(backend, asked)).body)
      expect(asked.leg.tried.length).toBe(1)
      const second = await collect((await send(backend, asked)).body)
      expect([first.text, second.text].sort()).toEqual(['a', 'b'])
    }
  })

  it('by hash: a caller stays with its endpoint', async () => {
    const ups = await upstreams(3)
    const { backend } = start(ups.map(({ port }) => port), { balance: 'hash', hash_by: 'header.x-user' })
    const homes = new Map<string, string>()
    for (let round = 0; round < 3; round++) {
      for (let user = 0; user < 40; user++) {
        const found = await ask(backend, ['Host', 'a.test', 'X-User', `u${user}`])
        expect(homes.get(`u${user}`) ?? found).toBe(found)
        homes.set(`u${user}`, found)
      }
    }
    expect(new Set(homes.values())).toEqual(new Set(['a', 'b', 'c']))
  })

  it('by peak_ewma: the slow one gets less, and its time is shown', async () => {
    const [a, b] = await upstreams(2)
    a!.onRequest = async () => {
      await pause(60)
      return answer(200, [], 'a')
    }
    const { backend } = start([a!.port, b!.port], { balance: 'peak_ewma' })
    const found = await times(backend, 40)
    expect(found.filter((one) => one === 'a').length).toBeLessThan(10)
    const [slow, fast] = backend.state()
    expect(slow!.ewma_ms).toBeGreaterThan(20)
    expect(fast!.ewma_ms).toBeLessThan(60)
  })
})

describe('what the outside sees', () => {
  it('a healthy endpoint and a failing one', async () => {
    const [a, b] = await upstreams(2)
    a!.onRequest = () => answer(503, [], 'x')
    const { backend } = start([], {
      endpoints: [[a!, 2, 'z1'], [b!, 1, '']].map(([up, weight, zone]) => ({ scheme: 'http', address: { host: '127.0.0.1', port: (up as Upstream).port }, authority: `127.0.0.1:${(up as Upstream).port}`, prefix: '', weight: weight as number, zone: zone as string, priority: 0 })),
      ejection: { ...EJECTION, consecutive: 2, base_ms: 4000, max_ms: 4000 },
    })
    await times(backend, 9)
    const [bad, good] = backend.state()
    expect(bad).toMatchObject({ url: `http://127.0.0.1:${a!.port}`, address: '', weight: 2, zone: 'z1', priority: 0, health: 'unknown', ejection: { reason: 'consecutive', times: 1, probing: false }, requests: 2, success_rate: 0, ewma_ms: null, in_flight: 0, answered: 2, failed: 0 })
    const until = Date.parse(bad!.ejection!.until!) - Date.now()
    expect(until).toBeGreaterThan(2000)
    expect(until).toBeLessThan(4500)
    expect(good).toMatchObject({ ejection: null, requests: 7, success_rate: 1, answered: 7, connections: 1 })
  })

  it('gauges take back what they added, so that two generations of a backend add up', async () => {
    const registry = new Registry()
    const old = start([1, 2], {}, registry)
    const { backend, metrics } = start([1, 2, 3], {}, registry)
    const gauge = metrics.weir_endpoints({ backend: 'up', state: 'available' })
    expect(gauge.value).toBe(5)
    old.backend.close()
    expect(gauge.value).toBe(3)
    backend.close()
    expect(gauge.value).toBe(0)
  })
})

describe('all endpoints replaced through DNS under load', () => {
  it('no request fails', async () => {
    const first = await Upstream.listen({ host: '127.0.0.1' })
    const ups = [first, ...(await Promise.all([2, 3, 4].map((i) => Upstream.listen({ host: `127.0.0.${i}`, port: first.port }))))]
    open.push(...ups)
    for (const up of ups) {
      up.onRequest = async () => {
        await pause(3)
        return answer(200, [], 'ok')
      }
    }
    let found = ['127.0.0.1', '127.0.0.2']
    const config = backendConfig([], { endpoints: [{ scheme: 'http', address: { host: 'localhost', port: first.port }, authority: 'm.test', prefix: '', weight: 1, zone: '', priority: 0 }], dns_refresh_ms: 10, ejection: EJECTION, balance: 'least_request' })
    const backend = httpBackend(config, { clock: systemClock, deadlines: new Deadlines(systemClock), metrics: handles(new Registry()), random: Math.random, lookup: async () => found })
    open.push(backend)
    let stop = false
    const outcomes = new Map<string, number>()
    const load = Array.from({ length: 16 }, async () => {
      while (!stop) {
        const outcome = await ask(backend)
        outcomes.set(outcome, (outcomes.get(outcome) ?? 0) + 1)
      }
    })
    for (const next of [['127.0.0.2', '127.0.0.3'], ['127.0.0.3', '127.0.0.4']]) {
      await pause(60)
      const gone = found.filter((address) => !next.includes(address))
      found = next
      await expect.poll(() => backend.state().map(({ address }) => address)).toEqual(next)
      // A server that is taken away ends its connections once it has answered what it took.
      const old = ups[Number(gone[0]!.at(-1)) - 1]!
      await expect.poll(() => old.peers.every((peer) => peer.over), { timeout: 2000 }).toBe(true)
      await old.close()
    }
    await pause(60)
    stop = true
    await Promise.all(load)
    expect([...outcomes.keys()]).toEqual(['ok'])
    expect(outcomes.get('ok')).toBeGreaterThan(200)
    expect(ups.every((up) => up.requests.length > 10)).toBe(true)
  })
})
