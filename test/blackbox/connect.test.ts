/** `weir check --connect` as people run it: exit codes and what it prints. */
import { execFile } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { createServer, type IncomingMessage, type Server } from 'node:http'
import { createServer as createSecureServer } from 'node:https'
import { createServer as createTcpServer, type AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { describeWith, freePort } from '../servers.ts'
import { load, makeAuthority, makeCertificate } from './certificates.ts'
import { MAIN } from './weir.ts'

let folder: string
let model: Server
let port: number
const requests: IncomingMessage[] = []

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'weir-connect-'))
  model = createServer((request, response) => {
    requests.push(request)
    response.writeHead(request.url === '/v1/ready' ? 200 : 503).end('x'.repeat(100_000))
  })
  port = await listening(model)
})
afterAll(() => {
  model.closeAllConnections()
  model.close()
  rmSync(folder, { recursive: true, force: true })
})

async function listening(server: { listen(port: number, host: string): unknown; address(): unknown } & NodeJS.EventEmitter): Promise<number> {
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return (server.address() as AddressInfo).port
}

let files = 0
async function connect(yaml: string): Promise<{ code: number; lines: string[]; error: string }> {
  const file = join(folder, `weir${++files}.yaml`)
  writeFileSync(file, `admin: off\n${yaml}\n`)
  return new Promise((resolve) => execFile(process.execPath, [MAIN, 'check', file, '--connect'], (error, out, err) => resolve({ code: error === null ? 0 : (error.code as number), lines: out.trimEnd().split('\n').slice(1), error: err })))
}

const route = (backend: string, plugins = '', format = '') => `routes: [{ name: r, ${format}match: { path: "/**" }, backend: ${backend}${plugins === '' ? '' : `, plugins: [${plugins}]`} }]`

test('everything answers: exit code 0, one line each, and nothing is left behind', async () => {
  const { code, lines } = await connect(`
state: ./state
sinks:
  lake: { parquet: ./lake }
  lines: { jsonl: ./lines }
  events: { cloudevents: "http://127.0.0.1:${port}/secret-path" }
backends:
  plain: { url: "http://127.0.0.1:${port}" }
  healthy: { url: "http://127.0.0.1:${port}/v1", health: { path: /ready } }
  fixed: { answer: { status: 200, body: x } }
${route('plain', '{ log: { sink: lake } }, { fallback: { to: [healthy, fixed] } }, { log: { sink: lines } }, { log: { sink: events } }')}`)
  expect(lines).toEqual([
    `ok      state: ${folder}/state can be written to`,
    `ok      backend plain: http://127.0.0.1:${port} takes connections`,
    `ok      backend healthy: http://127.0.0.1:${port}/v1 answers GET /ready with 200`,
    `ok      sink lake: ${folder}/lake can be written to`,
    `ok      sink lines: ${folder}/lines can be written to`,
    `ok      sink events: http://127.0.0.1:${port} can be written to`,
  ])
  expect(code).toBe(0)
  // No record, no event: the health check alone was asked for.
  expect(requests.map(({ method, url }) => `${method} ${url}`)).toEqual(['GET /v1/ready'])
  for (const made of ['state', 'lake', 'lines']) expect(readdirSync(join(folder, made))).toEqual([])
})

test('what does not answer is said, all of it, with exit code 1', async () => {
  const dead = await freePort()
  const silent = createTcpServer((socket) => void socket.on('error', () => undefined))
  const silentPort = await listening(silent)
  writeFileSync(join(folder, 'a-file'), '')
  const { code, lines } = await connect(`
state: ./a-file/state
sinks:
  lake: { parquet: ./a-file/lake }
  events: { cloudevents: "http://127.0.0.1:${dead}/" }
backends:
  several: { urls: ["http://127.0.0.1:${port}", "http://127.0.0.1:${dead}"] }
  sick: { url: "http://127.0.0.1:${port}", health: { path: /sick } }
  silent: { url: "http://127.0.0.1:${silentPort}", health: { path: /ready, timeout: 200ms } }
  tls: { url: "https://127.0.0.1:${port}" }
  nowhere: { url: "http://nowhere.invalid" }
${route('several', '{ log: { sink: lake } }, { fallback: { to: [sick, silent, tls, nowhere] } }, { log: { sink: events } }')}`)
  silent.close()
  expect(code).toBe(1)
  expect(lines).toHaveLength(9)
  expect(lines[0]).toMatch(/^failed {2}state: .*\/a-file\/state cannot be written to: .*ENOTDIR.*; make it writable/)
  expect(lines.slice(1, 5)).toEqual([
    `ok      backend several: http://127.0.0.1:${port} takes connections`,
    `failed  backend several: http://127.0.0.1:${dead}: connect ECONNREFUSED 127.0.0.1:${dead}; is it running, and reachable from here?`,
    `failed  backend sick: http://127.0.0.1:${port}: GET /sick is answered 503; healthy is 2xx, or check \`health.path\``,
    `failed  backend silent: http://127.0.0.1:${silentPort}: GET /ready: no answer within 200 ms`,
  ])
  expect(lines[5]).toMatch(/^failed {2}backend tls: https:.*(wrong version number|packet length)/i)
  expect(lines[6]).toMatch(/^failed {2}backend nowhere: http:\/\/nowhere.invalid: getaddrinfo/)
  expect(lines[7]).toMatch(/^failed {2}sink lake: .*ENOTDIR/)
  expect(lines[8]).toMatch(/^failed {2}sink events: .*ECONNREFUSED/)
}, 30_000)

test('a file that is wrong stays exit code 2, and nobody is asked', async () => {
  requests.length = 0
  const { code, lines, error } = await connect(`backends: { plain: { url: "http://127.0.0.1:${port}", health: { path: /ready } } }\n${route('other')}`)
  expect(code).toBe(2)
  expect(lines).toEqual([])
  expect(error).toContain('unknown-backend')
  expect(requests).toEqual([])
})

test('a profile that is none is a mistake of the file', async () => {
  writeFileSync(join(folder, 'profile.json'), '{"weir_profile": 1}')
  const { code, lines, error } = await connect(`backends: { plain: { url: "http://127.0.0.1:${port}" } }\n${route('plain', '{ schema: { profile: ./profile.json } }', 'format: rows, ')}`)
  expect(code).toBe(2)
  expect(lines).toEqual([])
  expect(error).toContain('routes[0].plugins[0].schema.profile')
  expect(error).toMatch(/bad-profile: .*profile\.json: source: expected an object, found nothing/)
})

describeWith('openssl', 'certificates', () => {
  test('are verified as the backend is configured', async () => {
    mkdirSync(join(folder, 'tls'))
    const authority = await makeAuthority(join(folder, 'tls'), 'weir test')
    const secure = createSecureServer(await load(await makeCertificate(join(folder, 'tls'), 'localhost', ['IP:127.0.0.1'], authority)), (_request, response) => void response.end())
    const at = await listening(secure)
    const { code, lines } = await connect(`
backends:
  known: { url: "https://127.0.0.1:${at}", tls: { ca: "${authority.cert}" }, health: { path: / } }
  unknown: { url: "https://127.0.0.1:${at}" }
  anyone: { url: "https://127.0.0.1:${at}", tls: { verify: false } }
${route('known', '{ fallback: { to: [unknown, anyone] } }')}`)
    secure.close()
    expect(lines).toEqual([
      `ok      backend known: https://127.0.0.1:${at} answers GET / with 200`,
      expect.stringMatching(/^failed {2}backend unknown: .*(unable to verify|self-signed|unable to get)/),
      `ok      backend anyone: https://127.0.0.1:${at} takes connections`,
    ])
    expect(code).toBe(1)
  }, 30_000)
})

describe('help', () => {
  test('says what it does', () => new Promise<void>((resolve) => {
    execFile(process.execPath, [MAIN, 'check', '--help'], (_error, out) => {
      expect(out).toContain('weir check FILE [--connect]')
      resolve()
    })
  }))
})
