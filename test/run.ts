/**
 * `npm test`: runs every test this machine can run, then names what was left out and why.
 *
 * Tests that need a server of somebody else (nginx, Prometheus, …) look for it through `test/servers.ts`, which notes what is
 * missing in the file named by WEIR_LEFT_OUT, one JSON object a line. With WEIR_REQUIRE_ALL=1 leaving anything out is a failure.
 * With WEIR_TEST_REPORT=FILE the numbers are written there as JSON: `{ passed, failed, skipped }`.
 */
import { spawnSync } from 'node:child_process'
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = dirname(dirname(fileURLToPath(import.meta.url)))
const vitest = join(root, 'node_modules/vitest/vitest.mjs')

interface Numbers {
  passed: number
  failed: number
  skipped: number
}

/** Vitest's JSON reporter; a file that does not even load has no tests but counts as one failure. */
interface Report {
  numPassedTests: number
  numFailedTests: number
  numPendingTests: number
  numTodoTests: number
  testResults: { status: string; assertionResults: unknown[] }[]
}

function numbersOf(file: string): Numbers {
  if (!existsSync(file)) return { passed: 0, failed: 1, skipped: 0 }
  const report = JSON.parse(readFileSync(file, 'utf8')) as Report
  const broken = report.testResults.filter((result) => result.status === 'failed' && result.assertionResults.length === 0).length
  return { passed: report.numPassedTests, failed: report.numFailedTests + broken, skipped: report.numPendingTests + report.numTodoTests }
}

/** Distinct lines of the file in the order they came; each is an object of strings, told as `value (value)`. */
export function leftOut(text: string): string[] {
  const lines = text.split('\n').filter((line) => line.trim() !== '')
  return [...new Set(lines.map((line) => sentence(JSON.parse(line) as Record<string, unknown>)))]
}

function sentence(entry: Record<string, unknown>): string {
  const [first, ...rest] = Object.values(entry).map(String)
  return rest.length === 0 ? `${first}` : `${first}: ${rest.join(', ')}`
}

function main(args: readonly string[]): number {
  if (!existsSync(vitest)) {
    console.error('node_modules is missing: run `npm ci` first')
    return 1
  }
  const folder = mkdtempSync(join(tmpdir(), 'weir-test-'))
  const notes = join(folder, 'left-out')
  const report = join(folder, 'report.json')
  writeFileSync(notes, '')
  const run = spawnSync(process.execPath, [vitest, 'run', '--reporter=default', '--reporter=json', `--outputFile.json=${report}`, ...args], {
    cwd: root,
    stdio: ['ignore', 'inherit', 'inherit'],
    env: { ...process.env, WEIR_LEFT_OUT: notes },
  })
  const numbers = numbersOf(report)
  const missing = leftOut(readFileSync(notes, 'utf8'))
  rmSync(folder, { recursive: true, force: true })

  const strict = process.env['WEIR_REQUIRE_ALL'] === '1'
  if (missing.length > 0) console.log(`\n${strict ? 'FAILED: ' : ''}left out on this machine (see CONTRIBUTING.md, "Servers the tests use"):\n${missing.map((line) => `  - ${line}`).join('\n')}`)
  if (strict && numbers.failed === 0) numbers.failed = missing.length
  if (run.status !== 0 && numbers.failed === 0) numbers.failed = 1
  const target = process.env['WEIR_TEST_REPORT']
  if (target !== undefined) writeFileSync(target, JSON.stringify(numbers))
  return numbers.failed === 0 ? 0 : 1
}

if (process.argv[1] === fileURLToPath(import.meta.url)) process.exitCode = main(process.argv.slice(2))
