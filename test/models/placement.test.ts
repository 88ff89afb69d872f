/** What is found out about a model at load: its time, and whether its rows are independent. */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, describe, expect, test } from 'vitest'
import { systemClock } from '../../gateway/clock.ts'
import { Pace } from '../../gateway/models/inference/pace.ts'
import { type Measured, measure, place, whyThere } from '../../gateway/models/inference/placement.ts'
import { openSession, type Session } from '../../gateway/models/onnx/session.ts'
import type { Column, Dtype } from '../../gateway/payload/columns.ts'
import { add, type Dim, graph, identity, type Node, slow } from './graphs.ts'
import { fixtures, largeModels, temporary } from './setup.ts'

const folder = temporary()
afterAll(() => folder.remove())
let files = 0

async function measured(model: Buffer | string): Promise<Measured> {
  const file = typeof model === 'string' ? model : join(folder.path, `${files++}.onnx`)
  if (typeof model !== 'string') writeFileSync(file, model)
  const session = await openSession(file, systemClock)
  const result = measure(session, systemClock)
  session.close()
  return result
}

/** One FP32 input `x` of this shape, one output `y`. */
function unary(nodes: readonly Node[], shape: readonly Dim[] = ['N', 3], initializers: Parameters<typeof graph>[0]['initializers'] = []): Buffer {
  return graph({ inputs: [{ name: 'x', type: 'FP32', shape }], outputs: [{ name: 'y', type: 'FP32', shape: null }], nodes, initializers })
}

const one = (op: string, attributes: Node['attributes'] = {}, more: readonly string[] = []): Node[] => [{ op, inputs: ['x', ...more], outputs: ['y'], attributes }]

describe('rows are independent', () => {
  const dtypes: Dtype[] = ['BOOL', 'UINT8', 'UINT16', 'UINT32', 'UINT64', 'INT8', 'INT16', 'INT32', 'INT64', 'FP16', 'FP32', 'FP64', 'BYTES']
  test.each(dtypes)('identity of %s', async (dtype) => {
    expect((await measured(identity(dtype, ['N', 2]))).independent_rows).toBe(true)
  })

  test.each([
    ['rank one', identity('FP32', ['N'])],
    ['a dimension without a name', identity('FP32', ['', 2])],
    ['rank three, another variable dimension', identity('FP32', ['N', 'T', 4])],
    ['two inputs of the same rows', add('FP32', ['N', 2])],
    ['softmax over features', unary(one('Softmax', { axis: 1n }))],
    ['a matrix product', slow(8, 3)],
  ])('%s', async (_, model) => {
    expect(await measured(model)).toMatchObject({ independent_rows: true, run_us: expect.any(Number) })
  })

  test('models of the fixtures', async () => {
    for (const name of ['cancer', 'iris', 'ranker', 'embedding', 'digits', 'fraud', 'churn']) {
      expect([name, (await measured(join(fixtures, name, '1/model.onnx'))).independent_rows]).toEqual([name, true])
    }
  })
})

describe('rows are not independent', () => {
  const zero = { name: 'axis', type: 'INT64' as const, shape: [1], data: BigInt64Array.of(0n) }
  test.each([
    ['softmax over rows', unary(one('Softmax', { axis: 0n }))],
    ['mean over rows, kept', unary(one('ReduceMean', { axes: [0n], keepdims: 1n }))],
    ['mean of everything: rank 0', unary(one('ReduceMean', { keepdims: 0n }))],
    ['each row less the mean of all', unary([{ op: 'ReduceMean', inputs: ['x'], outputs: ['m'], attributes: { axes: [0n], keepdims: 1n } }, { op: 'Sub', inputs: ['x', 'm'], outputs: ['y'] }])],
    ['sums over the rows so far', unary([{ op: 'CumSum', inputs: ['x', 'axis'], outputs: ['y'] }], ['N', 3], [{ ...zero, shape: [] }])],
    ['rows in order of their values', unary([{ op: 'Constant', inputs: [], outputs: ['k'], attributes: { value_ints: [1n] } }, { op: 'Shape', inputs: ['x'], outputs: ['s'] }, { op: 'Gather', inputs: ['s', 'axis'], outputs: ['n'] }, { op: 'TopK', inputs: ['x', 'n'], outputs: ['y', 'i'], attributes: { axis: 0n } }], ['N', 1], [zero])],
    ['a transposed answer', unary(one('Transpose', { perm: [1n, 0n] }))],
    ['an answer that does not grow', graph({ inputs: [{ name: 'x', type: 'FP32', shape: ['N', 3] }], outputs: [{ name: 'y', type: 'INT64', shape: null }], nodes: one('Shape') })],
    ['chance', unary(one('RandomUniformLike', {}))],
    ['a fixed batch', identity('FP32', [1, 3])],
    ['a scalar', identity('FP32', [])],
    ['inputs of different rows', graph({ inputs: [{ name: 'a', type: 'FP32', shape: ['N', 1] }, { name: 'b', type: 'FP32', shape: ['M', 1] }], outputs: [{ name: 'y', type: 'FP32', shape: null }], nodes: [{ op: 'Concat', inputs: ['a', 'b'], outputs: ['y'], attributes: { axis: 0n } }] })],
    ['a scale of all values (dynamic quantization)', unary([{ op: 'DynamicQuantizeLinear', inputs: ['x'], outputs: ['q', 's', 'z'] }, { op: 'DequantizeLinear', inputs: ['q', 's', 'z'], outputs: ['y'] }])],
  ])('%s', async (_, model) => {
    const found = await measured(model)
    expect(found.independent_rows).toBe(false)
    expect(found.run_us).toBeGreaterThan(0)
  })

  test('a model that runs on zeros alone is measured and not batched', async () => {
    // Row 1 of the made-up ones asks for an id beyond the only one there is.
    const model = graph({
      inputs: [{ name: 'x', type: 'INT64', shape: ['N'] }], outputs: [{ name: 'y', type: 'FP32', shape: null }],
      nodes: [{ op: 'Gather', inputs: ['t', 'x'], outputs: ['y'], attributes: { axis: 0n } }],
      initializers: [{ name: 't', type: 'FP32', shape: [1, 2], data: Float32Array.of(1, 2) }],
    })
    expect(await measured(model)).toEqual({ run_us: expect.any(Number), independent_rows: false })
  })

  test('a model that does not run on made-up rows is unknown', async () => {
    const model = graph({
      inputs: [{ name: 'x', type: 'INT64', shape: ['N'] }], outputs: [{ name: 'y', type: 'FP32', shape: null }],
      nodes: [{ op: 'Gather', inputs: ['t', 'x'], outputs: ['y'], attributes: { axis: 0n } }],
      initializers: [{ name: 't', type: 'FP32', shape: [0, 2], data: new Float32Array(0) }],
    })
    expect(await measured(model)).toEqual({ run_us: null, independent_rows: false })
  })
})

describe('placement', () => {
  test('slow or unknown goes to the thread, a wish is obeyed, and the reason is said', () => {
    expect([place('auto', 20), place('auto', 201), place('auto', null), place('inline', 9000), place('thread', 1)]).toEqual(['inline', 'thread', 'thread', 'inline', 'thread'])
    expect([whyThere('auto', 14.4), whyThere('auto', 3.14), whyThere('auto', null), whyThere('thread', 14)]).toEqual([
      'a run of one row takes 14 µs (up to 200 µs is inline)', 'a run of one row takes 3.1 µs (up to 200 µs is inline)', 'does not run on made-up rows', 'placement: thread in the config',
    ])
  })

  test('the fastest run counts: runs that were interrupted do not make a model slow', () => {
    const times = [5, 0.6, 0.5, 30, 0.6, 0.7, 0.04, 0.5]
    const signature = { inputs: [{ name: 'x', dtype: 'FP32' as const, shape: [-1, 3], rows: null }], outputs: [{ name: 'y', dtype: 'FP32' as const, shape: [-1], rows: '' }] }
    const shapes: unknown[] = []
    const session: Session = { signature, close: () => undefined, run: (inputs: readonly Column[]) => (shapes.push(inputs[0]!.shape), { columns: [], took_ms: times.shift()! }) }
    expect(measure(session, systemClock).run_us).toBeCloseTo(40)
    expect(shapes[0]).toEqual([1, 3])
    expect(times).toEqual([])
  })

  test.runIf(largeModels !== null)('slow and heavy go to the thread by themselves, and their rows are independent', async () => {
    for (const name of ['slow', 'heavy']) {
      const found = await measured(join(largeModels!, name, '1/model.onnx'))
      expect([name, place('auto', found.run_us), found.independent_rows]).toEqual([name, 'thread', true])
    }
  })
})

describe('rows of one run', () => {
  const known = { run_us: 100, independent_rows: true }
  test('are as many as fit the time, by the measured run of one row', () => {
    expect(new Pace(10, known).rows).toBe(100)
    expect(new Pace(10, { ...known, run_us: 30_000 }).rows).toBe(1)
    expect(new Pace(10, { ...known, independent_rows: false }).rows).toBe(Infinity)
  })

  test('follow what full runs took, by a factor of two at most', () => {
    const pace = new Pace(10, known)
    pace.ran(40, 1)
    expect(pace.rows).toBe(100)
    pace.ran(100, 0.5)
    expect(pace.rows).toBe(200)
    pace.ran(200, 16)
    expect(pace.rows).toBe(125)
    pace.ran(125, 400)
    expect(pace.rows).toBe(62)
    pace.stop()
    expect(pace.rows).toBe(Infinity)
  })
})
