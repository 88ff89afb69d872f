/** `weir profile` as a program: what it prints, writes and exits with. */
import { execFile } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { describe, expect, it, test } from 'vitest'
import { nearest } from '../../config/issues.ts'
import { parseCommand, UsageError } from '../../gateway/command/arguments.ts'
import { progressBar, progressLine } from '../../gateway/command/progress.ts'
import type { Profile } from '../../gateway/profile/profile.ts'
import { FakeClock } from '../fake_clock.ts'
import { file, folder } from './setup.ts'

const MAIN = fileURLToPath(new URL('../../gateway/main.ts', import.meta.url))
const CHURN = fileURLToPath(new URL('../fixtures/profile/churn.csv', import.meta.url))
const SHA256 = 'a072c26c40f85a2f8418d89dd4e0174262dca5008dcd62339bf7754883e714b6'
const TSV = 'a\tb\n1\tx\n2\ty\n'

function weir(...words: string[]): Promise<{ code: number; out: string; error: string }> {
  return new Promise((resolve) => {
    execFile(process.execPath, [MAIN, 'profile', ...words], (error, out, told) => resolve({ code: error === null ? 0 : Number(error.code), out, error: told }))
  })
}

describe('the program', () => {
  test('writes a profile and tells so', async () => {
    const path = join(folder(), 'p.json')
    expect(await weir(CHURN, '-o', path, '--label', 'churn', '--model', 'churn/1', '--columns', 'time,age,churn')).toEqual({ code: 0, out: '', error: `${path}: 3 columns of 1,200 rows\n` })
    const profile = JSON.parse(readFileSync(path, 'utf8')) as Profile
    expect([Object.keys(profile.features), profile.features['churn']!.role, profile.model]).toEqual([['time', 'age', 'churn'], 'label', { name: 'churn', version: '1' }])
    // sha256sum of the file.
    expect(profile.source).toEqual({ file: 'churn.csv', sha256: SHA256, rows: 1200 })
    expect(await weir('--diff', path, path)).toEqual({ code: 0, out: 'The profiles say the same.\n', error: '' })
  })

  test('prints it without -o, whatever the name of the file with --format', async () => {
    const { code, out, error } = await weir(file('data.txt', TSV), '--format', 'csv')
    expect([code, Object.keys((JSON.parse(out) as Profile).features), error]).toEqual([0, ['a', 'b'], ''])
  })

  test('a broken last line is told', async () => {
    const { code, error } = await weir(file('a.csv', 'a,b\n1,x\n2'))
    expect([code, error]).toEqual([0, expect.stringMatching(/^weir: .*a\.csv:3: the last line broke off after 1 of 2 cells; it was left out\n$/)])
  })

  it.each<[string, () => string[], RegExp]>([
    ['no data', () => [], /^weir: `weir profile` needs data\n/],
    ['no such file', () => ['/nowhere/a.csv'], /^weir: \/nowhere\/a\.csv: there is no such file or folder\n$/],
    ['bad data', () => [file('a.csv', 'a,b\n1\n2,3\n')], /^weir: .*a\.csv:2: expected 2 cells as in the header, found 1\n$/],
    ['a header alone', () => [file('a.csv', 'a,b\n')], /^weir: .*a\.csv: expected rows, found none/],
    ['a log without lines', () => [file('a.jsonl', '')], /^weir: .*a\.jsonl: expected rows, found none/],
    ['a column that there is not', () => [CHURN, '--label', 'churned'], /^weir: --label: there is no column "churned"; the columns are time, age, /],
    ['a column that cannot be chosen', () => [CHURN, '--columns', 'age,ages'], /^weir: --columns: there is no column "ages"\n$/],
    ['a file that cannot be written', () => [CHURN, '-o', '/nowhere/p.json'], /^weir: \/nowhere\/p\.json: cannot be written: ENOENT/],
    ['a profile that is none', () => ['--diff', file('a.json', '{}'), file('b.json', '{}')], /^weir: .*a\.json: the file: expected a profile that `weir profile` made, found \{\}\n$/],
    ['an unknown flag', () => [CHURN, '--lable', 'churn'], /Did you mean `--label`\?/],
  ])('exits with 2: %s', async (_name, words, message) => {
    const { code, out, error } = await weir(...words())
    expect([code, out]).toEqual([2, ''])
    expect(error).toMatch(message)
  })
})

describe('words', () => {
  const parse = (line: string) => parseCommand(['profile', ...line.split(' ')], nearest)
  const plain = { name: 'profile', data: ['a.csv'], out: null, time: null, label: null, prediction: null, id: null, model: null, columns: null, format: null, diff: null }

  it.each([
    ['a.csv', plain],
    ['a.csv b.csv -o p.json', { ...plain, data: ['a.csv', 'b.csv'], out: 'p.json' }],
    ['a.csv --time t --label l --prediction p --id i', { ...plain, time: 't', label: 'l', prediction: 'p', id: 'i' }],
    ['a.csv --model m --columns a,b --format jsonl', { ...plain, model: { name: 'm', version: '' }, columns: ['a', 'b'], format: 'jsonl' }],
    ['--diff a b', { ...plain, data: [], diff: ['a', 'b'] }],
  ])('%s', (line, command) => {
    expect(parse(line)).toEqual(command)
  })

  it.each([
    ['--diff a', 'compares two profiles'],
    ['--diff a b c', 'compares two profiles'],
    ['--diff a b -o c', 'compares two profiles'],
    ['a.csv --format xml', '--format expects csv, jsonl or parquet, found "xml"'],
    ['a.csv --model m/1/2', '--model expects NAME or NAME/VERSION, found "m/1/2"'],
    ['a.csv --model /1', '--model expects NAME or NAME/VERSION'],
  ])('%s', (line, message) => {
    expect(() => parse(line)).toThrow(UsageError)
    expect(() => parse(line)).toThrow(message)
  })
})

describe('progress', () => {
  const progress = { read: 250e6, bytes: 1e9, rows: 1_234_567, total: null }

  test('share, rows, speed and time left', () => {
    expect(progressLine(progress, 10_000)).toBe('██████░░░░░░░░░░░░░░░░░░ 25 % · 1,234,567 rows · 25 MB/s · 30 s left')
    expect(progressLine({ ...progress, read: 1e6 }, 1_000)).toContain('· 16 min 39 s left')
    expect(progressLine({ read: 0, bytes: 0, rows: 0, total: null }, 0)).toContain('100 %')
  })

  test('only on a terminal, and not more often than one can read', () => {
    const clock = new FakeClock()
    const told: string[] = []
    const terminal = { error: (text: string) => void told.push(text) }
    const silent = progressBar(progress, terminal, clock)
    silent.tick()
    silent.end()
    expect(told).toEqual([])
    const bar = progressBar(progress, { ...terminal, interactive: true }, clock)
    bar.tick()
    bar.tick()
    clock.advance(200)
    bar.tick()
    bar.end()
    expect(told.map((text) => text.replace(/.*(\d\d %).*/s, '$1'))).toEqual(['25 %', '25 %', '\r\u001b[2K'])
  })
})
