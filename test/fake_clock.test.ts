import { expect, test } from 'vitest'
import { FakeClock } from './fake_clock.ts'

test('timers run when due, in order, and see their own time', () => {
  const clock = new FakeClock()
  const seen: string[] = []
  clock.after(20, () => seen.push(`b@${clock.now()}`))
  clock.after(10, () => {
    seen.push(`a@${clock.now()}`)
    clock.after(5, () => seen.push(`c@${clock.now()}`))
  })
  clock.after(20, () => seen.push(`d@${clock.now()}`))
  const cancelled = clock.after(1, () => seen.push('never'))
  cancelled.cancel()
  clock.advance(9)
  expect(seen).toEqual([])
  clock.advance(11)
  expect(seen).toEqual(['a@10', 'c@15', 'b@20', 'd@20'])
  expect(clock.pending).toBe(0)
})

test('every repeats until cancelled, from within its own run too', () => {
  const clock = new FakeClock()
  let runs = 0
  const timer = clock.every(10, () => {
    runs++
    if (runs === 3) timer.cancel()
  })
  clock.advance(100)
  expect(runs).toBe(3)
  expect(clock.now()).toBe(100)
  expect(clock.pending).toBe(0)
})

test('wall time moves with it', () => {
  const clock = new FakeClock(5000)
  clock.advance(250)
  expect(clock.wall()).toBe(5250)
})

test('tick lets promises settle between timers', async () => {
  const clock = new FakeClock()
  const wait = (ms: number): Promise<void> => new Promise((resolve) => clock.after(ms, resolve))
  let reached = 0
  void (async () => {
    await wait(10)
    await wait(10)
    reached = clock.now()
  })()
  await clock.tick(25)
  expect(reached).toBe(20)
})
