/** What is posted to another thread: the values and nothing else of the memory they lie in, and the sender keeps his. */
import { describe, expect, test } from 'vitest'
import { packed } from '../../gateway/models/inference/packed.ts'
import type { Column } from '../../gateway/payload/columns.ts'

const posted = (columns: readonly Column[], ours: boolean): Column[] => {
  const { columns: ready, transfer } = packed(columns, ours)
  return structuredClone(ready, { transfer })
}
const floats = (data: Float32Array): Column => ({ name: 'x', dtype: 'FP32', shape: [data.length], data })

describe.each([['small', 4], ['large', 40_000]] as const)('%s values', (_, length) => {
  const values = Float32Array.from({ length }, (__, i) => i)

  test('of a caller arrive, and he still has them', () => {
    const mine = values.slice()
    expect(posted([floats(mine)], false)).toEqual([floats(values)])
    expect(mine).toEqual(values)
  })

  test('that are part of a larger buffer come without the rest of it', () => {
    const body = new Float32Array(length + 100)
    body.set(values, 100)
    for (const ours of [false, true]) {
      const [x] = posted([floats(body.subarray(100))], ours)
      expect(x!.data).toEqual(values)
      expect((x!.data as Float32Array).buffer.byteLength).toBe(length * 4)
    }
    expect(body.subarray(100)).toEqual(values)
  })

  test('of ours may be one array twice', () => {
    const shared = values.slice()
    expect(posted([floats(shared), floats(shared)], true)).toEqual([floats(values), floats(values)])
  })

  test('in the memory that Node keeps for small buffers leave the others there alone', () => {
    const buffer = Buffer.from(Array.from({ length }, (__, i) => i & 255))
    const [x] = posted([{ name: 'x', dtype: 'UINT8', shape: [length], data: buffer }], false)
    expect(Array.from(x!.data as Uint8Array)).toEqual(Array.from({ length }, (__, i) => i & 255))
    expect(buffer).toHaveLength(length)
  })
})

test('texts arrive', () => {
  const texts: Column = { name: 't', dtype: 'BYTES', shape: [2], data: ['a', 'ü'] }
  expect(posted([texts], true)).toEqual([texts])
})
