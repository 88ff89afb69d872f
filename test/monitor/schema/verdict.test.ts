import { describe, expect, test } from 'vitest'
import { Fields } from '../../../gateway/headers.ts'
import { rulesOf } from '../../../gateway/monitor/schema/rules.ts'
import { mlflow } from '../../../gateway/payload/mlflow.ts'
import type { FeatureProfile } from '../../../gateway/profile/profile.ts'
import { MONDAY, numeric, profileOf, stand, texts, written } from './setup.ts'

const churn = rulesOf(profileOf({
  time: { ...texts(), role: 'time', categorical: null },
  age: numeric(18, 90, 'INT'),
  charge: numeric(10, 134.63),
  plan: texts('basic', 'premium', 'standard'),
  notes: { ...texts('a'), categorical: null },
  churn: { ...numeric(0, 1, 'INT'), role: 'label' },
}), {}, 0.001)
const good = { age: 40, charge: 49.9, plan: 'basic', notes: 'anything' }

describe('one request against a profile', () => {
  const { observe } = stand(churn)

  test('nothing to say of rows like those of training, with keys, times and labels or without', () => {
    expect(observe(good, MONDAY)).toBeNull()
    expect(observe({ ...good, time: '2026-03-02T00:00:00Z', churn: 1 }, MONDAY)).toBeNull()
    expect(observe(Array.from({ length: 20 }, () => good), MONDAY)).toBeNull()
    expect(observe([], MONDAY)).toBeNull()
  })

  test.each<[Record<string, unknown>, string, string, string]>([
    [{ age: null }, 'FEATURE_TYPE_LOW_FRACTION_PRESENT', 'a value', 'null'],
    [{ plan: null }, 'FEATURE_TYPE_LOW_FRACTION_PRESENT', 'a value', 'null'],
    [{ age: undefined }, 'SCHEMA_MISSING_COLUMN', 'a value', 'no such column'],
    [{ age: 'old' }, 'UNEXPECTED_DATA_TYPE', 'a whole number', '"old"'],
    [{ age: true }, 'UNEXPECTED_DATA_TYPE', 'a whole number', 'true'],
    [{ age: 40.5 }, 'UNEXPECTED_DATA_TYPE', 'a whole number', '40.5'],
    [{ plan: 3 }, 'UNEXPECTED_DATA_TYPE', 'a string', '3'],
    [{ plan: 'gold' }, 'ENUM_TYPE_UNEXPECTED_STRING_VALUES', 'one of "basic", "premium", "standard"', '"gold"'],
    [{ age: 91 }, 'INT_TYPE_BIG_INT', 'at most 90', '91'],
    [{ age: 17 }, 'INT_TYPE_SMALL_INT', 'at least 18', '17'],
    [{ charge: 1000 }, 'FLOAT_TYPE_BIG_FLOAT', 'at most 134.63', '1000'],
    [{ charge: -1 }, 'FLOAT_TYPE_SMALL_FLOAT', 'at least 10', '-1'],
    [{ charge: [1, 2] }, 'FEATURE_TYPE_HIGH_NUMBER_VALUES', 'one value', 'a list of 2'],
  ])('%j', (change, anomaly, expected, found) => {
    const [feature] = Object.keys(change)
    expect(observe({ ...good, ...change }, MONDAY)).toContainEqual({ anomaly, feature, row: 0, expected, found, rows: 1 })
    // The same in the last of many rows.
    if (Object.values(change).some((value) => value === undefined || Array.isArray(value))) return
    if (typeof Object.values(change)[0] !== typeof Object.values(good)[Object.keys(good).indexOf(feature!)] && Object.values(change)[0] !== null) return
    expect(observe([...Array.from({ length: 20 }, () => good), { ...good, ...change }], MONDAY)).toEqual([{ anomaly, feature, row: 20, expected, found, rows: 1 }])
  })

  test('NaN and infinities, of which only tensors can tell', () => {
    const [monitor] = stand(rulesOf(profileOf({ a: numeric(0, 1), b: numeric(0, 1) }), {}, 0.001)).monitors
    const matrix = { name: 'x', dtype: 'FP32', shape: [3, 2], data: Float32Array.of(0.5, Number.NaN, Infinity, 0.5, -Infinity, Number.NaN) } as const
    expect(monitor!.observe({ columns: [matrix] }, MONDAY)?.map(({ anomaly, feature, row, rows }) => [anomaly, feature, row, rows])).toEqual([['FLOAT_TYPE_HAS_INF', 'a', 1, 2], ['FLOAT_TYPE_HAS_NAN', 'b', 0, 2]])
  })

  test('64-bit integers, truths, and codes in the domain of a profile', () => {
    const { categorical } = texts('1', '2')
    const rules = rulesOf(profileOf({ code: { ...numeric(1, 2, 'INT'), categorical }, flag: { ...texts('false', 'true'), type: 'BOOL' } }), {}, 0.001)
    const { monitors, observe } = stand(rules)
    expect(observe([{ code: 1, flag: true }, { code: 2, flag: false }], MONDAY)).toBeNull()
    expect(observe([{ code: 1, flag: 0 }, { code: 2, flag: 1 }], MONDAY)).toBeNull()
    const wide = (value: bigint) => monitors[0]!.observe({ columns: [{ name: 'code', dtype: 'INT64', shape: [1], data: BigInt64Array.of(value) }, { name: 'flag', dtype: 'BOOL', shape: [1], data: Uint8Array.of(1) }] }, MONDAY)
    expect(wide(2n)).toBeNull()
    expect(wide(3n)).toMatchObject([{ anomaly: 'INT_TYPE_BIG_INT', found: '3' }])
    expect(observe({ code: 1, flag: 2 }, MONDAY)).toMatchObject([{ anomaly: 'UNEXPECTED_DATA_TYPE', feature: 'flag', expected: 'true or false' }])
  })

  test('a text that looks like a number in CSV is a text', () => {
    const [monitor] = stand(rulesOf(profileOf({ zip: texts('01234', '98765') }), {}, 0.001)).monitors
    const csv = (text: string) => monitor!.observe(mlflow.readRequest(Buffer.from(text), Fields.of(['content-type', 'text/csv'])), MONDAY)
    expect(csv('zip\n01234\n98765\n')).toBeNull()
    expect(csv('zip\n01234\n1234\n')).toMatchObject([{ anomaly: 'ENUM_TYPE_UNEXPECTED_STRING_VALUES', row: 1 }])
    expect(stand(rulesOf(profileOf({ zip: texts('01234') }), {}, 0.001)).observe({ zip: 1234 }, MONDAY)).toMatchObject([{ anomaly: 'UNEXPECTED_DATA_TYPE' }])
  })

  test('several at once, in the order of the features', () => {
    expect(observe({ ...good, plan: 'gold', age: null, charge: 1e9 }, MONDAY)?.map(({ feature }) => feature)).toEqual(['age', 'charge', 'plan'])
  })
})

describe('what training had itself', () => {
  const missing: FeatureProfile = numeric(0, 100, 'FLOAT', 800)

  test('a tenth without a value: one null says nothing, only nulls do', () => {
    const { observe } = stand(rulesOf(profileOf({ a: missing }), {}, 0.001))
    expect(observe({ a: null }, MONDAY)).toBeNull()
    // P(X ≥ 10) of 10 rows with 10 % each is 1e-10; P(X ≥ 2) is 0.26.
    expect(observe(Array.from({ length: 10 }, () => ({ a: null })), MONDAY)).toMatchObject([{ anomaly: 'FEATURE_TYPE_LOW_FRACTION_PRESENT', rows: 10 }])
    expect(observe(Array.from({ length: 10 }, (_, i) => ({ a: i < 2 ? null : 5 })), MONDAY)).toBeNull()
  })

  test('a sentinel outside of the range is known', () => {
    const { observe } = stand(rulesOf(profileOf({ a: { ...numeric(0, 100), sentinels: [{ value: -999, share: 0.02, why: '' }] } }), {}, 0.001))
    expect(observe({ a: -999 }, MONDAY)).toBeNull()
    expect(observe({ a: -998 }, MONDAY)).toMatchObject([{ anomaly: 'FLOAT_TYPE_SMALL_FLOAT' }])
  })
})

describe('rules by hand', () => {
  test('alone', () => {
    const { observe } = stand(written({ age: { type: 'INT', min: 18, max: 120 }, plan: { values: ['basic', 'premium'], required: false }, seen: { nulls: 50 }, tags: { type: 'BYTES', length: [1, 3] } }))
    const row = { age: 30, seen: 1, tags: ['x'] }
    expect(observe(row, MONDAY)).toBeNull()
    expect(observe({ ...row, seen: null, plan: 'basic', extra: 1, tags: ['x', 'y', 'z'] }, MONDAY)).toBeNull()
    expect(observe({ ...row, plan: 'gold' }, MONDAY)).toMatchObject([{ feature: 'plan', expected: 'one of "basic", "premium"' }])
    expect(observe({ ...row, tags: ['x', 'y', 'z', 'u'] }, MONDAY)).toMatchObject([{ anomaly: 'FEATURE_TYPE_HIGH_NUMBER_VALUES', expected: 'a list of 1 to 3', found: 'a list of 4' }])
    expect(observe({ seen: 1, tags: ['x'] }, MONDAY)).toMatchObject([{ anomaly: 'SCHEMA_MISSING_COLUMN', feature: 'age' }])
  })

  test('on top of a profile', () => {
    const changed = rulesOf(profileOf({ age: numeric(18, 90, 'INT'), plan: texts('basic') }), { age: { max: 120, nulls: 5 }, plan: { values: ['basic', 'gold'] }, extra: { type: 'FLOAT' } }, 0.001)
    const { observe } = stand(changed)
    expect(observe({ age: 119, plan: 'gold', extra: 1 }, MONDAY)).toBeNull()
    expect(observe({ age: null, plan: 'gold', extra: 1 }, MONDAY)).toBeNull()
    expect(observe({ age: 17, plan: 'gold', extra: 1 }, MONDAY)).toMatchObject([{ feature: 'age', expected: 'at least 18' }])
    expect(stand(rulesOf(profileOf({ age: numeric(18, 90) }), { age: { ignore: true } }, 0.001)).observe({ age: -5 }, MONDAY)).toBeNull()
  })

  test('`mostly` leaves some rows to chance', () => {
    const { observe } = stand(written({ a: { min: 0, mostly: 90 } }))
    expect(observe({ a: -1 }, MONDAY)).toBeNull()
    expect(observe(Array.from({ length: 20 }, (_, i) => ({ a: i < 3 ? -1 : 1 })), MONDAY)).toBeNull()
    expect(observe(Array.from({ length: 20 }, (_, i) => ({ a: i < 10 ? -1 - i : 1 })), MONDAY)).toEqual([{ anomaly: 'FLOAT_TYPE_SMALL_FLOAT', feature: 'a', row: 9, expected: 'at least 0', found: '-10', rows: 10 }])
  })

  test('columns nobody told of, where that is asked', () => {
    expect(stand(churn, { newColumns: true }).observe({ ...good, id: 7 }, MONDAY)).toEqual([{ anomaly: 'SCHEMA_NEW_COLUMN', feature: '', row: 0, expected: 'the columns of the schema alone', found: '"id"', rows: 1 }])
    expect(stand(churn).observe({ ...good, id: 7 }, MONDAY)).toBeNull()
  })
})
