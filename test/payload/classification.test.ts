import { describe, expect, test } from 'vitest'
import { WeirError } from '../../gateway/errors.ts'
import { classified, classifyOutputs } from '../../gateway/payload/classification.ts'
import type { Column, Data, Dtype } from '../../gateway/payload/columns.ts'
import { fixedText } from '../../gateway/payload/numbers.ts'

function column(dtype: Dtype, shape: readonly number[], data: Data): Column {
  return { name: 'y', dtype, shape, data }
}

// Triton, docs/protocol/extension_classification.md: of [1, 5, 10, 4] the highest is 10 (index 2), then 5 (index 1), 4 (index 3), 1 (index 0).
describe('the highest values', () => {
  const ten = column('INT32', [4], Int32Array.of(1, 5, 10, 4))

  test('the example of the extension', () => {
    expect(classified(ten, 2)).toEqual({ name: 'y', dtype: 'BYTES', shape: [2], data: ['10:2', '5:1'] })
    expect(classified(ten, 4).data).toEqual(['10:2', '5:1', '4:3', '1:0'])
  })

  test('for each row, with labels', () => {
    const scores = column('FP32', [2, 3], Float32Array.of(0.25, 0.5, 0.125, 0, -1, 1.5))
    expect(classified(scores, 2, ['cat', 'dog', 'é:x'])).toEqual({ name: 'y', dtype: 'BYTES', shape: [2, 2], data: ['0.500000:1:dog', '0.250000:0:cat', '1.500000:2:é:x', '0.000000:0:cat'] })
  })

  test('more than there are is all', () => {
    expect(classified(column('FP64', [1, 2], Float64Array.of(1, 2)), 1_000_000)).toEqual({ name: 'y', dtype: 'BYTES', shape: [1, 2], data: ['2.000000:1', '1.000000:0'] })
  })

  test('a row of more dimensions is one row of classes, as in Triton', () => {
    expect(classified(column('FP32', [2, 3, 1, 1], Float32Array.of(1, 3, 2, 9, 7, 8)), 1, ['a', 'b', 'c'])).toEqual({ name: 'y', dtype: 'BYTES', shape: [2, 1], data: ['3.000000:1:b', '9.000000:0:a'] })
  })

  test('of equal ones the lower index comes first, NaN last, zeros are equal', () => {
    expect(classified(column('FP32', [5], Float32Array.of(2, Number.NaN, 3, 2, 3)), 5).data).toEqual(['3.000000:2', '3.000000:4', '2.000000:0', '2.000000:3', 'nan:1'])
    expect(classified(column('FP64', [3], Float64Array.of(-Infinity, Infinity, 0)), 3).data).toEqual(['inf:1', '0.000000:2', '-inf:0'])
    expect(classified(column('FP64', [2], Float64Array.of(-0, 0)), 2).data).toEqual(['-0.000000:0', '0.000000:1'])
  })

  test.each<[Dtype, Data, string]>([
    ['UINT8', Uint8Array.of(7, 255), '255:1'],
    ['INT8', Int8Array.of(-128, -1), '-1:1'],
    ['UINT16', Uint16Array.of(65535, 1), '65535:0'],
    ['INT16', Int16Array.of(-3, -2), '-2:1'],
    ['UINT32', Uint32Array.of(0, 4294967295), '4294967295:1'],
    ['INT64', BigInt64Array.of(9007199254740992n, 9007199254740993n), '9007199254740993:1'],
    ['UINT64', BigUint64Array.of(18446744073709551615n, 18446744073709551614n), '18446744073709551615:0'],
  ])('%s exactly', (dtype, data, text) => {
    expect(classified(column(dtype, [1, 2], data), 1).data).toEqual([text])
  })

  test('labels of another number are none', () => {
    expect(classified(ten, 1, ['a', 'b']).data).toEqual(['10:2'])
  })

  test.each<[readonly number[], readonly number[]]>([[[0, 3], [0, 0]], [[2, 0], [2, 0]], [[0], [0]]])('nothing in %j', (shape, answer) => {
    expect(classified(column('FP32', shape, new Float32Array(0)), 3)).toEqual({ name: 'y', dtype: 'BYTES', shape: answer, data: [] })
  })

  test('a scalar is one class', () => {
    expect(classified(column('FP32', [], Float32Array.of(2)), 1)).toEqual({ name: 'y', dtype: 'BYTES', shape: [1], data: ['2.000000:0'] })
  })

  test('many classes and many wanted do not take for ever', () => {
    const many = Float32Array.from({ length: 200_000 }, (_, i) => (i * 7919) % 200_000)
    const { data } = classified(column('FP32', [1, many.length], many), many.length)
    expect((data as string[])[0]).toBe(`199999.000000:${many.indexOf(199_999)}`)
  }, 20_000)
})

describe('refusing', () => {
  test.each<[Column, number, string]>([
    [column('BYTES', [1], ['a']), 1, 'output "y": a classification needs integers, FP32 or FP64, the output is BYTES [1]'],
    [column('BOOL', [1], Uint8Array.of(1)), 1, 'the output is BOOL [1]'],
    [column('FP16', [1, 1], Uint16Array.of(1)), 1, 'the output is FP16 [1,1]'],
    [column('BF16', [1], Uint16Array.of(1)), 1, 'the output is BF16 [1]'],
    [column('FP32', [1], Float32Array.of(1)), 0, 'output "y": expected classification to be an integer from 1, found 0'],
    [column('FP32', [1], Float32Array.of(1)), -1, 'found -1'],
    [column('FP32', [1], Float32Array.of(1)), 1.5, 'found 1.5'],
  ])('%j %d', (output, count, message) => {
    expect(() => classified(output, count)).toThrow(WeirError)
    expect(() => classified(output, count)).toThrow(message)
  })
})

test('outputs that ask for it become texts, others stay as they are', () => {
  const label: Column = { name: 'label', dtype: 'INT64', shape: [1], data: BigInt64Array.of(1n) }
  const scores: Column = { name: 'scores', dtype: 'FP32', shape: [1, 2], data: Float32Array.of(0.25, 0.75) }
  const labels = (name: string): string[] | undefined => (name === 'scores' ? ['no', 'yes'] : undefined)
  const columns = [label, scores]
  expect(classifyOutputs(columns, { columns: [] }, labels)).toBe(columns)
  expect(classifyOutputs(columns, { columns: [], outputs: ['scores', 'label'] }, labels)).toBe(columns)
  const [first, second] = classifyOutputs(columns, { columns: [], outputs: ['scores', 'label'], outputParameters: [{ classification: 1 }, undefined] }, labels)
  expect(first).toBe(label)
  expect(second).toEqual({ name: 'scores', dtype: 'BYTES', shape: [1, 1], data: ['0.750000:1:yes'] })
})

// Python: '%f' % value.
test.each<[number, string]>([
  [0.0078125, '0.007812'], [0.0234375, '0.023438'], [-0.0078125, '-0.007812'], [0, '0.000000'], [-0, '-0.000000'], [0.1, '0.100000'],
  [123456789.12345679, '123456789.123457'], [-1e-9, '-0.000000'], [1e21, '1000000000000000000000.000000'], [1.5e22, '15000000000000000000000.000000'], [0.5, '0.500000'],
])('%f is %s', (value, text) => {
  expect(fixedText(value)).toBe(text)
})
