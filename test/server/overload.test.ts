/** Who is refused when the gateway has too much to do: signals made by hand. */
import { describe, expect, test } from 'vitest'
import type { Clock, Timer } from '../../gateway/clock.ts'
import { Registry, totals } from '../../gateway/metrics.ts'
import { memoryUse, Overload } from '../../gateway/server/overload.ts'

/** Timers run when the test says so, however late. */
class LateClock implements Clock {
  #now = 0
  readonly timers: { readonly ms: number; readonly run: () => void }[] = []

  now = (): number => this.#now
  wall = (): number => 0
  after = (): Timer => ({ cancel: () => undefined })

  every(ms: number, run: () => void): Timer {
    const timer = { ms, run }
    this.timers.push(timer)
    return { cancel: () => void this.timers.splice(this.timers.indexOf(timer), 1) }
  }

  /** So often, so late each time. */
  run(ms: number, times: number, late = 0): void {
    for (let i = 0; i < times; i++) {
      this.#now += ms + late
      this.timers.find((timer) => timer.ms === ms)!.run()
    }
  }
}

const CRITICALITIES = ['sheddable', 'standard', 'critical'] as const

function bench(loop_delay_ms: number | null, memory: number | null, random = 0) {
  const clock = new LateClock()
  const registry = new Registry()
  const state = { memory: 0 }
  const overload = new Overload({ clock, registry, random: () => random, memory: () => state.memory })
  overload.configure({ loop_delay_ms, memory }, 100)
  const refused = (inFlight = 1) => CRITICALITIES.filter((criticality) => overload.refusal({ name: criticality, criticality }, inFlight) !== null)
  const shed = () => totals([registry.view()], 'weir_shed_total').map(({ labels, value }) => `${labels['route']} ${labels['signal']} ${value}`)
  return { clock, overload, state, refused, shed }
}

describe('delay of the event loop', () => {
  test.each([
    [50, []],
    [99, []],
    [100, ['sheddable']],
    [199, ['sheddable']],
    [200, ['sheddable', 'standard']],
    [399, ['sheddable', 'standard']],
    [400, ['sheddable', 'standard', 'critical']],
  ])('%d ms with a threshold of 100 ms refuses %j', (late, expected) => {
    const { clock, refused } = bench(100, null)
    clock.run(20, 12, late)
    expect(refused()).toEqual(expected)
  })

  test('is over a second after it was', () => {
    const { clock, overload, refused, shed } = bench(100, null)
    clock.run(20, 12, 150)
    expect(refused()).toEqual(['sheddable'])
    expect(shed()).toEqual(['sheddable loop_delay 1'])
    clock.run(20, 80)
    expect([overload.level, refused()]).toEqual([0, []])
  })
})

describe('memory', () => {
  test.each([
    [0.89, []],
    [0.9, ['sheddable']],
    [0.96, ['sheddable']],
    // 0.9 + 2/3 · 0.1
    [0.967, ['sheddable', 'standard']],
    [0.999, ['sheddable', 'standard']],
    [1, ['sheddable', 'standard', 'critical']],
  ])('%d of what the process may have, with a threshold of 0.9, refuses %j', (share, expected) => {
    const { clock, state, refused, shed } = bench(null, 0.9)
    state.memory = share
    clock.run(1000, 1)
    expect(refused()).toEqual(expected)
    expect(shed()).toEqual(expected.map((route) => `${route} memory 1`))
  })

  test('of this process is a share', () => {
    expect(memoryUse()).toBeGreaterThan(0)
    expect(memoryUse()).toBeLessThan(1)
  })
})

test('in flight: sheddable routes leave the last quarter to the others', () => {
  const { refused, shed } = bench(null, null)
  expect([refused(75), refused(76)]).toEqual([[], ['sheddable']])
  expect(shed()).toEqual(['sheddable in_flight 1'])
})

test('the worse signal is named', () => {
  const { clock, state, refused, shed } = bench(100, 0.9)
  state.memory = 0.97
  clock.run(1000, 1)
  clock.run(20, 12, 150)
  expect(refused()).toEqual(['sheddable', 'standard'])
  expect(shed()).toEqual(['sheddable memory 1', 'standard memory 1'])
})

test.each([
  [0, 1],
  [0.5, 2],
  [0.999, 3],
])('Retry-After is jittered: %d gives %d s', (random, seconds) => {
  const { overload } = bench(null, null, random)
  expect(overload.refusal({ name: 'r', criticality: 'sheddable' }, 100)).toMatchObject({ code: 'OVERLOADED', status: 503, retryAfter: seconds })
})

test('a signal that is off has no timer; a reload with the same numbers keeps its timers, another one replaces them', () => {
  const { clock, overload } = bench(null, null)
  expect(clock.timers).toEqual([])
  overload.configure({ loop_delay_ms: 100, memory: 0.9 }, 100)
  const before = [...clock.timers]
  overload.configure({ loop_delay_ms: 100, memory: 0.9 }, 200)
  expect(clock.timers).toEqual(before)
  overload.configure({ loop_delay_ms: 200, memory: null }, 200)
  expect(clock.timers.map(({ ms }) => ms)).toEqual([20])
  overload.close()
  expect(clock.timers).toEqual([])
})
