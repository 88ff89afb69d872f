/** Every file of bad/ gives exactly the complaints its first lines name; every file of good/ gives none. */
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { formatIssues } from '../../config/issues.ts'
import { loadConfig } from '../../config/load.ts'
import { parts } from './parts.ts'

const SECRET = 'sk-very-secret-value'
const env = { TOKEN: SECRET, PORT: '8501', EMPTY: '', LINES: `${SECRET}\r\nx: y` }
const folder = (name: string) => join(import.meta.dirname, name)
const filesOf = (name: string) => readdirSync(folder(name)).filter((file) => file.endsWith('.yaml'))

interface Expected {
  readonly rule: string
  readonly at: string
  readonly text: string
}

function expectations(source: string): Expected[] {
  return [...source.matchAll(/^# expect: (\S+) (\S+) ?(.*)$/gm)].map(([, rule, at, text]) => ({ rule: rule!, at: at!, text: text! }))
}

describe('bad files', () => {
  test('there are at least 60', () => expect(filesOf('bad').length).toBeGreaterThanOrEqual(60))

  test.each(filesOf('bad'))('%s', async (name) => {
    const file = join(folder('bad'), name)
    const expected = expectations(readFileSync(file, 'utf8'))
    const { config, issues } = await loadConfig({ file, env }, parts)
    expect(config).toBeNull()
    expect(expected.length).toBeGreaterThan(0)
    const errors = issues.filter((issue) => issue.severity === 'error')
    const found = errors.map((issue, i) => ({ rule: issue.rule, at: expected[i]?.at === '*:*' ? '*:*' : `${issue.line}:${issue.column}` }))
    expect(found, formatIssues(issues)).toEqual(expected.map(({ rule, at }) => ({ rule, at })))
    for (const [i, issue] of errors.entries()) expect(issue.message).toContain(expected[i]!.text)
    expect(JSON.stringify(issues)).not.toContain(SECRET)
    expect(JSON.stringify(issues)).not.toMatch(/\bat .*\.ts:\d/)
  })
})

describe('good files', () => {
  test.each(filesOf('good'))('%s', async (name) => {
    const { config, issues } = await loadConfig({ file: join(folder('good'), name), env }, parts)
    expect(formatIssues(issues.filter((issue) => issue.severity === 'error'))).toBe('')
    expect(config).not.toBeNull()
    expect(JSON.stringify(config!.effective)).not.toContain(SECRET)
    const expected = expectations(readFileSync(join(folder('good'), name), 'utf8'))
    expect(issues.map((issue) => `${issue.rule} ${issue.line}:${issue.column}`)).toEqual(expected.map(({ rule, at }) => `${rule} ${at}`))
  })
})
