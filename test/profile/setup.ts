/** Files of rows for tests, and profiles of them. */
import { mkdtempSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { onTestFinished } from 'vitest'
import { rmSync } from 'node:fs'
import { buildProfile, type ProfileOptions } from '../../gateway/profile/build/build.ts'
import type { FeatureProfile, Profile } from '../../gateway/profile/profile.ts'
import { type OpenOptions, openRows, openTable, type Rows } from '../../gateway/profile/read/open.ts'
import type { Row } from '../../gateway/profile/read/table.ts'

export function folder(): string {
  const path = mkdtempSync(join(tmpdir(), 'weir-profile-'))
  onTestFinished(() => rmSync(path, { recursive: true, force: true }))
  return path
}

export function file(name: string, content: string | Buffer | ArrayBuffer): string {
  const path = join(folder(), name)
  writeFileSync(path, content instanceof ArrayBuffer ? Buffer.from(content) : content)
  return path
}

export async function read(path: string, options: OpenOptions = {}): Promise<{ table: Rows; rows: Row[] }> {
  const table = await openRows(path, options)
  const rows: Row[] = []
  for await (const batch of table) for (const row of batch) rows.push({ ...row })
  return { table, rows }
}

const PLAIN: ProfileOptions = { time: null, label: null, prediction: null, id: null, model: null }

export async function profileOf(path: string, options: Partial<ProfileOptions> = {}): Promise<Profile> {
  return buildProfile(await openTable([path]), { ...PLAIN, ...options }, { file: 'data', sha256: '' })
}

/** The profile of one column of CSV. */
export async function columnOf(name: string, cells: readonly string[], options: Partial<ProfileOptions> = {}): Promise<FeatureProfile> {
  const { features } = await profileOf(file('a.csv', `${name},other\n${cells.map((cell) => `${cell},x\n`).join('')}`), options)
  return features[name]!
}

/** The same rows as JSON Lines. */
export function jsonl(rows: readonly Row[]): string {
  return rows.map((row) => `${JSON.stringify(row)}\n`).join('')
}
