/** Every type the Open Inference Protocol knows, through a graph that changes nothing: the same bits, whatever they are. */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { systemClock } from '../../gateway/clock.ts'
import { openSession, type Session } from '../../gateway/models/onnx/session.ts'
import type { Column, Data, Dtype } from '../../gateway/payload/columns.ts'
import { add, graph, identity } from './graphs.ts'
import { temporary } from './setup.ts'

type Numbers = Exclude<Data, string[]>

/** Limits, zeros of both signs, the smallest steps, infinities and NaNs (quiet, as ONNX Runtime's casts leave them). */
const extremes: Readonly<Record<Dtype, Data>> = {
  BOOL: Uint8Array.from([0, 1]),
  UINT8: Uint8Array.from([0, 255]),
  UINT16: Uint16Array.from([0, 65535]),
  UINT32: Uint32Array.from([0, 4294967295]),
  UINT64: BigUint64Array.from([0n, 2n ** 53n + 1n, 2n ** 64n - 1n]),
  INT8: Int8Array.from([-128, 0, 127]),
  INT16: Int16Array.from([-32768, 0, 32767]),
  INT32: Int32Array.from([-2147483648, 0, 2147483647]),
  INT64: BigInt64Array.from([-(2n ** 63n), -(2n ** 53n) - 1n, 0n, 2n ** 63n - 1n]),
  // 1, -0, largest, smallest denormal, infinities, NaN.
  FP16: Uint16Array.from([0x3c00, 0x8000, 0x7bff, 0x0001, 0x7c00, 0xfc00, 0x7e00]),
  BF16: Uint16Array.from([0x3f80, 0x8000, 0x7f7f, 0x0001, 0x7f80, 0xff80, 0x7fc0]),
  FP32: Float32Array.from([1, -0, 3.4028234663852886e38, 1.401298464324817e-45, Infinity, -Infinity, Number.NaN]),
  FP64: Float64Array.from([1, -0, Number.MAX_VALUE, Number.MIN_VALUE, Infinity, -Infinity, Number.NaN]),
  BYTES: ['', 'plain', 'Zeile\nzwei', '"', 'é', 'é', '🏞️', 'x'.repeat(100_000)],
}
const names = Object.keys(extremes) as Dtype[]

const folder = temporary()
const sessions = new Map<string, Session>()
async function open(name: string, model: Buffer): Promise<void> {
  const file = join(folder.path, `${name}.onnx`)
  writeFileSync(file, model)
  sessions.set(name, await openSession(file, systemClock))
}

beforeAll(async () => {
  for (const dtype of names) {
    await open(`${dtype} scalar`, identity(dtype, []))
    await open(`${dtype} vector`, identity(dtype, ['N']))
    await open(`${dtype} rank 3`, identity(dtype, ['N', '', 'M']))
  }
})
afterAll(() => {
  for (const session of sessions.values()) session.close()
  folder.remove()
})

async function through(model: string, column: Column): Promise<Column> {
  const { columns } = sessions.get(model)!.run([column], ['y'])
  expect(columns).toHaveLength(1)
  return columns[0]!
}

/** Texts as they are, numbers as their bytes: NaN is NaN and -0 is not 0. */
function bits(data: Data): readonly string[] | string {
  return Array.isArray(data) ? data : Buffer.from(data.buffer, data.byteOffset, data.byteLength).toString('hex')
}

function same(got: Column, sent: Column): void {
  expect([got.name, got.dtype, got.shape]).toEqual(['y', sent.dtype, sent.shape])
  expect(got.data.constructor).toBe(sent.data.constructor)
  expect(bits(got.data)).toEqual(bits(sent.data))
}

describe.each(names)('%s', (dtype) => {
  const data = extremes[dtype]
  const column = (shape: readonly number[], values: Data): Column => ({ name: 'x', dtype, shape, data: values })

  test('the signature says so', () => {
    expect(sessions.get(`${dtype} rank 3`)!.signature).toEqual({
      inputs: [{ name: 'x', dtype, shape: [-1, -1, -1], rows: 'N' }], outputs: [{ name: 'y', dtype, shape: [-1, -1, -1], rows: 'N' }],
    })
    expect(sessions.get(`${dtype} scalar`)!.signature.inputs).toEqual([{ name: 'x', dtype, shape: [], rows: null }])
  })

  test('extreme values', async () => {
    const sent = column([data.length], data)
    same(await through(`${dtype} vector`, sent), sent)
  })

  test('scalars', async () => {
    for (let i = 0; i < data.length; i++) {
      const sent = column([], data.slice(i, i + 1))
      same(await through(`${dtype} scalar`, sent), sent)
    }
  })

  test('rank 3, and a view into more bytes', async () => {
    const sent = column([1, data.length - 1, 1], Array.isArray(data) ? data.slice(1) : (data.subarray(1) as Numbers))
    same(await through(`${dtype} rank 3`, sent), sent)
  })

  test('no rows', async () => {
    const none = data.slice(0, 0)
    same(await through(`${dtype} vector`, column([0], none)), column([0], none))
    same(await through(`${dtype} rank 3`, column([2, 0, 3], none)), column([2, 0, 3], none))
  })

  test('random tensors', async () => {
    const sent = fc.tuple(fc.nat(4), fc.nat(4), fc.nat(4)).chain((shape) => values(dtype, shape[0] * shape[1] * shape[2]).map((made) => column(shape, made)))
    await fc.assert(fc.asyncProperty(sent, async (one) => same(await through(`${dtype} rank 3`, one), one)), { numRuns: 60 })
  })

  test('what was sent is not changed by it', async () => {
    const copy = data.slice()
    await through(`${dtype} vector`, column([data.length], data))
    expect(bits(data)).toEqual(bits(copy))
  })
})

/** Any bits of the type. A NUL is refused before a session: this binding cuts texts off there. */
function values(dtype: Dtype, length: number): fc.Arbitrary<Data> {
  if (dtype === 'BYTES') return fc.array(fc.string({ unit: 'binary' }).filter((one) => one.isWellFormed() && !one.includes('\0')), { minLength: length, maxLength: length })
  const like = extremes[dtype] as Numbers
  const made = fc.uint8Array({ minLength: length * like.BYTES_PER_ELEMENT, maxLength: length * like.BYTES_PER_ELEMENT })
  return made.map((bytes) => {
    if (dtype === 'BOOL') return bytes.map((byte) => byte & 1)
    const data = new (like.constructor as new (buffer: ArrayBufferLike) => Numbers)(bytes.buffer)
    // The payload of a bfloat16 NaN does not survive ONNX Runtime's Cast (its sign neither): all are the quiet one here.
    return dtype === 'BF16' ? (data as Uint16Array).map((one) => ((one & 0x7fff) > 0x7f80 ? 0x7fc0 : one)) : data
  })
}

test('any NaN of BF16 stays a NaN', async () => {
  const sent = Uint16Array.from([0x7f81, 0xff81, 0xffff, 0x7fff])
  const got = await through('BF16 vector', { name: 'x', dtype: 'BF16', shape: [4], data: sent })
  for (const one of got.data as Uint16Array) expect(one & 0x7fff).toBeGreaterThan(0x7f80)
})

// Halves by hand: 1 + 0.5 = 1.5, 65504 + 65504 is beyond FP16.
test.each<[Dtype, Numbers, Numbers, Numbers]>([
  ['FP16', Uint16Array.from([0x3c00, 0x7bff]), Uint16Array.from([0x3800, 0x7bff]), Uint16Array.from([0x3e00, 0x7c00])],
  ['INT32', Int32Array.from([1, 2147483647]), Int32Array.from([2, 1]), Int32Array.from([3, -2147483648])],
  ['UINT64', BigUint64Array.from([2n ** 63n]), BigUint64Array.from([2n ** 63n - 1n]), BigUint64Array.from([2n ** 64n - 1n])],
  ['FP64', Float64Array.from([0.1]), Float64Array.from([0.2]), Float64Array.from([0.30000000000000004])],
])('%s is reckoned with', async (dtype, a, b, sum) => {
  await open(`${dtype} add`, add(dtype, ['N']))
  const column = (name: string, data: Numbers): Column => ({ name, dtype, shape: [data.length], data })
  const { columns } = sessions.get(`${dtype} add`)!.run([column('a', a), column('b', b)], ['y'])
  expect(columns).toEqual([column('y', sum)])
})

test('BF16 beside FP32, and names that look like the ones weir makes', async () => {
  await open('mixed', graph({
    inputs: [{ name: 'x', type: 'BF16', shape: ['N'] }, { name: 'x:in:float', type: 'FP32', shape: ['N'] }],
    outputs: [{ name: 'y', type: 'BF16', shape: ['N'] }, { name: 'y:out:float', type: 'FP32', shape: ['N'] }, { name: 'x', type: 'BF16', shape: ['N'] }],
    nodes: [{ op: 'Cast', inputs: ['x:in:float'], outputs: ['y'], attributes: { to: 16n } }, { op: 'Cast', inputs: ['x'], outputs: ['y:out:float'], attributes: { to: 1n } }],
  }))
  const session = sessions.get('mixed')!
  expect(session.signature.inputs.map(({ name, dtype }) => `${name} ${dtype}`)).toEqual(['x BF16', 'x:in:float FP32'])
  expect(session.signature.outputs.map(({ name, dtype }) => `${name} ${dtype}`)).toEqual(['y BF16', 'y:out:float FP32', 'x BF16'])
  // 1.00390625 lies halfway between the bfloat16 neighbours 1 and 1.0078125: to the even one. 0x4049 is 3.140625.
  const { columns } = session.run([{ name: 'x', dtype: 'BF16', shape: [2], data: Uint16Array.from([0x4049, 0x3f80]) }, { name: 'x:in:float', dtype: 'FP32', shape: [2], data: Float32Array.from([1.00390625, 3.140625]) }], ['y:out:float', 'y', 'x'])
  expect(columns).toEqual([
    { name: 'y:out:float', dtype: 'FP32', shape: [2], data: Float32Array.from([3.140625, 1]) },
    { name: 'y', dtype: 'BF16', shape: [2], data: Uint16Array.from([0x3f80, 0x4049]) },
    { name: 'x', dtype: 'BF16', shape: [2], data: Uint16Array.from([0x4049, 0x3f80]) },
  ])
})
