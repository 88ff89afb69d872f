import fc from 'fast-check'
import { expect, test } from 'vitest'
import { JsonReader } from '../../gateway/payload/json.ts'
import { FloatScan } from '../../gateway/payload/floats.ts'
import { float32Text, float32Texts, float64Text } from '../../gateway/payload/numbers.ts'

const JSON_NUMBER = /^-?(0|[1-9]\d*)(\.\d+)?([eE][+-]?\d+)?$/

/** Digits that matter in a decimal text. */
function digits(text: string): number {
  return text.replace(/[eE].*/, '').replace(/[-.]/g, '').replace(/^0+/, '').replace(/0+$/, '').length
}

/** The shortest decimal by trying every length, an independent way: `toPrecision` is exact. */
function oracle(value: number): string {
  for (let precision = 1; precision <= 9; precision++) {
    const text = value.toPrecision(precision)
    if (Object.is(Math.fround(Number(text)), value)) return text
  }
  throw new Error(`${value} is no float32`)
}

const bits = new Uint32Array(1)
const float = new Float32Array(bits.buffer)

function fromBits(pattern: number): number {
  bits[0] = pattern
  return float[0]!
}

function never(index: number): never {
  throw new Error(`element ${index}`)
}

function check(value: number): void {
  const text = float32Text(value)
  expect(float32Texts(Float32Array.of(value), never)).toBe(text)
  expect(text).toMatch(JSON_NUMBER)
  expect(Object.is(Math.fround(Number(text)), value), `${text} reads back to ${value}`).toBe(true)
  if (value !== 0) {
    expect(digits(text), `${text} against ${oracle(value)}`).toBe(digits(oracle(value)))
    expect(Number(text)).toBe(Number(oracle(value)))
  }
}

test('any float32 becomes the shortest text that reads back to it, and of these the closest', () => {
  fc.assert(fc.property(fc.integer({ min: 0, max: 2 ** 32 - 1 }), (pattern) => {
    const value = fromBits(pattern)
    fc.pre(Number.isFinite(value))
    check(value)
  }), { numRuns: 20_000 })
})

test('probabilities, whole numbers and decimals of everyday', () => {
  fc.assert(fc.property(fc.float({ min: 0, max: 1, noNaN: true }), (value) => check(value)), { numRuns: 5_000 })
  fc.assert(fc.property(fc.integer({ min: -100_000, max: 100_000 }), fc.integer({ min: 0, max: 6 }), (whole, scale) => check(Math.fround(whole / 10 ** scale))), { numRuns: 5_000 })
})

test('every power of two and its neighbours', () => {
  for (let exponent = 0; exponent < 255; exponent++) for (const step of [0, 1, 0x7fffff]) check(fromBits((exponent << 23) + step))
})

test('every power of ten and its neighbours', () => {
  for (let exponent = -44; exponent <= 38; exponent++) {
    float[0] = Number(`1e${exponent}`)
    const middle = bits[0]!
    for (const pattern of [middle - 1, middle, middle + 1]) check(fromBits(pattern))
  }
})

// Decimals that are the shortest of their float32: edges, halfway cases, powers.
test.each([
  '3.4028235e38', '1.1754944e-38', '4.7223665e21', '8388608', '16777216', '33554436', '67131496', '1.9310392e-38', '-2.47e-43', '1.993244e-38', '4103.9004',
  '5.3399997e9', '6.0898e-39', '0.0010310042', '2.882326e17', '7.038531e-26', '9.8e-44', '2.816025e14', '9.223372e18',
  '1.5846086e29', '1.1811161e19', '5.368709e18', '4.6143166e18', '0.007812537', '1.18697725e20', '1.00014165e-36', '200', '33554432', '0.1', '0.3',
])('%s', (text) => {
  expect(Number(float32Text(Math.fround(Number(text))))).toBe(Number(text))
})

test('a float32 is not told as the double it is', () => {
  expect(float32Text(Math.fround(0.1))).toBe('0.1')
  expect(float64Text(0.1)).toBe('0.1')
  expect(float64Text(Math.fround(0.1))).toBe('0.10000000149011612')
})

test('negative zero keeps its sign', () => {
  expect(float32Text(-0)).toBe('-0.0')
  expect(float64Text(-0)).toBe('-0.0')
  expect(float32Text(0)).toBe('0')
})

test('many with commas between, in pieces', () => {
  const values = Float32Array.from({ length: 20_000 }, (_, i) => Math.sin(i) * 10 ** ((i % 60) - 40))
  expect(float32Texts(values, never).split(',').map((text) => Math.fround(Number(text)))).toEqual([...values])
  expect(float32Texts(new Float32Array(0), never)).toBe('')
  expect(float32Texts(Float32Array.of(0, -0, 1, -2.5, 1e-6, -9.99e-7, 123456, 16777216, 999999936, 1e9), never)).toBe('0,-0.0,1,-2.5,0.000001,-9.99e-7,123456,16777216,999999940,1000000000')
})

test.each([Number.NaN, Infinity, -Infinity])('%s is told by its index', (value) => {
  expect(() => float32Texts(Float32Array.of(1, value), never)).toThrow('element 1')
})

// ---------------------------------------------------------------- reading

/** As the scan reads it, or null when it leaves it to the general reader. */
function scanned(text: string, data: Float32Array | Float64Array): number | null {
  const scan = new FloatScan(Buffer.from(`[${text},1]`))
  scan.run(1, data, 0)
  if (scan.count === 0) expect(scan.pos, 'it stands where it stood').toBe(1)
  return scan.count === 0 ? null : data[0]!
}

const anyNumber = fc.oneof(
  fc.double({ noNaN: true, noDefaultInfinity: true }).map(String),
  fc.float({ noNaN: true, noDefaultInfinity: true }).map(String),
  fc.float({ noNaN: true, noDefaultInfinity: true, min: -10, max: 10 }).map((value) => value.toFixed(20)),
  fc.tuple(fc.integer({ min: -999_999, max: 999_999 }), fc.stringMatching(/^\d{0,25}$/), fc.option(fc.integer({ min: -30, max: 30 }))).map(
    ([whole, fraction, exponent]) => `${whole}${fraction === '' ? '' : `.${fraction}`}${exponent === null ? '' : `e${exponent}`}`,
  ),
)

test('what the scan takes is what Number makes of it', () => {
  let taken = 0
  fc.assert(fc.property(anyNumber, (text) => {
    const double = scanned(text, new Float64Array(2))
    const single = scanned(text, new Float32Array(2))
    if (double !== null) expect(double).toBe(Number(text))
    if (single !== null) expect(single).toBe(Math.fround(Number(text)))
    if (single !== null) taken++
  }), { numRuns: 10_000 })
  expect(taken, 'and it takes most').toBeGreaterThan(5_000)
})

// Halfway between two float32: 1 + 2^-24 exactly, a little less, a little more (which as a double is the middle).
test.each([
  ['1.000000059604644775390625', 1],
  ['1.00000005960464477', 1],
  ['1.0000000596046449', 1.0000001192092896],
  ['16777217', 16777216],
  ['16777219.0', 16777220],
  ['0.00000000000000000000001', 1e-23],
  ['-0', -0],
  ['-0.0e5', -0],
] as const)('%s as FP32', (text, value) => {
  const got = scanned(text, new Float32Array(2)) ?? Math.fround(Number(text))
  expect(got).toBe(Math.fround(value))
})

// Sixteen digits and more, at and beside the middle of two doubles: 2^53 + 1, 1 + 2^-53, and their neighbours. Ties go to the even one.
test.each([
  ['9007199254740993', 9007199254740992],
  ['9007199254740993.001', 9007199254740994],
  ['9007199254740992.999', 9007199254740992],
  ['9007199254740995', 9007199254740996],
  ['1.0000000000000001', 1],
  ['1.000000000000000111', 1],
  ['1.000000000000000112', 1.0000000000000002],
  ['0.30000000000000004', 0.1 + 0.2],
  ['0.1000000000000000055', 0.1],
  ['-0.30000000000000004', -0.1 - 0.2],
  ['123456789.0123456789', 123456789.01234567],
] as const)('%s as FP64', (text, value) => {
  expect(new JsonReader(Buffer.from(text), 'BAD_BODY').number()).toBe(value)
  expect(scanned(text, new Float64Array(2)) ?? value).toBe(value)
})

test.each(['', '-', '01', '1.', '.5', '1e', '1e+', '+1', '1 ', 'NaN', '"1"', '1e99', '--1', '1.5.5', '1x', '[1]', 'null', '-01', '1:5', '12/4', '1.12:4', '1.1234/'])('%j is for the general reader', (text) => {
  expect(scanned(text, new Float64Array(2))).toBeNull()
})

test('a scan goes over white space and leaves at the bracket, not at the end of the bytes', () => {
  const data = new Float32Array(4)
  const scan = new FloatScan(Buffer.from('1, 2,\n\t3]4'))
  expect(scan.run(0, data, 0)).toBe(true)
  expect([scan.pos, scan.count, ...data]).toEqual([9, 3, 1, 2, 3, 0])
  for (const cut of ['1', '1.', '1.1234', '1,', '1.12345678', '1e', '1e-', '-']) expect(new FloatScan(Buffer.from(cut)).run(0, data, 0)).toBe(false)
})
