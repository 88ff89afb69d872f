import { EventEmitter } from 'node:events'
import { describe, expect, it } from 'vitest'
import { Registry, totals } from '../../gateway/metrics.ts'
import type { Log } from '../../gateway/plugin.ts'
import { Crew, type DataThread, type Spawned } from '../../gateway/threads/crew.ts'
import type { ModelOrders } from '../../gateway/threads/messages.ts'
import { FakeClock } from '../fake_clock.ts'

class FakeWorker implements Spawned {
  readonly index: number
  readonly posted: unknown[] = []
  readonly #events = new EventEmitter()
  constructor(index: number) {
    this.index = index
  }
  on(event: string, listener: (value: unknown) => void): void {
    this.#events.on(event, listener)
  }
  emit(event: 'message' | 'error' | 'exit', value: unknown): void {
    this.#events.emit(event, value)
  }
  postMessage(message: unknown): void {
    this.posted.push(message)
  }
  async terminate(): Promise<void> {
    this.emit('exit', 1)
  }
  die(reason: string): void {
    this.emit('error', new Error(reason))
    this.emit('exit', 1)
  }
}

const quiet: Log = { debug() {}, info() {}, warn() {}, error() {} }
const counted = { c_total: { type: 'counter', help: 'c' }, g: { type: 'gauge', help: 'g' }, h: { type: 'histogram', help: 'h', buckets: [1, 2] } } as const

function crew(raise: (thread: DataThread) => Promise<void> = async () => undefined) {
  const clock = new FakeClock()
  const workers: FakeWorker[] = []
  const spawn = (index: number): FakeWorker => {
    workers.push(new FakeWorker(index))
    return workers.at(-1)!
  }
  const made = new Crew({ clock, log: quiet, spawn, share: (_key, bytes) => new SharedArrayBuffer(bytes), models: () => ({}) as ModelOrders, died() {}, raise })
  const serve = (): void => {
    for (const thread of made.threads(false)) thread.serving = true
  }
  const alive = (): number[] => made.threads().map(({ index }) => index)
  return { crew: made, clock, workers, serve, alive }
}

describe('size', () => {
  it('starts what is missing and ends what is too much, without counting it as a death', () => {
    const { crew: c, workers } = crew()
    c.resize(3)
    c.resize(2)
    c.resize(2)
    expect(workers.map(({ index }) => index)).toEqual([0, 1, 2])
    expect(c.threads(false).map(({ index }) => index)).toEqual([0, 1])
    expect(c.restarts).toBe(0)
  })
})

describe('a death', () => {
  it('is replaced after a while; the others stay', async () => {
    const raised: number[] = []
    const { crew: c, clock, workers, serve, alive } = crew(async ({ index }) => void raised.push(index))
    c.resize(2)
    serve()
    workers[1]!.die('boom')
    expect(alive()).toEqual([0])
    expect(c.restarts).toBe(1)
    expect(c.lastDeath).toContain('boom')
    await clock.tick(99)
    expect(workers).toHaveLength(2)
    await clock.tick(1)
    expect(raised).toEqual([1])
    expect(alive()).toEqual([0, 1])
  })

  it('names the exit code when nothing was thrown', () => {
    const { crew: c, workers } = crew()
    c.resize(1)
    workers[0]!.emit('exit', 7)
    expect(c.lastDeath).toBe('it ended with code 7')
  })

  it('keeps what was counted, and not what was measured', async () => {
    const { crew: c, clock, workers, serve } = crew()
    c.resize(1)
    serve()
    for (const round of [1, 2]) {
      const registry = new Registry()
      const handles = registry.handles(counted)
      handles.c_total().add(5)
      handles.g().set(9)
      handles.h().observe(1.5)
      workers.at(-1)!.emit('message', { ask: 'registry', id: round, args: [registry.view()] })
      workers.at(-1)!.die('boom')
      await clock.tick(1000)
    }
    expect(totals(c.views(), 'c_total')).toEqual([{ labels: {}, value: 10 }])
    expect(totals(c.views(), 'h')).toEqual([{ labels: {}, value: 2 }])
    expect(totals(c.views(), 'g')).toEqual([])
    expect(c.views()[0]!.slabs).toHaveLength(2)
  })

  it('is replaced later each time, at most every 30 s', async () => {
    const { crew: c, clock, workers, serve } = crew()
    c.resize(1)
    serve()
    const delays: number[] = []
    for (let i = 0; i < 12; i++) {
      workers.at(-1)!.die('boom')
      const from = clock.now()
      const before = workers.length
      while (workers.length === before) await clock.tick(50)
      delays.push(clock.now() - from)
    }
    expect(delays).toEqual([100, 200, 400, 800, 1600, 3200, 6400, 12_800, 25_600, 30_000, 30_000, 30_000])
  })

  it('is replaced at once again when the thread had lived for a minute', async () => {
    const { crew: c, clock, workers, serve } = crew()
    c.resize(1)
    serve()
    for (let i = 0; i < 5; i++) {
      workers.at(-1)!.die('boom')
      await clock.tick(5000)
    }
    await clock.tick(60_000)
    workers.at(-1)!.die('boom')
    await clock.tick(100)
    expect(workers).toHaveLength(7)
  })

  it('of a replacement that cannot serve counts too', async () => {
    let fail = true
    const { crew: c, clock, alive, workers, serve } = crew(async () => (fail ? Promise.reject(new Error('no port')) : undefined))
    c.resize(1)
    serve()
    workers[0]!.die('boom')
    await clock.tick(100)
    expect(alive()).toEqual([])
    expect(c.restarts).toBe(2)
    fail = false
    await clock.tick(200)
    expect(alive()).toEqual([0])
  })

  it('after close is nobody\'s business', async () => {
    const { crew: c, clock, workers } = crew()
    c.resize(2)
    await c.close()
    await clock.tick(100_000)
    expect(workers).toHaveLength(2)
    expect(c.restarts).toBe(0)
  })
})

it('asks the threads that serve, and outlives one that dies meanwhile', async () => {
  const { crew: c, workers, serve } = crew()
  c.resize(2)
  serve()
  const asked = c.each('load', [], 1000)
  const { id } = workers[0]!.posted[0] as { id: number }
  workers[0]!.emit('message', { reply: id, value: { connections: 1, in_flight: 2 } })
  workers[1]!.die('boom')
  const results = await asked
  expect(results[0]).toEqual({ status: 'fulfilled', value: { connections: 1, in_flight: 2 } })
  expect(results[1]).toMatchObject({ status: 'rejected' })
})
