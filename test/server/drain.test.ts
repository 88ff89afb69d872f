import { describe, expect, it } from 'vitest'
import { Drain } from '../../gateway/server/drain.ts'
import { FakeClock } from '../fake_clock.ts'

const CONFIG = { grace_ms: 1000, deadline_ms: 5000 }

/** A drain whose steps are written down with the time they came at. */
function drain() {
  const clock = new FakeClock()
  const idle = Promise.withResolvers<void>()
  const steps: [string, number][] = []
  const note = (step: string): void => void steps.push([step, clock.now()])
  const made = new Drain(clock, {
    unready: () => note('unready'),
    announce: async () => note('announce'),
    stop: () => (note('stop'), idle.promise),
    cut: async () => (note('cut'), 3),
  })
  return { drain: made, clock, steps, idle: () => idle.resolve() }
}

describe('a graceful stop', () => {
  it('is unready at once, waits for the grace, stops accepting, and ends when nothing is under way', async () => {
    const { drain: d, clock, steps, idle } = drain()
    const cut = d.start(CONFIG)
    await clock.tick(999)
    expect(steps).toEqual([['unready', 0], ['announce', 0]])
    await clock.tick(1)
    expect(steps.at(-1)).toEqual(['stop', 1000])
    await clock.tick(200)
    expect(steps).toHaveLength(3)
    idle()
    await expect(cut).resolves.toBe(3)
    expect(steps.at(-1)).toEqual(['cut', 1200])
    expect(clock.pending).toBe(0)
  })

  it('cuts at the deadline, counted from the start', async () => {
    const { drain: d, clock, steps } = drain()
    void d.start(CONFIG)
    await clock.tick(4999)
    expect(steps.at(-1)![0]).toBe('stop')
    await clock.tick(1)
    expect(steps.at(-1)).toEqual(['cut', 5000])
  })

  it('skips the grace when the deadline comes first', async () => {
    const { drain: d, clock, steps, idle } = drain()
    const cut = d.start({ grace_ms: 9000, deadline_ms: 500 })
    await clock.tick(500)
    await cut
    idle()
    expect(steps.map(([step]) => step)).toEqual(['unready', 'announce', 'stop', 'cut'])
    expect(steps.at(-1)![1]).toBe(500)
  })

  it.each([0, 500, 2000])('ends at once when told so after %d ms', async (after) => {
    const { drain: d, clock, steps } = drain()
    const cut = d.start(CONFIG)
    await clock.tick(after)
    d.now()
    await expect(cut).resolves.toBe(3)
    expect(steps.at(-1)).toEqual(['cut', after])
    expect(clock.pending).toBe(0)
  })

  it('runs once', async () => {
    const { drain: d, steps } = drain()
    expect(d.started).toBe(false)
    const first = d.start(CONFIG)
    expect(d.started).toBe(true)
    expect(d.start(CONFIG)).toBe(first)
    d.now()
    await first
    expect(steps.filter(([step]) => step === 'announce')).toHaveLength(1)
  })
})
