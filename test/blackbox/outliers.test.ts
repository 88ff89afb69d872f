/** drift with an isolation forest beside the route's own backend: what callers, metrics, the access log and the admin listener show of it. */
import { execFile } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { normals, numbers, profileOf, times } from '../monitor/drift/profiles.ts'
import { MAIN, startWeir, type Weir } from './weir.ts'

const forest = join(import.meta.dirname, '../fixtures/outliers')
const golden = JSON.parse(readFileSync(join(forest, 'golden.json'), 'utf8')) as { columns: string[]; rows: number[][]; labels: number[] }
const folder = mkdtempSync(join(tmpdir(), 'weir-outliers-'))
const profile = join(folder, 'profile.json')
let weir: Weir

function file(backend: string): string {
  return `
backends:
  main: { answer: { rows: { score: 0.5 } } }
  forest: { onnx: ${join(forest, 'model.onnx')}, columns: [${golden.columns.join()}] }
routes:
  - { name: r, match: { path: /score }, backend: main, format: rows, plugins: [{ drift: { profile: ${profile}, outliers: { model: { backend: ${backend}, sample: 100%, usual: 5% } } } }] }
`
}

beforeAll(async () => {
  const z = normals(1)
  writeFileSync(profile, JSON.stringify(profileOf(Object.fromEntries(golden.columns.map((name) => [name, numbers(times(500, () => z()))])), 500)))
  weir = await startWeir(`access_log: stdout\n${file('forest')}`, { threads: 2 })
}, 30_000)
afterAll(async () => {
  await weir?.stop()
  rmSync(folder, { recursive: true })
})

it('scores what scikit-learn scored, and is no traffic', async () => {
  for (const row of golden.rows) {
    const answer = await fetch(`http://127.0.0.1:${weir.port}/score`, { method: 'POST', body: JSON.stringify(Object.fromEntries(golden.columns.map((name, c) => [name, row[c]]))) })
    expect([answer.status, await answer.json()]).toEqual([200, { score: 0.5 }])
  }
  const { length } = golden.rows
  const outliers = golden.labels.filter((label) => label < 0).length
  await expect.poll(async () => (await weir.metrics()).text).toContain(`weir_drift_outlier_model_total{route="r",outcome="scored"} ${length}`)
  const { text } = await weir.metrics()
  expect(text).toContain(`weir_drift_outlier_model_rows_total{route="r",verdict="outlier"} ${outliers}`)
  expect(text).toContain(`weir_drift_outlier_model_rows_total{route="r",verdict="inlier"} ${length - outliers}`)
  expect(text).toContain(`weir_drift_rows_total{route="r"} ${length}`)
  const requests = [...text.matchAll(/^weir_requests_total\{(.*)\} (\d+)$/gm)].filter(([, labels]) => labels!.includes('route="r"'))
  expect(requests.reduce((sum, [, , n]) => sum + Number(n), 0)).toBe(length)
  expect(weir.stdout.split('\n').filter((line) => line.includes('"path":"/score"') || line.includes('/score')).length).toBe(length)
  const state = (await (await fetch(`http://127.0.0.1:${weir.admin}/routes/r/drift/state`)).json()) as Record<string, unknown>
  expect(state['outlier_model']).toMatchObject({ backend: 'forest', usual: { outliers: 25, scored: 500 }, alarm: null })
})

it('a backend that the file does not have is refused where it stands', async () => {
  const bad = join(folder, 'bad.yaml')
  writeFileSync(bad, file('wood'))
  const out = await new Promise<string>((resolve) => execFile(process.execPath, [MAIN, 'check', bad], (_error, stdout, stderr) => resolve(stdout + stderr)))
  expect(out).toMatch(/bad\.yaml:6:\d+ .*outliers\.model\.backend[\s\S]*unknown-backend: there is no backend `wood`/)
})
