/** Every file of config/examples loads without a complaint; the ones that answer something are run with the commands in their heads. */
import { readdirSync, readFileSync } from 'node:fs'
import { createServer as createTls } from 'node:https'
import { createServer, type IncomingMessage, type RequestListener, type Server } from 'node:http'
import { join } from 'node:path'
import { afterEach, describe, expect, test, vi } from 'vitest'
import { parseAllDocuments } from 'yaml'
import { type Example, example } from './helpers/examples.ts'
import { root } from './helpers/imports.ts'
import { describeWith } from './servers.ts'

const examples = readdirSync(join(root, 'config/examples')).filter((name) => name.endsWith('.yaml'))
const files = ['weir.yaml', ...examples.map((name) => `examples/${name}`)]

/** What is open in the running test. */
const open: { close(): Promise<void> | void }[] = []
afterEach(async () => {
  for (const one of open.splice(0).reverse()) await one.close()
})

async function prepared(name: string, change?: (text: string) => string): Promise<Example> {
  const one = await example(name, change)
  open.push(one)
  return one
}

async function started(name: string): Promise<Example> {
  const one = await prepared(name)
  await one.start()
  return one
}

/** A model server that tells what it got. */
const echo =
  (server: string): RequestListener =>
  async (request: IncomingMessage, response) => {
    let body = ''
    for await (const chunk of request) body += String(chunk)
    response.setHeader('server', server)
    response.end(JSON.stringify({ server, method: request.method, url: request.url, headers: request.headers, body }))
  }

/** A server of the Open Inference Protocol whose one model gives the first column of its matrix back. */
const oneModel: RequestListener = async (request, response) => {
  let body = ''
  for await (const chunk of request) body += String(chunk)
  response.setHeader('content-type', 'application/json')
  if (request.url === '/v2/models/fraud') return void response.end(JSON.stringify({ name: 'fraud', inputs: [{ name: 'x', datatype: 'FP32', shape: [-1, 2] }], outputs: [] }))
  const { inputs } = JSON.parse(body) as { inputs: [{ shape: [number, number]; data: number[] }] }
  const data = inputs[0].data.filter((_, i) => i % 2 === 0)
  response.end(JSON.stringify({ model_name: 'fraud', outputs: [{ name: 'score', datatype: 'FP32', shape: [data.length], data }] }))
}

async function serve(at: number | string, listener: RequestListener, server: Server = createServer(listener)): Promise<void> {
  await new Promise<void>((resolve) => (typeof at === 'number' ? server.listen(at, '127.0.0.1', resolve) : server.listen(at, resolve)))
  open.push({
    close: () => {
      server.closeAllConnections()
      server.close()
    },
  })
}

interface Shown {
  readonly status: number
  readonly headers: string
  readonly json: unknown
}

/** Output of `curl -si` or `curl -s`. */
function shown(output: string): Shown {
  if (!output.startsWith('HTTP/')) return { status: 0, headers: '', json: JSON.parse(output) }
  const end = output.indexOf('\r\n\r\n')
  const head = output.slice(0, end)
  return { status: Number(head.split(' ')[1]), headers: head.toLowerCase(), json: JSON.parse(output.slice(end + 4) || 'null') }
}

async function curl(one: Example, index = 0): Promise<Shown> {
  return shown(await one.shell(one.curls[index]!))
}

/** A row of breast_cancer whose label is 1. What scikit-learn, which trained them, says: P(1) = 0.990304708 for version 1, 0.99 for version 2. */
const VERSION_1 = 0.990304708
const VERSION_2 = 0.99

function expectBenign(json: unknown, probability = VERSION_1): void {
  const { outputs } = json as { outputs: { name: string; data: number[] }[] }
  expect(outputs.find(({ name }) => name === 'label')?.data.map(Number)).toEqual([1])
  expect(outputs.find(({ name }) => name === 'probabilities')?.data[1]).toBeCloseTo(probability, 5)
}

describe('every example', () => {
  test('is found', () => {
    expect(examples).toEqual(expect.arrayContaining(['proxy.yaml', 'fallback.yaml', 'canary.yaml', 'models.yaml', 'tls.yaml', 'container.yaml']))
  })

  test.each(files)('%s opens with what it is for and a command that shows it', (name) => {
    const lines = readFileSync(join(root, 'config', name), 'utf8').split('\n')
    expect(lines[0]).toMatch(/^# yaml-language-server: \$schema=(\.\.?)\/weir\.schema\.json$/)
    expect(lines[2]).toMatch(/^# \S.{20,}/)
    expect(lines.some((line) => line.startsWith('#   $ curl '))).toBe(true)
  })
})

describeWith('openssl', 'the loader', () => {
  test.each(files)('takes %s', async (name) => {
    const complaints = await (await prepared(name)).complaints()
    // A drill is not to be forgotten.
    if (name === 'examples/fault_drill.yaml') expect(complaints).toMatch(/^1 warning\.$/m)
    else expect(complaints).toBe('')
  })

  test('takes the configuration inside the Kubernetes manifest', async () => {
    const manifest = parseAllDocuments(readFileSync(join(root, 'config/examples/kubernetes/sidecar.yaml'), 'utf8')).map((part) => part.toJS() as { kind: string; data?: Record<string, string> })
    expect(manifest.map(({ kind }) => kind)).toEqual(['ConfigMap', 'Deployment', 'Service'])
    const inner = manifest[0]!.data!['weir.yaml']!.replace('/models/lite.onnx', './models/cancer/1/model.onnx')
    expect(await (await prepared('examples/proxy.yaml', () => inner)).complaints()).toBe('')
  })

  test('the files beside compose.yaml that it mounts are there', () => {
    const folder = join(root, 'config/examples/compose')
    const [compose] = parseAllDocuments(readFileSync(join(folder, 'compose.yaml'), 'utf8'))
    const { services } = compose!.toJS() as { services: Record<string, { volumes: string[] }> }
    const sources = Object.values(services).flatMap(({ volumes }) => volumes.map((volume) => volume.split(':')[0]!))
    expect(sources.length).toBeGreaterThan(4)
    for (const source of sources) expect(() => readdirSync(join(folder, source, '..'))).not.toThrow()
    for (const source of sources.filter((path) => /\.ya?ml$/.test(path))) expect(parseAllDocuments(readFileSync(join(folder, source), 'utf8')).flatMap((part) => part.errors)).toEqual([])
  })
})

describeWith('curl', 'run with its own commands', () => {
  vi.setConfig({ testTimeout: 60_000 })

  test('weir.yaml: three lines, the third answered by the model inside', async () => {
    const one = await started('weir.yaml')
    expect(one.curls).toHaveLength(3)
    expect((await curl(one, 0)).json).toMatchObject({ name: 'cancer' })
    expectBenign((await curl(one, 1)).json, VERSION_2)
    const third = await curl(one, 2)
    expect(third.status).toBe(200)
    expect(third.headers).toContain('x-weir-fallback: up;connect')
    expectBenign(third.json, VERSION_2)
  })

  test('proxy.yaml', async () => {
    const one = await started('examples/proxy.yaml')
    await serve(one.port(8501), echo('one'))
    expect(await curl(one)).toMatchObject({ status: 200, json: { server: 'one', method: 'GET', url: '/v1/models/fraud' } })
  })

  test('fallback.yaml: no server, the model inside answers', async () => {
    const one = await started('examples/fallback.yaml')
    const got = await curl(one)
    expect(got.status).toBe(200)
    expect(got.headers).toContain('x-weir-fallback: server;connect')
    expectBenign(got.json)
  })

  test('canary.yaml: a user stays in its arm', async () => {
    const one = await started('examples/canary.yaml')
    await serve(one.port(8501), echo('v1'))
    await serve(one.port(8502), echo('v2'))
    const first = await curl(one)
    const { server } = first.json as { server: string }
    expect(first.headers).toContain(`x-weir-arm: ${server}`)
    expect((await curl(one)).json).toMatchObject({ server })
    expect((await curl(one)).json).toMatchObject({ server })
  })

  test('timeouts.yaml: a server that is silent is a 504', async () => {
    const one = await started('examples/timeouts.yaml')
    await serve(one.port(8501), () => undefined)
    expect(await curl(one)).toMatchObject({ status: 504, json: { code: 'HEADERS_TIMEOUT' } })
  })

  test('retries.yaml: an attempt that failed is made again', async () => {
    const one = await started('examples/retries.yaml')
    // Nobody is there; then one is, and answers whichever was asked first.
    expect(await curl(one)).toMatchObject({ status: 503, json: { code: 'CONNECT_FAILED' } })
    await serve(one.port(8502), echo('second'))
    for (let i = 0; i < 5; i++) expect(await curl(one)).toMatchObject({ status: 200, json: { server: 'second' } })
  })

  test('hedging.yaml: one server stalls, the other answers', async () => {
    const one = await started('examples/hedging.yaml')
    let stalled = ''
    let stall = false
    const server = (name: string): RequestListener => (request, response) => {
      if (!stall) return echo(name)(request, response)
      stall = false
      stalled = name
    }
    await serve(one.port(8501), server('first'))
    await serve(one.port(8502), server('second'))
    // It learns from the first fifty what is usual, and one in twenty may be doubled.
    for (let i = 0; i < 200; i++) await (await fetch(`http://127.0.0.1:${one.port(8080)}/v1/models/fraud`)).text()
    stall = true
    const got = await curl(one)
    expect([got.status, (got.json as { server: string }).server]).toEqual([200, stalled === 'first' ? 'second' : 'first'])
    expect(stalled).not.toBe('')
  })

  test('endpoints.yaml: the one that is not ready, and the one that is spare, are not asked', async () => {
    const one = await started('examples/endpoints.yaml')
    const ready = (server: string): RequestListener => (request, response) => (request.url === '/v2/health/ready' ? void response.end() : echo(server)(request, response))
    await serve(one.port(8501), (request, response) => void response.writeHead(request.url === '/v2/health/ready' ? 503 : 200).end('{}'))
    await serve(one.port(8502), ready('ready'))
    await serve(one.port(8503), ready('spare'))
    await vi.waitFor(async () => expect(JSON.stringify((await curl(one, 1)).json).match(/"healthy"/g)).toHaveLength(2), 10_000)
    for (let i = 0; i < 5; i++) expect(await curl(one)).toMatchObject({ status: 200, json: { server: 'ready' } })
  })

  test('overload.yaml: two at once, one waits, the rest comes back later', async () => {
    const one = await started('examples/overload.yaml')
    const waiting: (() => void)[] = []
    await serve(one.port(8501), (_request, response) => void waiting.push(() => response.end('{}')))
    const url = `http://127.0.0.1:${one.port(8080)}`
    const ask = () => fetch(`${url}/v1/models/fraud`).then(({ status }) => status)
    const first = [ask(), ask()]
    await vi.waitFor(() => expect(waiting).toHaveLength(2), 5000)
    // The third finds no place in time, the fourth no place to wait.
    const third = ask()
    const fourth = await curl(one)
    expect([fourth.status, fourth.json]).toMatchObject([503, { code: 'OVERLOADED' }])
    expect(fourth.headers).toContain('retry-after: 1')
    expect(await third).toBe(503)
    waiting.forEach((answer) => answer())
    expect(await Promise.all(first)).toEqual([200, 200])
  })

  test('deadlines.yaml: what the caller gives is what the server has', async () => {
    const one = await started('examples/deadlines.yaml')
    const seen: string[] = []
    await serve(one.port(8501), (request) => void seen.push(String(request.headers['x-request-timeout-ms'])))
    expect(await curl(one)).toMatchObject({ status: 504, json: { code: 'DEADLINE_EXCEEDED' } })
    expect(seen).toHaveLength(1)
    expect(Number(seen[0])).toBeGreaterThan(0)
    expect(Number(seen[0])).toBeLessThanOrEqual(300)
  })

  test('streaming.yaml: a stream that breaks before its first token is replaced', async () => {
    const one = await started('examples/streaming.yaml')
    const chunk = (delta: object) => `data: ${JSON.stringify({ id: 'c', object: 'chat.completion.chunk', choices: [{ index: 0, delta, finish_reason: null }] })}\n\n`
    await serve(one.port(8501), (_request, response) => {
      response.writeHead(200, { 'content-type': 'text/event-stream' }).write(chunk({ role: 'assistant', content: '' }))
      setTimeout(() => response.destroy(), 50)
    })
    const whole = `${chunk({ role: 'assistant', content: '' })}${chunk({ content: 'hello' })}data: [DONE]\n\n`
    await serve(one.port(8502), (_request, response) => void response.writeHead(200, { 'content-type': 'text/event-stream' }).end(whole))
    expect(await one.shell(one.curls[0]!)).toBe(whole)
  })

  test('fault_drill.yaml: in the drill the constant answers, otherwise the server', async () => {
    const one = await started('examples/fault_drill.yaml')
    await serve(one.port(8501), echo('server'))
    const drill = await curl(one)
    expect(drill).toMatchObject({ status: 200, json: { score: 0.5 } })
    expect(drill.headers).toMatch(/x-weir-fallback: server;(timeout|5xx)/)
    const usual = await fetch(`http://127.0.0.1:${one.port(8080)}/score`, { method: 'POST', body: '{}' })
    expect(await usual.json()).toMatchObject({ server: 'server' })
  })

  test('routes.yaml', async () => {
    const one = await started('examples/routes.yaml')
    await serve(one.port(8501), echo('gold'))
    await serve(one.port(8502), echo('usual'))
    await serve(one.port(8503), echo('usual'))
    expect((await curl(one)).json).toMatchObject({ server: 'gold' })
    const usual = await fetch(`http://127.0.0.1:${one.port(8080)}/score`, { method: 'POST', body: '{}' })
    expect(await usual.json()).toMatchObject({ server: 'usual' })
    expect((await fetch(`http://127.0.0.1:${one.port(8080)}/v1/x`)).status).toBe(410)
    expect((await fetch(`http://127.0.0.1:${one.port(8080)}/nowhere`)).status).toBe(404)
  })

  test('models.yaml', async () => {
    const one = await started('examples/models.yaml')
    expect((await curl(one, 0)).json).toMatchObject({ name: 'cancer', versions: ['1', '2'] })
    const { json } = await curl(one, 1)
    expect(json).toMatchObject({ id: 'one', model_version: '1' })
    expectBenign(json)
  })

  test('rows.yaml: one object in, one object out', async () => {
    const one = await started('examples/rows.yaml')
    const { json } = await curl(one)
    expect(json).toMatchObject({ label: 1 })
    expect((json as { probabilities: number[] }).probabilities[1]).toBeCloseTo(VERSION_1, 5)
  })

  test('monitoring.yaml: a good row, an odd one, their labels, and what became of the records', async () => {
    const one = await started('examples/monitoring.yaml')
    const good = await curl(one, 0)
    expect([good.status, good.headers.includes('x-weir-schema')]).toEqual([200, false])
    const odd = await curl(one, 1)
    expect(odd.status).toBe(200)
    expect(odd.headers).toMatch(/x-weir-schema: int_type_big_int;age, enum_type_unexpected_string_values;plan\r?$/m)
    expect((await curl(one, 2)).json).toEqual({ accepted: 2, unknown: 0, duplicate: 0, late: 0, invalid: [] })
    await expect.poll(async () => (await curl(one, 3)).json, { timeout: 20_000 }).toMatchObject({ records: [{ sink: 'lake', accepted: 2, delivery: { state: 'delivering' } }, { sink: 'lines', accepted: 0 }] })
    const quality = await fetch(`http://127.0.0.1:${one.port(9901)}/quality`)
    expect(await quality.json()).toMatchObject({ quality: [{ route: 'churn', plugin: 'labels' }] })
  })

  test('monitoring.yaml: the weeks that come with it raise alarms of what changed, once it changed, and of nothing else', async () => {
    const one = await prepared('examples/monitoring.yaml')
    const folder = join(one.folder, 'config/examples')
    const { rows, alarms } = JSON.parse(await one.shell(`'${process.execPath}' '${join(root, 'gateway/main.ts')}' backtest data/churn.parquet --config monitoring.yaml --route churn --label churn --json 2>${one.folder}/told`, folder)) as { rows: number; alarms: { time: string; feature: string }[] }
    expect(rows).toBe(3500)
    expect([...new Set(alarms.map(({ feature }) => feature))].toSorted()).toEqual(['age', 'churn', 'monthly_charge', 'payment_method'])
    // The change is of the ninth of March; a day is 250 rows.
    for (const { time } of alarms) expect([time > '2026-03-09', time < '2026-03-10']).toEqual([true, true])
  })

  test('translate.yaml: rows to a server that takes tensors, and the constant when it is gone', async () => {
    const one = await started('examples/translate.yaml')
    const gone = await curl(one)
    expect([gone.status, gone.json]).toEqual([200, [{ score: 0.5 }, { score: 0.5 }]])
    expect(gone.headers).toContain('x-weir-fallback: triton;connect')
    await serve(one.port(8501), oneModel)
    const { status, json, headers } = await curl(one)
    expect([status, json]).toEqual([200, [{ score: 120.5 }, { score: 9 }]])
    expect(headers).not.toContain('x-weir-fallback')
  })

  test('answer.yaml', async () => {
    const one = await started('examples/answer.yaml')
    const closed = await curl(one, 0)
    expect(closed).toMatchObject({ status: 503, json: { error: 'closed for maintenance' } })
    expect(closed.headers).toContain('retry-after: 3600')
    expect((await curl(one, 1)).json).toEqual([{ score: 0.5 }, { score: 0.5 }])
  })

  test('rate_limit.yaml: the burst passes, the rest is told when to come back', async () => {
    const one = await started('examples/rate_limit.yaml')
    await serve(one.port(8501), echo('one'))
    expect(await curl(one)).toMatchObject({ status: 200 })
    const answers = await Promise.all(Array.from({ length: 60 }, () => fetch(`http://127.0.0.1:${one.port(8080)}/`)))
    const refused = answers.filter((answer) => answer.status === 429)
    expect(refused.length).toBeGreaterThan(0)
    expect(answers.filter((answer) => answer.status === 200).length).toBeGreaterThanOrEqual(19)
    expect(Number(refused[0]!.headers.get('retry-after'))).toBeGreaterThanOrEqual(1)
  })

  test('headers.yaml', async () => {
    const one = await started('examples/headers.yaml')
    await serve(one.port(8501), echo('tf'))
    const { headers, json } = await curl(one)
    const seen = (json as { headers: Record<string, string> }).headers
    expect(seen).toMatchObject({ 'x-tenant': 'acme', 'x-gateway': 'weir' })
    expect(seen).not.toHaveProperty('x-debug')
    expect(headers).toMatch(/^cache-control: no-store\r?$/m)
    expect(headers).toMatch(/^x-model-server: tf\r?$/m)
    expect(headers).not.toMatch(/^server:/m)
  })

  test('user_plugin.yaml: a tenant passes with its name, a stranger does not', async () => {
    const one = await started('examples/user_plugin.yaml')
    await serve(one.port(8501), echo('one'))
    expect(await curl(one, 0)).toMatchObject({ status: 200, json: { headers: { 'x-tenant': 'acme' } } })
    expect(await curl(one, 1)).toMatchObject({ status: 403 })
  })

  test('unix_socket.yaml', async () => {
    const one = await started('examples/unix_socket.yaml')
    await serve(join(one.folder, 'model-server.sock'), echo('behind a socket'))
    expect(await curl(one)).toMatchObject({ status: 200, json: { server: 'behind a socket', url: '/v1/models/fraud' } })
  })

  test('container.yaml: metrics on a listener of their own', async () => {
    const one = await started('examples/container.yaml')
    expect((await curl(one)).json).toMatchObject({ name: 'cancer' })
    const metrics = (): Promise<string> => fetch(`http://127.0.0.1:${one.port(9902)}/metrics`).then((answer) => answer.text())
    await expect.poll(metrics).toContain('weir_requests_total')
    expect((await fetch(`http://127.0.0.1:${one.port(9902)}/config`)).status).toBe(404)
  })

  describeWith('openssl', 'with TLS', () => {
    test('tls.yaml', async () => {
      const one = await started('examples/tls.yaml')
      await serve(one.port(8501), echo('one'))
      expect(await curl(one)).toMatchObject({ status: 200, json: { server: 'one', headers: { 'x-forwarded-proto': 'https' } } })
    })

    test('https_backend.yaml: the server asks for the certificate', async () => {
      const one = await started('examples/https_backend.yaml')
      const pem = (name: string) => readFileSync(join(one.folder, 'config/examples', name))
      const listener = echo('secret')
      const options = { cert: pem('backend.crt'), key: pem('backend.key'), ca: pem('ca.crt'), requestCert: true, rejectUnauthorized: true }
      await serve(one.port(8443), listener, createTls(options, listener) as unknown as Server)
      expect(await curl(one)).toMatchObject({ status: 200, json: { server: 'secret', headers: { authorization: 'Bearer none' } } })
    })
  })
})
