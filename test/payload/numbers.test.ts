import fc from 'fast-check'
import { expect, test } from 'vitest'
import { float32Text, float64Text } from '../../gateway/payload/numbers.ts'

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

function check(value: number): void {
  const text = float32Text(value)
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
