/** schema and guard over sockets, in front of the churn model inside: from the caller to the admin listener. */
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { startWeir, type Weir } from './weir.ts'

const model = fileURLToPath(new URL('../fixtures/models/churn/1/model.onnx', import.meta.url))
const row = { age: 40, tenure_months: 12, monthly_charge: 50, support_calls: 1, plan: 'basic', region: 'north', payment_method: 'card' }
let weir: Weir

beforeAll(async () => {
  const rules = '{ age: { type: INT, min: 18, max: 120 }, plan: { values: [basic, standard, premium] }, channel: { values: [web, app], required: false } }'
  const enforced = (action: string): string => `{ schema: { mode: enforce, action: ${action}, rules: ${rules} } }`
  weir = await startWeir(`
backends:
  churn: { onnx: ${model} }
  neutral: { answer: { rows: { label: 0, score: 0.5 } } }
  wild: { answer: { rows: { score: 1.7 } } }
routes:
  - { name: tag, match: { path: /tag }, backend: churn, format: rows, plugins: [${enforced('tag')}] }
  - { name: reject, match: { path: /reject }, backend: churn, format: rows, plugins: [${enforced('reject')}] }
  - { name: fallback, match: { path: /fallback }, backend: churn, format: rows, plugins: [${enforced('fallback')}, { fallback: { to: [neutral], on: [schema] } }] }
  - { name: clamp, match: { path: /clamp }, backend: wild, format: rows, plugins: [{ guard: { outputs: { score: { min: 0, max: 1, action: clamp } } } }] }
  - { name: saved, match: { path: /saved }, backend: wild, format: rows, plugins: [{ guard: { outputs: { score: { max: 1, action: fallback } } } }, { fallback: { to: [neutral], on: [invalid] } }] }
`, { threads: 2 })
}, 30_000)
afterAll(() => weir?.stop())

async function post(path: string, body: unknown): Promise<{ status: number; header: string | null; body: unknown }> {
  const answer = await fetch(`http://127.0.0.1:${weir.port}${path}`, { method: 'POST', body: JSON.stringify(body) })
  return { status: answer.status, header: answer.headers.get('x-weir-schema'), body: await answer.json() }
}

describe('schema', () => {
  it('lets a good row to the model, context that is no input of it included', async () => {
    expect(await post('/tag', { ...row, channel: 'web' })).toMatchObject({ status: 200, header: null, body: { label: expect.anything() as unknown } })
  })

  it('tags what is odd; context may be null where the model takes none', async () => {
    expect(await post('/tag', { ...row, age: 17 })).toMatchObject({ status: 200, header: 'INT_TYPE_SMALL_INT;age' })
    expect(await post('/tag', { ...row, channel: null })).toMatchObject({ status: 200, header: 'FEATURE_TYPE_LOW_FRACTION_PRESENT;channel' })
  })

  it('refuses with 422, or lets another backend answer', async () => {
    expect(await post('/reject', { ...row, plan: 'gold' })).toMatchObject({ status: 422, header: 'ENUM_TYPE_UNEXPECTED_STRING_VALUES;plan', body: { code: 'SCHEMA', anomalies: [{ feature: 'plan', found: '"gold"' }] } })
    expect(await post('/fallback', { ...row, plan: 'gold' })).toMatchObject({ status: 200, header: 'ENUM_TYPE_UNEXPECTED_STRING_VALUES;plan', body: { label: 0, score: 0.5 } })
    expect((await post('/fallback', row)).body).not.toMatchObject({ score: 0.5 })
  })

  it('counts over both threads, and shows its state', async () => {
    const metrics = await weir.metrics()
    expect(metrics.text).toContain('weir_schema_anomalies_total{route="tag",feature="age",anomaly="INT_TYPE_SMALL_INT"} 1')
    const state = await fetch(`http://127.0.0.1:${weir.admin}/routes/tag/schema/state`)
    expect(await state.json()).toMatchObject({ window: null, proposal: {} })
  })
})

describe('guard', () => {
  it('clamps, or leaves it to a fallback', async () => {
    expect(await post('/clamp', row)).toEqual({ status: 200, header: null, body: { score: 1 } })
    expect(await post('/saved', row)).toMatchObject({ status: 200, body: { score: 0.5 } })
  })
})
