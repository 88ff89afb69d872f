import { Worker } from 'node:worker_threads'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { type Declaration, exposition, Registry, type RegistryView, totals } from '../../gateway/metrics.ts'

const hits = { hits_total: { type: 'counter', help: 'Hits.', labels: { kind: ['a', 'b'], route: 'config' } } } as const
const open = { open: { type: 'gauge', help: 'Open.' } } as const
const seconds = { seconds: { type: 'histogram', help: 'Time, seconds.', labels: { route: 'config' }, buckets: [0.125, 1, 10] } } as const

/** Samples of the page by `name{labels}`. */
async function page(views: readonly RegistryView[]): Promise<Record<string, string>> {
  const lines = (await exposition(views)).split('\n').filter((line) => line !== '' && !line.startsWith('#'))
  return Object.fromEntries(lines.map((line) => [line.slice(0, line.lastIndexOf(' ')), line.slice(line.lastIndexOf(' ') + 1)]))
}

describe('series', () => {
  it('the same labels are the same cells, in whatever order they are given', () => {
    const handles = new Registry().handles(hits)
    handles.hits_total({ kind: 'a', route: 'r' }).add(2)
    handles.hits_total({ route: 'r', kind: 'a' }).add()
    expect(handles.hits_total({ kind: 'a', route: 'r' }).value).toBe(3)
    expect(handles.hits_total({ kind: 'b', route: 'r' }).value).toBe(0)
  })

  it('a new one is told, a known one not', () => {
    const registry = new Registry()
    const seen: number[] = []
    registry.onSeries = () => void seen.push(registry.view().series.length)
    const handles = registry.handles(hits)
    for (const route of ['r', 's', 'r']) handles.hits_total({ kind: 'a', route })
    expect(seen).toEqual([1, 2])
  })

  it('label values cannot run into each other', () => {
    const registry = new Registry()
    const pairs = { pairs_total: { type: 'counter', help: 'Pairs.', labels: { a: 'config', b: 'config' } } } as const
    const cell = registry.handles(pairs).pairs_total
    cell({ a: 'x\0b\0y', b: '' }).add(1)
    cell({ a: 'x', b: 'y\0' }).add(10)
    cell({ a: 'x', b: '\0y' }).add(100)
    cell({ a: 'x","y', b: '' }).add(1000)
    expect(totals([registry.view()], 'pairs_total').map(({ value }) => value)).toEqual([1, 10, 100, 1000])
  })

  it('fixed labels come first', async () => {
    const registry = new Registry()
    registry.handles(hits, 'weir_split_', { route: 'fraud' }).hits_total({ kind: 'a' } as never).add(7)
    expect(await page([registry.view()])).toMatchObject({ 'weir_split_hits_total{route="fraud",kind="a"}': '7' })
  })

  it.each<[string, Record<string, string>, string]>([
    ['a missing label', { kind: 'a' }, 'needs label "route"'],
    ['a value that is not declared', { kind: 'c', route: 'r' }, 'kind="c" is not one of a, b'],
    ['a label that is not declared', { kind: 'a', route: 'r', user: 'u' }, 'has no label "user"'],
    ['a name of Object.prototype', { kind: 'a', toString: 'x' }, 'has no label "toString"'],
  ])('refuses %s', (_, labels, complaint) => {
    expect(() => new Registry().handles(hits).hits_total(labels as never)).toThrow(complaint)
  })

  it.each<[string, Record<string, Declaration>, string]>([
    ['a counter without _total', { hits: { type: 'counter', help: 'x' } }, 'end in _total'],
    ['a gauge with _total', { open_total: { type: 'gauge', help: 'x' } }, 'end in _total'],
    ['an impossible name', { 'a-b_total': { type: 'counter', help: 'x' } }, 'letters, digits'],
    ['an impossible label', { a_total: { type: 'counter', help: 'x', labels: { 'a-b': 'config' } } }, '"a-b" cannot be a label'],
    ['a reserved label', { a_total: { type: 'counter', help: 'x', labels: { __name__: 'config' } } }, '"__name__" cannot be a label'],
    ['the bucket label', { a: { type: 'histogram', help: 'x', labels: { le: 'config' }, buckets: [1] } }, '"le" cannot be a label'],
    ['no help', { a: { type: 'gauge', help: ' ' } }, 'help is missing'],
    ['buckets out of order', { a: { type: 'histogram', help: 'x', buckets: [1, 1] } }, 'must be finite and ascend'],
    ['an infinite bucket', { a: { type: 'histogram', help: 'x', buckets: [1, Infinity] } }, 'must be finite and ascend'],
    ['no bucket', { a: { type: 'histogram', help: 'x', buckets: [] } }, 'must be finite and ascend'],
    ['more buckets than a slab has cells', { a: { type: 'histogram', help: 'x', buckets: Array.from({ length: 5000 }, (_, i) => i) } }, 'too many buckets'],
  ])('refuses %s', (_, declarations, complaint) => {
    const [name] = Object.keys(declarations) as [string]
    const labels = Object.fromEntries(Object.keys(declarations[name]!.labels ?? {}).map((label) => [label, 'x']))
    expect(() => new Registry().handles(declarations)[name]!(labels as never)).toThrow(complaint)
  })

  it.each<[string, Declaration]>([
    ['another type', { type: 'gauge', help: 'x', labels: { route: 'config' } }],
    ['other buckets', { ...seconds.seconds, buckets: [0.125, 1] }],
    ['other labels', { ...seconds.seconds, labels: { route: 'config', arm: 'config' } }],
  ])('refuses a second declaration with %s', (_, second) => {
    const registry = new Registry()
    registry.handles(seconds).seconds({ route: 'r' })
    registry.handles({ seconds: { ...seconds.seconds } }).seconds({ route: 's' })
    expect(() => registry.handles({ seconds: second }).seconds({ route: 'r', ...(second.labels?.['arm'] ? { arm: 'x' } : {}) } as never)).toThrow('declared in two ways')
  })

  it('spans slabs', () => {
    const registry = new Registry()
    const many = { m_total: { type: 'counter', help: 'x', labels: { n: 'config' } } } as const
    const cell = registry.handles(many).m_total
    for (let n = 0; n < 10_000; n++) cell({ n: String(n) }).add(n)
    expect(registry.view().slabs).toHaveLength(3)
    expect(totals([registry.view()], 'm_total').every(({ labels, value }) => String(value) === labels['n'])).toBe(true)
  })
})

describe('histogram', () => {
  it('a value on a bound counts below it; the page is cumulative', async () => {
    const registry = new Registry()
    const cell = registry.handles(seconds).seconds({ route: 'r' })
    for (const value of [0.0625, 0.125, 0.25, 1, 9, 10, 11, 64]) cell.observe(value)
    expect(await page([registry.view()])).toMatchObject({
      'seconds_bucket{route="r",le="0.125"}': '2', 'seconds_bucket{route="r",le="1"}': '4', 'seconds_bucket{route="r",le="10"}': '6', 'seconds_bucket{route="r",le="+Inf"}': '8',
      'seconds_sum{route="r"}': '95.4375', 'seconds_count{route="r"}': '8',
    })
    expect(cell.count).toBe(8)
  })

  it('what is no number does not spoil the sum', async () => {
    const registry = new Registry()
    const cell = registry.handles(seconds).seconds({ route: 'r' })
    for (const value of [0.5, Number.NaN, Infinity]) cell.observe(value)
    expect(await page([registry.view()])).toMatchObject({ 'seconds_bucket{route="r",le="1"}': '1', 'seconds_bucket{route="r",le="+Inf"}': '3', 'seconds_sum{route="r"}': '0.5' })
  })

  it('buckets agree with a linear search', () => {
    // 0 and -0 are two values to fast-check and one bound.
    const finite = fc.double({ noNaN: true, noDefaultInfinity: true, min: -1e6, max: 1e6 }).map((value) => value + 0)
    fc.assert(
      fc.property(fc.uniqueArray(finite, { minLength: 1, maxLength: 30 }), fc.array(finite), (bounds, values) => {
        const buckets = bounds.toSorted((a, b) => a - b)
        const registry = new Registry()
        const cell = registry.handles({ h: { type: 'histogram', help: 'x', buckets } }).h()
        const all = [...values, ...buckets]
        for (const value of all) cell.observe(value)
        const { slabs, series } = registry.view()
        const cells = new Float64Array(slabs[0]!, series[0]!.at * 8, buckets.length + 1)
        const expected = [...buckets, Infinity].map((bound, i) => all.filter((value) => value <= bound && (i === 0 || value > buckets[i - 1]!)).length)
        expect([...cells]).toEqual(expected)
      }),
    )
  })
})

describe('sums over threads', () => {
  it('are exact integers, whatever the order of threads and of binding', async () => {
    const add = fc.record({ thread: fc.integer({ min: 0, max: 3 }), kind: fc.constantFrom('a' as const, 'b' as const), route: fc.constantFrom('x', 'y', 'z'), count: fc.maxSafeInteger().map((n) => Math.abs(n) % 2 ** 44) })
    await fc.assert(
      fc.asyncProperty(fc.array(add, { maxLength: 100 }), async (adds) => {
        const threads = Array.from({ length: 4 }, () => new Registry())
        const expected = new Map<string, bigint>()
        for (const { thread, kind, route, count } of adds) {
          threads[thread]!.handles(hits).hits_total({ kind, route }).add(count)
          const key = `hits_total{kind="${kind}",route="${route}"}`
          expected.set(key, (expected.get(key) ?? 0n) + BigInt(count))
        }
        const { weir_metric_series_left_out: leftOut, ...found } = await page(threads.map((registry) => registry.view()))
        expect(leftOut).toBe('0')
        expect(new Map(Object.entries(found).map(([key, value]) => [key, BigInt(value)]))).toEqual(expected)
      }),
    )
  })

  it('real threads write, another one reads: nothing is lost', async () => {
    const [threads, rounds] = [3, 50_000]
    const views = await Promise.all(Array.from({ length: threads }, (_, thread) => viewOf(thread, rounds)))
    expect(totals(views, 'hits_total').toSorted((a, b) => a.labels['kind']!.localeCompare(b.labels['kind']!))).toEqual([
      { labels: { kind: 'a', route: 'r' }, value: threads * rounds },
      { labels: { kind: 'b', route: 'r' }, value: 0 + 50_000 + 100_000 },
    ])
    expect(totals(views, 'seconds')).toEqual([{ labels: { route: 'r' }, value: threads * rounds }])
    expect(totals(views, 'open')).toEqual([{ labels: {}, value: 0 + 1 + 2 }])
  })

  it('a reader sees counts only grow while a thread writes', async () => {
    const worker = new Worker(new URL('writer_thread.ts', import.meta.url), { workerData: { thread: 1, rounds: 300_000 } })
    const ended = new Promise((resolve) => worker.once('exit', resolve))
    const view = await new Promise<RegistryView>((resolve) => worker.once('message', resolve))
    let before = 0
    let done = false
    void ended.then(() => (done = true))
    while (!done) {
      const now = totals([view], 'seconds')[0]!.value
      expect(now).toBeGreaterThanOrEqual(before)
      before = now
      await new Promise((resolve) => setImmediate(resolve))
    }
    expect(totals([view], 'seconds')[0]!.value).toBe(300_000)
  })
})

async function viewOf(thread: number, rounds: number): Promise<RegistryView> {
  const worker = new Worker(new URL('writer_thread.ts', import.meta.url), { workerData: { thread, rounds } })
  const view = await new Promise<RegistryView>((resolve, reject) => worker.once('message', resolve).once('error', reject))
  await new Promise((resolve) => worker.once('exit', resolve))
  return view
}

describe('views that disagree on a declaration', () => {
  const first = new Registry()
  first.handles(seconds).seconds({ route: 'old' }).observe(0.5)
  const second = new Registry()
  second.handles({ seconds: { ...seconds.seconds, buckets: [0.5, 5] } }).seconds({ route: 'new' }).observe(0.5)

  it('the last one counts, and the page says how many series it left out', async () => {
    expect(await page([first.view(), second.view()])).toEqual({
      'seconds_bucket{route="new",le="0.5"}': '1', 'seconds_bucket{route="new",le="5"}': '1', 'seconds_bucket{route="new",le="+Inf"}': '1',
      'seconds_sum{route="new"}': '0.5', 'seconds_count{route="new"}': '1', weir_metric_series_left_out: '1',
    })
  })

  it('another type likewise', async () => {
    const gauge = new Registry()
    gauge.handles(open).open().set(3)
    const histogram = new Registry()
    histogram.handles({ open: { type: 'histogram', help: 'x', buckets: [1] } }).open().observe(1)
    expect(await page([histogram.view(), gauge.view()])).toEqual({ open: '3', weir_metric_series_left_out: '1' })
  })
})

it('series beyond the limit work for their owner, are not shown, and are counted', () => {
  const registry = new Registry(4096)
  const { a_total } = registry.handles({ a_total: { type: 'counter', help: 'x', labels: { k: 'config' } } })
  const bound = Array.from({ length: 4100 }, (_, i) => a_total({ k: `v${i}` }))
  for (const counter of bound) counter.add(2)
  expect(bound.every(({ value }) => value === 2)).toBe(true)
  const { series } = registry.view()
  expect(series.filter(({ metric }) => metric === 'a_total')).toHaveLength(4096)
  const { weir_series_dropped_total } = registry.handles({ weir_series_dropped_total: { type: 'counter', help: 'x' } })
  expect(weir_series_dropped_total().value).toBe(4)
  // The same again is not another one.
  a_total({ k: 'v0' }).add()
  expect(bound[0]!.value).toBe(3)
})
