/**
 * Values without datatypes, in every format that has them, bound to what a model takes. The expected tensors are those of the
 * golden cases, which the libraries wrote that trained the models.
 */
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { Fields } from '../../gateway/headers.ts'
import { bindRows, bindTensors, type Signature, type TensorSpec } from '../../gateway/models/signature.ts'
import type { Column, Columns, Dtype } from '../../gateway/payload/columns.ts'
import { format } from '../../gateway/payload/formats.ts'
import { oip } from '../../gateway/payload/oip.ts'
import { fp64, refusal } from '../payload/parts.ts'
import { type Golden, fixtures, golden } from './setup.ts'

const JSON_TYPE = Fields.of(['content-type', 'application/json'])
const CSV = Fields.of(['content-type', 'text/csv'])

function input(name: string, shape: number[], dtype: Dtype = 'FP32'): TensorSpec {
  return { name, dtype, shape, rows: shape[0] === -1 ? 'N' : null }
}

function taking(...inputs: TensorSpec[]): Signature {
  return { inputs, outputs: [input('label', [-1], 'INT64')] }
}

const iris = taking(input('input-0', [-1, 4]))
const cancer = taking(input('features', [-1, 30]))
const churnNames = ['age', 'tenure_months', 'monthly_charge', 'support_calls', 'plan', 'region', 'payment_method']
const churn = taking(...churnNames.map((name, i) => input(name, [-1, 1], i < 4 ? 'FP32' : 'BYTES')))

function read(name: 'tfs' | 'kserve_v1' | 'mlflow' | 'rows', body: unknown, fields = JSON_TYPE): Columns {
  return format(name)!.readRequest(Buffer.from(typeof body === 'string' ? body : JSON.stringify(body)), fields)
}

function wrong(name: 'tfs' | 'kserve_v1' | 'mlflow' | 'rows', body: unknown, signature: Signature, features: string[] | null = null): string {
  const error = refusal(() => bindRows(read(name, body), signature, features))
  expect(error.code).toBe('MODEL_INPUT')
  return error.message
}

// ---------------------------------------------------------------- golden cases

/** The only tensor of a case as rows of values. */
function matrixOf({ request }: Golden): unknown[][] {
  const { shape } = request.inputs[0]!
  const data = request.inputs[0]!.data.flat(Infinity)
  return Array.from({ length: shape[0]! }, (_, row) => data.slice(row * shape[1]!, (row + 1) * shape[1]!))
}

/** The tensors of a case, `[N,1]` each, as rows of values. */
function rowsOf({ request }: Golden): unknown[][] {
  return Array.from({ length: request.inputs[0]!.shape[0]! }, (_, row) => request.inputs.map(({ data }) => data.flat(Infinity)[row]))
}

function objects(names: readonly string[], rows: readonly unknown[][], wrap: (value: unknown) => unknown = (value) => value): Record<string, unknown>[] {
  return rows.map((values) => Object.fromEntries(values.map((value, i) => [names[i]!, wrap(value)])))
}

function csvOf(names: readonly unknown[], rows: readonly unknown[][]): string {
  return [names, ...rows].map((cells) => cells.join(',')).join('\r\n')
}

function tensors({ text }: Golden, signature: Signature): Column[] {
  return bindTensors(oip.readRequest(Buffer.from(text), Fields.of([])), signature)
}

/** Cases with tensors of rows; those of no rows have nothing to bind. */
function cases(model: string): [string, Golden][] {
  return golden(join(fixtures, model, '1')).filter(({ request }) => request.inputs[0]!.shape[0]! > 0).map((one) => [one.name, one])
}

describe.each([['iris', iris, 4], ['cancer', cancer, 30]] as const)('%s', (model, signature, width) => {
  const names = Array.from({ length: width }, (_, i) => `m${i}`)
  const inputName = signature.inputs[0]!.name
  test.each(cases(model))('%s', (_, one) => {
    const rows = matrixOf(one)
    const expected = tensors(one, signature)
    const numbered = names.map((_, i) => i)
    for (const request of [
      read('tfs', { instances: rows }),
      read('tfs', { inputs: rows }),
      read('tfs', { inputs: { [inputName]: rows } }),
      read('tfs', { instances: rows.map((values) => ({ [inputName]: values })) }),
      read('kserve_v1', { instances: rows }),
      read('kserve_v1', { inputs: rows }),
      read('mlflow', { instances: rows }),
      read('mlflow', { inputs: rows }),
      read('mlflow', { inputs: { [inputName]: rows } }),
      read('mlflow', { dataframe_split: { columns: names, data: rows } }),
      read('mlflow', { dataframe_split: { columns: numbered, data: rows } }),
      read('mlflow', { dataframe_split: { data: rows } }),
      read('mlflow', { dataframe_split: { columns: ['x'], data: rows.map((values) => [values]) } }),
      read('mlflow', csvOf(names, rows), CSV),
      read('rows', rows.map((values) => ({ [inputName]: values }))),
    ]) expect(bindRows(request, signature, null)).toEqual(expected)
    // With declared features names count, and their order does not.
    const shuffled = [...names].reverse()
    for (const request of [
      read('rows', objects(names, rows)),
      read('kserve_v1', { instances: objects(names, rows) }),
      read('kserve_v1', { instances: objects(names, rows, (value) => [value]) }),
      read('tfs', { inputs: Object.fromEntries(names.map((name, i) => [name, rows.map((values) => values[i])])) }),
      read('mlflow', { dataframe_records: objects(shuffled, rows.map((values) => values.toReversed())) }),
      read('mlflow', { dataframe_split: { columns: shuffled, data: rows.map((values) => values.toReversed()) } }),
      read('mlflow', { dataframe_split: { columns: numbered, data: rows } }),
      read('mlflow', csvOf(['id', ...shuffled], rows.map((values, i) => [`r${i}`, ...values.toReversed()])), CSV),
      read('mlflow', { inputs: rows }),
    ]) expect(bindRows(request, signature, names)).toEqual(expected)
  })
})

describe('churn', () => {
  test.each(cases('churn'))('%s', (_, one) => {
    const rows = rowsOf(one)
    const expected = tensors(one, churn)
    for (const request of [
      read('rows', objects(churnNames, rows)),
      read('kserve_v1', { instances: objects(churnNames, rows) }),
      read('kserve_v1', { instances: objects(churnNames, rows, (value) => [value]) }),
      read('tfs', { instances: objects(churnNames, rows, (value) => [value]) }),
      read('tfs', { inputs: Object.fromEntries(churnNames.map((name, i) => [name, rows.map((values) => [values[i]])])) }),
      read('mlflow', { dataframe_split: { index: rows.map((_, i) => i), columns: churnNames, data: rows } }),
      read('mlflow', { dataframe_records: objects(churnNames, rows) }),
      read('mlflow', { instances: objects(churnNames, rows) }),
      read('mlflow', csvOf(churnNames, rows), CSV),
    ]) expect(bindRows(request, churn, null)).toEqual(expected)
  })
})

// ---------------------------------------------------------------- rules

describe('values without a name', () => {
  test('are the only input, whatever its rank: [N] and [N,1] are the same', () => {
    const bound = (shape: number[], body: string) => bindRows(read('tfs', body), taking(input('x', shape, 'FP64')), null)
    expect(bound([-1], '{"instances":[1,2]}')).toEqual([fp64('x', [2], [1, 2])])
    expect(bound([-1, 1], '{"instances":[1,2]}')).toEqual([fp64('x', [2, 1], [1, 2])])
    expect(bound([-1], '{"instances":[[1],[2]]}')).toEqual([fp64('x', [2], [1, 2])])
    expect(bound([-1, -1], '{"instances":[1,2]}')).toEqual([fp64('x', [2, 1], [1, 2])])
    expect(bound([-1, 2, 2], '{"instances":[[[1,2],[3,4]]]}')).toEqual([fp64('x', [1, 2, 2], [1, 2, 3, 4])])
    expect(bound([], '{"inputs":5}')).toEqual([fp64('x', [], [5])])
    expect(bound([], '{"instances":[5]}')).toEqual([fp64('x', [], [5])])
    expect(bound([2, 2], '{"instances":[[1,2],[3,4]]}')).toEqual([fp64('x', [2, 2], [1, 2, 3, 4])])
  })

  test('of several inputs they could be any', () => {
    expect(wrong('tfs', { instances: [[1, 2]] }, taking(input('a', [-1, 1]), input('b', [-1, 1])))).toBe('the model takes the inputs "a", "b": send values by these names, not a plain list')
    expect(wrong('rows', { '': 1, a: 2 }, taking(input('a', [-1, 1]), input('b', [-1, 1])))).toBe('missing feature "b"; found instead ""')
  })

  test('must have the shape of the input, with the dimension of rows', () => {
    const hint = '; the first dimension counts rows: send a list of rows, be it of one'
    expect(wrong('tfs', { instances: [[1, 2, 3]] }, iris)).toBe('input "input-0": expected shape [-1,4], found [1,3]')
    expect(wrong('tfs', { instances: [1, 2, 3, 4] }, iris)).toBe(`input "input-0": expected shape [-1,4], found [4]${hint}`)
    expect(wrong('tfs', { inputs: 5 }, taking(input('x', [-1])))).toBe(`input "x": expected shape [-1], found []${hint}`)
    expect(wrong('tfs', { inputs: [[1, 2], [3, 4]] }, taking(input('x', [-1, 2, 2])))).toBe(`input "x": expected shape [-1,2,2], found [2,2]${hint}`)
    expect(wrong('mlflow', { inputs: [1, 2] }, iris)).toBe('input "input-0": expected shape [-1,4], found [2]')
    expect(wrong('tfs', { instances: [1, 2] }, taking(input('x', [])))).toBe('input "x": expected shape [], found [2]')
  })
})

describe('data frames', () => {
  test('fill a matrix by position only if the count fits', () => {
    expect(wrong('mlflow', { dataframe_split: { columns: ['a', 'b'], data: [[1, 2]] } }, iris)).toBe('input "input-0": expected 4 columns (shape [-1,4]), found 2')
    expect(bindRows(read('mlflow', { dataframe_split: { columns: ['a', 'b'], data: [[1, 2]] } }), taking(input('x', [-1, -1], 'FP64')), null)).toEqual([fp64('x', [1, 2], [1, 2])])
    expect(wrong('mlflow', { dataframe_split: { columns: ['a', 'b'], data: [[1, 2]] } }, taking(input('x', [-1])))).toBe('input "x": expected 1 column (shape [-1]), found 2')
    expect(wrong('mlflow', { dataframe_split: { columns: ['a', 'b', 'c', 'd'], data: [[1, 2, 3, [4, 5]]] } }, iris)).toBe('"d": expected one value a row, found a list')
  })

  test('records have no order', () => {
    expect(wrong('mlflow', { dataframe_records: [{ a: 1, b: 2, c: 3, d: 4 }] }, iris)).toBe('missing feature "input-0"; found instead "a", "b", "c", "d"')
    expect(wrong('rows', { a: 1, b: 2, c: 3, d: 4 }, iris)).toBe('missing feature "input-0"; found instead "a", "b", "c", "d"')
  })

  test('names that are declared count', () => {
    const frame = { dataframe_split: { columns: ['a', 'b', 'c', 'e'], data: [[1, 2, 3, 4]] } }
    expect(wrong('mlflow', frame, iris, ['a', 'b', 'c', 'd'])).toBe('missing feature "d"; found instead "e"')
    expect(wrong('mlflow', { dataframe_split: { data: [[1, 2, 3]] } }, iris, ['a', 'b', 'c', 'd'])).toBe('missing features "a", "b", "c", "d"; found instead "0", "1", "2"')
  })

  test('cells of CSV are texts for an input of texts, numbers for one of numbers', () => {
    const signature = taking(input('zip', [-1, 1], 'BYTES'), input('n', [-1], 'INT64'))
    expect(bindRows(read('mlflow', 'n,zip\n7,01234\n-8,5\n', CSV), signature, null)).toEqual([
      { name: 'zip', dtype: 'BYTES', shape: [2, 1], data: ['01234', '5'] }, { name: 'n', dtype: 'INT64', shape: [2], data: BigInt64Array.of(7n, -8n) },
    ])
    expect(wrong('mlflow', { dataframe_records: [{ zip: 5, n: 1 }] }, signature)).toBe('"zip" in row 0: expected a string, found 5')
  })
})

describe('features of a matrix', () => {
  const abc = ['a', 'b', 'c']
  const signature = taking(input('a', [-1, 3], 'FP64'))

  test('one may have the name of the matrix', () => {
    expect(bindRows(read('rows', { c: 3, a: 1, b: 2 }), signature, abc)).toEqual([fp64('a', [1, 3], [1, 2, 3])])
    expect(bindRows(read('rows', { a: [1, 2, 3] }), signature, abc)).toEqual([fp64('a', [1, 3], [1, 2, 3])])
  })

  test('have one value a row, and as many rows as the others', () => {
    expect(wrong('rows', { a: 1, b: [2, 3], c: 3 }, signature, abc)).toBe('"b": expected one value a row, found a list')
    expect(wrong('tfs', { inputs: { a: [1, 2], b: [1], c: [1, 2] } }, signature, abc)).toBe('"b": expected 2 rows as in "a", found 1')
    expect(wrong('tfs', { inputs: { a: [1, 2], b: 1, c: [1, 2] } }, signature, abc)).toBe('"b": expected 2 rows as in "a", found one value')
    expect(wrong('rows', { a: 1, b: 'x', c: 3 }, signature, abc)).toBe('"b" in row 0: expected a number in the range of FP64, found the string "x"')
  })

  test('that are declared in another number than the matrix has columns', () => {
    expect(wrong('rows', { a: 1, b: 2 }, taking(input('x', [-1, 3])), ['a', 'b'])).toBe('input "x": expected shape [-1,3], found [1,2]')
  })
})

test('inputs of unequal rows are refused', () => {
  const signature = taking(input('a', [-1]), input('b', [-1]))
  expect(wrong('tfs', { inputs: { a: [1, 2], b: [1] } }, signature)).toBe('input "b": expected 2 rows as in "a", found 1')
})

test('a wrong value is found by its place', () => {
  expect(wrong('tfs', { inputs: [[1, 2, 3, 1e300]] }, iris)).toBe('"input-0" in row 0 at [3]: expected a number in the range of FP32, found 1e+300')
  expect(wrong('kserve_v1', { instances: [[1, 2, 3, 4], [1, 2, 3, -1e39]] }, iris)).toBe('"input-0" in row 1 at [3]: expected a number in the range of FP32, found -1e+39')
  expect(wrong('kserve_v1', { instances: [['a', 'b', 'c', 'd']] }, iris)).toBe('"input-0" in row 0 at [0]: expected a number in the range of FP32, found the string "a"')
  expect(wrong('tfs', { instances: [[[1, 2], [3, 4]], [[5, 6], [7, 8.5]]] }, taking(input('x', [-1, 2, 2], 'INT8')))).toBe('"x" in row 1 at [1][1]: expected an integer -128 to 127, found 8.5')
  expect(wrong('tfs', { inputs: { s: ['a\0'] } }, taking(input('s', [-1], 'BYTES')))).toBe('input "s": element 0 holds a NUL character, which models cannot take')
})

describe('conversions', () => {
  const to = (dtype: Dtype, text: string) => bindRows(read('tfs', `{"instances":${text}}`), taking(input('x', [-1], dtype)), null)[0]!.data

  test('lose precision alone', () => {
    expect(to('FP32', '[0.1,9007199254740993,NaN,Infinity,-Infinity]')).toEqual(Float32Array.of(0.1, 9007199254740992, Number.NaN, Infinity, -Infinity))
    expect(to('INT64', '[9007199254740993,-1]')).toEqual(BigInt64Array.of(9007199254740993n, -1n))
    expect(to('UINT64', '[18446744073709551615,0]')).toEqual(BigUint64Array.of(18446744073709551615n, 0n))
    expect(to('UINT8', '[255,0]')).toEqual(Uint8Array.of(255, 0))
    expect(to('FP64', '[true,false]')).toEqual(Float64Array.of(1, 0))
  })

  test('16-bit floats are rounded to the nearest, even of two', () => {
    // binary16: 1.5 = 3e00, 65504 = 7bff, 2^-24 = 0001; between 2048 (6800) and 2050 (6801) the even one is 2048.
    expect(to('FP16', '[1.5,65504,5.960464477539063e-8,2049,-Infinity]')).toEqual(Uint16Array.of(0x3e00, 0x7bff, 0x0001, 0x6800, 0xfc00))
    // bfloat16 is the upper half of binary32: 1 = 3f80, the next is 1.0078125 = 3f81; 1.00390625 is half way, 1.01171875 between 3f81 and 3f82.
    expect(to('BF16', '[1,1.0078125,1.00390625,1.01171875,-2,Infinity]')).toEqual(Uint16Array.of(0x3f80, 0x3f81, 0x3f80, 0x3f82, 0xc000, 0x7f80))
    expect((to('BF16', '[NaN,1]')[0] as number) & 0x7fff).toBeGreaterThan(0x7f80)
  })

  test('and are read from 16 bits too', () => {
    const halves = { columns: [{ name: 'x', dtype: 'FP16', shape: [2], data: Uint16Array.of(0x3e00, 0xc000) } as Column] }
    expect(bindRows(halves, taking(input('x', [-1], 'FP64')), null)[0]!.data).toEqual(Float64Array.of(1.5, -2))
    const brains = { columns: [{ name: 'x', dtype: 'BF16', shape: [2], data: Uint16Array.of(0x3f81, 0xc000) } as Column] }
    expect(bindRows(brains, taking(input('x', [-1], 'FP32')), null)[0]!.data).toEqual(Float32Array.of(1.0078125, -2))
  })

  test.each([
    ['FP16', '[65520]', 'expected a number, found 65520'],
    ['BF16', '[3.4e38,3.4028235e38]', 'expected a number, found'],
    ['FP32', '[3.5e38]', 'found 3.5e+38'],
    ['INT64', '[Infinity]', 'found Infinity'],
    ['INT64', '[1e19]', 'found 10000000000000000000'],
    ['UINT64', '[-1]', 'found -1'],
    ['INT8', '[128]', 'found 128'],
    ['INT32', '[NaN]', 'found null'],
    ['BOOL', '[1]', 'expected true or false, found 1'],
    ['BYTES', '[true]', 'expected a string, found true'],
  ] as const)('%s %s', (dtype, text, message) => {
    expect(refusal(() => to(dtype, text)).message).toContain(message)
  })
})

test.each(['BOOL', 'BYTES', 'INT64', 'FP16', 'FP32'] as const)('rows of empty lists are an empty tensor of %s too', (dtype) => {
  const signature = taking(input('x', [-1, -1], dtype))
  for (const [name, body] of [['rows', [{ x: [] }, { x: [] }]], ['kserve_v1', { instances: [[], []] }], ['mlflow', { inputs: [[], []] }]] as const) {
    const [bound] = bindRows(read(name, body), signature, null)
    expect([bound!.dtype, bound!.shape, bound!.data.length]).toEqual([dtype, [2, 0], 0])
  }
})
