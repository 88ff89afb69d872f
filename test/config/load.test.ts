import { mkdtempSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import type { HttpBackendConfig } from '../../config/config.ts'
import { distance, formatIssues, nearest } from '../../config/issues.ts'
import { loadConfig } from '../../config/load.ts'
import { parts } from './parts.ts'

const good = join(import.meta.dirname, 'good')
const text = (text: string, env: Record<string, string> = {}) => loadConfig({ file: 'weir.yaml', text, env }, parts)
const issuesOf = async (source: string, env: Record<string, string> = {}) => (await text(source, env)).issues
const http = (config: { backends: Readonly<Record<string, unknown>> } | null, name: string) => config!.backends[name] as HttpBackendConfig

describe('what is loaded', () => {
  test('defaults are those of the docs', async () => {
    const { config } = await text('{}')
    expect(config).toMatchObject({
      listen: [{ address: { host: '127.0.0.1', port: 8080 }, tls: null }],
      admin: { address: { host: '127.0.0.1', port: 9901 }, token: null, tls: null },
      metrics: null, threads: 2, state: null, answer_headers: true, models: null, backends: {}, routes: [],
      timeouts: { request_headers_ms: 10_000, idle_ms: 60_000 },
      limits: { head_bytes: 16_384, fields: 100, target_bytes: 8192 },
      forwarded: { trusted: [], write: 'x-forwarded', via: 'weir' },
      access_log: { to: 'off' },
    })
  })

  test('everything, decoded', async () => {
    const { config } = await loadConfig({ file: join(good, 'everything.yaml'), env: { TOKEN: 'sk-very-secret-value', PORT: '8501' } }, parts)
    expect(config!.threads).toBe(4)
    expect(config!.timeouts).toEqual({ request_headers_ms: 5000, idle_ms: 90_000 })
    expect(config!.admin!.token).toBe('sk-very-secret-value')
    expect(config!.metrics).toEqual({ host: '', port: 9902 })
    expect(config!.listen[2]!.address).toEqual({ host: '::1', port: 8443 })
    expect(config!.access_log).toEqual({ to: { file: join(good, 'access.jsonl') } })
    expect(http(config, 'one')).toMatchObject({ connect_ms: 100, host: { name: 'public.example' }, headers: ['authorization', 'Bearer sk-very-secret-value', 'x-team', 'risk'] })
    expect(http(config, 'one').endpoints).toEqual([{ scheme: 'https', address: { host: 'models.internal', port: 8443 }, authority: 'models.internal:8443', prefix: '/base', weight: 1, zone: '', priority: 0 }])
    expect(http(config, 'many').endpoints.map((one) => one.address)).toEqual([{ host: '10.0.0.6', port: 8501 }, { host: '::1', port: 8501 }, { unix: '/run/model.sock' }])
    expect(config!.backends['ranker']).toEqual({ kind: 'model', name: 'ranker', model: 'ranker', version: '3' })
    const [route] = config!.routes
    expect(route).toMatchObject({ format: 'rows', max_body_bytes: 1_048_576, match: { host: '*.example.com', methods: ['POST', 'PUT'], headers: { 'x-tier': 'gold' } } })
    expect(route!.plugins[0]).toEqual({ name: 'timeout', use: null, options: { total: 2000, per_try: 500 }, on_error: 'closed', at: 'routes[0].plugins[0]' })
    expect(route!.plugins[1]).toMatchObject({ options: { per_second: 0.5, share: 5, key: 'client.ip', memory: 1_048_576 }, on_error: 'closed' })
    expect(route!.plugins[3]).toMatchObject({ name: 'mine', use: join(good, 'good_plugin.ts'), on_error: 'closed' })
    expect(() => structuredClone(config)).not.toThrow()
  })

  test.each([['http://h', 'keep'], ['https://h', 'backend']])('the Host for %s is %s by default', async (url, host) => {
    const { config } = await text(`backends: { a: { url: "${url}" } }`)
    expect(http(config, 'a').host).toBe(host)
  })

  test.each([['/v2/models/m/infer', 'up', 'oip'], ['/v1/chat/completions', 'up', 'openai'], ['/score', 'up', null], ['/score', 'rows', 'rows']])('format of %s to %s is %s', async (path, backend, format) => {
    const { config } = await text(`backends: { up: { url: "http://h" }, rows: { answer: { rows: { a: 1 } } } }\nroutes: [{ name: r, match: { path: ${path} }, backend: ${backend} }]`)
    expect(config!.routes[0]!.format).toBe(format)
  })

  test.each(['/v2/models/m/infer', '/v1/models/m:predict', '/invocations'])('a plugin that reads columns needs no format on %s, whose format is known', async (path) => {
    expect(await issuesOf(`backends: { up: { url: "http://h" } }\nroutes: [{ name: r, match: { path: "${path}" }, backend: up, plugins: [{ watch: {} }] }]`)).toEqual([])
  })

  test('a fallback to answer rows makes the route speak rows', async () => {
    const { config } = await text('backends: { up: { url: "http://h" }, rows: { answer: { rows: { a: 1 } } } }\nroutes: [{ name: r, match: { path: /s }, backend: up, plugins: [{ fallback: { to: [rows] } }] }]')
    expect(config!.routes[0]!.format).toBe('rows')
  })

  test('a whole variable becomes the type that is wanted, a text stays a text', async () => {
    const { config } = await text('threads: ${N}\nanswer_headers: "${B}"\nbackends: { a: { url: "http://h", headers: { x-n: "${N}" } } }', { N: '3', B: 'false' })
    expect(config).toMatchObject({ threads: 3, answer_headers: false })
    expect(http(config, 'a').headers).toEqual(['x-n', '3'])
  })

  test('a BOM is no part of the first key', async () => expect((await text('\ufefflisten: ":80"')).config!.listen[0]!.address).toEqual({ host: '', port: 80 }))
  test('the hash is the first 12 hex digits of the sha256 of the text', async () => expect((await text('{}')).config!.hash).toBe('44136fa355b3'))
  test('nothing of the file reaches a prototype', async () => {
    await issuesOf('__proto__: { polluted: 1 }\nbackends: { constructor: { url: "http://h" } }')
    expect(({} as Record<string, unknown>)['polluted']).toBeUndefined()
  })
})

describe('hostile input gets an answer', () => {
  const dir = mkdtempSync(join(tmpdir(), 'weir-config-'))
  const fileIssues = async (name: string, content: Buffer | string) => {
    const file = join(dir, name)
    writeFileSync(file, content)
    const { config, issues } = await loadConfig({ file, env: {} }, parts)
    expect(config).toBeNull()
    return issues.map(({ rule, line, column }) => `${rule} ${line}:${column}`)
  }
  const M = 1 << 20

  test('10 MB', async () => expect(await fileIssues('big', 'a: b\n'.repeat(2_000_000))).toEqual(['too-large 0:0']))
  test('NUL', async () => expect(await fileIssues('nul', 'a: b\nc: \0')).toEqual(['encoding 2:4']))
  test('escape character', async () => expect(await fileIssues('esc', 'a: \x1b[0m')).toEqual(['encoding 1:4']))
  test('UTF-16 LE', async () => expect(await fileIssues('utf16le', Buffer.from('\ufefflisten: ":80"', 'utf16le'))).toEqual(['encoding 0:0']))
  test('UTF-16 BE', async () => expect(await fileIssues('utf16be', Buffer.from('\ufefflisten: ":80"', 'utf16le').swap16())).toEqual(['encoding 0:0']))
  test('latin1', async () => expect(await fileIssues('latin1', Buffer.from('a: b\n# é\n', 'latin1'))).toEqual(['encoding 2:3']))
  test('a cut multi-byte character', async () => expect(await fileIssues('cut', Buffer.from('a: é').subarray(0, 4))).toEqual(['encoding 1:4']))
  test('a folder', async () => {
    const { issues } = await loadConfig({ file: dir, env: {} }, parts)
    expect(issues).toMatchObject([{ rule: 'not-a-file', line: 0 }])
  })
  test('no such file', async () => {
    const { issues } = await loadConfig({ file: join(dir, 'nope'), env: {} }, parts)
    expect(issues).toMatchObject([{ rule: 'missing-file', line: 0 }])
  })
  test('a bomb of aliases', async () => {
    const lines = ['a0: &a0 [x, x, x, x, x, x, x, x, x]', ...Array.from({ length: 9 }, (_, i) => `a${i + 1}: &a${i + 1} [${Array(9).fill(`*a${i}`).join(', ')}]`)]
    expect((await issuesOf(lines.join('\n'))).map((issue) => issue.rule)).toContain('too-large')
  })
  test('a bomb of the environment', async () => {
    const found = await issuesOf(`x: [${Array(2000).fill('"${A}"').join(', ')}]`, { A: 'x'.repeat(100_000) })
    expect(found.map((issue) => issue.rule)).toContain('too-large')
  })
  test.each([
    ['[', '['.repeat(10_000)],
    ['[ and ]', '['.repeat(10_000) + ']'.repeat(10_000)],
    ['{a:', '{a: '.repeat(10_000)],
    ['- ', '- '.repeat(10_000)],
    ['indented keys', Array.from({ length: 1400 }, (_, i) => `${' '.repeat(i)}a:`).join('\n')],
  ])('nested without end: %s', async (_name, source) => expect((await issuesOf(source)).map((issue) => issue.rule)).toEqual(['too-deep']))
  test.each([
    ['brackets', '['.repeat(M)],
    ['commas', `{${','.repeat(M - 1)}`],
    ['anchors', '&a '.repeat(M / 3)],
    ['aliases', '*a '.repeat(M / 3)],
    ['question marks', '? '.repeat(M / 2)],
    ['newlines', '\n'.repeat(M)],
    ['directives', '%a\n'.repeat(M / 3)],
    ['quotes', `"${'a\n'.repeat(M / 2 - 1)}`],
    ['keys', Array.from({ length: 100_000 }, (_, i) => `k${i}: 1`).join('\n')],
    ['unknown keys', Array.from({ length: 20_000 }, (_, i) => `k${i}: 1`).join('\n')],
    ['variables', `a: "${'${'.repeat(M / 4)}"`],
  ])('1 MiB of %s', async (_name, source) => {
    const { config, issues } = await text(source)
    expect(config).toBeNull()
    expect(issues.length).toBeGreaterThan(0)
    expect(issues.length).toBeLessThanOrEqual(201)
  })
})

describe('issues', () => {
  test('as people read them', async () => {
    const source = 'backends: { a: { url: "http://h" } }\nroutes:\n  - name: r\n    match: { path: / }\n    backend: a\n    plugins:\n      - rate_limit: { per_second: 0 }\n'
    expect(formatIssues(await issuesOf(source))).toBe(
      'weir.yaml:7:35  routes[0].plugins[0].rate_limit.per_second\n  error out-of-range: expected more than 0, found 0\n  Sustained rate of each bucket.\n1 error; nothing was changed.\n',
    )
  })
  test('only warnings change nothing about success', async () => {
    const loaded = await text('backends: { a: { url: "http://h" } }')
    expect(loaded.config).not.toBeNull()
    expect(formatIssues(loaded.issues)).toBe('weir.yaml:1:13  backends.a\n  warning unused-backend: nothing sends to the backend `a`\n1 warning.\n')
  })
  test('nothing to say is no text', () => expect(formatIssues([])).toBe(''))
  test('problems found later get their place', async () => {
    const { locate } = await text('backends:\n  a: { url: "http://h" }\nroutes:\n  - name: r\n    match: { path: / }\n    backend: a\n    plugins:\n      - timeout: { total: 1s }\n')
    const at = (path: string) => {
      const { line, column } = locate({ at: path, rule: 'x', message: 'm', help: '' })
      return `${line}:${column}`
    }
    expect(at('backends.a')).toBe('2:3')
    expect(at('routes[0].plugins[0]')).toBe('8:9')
    expect(at('routes[0].plugins[0].timeout.total')).toBe('8:20')
    expect(at('routes[0].plugins[0].timeout.per_try')).toBe('8:9')
    expect(at('models')).toBe('1:1')
  })
  test.each([['timout', 'timeout'], ['response-headers', 'response_headers'], ['LISTEN', 'listen'], ['xyz', null], ['ulr', 'url']])('nearest to %s is %s', (name, found) =>
    expect(nearest(name, ['timeout', 'response_headers', 'listen', 'url', 'urls'])).toBe(found))
  // Published examples of optimal string alignment.
  test.each([['kitten', 'sitting', 3], ['ca', 'ac', 1], ['ca', 'abc', 3], ['', 'abc', 3]])('distance of %s and %s is %i', (a, b, edits) => expect(distance(a, b)).toBe(edits))
})
