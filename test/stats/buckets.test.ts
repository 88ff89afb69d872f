import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { bucketBytes, Buckets } from '../../gateway/stats/buckets.ts'

function table(perSecond: number, burst: number, keys = 1000): Buckets {
  return new Buckets(new SharedArrayBuffer(bucketBytes(keys)), perSecond, burst)
}

describe('a bucket', () => {
  test('a full one lets `burst` through at once, then one per interval', () => {
    const b = table(10, 3)
    expect([0, 0, 0].map((now) => b.take('a', now).wait_ms)).toEqual([0, 0, 0])
    expect(b.take('a', 0).wait_ms).toBe(100)
    expect(b.take('a', 60).wait_ms).toBe(40)
    expect(b.take('a', 100).wait_ms).toBe(0)
    expect(b.take('a', 100).wait_ms).toBe(100)
    // Refilled after 300 ms of quiet, to `burst` and no more.
    expect([5000, 5000, 5000].map((now) => b.take('a', now).wait_ms)).toEqual([0, 0, 0])
    expect(b.take('a', 5000).wait_ms).toBe(100)
  })

  test('a refusal costs nothing', () => {
    const b = table(1, 1)
    b.take('a', 0)
    for (let i = 0; i < 50; i++) expect(b.take('a', 500).wait_ms).toBe(500)
    expect(b.take('a', 1000).wait_ms).toBe(0)
  })

  test('keys do not share', () => {
    const b = table(1, 1)
    expect(['a', 'b', '', 'a'].map((key) => b.take(key, 0).wait_ms)).toEqual([0, 0, 0, 1000])
  })

  test('two tables on one memory are one bucket, clocks a little apart included', () => {
    const memory = new SharedArrayBuffer(bucketBytes(8))
    const [one, two] = [new Buckets(memory, 1, 2), new Buckets(memory, 1, 2)]
    expect([one.take('a', 100).wait_ms, two.take('a', 100).wait_ms]).toEqual([0, 0])
    expect(two.take('a', 99).wait_ms).toBe(1001)
    expect(one.take('a', 100).wait_ms).toBe(1000)
  })

  test('the same verdicts as a token bucket counted in fractions', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 1000 }), fc.integer({ min: 1, max: 50 }), fc.array(fc.nat(500), { minLength: 1, maxLength: 100 }), (perSecond, burst, gaps) => {
        const b = table(perSecond, burst)
        let tokens = burst
        let now = 0
        for (const gap of gaps) {
          now += gap
          tokens = Math.min(burst, tokens + (gap * perSecond) / 1000)
          const passed = b.take('a', now).wait_ms === 0
          // Intervals are rounded to 1/16 µs: at the very edge either verdict is right.
          if (Math.abs(tokens - 1) > 0.001) expect(passed).toBe(tokens > 1)
          if (passed) tokens -= 1
        }
      }),
      { seed: 3 },
    )
  })

  test('does not last longer than its clock: a day, a wrap of 12.7 days, a year later it is full', () => {
    for (const later of [86_400_000, 1_099_511_627, 31_536_000_000]) {
      const b = table(1, 1)
      b.take('a', 0)
      expect(b.take('a', later + 5000).wait_ms).toBe(0)
    }
  })
})

describe('a table that is full', () => {
  test('memory stays; what makes room is counted and costs the newcomer nothing', () => {
    const memory = new SharedArrayBuffer(bucketBytes(16))
    const b = new Buckets(memory, 1, 5)
    let evicted = 0
    for (let i = 0; i < 1000; i++) {
      const taken = b.take(`key ${i}`, 0)
      expect(taken.wait_ms).toBe(0)
      if (taken.evicted) evicted++
    }
    expect(evicted).toBe(1000 - 16)
    expect(memory.byteLength).toBe(16 * 8)
  })

  test('the fullest bucket goes first, full ones without being counted', () => {
    const b = table(1, 10, 8)
    for (let i = 0; i < 7; i++) b.take(`key ${i}`, 0)
    for (let i = 0; i < 10; i++) b.take('greedy', 0)
    expect(b.take('greedy', 0).wait_ms).toBeGreaterThan(0)
    for (let i = 0; i < 100; i++) b.take(`new ${i}`, 0)
    expect(b.take('greedy', 0).wait_ms).toBeGreaterThan(0)
    expect(b.take('after a while', 60_000).evicted).toBe(false)
  })
})
