/**
 * Two weeks of traffic against the profile of its training data: quiet where nothing changed, the changed columns and nothing else where it did. Which
 * columns changed, and when, says ground_truth.json of the data.
 */
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { buildProfile } from '../../../gateway/profile/build/build.ts'
import type { Profile } from '../../../gateway/profile/profile.ts'
import { openTable } from '../../../gateway/profile/read/open.ts'
import { DAY, HOUR, MINUTE, MONDAY, type Row, World } from './world.ts'

const root = process.env.WEIR_TEST_DATA
const data = root === undefined ? null : ([root, join(root, 'data')].find((folder) => existsSync(join(folder, 'churn/train.csv'))) ?? null)
if (data === null) console.log('left out: two weeks of drift (WEIR_TEST_DATA names no folder that has churn/train.csv)')

const CHANGE = MONDAY + 7 * DAY
const WINDOWS = process.env.WEIR_PROOF === 'full' ? [MINUTE, 5 * MINUTE, HOUR, 6 * HOUR, DAY] : [5 * MINUTE, HOUR, DAY]
const KINDS: Readonly<Record<string, string>> = { mean_shift: 'js_bits', new_category: 'unseen_share', nulls: 'null_share' }

async function profileOf(set: string, label: string): Promise<Profile> {
  return buildProfile(await openTable([join(data!, set, 'train.csv')]), { time: null, label, prediction: null, id: null, model: null }, { file: 'train.csv', sha256: '' })
}

interface Line extends Row {
  readonly time: string
  readonly query_id?: string
}

/** Lines with one `query_id` are one request. */
function replay(profile: Profile, set: string, file: string, window: number): World {
  const world = new World(profile, { window })
  let rows: Line[] = []
  const send = (): void => {
    if (rows.length > 0) world.add(Date.parse(rows[0]!.time), rows)
    rows = []
  }
  for (const text of readFileSync(join(data!, set, file), 'utf8').trim().split('\n')) {
    const line = JSON.parse(text) as Line
    if (line.query_id === undefined || line.query_id !== rows[0]?.query_id) send()
    rows.push(line)
  }
  send()
  world.advance(MONDAY + 14 * DAY + MINUTE)
  return world
}

const told = ({ alarms }: World) => alarms.map(({ feature, statistic }) => `${feature} ${statistic}`).sort()

test.skipIf(data === null).each([['churn', 'churn'], ['fraud', 'fraud'], ['cancer', 'label'], ['ranker', 'label']])('%s: two weeks without an alarm', { timeout: 120_000 }, async (set, label) => {
  const profile = await profileOf(set, label)
  for (const window of WINDOWS) expect(told(replay(profile, set, 'serve.jsonl', window)), `windows of ${window / MINUTE} minutes`).toEqual([])
})

test.skipIf(data === null).each([['churn', 'churn'], ['fraud', 'fraud']])('%s: what changed is named within a day, nothing else', { timeout: 120_000 }, async (set, label) => {
  const truth = JSON.parse(readFileSync(join(data!, 'ground_truth.json'), 'utf8')) as Record<string, { drift: { column: string; kind: string }[] }>
  const expected = truth[`${set}/serve_drifted.jsonl`]!.drift.filter(({ kind }) => KINDS[kind] !== undefined).map(({ column, kind }) => `${column} ${KINDS[kind]}`).sort()
  expect(expected).toHaveLength(3)
  const profile = await profileOf(set, label)
  for (const window of WINDOWS) {
    const world = replay(profile, set, 'serve_drifted.jsonl', window)
    expect(told(world), `windows of ${window / MINUTE} minutes`).toEqual(expected)
    for (const { time } of world.alarms) expect(time > CHANGE && time <= CHANGE + DAY).toBe(true)
    expect(world.alarms.find(({ statistic }) => statistic === 'unseen_share')!.reason).toMatch(/"wallet(_qr)?"/)
  }
})
