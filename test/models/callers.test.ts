/** Many callers of models on inference threads: joined and cut, failing and leaving, everyone gets what is his. */
import { join } from 'node:path'
import { afterEach, describe, expect, test } from 'vitest'
import { WeirError } from '../../gateway/errors.ts'
import type { Leg } from '../../gateway/exchange.ts'
import { InlineHost, type ModelHost, type Run } from '../../gateway/models/inference/host.ts'
import type { SessionRun } from '../../gateway/models/onnx/session.ts'
import type { Column } from '../../gateway/payload/columns.ts'
import { add, graph, identity, slow } from './graphs.ts'
import { fixtures } from './setup.ts'
import { type Floor, floor, newLeg, rowsOf, run } from './threads.ts'

const batching = { max_rows: 32, max_wait_ms: 1 }
const LETHAL = new URL('./lethal_inference.ts', import.meta.url)
let current: Floor | null = null
afterEach(async () => {
  await current?.close()
  current = null
})
const open = (...options: Parameters<typeof floor>): Floor => (current = floor(...options))

async function independent(host: Promise<{ outcome: unknown; host: ModelHost; id: number }>): Promise<{ host: ModelHost; id: number }> {
  const loaded = await host
  expect(loaded.outcome).toMatchObject({ placement: 'thread', measured: { independent_rows: true } })
  return loaded
}

const values = (of: Run): number[] => [...(of.columns[0]!.data as Float32Array)]
const ids = (...data: number[]): Column => ({ name: 'ids', dtype: 'INT64', shape: [data.length], data: BigInt64Array.from(data, BigInt) })

describe('a thousand callers at once', () => {
  test('each gets his own rows, one to five of them, on two threads', async () => {
    const { host } = await independent(open({ threads: 2 }).load(add('FP32', ['N', 2]), batching))
    const outcomes = await Promise.all(
      Array.from({ length: 1000 }, async (_, i) => {
        const a = Array.from({ length: 2 * (1 + (i % 5)) }, (__, j) => 100 * i + j)
        const result = await run(host, [rowsOf(2, a, 'a'), rowsOf(2, a.map(() => 0.5), 'b')])
        expect(result.columns[0]).toEqual({ name: 'y', dtype: 'FP32', shape: [1 + (i % 5), 2], data: Float32Array.from(a, (value) => value + 0.5) })
        return result
      }),
    )
    expect(Math.max(...outcomes.map(({ batch_rows }) => batch_rows))).toBeGreaterThan(5)
    expect(Math.max(...outcomes.map(({ batch_rows }) => batch_rows))).toBeLessThanOrEqual(32)
    for (const { runs, took_ms, queued_ms } of outcomes) {
      expect(runs).toBe(1)
      expect(took_ms).toBeGreaterThan(0)
      expect(queued_ms).toBeGreaterThanOrEqual(0)
    }
    expect(current!.client.waiting).toBe(0)
  })

  test('texts too, with shapes that differ beyond the rows', async () => {
    const { host } = await independent(open().load(identity('BYTES', ['N', 'M']), batching))
    await Promise.all(
      Array.from({ length: 1000 }, async (_, i) => {
        const x: Column = { name: 'x', dtype: 'BYTES', shape: [1, 1 + (i % 3)], data: Array.from({ length: 1 + (i % 3) }, (__, j) => `caller ${i} text ${j} ü`) }
        expect((await run(host, [x])).columns).toEqual([{ ...x, name: 'y' }])
      }),
    )
  })

  test('a failing neighbour hurts nobody, and who leaves takes nothing along: asked = answered + failed + left', async () => {
    const floor = open()
    const { host } = await independent(floor.load(join(fixtures, 'embedding/1/model.onnx'), batching))
    const outputs = ['vectors']
    const expected = new Map<number, number[]>()
    for (let id = 0; id < 10; id++) expected.set(id, values(await host.run([ids(id)], outputs, newLeg())))
    expect(new Set([...expected.values()].map(String)).size).toBe(10)
    const count = { answered: 0, failed: 0, left: 0 }
    const left: Leg[] = []
    const all = Array.from({ length: 1000 }, async (_, i) => {
      const leg = newLeg()
      const id = i % 7 === 0 ? 10 + i : i % 10
      if (i % 11 === 3) left.push(leg)
      try {
        expect(values(await host.run([ids(id)], outputs, leg))).toEqual(expected.get(id))
        count.answered++
      } catch (error) {
        if (error instanceof WeirError) {
          expect([error.code, i % 11]).toEqual(['CALLER_LEFT', 3])
          count.left++
        } else {
          // The model's own words, for ids that are out of its range and for no others.
          expect([i % 7, (error as Error).message]).toEqual([0, expect.stringContaining('Gather')])
          count.failed++
        }
      }
    })
    for (const [i, leg] of left.entries()) {
      if (i % 4 === 0) await new Promise((resolve) => setImmediate(resolve))
      leg.cancel(new WeirError('CALLER_LEFT'))
    }
    await Promise.all(all)
    expect(count.answered + count.failed + count.left).toBe(1000)
    expect(count.left).toBeGreaterThan(0)
    expect(count.failed).toBeGreaterThan(100)
    expect(floor.client.waiting).toBe(0)
    expect(values(await host.run([ids(3)], outputs, newLeg()))).toEqual(expected.get(3))
  })
})

describe('what is joined', () => {
  /** Occupies the thread while `ask` sends what will wait together. */
  async function together(blocker: ModelHost, ask: () => Promise<Run>[]): Promise<Run[]> {
    const busy = run(blocker, [rowsOf(400, Array.from({ length: 400 }, () => 1))])
    await new Promise((resolve) => setTimeout(resolve, 5))
    const asked = ask()
    await busy
    return Promise.all(asked)
  }

  test('one-row requests of other outputs stay apart, equal ones become one run', async () => {
    const floor = open()
    const blocker = await floor.load(slow(400, 1600))
    const two = graph({
      inputs: [{ name: 'x', type: 'FP32', shape: ['N', 1] }], outputs: ['y', 'z'].map((name) => ({ name, type: 'FP32' as const, shape: ['N', 1] })),
      nodes: [{ op: 'Neg', inputs: ['x'], outputs: ['y'] }, { op: 'Abs', inputs: ['x'], outputs: ['z'] }],
    })
    const { host } = await independent(floor.load(two, batching))
    const wanted = [['y'], ['z'], ['y', 'z'], ['z', 'y']]
    const outcomes = await together(blocker.host, () => Array.from({ length: 12 }, (_, i) => run(host, [rowsOf(1, [-i - 1])], newLeg(), wanted[i % 4]!)))
    outcomes.forEach(({ columns, batch_rows }, i) => {
      expect(columns.map(({ name }) => name)).toEqual(wanted[i % 4])
      for (const { name, data } of columns) expect([...data]).toEqual([name === 'y' ? i + 1 : i + 1])
      expect(batch_rows).toBe(3)
    })
  })

  test('nothing where rows depend on each other, although batching is on', async () => {
    const floor = open()
    const blocker = await floor.load(slow(400, 1600))
    const softmax = graph({ inputs: [{ name: 'x', type: 'FP32', shape: ['N', 1] }], outputs: [{ name: 'y', type: 'FP32', shape: ['N', 1] }], nodes: [{ op: 'Softmax', inputs: ['x'], outputs: ['y'], attributes: { axis: 0n } }] })
    const { host, outcome } = await floor.load(softmax, batching)
    expect(outcome).toMatchObject({ measured: { independent_rows: false } })
    for (const { columns, batch_rows } of await together(blocker.host, () => Array.from({ length: 20 }, (_, i) => run(host, [rowsOf(1, [i])])))) {
      // Of one row alone, softmax over the rows is 1.
      expect([[...columns[0]!.data], batch_rows]).toEqual([[1], 1])
    }
  })

  test('what looked independent at load and is not in earnest is found out, and answered all the same', async () => {
    const floor = open()
    const blocker = await floor.load(slow(400, 1600))
    // Keeps the rows that are not negative; the made-up ones are not.
    const filter = graph({
      inputs: [{ name: 'x', type: 'FP32', shape: ['N'] }], outputs: [{ name: 'y', type: 'FP32', shape: null }],
      nodes: [{ op: 'GreaterOrEqual', inputs: ['x', 'zero'], outputs: ['keep'] }, { op: 'Compress', inputs: ['x', 'keep'], outputs: ['y'], attributes: { axis: 0n } }],
      initializers: [{ name: 'zero', type: 'FP32', shape: [], data: Float32Array.of(0) }],
    })
    const { host } = await independent(floor.load(filter, { max_rows: 4, max_wait_ms: 0 }))
    const x = (...data: number[]): Column => ({ name: 'x', dtype: 'FP32', shape: [data.length], data: Float32Array.from(data) })
    const asked = (): Promise<Run>[] => [run(host, [x(1, -1, 2)]), run(host, [x(-5)]), run(host, [x(7)]), run(host, [x(1, 2, 3, 4, 5, -6, 7, 8, 9)])]
    for (let i = 0; i < 2; i++) expect((await together(blocker.host, asked)).map(values)).toEqual([[1, 2], [], [7], [1, 2, 3, 4, 5, 7, 8, 9]])
  })
})

describe('many rows', () => {
  test('are cut to runs of max_rows, joined again, and let others pass', async () => {
    const floor = open()
    const { host } = await independent(floor.load(slow(64, 40), { max_rows: 16, max_wait_ms: 0 }))
    const small = await independent(floor.load(identity('FP32', ['N', 1])))
    let done = false
    const rows = 4096
    const big = run(host, [rowsOf(64, Array.from({ length: rows * 64 }, (_, i) => Math.floor(i / 64)))]).finally(() => (done = true))
    let between = 0
    for (let i = 0; !done; i++) {
      expect(values(await run(small.host, [rowsOf(1, [i])]))).toEqual([i])
      between++
    }
    const { columns, runs, batch_rows } = await big
    expect([runs, batch_rows]).toEqual([rows / 16, 16])
    expect(between).toBeGreaterThan(10)
    // Every element is the mean of its row, whose elements are all the number of the row.
    const data = columns[0]!.data as Float32Array
    for (let row = 0; row < rows; row += 37) expect(Math.abs(data[row * 64]! - row)).toBeLessThanOrEqual(row * 1e-4)
  })

  test('a caller who leaves between two slices stops the rest', async () => {
    const floor = open()
    const { host } = await independent(floor.load(slow(256, 100), { max_rows: 1, max_wait_ms: 0 }))
    const leg = newLeg()
    const big = run(host, [{ name: 'x', dtype: 'FP32', shape: [20_000, 256], data: new Float32Array(20_000 * 256) }], leg)
    await new Promise((resolve) => setTimeout(resolve, 30))
    leg.cancel(new WeirError('TOTAL_TIMEOUT'))
    await expect(big).rejects.toMatchObject({ code: 'TOTAL_TIMEOUT' })
    // The rest would take longer than this test may.
    expect((await run(host, [rowsOf(256, new Array<number>(256).fill(2))])).columns[0]!.shape).toEqual([1, 256])
  }, 20_000)

  test('inline they are cut too, and the event loop turns between the slices', async () => {
    const known = { run_us: 500, independent_rows: true }
    const order: (number | 'others')[] = []
    const run = (inputs: readonly Column[]): SessionRun => {
      order.push(inputs[0]!.shape[0]!)
      setImmediate(() => order.push('others'))
      return { columns: inputs.map((column) => ({ ...column, name: 'y' })), took_ms: inputs[0]!.shape[0]! / 2 }
    }
    const host = new InlineHost({ signature: { inputs: [], outputs: [] }, run, close: () => undefined }, known)
    const x = rowsOf(1, [1, 2, 3, 4, 5])
    expect(await host.run([x], ['y'], newLeg())).toEqual({ columns: [{ ...x, name: 'y' }], took_ms: 2.5, queued_ms: 0, runs: 3, batch_rows: 2 })
    expect(order).toEqual([2, 'others', 2, 'others', 1])
    const leg = newLeg()
    await new Promise((resolve) => setImmediate(resolve))
    const left = host.run([x], ['y'], leg)
    leg.cancel(new WeirError('CALLER_LEFT'))
    await expect(left).rejects.toMatchObject({ code: 'CALLER_LEFT' })
    await new Promise((resolve) => setTimeout(resolve, 20))
    expect(order).toEqual([2, 'others', 2, 'others', 1, 'others'])
    const begun = newLeg()
    const stopped = host.run([x], ['y'], begun)
    setImmediate(() => setImmediate(() => begun.cancel(new WeirError('CALLER_LEFT'))))
    await expect(stopped).rejects.toMatchObject({ code: 'CALLER_LEFT' })
    await new Promise((resolve) => setTimeout(resolve, 20))
    expect(order.slice(6)).toEqual([2, 'others', 2, 'others'])
  })

  test('inline all that were read together run one after the other, without those who left and despite those that fail', async () => {
    const ran: number[] = []
    const session = (inputs: readonly Column[]): SessionRun => {
      const [value] = inputs[0]!.data as Float32Array
      ran.push(value!)
      if (value === 3) throw new Error('three')
      return { columns: inputs, took_ms: value! }
    }
    const host = (): InlineHost => new InlineHost({ signature: { inputs: [], outputs: [] }, run: session, close: () => undefined }, { run_us: 1, independent_rows: true })
    const [one, other] = [host(), host()]
    const leg = newLeg()
    const asked = [1, 2, 3, 4, 5].map((value) => (value % 2 === 0 ? one : other).run([rowsOf(1, [value])], ['x'], value === 2 ? leg : newLeg()))
    expect(ran).toEqual([])
    leg.cancel(new WeirError('CALLER_LEFT'))
    const next = new Promise((resolve) => setImmediate(() => resolve([...ran])))
    const outcomes = await Promise.allSettled(asked)
    expect(await next).toEqual([1, 3, 4, 5])
    expect(outcomes.map((outcome) => (outcome.status === 'fulfilled' ? outcome.value.took_ms : (outcome.reason as Error).message))).toEqual([1, new WeirError('CALLER_LEFT').message, 'three', 4, 5])
  })
})

describe('a thread that dies in a run', () => {
  const row = (value: number): Column[] => [rowsOf(1, [value])]

  test('answers 503 to those in it, the other thread goes on, and the next are answered', async () => {
    const floor = open({ threads: 2 }, LETHAL)
    const { host } = await independent(floor.load(identity('FP32', ['N', 1]), batching))
    await expect.poll(() => floor.pool.threads).toEqual(['ready', 'ready'])
    await expect(run(host, row(666))).rejects.toMatchObject({ code: 'MODEL_NOT_READY', status: 503, retryAfter: 1 })
    expect(host.ready).toBe(true)
    for (let i = 0; i < 20; i++) expect(values(await run(host, row(i)))).toEqual([i])
    await expect.poll(() => floor.pool.threads, { timeout: 10_000 }).toEqual(['ready', 'ready'])
    expect(floor.pool.restarts).toBe(1)
    expect((await Promise.all(Array.from({ length: 50 }, (_, i) => run(host, row(i))))).map(values)).toEqual(Array.from({ length: 50 }, (_, i) => [i]))
  })

  test('three times of the same model: it is served no more, the others are, until it is loaded again', async () => {
    const floor = open({}, LETHAL)
    const bad = await floor.load(identity('FP32', ['N', 1]))
    const good = await floor.load(identity('FP32', ['N', 1]))
    for (let i = 0; i < 3; i++) {
      await expect.poll(() => good.host.ready, { timeout: 10_000 }).toBe(true)
      await expect(run(bad.host, row(666))).rejects.toMatchObject({ code: 'MODEL_NOT_READY' })
    }
    await expect.poll(() => good.host.ready, { timeout: 10_000 }).toBe(true)
    expect(values(await run(good.host, row(5)))).toEqual([5])
    expect(bad.host.ready).toBe(false)
    await expect(run(bad.host, row(1))).rejects.toMatchObject({ code: 'MODEL_NOT_READY', message: 'the model has ended its inference thread too often and is served no more until it is loaded again' })
    expect(floor.unavailable).toEqual([[bad.id, 'its runs ended an inference thread 3 times in a row']])
    expect(floor.pool.restarts).toBe(3)
    await floor.pool.unload(bad.id)
    const again = await floor.load(identity('FP32', ['N', 1]))
    expect(values(await run(again.host, row(1)))).toEqual([1])
  }, 20_000)
})

describe('models of the pool', () => {
  test('an unload waits for the requests it has and refuses later ones', async () => {
    const floor = open()
    const { id, host } = await floor.load(slow(200, 200))
    const asked = Array.from({ length: 5 }, (_, i) => run(host, [rowsOf(200, new Array<number>(200).fill(i))]))
    // The second runs when all of them have been read, whatever comes through other ports.
    await asked[1]
    const unloaded = floor.pool.unload(id)
    expect((await Promise.all(asked)).map(({ columns }) => Math.round(columns[0]!.data[0] as number))).toEqual([0, 1, 2, 3, 4])
    await unloaded
    await expect(run(host, [rowsOf(200, new Array<number>(200).fill(1))])).rejects.toMatchObject({ code: 'MODEL_NOT_READY', status: 503 })
    await floor.pool.unload(id)
  })

  test('a pool without models rests, and starts again with the next load; data threads keep their port', async () => {
    const floor = open({ threads: 2 })
    const first = await floor.load(identity('FP32', ['N', 1]))
    await floor.pool.rest()
    expect(values(await run(first.host, [rowsOf(1, [1])]))).toEqual([1])
    await floor.pool.unload(first.id)
    await floor.pool.rest()
    expect([floor.pool.threads, floor.pool.restarts]).toEqual([['off', 'off'], 0])
    await expect.poll(() => first.host.ready).toBe(false)
    const second = await floor.load(identity('FP32', ['N', 1]))
    expect(values(await run(second.host, [rowsOf(1, [2])]))).toEqual([2])
  })

  test('a thread that died is not started again for a pool that rests meanwhile', async () => {
    const floor = open({}, LETHAL)
    const { id, host } = await floor.load(identity('FP32', ['N', 1]))
    await expect(run(host, [rowsOf(1, [666])])).rejects.toMatchObject({ code: 'MODEL_NOT_READY' })
    await expect.poll(() => floor.pool.threads).toEqual(['restarting'])
    await floor.pool.unload(id)
    await floor.pool.rest()
    await new Promise((resolve) => setTimeout(resolve, 300))
    expect(floor.pool.threads).toEqual(['off'])
  })

  test('a model that runs inline is measured and not kept', async () => {
    const floor = open()
    const { outcome } = await floor.load(identity('FP32', ['N', 1]), null, 'auto')
    expect(outcome).toMatchObject({ placement: 'inline', measured: { independent_rows: true } })
    expect(floor.pool.needed).toBe(false)
  })

  test('more requests than the queue holds are refused', async () => {
    const floor = open({ queue: 10 })
    const { host } = await floor.load(slow(200, 100))
    const all = await Promise.allSettled(Array.from({ length: 15 }, () => run(host, [rowsOf(200, new Array<number>(200).fill(1))])))
    expect(all.map(({ status }) => status)).toEqual([...Array<string>(10).fill('fulfilled'), ...Array<string>(5).fill('rejected')])
    expect(all[10]).toMatchObject({ reason: { code: 'OVERLOADED', status: 503, retryAfter: 1 } })
  })
})
