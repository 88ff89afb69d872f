/** A profile as text and back, what is said of a file that is none, and what two profiles differ in. */
import { readFileSync, utimesSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { describe, expect, it, test } from 'vitest'
import { Profiles } from '../../gateway/profile/cache.ts'
import { checkProfile, readProfile } from '../../gateway/profile/check.ts'
import { compareProfiles } from '../../gateway/profile/compare.ts'
import type { Profile } from '../../gateway/profile/profile.ts'
import { profileText } from '../../gateway/profile/write.ts'
import { file, folder, jsonl, profileOf, read } from './setup.ts'

const CHURN = fileURLToPath(new URL('../fixtures/profile/churn.csv', import.meta.url))

test('what is written is read again, the same text each time, a feature a block', async () => {
  const profile = await profileOf(CHURN, { label: 'churn', model: { name: 'churn', version: '1' } })
  const text = profileText(profile)
  expect(readProfile(file('p.json', text))).toEqual(profile)
  expect(profileText(JSON.parse(text) as Profile)).toBe(text)
  expect(text).toMatch(/^ {4}"monthly_charge": \{$/m)
  expect(text).toMatch(/^ {6}"presence": \{ "rows": 1200, "absent": 0, .* \},$/m)
  expect(Math.max(...text.split('\n').filter((line) => !/^ {8}"|"source"/.test(line)).map((line) => line.length))).toBeLessThanOrEqual(140)
})

describe('files that are no profile', () => {
  /** A profile with another value at a path; undefined takes it away. */
  const changed = async (path: readonly (string | number)[], value: unknown): Promise<() => Profile> => {
    const profile = JSON.parse(profileText(await profileOf(CHURN))) as Record<string, unknown>
    const parent = path.slice(0, -1).reduce<Record<string, unknown>>((at, key) => at[key] as Record<string, unknown>, profile)
    parent[path.at(-1)!] = value
    return () => checkProfile('p.json', JSON.parse(JSON.stringify(profile)))
  }

  it.each<[string, (string | number)[], unknown, string]>([
    ['another version', ['weir_profile'], 2, 'p.json: weir_profile: expected version 1 of profiles, found 2; this weir cannot read it, make it anew with `weir profile`'],
    ['a type that there is not', ['features', 'age', 'type'], 'NUMBER', 'p.json: features.age.type: expected one of "INT", "FLOAT", "BYTES", "BOOL", found "NUMBER"'],
    ['a share above 1', ['features', 'age', 'presence', 'min_fraction'], 95, 'p.json: features.age.presence.min_fraction: expected a share from 0 to 1, found 95'],
    ['a range the wrong way round', ['features', 'age', 'numeric', 'hard'], [90, 18], 'p.json: features.age.numeric.hard: expected the smaller number first, found [90,18]'],
    ['a key with a mistake', ['features', 'plan', 'categorical', 'domian'], true, 'p.json: features.plan.categorical.domian: there is no such key; did you mean "domain"?'],
    ['a key too few', ['features', 'plan', 'why'], undefined, 'p.json: features.plan.why: expected a list, found nothing'],
    ['cells out of order', ['features', 'age', 'numeric', 'grid', 'cells'], [[5, 1], [4, 1]], 'p.json: features.age.numeric.grid.cells[1][0]: expected a cell above 5, found 4'],
    ['a cell that the grid has not', ['features', 'age', 'numeric', 'grid', 'cells'], [[577, 1]], 'p.json: features.age.numeric.grid.cells[0][0]: expected a cell from 0 to 576, found 577'],
    ['a scale of 0', ['features', 'age', 'numeric', 'grid', 'scale'], 0, 'p.json: features.age.numeric.grid.scale: expected a number above 0, found 0'],
    ['a name with a dot', ['features'], { 'a.b': null }, 'p.json: features."a.b": expected an object, found null'],
    ['values that are no pairs', ['features', 'plan', 'categorical', 'values'], ['basic'], 'p.json: features.plan.categorical.values[0]: expected a list of 2, found "basic"'],
  ])('%s', async (_name, path, value, message) => {
    expect(await changed(path, value)).toThrow(message)
  })

  it.each([
    ['no JSON', 'a,b\n', /p\.json: expected a profile \(JSON\), as `weir profile` makes it: /],
    ['a list', '[]', /p\.json: the file: expected an object, found \[\]/],
    ['other JSON', '{"a":1}', /p\.json: the file: expected a profile that `weir profile` made, found \{"a":1\}/],
  ])('%s', (_name, text, message) => {
    expect(() => readProfile(file('p.json', text))).toThrow(message)
  })

  test('no file', () => {
    expect(() => readProfile('/nowhere/p.json')).toThrow(/\/nowhere\/p\.json: there is no such file/)
  })
})

test('a file is read again when it has changed', async () => {
  const path = join(folder(), 'p.json')
  const profile = await profileOf(CHURN)
  writeFileSync(path, profileText(profile))
  const profiles = new Profiles()
  const first = profiles.get(path)
  expect(profiles.get(path)).toBe(first)
  writeFileSync(path, profileText({ ...profile, model: { name: 'm', version: '2' } }))
  utimesSync(path, 1, 1)
  expect(profiles.get(path).model).toEqual({ name: 'm', version: '2' })
  expect(() => profiles.get('/nowhere')).toThrow('/nowhere: there is no such file')
})

describe('differences', () => {
  const base = readFileSync(CHURN, 'utf8')

  test('none', async () => {
    expect(compareProfiles(await profileOf(CHURN), await profileOf(CHURN))).toEqual([])
  })

  test('a shift, a new value, nulls, types, columns', async () => {
    const { rows } = await read(file('a.csv', base))
    const after = rows.map(({ region: _region, ...row }, i) => ({
      ...row, monthly_charge: (row['monthly_charge'] as number) + 27, payment_method: i % 4 === 0 ? 'wallet' : row['payment_method']!, age: i % 5 === 0 ? null : row['age']!,
      tenure_months: (row['tenure_months'] as number) + 0.5, note: 'x',
    }))
    const lines = compareProfiles(await profileOf(CHURN), await profileOf(file('b.jsonl', jsonl(after))))
    for (const line of [
      'monthly_charge: range: 10 to 122.26 → 37 to 149.26',
      'payment_method: new values: "wallet" (25 %)',
      'payment_method: shares: the largest change is of "wallet", 0 % → 25 %',
      'age: rows without a value: 0 % → 20 %',
      'tenure_months: type: INT → FLOAT',
      'region: is gone (was BYTES, feature)',
      'note: is new (BYTES, constant)',
    ]) expect(lines).toContain(line)
    // 27 / 27.0174…, which numpy says is the deviation.
    expect(lines.find((line) => line.startsWith('monthly_charge: mean'))).toMatch(/^monthly_charge: mean: 58\.88 → 85\.88 \(\+0\.9994 standard deviations\); quartiles 35\.6725, 57\.11, /)
    expect(lines.filter((line) => /^(plan|support_calls|churn):/.test(line))).toEqual([])
  })
})
