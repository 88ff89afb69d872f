/** Active checks: thresholds and times on a fake clock, what a check is on real sockets. */
import net, { type AddressInfo } from 'node:net'
import { afterEach, describe, expect, it } from 'vitest'
import type { HealthConfig, HttpBackendConfig } from '../../config/config.ts'
import { systemClock } from '../../gateway/clock.ts'
import { Registry } from '../../gateway/metrics.ts'
import type { Endpoint } from '../../gateway/upstream/endpoint.ts'
import { Watch } from '../../gateway/upstream/health.ts'
import { httpBackend, type HttpBackend } from '../../gateway/upstream/transport.ts'
import { backendMetrics } from '../../gateway/vital.ts'
import { Deadlines } from '../../gateway/wire/deadlines.ts'
import { answer } from '../blackbox/message.ts'
import { Upstream } from '../blackbox/scripted.ts'
import { FakeClock } from '../fake_clock.ts'
import { freePort } from '../servers.ts'
import { backendConfig } from '../wire/thin.ts'
import { collect, exchangeFor, refusal, send } from './legs.ts'

const HEALTH: HealthConfig = { check: 'http', path: '/ready', interval_ms: 1000, timeout_ms: 500, unhealthy: 3, healthy: 2 }

describe('thresholds', () => {
  /** @param results of the checks, in order; the last one stays. @returns what was said after each of them */
  function said(results: readonly boolean[], config = HEALTH): string {
    const clock = new FakeClock()
    const found: string[] = []
    const left = [...results]
    const watch = new Watch({} as Endpoint, config, {
      clock, random: () => 0.5,
      check: (_endpoint, _timeout, done) => {
        done(left.shift()!)
        return { cancel() {} }
      },
      checked: (_endpoint, healthy) => void found.push(healthy ? 'h' : 'u'),
    })
    clock.advance(100 + 1000 * (results.length - 1))
    watch.close()
    expect(clock.pending).toBe(0)
    return found.join('')
  }
  const results = (text: string): boolean[] => [...text].map((letter) => letter === '+')

  it.each([
    ['+', 'h'],
    ['-', 'u'],
    ['+--+---', 'hhhhhhu'],
    ['+---+-++', 'hhhuuuuh'],
    ['-+-+-+', 'uuuuuu'],
    ['-++---', 'uuhhhu'],
  ])('%s gives %s', (text, expected) => {
    expect(said(results(text))).toBe(expected)
  })

  it.each([[0, 0, 900], [0.5, 50, 1000], [1, 100, 1100]])('with %f drawn: after %i ms, then every %i ms', (drawn, first, period) => {
    const clock = new FakeClock()
    const times: number[] = []
    const watch = new Watch({} as Endpoint, HEALTH, {
      clock, random: () => drawn,
      check: (_endpoint, timeout, done) => {
        expect(timeout).toBe(500)
        times.push(clock.now())
        // A check that takes a while does not move the next one.
        clock.after(300, () => done(true))
        return { cancel() {} }
      },
      checked: () => undefined,
    })
    clock.advance(first + 2 * period)
    expect(times).toEqual([first, first + period, first + 2 * period])
    watch.close()
  })

  it('closing gives up the check that is under way, and none follows', () => {
    const clock = new FakeClock()
    let cancelled = 0
    let finish: (good: boolean) => void = () => undefined
    const watch = new Watch({} as Endpoint, HEALTH, {
      clock, random: () => 0,
      check: (_endpoint, _timeout, done) => {
        finish = done
        return { cancel: () => void cancelled++ }
      },
      checked: () => expect.unreachable(),
    })
    clock.advance(1)
    watch.close()
    finish(true)
    expect([cancelled, clock.pending]).toEqual([1, 0])
  })
})

describe('checks on sockets', () => {
  const open: { close(): void | Promise<void> }[] = []
  afterEach(async () => {
    for (const one of open.splice(0)) await one.close()
  })

  const QUICK: HealthConfig = { check: 'http', path: '/ready?deep=1', interval_ms: 40, timeout_ms: 40, unhealthy: 1, healthy: 1 }

  function start(ports: readonly number[], config: Partial<HttpBackendConfig>): { backend: HttpBackend; deadlines: Deadlines; value: (result: 'ok' | 'error') => number } {
    const deadlines = new Deadlines(systemClock)
    const metrics = new Registry().handles(backendMetrics)
    const backend = httpBackend(backendConfig(ports, config), { clock: systemClock, deadlines, metrics, random: Math.random })
    open.push(backend)
    return { backend, deadlines, value: (result) => metrics.weir_health_checks_total({ backend: 'up', result }).value }
  }

  async function upstream(): Promise<Upstream> {
    const made = await Upstream.listen()
    open.push(made)
    return made
  }

  const health = (backend: HttpBackend): string[] => backend.state().map((one) => one.health)
  const untilHealth = (backend: HttpBackend, ...expected: string[]): Promise<void> => expect.poll(() => health(backend), { timeout: 3000, interval: 5 }).toEqual(expected)

  it("GET the path behind the endpoint's prefix, with its Host and the backend's own fields; 2xx is healthy", async () => {
    const up = await upstream()
    up.onRequest = () => answer(204, [], '')
    const { backend, value } = start([], {
      endpoints: [{ scheme: 'http', address: { host: '127.0.0.1', port: up.port }, authority: 'models.test', prefix: '/p', weight: 1, zone: '', priority: 0 }], health: QUICK, headers: ['authorization', 'Bearer x'],
    })
    expect(health(backend)).toEqual(['unknown'])
    await untilHealth(backend, 'healthy')
    expect(up.request.head.line).toBe('GET /p/ready?deep=1 HTTP/1.1')
    expect([up.request.head.one('host'), up.request.head.one('authorization')]).toEqual(['models.test', 'Bearer x'])
    expect(value('ok')).toBeGreaterThan(0)
  })

  it.each<[string, () => string | Buffer | Promise<void>]>([
    ['503', () => answer(503, [], 'no')],
    ['a redirect', () => answer(302, ['Location: /'], '')],
    ['no HTTP', () => 'SSH-2.0-x\r\n\r\n'],
    ['no answer in time', () => new Promise<void>(() => {})],
    ['a head that trickles', () => new Promise<void>(() => {})],
  ])('%s is not', async (_, onRequest) => {
    const up = await upstream()
    up.onRequest = () => onRequest() as string
    const { backend, value } = start([up.port], { health: QUICK })
    await untilHealth(backend, 'unhealthy')
    expect(value('error')).toBeGreaterThan(0)
    const asked = exchangeFor(backend)
    expect(await refusal(send(backend, asked))).toBe('NO_ENDPOINT')
    expect(backend.available!()).toBe(false)
  })

  it('a long body is not waited for', async () => {
    const up = await upstream()
    up.onRequest = () => 'HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\nbegun'
    const { backend } = start([up.port], { health: QUICK })
    await untilHealth(backend, 'healthy')
  })

  it('requests go to those that are healthy, and come back', async () => {
    const [a, b] = [await upstream(), await upstream()]
    let down = true
    a.onRequest = ({ head }) => (down && head.line.includes('/ready') ? answer(500, [], '') : answer(200, [], 'a'))
    b.onRequest = () => answer(200, [], 'b')
    const { backend } = start([a.port, b.port], { health: QUICK })
    await untilHealth(backend, 'unhealthy', 'healthy')
    const text = async (): Promise<string> => (await collect((await send(backend, exchangeFor(backend))).body)).text
    for (let i = 0; i < 6; i++) expect(await text()).toBe('b')
    down = false
    await untilHealth(backend, 'healthy', 'healthy')
    expect([await text(), await text()].sort()).toEqual(['a', 'b'])
  })

  it('tcp: a connection that stands; closing leaves nothing behind', async () => {
    const server = net.createServer((socket) => socket.on('error', () => undefined))
    await new Promise<void>((done) => server.listen(0, '127.0.0.1', done))
    open.push({ close: () => new Promise<void>((done) => server.close(() => done())) })
    const closed = await freePort()
    const { backend, deadlines } = start([(server.address() as AddressInfo).port, closed], { health: { ...QUICK, check: 'tcp', path: '' } })
    await untilHealth(backend, 'healthy', 'unhealthy')
    backend.close()
    await expect.poll(() => deadlines.size).toBe(0)
  })

  it('closing in the middle of a check leaves no connection behind', async () => {
    const up = await upstream()
    up.onRequest = () => new Promise<void>(() => {})
    const { backend, deadlines } = start([up.port], { health: { ...QUICK, timeout_ms: 30_000 } })
    await expect.poll(() => up.requests.length, { timeout: 4000 }).toBe(1)
    backend.close()
    expect(deadlines.size).toBe(0)
    await up.peer.untilOver(1000)
  })
})
