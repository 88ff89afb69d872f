import { spawnSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { describe, expect, it, onTestFinished } from 'vitest'
import { freePort, installed } from './servers.ts'

const root = fileURLToPath(new URL('..', import.meta.url))

describe('installed', () => {
  it('finds a program as an absolute path, and says null for what is not there', () => {
    expect(installed('sh')).toMatch(/^\/.*\/sh$/)
    expect(installed('no-such-program-of-anybody')).toBeNull()
    expect(installed('')).toBeNull()
  })
})

it('freePort gives a port that can be opened', async () => {
  const port = await freePort()
  const server = createServer().listen(port, '127.0.0.1')
  onTestFinished(() => void server.close())
  await new Promise((resolve, reject) => server.once('listening', resolve).once('error', reject))
  expect(port).toBeGreaterThan(0)
})

describe('describeWith', () => {
  /** Runs `fixtures/servers/groups.ts`. */
  function run(env: Record<string, string>): { code: number | null; notes: string; report: object } {
    const folder = mkdtempSync(join(tmpdir(), 'weir-servers-'))
    onTestFinished(() => rmSync(folder, { recursive: true, force: true }))
    const [notes, report] = [join(folder, 'left-out'), join(folder, 'report.json')]
    writeFileSync(notes, '')
    const { status } = spawnSync(process.execPath, [join(root, 'node_modules/vitest/vitest.mjs'), 'run', '--root', join(root, 'test/fixtures/servers'), '--reporter=json', `--outputFile=${report}`], {
      cwd: root,
      env: { ...process.env, WEIR_REQUIRE_ALL: '', WEIR_LEFT_OUT: notes, ...env },
    })
    return { code: status, notes: readFileSync(notes, 'utf8'), report: JSON.parse(readFileSync(report, 'utf8')) as object }
  }

  it('leaves a group out and notes why', () => {
    const { code, notes, report } = run({})
    expect(code).toBe(0)
    expect(notes.trim().split('\n').map((line) => JSON.parse(line) as unknown)).toEqual([{ what: 'no-such-program', why: 'with nothing' }])
    expect(report).toMatchObject({ numPassedTests: 1, numFailedTests: 0, numPendingTests: 1 })
  })

  it('fails the group when nothing may be left out', () => {
    const { code, report } = run({ WEIR_REQUIRE_ALL: '1' })
    expect(code).toBe(1)
    expect(report).toMatchObject({ numPassedTests: 1, numFailedTests: 1, numPendingTests: 0 })
  })
})
