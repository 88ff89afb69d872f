import { describe, expect, it } from 'vitest'
import type { AdminRequest } from '../../gateway/plugin.ts'
import { settled } from '../fake_clock.ts'
import { start } from './helpers.ts'

const issue = { severity: 'error', file: '/etc/weir.yaml', line: 3, column: 5, path: 'routes[0].backend', rule: 'unknown-backend', message: 'no backend "x"', help: '' } as const

describe('reading', () => {
  it('GET / lists every endpoint', async () => {
    const { json } = await (await start()).get('/')
    const { endpoints } = json as { endpoints: { path: string; methods: string[] }[] }
    expect(endpoints.map(({ path, methods }) => `${methods.join('|')} ${path}`)).toEqual([
      'GET /metrics', 'GET /ready', 'GET /healthz', 'GET /config', 'GET /routes', 'GET|POST /routes/<…>', 'GET /backends', 'GET /records', 'GET /alarms', 'GET /drift', 'GET /quality', 'GET /models', 'POST /models/<…>', 'POST /reload', 'POST /drain',
    ])
  })

  it('GET /metrics is Prometheus text with process metrics', async () => {
    const { status, headers, text } = await (await start()).get('/metrics')
    expect(status).toBe(200)
    expect(headers['content-type']).toBe('text/plain; version=0.0.4; charset=utf-8')
    expect(text).toContain('weir_requests_total{route="fraud",backend="fraud_v1",code="2xx"} 42\n')
    expect(text).toMatch(/^process_resident_memory_bytes \d+/m)
  })

  it.each([
    [{ ready: true, reason: 'ready' }, 200],
    [{ ready: false, reason: 'starting' }, 503],
    [{ ready: false, reason: 'draining' }, 503],
    [{ ready: false, reason: 'no_data_thread' }, 503],
  ] as const)('GET /ready %j is %i', async (readiness, status) => {
    const got = await (await start({ ready: () => readiness })).get('/ready')
    expect([got.status, got.json]).toEqual([status, readiness])
  })

  it('GET /healthz is 200 whatever /ready says', async () => {
    const got = await (await start({ ready: () => ({ ready: false, reason: 'draining' }) })).get('/healthz')
    expect([got.status, got.json]).toEqual([200, { status: 'ok' }])
  })

  it('GET /config, also after a reload that failed', async () => {
    const report = { file: '/etc/weir.yaml', hash: 'abc123', loaded_at: Date.UTC(2026, 0, 31, 12), synchronized: false, issues: [issue], config: { threads: 2 } }
    const { json } = await (await start({ config: () => report })).get('/config')
    expect(json).toEqual({ ...report, loaded_at: '2026-01-31T12:00:00.000Z' })
  })

  it('GET /config before the first load', async () => {
    const nothing = { file: '', hash: '', loaded_at: 0, synchronized: true, issues: [], config: null }
    expect((await (await start({ config: () => nothing })).get('/config')).json).toEqual({ ...nothing, loaded_at: null })
  })

  it('GET /routes and /models', async () => {
    const admin = await start()
    expect((await admin.get('/routes')).json).toEqual({ routes: [{ name: 'fraud' }] })
    expect((await admin.get('/models')).json).toEqual({ models: [{ name: 'cancer', versions: ['1'] }] })
  })

  it('HEAD is GET without the body', async () => {
    const { status, headers, text } = await (await start()).ask({ path: '/healthz', method: 'HEAD' })
    expect([status, headers['content-length'], text]).toEqual([200, String('{\n  "status": "ok"\n}\n'.length), ''])
  })

  it('is never cached and never guessed about', async () => {
    const { headers } = await (await start()).get('/ready')
    expect(headers).toMatchObject({ 'cache-control': 'no-store', 'x-content-type-options': 'nosniff', 'content-security-policy': "default-src 'none'" })
    expect(headers).not.toHaveProperty('access-control-allow-origin')
  })

  it.each(['/nothing', '/metrics/', '/ready/x', '//', '/routes/%zz/a/b', '*', '/__proto__', '/%2e%2e/config'])('GET %s is 404', async (path) => {
    const { status, json } = await (await start()).get(path)
    expect([status, json]).toEqual([404, { error: 'there is nothing here; / lists what there is' }])
  })

  it('the query does not matter to a path', async () => {
    expect((await (await start()).get('/ready?verbose')).status).toBe(200)
  })
})

describe('GET /backends', () => {
  it('names the threads that did not answer', async () => {
    const reports = [{ thread: 0, value: { a: [] } }, { thread: 1, error: 'no answer within 2000 ms' }]
    const { status, json } = await (await start({ backends: async () => reports })).get('/backends')
    expect([status, json]).toEqual([200, { backends: [{ name: 'a', endpoints: [] }], errors: [reports[1]] }])
  })

  it('is 504 when none answered', async () => {
    const reports = [{ thread: 0, error: 'dead' }]
    const { status, json } = await (await start({ backends: async () => reports })).get('/backends')
    expect([status, json]).toEqual([504, { backends: [], errors: reports }])
  })

  it('is 504 after two seconds when the control thread gets no answer at all', async () => {
    const admin = await start({ backends: () => new Promise(() => undefined) })
    const asked = admin.get('/backends')
    while (admin.clock.pending === 0) await settled()
    admin.clock.advance(1_999)
    await settled()
    admin.clock.advance(1)
    expect(await asked).toMatchObject({ status: 504, json: { error: 'the gateway gave no answer within 2000 ms' } })
    expect(admin.clock.pending).toBe(0)
  })

  it('is 500 without inner words when the control thread fails, and the log says why', async () => {
    const admin = await start({ backends: () => Promise.reject(new Error('secret detail')) })
    const { status, text } = await admin.get('/backends')
    expect(status).toBe(500)
    expect(text).not.toContain('secret detail')
    expect(admin.logged).toEqual(['an admin request failed'])
  })
})

describe('what monitors and records tell', () => {
  const raised = (time: number, reason: string) => ({ time, route: 'fraud', plugin: 'drift', kind: 'drift', feature: 'age', statistic: 'js_bits', score: 0.2, threshold: 0.05, reason }) as const
  const dead = { thread: 1, error: 'data thread 1 died' }

  it('GET /records gives the counts even when the records thread is silent, and says so', async () => {
    const sinks = [{ sink: 'lake', accepted: 3, delivered: 2, pending: { records: 1, bytes: 900 }, delivery: null }]
    expect(await (await start()).get('/records')).toMatchObject({ status: 200, json: { records: [{ sink: 'lake', accepted: 0 }] } })
    const silent = await (await start({ records: async () => ({ sinks, error: 'no answer to "report" within 1500 ms' }) })).get('/records')
    expect([silent.status, silent.json]).toEqual([200, { records: sinks, errors: [{ thread: 'records', error: 'no answer to "report" within 1500 ms' }] }])
  })

  it('GET /alarms puts those of all threads in order, the newest first', async () => {
    const at = Date.UTC(2026, 0, 31, 12)
    const reports = [{ thread: 0, value: [raised(at, 'first'), raised(at + 2000, 'fourth')] }, { thread: 1, value: [raised(at + 1000, 'second'), raised(at + 1000, 'third')] }]
    const { status, json } = await (await start({ alarms: async () => reports })).get('/alarms')
    const { alarms } = json as { alarms: { time: string; reason: string }[] }
    expect([status, alarms.map(({ reason }) => reason)]).toEqual([200, ['fourth', 'third', 'second', 'first']])
    expect(alarms[0]).toEqual({ ...raised(at, 'fourth'), time: '2026-01-31T12:00:02.000Z' })
  })

  it('GET /alarms names the threads that did not answer', async () => {
    const some = await (await start({ alarms: async () => [{ thread: 0, value: [] }, dead] })).get('/alarms')
    expect([some.status, some.json]).toEqual([200, { alarms: [], errors: [dead] }])
    const none = await (await start({ alarms: async () => [dead] })).get('/alarms')
    expect([none.status, none.json]).toEqual([504, { alarms: [], errors: [dead] }])
  })

  it.each([['/drift', 'drift', 'drift'], ['/quality', 'labels', 'quality']])('GET %s shows `%s` of every route', async (path, plugin, key) => {
    const asked: string[] = []
    const shown = [{ route: 'fraud', plugin, state: { window: 1 }, errors: [] }, { route: 'rank', plugin: `${plugin}#2`, state: { window: 2 }, errors: [dead] }]
    const admin = await start({ states: async (name) => (asked.push(name), shown) })
    const { status, json } = await admin.get(path)
    const states = [{ route: 'fraud', plugin, state: { window: 1 } }, { route: 'rank', plugin: `${plugin}#2`, state: { window: 2 } }]
    expect([asked, status, json]).toEqual([[plugin], 200, { [key]: states, errors: [{ route: 'rank', plugin: `${plugin}#2`, ...dead }] }])
    const nothing = await (await start()).get(path)
    expect([nothing.status, nothing.json]).toEqual([200, { [key]: [] }])
    const none = await (await start({ states: async () => [{ route: 'fraud', plugin, state: null, errors: [dead] }] })).get(path)
    expect(none).toMatchObject({ status: 504, json: { errors: [{ route: 'fraud', plugin, ...dead }] } })
  })
})

describe('a plugin\'s own pages', () => {
  it('get route, plugin, path, query and body as they were meant', async () => {
    const calls: unknown[][] = []
    const plugin = async (route: string, name: string, path: string, request: AdminRequest) => {
      calls.push([route, name, path, request.method, Object.fromEntries(request.query), request.body])
      return { kind: 'answer', value: { seen: calls.length }, errors: [] } as const
    }
    const admin = await start({ plugin })
    expect(await admin.get('/routes/my%20route/split%232/state?a=1&b=%26')).toMatchObject({ status: 200, json: { seen: 1 } })
    expect(await admin.post('/routes/fraud/split/arms/fraud_v1', '{"weight":5}')).toMatchObject({ status: 200, json: { seen: 2 } })
    expect(calls).toEqual([
      ['my route', 'split#2', '/state', 'GET', { a: '1', b: '&' }, undefined],
      ['fraud', 'split', '/arms/fraud_v1', 'POST', {}, { weight: 5 }],
    ])
  })

  it.each(['/routes/', '/routes/fraud', '/routes/fraud/split'])('GET %s says how to ask', async (path) => {
    expect(await (await start()).get(path)).toMatchObject({ status: 404, json: { error: 'say /routes/<route>/<plugin>/<path>' } })
  })

  it('unknown ones are 404, other methods 405 with allow', async () => {
    expect((await (await start()).get('/routes/fraud/split/nothing')).status).toBe(404)
    const admin = await start({ plugin: async () => ({ kind: 'method', allow: ['POST'] }) })
    const { status, headers, json } = await admin.get('/routes/fraud/split/arms')
    expect([status, headers['allow'], json]).toEqual([405, 'POST', { error: 'use POST' }])
  })

  it('threads that failed are named beside what the others said', async () => {
    const errors = [{ thread: 1, error: 'it threw' }]
    const some = await start({ plugin: async () => ({ kind: 'answer', value: 7, errors }) })
    expect(await some.get('/routes/a/b/c')).toMatchObject({ status: 200, json: { value: 7, errors } })
    const none = await start({ plugin: async () => ({ kind: 'answer', value: undefined, errors }) })
    expect(await none.get('/routes/a/b/c')).toMatchObject({ status: 504, json: { errors } })
  })

  it('a value that JSON cannot carry is an error, not a hang', async () => {
    const cycle: Record<string, unknown> = {}
    cycle['self'] = cycle
    const admin = await start({ plugin: async () => ({ kind: 'answer', value: cycle, errors: [] }) })
    expect(await admin.get('/routes/a/b/c')).toMatchObject({ status: 500, json: { error: 'the answer cannot be written as JSON; the log says why' } })
  })

  it('a body that is no JSON is 400, one that is too large 413', async () => {
    const admin = await start({ plugin: async () => ({ kind: 'answer', value: 1, errors: [] }) })
    expect(await admin.post('/routes/a/b/c', '{')).toMatchObject({ status: 400, json: { error: 'the body is not JSON' } })
    expect((await admin.post('/routes/a/b/c', JSON.stringify('x'.repeat((1 << 20) - 2)))).status).toBe(200)
    expect((await admin.post('/routes/a/b/c', JSON.stringify('x'.repeat((1 << 20) - 1)))).status).toBe(413)
    expect((await admin.post('/routes/a/b/c', JSON.stringify('x'.repeat(8 << 20)))).status).toBe(413)
  })
})

describe('changing', () => {
  it('POST /reload tells what came of it', async () => {
    expect(await (await start()).post('/reload')).toMatchObject({ status: 200, json: { ok: true, hash: 'def456', issues: [] } })
    const bad = await start({ reload: async () => ({ ok: false, hash: 'abc123', issues: [issue] }) })
    expect(await bad.post('/reload')).toMatchObject({ status: 422, json: { ok: false, hash: 'abc123', issues: [issue] } })
  })

  it('POST /models/<name>/load and /unload say what came of it', async () => {
    const asked: string[][] = []
    const repository = async (action: string, name: string) => (asked.push([action, name]), null)
    const admin = await start({ repository })
    expect(await admin.post('/models/my%20model/load')).toMatchObject({ status: 200, json: { model: 'my model', state: 'ready' } })
    expect(await admin.post('/models/..%2Fetc/unload')).toMatchObject({ status: 200, json: { model: '../etc', state: 'unloaded' } })
    expect(asked).toEqual([['load', 'my model'], ['unload', '../etc']])
    const unknown = await start({ repository: async () => ({ code: 'MODEL_NOT_FOUND', message: 'there is no model "x"' }) })
    expect(await unknown.post('/models/x/load')).toMatchObject({ status: 404, json: { error: 'there is no model "x"' } })
    const bad = await start({ repository: async () => ({ code: 'MODEL_NOT_READY', message: 'x/1/model.onnx: Protobuf parsing failed.' }) })
    expect(await bad.post('/models/x/load')).toMatchObject({ status: 422, json: { error: 'x/1/model.onnx: Protobuf parsing failed.' } })
  })

  it.each(['/models/', '/models/x', '/models/x/reload', '/models/x/load/1'])('POST %s is 404 and says what to say', async (path) => {
    expect(await (await start()).post(path)).toMatchObject({ status: 404, json: { error: 'say /models/<name>/load or /models/<name>/unload' } })
  })

  it('POST /drain begins to stop', async () => {
    let drains = 0
    const admin = await start({ drain: () => void drains++ })
    expect(await admin.post('/drain')).toMatchObject({ status: 202, json: { status: 'draining' } })
    expect(drains).toBe(1)
  })

  it.each([
    ['GET', '/reload', 'POST'], ['GET', '/models/x/unload', 'POST'], ['GET', '/drain', 'POST'], ['HEAD', '/drain', 'POST'], ['PUT', '/drain', 'POST'],
    ['POST', '/metrics', 'GET'], ['POST', '/', 'GET'], ['DELETE', '/config', 'GET'], ['OPTIONS', '/ready', 'GET'],
  ])('%s %s is 405 with allow: %s and changes nothing', async (method, path, allow) => {
    let changed = false
    const admin = await start({ drain: () => void (changed = true), reload: async () => ((changed = true), { ok: true, hash: '', issues: [] }) })
    const { status, headers } = await admin.ask({ method, path })
    expect([status, headers['allow'], changed]).toEqual([405, allow, false])
  })
})
