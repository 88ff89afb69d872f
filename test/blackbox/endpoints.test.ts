/** Several endpoints of one backend, as the outside sees them: who is asked, who is left alone, and what a change costs callers (nothing). */
import { readFile, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { afterEach, describe, expect, it } from 'vitest'
import { answer, request } from './message.ts'
import { type Peer, pause, Upstream } from './scripted.ts'
import { expectProblem, startWeir, type Weir, type WeirOptions } from './weir.ts'

const open: { close(): Promise<unknown> }[] = []
afterEach(async () => {
  for (const one of open.splice(0).toReversed()) await one.close()
})

async function upstreams(count: number): Promise<Upstream[]> {
  const made = await Promise.all(Array.from({ length: count }, () => Upstream.listen()))
  for (const [i, one] of made.entries()) one.onRequest = () => answer(200, [], 'abcdef'[i])
  open.push(...made)
  return made
}

/** @param backend what stands in the braces of the one backend */
async function start(backend: string, options: WeirOptions & { readonly top?: string } = {}): Promise<Weir> {
  const weir = await startWeir(`${options.top ?? ''}\nbackends: { up: { ${backend} } }\nroutes: [{ name: all, match: { path: "/**" }, backend: up }]\n`, options)
  open.push({ close: () => weir.stop() })
  return weir
}

const urls = (...ups: readonly Upstream[]): string => `urls: [${ups.map(({ port }) => `"http://127.0.0.1:${port}"`).join(', ')}]`

async function times(weir: Weir, count: number, fields: string[] = []): Promise<string[]> {
  const peer = await weir.connect()
  const found: string[] = []
  for (let i = 0; i < count; i++) {
    await peer.send(request('GET', '/', fields))
    const got = await peer.readFinal('GET')
    found.push(got.status === 200 ? got.body.toString() : String(got.status))
  }
  peer.destroy()
  return found
}

interface Line {
  readonly address: string
  readonly state: string
  readonly why: string | null
  readonly threads: readonly { readonly health: string; readonly ejection: { readonly reason: string; readonly until: string | null } | null }[]
}
async function lines(weir: Weir): Promise<Line[]> {
  const body = (await (await fetch(`http://127.0.0.1:${weir.admin}/backends`)).json()) as { backends: { endpoints: Line[] }[] }
  return body.backends[0]!.endpoints
}

describe('an endpoint that fails', () => {
  it('is asked no more after five failures, and /backends and /metrics say why', async () => {
    const [a, b, c] = await upstreams(3)
    a!.onRequest = () => answer(500, [], 'x')
    const weir = await start(urls(a!, b!, c!))
    const found = await times(weir, 60)
    expect(found.filter((one) => one === '500').length).toBe(5)
    expect(a!.requests.length).toBe(5)
    const [bad, good] = await lines(weir)
    expect([bad!.state, bad!.threads[0]!.ejection!.reason]).toEqual(['ejected', 'consecutive'])
    expect(bad!.why).not.toBe(null)
    expect(Date.parse(bad!.threads[0]!.ejection!.until!)).toBeGreaterThan(Date.now())
    expect([good!.state, good!.why, good!.threads[0]!.health]).toEqual(['available', null, 'unknown'])
    const metrics = await weir.metrics()
    const value = (state: string): number => metrics.sum('weir_endpoints', { backend: 'up', state })
    expect([value('available'), value('ejected'), metrics.sum('weir_ejections_total', { backend: 'up', reason: 'consecutive' })]).toEqual([2, 1, 1])
  })

  it('is back with the first probe after its end, and few probes went before', async () => {
    const [a, b] = await upstreams(2)
    const weir = await start(`${urls(a!, b!)}, ejection: { base: 100ms, max: 400ms }`)
    a!.onRequest = () => answer(503, [], 'x')
    const began = performance.now()
    const failures: number[] = []
    const load = async (until: () => boolean): Promise<void> => {
      while (!until()) {
        const [one] = await times(weir, 1)
        if (one === '503') failures.push(performance.now() - began)
        await pause(2)
      }
    }
    await load(() => performance.now() - began > 1500)
    // Five failures, then probes after 100, 200 and from then on 400 ms.
    expect(failures.length).toBeGreaterThanOrEqual(5 + 3)
    expect(failures.length).toBeLessThanOrEqual(5 + 6)
    const probes = a!.requests.length
    a!.onRequest = () => answer(200, [], 'a')
    const up = performance.now()
    await load(() => a!.requests.length > probes + 5)
    // One probe interval with its jitter, and what a busy machine adds.
    expect(performance.now() - up).toBeLessThan(440 + 400)
    expect((await lines(weir))[0]!.state).toBe('available')
  })

  it('takes nobody with it: the last one stays, whatever it answers', async () => {
    const [a, b] = await upstreams(2)
    a!.onRequest = b!.onRequest = () => answer(500, [], 'x')
    const weir = await start(urls(a!, b!))
    expect(new Set(await times(weir, 40))).toEqual(new Set(['500']))
    expect((await lines(weir)).filter(({ state }) => state === 'ejected').length).toBe(1)
  })

  it('where all may go, all are gone: 503 NO_ENDPOINT with Retry-After, in a sentence without addresses', async () => {
    const [a, b] = await upstreams(2)
    a!.onRequest = b!.onRequest = () => answer(500, [], 'x')
    const weir = await start(`${urls(a!, b!)}, ejection: { max_percent: 100, base: 20s }`)
    await times(weir, 10)
    const got = await weir.exchange(request('GET', '/'))
    expectProblem(got, 503, 'NO_ENDPOINT')
    expect(Number(got.head.one('retry-after'))).toBeGreaterThan(15)
    expect(Number(got.head.one('retry-after'))).toBeLessThanOrEqual(22)
    expect(got.body.toString()).not.toMatch(/127\.0\.0\.1|:\d{4,5}/)
    expect((await weir.metrics()).sum('weir_attempts_total', { backend: 'up', outcome: 'ejected' })).toBe(1)
  })
})

describe('who is asked', () => {
  it('by weight, in turns', async () => {
    const [a, b] = await upstreams(2)
    const weir = await start(`urls: [{ url: "http://127.0.0.1:${a!.port}", weight: 3 }, "http://127.0.0.1:${b!.port}"], balance: round_robin`)
    expect((await times(weir, 8)).join('')).toBe('aabaaaba')
  })

  it('by priority: the second level only while nobody of the first is healthy', async () => {
    const [a, b] = await upstreams(2)
    let ready = true
    a!.onRequest = ({ head }) => (head.line.includes('/v2/health/ready') ? answer(ready ? 200 : 503, [], '') : answer(200, [], 'a'))
    const weir = await start(`urls: ["http://127.0.0.1:${a!.port}", { url: "http://127.0.0.1:${b!.port}", priority: 1 }], health: { interval: 50ms, timeout: 50ms, unhealthy: 1, healthy: 1 }`)
    await weir.untilMetric(2, 'weir_endpoints', { state: 'available' })
    expect((await times(weir, 5)).join('')).toBe('aaaaa')
    ready = false
    await weir.untilMetric(1, 'weir_endpoints', { state: 'unhealthy' })
    expect((await times(weir, 5)).join('')).toBe('bbbbb')
    ready = true
    await weir.untilMetric(0, 'weir_endpoints', { state: 'unhealthy' })
    expect((await times(weir, 5)).join('')).toBe('aaaaa')
  })

  it('by zone: the own one', async () => {
    const [a, b] = await upstreams(2)
    const weir = await start(`urls: [{ url: "http://127.0.0.1:${a!.port}", zone: east }, { url: "http://127.0.0.1:${b!.port}", zone: west }]`, { top: 'zone: west' })
    expect(new Set(await times(weir, 10))).toEqual(new Set(['b']))
  })

  it('by hash: everybody stays where he is, whichever thread he meets', async () => {
    const ups = await upstreams(3)
    const weir = await start(`${urls(...ups)}, balance: { hash: header.x-user }`, { threads: 2 })
    const homes = new Set<string>()
    for (let user = 0; user < 30; user++) {
      const found = new Set<string>()
      for (let i = 0; i < 4; i++) for (const one of await times(weir, 1, [`X-User: ${user}`])) found.add(one)
      expect(found.size).toBe(1)
      for (const one of found) homes.add(one)
    }
    expect(homes).toEqual(new Set(['a', 'b', 'c']))
  })

  it('by name, resolved by weir: the address is shown, Host and connections are as before', async () => {
    const [a] = await upstreams(1)
    const weir = await start(`url: "http://localhost:${a!.port}", dns_refresh: 50ms, host: backend`)
    await expect.poll(async () => (await lines(weir))[0]!.address, { timeout: 3000 }).toBe('127.0.0.1')
    expect(await times(weir, 3)).toEqual(['a', 'a', 'a'])
    expect(a!.requests[0]!.head.one('host')).toBe(`localhost:${a!.port}`)
    await expect.poll(async () => (await weir.metrics()).sum('weir_dns_refreshes_total', { result: 'ok' }), { timeout: 3000 }).toBeGreaterThan(2)
    expect(await times(weir, 1)).toEqual(['a'])
    expect(a!.peers.length).toBe(1)
  })
})

describe('all endpoints replaced by reloads under load', () => {
  it('no request fails, and the old ones are let go', async () => {
    const ups = await upstreams(4)
    for (const up of ups) {
      up.onRequest = async () => {
        await pause(3)
        return answer(200, [], 'ok')
      }
    }
    const weir = await start(`${urls(ups[0]!, ups[1]!)}, ejection: { consecutive: 1 }`)
    const file = path.join(weir.folder, 'weir.yaml')
    const written = await readFile(file, 'utf8')
    let stop = false
    const outcomes = new Map<string, number>()
    const caller = async (peer: Peer): Promise<void> => {
      while (!stop) {
        await peer.send(request('POST', '/', [], 'body'))
        const { status, body } = await peer.readFinal('POST')
        const outcome = `${status} ${body}`
        outcomes.set(outcome, (outcomes.get(outcome) ?? 0) + 1)
      }
      peer.destroy()
    }
    const load = Array.from({ length: 8 }, async () => caller(await weir.connect()))
    for (const [from, to] of [[1, 2], [2, 3]] as const) {
      await pause(80)
      await writeFile(file, written.replace(urls(ups[0]!, ups[1]!), urls(ups[from]!, ups[to]!)))
      expect((await fetch(`http://127.0.0.1:${weir.admin}/reload`, { method: 'POST' })).status).toBe(200)
      const old = ups[from - 1]!
      await expect.poll(() => old.peers.every((peer) => peer.over), { timeout: 3000 }).toBe(true)
    }
    await pause(80)
    stop = true
    await Promise.all(load)
    expect([...outcomes.keys()]).toEqual(['200 ok'])
    expect(ups.every((up) => up.requests.length > 5)).toBe(true)
    await weir.untilMetric(2, 'weir_endpoints', { state: 'available' })
    expect((await weir.metrics()).sum('weir_ejections_total')).toBe(0)
  })
})
