/** `weir backtest` from files to what it says: the requests it makes, the time they see, what it stands in for, and its complaints. */
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'
import { parquetWriteBuffer } from 'hyparquet-writer'
import { describe, expect, test } from 'vitest'
import type { LogRecord } from '../../gateway/records/record.ts'
import { lineOf } from '../../gateway/records/sinks/envelope.ts'
import { ParquetSink } from '../../gateway/records/sinks/parquet.ts'
import { deps, spool } from '../sinks/setup.ts'
import { configOf, file, folder, jsonl, models, run, seen, TELLER } from './setup.ts'

const at = (minutes: number): string => new Date(Date.UTC(2026, 2, 2) + minutes * 60_000).toISOString()

describe('rows', () => {
  test('are requests in the format of the route, on their own time, without time, request_id and label', async () => {
    const path = file(jsonl([{ request_id: 'a-1', time: at(10), age: 30, plan: 'basic', churn: 1 }, { request_id: 'bad id', time: at(11), age: null, plan: 'pro', churn: 0 }]))
    const ran = await run(path, configOf([TELLER]), '--json --label churn')
    expect(ran.code).toBe(0)
    expect(ran.report.rows).toBe(2)
    const [first, second] = seen(ran)
    expect(first).toEqual({ at: at(10), id: 'a-1', method: 'POST', target: '/r', took: 0, status: 200, input: { age: 30, plan: 'basic' }, output: { score: 0.5 } })
    expect(second).toMatchObject({ at: at(11), input: { age: null, plan: 'pro' } })
    expect(second!.id).not.toContain(' ')
  })

  test.each([
    ['CSV', file.bind(null, `time,age,plan\n${at(10)},30,basic\n${at(11)},,pro\n`, 'a.csv')],
    ['Parquet', () => file(Buffer.from(parquetWriteBuffer({ columnData: [
      { name: 'time', data: [new Date(at(10)), new Date(at(11))], type: 'TIMESTAMP' }, { name: 'age', data: [30, null], type: 'INT32', nullable: true }, { name: 'plan', data: ['basic', 'pro'], type: 'STRING' },
    ] })), 'a.parquet')],
    ['JSONL with times in seconds', () => file(jsonl([{ time: Date.parse(at(10)) / 1000, age: 30, plan: 'basic' }, { time: Date.parse(at(11)) / 1000, age: null, plan: 'pro' }]))],
  ])('of %s', async (_name, make) => {
    expect(seen(await run(make(), configOf([TELLER]))).map(({ at, input }) => [at, input])).toEqual([[at(10), { age: 30, plan: 'basic' }], [at(11), { age: null, plan: 'pro' }]])
  })

  test('are run between --from and --to, at most --limit, from another column of times', async () => {
    const path = file(jsonl(Array.from({ length: 10 }, (_, i) => ({ when: at(i), n: i }))))
    const ran = await run(path, configOf([TELLER]), `--json --time when --from ${at(2)} --to ${at(8)} --limit 4`)
    expect(ran.report.rows).toBe(4)
    expect(seen(ran).map(({ input }) => input)).toEqual([{ n: 2 }, { n: 3 }, { n: 4 }, { n: 5 }])
  })

  test('close windows on time, the last one too; what only the end of the file explains is left out', async () => {
    const path = file(jsonl([5, 50, 70, 190].map((minute) => ({ time: at(minute), n: minute }))))
    const ran = await run(path, configOf([TELLER]))
    const windows = (kind: string) => ran.report.alarms.filter((alarm) => alarm.kind === kind).map(({ time, score }) => [time, score])
    expect(windows('drift')).toEqual([[at(60), 2], [at(120), 1], [at(180), 0], [at(240), 1]])
    // Of the window in which the file ends nobody can say how many rows it has.
    expect(windows('rate')).toEqual([[at(60), 2], [at(120), 1], [at(180), 0]])
    expect(ran.error).toMatch(/\d+ alarms? left out that there were only because the file ends/)
  })

  test('go to a model inside as tensors of its types, whatever the format', async () => {
    const golden = JSON.parse(readFileSync(join(models, 'churn/1/golden.json'), 'utf8')) as { name: string; request: { inputs: { name: string; datatype: string; shape: number[]; data: (number | string)[] }[] }; response_outputs: { name: string; data: number[] }[] }[]
    const { request, response_outputs } = golden.find(({ request }) => request.inputs[0]!.shape[0] === 4)!
    const rows = Array.from({ length: 4 }, (_, row) => Object.fromEntries([['time', at(row)], ...request.inputs.map(({ name, data }) => [name, data[row]])]))
    for (const format of ['oip', 'rows', 'kserve_v1']) {
      const ran = await run(file(jsonl(rows)), configOf([TELLER], { format, backend: `{ onnx: ${join(models, 'churn/1/model.onnx')}, placement: thread }` }))
      expect(ran.error).not.toMatch(/got |failed/)
      const probabilities = seen(ran).flatMap(({ output }) => (output as { probabilities: number[] }).probabilities)
      const expected = response_outputs.find(({ name }) => name === 'probabilities')!.data
      expect(probabilities).toHaveLength(expected.length)
      probabilities.forEach((value, i) => expect(value).toBeCloseTo(expected[i]!, 4))
    }
  })

  test('that the model cannot take are counted, with the first reason', async () => {
    const ran = await run(file(jsonl([{ time: at(0), age: 1 }, { time: at(1), age: 2 }])), configOf([TELLER], { format: 'oip', backend: `{ onnx: ${join(models, 'churn/1/model.onnx')} }` }))
    expect(ran.report.rows).toBe(2)
    expect(ran.error).toContain('2 requests could not be made, the first: row 1: missing features "tenure_months"')
  })
})

describe('labels', () => {
  /** Scores are the truth turned round in the second half, so the AUC falls from 1 to 0. */
  const rows = Array.from({ length: 400 }, (_, i) => ({ request_id: `r-${i}`, time: at(i), age: i, score: i < 200 ? (i % 2) * 0.8 + 0.1 : 0.9 - (i % 2) * 0.8, churn: i % 2 }))
  const labels = (more: string) => `{ labels: { prediction: output.score, window: 1h, span: 1h, min_labels: 20, alarms: { auc: { min: 0.7 } }${more} } }`
  const http = { backend: '{ url: "http://192.0.2.1:1" }' }

  test.each(['', ', by: request_id', ', token: "a secret of sixteen"'])('go to the plugin labels as callers send them%s', async (more) => {
    const { code, error, report } = await run(file(jsonl(rows)), configOf([labels(more)], http), '--label churn --prediction score --json')
    expect([code, error]).toEqual([0, 'weir: backend b was not asked: its 400 answers came from the file\n'])
    // Row 200 is of the fourth hour.
    expect(report.alarms[0]).toMatchObject({ time: at(240), kind: 'quality', statistic: 'auc', threshold: 0.7 })
  })

  test('that are missing are left out, those that are wrong are told of', async () => {
    const some = rows.map((row, i) => ({ ...row, churn: i === 0 ? 'perhaps' : i < 100 ? null : row.churn }))
    const { out, error } = await run(file(jsonl(some)), configOf([labels('')], http), '--label churn --prediction score')
    expect(out).toContain('\nlabels: 301\n')
    expect(error).toMatch(/1 label of 301 not taken, the first: row 1: .*expected 0 or 1/)
  })

  test('without the plugin go nowhere, and that is told', async () => {
    expect((await run(file(jsonl(rows)), configOf([TELLER]), '--label churn --json')).error).toContain('the labels in "churn" went nowhere: route "r" has no plugin labels')
  })
})

describe('what is not asked', () => {
  const http = { backend: '{ url: "http://192.0.2.1:1" }' }
  const path = () => file(jsonl([{ time: at(0), age: 30, score: 0.25 }]))

  test('answers what the file says, in the format of the route', async () => {
    for (const format of ['rows', 'oip']) {
      const ran = await run(path(), configOf([TELLER], { ...http, format }), '--json --prediction score')
      expect(seen(ran)[0]).toMatchObject({ input: { age: 30 }, output: { score: 0.25 }, status: 200 })
      expect(ran.error).toContain('backend b was not asked: its 1 answer came from the file')
    }
  })

  test('answers nothing when the file does not say, and that is told', async () => {
    const ran = await run(path(), configOf([TELLER], http))
    expect(seen(ran)[0]).toMatchObject({ output: {} })
    expect(ran.error).toContain('backend b was not asked and the file does not say what it answers (1 of 1 request): monitors of answers saw none; --prediction COLUMN')
  })

  test('sinks get nothing, and no folder is written to', async () => {
    const into = folder()
    const config = configOf(['{ log: { sink: lake } }', TELLER], { more: `state: ${into}/state\nsinks:\n  lake: { jsonl: ${into}/lake }` })
    const ran = await run(path(), config)
    expect(ran.code).toBe(0)
    expect(ran.error).toContain('1 record of log went nowhere')
    expect([existsSync(join(into, 'lake')), existsSync(join(into, 'state'))]).toEqual([false, false])
  })
})

describe('a log of weir', () => {
  const body = (text: string) => ({ bytes: Buffer.from(text), length: text.length, truncated: false, type: 'application/json', encoding: '' })
  const record = (n: number, more: Partial<LogRecord> = {}): LogRecord => ({
    record_id: `01890a5d-ac96-774b-8cce-${String(n).padStart(12, '0')}`, inference_id: '01890a5d-ac96-774b-bcce-b302099a8057', request_id: `request-${n}`, time: Date.parse(at(n)), route: 'r',
    backend: 'b', arm: '', model: '', version: '', method: 'POST', target: '/r?x=1', status: 200, reason: '', flags: [], attempts: 1, fallback: '', duration_ms: 40, backend_ms: 30, format: 'rows',
    request_headers: [], response_headers: [], request: body(`{"age":${n}}`), sent: null, response: body(`{"score":0.${n}}`), ...more,
  })

  test('is run as it was: requests, answers, how long they took', async () => {
    const records = [record(2), record(1), record(3, { route: 'other' }), record(4, { status: 503, reason: 'OVERLOADED', response: body('{"error":"busy"}') }), record(5, { request: { ...body('{"a'), truncated: true } })]
    const ran = await run(file(records.map(lineOf).join('')), configOf([TELLER], { backend: '{ url: "http://192.0.2.1:1" }' }))
    expect(ran.report.rows).toBe(3)
    expect(seen(ran)).toEqual([
      { at: at(1), id: 'request-1', method: 'POST', target: '/r?x=1', took: 40, status: 200, input: { age: 1 }, output: { score: 0.1 } },
      { at: at(2), id: 'request-2', method: 'POST', target: '/r?x=1', took: 40, status: 200, input: { age: 2 }, output: { score: 0.2 } },
      { at: at(4), id: 'request-4', method: 'POST', target: '/r?x=1', took: 40, status: 503, input: { age: 4 }, output: null },
    ])
    expect(ran.error).toContain('1 records were left out: another route')
    expect(ran.error).toContain('1 records were left out: the request was not logged whole')
  })

  test('in Parquet, in coded bodies too', async () => {
    const path = join(folder(), 'lake')
    const sink = new ParquetSink({ kind: 'parquet', name: 'lake', path, max_rows: 1000, columns: true, rotate_ms: 1000, spool }, deps())
    await sink.open(null)
    const coded = { ...body(''), bytes: gzipSync('{"score":0.7}'), encoding: 'gzip' }
    expect((await sink.deliver([record(2, { response: coded }), record(1), record(3, { route: 'other' })])).delivered).toBe(3)
    await sink.close()
    const ran = await run(path, configOf([TELLER], { backend: '{ url: "http://192.0.2.1:1" }' }))
    expect(seen(ran).map(({ at, id, input, output }) => [at, id, input, output])).toEqual([[at(1), 'request-1', { age: 1 }, { score: 0.1 }], [at(2), 'request-2', { age: 2 }, { score: 0.7 }]])
  })
})

test('what waits for a timer gets it', async () => {
  const path = file(jsonl([{ time: at(0), n: 1 }, { time: at(1), n: 2 }]))
  const ran = await run(path, configOf([TELLER.replace('{}', '{ pause: 90s }')]))
  expect(seen(ran).map(({ at, took }) => [at, took])).toEqual([[at(1.5), 90_000], [at(3), 90_000]])
})

describe('reports', () => {
  const rows = Array.from({ length: 240 }, (_, i) => ({ time: at(i), age: i < 120 ? 40 : 400 }))
  const config = () => configOf(['{ schema: { rules: { age: { type: INT, min: 18, max: 120 } }, window: 1h } }'])

  test('as JSON, exactly', async () => {
    const { out, error, code } = await run(file(jsonl(rows)), config())
    expect([code, error]).toEqual([0, ''])
    const { rows: n, alarms, ...rest } = JSON.parse(out) as { rows: number; alarms: Record<string, unknown>[] }
    expect([n, rest, alarms.length]).toEqual([240, {}, 1])
    expect(Object.keys(alarms[0]!)).toEqual(['time', 'kind', 'feature', 'statistic', 'score', 'threshold', 'reason'])
    // 60 of 60 rows of the third hour are above 120.
    expect(alarms[0]).toMatchObject({ time: at(180), kind: 'schema', feature: 'age', score: 1 })
  })

  test('for people: a timeline, a summary, and the same alarms', async () => {
    const { out } = await run(file(jsonl(rows)), config(), '')
    expect(out).toContain('240 rows, 2026-03-02T00:00:00.000Z to 2026-03-02T03:59:00.000Z (4.0 hours)\nanswers: 200 × 240\n')
    expect(out).toContain('\n2026-03-02T03:00Z  schema      age  ')
    expect(out).toMatch(/\nfeature +kind +alarms +first +last\nage +schema +1 +2026-03-02T03:00Z +2026-03-02T03:00Z\n$/)
    expect((await run(file(jsonl(rows.slice(0, 120))), config(), '')).out).toContain('\nNo alarm.\n')
  })

  test('are the same every time', async () => {
    const path = file(jsonl(rows))
    expect((await run(path, config())).out).toBe((await run(path, config())).out)
  })
})

describe('what cannot be run is told, exit 2', () => {
  const good = () => file(jsonl([{ time: at(0), age: 1, churn: 0 }]))
  const monitored = () => configOf([TELLER])

  test.each([
    ['a file that is not there', () => '/nowhere/a.jsonl', '', 'a.jsonl'],
    ['a file without rows', () => file(''), '', 'expected rows with a column "time", found none'],
    ['no column of times', () => file(jsonl([{ tine: at(0), age: 1 }])), '', 'expected a column "time" (--time COLUMN says which one is), found tine, age; did you mean "tine"?'],
    ['no column of labels', good, '--label chrun', 'expected a column "chrun" (no such column), found time, age, churn; did you mean "churn"?'],
    ['a time that is none', () => file(jsonl([{ time: at(0), age: 1 }, { time: 'noon', age: 1 }])), '', 'row 2, column "time": expected a time'],
    ['labels of a log', () => file(`{"record_id":"1","route":"r"}\n`), '--label churn', 'which have no labels'],
  ])('%s', async (_name, path, words, message) => {
    const ran = await run(path(), monitored(), words)
    expect([ran.code, ran.out]).toEqual([2, ''])
    expect(ran.error).toContain(message)
  })

  test('a route that is not there, or watches nothing', async () => {
    await expect(run(good(), monitored(), '--route rr')).rejects.toMatchObject({ message: 'there is no route "rr" in the configuration', help: 'Did you mean `--route r`?' })
    await expect(run(good(), configOf(['{ timeout: { total: 1s } }']))).rejects.toMatchObject({ message: 'route "r" has no plugin that raises alarms', help: expect.stringMatching(/^Give it one of .*schema/) })
  })

  test('a configuration that is wrong, or whose profile or model is', async () => {
    expect(await run(good(), configOf(['{ schema: { profle: a.json } }']))).toMatchObject({ code: 2, out: '' })
    const profile = await run(good(), configOf(['{ schema: { profile: weir.yaml } }']))
    expect([profile.code, profile.error]).toEqual([2, expect.stringContaining('routes[0].plugins[0]')])
    const model = await run(good(), configOf([TELLER], { backend: `{ onnx: ${join(models, '../bad_models/truncated.onnx')} }` }))
    expect([model.code, model.error]).toEqual([2, expect.stringContaining('backends.b')])
  })

  test('a file without a row of the route is told of', async () => {
    const ran = await run(good(), monitored(), `--json --from ${at(1)}`)
    expect([ran.code, ran.out]).toEqual([0, '{"rows":0,"alarms":[]}\n'])
    expect(ran.error).toContain('nothing was run')
  })
})
