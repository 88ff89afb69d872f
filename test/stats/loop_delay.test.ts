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

test('the second largest of the quarters of the last second', () => {
  const delay = new LoopDelay(0)
  // At 130, at 250 and 380, at 500 and 530: the largest are 110, 110 and 100.
  run(delay, 0, [110, 100, 110, 100, 10])
  expect(delay.delay).toBe(110)
  const other = new LoopDelay(0)
  // 80 in the first quarter, 140 in the second.
  run(other, 0, [80, 0, 140, 5])
  expect(other.delay).toBe(80)
})

test('one pause alone is no delay, however long, and neither are two in one quarter; two in two quarters are', () => {
  const delay = new LoopDelay(0)
  const now = run(delay, 0, [0, 0, 5000, 0, 0])
  expect(delay.delay).toBe(0)
  run(delay, now, [400, 0])
  expect(delay.delay).toBe(400)
  const short = new LoopDelay(0)
  run(short, 0, [60, 60, 0])
  expect(short.delay).toBe(0)
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
