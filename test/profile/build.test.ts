/**
 * Profiles of the first 1,200 rows of the churn training data and of columns made by hand. Means, deviations and quantiles were computed with
 * numpy 2 (`mean`, `std`, `quantile`), counts with pandas 3 (`value_counts`), Wilson's bounds by the formula in Python.
 */
import { fileURLToPath } from 'node:url'
import { parquetWriteBuffer } from 'hyparquet-writer'
import { describe, expect, it, test } from 'vitest'
import type { Profile } from '../../gateway/profile/profile.ts'
import { columnOf, file, jsonl, profileOf, read } from './setup.ts'

const CHURN = fileURLToPath(new URL('../fixtures/profile/churn.csv', import.meta.url))
const repeat = (cell: string, n: number): string[] => Array.from({ length: n }, () => cell)
const upTo = (n: number): string[] => Array.from({ length: n }, (_, i) => String(i))
const grid = (profile: Profile, name: string) => profile.features[name]!.numeric!.grid

describe('churn', () => {
  test.each([
    ['age', { mean: 45.36666666666667, sd: 13.697221940557469, min: 18, max: 90, zeros: 0 }, [18, 22.95, 36, 46, 63, 86]],
    ['monthly_charge', { mean: 58.87955, sd: 27.01745241748069, min: 10, max: 122.26, zeros: 0 }, [10.17114, 21.7565, 35.6725, 57.11, 98.989, 120.90055]],
    ['support_calls', { mean: 1.0725, sd: 1.0546296743407138, min: 0, max: 6, zeros: 423 }, [0, 0, 0, 1, 3, 5]],
    ['churn', { mean: 0.1925, sd: 0.3942635539838802, min: 0, max: 1, zeros: 969 }, [0, 0, 0, 0, 1, 1]],
  ])('%s', async (name, { mean, sd, ...rest }, quantiles) => {
    const { numeric } = (await profileOf(CHURN)).features[name]!
    expect(numeric).toMatchObject({ count: 1200, ...rest, hard: [rest.min, rest.max] })
    expect(numeric!.mean).toBeCloseTo(mean, 9)
    expect(numeric!.sd).toBeCloseTo(sd, 9)
    expect(['0.001', '0.05', '0.25', '0.5', '0.9', '0.999'].map((p) => numeric!.quantiles[p])).toEqual(quantiles.map((q) => expect.closeTo(q, 9)))
  })

  test('every value is in the grid', async () => {
    const { cells } = grid(await profileOf(CHURN), 'monthly_charge')
    expect(cells.reduce((sum, [, count]) => sum + count, 0)).toBe(1200)
  })

  test('texts, the label, times', async () => {
    const { features, time, source } = await profileOf(CHURN, { label: 'churn' })
    expect(features['payment_method']).toMatchObject({
      role: 'feature', type: 'BYTES', numeric: null,
      categorical: { distinct: 4, domain: true, other: 0, values: [['card', 464], ['bank_transfer', 358], ['electronic_check', 237], ['mailed_check', 141]] },
    })
    // 1200 of 1200 seen more than once: Wilson's lower bound at one-sided 99.9 %.
    expect(features['payment_method']!.categorical!.min_domain_mass).toBe(0.992104)
    expect([features['churn']!.role, features['churn']!.type, features['time']!.role]).toEqual(['label', 'INT', 'time'])
    expect(time).toEqual({ column: 'time', from: '2026-02-02T00:00:37.950Z', to: '2026-02-06T04:21:57.949Z' })
    expect(source.rows).toBe(1200)
  })

  test('CSV, JSON Lines and Parquet of the same rows give the same profile', async () => {
    const csv = await profileOf(CHURN)
    const { rows } = await read(CHURN)
    const columns = Object.keys(rows[0]!).map((name) => ({ name, data: rows.map((row) => row[name]) }))
    const parquet = parquetWriteBuffer({ columnData: columns.map(({ name, data }) => ({ name, data: name === 'churn' ? data.map((value) => BigInt(value as number)) : data, type: name === 'churn' ? 'INT64' : typeof data[0] === 'number' ? 'DOUBLE' : 'STRING' })), rowGroupSize: 500 })
    expect(await profileOf(file('a.jsonl', jsonl(rows)))).toEqual(csv)
    expect(await profileOf(file('a.parquet', parquet))).toEqual(csv)
  })

  test('two files are profiled as one', async () => {
    const { features, source } = await profileOf(CHURN)
    const { rows } = await read(CHURN)
    const [a, b] = [rows.slice(0, 700), rows.slice(700)].map((half) => jsonl(half))
    const path = file('a.jsonl', a! + b!)
    expect([(await profileOf(path)).features, source.rows]).toEqual([features, 1200])
  })
})

describe('types', () => {
  it.each<[string, readonly string[], object]>([
    ['whole numbers, however they are written', ['1.0', '2.0', '3'], { type: 'INT' }],
    ['one fraction makes them floats', ['1', '2.5', '3'], { type: 'FLOAT' }],
    ['booleans', ['true', 'false', 'true'], { type: 'BOOL', categorical: { domain: true, values: [['true', 2], ['false', 1]] } }],
    ['postal codes', ['02138', '10001'], { type: 'BYTES' }],
    ['nothing but NaN', ['NaN', 'nan'], { type: 'FLOAT', numeric: null, presence: { nan: 2, nulls: 0 } }],
    ['nothing at all', ['', ''], { type: 'BYTES', role: 'constant', numeric: null, categorical: null, presence: { rows: 2, nulls: 2, min_fraction: 0 }, value_count: [0, 0] }],
    ['infinite values are told apart', ['1', 'inf', '-inf', 'NaN', ''], { numeric: { count: 1, max: 1 }, presence: { infinite: 2, nan: 1, nulls: 1 } }],
    ['words among numbers', [...upTo(60).map((i) => i.at(-1)!), 'oops', '?'], { type: 'INT', violations: { values: 2, examples: ['oops', '?'] }, numeric: { count: 60 }, presence: { nulls: 0 } }],
  ])('%s', async (_name, cells, expected) => {
    expect(await columnOf('a', cells)).toMatchObject(expected)
  })

  test('numbers among texts (JSON Lines)', async () => {
    const { features } = await profileOf(file('a.jsonl', jsonl([...Array.from({ length: 30 }, () => ({ a: 'x' })), { a: 1 }, { a: true }])))
    expect(features['a']).toMatchObject({ type: 'BYTES', violations: { values: 2, examples: ['1', 'true'] }, categorical: { values: [['x', 30], ['1', 1], ['true', 1]] } })
  })

  test('lists are counted', async () => {
    const { features } = await profileOf(file('a.jsonl', '{"a":[1,2,3]}\n{"a":[]}\n{"a":4}\n{"a":null}\n{}\n'))
    expect(features['a']).toMatchObject({ value_count: [0, 3], presence: { rows: 5, nulls: 1, absent: 1 }, numeric: { count: 4, max: 4 } })
  })
})

describe('presence', () => {
  test('absent and null apart; rows before a key was first met count', async () => {
    const rows = [...Array.from({ length: 5_000 }, () => ({ b: 1 })), { a: null, b: 2 }, { a: 3, b: 2 }]
    const { features } = await profileOf(file('a.jsonl', jsonl(rows)))
    expect(features['a']!.presence).toMatchObject({ rows: 5_002, absent: 5_000, nulls: 1 })
  })

  it.each([
    ['9 of 10', [...repeat('1', 9), ''], 0.418005],
    ['all of 400: too few to be sure', repeat('1', 400), 0.976682],
    ['all of 1,000', repeat('1', 1_000), 1],
  ])('%s', async (_name, cells, bound) => {
    expect((await columnOf('a', cells)).presence.min_fraction).toBe(bound)
  })
})

describe('roles', () => {
  it.each<[string, string, readonly string[], string]>([
    ['a constant', 'a', repeat('7', 10), 'constant'],
    ['one row is no constant', 'a', ['7'], 'feature'],
    ['texts that all differ', 'a', Array.from({ length: 100 }, (_, i) => `u-${(i * 37) % 101}`), 'identifier'],
    ['row numbers', 'a', upTo(2_000), 'identifier'],
    ['numbers by name', 'user_id', Array.from({ length: 2_000 }, (_, i) => String((i * 7_919_111) % 15_485_863)), 'identifier'],
    ['amounts in cents that all differ', 'income', Array.from({ length: 2_000 }, (_, i) => String((i * 7_919_111) % 15_485_863)), 'feature'],
    ['dates', 'a', ['2026-02-02', '2026-02-03'], 'time'],
    ['seconds since 1970', 'created_at', ['1767225600', '1767225601', '1767225600'], 'time'],
    ['the same numbers by another name', 'amount', ['1767225600', '1767225601', '1767225600'], 'feature'],
    ['numbers that only rise', 'a', Array.from({ length: 2_000 }, (_, i) => String(i * 1.5)), 'time'],
    ['a few different numbers', 'user_id', ['1', '2', '1'], 'feature'],
  ])('%s', async (_name, column, cells, role) => {
    const feature = await columnOf(column, cells)
    expect(feature.role).toBe(role)
    if (role !== 'feature') expect([feature.numeric, feature.categorical, feature.why[0]]).toEqual([null, null, expect.stringMatching(/\.$/)])
  })

  test('named by flags', async () => {
    const path = file('a.csv', 'when,y,p,k\n2026-01-01,1,0.5,a\n2026-01-02,0,0.25,a\n')
    const { features, time } = await profileOf(path, { time: 'when', label: 'y', prediction: 'p', id: 'k' })
    expect([time!.column, ...Object.values(features).map(({ role }) => role)]).toEqual(['when', 'time', 'label', 'prediction', 'identifier'])
    await expect(profileOf(path, { label: 'z' })).rejects.toThrow('--label: there is no column "z"; the columns are when, y, p, k')
    await expect(profileOf(path, { time: 'k' })).rejects.toThrow('--time: expected times in column "k"')
  })
})

describe('categories', () => {
  test('10,000 different: exact, bounded, open', async () => {
    const cells = [...upTo(10_000).flatMap((i) => repeat(`c${i}`, 2)), ...repeat('c5', 8)]
    const { categorical, role } = await columnOf('a', cells)
    expect([role, categorical!.distinct, categorical!.values.length, categorical!.values[0], categorical!.domain]).toEqual(['feature', 10_000, 100, ['c5', 10], false])
    expect(categorical!.other).toBe(20_008 - 10 - 99 * 2)
  })

  test('50,000 different: estimated within 5 %, the frequent ones still there', async () => {
    const cells = [...upTo(50_000), ...repeat('often', 10_000)].map((i) => `c${i}`)
    const { categorical } = await columnOf('a', cells)
    expect(Math.abs(categorical!.distinct / 50_001 - 1)).toBeLessThan(0.05)
    expect(categorical!.values[0]![0]).toBe('coften')
    // Misra and Gries: too small by at most 60,000 / 2,049.
    expect(categorical!.values[0]![1]).toBeGreaterThanOrEqual(10_000 - 60_000 / 2_049)
    expect(categorical!.values[0]![1]).toBeLessThanOrEqual(10_000)
  })

  test.each<[string, readonly string[], boolean | null]>([
    ['flags', [...repeat('0', 900), ...repeat('1', 100)], true],
    ['codes that all are frequent', upTo(4).flatMap((code) => repeat(code, 100)), true],
    ['counts that thin out', [...repeat('0', 500), ...repeat('1', 300), ...repeat('2', 50), '3'], false],
    ['too many for codes', upTo(300).flatMap((i) => repeat(i, 3)), null],
  ])('whole numbers: %s', async (_name, cells, domain) => {
    const { numeric, categorical } = await columnOf('a', cells.toSorted(() => 0))
    expect([numeric!.count, categorical?.domain ?? null]).toEqual([cells.length, domain])
  })

  test('values that were each seen once are no domain', async () => {
    expect((await columnOf('a', ['x', 'y', 'z'])).categorical!.domain).toBe(false)
  })
})

describe('sentinels', () => {
  const ages = upTo(200).map((i) => String(18 + (Number(i) % 60)))
  const amounts = upTo(200).map((i) => String(0.5 + Number(i) / 4))
  const found = async (cells: readonly string[]) => (await columnOf('a', cells)).sentinels.map(({ value }) => value)

  it.each<[string, readonly string[], unknown[]]>([
    ['−1 among ages', [...ages, '-1', '-1', '-1'], [-1]],
    ['0 among ages from 18', [...ages, '0', '0', '0'], [0]],
    ['−999 and 9999', [...ages, '-999', '-999', '9999', '9999'], [-999, 9999]],
    ['an unusual value far out', [...ages, '12345', '12345'], [12345]],
    ['seldom: below half a per cent', [...ages, ...ages, ...ages, '-1', '-1'], []],
    ['0 of counts is ordinary', [...repeat('0', 50), ...repeat('1', 40), ...repeat('2', 30), ...repeat('3', 5)], []],
    ['0 of amounts is ordinary', [...amounts, '0', '0', '0'], []],
    ['−1 among values on both sides', ['-3', '-2', '-1', '-1', '0', '1', '2', '3'], []],
    ['flags of −1 and 1', [...repeat('-1', 50), ...repeat('1', 50)], []],
    ['words', [...repeat('red', 20), ...repeat('blue', 20), ...repeat('Unknown', 3), '""', '""'], ['Unknown', '']],
    ['a word alone is a constant', repeat('unknown', 10), []],
  ])('%s', async (_name, cells, values) => {
    expect(await found(cells)).toEqual(values)
  })

  test('they do not stretch the range that is expected, and say why', async () => {
    const { numeric, sentinels, why } = await columnOf('a', [...ages, '-999', '-999'])
    // 18 to 77: quartiles 28 and 58 or so; the fence ends at 0 because no age is negative.
    expect(numeric!.hard).toEqual([-999, 77])
    expect(numeric!.soft[0]).toBe(0)
    expect(sentinels[0]!.share).toBeCloseTo(2 / 202, 5)
    expect(why.join(' ')).toContain('-999 (0.99 % of the values) lies outside the fence of the other values, which go from 18 to 77: it probably stands for "not known".')
  })

  test('an ordinary 0 says why it is one', async () => {
    const { why } = await columnOf('a', [...repeat('0', 50), ...repeat('1', 40), ...repeat('2', 30)])
    expect(why.at(-1)).toBe('0 (41.7 % of the values) is an ordinary value here: the others begin next to it.')
  })
})

describe('many different values', () => {
  /** Congruential: 40,000 numbers of (0, 1) in an order that looks random. */
  const numbers = Array.from({ length: 40_000 }, (_, i) => ((i * 2_654_435_761) % 2 ** 32) / 2 ** 32)

  test('quantiles come from the grid, within its cells', async () => {
    const { numeric, why } = await columnOf('a', numbers.map(String))
    const sorted = numbers.toSorted((a, b) => a - b)
    for (const [p, value] of Object.entries(numeric!.quantiles)) expect(Math.abs(value - sorted[Math.floor(Number(p) * 39_999)]!)).toBeLessThan(numeric!.grid.scale / 32)
    expect(why.join(' ')).toContain('interpolated in the cells of the grid')
    expect(numeric!.count).toBe(40_000)
  })
})

describe('windows', () => {
  const at = (i: number): string => new Date(Date.UTC(2026, 1, 2) + i * 60_000).toISOString()
  const csvOf = (value: (i: number) => number, rows = 20 * 1_440) => file('a.csv', `time,v\n${Array.from({ length: rows }, (_, i) => `${at(i)},${value(i)}\n`).join('')}`)
  const noise = (i: number): number => Math.floor(((i * 2_654_435_761) % 2 ** 32) / 2 ** 22)

  test('no season: floors near nothing, for hours and days', async () => {
    const { floors, season } = (await profileOf(csvOf(noise))).features['v']!
    expect([floors!['1h']!.windows, floors!['6h']!.windows, floors!['1d']!.windows]).toEqual([480, 80, 20])
    expect([floors!['1h']!.rows, floors!['6h']!.rows, floors!['1d']!.rows]).toEqual([60, 360, 1_440])
    expect(floors!['1d']!.js_bits['1']).toBeLessThan(0.005)
    expect(Math.max(-season!.low, season!.high)).toBeLessThan(0.05)
  })

  test('a daily season shows in hours and not in days', async () => {
    const { floors, season, numeric } = (await profileOf(csvOf((i) => noise(i) + (Math.floor(i / 60) % 24 === 20 ? 2_000 : 0)))).features['v']!
    expect(floors!['1h']!.js_bits['1']).toBeGreaterThan(0.5)
    expect(floors!['1h']!.l_infinity['1']).toBeGreaterThan(0.8)
    expect(floors!['1d']!.js_bits['1']).toBeLessThan(0.005)
    // One hour of 24 is 2,000 higher: 2,000 × 23 / 24 above the mean of all.
    expect(season!.high).toBeCloseTo((2_000 * 23) / 24 / numeric!.sd, 1)
    expect(season!.unit).toBe('sd')
  })

  test('without times, or with too few, there are none', async () => {
    expect(await columnOf('v', upTo(500).map((i) => String(noise(Number(i)))))).not.toHaveProperty('floors')
    expect((await profileOf(csvOf(noise, 100))).features['v']).not.toHaveProperty('floors')
  })
})

describe('hardly any data', () => {
  test('a header alone', async () => {
    const { source, features } = await profileOf(file('a.csv', 'a,b\n'))
    expect([source.rows, Object.keys(features), features['a']!.presence.rows]).toEqual([0, ['a', 'b'], 0])
    expect((await profileOf(file('a.jsonl', ''))).features).toEqual({})
  })

  test('one row', async () => {
    const { features } = await profileOf(file('a.csv', 'a,b\n5,x\n'))
    expect(features['a']).toMatchObject({ type: 'INT', numeric: { count: 1, min: 5, max: 5, mean: 5, sd: 0, hard: [5, 5] } })
    expect(features['a']!.numeric!.grid.scale).toBeGreaterThan(0)
    expect(features['b']).toMatchObject({ type: 'BYTES', categorical: { distinct: 1, domain: false } })
  })

  test('numbers as large as they come', async () => {
    const { numeric } = await columnOf('a', ['1e308', '-1e308', '0', '5e-324'])
    for (const value of [numeric!.mean, numeric!.sd, ...numeric!.soft, ...Object.values(numeric!.quantiles), numeric!.grid.scale]) expect(value).toSatisfy(Number.isFinite)
  })
})
