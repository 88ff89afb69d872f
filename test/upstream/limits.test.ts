/** Limits and throttling around a backend that answers as a test says, on a clock that stands still. */
import { describe, expect, test } from 'vitest'
import type { HttpBackendConfig } from '../../config/config.ts'
import { WeirError } from '../../gateway/errors.ts'
import { Answer } from '../../gateway/exchange.ts'
import { Registry, totals } from '../../gateway/metrics.ts'
import { limited } from '../../gateway/upstream/limits.ts'
import type { Transmitter } from '../../gateway/upstream/transport.ts'
import { backendMetrics } from '../../gateway/vital.ts'
import { FakeClock } from '../fake_clock.ts'
import { backendConfig } from '../wire/thin.ts'
import { exchangeFor } from './legs.ts'

class Bench {
  readonly clock = new FakeClock()
  readonly registry = new Registry()
  readonly backend: Transmitter
  closed = 0
  asked = 0
  available = true
  answer: () => Promise<Answer> = () => Promise.resolve(new Answer(200, [], null))

  constructor(config: Partial<HttpBackendConfig>) {
    const inner: Transmitter = {
      name: 'up', kind: 'http', config: backendConfig([1], config), state: () => [], available: () => this.available, close: () => void this.closed++,
      send: () => {
        this.asked++
        return this.answer()
      },
    }
    this.backend = limited(inner, { clock: this.clock, metrics: this.registry.handles(backendMetrics), random: () => 0.5 })
    expect(this.backend === inner).toBe(config.limits == null && config.throttle == null)
  }

  async ask(): Promise<string> {
    const { x, leg } = exchangeFor(this.backend)
    return this.backend.send(x, leg).then(({ status }) => String(status), (error: WeirError) => error.code)
  }

  metric(name: string, reason?: string): number {
    return totals([this.registry.view()], name).filter(({ labels }) => reason === undefined || labels['reason'] === reason).reduce((sum, { value }) => sum + value, 0)
  }
}

test('a backend without limits is the backend itself', () => {
  const bench = new Bench({})
  expect(totals([bench.registry.view()], 'weir_backend_limit')).toEqual([])
})

test('what the backend says of itself passes through', () => {
  const bench = new Bench({ limits: { in_flight: 1, queue: 0, queue_wait_ms: 100, adaptive: null } })
  expect([bench.backend.name, bench.backend.kind, bench.backend.state(), bench.backend.available!()]).toEqual(['up', 'http', [], true])
  bench.available = false
  expect(bench.backend.available!()).toBe(false)
  expect(bench.metric('weir_backend_limit')).toBe(1)
  bench.backend.close()
  expect([bench.closed, bench.metric('weir_backend_limit')]).toEqual([1, 0])
})

test('limits: one under way, one waits, the third is refused', async () => {
  const bench = new Bench({ limits: { in_flight: 1, queue: 1, queue_wait_ms: 100, adaptive: null } })
  const answers: ((answer: Answer) => void)[] = []
  bench.answer = () => new Promise((resolve) => answers.push(resolve))
  const [a, b, c] = [bench.ask(), bench.ask(), bench.ask()]
  expect([await c, bench.asked, bench.metric('weir_backend_queued'), bench.metric('weir_backend_refused_total', 'queue_full')]).toEqual(['OVERLOADED', 1, 1, 1])
  answers[0]!(new Answer(200, [], null))
  expect(await a).toBe('200')
  await bench.clock.tick(0)
  expect(bench.asked).toBe(2)
  answers[1]!(new Answer(200, [], null))
  expect([await b, bench.clock.pending]).toEqual(['200', 0])
})

describe('throttle', () => {
  const throttle = { multiplier: 2, window_ms: 10_000 }

  test.each<[string, () => Promise<Answer>]>([
    ['503', () => Promise.resolve(new Answer(503, [], null))],
    ['429', () => Promise.resolve(new Answer(429, [], null))],
    ['a timeout', () => Promise.reject(new WeirError('HEADERS_TIMEOUT'))],
    ['a broken connection', () => Promise.reject(new WeirError('RESET'))],
  ])('%s is a refusal: after ten of them more than half is shed', async (_name, answer) => {
    const bench = new Bench({ throttle })
    bench.answer = answer
    for (let i = 0; i < 10; i++) await bench.ask()
    // 10 requests, none accepted: 10 / 11, at most 0.9; the random number is 0.5.
    expect([await bench.ask(), bench.asked, bench.metric('weir_backend_refused_total', 'throttled')]).toEqual(['OVERLOADED', 10, 1])
    await bench.clock.tick(10_000)
    await bench.ask()
    expect(bench.asked).toBe(11)
  })

  test.each<[string, () => Promise<Answer>]>([
    ['500', () => Promise.resolve(new Answer(500, [], null))],
    ['404', () => Promise.resolve(new Answer(404, [], null))],
    ['a caller that left', () => Promise.reject(new WeirError('CALLER_LEFT'))],
  ])('%s is none', async (_name, answer) => {
    const bench = new Bench({ throttle })
    bench.answer = answer
    for (let i = 0; i < 50; i++) await bench.ask()
    expect(bench.asked).toBe(50)
  })

  test('what finds no place is no refusal of the backend', async () => {
    const bench = new Bench({ throttle, limits: { in_flight: 1, queue: 0, queue_wait_ms: 100, adaptive: null } })
    const answers: ((answer: Answer) => void)[] = []
    bench.answer = () => new Promise((resolve) => answers.push(resolve))
    const first = bench.ask()
    for (let i = 0; i < 50; i++) expect(await bench.ask()).toBe('OVERLOADED')
    answers[0]!(new Answer(200, [], null))
    await first
    bench.answer = () => Promise.resolve(new Answer(200, [], null))
    expect([await bench.ask(), bench.metric('weir_backend_refused_total', 'throttled')]).toEqual(['200', 0])
  })
})
