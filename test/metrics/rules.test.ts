/** The alert rules: by what they ask for and say, and by promtool, which runs them over series made by hand. */
import { execFile } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { parse } from 'yaml'
import { describeWith } from '../servers.ts'
import { metricsIn } from './dashboard.ts'
import { declared, exposed, labelsOf } from './declared.ts'

interface Rule {
  readonly alert: string
  readonly expr: string
  readonly for: string
  readonly labels: { readonly severity: string }
  readonly annotations: Readonly<Record<string, string>>
}

interface Rules {
  readonly groups: readonly { readonly name: string; readonly rules: readonly Rule[] }[]
}

interface Case {
  readonly name: string
  readonly promql_expr_test: readonly { readonly expr: string; readonly exp_samples?: readonly { readonly labels: string }[] }[]
}

interface Cases {
  readonly rule_files: readonly string[]
  readonly evaluation_interval: string
  readonly tests: readonly Case[]
}

const at = (path: string): string => fileURLToPath(new URL(path, import.meta.url))
const read = <T>(path: string): T => parse(readFileSync(path, 'utf8')) as T
const FILE = at('../../config/alerts/weir.rules.yml')
const TESTS = [at('rules_minutes.yml'), at('rules_days.yml')]
const rules = read<Rules>(FILE)
const alerts = rules.groups.flatMap((group) => group.rules)
const cases = TESTS.map((file) => read<Cases>(file))
const run = promisify(execFile)

/** Label sets with which an alert is expected to fire somewhere in the tests. */
function expectedOf(alert: string): string[] {
  const samples = cases.flatMap(({ tests }) => tests).flatMap((test) => test.promql_expr_test).flatMap(({ exp_samples }) => exp_samples ?? [])
  return samples.map(({ labels }) => labels).filter((labels) => labels.includes(`alertname="${alert}"`))
}

describe('config/alerts/weir.rules.yml', () => {
  it('asks for no metric, label or value that nobody declares', () => {
    const known = new Set(Object.keys(declared).flatMap(exposed))
    for (const { alert, expr } of alerts) {
      expect(metricsIn(expr).filter((name) => !known.has(name)), alert).toEqual([])
      for (const [, name, label, value] of expr.matchAll(/\b(weir_\w+)\{(\w+)!?=~?"([^"]*)"\}/g)) {
        const values = labelsOf(name!)[label!]
        expect(values, `${alert}: ${name} has no label ${label}`).toBeDefined()
        if (values !== 'config') for (const one of value!.split('|')) expect(values, `${alert}: ${label}`).toContain(one)
      }
    }
  })

  it.each(alerts.map((rule) => [rule.alert, rule] as const))('%s says how bad it is, what was found and what to do', (_, rule) => {
    expect(rule.for).toMatch(/^\d+[mhd]$/)
    expect(['critical', 'warning', 'info']).toContain(rule.labels.severity)
    expect(Object.keys(rule.annotations)).toEqual(['summary', 'description', 'action'])
    for (const text of Object.values(rule.annotations)) expect(text.length).toBeGreaterThan(20)
    const [fires] = expectedOf(rule.alert)
    expect(fires, 'no test in which it fires').toBeDefined()
    for (const [, label] of Object.values(rule.annotations).join(' ').matchAll(/\$labels\.(\w+)/g)) expect(fires).toContain(`${label}="`)
  })
})

describeWith('promtool', 'alert rules run by Prometheus\' own tool', (promtool) => {
  let folder: string
  beforeAll(() => void (folder = mkdtempSync(join(tmpdir(), 'weir-rules-'))))
  afterAll(() => rmSync(folder, { recursive: true, force: true }))

  it('are valid', async () => {
    const { stdout } = await run(promtool, ['check', 'rules', FILE])
    expect(stdout).toContain(`SUCCESS: ${alerts.length} rules found`)
  })

  it.each(TESTS)('fire when they should, and not when they should not: %s', { timeout: 120_000 }, async (file) => {
    await expect(run(promtool, ['test', 'rules', file])).resolves.toMatchObject({ stdout: expect.stringContaining('SUCCESS') as unknown })
  })

  /** Whether the tests that are about one alert pass with that rule changed. */
  async function passes(alert: string, change: (rule: Rule) => Rule): Promise<boolean> {
    const other = { groups: rules.groups.map((group) => ({ ...group, rules: group.rules.map((rule) => (rule.alert === alert ? change(rule) : rule)) })) }
    const from = cases.find(({ tests }) => JSON.stringify(tests).includes(`"${alert}\\"`))!
    const about = from.tests.filter((test) => JSON.stringify(test).includes(`"${alert}\\"`))
    writeFileSync(join(folder, 'rules.yml'), JSON.stringify(other))
    writeFileSync(join(folder, 'test.yml'), JSON.stringify({ ...from, rule_files: ['rules.yml'], tests: about }))
    return run(promtool, ['test', 'rules', join(folder, 'test.yml')]).then(
      () => true,
      (error: { stderr: string }) => {
        expect(error.stderr).toContain('FAILED')
        return false
      },
    )
  }

  it.each(alerts.map(({ alert }) => alert))('the tests notice when %s never fires, or fires for all it looks at', { timeout: 120_000 }, async (alert) => {
    expect(await passes(alert, (rule) => rule)).toBe(true)
    expect(await passes(alert, (rule) => ({ ...rule, expr: `(${rule.expr}) and on () vector(0) > 1` }))).toBe(false)
    // A bound moved out of the way.
    const loose = (expr: string): string => expr.replaceAll(/(>|<|==|!=) (-?[\d.]+|weir_\w+)(?= |$|\n)/g, '> -1')
    expect(await passes(alert, (rule) => ({ ...rule, for: '0m', expr: loose(rule.expr) }))).toBe(false)
  })
})
