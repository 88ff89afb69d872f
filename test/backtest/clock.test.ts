/** The clock of a file runs timers as the fake clock of all other tests does. */
import { describe, expect, test } from 'vitest'
import type { Clock } from '../../gateway/clock.ts'
import { FileClock } from '../../gateway/command/backtest/clock.ts'
import { inOrder } from '../../gateway/command/backtest/order.ts'
import { FakeClock } from '../fake_clock.ts'

const START = 1_772_409_600_000

/** mulberry32 */
function seeded(seed: number): () => number {
  return () => {
    seed = (seed + 0x6d2b79f5) | 0
    let t = Math.imul(seed ^ (seed >>> 15), 1 | seed)
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32
  }
}

/** Timers that arm and cancel others, by chance; every run is told with its moment. */
function busy(clock: Clock, random: () => number): string[] {
  const told: string[] = []
  const timers: { cancel(): void }[] = []
  let made = 0
  const arm = (): void => {
    const name = made++
    const run = (): void => {
      told.push(`${name} at ${clock.wall()} ${clock.now()}`)
      if (made < 300 && random() < 0.6) arm()
      if (random() < 0.2) timers[Math.floor(random() * timers.length)]!.cancel()
    }
    const ms = Math.floor(random() * 50)
    timers.push(random() < 0.2 ? clock.every(ms + 1, run) : clock.after(ms, run))
  }
  for (let i = 0; i < 20; i++) arm()
  return told
}

describe('timers', () => {
  test.each([1, 2, 3, 4, 5])('run at the moments and in the order of the fake clock (seed %i)', async (seed) => {
    const [mine, theirs] = [new FileClock(START), new FakeClock(START)]
    const [told, expected] = [busy(mine, seeded(seed)), busy(theirs, seeded(seed))]
    for (const ms of [0, 1, 7, 0, 40, 200, 1000]) {
      await mine.moveTo(mine.wall() + ms)
      theirs.advance(ms)
      expect(mine.wall()).toBe(theirs.wall())
    }
    expect(told.length).toBeGreaterThan(50)
    expect(told).toEqual(expected)
  })

  test('a row that is late does not turn time back', async () => {
    const clock = new FileClock(START)
    await clock.moveTo(START + 100)
    await clock.moveTo(START + 50)
    expect([clock.wall(), clock.now()]).toEqual([START + 100, 100])
  })

  test('one timer at a time for work that waits', () => {
    const clock = new FileClock(START)
    const ran: number[] = []
    clock.after(5, () => ran.push(5))
    clock.after(9, () => ran.push(9))
    expect([clock.moveOn(START + 7), clock.wall() - START, clock.moveOn(START + 7), clock.wall() - START]).toEqual([true, 5, false, 5])
    expect(ran).toEqual([5])
  })
})

describe('order of rows', () => {
  const rows = (...times: number[]) => times.map((time, i) => ({ time: START + time, row: i + 1 }))
  async function* from<T>(list: readonly T[]): AsyncGenerator<T> {
    yield* list
  }
  async function collected(list: AsyncIterable<{ readonly row: number }>): Promise<number[]> {
    const found: number[] = []
    for await (const { row } of list) found.push(row)
    return found
  }
  const order = (list: readonly { time: number; row: number }[], held: number) => collected(inOrder(from(list), 'a.csv', held))

  test('nearly sorted rows are sorted, rows of one moment stay as they are', async () => {
    expect(await order(rows(3, 1, 2, 5, 5, 4, 9, 9, 8), 3)).toEqual([2, 3, 1, 6, 4, 5, 9, 7, 8])
  })

  test('a row that comes too late is named', async () => {
    await expect(order(rows(5, 6, 7, 8, 9, 10, 1), 2)).rejects.toThrow('a.csv, row 7: expected rows in the order of their times, at most 2 rows apart, found 2026-03-02T00:00:00.001Z behind 2026-03-02T00:00:00.008Z; sort the file by time')
  })

  test('a time of another unit is named', async () => {
    await expect(order([{ time: 0, row: 1 }, { time: START, row: 2 }], 9)).rejects.toThrow('a.csv, row 2: expected a row within a year of the one before it (1970-01-01T00:00:00.000Z), found 2026-03-02T00:00:00.000Z')
  })
})
