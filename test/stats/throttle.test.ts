/** Client-side throttling against a naive model of the book's formula. */
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { Throttle } from '../../gateway/stats/throttle.ts'

test('the formula of the book, by hand', () => {
  const throttle = new Throttle(2, 10_000, 0)
  for (let i = 0; i < 20; i++) expect(throttle.admits(0, 0.999)).toBe(true)
  expect(throttle.probability).toBe(0)
  for (let i = 0; i < 15; i++) throttle.refused(0)
  // 20 requests, 5 accepted: (20 − 2 · 5) / 21
  expect(throttle.probability).toBeCloseTo(10 / 21, 12)
  expect(throttle.admits(0, 10 / 21 - 1e-9)).toBe(false)
  // The shed one counts as a request: (21 − 10) / 22
  expect(throttle.probability).toBeCloseTo(11 / 22, 12)
})

test('what is under way is no refusal: a burst of slow requests sheds nothing', () => {
  const throttle = new Throttle(2, 10_000, 0)
  for (let i = 0; i < 1000; i++) expect(throttle.admits(0, 0)).toBe(true)
})

test('half accepted with K = 2 sheds nothing', () => {
  const throttle = new Throttle(2, 10_000, 0)
  for (let i = 0; i < 100; i++) {
    throttle.admits(i, 0.999)
    if (i % 2 === 0) throttle.refused(i)
  }
  expect(throttle.probability).toBe(0)
})

test('never more than nine in ten; the window ends', () => {
  const throttle = new Throttle(2, 10_000, 0)
  for (let i = 0; i < 10_000; i++) {
    throttle.admits(0, 0.95)
    throttle.refused(0)
  }
  expect(throttle.probability).toBe(0.9)
  expect(throttle.admits(0, 0.9)).toBe(true)
  expect(throttle.admits(10_999, 0)).toBe(true)
  expect(throttle.probability).toBe(0)
})

test('fewer than ten requests in the window say nothing', () => {
  const throttle = new Throttle(2, 10_000, 0)
  for (let i = 0; i < 9; i++) {
    expect(throttle.admits(0, 0)).toBe(true)
    throttle.refused(0)
  }
  expect(throttle.admits(0, 0)).toBe(true)
  expect(throttle.admits(0, 0)).toBe(false)
})

test('counts as a list of events in the last ten slices does', () => {
  const step = fc.record({ ms: fc.integer({ min: 0, max: 4000 }), refused: fc.boolean(), random: fc.double({ min: 0, max: 0.999, noNaN: true }) })
  fc.assert(
    fc.property(fc.array(step, { maxLength: 300 }), (steps) => {
      const throttle = new Throttle(2, 10_000, 0)
      const events: { slice: number; accepted: number }[] = []
      let now = 0
      for (const { ms, refused, random } of steps) {
        now += ms
        const slice = Math.floor(now / 1000)
        const recent = events.filter((event) => event.slice > slice - 10)
        const accepted = Math.max(0, recent.reduce((sum, event) => sum + event.accepted, 0))
        const p = recent.length < 10 ? 0 : Math.min(0.9, Math.max(0, (recent.length - 2 * accepted) / (recent.length + 1)))
        const admitted = throttle.admits(now, random)
        expect(admitted).toBe(random >= p)
        if (admitted && refused) throttle.refused(now)
        events.push({ slice, accepted: admitted && !refused ? 1 : 0 })
      }
    }),
  )
})

test('a server that is back gets half of the traffic within two windows', () => {
  const throttle = new Throttle(2, 10_000, 0)
  let state = 1
  const random = (): number => (state = (state * 48_271) % 2_147_483_647) / 2_147_483_647
  const second = (from: number, alive: boolean): number => {
    let admitted = 0
    for (let i = 0; i < 1000; i++) {
      if (!throttle.admits(from + i, random())) continue
      admitted++
      if (!alive) throttle.refused(from + i)
    }
    return admitted
  }
  for (let s = 0; s < 20; s++) second(s * 1000, false)
  const passed = Array.from({ length: 30 }, (_, s) => second(20_000 + s * 1000, true))
  expect(passed[0]).toBeLessThan(200)
  expect(passed[20]).toBeGreaterThan(500)
  expect(passed[29]).toBe(1000)
})
