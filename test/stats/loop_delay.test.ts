/** The delay of an event loop: times of the timer are made by hand. */
import { expect, test } from 'vitest'
import { LoopDelay } from '../../gateway/stats/loop_delay.ts'

/** Runs a timer of 20 ms that is late by so much each time. */
function run(delay: LoopDelay, from: number, late: readonly number[]): number {
  return late.reduce((now, ms) => (delay.sample(now + 20 + ms), now + 20 + ms), from)
}

test('punctual is 0, whatever the phase', () => {
  const delay = new LoopDelay(7)
  run(delay, 7, Array<number>(200).fill(0))
  expect(delay.delay).toBe(0)
})

test('the second largest of the last second', () => {
  const delay = new LoopDelay(0)
  run(delay, 0, [5, 0, 30, 12, 0])
  expect(delay.delay).toBe(12)
})

test('one pause alone is no delay, however long; two are', () => {
  const delay = new LoopDelay(0)
  const now = run(delay, 0, [0, 0, 5000, 0, 0])
  expect(delay.delay).toBe(0)
  run(delay, now, [400, 0])
  expect(delay.delay).toBe(400)
})

test('is forgotten after a second', () => {
  const delay = new LoopDelay(0)
  let now = run(delay, 0, [200, 200])
  expect(delay.delay).toBe(200)
  now = run(delay, now, Array<number>(25).fill(0))
  expect(delay.delay).toBe(200)
  run(delay, now, Array<number>(40).fill(0))
  expect(delay.delay).toBe(0)
})

test('tells when a quarter of a second is over', () => {
  const delay = new LoopDelay(0)
  expect(Array.from({ length: 26 }, (_, i) => delay.sample((i + 1) * 20)).flatMap((turned, i) => (turned ? [(i + 1) * 20] : []))).toEqual([260, 500])
})
