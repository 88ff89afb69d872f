import { readFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { Cusum, cusumLimit, cusumRunLength, PAGE_HINKLEY, PageHinkley, type PageHinkleyOptions } from '../../gateway/stats/change.ts'
import { Seasonal } from '../../gateway/stats/seasonal.ts'
import { random } from './random.ts'

function runLength(k: number, h: number, shift: number, runs: number): number {
  const { normal } = random(17)
  let total = 0
  for (let run = 0; run < runs; run++) {
    const cusum = new Cusum(k, h)
    do total++
    while (cusum.update(normal() + shift) === 0)
  }
  return total / runs
}

describe('CUSUM', () => {
  // Montgomery, Introduction to Statistical Quality Control, table 9.3: k = ½.
  test.each([
    [4, 0, 168, 2000],
    [5, 0, 465, 1500],
    [4, 1, 8.38, 2000],
    [5, 1, 10.4, 2000],
    [5, 2, 4.01, 2000],
  ])('h = %d, a shift of %d σ: found after %d values on average', (h, shift, expected, runs) => {
    // Without a shift run lengths are geometric: standard error mean / √runs; four of them, and rounding of the table.
    expect(Math.abs(runLength(0.5, h, shift, runs) - expected)).toBeLessThan((4 * expected) / Math.sqrt(runs) + 0.05)
  })

  test("Siegmund's run length and the limit for a budget", () => {
    expect(Math.abs(cusumRunLength(0.5, 4) / 168 - 1)).toBeLessThan(0.02)
    expect(Math.abs(cusumRunLength(0.5, 5) / 465 - 1)).toBeLessThan(0.02)
    for (const length of [50, 2016, 1e6]) expect(cusumRunLength(0.5, cusumLimit(0.5, length))).toBeCloseTo(length, 4)
  })

  test('by hand: the direction, and anew after an alarm', () => {
    const cusum = new Cusum(0.5, 2)
    expect([2, 1, -3, -3, 0].map((z) => [cusum.update(z), cusum.statistic])).toEqual([[0, 1.5], [0, 2], [-1, 0], [-1, 0], [0, 0]])
    expect([3, 3].map((z) => cusum.update(z))).toEqual([1, 1])
  })
})

describe('Page–Hinkley as river 0.26.1', () => {
  // numpy.random.seed(12345): randint(2, size=1000) then randint(8, size=1000); random.Random(12345): choices([0, 1]) then choices(range(4, 8)).
  const [numpy, python] = readFileSync(new URL('../fixtures/stats/river_streams.txt', import.meta.url), 'utf8').split('\n').map((line) => Array.from(line, Number)) as [number[], number[]]

  function found(values: readonly number[], options: Partial<PageHinkleyOptions> = {}): number[] {
    const detector = new PageHinkley({ ...PAGE_HINKLEY, ...options })
    return values.flatMap((value, i) => (detector.update(value) === 0 ? [] : [i]))
  }

  test('the example of its documentation', () => expect(found(python)).toEqual([1006]))

  // An older river says [1020, 1991] in its tests; these are what 0.26.1 answers.
  test('the stream of its tests, in every mode', () => {
    expect(numpy).toHaveLength(2000)
    expect(found(numpy)).toEqual([1020, 1397, 1548, 1988])
    expect(found(numpy, { mode: 'up' })).toEqual([1020, 1990])
    expect(found(numpy, { mode: 'down' })).toEqual([])
    expect(found(numpy, { mode: 'up', threshold: 20, delta: 0.1 })).toEqual([1004, 1036, 1066, 1343, 1384, 1416, 1462, 1586, 1644, 1698, 1821, 1965, 1995])
    expect(found(numpy.toReversed())).toEqual([163, 586, 697, 1003])
    expect(found(numpy.toReversed(), { mode: 'down', threshold: 30, alpha: 0.99 })).toEqual([74, 214, 472, 603, 853, 916, 970, 1004])
  })

  test('tells the direction', () => {
    const detector = new PageHinkley()
    const told = [...Array.from({ length: 100 }, () => 10), ...Array.from({ length: 100 }, () => 0)].map((x) => detector.update(x))
    expect(told.find((change) => change !== 0)).toBe(-1)
  })
})

describe('a seasonal baseline', () => {
  const HOUR = 3_600_000
  const DAY = 24 * HOUR

  test('speaks after two seasons, slot by slot', () => {
    const seasonal = new Seasonal(DAY, 24)
    for (let hour = 0; hour < 24; hour++) seasonal.add(hour * HOUR, hour)
    expect(seasonal.expected(DAY + 3 * HOUR)).toBeNull()
    for (let hour = 24; hour <= 48; hour++) seasonal.add(hour * HOUR, (hour % 24) + 2)
    const { mean, sd, seasons } = seasonal.expected(2 * DAY + 3 * HOUR)!
    expect([mean, seasons]).toEqual([4, 2])
    // Each slot has a value one above and one below its mean: unbiased variance 2; of a forecast 2 (1 + ½).
    expect(sd).toBeCloseTo(Math.sqrt(3), 12)
  })

  test('values of one slot are one value; the open slot does not count yet', () => {
    const seasonal = new Seasonal(DAY, 24)
    for (const day of [0, 1, 2]) for (const value of [4, 6, 8]) seasonal.add(day * DAY + value, value + day)
    expect(seasonal.expected(0)).toMatchObject({ mean: 6.5, seasons: 2 })
    // Late: belongs to the open slot.
    seasonal.add(2 * DAY - 1, 100)
    seasonal.add(3 * DAY, 0)
    expect(seasonal.expected(0)!.mean).toBeCloseTo((6 + 7 + 31) / 3, 12)
  })

  test('a daily rhythm is expected: standardised values are standard normal, those of a plain mean are not', () => {
    const { normal } = random(23)
    const seasonal = new Seasonal(DAY, 24)
    const rate = (hour: number) => 100 + 50 * Math.sin((2 * Math.PI * hour) / 24)
    const z: number[] = []
    for (let hour = 0; hour < 24 * 60; hour++) {
      const value = rate(hour) + 5 * normal()
      const expected = seasonal.expected(hour * HOUR)
      if (expected !== null && hour > 24 * 8) z.push((value - expected.mean) / expected.sd)
      seasonal.add(hour * HOUR, value)
    }
    const sd = Math.sqrt(z.reduce((sum, value) => sum + value ** 2, 0) / z.length)
    expect(z.length).toBeGreaterThan(1200)
    expect(Math.abs(sd - 1)).toBeLessThan(0.1)
  })

  test('times before 1970 and a level that changed: old seasons fade', () => {
    const seasonal = new Seasonal(DAY, 1)
    for (let day = -10; day < 60; day++) seasonal.add(day * DAY, day < 20 ? 0 : 10)
    // 39 seasons of 10 at a weight of ⅛ each: 10 (1 − (7/8)³⁹).
    expect(seasonal.expected(0)!.mean).toBeCloseTo(10 * (1 - (7 / 8) ** 39), 9)
  })
})
