/** Which requests run together, in which order, and when: the scheduler alone, time told by the test. */
import { describe, expect, test } from 'vitest'
import { type Batch, type Job, Scheduler } from '../../gateway/models/inference/batching.ts'
import { Pace } from '../../gateway/models/inference/pace.ts'
import type { BatchingConfig } from '../../config/config.ts'

interface Named extends Job {
  readonly name: string
}

const batching: BatchingConfig = { max_rows: 8, max_wait_ms: 5 }
const fast = (): Pace => new Pace(10, { run_us: 10, independent_rows: true })

function scheduler(models: Readonly<Record<number, { batching: BatchingConfig | null; pace: Pace }>> = { 1: { batching, pace: fast() } }): Scheduler<Named> {
  const made = new Scheduler<Named>()
  for (const [id, options] of Object.entries(models)) made.open(Number(id), options)
  return made
}

function job(name: string, rows = 1, more: Partial<Named> = {}): Named {
  return { name, id: 1, key: 'same', rows, at: 0, from: 0, alone: false, ...more }
}

/** The next batch, as `a[0,1) b[0,1)`; or how long to wait; or null. */
function next(s: Scheduler<Named>, now = 0): string | number | null {
  const found = s.next(now)
  if (found === null) return null
  if ('wait_ms' in found) return found.wait_ms
  s.ended(found, now)
  return text(found)
}

function text({ parts }: Batch<Named>): string {
  return parts.map(({ job: { name }, from, to }) => `${name}[${from},${to})`).join(' ')
}

/** Every batch until there is none; a wait is waited for. */
function all(s: Scheduler<Named>): string[] {
  const batches: string[] = []
  let now = 0
  for (let batch = next(s); batch !== null; batch = next(s, now)) {
    if (typeof batch === 'number') now += batch
    else batches.push(batch)
  }
  return batches
}

describe('joining', () => {
  test('requests of the same kind, in the order they came, up to max_rows', () => {
    const s = scheduler()
    for (const name of ['a', 'b', 'c', 'd', 'e']) s.add(job(name, 3))
    expect(all(s)).toEqual(['a[0,3) b[0,3)', 'c[0,3) d[0,3)', 'e[0,3)'])
  })

  test('no more rows of a slow model than take 10 ms: five of 2 ms each, though eight are allowed', () => {
    const s = scheduler({ 1: { batching, pace: new Pace(10, { run_us: 2000, independent_rows: true }) } })
    for (const name of ['a', 'b', 'c', 'd', 'e', 'f', 'g']) s.add(job(name))
    expect(next(s)).toBe('a[0,1) b[0,1) c[0,1) d[0,1) e[0,1)')
  })

  test('a request that does not fit any more lets smaller ones pass, and is first next time', () => {
    const s = scheduler()
    for (const [name, rows] of [['a', 5], ['b', 4], ['c', 2], ['d', 1]] as const) s.add(job(name, rows))
    expect(all(s)).toEqual(['a[0,5) c[0,2) d[0,1)', 'b[0,4)'])
  })

  test('not other outputs or shapes', () => {
    const s = scheduler()
    s.add(job('a'))
    s.add(job('x', 1, { key: 'other' }))
    s.add(job('b'))
    s.add(job('y', 1, { key: 'other' }))
    expect(all(s)).toEqual(['a[0,1) b[0,1)', 'x[0,1) y[0,1)'])
  })

  test('not what has no rows, or none that could be told apart', () => {
    const s = scheduler()
    for (const name of ['a', 'b']) s.add(job(name, 3, { key: null }))
    expect(all(s)).toEqual(['a[0,3)', 'b[0,3)'])
  })

  test('not where rows depend on each other, and not without batching', () => {
    for (const options of [{ batching, pace: new Pace(10, { run_us: 10, independent_rows: false }) }, { batching: null, pace: fast() }]) {
      const s = scheduler({ 1: options })
      s.add(job('a', 3))
      s.add(job('b', 3))
      expect(all(s)).toEqual(['a[0,3)', 'b[0,3)'])
    }
  })

  test('what was in a failed run is tried again by itself, first of all', () => {
    const s = scheduler()
    for (const name of ['a', 'b', 'c']) s.add(job(name))
    const failed = s.next(0) as Batch<Named>
    s.add(job('d'))
    s.add(job('e'))
    s.again(failed.parts)
    expect(all(s)).toEqual(['a[0,1)', 'b[0,1)', 'c[0,1)', 'd[0,1) e[0,1)'])
  })

  test('who left is in no batch', () => {
    const s = scheduler()
    const [a, b, c] = ['a', 'b', 'c'].map((name) => job(name))
    for (const one of [a!, b!, c!]) s.add(one)
    s.remove(b!)
    expect(all(s)).toEqual(['a[0,1) c[0,1)'])
    s.remove(a!)
  })
})

describe('cutting', () => {
  test('a large request is slices of max_rows, and others have their turn between them', () => {
    const s = scheduler()
    s.add(job('big', 20))
    expect(next(s)).toBe('big[0,8)')
    s.add(job('a'))
    s.add(job('b'))
    expect(all(s)).toEqual(['big[8,16)', 'a[0,1) b[0,1) big[16,20)'])
  })

  test('without batching it is slices of what fits the time', () => {
    const s = scheduler({ 1: { batching: null, pace: new Pace(10, { run_us: 1000, independent_rows: true }) } })
    s.add(job('big', 25))
    s.add(job('a'))
    expect(all(s)).toEqual(['big[0,10)', 'a[0,1)', 'big[10,20)', 'big[20,25)'])
  })

  test('dependent rows are never cut', () => {
    const s = scheduler({ 1: { batching: null, pace: new Pace(10, { run_us: 1000, independent_rows: false }) } })
    s.add(job('big', 4096))
    expect(all(s)).toEqual(['big[0,4096)'])
  })

  test('a slice that failed with neighbours begins again where it began', () => {
    const s = scheduler()
    s.add(job('big', 10))
    expect(next(s)).toBe('big[0,8)')
    s.add(job('a'))
    const failed = s.next(0) as Batch<Named>
    expect(text(failed)).toBe('big[8,10) a[0,1)')
    s.again(failed.parts)
    expect(all(s)).toEqual(['big[8,10)', 'a[0,1)'])
  })

  test('models take turns: a request of 4096 rows of one does not hold up the others', () => {
    const s = scheduler({ 1: { batching, pace: fast() }, 2: { batching: null, pace: fast() }, 3: { batching: null, pace: fast() } })
    s.add(job('big', 4096))
    for (const name of ['x', 'y']) s.add(job(name, 1, { id: 2 }))
    s.add(job('z', 1, { id: 3 }))
    expect(all(s).slice(0, 7)).toEqual(['big[0,8)', 'x[0,1)', 'z[0,1)', 'big[8,16)', 'y[0,1)', 'big[16,24)', 'big[24,32)'])
  })

  test('a model that is closed has no turn', () => {
    const s = scheduler({ 1: { batching, pace: fast() }, 2: { batching, pace: fast() } })
    s.add(job('a'))
    s.add(job('b', 1, { id: 2 }))
    s.close(1)
    expect(all(s)).toEqual(['b[0,1)'])
  })
})

describe('waiting for more rows', () => {
  /** Two batches of four callers that ended at `now`. */
  function busy(now: number): Scheduler<Named> {
    const s = scheduler()
    for (let i = 0; i < 2; i++) {
      for (const name of ['a', 'b', 'c', 'd']) s.add(job(name, 1, { at: now }))
      expect(next(s, now)).toBe('a[0,1) b[0,1) c[0,1) d[0,1)')
    }
    return s
  }

  test('nobody who comes alone waits', () => {
    const s = scheduler()
    for (let now = 0; now < 10; now++) {
      s.add(job('a', 1, { at: now }))
      expect(next(s, now)).toBe('a[0,1)')
    }
  })

  test('after two joined batches the next one waits for as many rows, and then runs at once', () => {
    const s = busy(100)
    s.add(job('e', 1, { at: 101 }))
    expect(next(s, 101)).toBe(4)
    for (const name of ['f', 'g']) s.add(job(name, 1, { at: 102 }))
    expect(next(s, 102)).toBe(3)
    s.add(job('h', 1, { at: 102.5 }))
    expect(next(s, 102.5)).toBe('e[0,1) f[0,1) g[0,1) h[0,1)')
  })

  test('no longer than max_wait after the last run, and after a wait in vain the next does not wait', () => {
    const s = busy(100)
    s.add(job('e', 1, { at: 101 }))
    expect(next(s, 104.9)).toBeCloseTo(0.1)
    expect(next(s, 105)).toBe('e[0,1)')
    s.add(job('f', 1, { at: 105 }))
    expect(next(s, 105)).toBe('f[0,1)')
  })

  test('who has waited for the run before does not wait again', () => {
    const s = busy(100)
    s.add(job('e', 1, { at: 90 }))
    expect(next(s, 100)).toBe('e[0,1)')
  })

  test('an idle model has forgotten its batches', () => {
    const s = busy(100)
    s.add(job('e', 1, { at: 200 }))
    expect(next(s, 200)).toBe('e[0,1)')
  })

  test('meanwhile another model runs', () => {
    const s = busy(100)
    s.open(2, { batching, pace: fast() })
    s.add(job('e', 1, { at: 100 }))
    s.add(job('x', 1, { at: 100, id: 2 }))
    expect(next(s, 100)).toBe('x[0,1)')
    expect(next(s, 100)).toBe(5)
  })

  test('a wait of 0 is none', () => {
    const s = scheduler({ 1: { batching: { max_rows: 8, max_wait_ms: 0 }, pace: fast() } })
    for (let i = 0; i < 2; i++) {
      for (const name of ['a', 'b']) s.add(job(name))
      expect(next(s)).toBe('a[0,1) b[0,1)')
    }
    s.add(job('c'))
    expect(next(s)).toBe('c[0,1)')
  })
})
