import { spawnSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { root } from './helpers/imports.ts'
import { leftOut } from './run.ts'

function run(args: readonly string[], env: Record<string, string> = {}): { status: number | null; output: string; numbers: unknown } {
  const folder = mkdtempSync(join(tmpdir(), 'weir-run-'))
  const report = join(folder, 'numbers.json')
  // Without the variables that the vitest around this test has set.
  const outer = Object.fromEntries(Object.entries(process.env).filter(([name]) => !/^(VITEST|NODE_OPTIONS|TEST$|WEIR_)/.test(name)))
  const { status, stdout, stderr } = spawnSync(process.execPath, [join(root, 'test/run.ts'), ...args], { encoding: 'utf8', env: { ...outer, ...env, WEIR_TEST_REPORT: report } })
  const numbers: unknown = JSON.parse(readFileSync(report, 'utf8'))
  rmSync(folder, { recursive: true })
  return { status, output: stdout + stderr, numbers }
}

test('what was left out is told once, in the order it came', () => {
  expect(leftOut('{"what":"nginx","why":"proxying"}\n{"what":"prometheus","why":"scrape"}\n{"what":"nginx","why":"proxying"}\n')).toEqual(['nginx: proxying', 'prometheus: scrape'])
  expect(leftOut('')).toEqual([])
})

test('runs what it is asked for and writes the numbers', () => {
  const { status, numbers } = run(['test/fake_clock.test.ts'])
  expect(numbers).toEqual({ passed: 4, failed: 0, skipped: 0 })
  expect(status).toBe(0)
}, 60_000)

test('finding no test at all is a failure', () => {
  const { status, numbers } = run(['test/there_is_no_such.test.ts'])
  expect(status).toBe(1)
  expect(numbers).toMatchObject({ passed: 0, failed: 1 })
}, 60_000)

test('a program that is missing is named, and a failure when nothing may be left out', () => {
  const args = ['--config', 'test/fixtures/left_out.config.ts']
  const without = run(args)
  expect(without.output).toContain('- no-such-program: something that needs it')
  expect(without.status).toBe(0)
  const strict = run(args, { WEIR_REQUIRE_ALL: '1' })
  expect(strict.status).toBe(1)
  expect(strict.numbers).toMatchObject({ failed: 1 })
}, 60_000)
