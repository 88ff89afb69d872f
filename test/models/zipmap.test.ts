/** Classifiers as converters leave them, with a ZipMap at their end: the matrix that went into it, under the output's name. */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, expect, test } from 'vitest'
import { systemClock } from '../../gateway/clock.ts'
import { prepareGraph } from '../../gateway/models/onnx/rewrite.ts'
import { openSession, type Session } from '../../gateway/models/onnx/session.ts'
import { type Attribute, type Dim, type Graph, graph, graphBody, maps, type Node } from './graphs.ts'
import { fixtures, temporary } from './setup.ts'

const folder = temporary()
const sessions: Session[] = []
afterAll(() => {
  for (const session of sessions) session.close()
  folder.remove()
})

async function open(bytes: Buffer): Promise<Session> {
  const file = join(folder.path, `${sessions.length}.onnx`)
  writeFileSync(file, bytes)
  const session = await openSession(file, systemClock)
  sessions.push(session)
  return session
}

type Opsets = NonNullable<Graph['opsets']>
const ML: Opsets = [['', 17], ['ai.onnx.ml', 1]]

function zipMap(input: string, output: string, labels: Record<string, Attribute>): Node {
  return { op: 'ZipMap', domain: 'ai.onnx.ml', inputs: [input], outputs: [output], attributes: labels }
}

/** `p` is `x` through a ZipMap. */
function plain(labels: readonly bigint[] | readonly string[], opsets = ML, shape: readonly Dim[] = ['N', labels.length]): Buffer {
  const [key, attribute] = typeof labels[0] === 'bigint' ? (['INT64', 'classlabels_int64s'] as const) : (['BYTES', 'classlabels_strings'] as const)
  return graph({ inputs: [{ name: 'x', type: 'FP32', shape }], outputs: [maps('p', key)], nodes: [zipMap('x', 'p', { [attribute]: labels })], opsets })
}

const rows = { name: 'x', dtype: 'FP32', shape: [2, 3], data: Float32Array.from([0.1, 0.2, 0.7, 1, 0, 0]) } as const

test.each<[string, readonly bigint[] | readonly string[], readonly string[]]>([
  ['numbers', [0n, 1n, 7n], ['0', '1', '7']],
  ['numbers of 64 bits', [-(2n ** 63n), -1n, 2n ** 63n - 1n], ['-9223372036854775808', '-1', '9223372036854775807']],
  ['texts', ['setosa', 'véritable', ''], ['setosa', 'véritable', '']],
])('%s as classes', async (_what, labels, classes) => {
  const session = await open(plain(labels))
  expect(session.signature.outputs).toEqual([{ name: 'p', dtype: 'FP32', shape: [-1, 3], rows: 'N', classes }])
  const run = session.run([rows], ['p'])
  expect(run.columns).toEqual([{ ...rows, name: 'p' }])
})

test.each<[string, Opsets]>([
  ['ai.onnx.ml alone, as XGBoost imports', [['ai.onnx.ml', 1]]],
  ['the default domain twice, as skl2onnx imports', [['', 1], ['ai.onnx.ml', 1], ['', 17]]],
  ['an old one, as LightGBM imports', [['ai.onnx.ml', 1], ['', 9]]],
  ['the default domain by its other name', [['ai.onnx', 17], ['ai.onnx.ml', 3]]],
])('opsets: %s', async (_what, opsets) => {
  const session = await open(plain(['a', 'b', 'c'], opsets))
  expect(session.run([rows], ['p']).columns).toEqual([{ ...rows, name: 'p' }])
})

test('an unnamed number of rows, a fixed one, a row alone', async () => {
  expect((await open(plain(['a', 'b', 'c'], ML, ['', 3]))).signature.outputs[0]).toMatchObject({ shape: [-1, 3], rows: '' })
  // ONNX Runtime knows better than the declaration.
  expect((await open(plain(['a', 'b', 'c'], ML, [2, 3]))).signature.outputs[0]).toMatchObject({ shape: [2, 3], rows: null })
  const alone = await open(plain(['a', 'b', 'c'], ML, [3]))
  expect(alone.run([{ ...rows, shape: [3], data: rows.data.slice(0, 3) }], ['p']).columns[0]).toMatchObject({ shape: [3], data: rows.data.slice(0, 3) })
})

test('several, beside a tensor', async () => {
  const session = await open(graph({
    inputs: [{ name: 'x', type: 'FP32', shape: ['N', 3] }],
    outputs: [maps('p', 'BYTES'), { name: 'y', type: 'FP32', shape: ['N', 3] }, maps('q', 'INT64')],
    nodes: [{ op: 'Neg', inputs: ['x'], outputs: ['y'] }, zipMap('x', 'p', { classlabels_strings: ['a', 'b', 'c'] }), zipMap('y', 'q', { classlabels_int64s: [1n, 2n, 3n] })],
    opsets: ML,
  }))
  expect(session.signature.outputs.map(({ name, dtype, classes }) => [name, dtype, classes])).toEqual([['p', 'FP32', ['a', 'b', 'c']], ['y', 'FP32', undefined], ['q', 'FP32', ['1', '2', '3']]])
  const { columns } = session.run([rows], ['q', 'p'])
  expect(columns).toEqual([{ ...rows, name: 'q', data: rows.data.map((value) => -value) }, { ...rows, name: 'p' }])
})

test('one whose maps the graph goes on with is left alone', async () => {
  const bytes = graph({
    inputs: [{ name: 'x', type: 'FP32', shape: ['N', 3] }],
    outputs: [maps('p', 'BYTES'), { name: 'n', type: 'INT64', shape: [] }],
    nodes: [zipMap('x', 'p', { classlabels_strings: ['a', 'b', 'c'] }), { op: 'SequenceLength', inputs: ['p'], outputs: ['n'] }],
    opsets: ML,
  })
  expect(prepareGraph(bytes)).toBeNull()
})

test('one that the body of a Loop reads is left alone', () => {
  const none = { name: 'p_used_inside', type: 'FP32', shape: [] } as const
  const node = (attributes: Node['attributes']): Node => ({ op: 'Loop', inputs: [], outputs: ['l'], attributes: attributes! })
  const body = graphBody({ inputs: [], outputs: [none], nodes: [{ op: 'SequenceLength', inputs: ['p'], outputs: ['p_used_inside'] }] })
  const model = (attributes: Node['attributes']): Buffer => graph({
    inputs: [{ name: 'x', type: 'FP32', shape: ['N', 1] }], outputs: [maps('p', 'BYTES')], nodes: [zipMap('x', 'p', { classlabels_strings: ['a'] }), node(attributes)], opsets: ML,
  })
  expect(prepareGraph(model({ body }))).toBeNull()
  expect(prepareGraph(model({ other: 1n }))).not.toBeNull()
})

test('its type as a sequence of maps, declared among those between, does no harm', async () => {
  const session = await open(graph({
    inputs: [{ name: 'x', type: 'FP32', shape: ['N', 3] }], outputs: [maps('p', 'BYTES')], between: [maps('p', 'BYTES')],
    nodes: [zipMap('x', 'p', { classlabels_strings: ['a', 'b', 'c'] })], opsets: ML,
  }))
  expect(session.run([rows], ['p']).columns).toEqual([{ ...rows, name: 'p' }])
})

test('one of another domain is left alone', () => {
  const node = { ...zipMap('x', 'p', { classlabels_strings: ['a'] }), domain: 'com.example' }
  expect(prepareGraph(graph({ inputs: [{ name: 'x', type: 'FP32', shape: ['N', 1] }], outputs: [maps('p', 'BYTES')], nodes: [node] }))).toBeNull()
})

test('a graph that has none is not touched', () => {
  expect(prepareGraph(graph({ inputs: [], outputs: [], nodes: [] }))).toBeNull()
  expect(prepareGraph(Buffer.alloc(0))).toBeNull()
})

test('everything else of the file stays byte for byte', async () => {
  const bytes = plain(['a', 'b', 'c'])
  const [before, after] = [bytes, prepareGraph(bytes)!.bytes]
  // The model begins with its IR version and ends with the opsets; the graph of 3 fields before the output lies between.
  expect(after.subarray(0, 2)).toEqual(before.subarray(0, 2))
  const opsets = Buffer.from('42 04 0a 00 10 11 42 0e 0a 0a 61 69 2e 6f 6e 6e 78 2e 6d 6c 10 01'.replaceAll(' ', ''), 'hex')
  expect(before.subarray(-opsets.length)).toEqual(opsets)
  expect(after.subarray(-opsets.length)).toEqual(opsets)
})

test('the file of a real classifier', async () => {
  const session = await openSession(join(fixtures, 'cancer_zipmap/1/model.onnx'), systemClock)
  sessions.push(session)
  expect(session.signature.outputs).toEqual([
    { name: 'output_label', dtype: 'INT64', shape: [-1], rows: '' },
    { name: 'output_probability', dtype: 'FP32', shape: [-1, 2], rows: '', classes: ['0', '1'] },
  ])
})
