/** Labels over sockets: a process with three data threads, so that most labels come to another thread than the prediction did. */
import { gzipSync } from 'node:zlib'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { startWeir, type Weir } from './weir.ts'

let weir: Weir

beforeAll(async () => {
  const labels = (more: string) => `{ labels: { window: 1s, span: 5m, keep: 10m, receipt: { secret: "\${RECEIPTS}" }${more} } }`
  weir = await startWeir(
    `
backends:
  high: { answer: { rows: { score: 0.9 } } }
  low: { answer: { rows: { score: 0.2 } } }
  page: { answer: { status: 200, body: theirs } }
routes:
  - { name: one, match: { path: /one }, backend: high, format: rows, plugins: [${labels('')}] }
  - { name: two, match: { path: /two }, backend: low, format: rows, plugins: [${labels(', max_body: 2MiB')}] }
  - { name: own, match: { path: /own }, backend: low, format: rows, plugins: [{ labels: { path: /own/labels, token: "\${TOKEN}" } }] }
  - { name: all, match: { method: GET, path: "/**" }, backend: page }
`,
    { threads: 3, env: { RECEIPTS: 'a secret of enough letters', TOKEN: 'a token of enough letters' } },
  )
})
afterAll(() => weir?.stop())

const url = (path: string): string => `http://127.0.0.1:${weir.port}${path}`
/** Every request on a connection of its own: the kernel deals them to the threads. */
const send = (path: string, body: unknown, headers: Record<string, string> = {}): Promise<Response> =>
  fetch(url(path), { method: 'POST', body: typeof body === 'string' || body instanceof Uint8Array ? (body as string) : JSON.stringify(body), headers: { 'content-type': 'application/json', connection: 'close', ...headers } })
const post = async (body: unknown, path = '/labels', headers: Record<string, string> = {}) => (await send(path, body, headers)).json() as Promise<Record<string, unknown>>

async function predict(path: string, count: number): Promise<{ readonly ids: string[]; readonly receipts: string[] }> {
  const answers = await Promise.all(Array.from({ length: count }, () => send(path, { a: 1 })))
  await Promise.all(answers.map((answer) => answer.arrayBuffer()))
  return { ids: answers.map(({ headers }) => headers.get('x-weir-inference-id')!), receipts: answers.map(({ headers }) => headers.get('x-weir-receipt')!) }
}

describe('labels', () => {
  it('are joined whichever thread they come to, once each', async () => {
    const { ids } = await predict('/one', 60)
    const first = await Promise.all(ids.map((inference_id) => post({ inference_id, label: 1 })))
    expect(first.filter(({ accepted }) => accepted === 1)).toHaveLength(60)
    // The same ones at once, on all threads.
    const again = await Promise.all([...ids, ...ids].map((inference_id) => post({ inference_id, label: 0 })))
    expect(again.filter(({ duplicate }) => duplicate === 1)).toHaveLength(120)
    expect((await weir.metrics()).sum('weir_labels_total', { route: 'one', outcome: 'accepted' })).toBe(60)
    expect((await weir.metrics()).sum('weir_labels_delay_seconds_count', { route: 'one' })).toBe(60)
  })

  it('come with receipts as well, and the page tells of all threads', async () => {
    const { receipts } = await predict('/one', 30)
    const found = await Promise.all([...receipts, ...receipts].map((receipt) => post({ receipt, label: 0 })))
    expect(found.filter(({ accepted }) => accepted === 1)).toHaveLength(30)
    expect(found.filter(({ duplicate }) => duplicate === 1)).toHaveLength(30)
    const page = (await (await fetch(`http://127.0.0.1:${weir.admin}/routes/one/labels/state`)).json()) as { ids: object; coverage_by_age: Record<string, object>; windows: { labelled: number }[] }
    expect(page.ids).toMatchObject({ waiting: 0, labelled: 90 })
    expect(page.coverage_by_age['1h']).toMatchObject({ predicted: 90, labelled: 90, share: 1 })
    expect(page.windows.reduce((sum, { labelled }) => sum + labelled, 0)).toBe(90)
  })

  it('go to the route whose predictions they are about', async () => {
    const { ids } = await predict('/two', 5)
    expect(await post(ids.map((inference_id) => ({ inference_id, label: 0 })))).toEqual({ accepted: 5, unknown: 0, duplicate: 0, late: 0, invalid: [] })
    expect((await weir.metrics()).sum('weir_labels_total', { route: 'two', outcome: 'accepted' })).toBe(5)
  })

  it('about nothing that is known are counted', async () => {
    expect(await post([{ inference_id: 'nobody', label: 0 }, { inference_id: 'nobody', label: 'x' }])).toMatchObject({ accepted: 0, unknown: 1, invalid: [{ index: 1 }] })
    await weir.untilMetric(1, 'weir_labels_total', { outcome: 'orphan' })
  })

  it('may be compressed, and are bounded', async () => {
    const many = Array.from({ length: 20_000 }, (_, i) => ({ inference_id: `id-${i}`, label: 0 }))
    expect(await post(gzipSync(JSON.stringify(many)), '/labels', { 'content-encoding': 'gzip' })).toMatchObject({ unknown: 20_000 })
    expect((await send('/labels', `"${'x'.repeat(2 << 20)}"`)).status).toBe(413)
  })

  it('are refused as elsewhere', async () => {
    const answers = await Promise.all([send('/labels', '{'), send('/labels', 'a,b', { 'content-type': 'text/csv' }), send('/labels', '{}', { 'content-encoding': 'br' }), send('/own/labels', {}), fetch(url('/own/labels'), { method: 'PUT' })])
    expect(answers.map(({ status }) => status)).toEqual([400, 415, 415, 403, 405])
    expect(answers[4]!.headers.get('allow')).toBe('POST, GET')
    expect(((await answers[3]!.json()) as { code: string }).code).toBe('FORBIDDEN')
  })

  it('are behind a token where there is one', async () => {
    const { ids } = await predict('/own', 3)
    const labels = ids.map((inference_id) => ({ inference_id, label: 0 }))
    expect((await send('/own/labels', labels, { authorization: 'Bearer wrong' })).status).toBe(403)
    expect(await post(labels, '/own/labels', { authorization: 'Bearer a token of enough letters' })).toMatchObject({ accepted: 3 })
  })

  it('leave the routes of the file alone: another method of the same path is theirs', async () => {
    expect(await (await fetch(url('/labels'))).text()).toBe('theirs')
  })

  it('become gauges', async () => {
    await expect.poll(async () => (await weir.metrics()).sum('weir_labels_coverage', { route: 'two', age: '1h' }), { timeout: 5000, interval: 100 }).toBe(1)
    await expect.poll(async () => (await weir.metrics()).sum('weir_labels_quality', { route: 'two', statistic: 'accuracy' }), { timeout: 5000, interval: 100 }).toBe(1)
  })
})
