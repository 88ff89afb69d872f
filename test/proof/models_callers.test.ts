/**
 * Two hundred callers at once, each with rows of his own: some ask for what makes the run fail, some hang up on the way. Inline, on an
 * inference thread with rows of callers joined, and through a translation to another weir, everybody gets his own row or his own error,
 * and what weir counts adds up. `WEIR_PROOF=full` asks ten times as often.
 */
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type Metrics, startWeir, type Weir } from '../blackbox/weir.ts'
import { graph } from '../models/graphs.ts'
import { temporary } from '../models/setup.ts'
import { Callers } from './calls.ts'

const CALLERS = 200
const ROUNDS = process.env['WEIR_PROOF'] === 'full' ? 50 : 5
const IDS = 1000
const WIDTH = 64
/** So many products by the identity take about half a millisecond: enough to be left, and for rows to come together. */
const PRODUCTS = 40

/** `vectors` [N, 64] = rows of a table, in which element j of row i is 64 i + j; an id beyond it fails the run. */
function lookup(): Buffer {
  const steps = Array.from({ length: PRODUCTS }, (_, i) => ({ op: 'MatMul', inputs: [`h${i}`, 'identity'], outputs: [i === PRODUCTS - 1 ? 'vectors' : `h${i + 1}`] }))
  return graph({
    inputs: [{ name: 'ids', type: 'INT64', shape: ['N'] }], outputs: [{ name: 'vectors', type: 'FP32', shape: ['N', WIDTH] }],
    nodes: [{ op: 'Gather', inputs: ['table', 'ids'], outputs: ['h0'] }, ...steps],
    initializers: [
      { name: 'table', type: 'FP32', shape: [IDS, WIDTH], data: Float32Array.from({ length: IDS * WIDTH }, (_, i) => i) },
      { name: 'identity', type: 'FP32', shape: [WIDTH, WIDTH], data: Float32Array.from({ length: WIDTH * WIDTH }, (_, i) => (i % (WIDTH + 1) === 0 ? 1 : 0)) },
    ],
  })
}

const models = temporary()
const callers = new Callers()
let behind: Weir
let front: Weir
beforeAll(async () => {
  mkdirSync(join(models.path, 'lookup/1'), { recursive: true })
  const file = join(models.path, 'lookup/1/model.onnx')
  writeFileSync(file, lookup())
  behind = await startWeir(`
models: { path: ${models.path}, placement: thread }
backends:
  inline: { onnx: ${file}, placement: inline }
  thread: { onnx: ${file}, placement: thread }
routes:
  - { name: inline, match: { path: /inline }, format: oip, backend: inline }
  - { name: thread, match: { path: /thread }, format: oip, backend: thread }
`, { threads: 2 })
  front = await startWeir(`
backends:
  translated: { url: "http://127.0.0.1:${behind.port}", speaks: { format: oip, model: lookup } }
routes:
  - { name: translated, match: { path: /translated }, format: rows, backend: translated }
`)
}, 40_000)
afterAll(async () => {
  callers.close()
  await front?.stop()
  await behind?.stop()
  models.remove()
})

interface Path {
  readonly name: string
  readonly weir: () => Weir
  /** What it is called where it runs. */
  readonly model: string
  body(ids: readonly number[]): string
  vectors(text: string): number[]
}

const tensor = { body: (ids: readonly number[]) => JSON.stringify({ inputs: [{ name: 'ids', datatype: 'INT64', shape: [ids.length], data: ids }] }), vectors: (text: string) => (JSON.parse(text) as { outputs: { data: number[] }[] }).outputs[0]!.data }
const paths: readonly Path[] = [
  { name: 'inline', weir: () => behind, model: 'inline', ...tensor },
  { name: 'thread', weir: () => behind, model: 'thread', ...tensor },
  {
    name: 'translated', weir: () => front, model: 'lookup',
    body: (ids) => JSON.stringify(ids.map((id) => ({ ids: id }))),
    vectors: (text) => (JSON.parse(text) as { vectors: number[] }[]).flatMap(({ vectors }) => vectors),
  },
]

const expected = (ids: readonly number[]) => ids.flatMap((id) => Array.from({ length: WIDTH }, (_, j) => WIDTH * id + j))

interface Counts {
  answered: number
  failed: number
  left: number
  rows: number
}

/** One after the other; every ninth request fails, every seventh is left. Rows are of nobody else's at the time. */
async function caller(path: Path, index: number, counts: Counts): Promise<void> {
  for (let round = 0; round < ROUNDS; round++) {
    const nth = index * ROUNDS + round
    const ids = Array.from({ length: 1 + (nth % 3) }, (_, i) => (index * 5 + i + round) % IDS)
    const bad = nth % 9 === 0
    if (bad) ids[ids.length - 1] = IDS + nth
    const answer = await callers.post(path.weir().port, `/${path.name}`, path.body(ids), !bad && nth % 7 === 0 ? nth % 5 : null)
    if (answer === null) counts.left++
    else if (bad) {
      expect(answer.status, answer.body).toBe(500)
      expect(answer.body).toContain('failed on this input')
      counts.failed++
    } else {
      expect(answer.status, answer.body).toBe(200)
      expect(path.vectors(answer.body)).toEqual(expected(ids))
      counts.answered++
      counts.rows += ids.length
    }
  }
}

const outcomes = (metrics: Metrics, model: string, outcome?: string): number => metrics.sum('weir_model_requests_total', { model, ...(outcome !== undefined && { outcome }) })
const codes = (metrics: Metrics, route: string, code?: string): number => metrics.sum('weir_requests_total', { route, ...(code !== undefined && { code }) })

describe.each(paths)('$name', (path) => {
  it(`${CALLERS} callers, ${ROUNDS} requests each: nobody gets a row of somebody else, and counts conserve`, { timeout: 120_000 }, async () => {
    const counts: Counts = { answered: 0, failed: 0, left: 0, rows: 0 }
    await Promise.all(Array.from({ length: CALLERS }, (_, index) => caller(path, index, counts)))
    const { answered, failed, left, rows } = counts
    expect(answered + failed + left).toBe(CALLERS * ROUNDS)
    expect(Math.min(answered, failed, left)).toBeGreaterThan(0)

    // Requests that were left may still be under way.
    const total = async (): Promise<number> => codes(await path.weir().metrics(), path.name)
    let before = -1
    await expect.poll(async () => {
      const [now, last] = [await total(), before]
      before = now
      return now === last
    }, { interval: 100, timeout: 5000 }).toBe(true)

    const edge = await path.weir().metrics()
    // Who left did so before, while or after weir read the request; all the others have exactly one record of their kind.
    expect(codes(edge, path.name, '4xx') + codes(edge, path.name, '5xx')).toBe(failed)
    expect(codes(edge, path.name, '2xx')).toBeGreaterThanOrEqual(answered)
    expect(codes(edge, path.name, '2xx') + codes(edge, path.name, '499')).toBeLessThanOrEqual(answered + left)

    const model = await behind.metrics()
    const [ok, run, cancelled] = ['ok', 'run', 'cancelled'].map((outcome) => outcomes(model, path.model, outcome))
    expect([run, outcomes(model, path.model)]).toEqual([failed, ok! + run! + cancelled!])
    expect(ok).toBeGreaterThanOrEqual(answered)
    expect(ok! + cancelled!).toBeLessThanOrEqual(answered + left)
    // Three rows at most of each request that was computed though its caller had left.
    const computed = model.sum('weir_model_rows_total', { model: path.model })
    expect(computed).toBeGreaterThanOrEqual(rows)
    expect(computed).toBeLessThanOrEqual(rows + 3 * (ok! - answered))
    // Joined runs are fewer than requests, if the callers are quick enough to meet; inline nothing is joined.
    const runs = model.sum('weir_model_runs_total', { model: path.model })
    if (path.name === 'inline') expect(runs).toBe(ok)
    else expect(runs).toBeLessThanOrEqual(ok!)
  })
})
