/** Too much to do: at a backend, in a route, in the gateway. Who waits, who is refused, and that nobody's place is lost. */
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { answer, request, type ReceivedAnswer } from './message.ts'
import { pause, type Peer, Upstream } from './scripted.ts'
import { expectProblem, startWeir, type Weir } from './weir.ts'

let upstream: Upstream
let weir: Weir | null = null
let callers: Peer[] = []
/** Requests that the upstream holds, oldest first. */
let held: ((status?: number) => void)[] = []

beforeAll(async () => void (upstream = await Upstream.listen()))
beforeEach(async () => {
  await upstream.fresh()
  held = []
  upstream.onRequest = () => new Promise((resolve) => held.push((status = 200) => resolve(answer(status, [], 'ok'))))
})
afterEach(async () => {
  for (const caller of callers) caller.destroy()
  callers = []
  await weir?.stop()
  weir = null
})
afterAll(() => upstream.close())

const backend = (more: string): string => `  up: { url: "http://127.0.0.1:${upstream.port}", response_headers: 10s, ${more} }`

/** Sends a request on a connection of its own. */
async function ask(target = '/'): Promise<Peer> {
  const caller = await weir!.connect()
  callers.push(caller)
  await caller.send(request('GET', target))
  return caller
}

async function reload(change: (yaml: string) => string): Promise<void> {
  const file = path.join(weir!.folder, 'weir.yaml')
  await writeFile(file, change(await readFile(file, 'utf8')))
  const reloaded = await fetch(`http://127.0.0.1:${weir!.admin}/reload`, { method: 'POST' })
  expect(await reloaded.json()).toMatchObject({ ok: true })
}

const heldUntil = (count: number): Promise<unknown> => expect.poll(() => held.length, { timeout: 3000, interval: 5 }).toBe(count)

function expectOverloaded(got: ReceivedAnswer): void {
  expectProblem(got, 503, 'OVERLOADED')
  expect(Number(got.head.one('retry-after'))).toBeGreaterThanOrEqual(1)
}

describe('58: a stalled backend with in_flight 2 and a queue of 1', () => {
  const yaml = (wait: string): string => `
backends:
${backend(`limits: { in_flight: 2, queue: 1, queue_wait: ${wait} }`)}
routes:
  - { name: all, match: { path: "/**" }, backend: up }
`

  it('the third waits, the fourth gets 503 at once and keeps its connection; a place goes to whoever waits', async () => {
    weir = await startWeir(yaml('5s'))
    const [first, second] = [await ask(), await ask()]
    await heldUntil(2)
    const third = await ask()
    await weir.untilMetric(1, 'weir_backend_queued', { backend: 'up' })
    const fourth = await ask()
    expectOverloaded(await fourth.readFinal())
    held[0]!()
    expect((await first.readFinal()).status).toBe(200)
    await heldUntil(3)
    for (const reply of held.slice(1)) reply()
    expect([(await second.readFinal()).status, (await third.readFinal()).status]).toEqual([200, 200])
    upstream.onRequest = () => answer(200, [], 'again')
    await fourth.send(request('GET', '/'))
    expect((await fourth.readFinal()).body.toString()).toBe('again')
    const metrics = await weir.metrics()
    expect([metrics.sum('weir_backend_queued'), metrics.sum('weir_backend_limit'), metrics.sum('weir_backend_refused_total', { reason: 'queue_full' }), metrics.sum('weir_backend_in_flight')]).toEqual([0, 2, 1, 0])
  })

  it('whoever waits too long gets 503', async () => {
    weir = await startWeir(yaml('100ms'))
    await ask()
    await ask()
    await heldUntil(2)
    const third = await ask()
    expectOverloaded(await third.readFinal())
    expect((await weir.metrics()).sum('weir_backend_refused_total', { reason: 'queue_wait' })).toBe(1)
    expect(held.length).toBe(2)
  })

  it('a caller that leaves while it waits makes room, and its request is never sent', async () => {
    weir = await startWeir(yaml('5s'))
    const first = await ask('/first')
    await ask('/second')
    await heldUntil(2)
    const leaver = await ask('/leaver')
    await weir.untilMetric(1, 'weir_backend_queued')
    leaver.destroy()
    await weir.untilMetric(0, 'weir_backend_queued')
    const next = await ask('/next')
    await weir.untilMetric(1, 'weir_backend_queued')
    held[0]!()
    await first.readFinal()
    await heldUntil(3)
    for (const reply of held.slice(1)) reply()
    expect((await next.readFinal()).status).toBe(200)
    expect(upstream.requests.map(({ target }) => target)).toEqual(['/first', '/second', '/next'])
  })

  it('a caller that leaves in the middle of an answer gives its place back', async () => {
    weir = await startWeir(yaml('5s'))
    upstream.onRequest = (got) => (got.target === '/endless' ? 'HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nbegun' : answer(200, [], 'ok'))
    const endless = [await ask('/endless'), await ask('/endless')]
    for (const caller of endless) await caller.until(() => caller.heard.endsWith('begun'), 'the beginning of an answer')
    const waits = await ask('/')
    await weir.untilMetric(1, 'weir_backend_queued')
    endless[0]!.reset()
    expect((await waits.readFinal()).status).toBe(200)
  })

  it('a reload keeps what is under way and who waits', async () => {
    weir = await startWeir(yaml('10s'))
    const first = await ask()
    await ask()
    await heldUntil(2)
    const third = await ask()
    await weir.untilMetric(1, 'weir_backend_queued')
    await reload((yaml) => `${yaml}\nforwarded: { via: other }\n`)
    expectOverloaded(await (await ask()).readFinal())
    held[0]!()
    expect((await first.readFinal()).status).toBe(200)
    await heldUntil(3)
    for (const reply of held.slice(1)) reply()
    expect((await third.readFinal()).status).toBe(200)
    await weir.untilMetric(0, 'weir_backend_queued')
  })
})

describe('of a route', () => {
  it('the concurrency plugin: by what a caller says it is', async () => {
    weir = await startWeir(`
backends:
${backend('')}
routes:
  - name: all
    match: { path: "/**" }
    backend: up
    plugins:
      - concurrency: { max: 1, queue: 0, by: query.user }
`)
    const a = await ask('/?user=a')
    const b = await ask('/?user=b')
    await heldUntil(2)
    expectOverloaded(await (await ask('/?user=a')).readFinal())
    for (const reply of held) reply()
    expect([(await a.readFinal()).status, (await b.readFinal()).status]).toEqual([200, 200])
  })
})

describe('throttle', () => {
  it('a backend that refuses everything is asked less', async () => {
    weir = await startWeir(`
backends:
${backend('throttle: { multiplier: 2, window: 1m }')}
routes:
  - { name: all, match: { path: "/**" }, backend: up }
`)
    upstream.onRequest = () => answer(503, [], 'no')
    for (let i = 0; i < 200; i++) expect((await weir.exchange(request('GET', '/'))).status).toBe(503)
    const shed = (await weir.metrics()).sum('weir_backend_refused_total', { reason: 'throttled' })
    expect(shed + upstream.requests.length).toBe(200)
    // 9 in 10 of the last 190; 190 · 0.9 = 171, and binomial chance is far inside these.
    expect(shed).toBeGreaterThan(130)
    expect(shed).toBeLessThan(199)
  })
})

describe('of the gateway', () => {
  it('in flight: sheddable routes are refused first, with their route named', async () => {
    weir = await startWeir(`
limits: { in_flight: 4 }
overload: { loop_delay: off, memory: off }
backends:
${backend('')}
routes:
  - { name: batch, match: { path: /batch }, backend: up, criticality: sheddable }
  - { name: all, match: { path: "/**" }, backend: up }
`)
    const first = [await ask(), await ask(), await ask()]
    await heldUntil(3)
    const batch = await ask('/batch')
    expectOverloaded(await batch.readFinal())
    const fourth = await ask()
    await heldUntil(4)
    const fifth = await ask()
    expectOverloaded(await fifth.readFinal())
    for (const reply of held) reply()
    for (const caller of [...first, fourth]) expect((await caller.readFinal()).status).toBe(200)
    upstream.onRequest = () => answer(200, [], 'again')
    await batch.send(request('POST', '/batch', [], 'x'))
    expect((await batch.readFinal('POST')).status).toBe(200)
    const metrics = await weir.metrics()
    expect(metrics.sum('weir_shed_total', { route: 'batch', signal: 'in_flight', criticality: 'sheddable' })).toBe(1)
    expect(metrics.sum('weir_shed_total')).toBe(2)
    expect(metrics.sum('weir_requests_total', { route: 'batch', code: '5xx' })).toBe(1)
  })

  it('a loop that is late sheds the less critical routes, and nobody when it is punctual again', async () => {
    const folder = await mkdtemp(path.join(tmpdir(), 'weir-blocking-'))
    const contract = new URL('../../gateway/plugin.ts', import.meta.url).pathname
    const file = path.join(folder, 'blocking.ts')
    await writeFile(file, `import { plugin, reply, Type } from ${JSON.stringify(contract)}
export default plugin({
  name: 'blocking', summary: 'Blocks the loop.', stability: 'experimental', onError: 'closed', config: Type.Object({}), example: {},
  build: (_config, host) => ({ request() { for (const until = host.now() + 70; host.now() < until;); return reply(200, 'blocked') } }),
})
`)
    weir = await startWeir(`
overload: { loop_delay: 15ms, memory: off }
backends:
${backend('')}
routes:
  - { name: block, match: { path: /block }, backend: up, criticality: critical, plugins: [{ use: ${file}, options: {} }] }
  - { name: batch, match: { path: /batch }, backend: up, criticality: sheddable }
  - { name: all, match: { path: "/**" }, backend: up }
`)
    upstream.onRequest = () => answer(200, [], 'ok')
    const block = async (): Promise<void> => {
      const blocking = Array.from({ length: 12 }, () => ask('/block'))
      for (const caller of await Promise.all(blocking)) await caller.readFinal('GET', 5000)
    }
    await block()
    // The last second had twelve pauses of 70 ms, each seen as 50 at least.
    const [batch, standard] = [await ask('/batch'), await ask()]
    expectOverloaded(await batch.readFinal())
    expectOverloaded(await standard.readFinal())
    await expect.poll(async () => (await weir!.metrics()).sum('weir_shed_total', { signal: 'loop_delay' })).toBeGreaterThanOrEqual(2)
    await expect
      .poll(
        async () => {
          await batch.send(request('GET', '/batch'))
          return (await batch.readFinal()).status
        },
        { timeout: 10_000, interval: 100 },
      )
      .toBe(200)
    // Numbers of a reload count at once.
    await reload((yaml) => yaml.replace('loop_delay: 15ms', 'loop_delay: off'))
    await block()
    expect((await (await ask('/batch')).readFinal()).status).toBe(200)
    await rm(folder, { recursive: true })
  })

  it('calm, nothing is shed', async () => {
    weir = await startWeir(`
backends:
${backend('')}
routes:
  - { name: batch, match: { path: "/**" }, backend: up, criticality: sheddable }
`)
    upstream.onRequest = () => answer(200, [], 'ok')
    await pause(1200)
    expect((await weir.exchange(request('GET', '/'))).status).toBe(200)
    expect((await weir.metrics()).sum('weir_shed_total')).toBe(0)
  })
})
