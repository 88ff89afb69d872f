/**
 * Profiles of whole data sets. Means, deviations and quantiles were computed with numpy 2 (`mean`, `std`, `quantile`) over `pandas.read_csv`,
 * counts with pandas 3 (`nunique`, `isna`, `value_counts`).
 */
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { beforeAll, describe, expect, test } from 'vitest'
import type { Profile } from '../../gateway/profile/profile.ts'
import { profileOf } from './setup.ts'

function findData(): string | null {
  const root = process.env.WEIR_TEST_DATA
  if (root === undefined) return null
  return [root, join(root, 'data')].find((folder) => existsSync(join(folder, 'fraud/train.parquet'))) ?? null
}

const data = findData()
if (data === null) console.log('left out: profiles of whole data sets (WEIR_TEST_DATA names no folder that has fraud/train.parquet)')

describe.skipIf(data === null)('training data', () => {
  test.each(['cancer', 'churn', 'fraud', 'ranker'])('%s: CSV and Parquet give the same profile', async (name) => {
    const [csv, parquet] = await Promise.all(['csv', 'parquet'].map((ending) => profileOf(join(data!, name, `train.${ending}`))))
    expect(parquet).toEqual(csv)
  })

  test.each([
    ['amount', 57.385920999999996, 78.15835994627676, [0.51, 2112.52], [1.33998, 5.78, 16.15, 33.31, 129.01, 788.72556]],
    ['ip_risk', 30.021194999999995, 11.910602515069296, [0, 82.7], [0, 10.3, 21.9, 30, 45.4, 66.9004]],
    ['txn_count_24h', 2.89905, 1.7026623556947513, [0, 11], [0, 0, 2, 3, 5, 9.001]],
  ])('fraud: %s', async (name, mean, sd, hard, quantiles) => {
    const numeric = (await profileOf(join(data!, 'fraud/train.csv'))).features[name]!.numeric!
    expect(numeric.mean).toBeCloseTo(mean, 8)
    expect(numeric.sd).toBeCloseTo(sd, 8)
    expect(numeric.hard).toEqual(hard)
    expect(['0.001', '0.05', '0.25', '0.5', '0.9', '0.999'].map((p) => numeric.quantiles[p])).toEqual(quantiles.map((q) => expect.closeTo(q, 8)))
  })

  test('fraud: domains, and nothing that stands for "not known"', async () => {
    const { features } = await profileOf(join(data!, 'fraud/train.csv'), { label: 'fraud' })
    expect(features['channel']!.categorical).toMatchObject({ domain: true, values: [['app', 7979], ['web', 6306], ['pos', 4716], ['atm', 999]] })
    expect(features['merchant_category']!.categorical!.distinct).toBe(6)
    expect(Object.values(features).flatMap(({ sentinels }) => sentinels)).toEqual([])
    expect(Object.entries(features).filter(([, { role }]) => role !== 'feature').map(([name, { role }]) => [name, role])).toEqual([['time', 'time'], ['fraud', 'label']])
  })

  test('ranker: queries and listings are identifiers', async () => {
    const { features } = await profileOf(join(data!, 'ranker/train.csv'), { label: 'label' })
    expect(Object.entries(features).filter(([, { role }]) => role === 'identifier').map(([name]) => name)).toEqual(['query_id', 'listing_id'])
    expect(['position', 'seller_is_new', 'label'].map((name) => features[name]!.categorical!.distinct)).toEqual([30, 2, 3])
  })
})

describe.skipIf(data === null)('a table of features with nulls', () => {
  let csv: Profile
  beforeAll(async () => void (csv = await profileOf(join(data!, 'features.csv'))))

  test('CSV and Parquet give the same profile', async () => {
    expect((await profileOf(join(data!, 'features.parquet'))).features).toEqual(csv.features)
  })

  test('presence, types, roles', () => {
    expect(Object.entries(csv.features).map(([name, { type, role, presence }]) => [name, type, role, presence.nulls])).toEqual([
      ['user_id', 'BYTES', 'identifier', 0], ['avg_order_value', 'FLOAT', 'feature', 3574], ['orders_30d', 'INT', 'feature', 3490], ['last_seen_days', 'INT', 'feature', 3348],
      ['favourite_category', 'BYTES', 'feature', 3386], ['is_prime', 'BOOL', 'feature', 3585], ['event_time', 'BYTES', 'time', 0],
    ])
    expect(csv.features['is_prime']!.categorical!.values).toEqual([['false', 36_296], ['true', 10_119]])
    expect(csv.features['favourite_category']!.categorical!.values.at(-1)).toEqual(['café & bakery', 3_769])
    // Wilson's lower bound of 46,426 of 50,000 at one-sided 99.9 %.
    expect(csv.features['avg_order_value']!.presence.min_fraction).toBe(0.924877)
  })

  test('lists of Parquet', async () => {
    const { features } = await profileOf(join(data!, 'predictions.parquet'))
    expect([features['key']!.role, features['top_items']!.value_count, features['segment']!.categorical!.distinct]).toEqual(['identifier', [5, 5], 4])
  })
})
