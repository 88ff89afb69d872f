/** A loaded graph: shapes, several tensors, failures, its end; and files that are not to be loaded at all. */
import { closeSync, existsSync, ftruncateSync, mkdirSync, openSync, readdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, describe, expect, test } from 'vitest'
import { systemClock } from '../../gateway/clock.ts'
import { Fields } from '../../gateway/headers.ts'
import { modelBytes, outline } from '../../gateway/models/onnx/outline.ts'
import { field, integer } from '../../gateway/models/onnx/protobuf.ts'
import { reasonOf } from '../../gateway/models/repository/folder.ts'
import { openSession, type Session } from '../../gateway/models/onnx/session.ts'
import type { Column } from '../../gateway/payload/columns.ts'
import { oip } from '../../gateway/payload/oip.ts'
import { type Graph, graph, graphBody, identity, type Initializer, maps, sequence, slow } from './graphs.ts'
import { badModels, fixtures, golden, temporary } from './setup.ts'

const folder = temporary()
/** One entry a thread of this process, on Linux. */
const TASKS = '/proc/self/task'
const sessions: Session[] = []
let made = 0
afterAll(() => {
  for (const session of sessions) session.close()
  folder.remove()
})

/** A folder of its own. */
function put(bytes: Buffer, others: Readonly<Record<string, Buffer>> = {}): string {
  const path = join(folder.path, String(made++))
  mkdirSync(path)
  for (const [name, other] of Object.entries(others)) writeFileSync(join(path, name), other)
  writeFileSync(join(path, 'model.onnx'), bytes)
  return join(path, 'model.onnx')
}

async function open(file: string, options?: { intraOpThreads: number }): Promise<Session> {
  const session = await openSession(file, systemClock, options)
  sessions.push(session)
  return session
}

function reason(file: string): Promise<string> {
  return openSession(file, systemClock).then(() => 'it loads', (error: unknown) => reasonOf(error, file, 'm/1/model.onnx'))
}

const floats = (name: string, shape: readonly number[], ...data: number[]): Column => ({ name, dtype: 'FP32', shape, data: Float32Array.from(data) })

// ---------------------------------------------------------------- the models of the fixtures

describe.each(readdirSync(fixtures).flatMap((name) => readdirSync(join(fixtures, name)).map((version) => [name, version] as const)))('%s/%s', (name, version) => {
  test.each(golden(join(fixtures, name, version)))('$name', async (one) => {
    const session = await open(join(fixtures, name, version, 'model.onnx'))
    const columns = oip.readRequest(Buffer.from(one.text), Fields.of([])).columns
    const run = session.run(session.signature.inputs.map((spec) => columns.find((column) => column.name === spec.name)!), one.response_outputs.map((output) => output.name))
    expect(run.columns.map(({ name, dtype, shape }) => [name, dtype, shape])).toEqual(one.response_outputs.map((output) => [output.name, output.datatype, output.shape]))
    run.columns.forEach(({ dtype, data }, i) => {
      const expected = one.response_outputs[i]!.data as (number | string)[]
      expect(data).toHaveLength(expected.length)
      if (dtype.startsWith('FP')) expected.forEach((value, j) => expect(Math.abs(Number(data[j]) - Number(value)), `element ${j}`).toBeLessThanOrEqual(one.atol + one.rtol * Math.abs(Number(value))))
      else if (dtype === 'INT64') expect([...data].map(String)).toEqual(one.spelled[i]!.split(',').map((text) => text.trim()).filter(Boolean))
      else expect(Array.isArray(data) ? data : [...data].map((value) => (dtype === 'BOOL' ? value === 1 : value))).toEqual(expected)
    })
  })
})

// ---------------------------------------------------------------- shapes and names

test('what an output declares may be wrong: the result counts', async () => {
  const session = await open(put(graph({
    inputs: [{ name: 'x', type: 'FP32', shape: ['N'] }], outputs: [{ name: 'y', type: 'FP32', shape: [1] }], nodes: [{ op: 'Neg', inputs: ['x'], outputs: ['y'] }],
  })))
  expect(session.run([floats('x', [3], 1, 2, 3)], ['y']).columns).toEqual([floats('y', [3], -1, -2, -3)])
})

test('several inputs and outputs, in the order asked for, one of them alone', async () => {
  const session = await open(put(graph({
    inputs: [{ name: 'a', type: 'FP32', shape: ['N', 2] }, { name: 'n', type: 'INT64', shape: [] }],
    outputs: [{ name: 'sum', type: 'FP32', shape: [] }, { name: 'shape', type: 'INT64', shape: [2] }, { name: 'm', type: 'INT64', shape: [] }],
    nodes: [{ op: 'ReduceSum', inputs: ['a'], outputs: ['sum'], attributes: { keepdims: 0n } }, { op: 'Shape', inputs: ['a'], outputs: ['shape'] }, { op: 'Neg', inputs: ['n'], outputs: ['m'] }],
  })))
  const inputs: Column[] = [{ name: 'n', dtype: 'INT64', shape: [], data: BigInt64Array.of(7n) }, floats('a', [2, 2], 1, 2, 3, 4)]
  const m = { name: 'm', dtype: 'INT64', shape: [], data: BigInt64Array.of(-7n) }
  expect(session.run(inputs, ['m', 'sum', 'shape']).columns).toEqual([m, floats('sum', [], 10), { name: 'shape', dtype: 'INT64', shape: [2], data: BigInt64Array.of(2n, 2n) }])
  expect(session.run(inputs, ['m']).columns).toEqual([m])
})

test('names that are keys of every object', async () => {
  const session = await open(put(graph({ inputs: [{ name: 'constructor', type: 'FP32', shape: ['N'] }], outputs: [{ name: 'toString', type: 'FP32', shape: ['N'] }], nodes: [{ op: 'Neg', inputs: ['constructor'], outputs: ['toString'] }] })))
  expect(session.run([floats('constructor', [1], 2)], ['toString']).columns).toEqual([floats('toString', [1], -2)])
})

test('two threads for a run give what one gives', async () => {
  const file = put(slow(64, 4))
  const [one, two] = [await open(file), await open(file, { intraOpThreads: 2 })]
  const x = floats('x', [8, 64], ...Array.from({ length: 512 }, (_, i) => i % 7))
  const [a, b] = [one.run([x], ['y']), two.run([x], ['y'])]
  a.columns[0]!.data.forEach((value, i) => expect(Number(b.columns[0]!.data[i])).toBeCloseTo(Number(value), 4))
})

test.runIf(existsSync(TASKS))('a session has the threads it was given, and no others', async () => {
  const file = put(slow(8, 1))
  const threads = async (options?: { intraOpThreads: number }): Promise<number> => {
    const before = readdirSync(TASKS).length
    await open(file, options)
    return readdirSync(TASKS).length - before
  }
  await threads()
  expect(await threads()).toBeLessThan(3)
  // The one that runs is among the four.
  expect(await threads({ intraOpThreads: 4 })).toBeGreaterThanOrEqual(3)
})

// ---------------------------------------------------------------- failures and the end

test('a run that fails leaves the session as it was', async () => {
  const session = await open(join(fixtures, 'embedding/1/model.onnx'))
  const ids = (id: bigint): Column => ({ name: 'ids', dtype: 'INT64', shape: [1], data: BigInt64Array.of(id) })
  const before = session.run([ids(3n)], ['vectors'])
  for (let i = 0; i < 20; i++) expect(() => session.run([ids(10n)], ['vectors'])).toThrow('Gather')
  expect(() => session.run([floats('ids', [1], 3)], ['vectors'])).toThrow()
  expect(() => session.run([], ['vectors'])).toThrow()
  expect(session.run([ids(3n)], ['vectors']).columns).toEqual(before.columns)
})

test('closing lets no run begin', async () => {
  const session = await openSession(put(identity('FP32', ['N'])), systemClock)
  const x = floats('x', [2], 1, 2)
  expect(session.run([x], ['y']).columns).toEqual([{ ...x, name: 'y' }])
  session.close()
  expect(() => session.run([x], ['y'])).toThrow('the session is closed')
  session.close()
  expect(() => session.run([], [])).toThrow('the session is closed')
})

test('what a run gave outlives the session', async () => {
  const session = await openSession(put(identity('FP32', ['N'])), systemClock)
  const x = floats('x', [3], 1, 2, 3)
  const { columns } = session.run([x], ['y'])
  for (let i = 0; i < 100; i++) session.run([floats('x', [3], i, i, i)], ['y'])
  session.close()
  expect(columns).toEqual([{ ...x, name: 'y' }])
})

test.each([[[2, 3]], [[8]], [[0]]])('data that is not as long as its shape %j is not given to the library', async (shape) => {
  const session = await open(put(identity('FP32', shape.map(() => 'N'))))
  expect(() => session.run([{ ...floats('x', [4], 1, 2, 3, 4), shape }], ['y'])).toThrow(`"x" of shape [${shape}] has 4 elements`)
})

// ---------------------------------------------------------------- files

test('2 GiB are refused before a byte is read', async () => {
  const file = put(Buffer.alloc(0))
  const descriptor = openSync(file, 'r+')
  ftruncateSync(descriptor, 2 ** 31)
  closeSync(descriptor)
  expect(await reason(file)).toBe('m/1/model.onnx: the file has 2147483648 bytes, a model file must be smaller than 2 GiB; keep its weights as external data')
  expect(() => modelBytes(file)).toThrow('smaller than 2 GiB')
})

test('a graph behind large weights is seen', async () => {
  // 4 MiB of weights and the same again in a constant: only the graph between them is read before ONNX Runtime reads all.
  const weights = (name: string): Initializer => ({ name, type: 'FP32', shape: [1 << 20], data: new Float32Array(1 << 20).fill(2) })
  const file = put(graph({
    inputs: [{ name: 'x', type: 'FP32', shape: ['N', 1] }],
    outputs: [maps('p', 'BYTES')],
    nodes: [
      { op: 'Constant', inputs: [], outputs: ['c'], attributes: { value: weights('c') } }, { op: 'Mul', inputs: ['w', 'c'], outputs: ['v'] },
      { op: 'Slice', inputs: ['v', 'zero', 'one'], outputs: ['s'] }, { op: 'Mul', inputs: ['x', 's'], outputs: ['z'] },
      { op: 'ZipMap', domain: 'ai.onnx.ml', inputs: ['z'], outputs: ['p'], attributes: { classlabels_strings: ['a'] } },
    ],
    initializers: [weights('w'), { name: 'zero', type: 'INT64', shape: [1], data: BigInt64Array.of(0n) }, { name: 'one', type: 'INT64', shape: [1], data: BigInt64Array.of(1n) }],
    opsets: [['', 17], ['ai.onnx.ml', 1]],
  }))
  expect(outline(file)!.length).toBeLessThan(1000)
  const session = await open(file)
  expect(session.run([floats('x', [2, 1], 1, 3)], ['p']).columns).toEqual([floats('p', [2, 1], 4, 12)])
})

test('of a large graph without weights nothing is left out', () => {
  // 60,000 nodes in 2 MB: several windows of the file, with nodes across their borders.
  const nodes = Array.from({ length: 60_000 }, (_, i) => ({ op: 'Identity', inputs: [i === 0 ? 'x' : `${i}`.repeat(1 + (i % 3))], outputs: [`${i + 1}`] }))
  const model = graph({ inputs: [{ name: 'x', type: 'FP32', shape: ['N'] }], outputs: [{ name: 'y', type: 'BF16', shape: ['N'] }], nodes })
  expect(outline(put(model))!.equals(model)).toBe(true)
  expect(model.length).toBeGreaterThan(1 << 20)
})

test.each([-21, -20, -1, 0, 1, 20, 21])('a field of 256 KiB %i bytes beside short ones', (more) => {
  // 256 KiB is what is kept; the short fields before and behind it always are.
  const long = field(6, Buffer.alloc((1 << 18) + more, 'x'))
  const [before, after] = [integer(1, 8), Buffer.concat([field(2, 'weir'), field(7, field(2, 'g'))])]
  expect(outline(put(Buffer.concat([before, long, after])))!.equals(Buffer.concat(more > 0 ? [before, after] : [before, long, after]))).toBe(true)
})

test.each([
  ['the graph', field(7, Buffer.from([0xff]))],
  ['a node', field(7, field(1, Buffer.from([0x0a, 0x7f])))],
  ['an output', field(7, field(12, Buffer.from([0x12, 0x7f])))],
  ['weights', field(7, field(5, Buffer.from([0x70])))],
])('%s that is no message is left to the library', async (_what, model) => {
  const file = put(Buffer.concat([integer(1, 8), model]))
  expect(await reason(file)).toBe('m/1/model.onnx: Protobuf parsing failed.')
  expect(modelBytes(file)).toBe(model.length + 2)
})

test('a file that is all short fields is not held', () => {
  const short = field(6, Buffer.alloc(1 << 17))
  expect(outline(put(Buffer.alloc(511 * short.length, short)))!.length).toBe(511 * short.length)
  expect(outline(put(Buffer.alloc(513 * short.length, short))) === null).toBe(true)
})

test.each([1, 100, 1000, -1])('a file that is no protocol buffer is left to the library (%d)', async (length) => {
  const model = identity('BF16', ['N'])
  const file = put(length < 0 ? model.subarray(0, length) : Buffer.concat([model.subarray(0, 10), Buffer.alloc(length, 0xff)]))
  expect(outline(file)).toBeNull()
  expect(await reason(file)).toBe('m/1/model.onnx: Protobuf parsing failed.')
})

test('an input that no caller can send is a reason not to load', async () => {
  const file = put(graph({ inputs: [sequence('s', 'FP32')], outputs: [{ name: 'n', type: 'INT64', shape: [] }], nodes: [{ op: 'SequenceLength', inputs: ['s'], outputs: ['n'] }] }))
  expect(await reason(file)).toBe('m/1/model.onnx: input "s" is not a tensor of a type the Open Inference Protocol knows')
})

test('an output that cannot be sent is told of, the others serve', async () => {
  const session = await open(put(graph({
    inputs: [{ name: 'x', type: 'FP32', shape: ['N'] }], outputs: [sequence('s', 'FP32'), { name: 'y', type: 'FP32', shape: ['N'] }],
    nodes: [{ op: 'SequenceConstruct', inputs: ['x'], outputs: ['s'] }, { op: 'Neg', inputs: ['x'], outputs: ['y'] }],
  })))
  expect(session.signature.outputs[0]).toEqual({ name: 's', dtype: null, shape: [], rows: null })
  expect(session.run([floats('x', [1], 1)], ['y']).columns).toEqual([floats('y', [1], -1)])
})

test('BF16 with a default is no input for callers', async () => {
  const session = await open(put(graph({
    inputs: [{ name: 'x', type: 'FP32', shape: [1] }, { name: 'd', type: 'BF16', shape: [1] }], outputs: [{ name: 'y', type: 'FP32', shape: [1] }, { name: 'z', type: 'BF16', shape: [1] }],
    nodes: [{ op: 'Neg', inputs: ['x'], outputs: ['y'] }, { op: 'Identity', inputs: ['d'], outputs: ['z'] }], initializers: [{ name: 'd', type: 'BF16', shape: [1], data: Uint16Array.of(0x4049) }],
  })))
  expect(session.signature.inputs.map(({ name }) => name)).toEqual(['x'])
  expect(session.run([floats('x', [1], 1)], ['z']).columns).toEqual([{ name: 'z', dtype: 'BF16', shape: [1], data: Uint16Array.of(0x4049) }])
})

describe('weights in other files', () => {
  const bytes = (...values: number[]): Buffer => Buffer.from(Float32Array.from(values).buffer)
  const external = (location: string): Initializer => ({ name: 'w', type: 'FP32', shape: [3], external: { location, offset: '4', length: '12' } })
  const plain = (location: string): Graph => ({
    inputs: [{ name: 'x', type: 'FP32', shape: ['N', 3] }], outputs: [{ name: 'y', type: 'FP32', shape: ['N', 3] }],
    nodes: [{ op: 'Mul', inputs: ['x', 'w'], outputs: ['y'] }], initializers: [external(location)],
  })
  const x = floats('x', [1, 3], 1, 1, 1)

  test('are found beside the model and counted once', async () => {
    const file = put(graph(plain('w.bin')), { 'w.bin': bytes(0, 5, 6, 7) })
    expect((await open(file)).run([x], ['y']).columns).toEqual([floats('y', [1, 3], 5, 6, 7)])
    expect(modelBytes(file)).toBe(graph(plain('w.bin')).length + 16)
    const twice = { ...plain('w.bin'), initializers: [external('w.bin'), { ...external('w.bin'), name: 'v' }] }
    expect(modelBytes(put(graph(twice), { 'w.bin': bytes(0, 5, 6, 7) }))).toBe(graph(twice).length + 16)
  })

  test('are found from a graph that was rewritten', async () => {
    const file = put(graph({ ...plain('w.bin'), outputs: [maps('p', 'BYTES')], nodes: [...plain('').nodes, { op: 'ZipMap', domain: 'ai.onnx.ml', inputs: ['y'], outputs: ['p'], attributes: { classlabels_strings: ['a', 'b', 'c'] } }], opsets: [['', 17], ['ai.onnx.ml', 1]] }), { 'w.bin': bytes(0, 5, 6, 7) })
    expect((await open(file)).run([x], ['p']).columns).toEqual([floats('p', [1, 3], 5, 6, 7)])
  })

  test('that a rewritten graph misses are told without a path of the server', async () => {
    const file = put(graph({ ...plain('w.bin'), outputs: [{ name: 'y', type: 'FP32', shape: ['N', 3] }, { name: 'b', type: 'BF16', shape: ['N', 3] }], nodes: [...plain('').nodes, { op: 'Cast', inputs: ['y'], outputs: ['b'], attributes: { to: 16n } }] }))
    expect(await reason(file)).toContain('External data path does not exist')
    expect(await reason(file)).not.toContain(folder.path)
  })

  test('of the body of an If and of a constant are counted', () => {
    const body = graphBody({ inputs: [], outputs: [], nodes: [{ op: 'Constant', inputs: [], outputs: ['c'], attributes: { value: external('c.bin') } }], initializers: [external('b.bin')] })
    const model = graph({ inputs: [], outputs: [], nodes: [{ op: 'If', inputs: ['x'], outputs: ['y'], attributes: { then_branch: body } }] })
    expect(modelBytes(put(model, { 'b.bin': Buffer.alloc(100), 'c.bin': Buffer.alloc(1000) }))).toBe(model.length + 1100)
  })

  test.each(['../w.bin', '/etc/passwd', 'a/../../w.bin', '..', '*/_ORT_MEM_ADDR_/*'])('%s is refused', async (location) => {
    const file = put(graph(plain(location)))
    expect(await reason(file)).toBe(`m/1/model.onnx: external data "${location}" lies outside the folder of the model`)
    expect(() => modelBytes(file)).toThrow('lies outside the folder of the model')
  })

  test('that are not there count nothing, and the library says so', async () => {
    const file = join(badModels, 'external_data_missing/model.onnx')
    expect(modelBytes(file)).toBeGreaterThan(0)
    expect(await reason(file)).toContain('External data path does not exist: "weights.bin"')
  })
})

test('bytes of a model without other files are those of its file; of none, none', () => {
  const model = identity('FP32', ['N'])
  expect(modelBytes(put(model))).toBe(model.length)
  expect(modelBytes(put(Buffer.from('a line of text')))).toBe(14)
  expect(modelBytes(join(folder.path, 'nothing.onnx'))).toBe(0)
})
