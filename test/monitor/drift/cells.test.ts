/** Cells of several threads are those of one, whatever thread counted which row; names of unlisted values; memory. */
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { Names } from '../../../gateway/monitor/drift/names.ts'
import { Ring, ringBytes } from '../../../gateway/monitor/drift/ring.ts'
import { complaintOf, timesOf } from '../../../gateway/monitor/drift/times.ts'
import { historyBytes, memoryOf } from '../../../gateway/monitor/drift/history.ts'
import { partBytes } from '../../../gateway/monitor/drift/counter.ts'
import { planOf } from '../../../gateway/monitor/drift/watched.ts'
import { categories, normals, numbers, profileOf, times } from './profiles.ts'
import { DAY, HOUR, MINUTE, MONDAY, type Row, World } from './world.ts'

const z = normals(1)
const profile = profileOf({ x: numbers(times(500, () => z())), plan: categories({ a: 300, b: 200 }) })
const row = fc.record({ x: fc.oneof(fc.double(), fc.constantFrom(null, NaN, Infinity, 'text')), plan: fc.constantFrom('a', 'b', 'c', null, undefined) })

test('threads and one alone: bit-equal windows, seasons and alarms', () => {
  fc.assert(
    fc.property(fc.array(fc.tuple(row, fc.nat(3), fc.integer({ min: 0, max: 20 * MINUTE })), { minLength: 50, maxLength: 200 }), (steps) => {
      const [four, one] = [new World(profile, { window: HOUR, threads: 4 }), new World(profile, { window: HOUR })]
      let time = MONDAY
      for (const [values, thread, pause] of steps) {
        time += pause
        four.add(time, [values as Row], thread)
        one.add(time, [values as Row])
      }
      four.advance(time + 2 * HOUR)
      one.advance(time + 2 * HOUR)
      expect(four.drift.state.season?.cells).toEqual(one.drift.state.season?.cells)
      expect(four.drift.stretches()).toEqual(one.drift.stretches())
      expect(four.alarms).toEqual(one.alarms)
    }),
    { numRuns: 30 },
  )
})

test('every value is counted in one cell', () => {
  fc.assert(
    fc.property(fc.array(row, { minLength: 1, maxLength: 50 }), (rows) => {
      const world = new World(profile, { window: HOUR })
      world.add(MONDAY, rows as Row[])
      world.advance(MONDAY + 10 * MINUTE)
      const [, cells] = world.drift.stretches()[0]!
      for (const { at, cells: width } of world.plan.features) expect(cells.subarray(at, at + width + 7).reduce((sum, n) => sum + n, 0)).toBe(rows.length)
    }),
  )
})

test('what is frequent among unlisted values is named, with a count that is never too large', () => {
  fc.assert(
    fc.property(fc.array(fc.constantFrom('wallet', 'wallet', 'wallet', 'wallet', 'x', 'y', 'z', 'ü'.repeat(60), 'p', 'q', 'r', 's', 't'), { minLength: 1, maxLength: 300 }), (values) => {
      const names = new Names(new SharedArrayBuffer(Names.bytes(2, 3)), 0, 2, 3)
      for (const value of values) names.add(7, 1, value)
      const found = new Map<string, number>()
      names.read(7, 1, (text, count) => void found.set(text, count))
      const wallets = values.filter((value) => value === 'wallet').length
      // Misra and Gries with 6 counters: off by at most n / 7.
      expect(found.get('wallet') ?? 0).toBeLessThanOrEqual(wallets)
      expect(found.get('wallet') ?? 0).toBeGreaterThanOrEqual(wallets - values.length / 7)
      names.read(7, 0, () => expect.unreachable())
      names.clear(7)
      names.read(7, 1, () => expect.unreachable())
    }),
  )
})

test('a ring gives what a stamp counted, and nothing of another', () => {
  const ring = new Ring(new SharedArrayBuffer(ringBytes(3, 4)), 0, 3, 4)
  ring.open(10)[2] = 5
  ring.open(11)[2] = 7
  expect(ring.at(10)![2]).toBe(5)
  expect(ring.at(13)).toBe(null)
  const sum = new Uint32Array(4)
  expect(ring.sum(9, 12, sum)).toBe(2)
  expect([...sum]).toEqual([0, 0, 12, 0])
  expect(ring.open(13)[2]).toBe(0)
  expect(ring.at(10)).toBe(null)
})

test('windows and chunks fit a season', () => {
  for (const minutes of [1, 5, 10, 15, 20, 30, 60, 90, 120, 144, 180, 240, 288, 360, 480, 720, 1440]) {
    const window = minutes * MINUTE
    expect(complaintOf(window, DAY)).toBeUndefined()
    const { chunk, chunks, stretch, stretches, season } = timesOf(window, DAY)
    expect([stretch * 12, stretch * stretches, chunk * chunks, season]).toEqual([window, chunk, season, DAY])
    expect(chunks).toBeLessThanOrEqual(24)
  }
  expect(complaintOf(7 * MINUTE, DAY)).toMatch(/whole number of windows/)
})

test('200 numeric features: 19 MiB, and 2 MiB a thread', () => {
  const feature = numbers(times(1000, () => z()))
  const plan = planOf(profileOf(Object.fromEntries(times(200, (i) => [`f${i}`, feature]))), new Map(), true)
  const cut = timesOf(5 * MINUTE, DAY)
  expect(historyBytes(plan, cut, 2) / 2 ** 20).toBeLessThan(19)
  expect(partBytes(plan) / 2 ** 20).toBeLessThan(2.1)
  expect(memoryOf(plan, cut, 2)).toBe(historyBytes(plan, cut, 2) + 2 * partBytes(plan))
})
