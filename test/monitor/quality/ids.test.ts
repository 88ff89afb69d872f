import { Worker } from 'node:worker_threads'
import { describe, expect, test } from 'vitest'
import { idBytes, WaitingIds } from '../../../gateway/monitor/quality/ids.ts'

const KEEP = 1000

function table(ids: number, width = 1, keep = KEEP) {
  return new WaitingIds(new SharedArrayBuffer(idBytes(ids, width)), ids, width, keep)
}

describe('one thread', () => {
  test('a prediction is found by its id, with time, group and scores, once', () => {
    const ids = table(64, 3)
    expect(ids.insert('a', 100, 2, [9, 0.1, 0.2, 0.7], 1, 100)).toBe('kept')
    expect(ids.claim('a', 150, false)).toBe('fresh')
    expect([ids.time, ids.group, ids.score(0), ids.score(2), ids.label]).toEqual([100, 2, 0.1, 0.7, NaN])
    ids.settle(1)
    expect(ids.claim('a', 150, false)).toBe('again')
    expect(ids.claim('b', 150, false)).toBe('unknown')
  })

  test('the last label replaces the one before where that is wanted', () => {
    const ids = table(64)
    ids.insert('a', 100, 0, [0.5], 0, 100)
    ids.claim('a', 100, true)
    ids.settle(0)
    expect(ids.claim('a', 100, true)).toBe('again')
    expect(ids.label).toBe(0)
    ids.settle(1)
    ids.claim('a', 100, true)
    expect(ids.label).toBe(1)
  })

  test('what could not be counted waits on', () => {
    const ids = table(64)
    ids.insert('a', 100, 3, [0.5], 0, 100)
    ids.claim('a', 100, false)
    ids.settle(NaN)
    expect(ids.claim('a', 100, false)).toBe('fresh')
    expect(ids.group).toBe(3)
  })

  test('a claimed id is nobody else’s', () => {
    const ids = table(64)
    ids.insert('a', 100, 0, [0.5], 0, 100)
    expect(ids.claim('a', 100, true)).toBe('fresh')
    expect(ids.claim('a', 100, true)).toBe('again')
    expect(ids.at).toBe(-1)
  })

  test('an id that waited too long is late, and then its place is free', () => {
    const ids = table(8)
    ids.insert('a', 100, 0, [0.5], 0, 100)
    expect(ids.claim('a', 100 + KEEP, false)).toBe('fresh')
    ids.settle(NaN)
    expect(ids.claim('a', 101 + KEEP, false)).toBe('late')
    for (let i = 0; i < 8; i++) expect(ids.insert(`b${i}`, 2000, 0, [0.5], 0, 2000)).toBe('kept')
    expect(ids.claim('a', 2000, false)).toBe('unknown')
    expect(ids.count(2000)).toEqual({ waiting: 8, labelled: 0 })
  })

  test('the same id twice is told', () => {
    const ids = table(8)
    ids.insert('a', 100, 0, [0.5], 0, 100)
    expect(ids.insert('a', 101, 0, [0.9], 0, 101)).toBe('repeated')
    ids.claim('a', 101, false)
    expect(ids.score(0)).toBe(0.5)
  })

  test('a full set forgets what is labelled, then the oldest, and says so', () => {
    const ids = table(8)
    for (let i = 0; i < 8; i++) ids.insert(`a${i}`, 100 + i, 0, [0], 0, 110)
    ids.claim('a5', 110, false)
    ids.settle(1)
    expect(ids.insert('b', 111, 0, [0], 0, 111)).toBe('kept')
    expect(ids.insert('c', 112, 0, [0], 0, 112)).toBe('evicted')
    expect(['a0', 'a1', 'a5', 'b', 'c'].map((id) => ids.claim(id, 112, false))).toEqual(['unknown', 'fresh', 'unknown', 'fresh', 'fresh'])
  })

  /** Poisson: sets of 8 for a mean of 5.6 lose E[(X − 8)⁺] / 5.6 = 3.5 %. */
  test('at 70 % of the entries few are evicted', () => {
    const ids = table(8000, 1, 1e9)
    let evicted = 0
    for (let i = 0; i < 5600; i++) if (ids.insert(`id-${i}`, i, 0, [0], 0, i) === 'evicted') evicted++
    expect(evicted / 5600).toBeGreaterThan(0.015)
    expect(evicted / 5600).toBeLessThan(0.055)
  })

  test('an id that comes with its label is labelled, once', () => {
    const ids = table(64)
    expect(ids.enter('a', 100, 0, [0.5], 0, 100, 1)).toBe('fresh')
    expect(ids.enter('a', 100, 0, [0.5], 0, 100, 1)).toBe('again')
    expect(ids.claim('a', 100, true)).toBe('again')
    expect(ids.label).toBe(1)
    expect(ids.count(100)).toEqual({ waiting: 1, labelled: 0 })
    ids.settle(0)
    expect(ids.count(100)).toEqual({ waiting: 0, labelled: 1 })
  })

  test('memory is what is said: 36 bytes for one score', () => {
    expect(idBytes(1_000_000, 1)).toBe(36_000_000)
    expect(idBytes(1, 1)).toBe(8 * 36)
  })
})

describe('many threads', () => {
  async function run(role: 'label' | 'both' | 'enter', ids: number, count: number, threads: number, memory = new SharedArrayBuffer(idBytes(ids, 1))) {
    const gate = new SharedArrayBuffer(4)
    const results = Array.from({ length: threads }, (_, thread) => {
      const worker = new Worker(new URL('ids_worker.ts', import.meta.url), { workerData: { memory, ids, gate, thread, threads, role, count } })
      return new Promise<{ fresh: number; wrong: number; kept: number }>((resolve, reject) => worker.once('message', resolve).once('error', reject))
    })
    const all = await Promise.all(results)
    return { fresh: all.reduce((sum, one) => sum + one.fresh, 0), wrong: all.reduce((sum, one) => sum + one.wrong, 0), kept: all.reduce((sum, one) => sum + one.kept, 0) }
  }

  test('every label counts once, whichever of four threads it comes to', async () => {
    const memory = new SharedArrayBuffer(idBytes(80_000, 1))
    const ids = new WaitingIds(memory, 80_000, 1, 1e9)
    let kept = 0
    for (let i = 0; i < 20_000; i++) if (ids.insert(`id-${i}`, 1000, i % 5, [i], 0, 1000) === 'kept') kept++
    expect(await run('label', 80_000, 20_000, 4, memory)).toEqual({ fresh: kept, wrong: 0, kept: 0 })
  })

  test('ids that come with their labels count once too', async () => {
    expect((await run('enter', 160_000, 10_000, 4)).fresh).toBe(10_000)
  })

  test('while others insert and labelled ids make room, no label is lost or goes to another id', async () => {
    const { fresh, wrong, kept } = await run('both', 1024, 5000, 4)
    expect(wrong).toBe(0)
    expect(kept).toBeGreaterThan(1000)
    // What was evicted before its label came is gone; nothing is labelled that was not kept.
    expect(fresh).toBeLessThanOrEqual(5000)
    expect(fresh).toBeGreaterThan(900)
  })
})
