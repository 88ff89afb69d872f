/** Two weeks of labels against those of training, with and without a change from day 8 on (ground_truth.json beside the data). */
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { baselineOf, labelColumn } from '../../../gateway/monitor/quality/baseline.ts'
import { labelReader } from '../../../gateway/monitor/quality/entries.ts'
import { profileOf } from '../../profile/setup.ts'
import { DAY, HOUR, MONDAY, stand } from './stand.ts'

function findData(): string | null {
  const root = process.env.WEIR_TEST_DATA
  if (root === undefined) return null
  return [root, join(root, 'data')].find((folder) => existsSync(join(folder, 'churn/serve_drifted.jsonl'))) ?? null
}

const data = findData()
if (data === null) console.log('left out: labels of two weeks (WEIR_TEST_DATA names no folder that has churn/serve_drifted.jsonl)')

/** Every label comes at once. */
async function replay(name: string, label: string, file: string, window: number) {
  const [column, feature] = labelColumn(await profileOf(join(data!, name, 'train.csv'), { label })) as Exclude<ReturnType<typeof labelColumn>, string>
  const { read } = labelReader({ kind: 'binary', classes: [] })
  const one = stand({ setup: { window }, baseline: baselineOf(column, feature, { kind: 'binary', classes: [] }, read)! })
  const alarms = []
  for (const line of readFileSync(join(data!, name, file), 'utf8').trim().split('\n')) {
    const row = JSON.parse(line) as Record<string, string | number>
    const time = Date.parse(row.time as string)
    alarms.push(...one.review.advance(time))
    one.predict(row.request_id as string, 0.5, time)
    one.label(row.request_id as string, row[label], time)
  }
  alarms.push(...one.review.advance(MONDAY + 14 * DAY))
  return alarms.map(({ time, ...rest }) => ({ ...rest, day: (time - MONDAY) / DAY }))
}

describe.skipIf(data === null).each([['churn', 'churn'], ['fraud', 'fraud']])('%s', (name, label) => {
  test.each([['10m', HOUR / 6], ['1h', HOUR], ['1d', DAY]])('no alarm where nothing changed, windows of %s', async (_, window) => {
    expect(await replay(name, label, 'serve.jsonl', window)).toEqual([])
  })

  test.each([['1h', HOUR], ['1d', DAY]])('the label rate that doubles is told within a day, windows of %s', async (_, window) => {
    const alarms = await replay(name, label, 'serve_drifted.jsonl', window)
    expect(alarms[0]).toMatchObject({ kind: 'label', feature: label, statistic: 'share_ratio' })
    expect(alarms[0]!.day).toBeGreaterThan(7)
    expect(alarms[0]!.day).toBeLessThanOrEqual(8)
  })
})
