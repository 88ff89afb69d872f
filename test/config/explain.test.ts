import { describe, expect, test } from 'vitest'
import { parse } from 'yaml'
import { isSecretName } from '../../config/effective.ts'
import { explainConfig, explainRequest, redact } from '../../config/explain.ts'
import { configFromFlags } from '../../config/flags.ts'
import { loadConfig } from '../../config/load.ts'
import { builtIn } from '../../config/registry.ts'
import { parts } from './parts.ts'

const SECRET = 'sk-very-secret-value'
const load = async (text: string) => {
  const { config, issues } = await loadConfig({ file: 'weir.yaml', text, env: { TOKEN: SECRET } }, parts)
  expect(issues.filter((issue) => issue.severity === 'error')).toEqual([])
  return config!
}

describe('the effective config', () => {
  const source = `
admin: { address: 127.0.0.1:9901, token: literal-admin-token }
backends:
  up:
    url: "http://h/\${TOKEN}"
    headers: { Authorization: "Bearer abc", x-api-key: "123", x-team: risk, x-mixed: "a \${TOKEN} b", cookie: a=b }
routes:
  - { name: r, match: { path: /x, headers: { x-auth-token: t0p } }, backend: up, plugins: [{ rate_limit: { per_second: 1, key: header.x-api-key } }] }
`
  test('hides what is secret by name, and shows what came from the environment as it is written', async () => {
    const text = explainConfig(await load(source))
    for (const hidden of [SECRET, 'literal-admin-token', 'Bearer abc', '123', 'a=b', 't0p']) expect(text).not.toContain(hidden)
    expect(text).toContain('http://h/${TOKEN}')
    expect(text).toContain('x-mixed: a ${TOKEN} b')
    expect(text).toContain('x-team: risk')
    expect(text).toContain('key: header.x-api-key')
  })

  test('is what /config shows', async () => {
    const config = await load(source)
    expect(JSON.stringify(redact(config))).not.toContain(SECRET)
    expect(redact(config)).toEqual({ file: config.file, hash: config.hash, effective: config.effective })
  })

  test('read as a config it gives the same config', async () => {
    const plain = 'backends: { up: { urls: ["http://h", "https://i"] } }\nroutes: [{ name: r, match: { path: /x }, backend: up, plugins: [{ rate_limit: { per_second: 2 } }, { timeout: { total: 90s } }] }]\n'
    const once = await load(plain)
    const again = await load(explainConfig(once))
    expect({ ...again, hash: '' }).toEqual({ ...once, hash: '' })
    expect(parse(explainConfig(once)).timeouts).toEqual({ request_headers: '10s', idle: '60s' })
  })

  test.each(['authorization', 'Proxy-Authorization', 'cookie', 'set-cookie', 'x-api-key', 'token', 'x-auth-token', 'client_secret', 'password', 'api_key', 'x-goog-signature'])('%s is secret', (name) => expect(isSecretName(name)).toBe(true))
  test.each(['first_token', 'key', 'by', 'x-team', 'tokens_per_second', 'author', 'keep_alive'])('%s is not', (name) => expect(isSecretName(name)).toBe(false))
})

describe('what happens to a request', () => {
  const source = `
models: test/config/models
backends:
  gold: { url: "http://10.0.0.1:8501" }
  usual: { urls: ["http://10.0.0.2", "http://10.0.0.3"] }
  rows: { answer: { rows: { a: 1 } } }
routes:
  - { name: gold, match: { method: POST, path: /score, headers: { x-tier: gold } }, backend: gold }
  - { name: large, match: { method: POST, path: /score, when: 'header["x-a"] == "b"' }, backend: gold }
  - name: score
    match: { method: POST, path: /score }
    backend: usual
    plugins: [{ rate_limit: { per_second: 1 } }, { fallback: { to: [rows] } }, { timeout: { total: 1s, per_try: 1s } }]
`
  test('the route, why not the others, order, nesting, endpoints', async () => {
    const config = await load(source)
    expect(explainRequest(config, { method: 'POST', path: '/score?x=1', host: 'h' }, parts.plugins)).toBe(`POST /score?x=1  host h

  no   gold: header x-tier is "gold", asked without it
  if   large: when header["x-a"] == "b"
  yes  score

route    large
in       no plugins
send     attempt → gold
out      no plugins
backend  gold: http://10.0.0.1:8501
bodies   pass through; buffered, if a plugin asks, up to 64MiB

route    score
in       rate_limit → fallback → timeout
send     total (timeout) ⊃ fallback ⊃ attempt → usual
out      timeout → fallback → rate_limit
backend  usual: http://10.0.0.2, http://10.0.0.3 (least_request)
bodies   format rows; buffered, if a plugin asks, up to 64MiB
`)
  })
  test.each([
    ['{ fault: { abort: { status: 503, percent: 1% } } }', 'attempt ⊃ fault', 1],
    ['{ fault: { abort: { status: 503, percent: 1% } } }, { timeout: { total: 2s, per_try: 1s, first_token: 1s } }, { retry: {} }', 'total (timeout) ⊃ retry ⊃ attempt (timeout) ⊃ fault', 1],
    ['{ concurrency: {} }, { hedge: {} }', 'admission (concurrency) ⊃ hedge ⊃ attempt', 0],
  ])('nesting of %s; faults are warned of', async (plugins, nesting, warnings) => {
    const text = `backends: { up: { url: "http://h" } }\nroutes: [{ name: r, match: { path: /s }, backend: up, plugins: [${plugins}] }]`
    const { config, issues } = await loadConfig({ file: 'weir.yaml', text, env: {} }, { ...parts, plugins: builtIn })
    expect(explainRequest(config!, { method: 'POST', path: '/s' }, builtIn).split('\n')).toContain(`send     ${nesting} → up`)
    expect(issues.map(({ severity, rule, path }) => [severity, rule, path])).toEqual(Array.from({ length: warnings }, () => ['warning', 'caution', 'routes[0].plugins[0].fault']))
  })

  test.each([
    ['rows', '{ format: oip, model: fraud, version: 2 }', '         translated: rows → oip, model fraud version 2'],
    ['oip', 'mlflow', '         translated: oip → mlflow'],
  ])('a backend that speaks something else than %s', async (format, speaks, line) => {
    const config = await load(`backends: { up: { url: "http://h", speaks: ${speaks} } }\nroutes: [{ name: r, match: { path: /s }, format: ${format}, backend: up }]`)
    expect(explainRequest(config, { method: 'POST', path: '/s' }).split('\n')).toContain(line)
  })

  test.each([['rows', 'rows'], ['openai', 'rows']])('nothing is translated for a route of %s to a backend of %s', async (format, speaks) => {
    const config = await load(`backends: { up: { url: "http://h", speaks: ${speaks} } }\nroutes: [{ name: r, match: { path: /s }, format: ${format}, backend: up }]`)
    expect(explainRequest(config, { method: 'POST', path: '/s' })).not.toContain('translated')
  })

  test('no route', async () => {
    const config = await load(source)
    expect(explainRequest(config, { method: 'POST', path: '/x' })).toContain('No route matches: 404, unless it is a built-in endpoint')
    expect(explainRequest(config, { method: 'GET', path: '/score' })).toContain('No route matches: 405, allowed are POST.')
  })
})

describe('--to', () => {
  test('one route on everything', async () => {
    const { config, issues } = await configFromFlags({ to: 'http://127.0.0.1:8501', listen: ':8080' }, parts)
    expect(issues).toEqual([])
    expect(config).toMatchObject({
      file: '', listen: [{ address: { host: '', port: 8080 } }], admin: { address: { host: '127.0.0.1', port: 9901 } },
      backends: { up: { kind: 'http', host: 'keep' } },
      routes: [{ name: 'all', backend: 'up', match: { path: '/**', methods: [], host: null }, plugins: [] }],
    })
  })
  test.each([
    [{ to: '127.0.0.1:8501' }, '--to', 'bad-url'],
    [{ to: 'http://${X}' }, '--to', 'bad-url'],
    [{ to: 'http://h', listen: 'x' }, '--listen', 'bad-address'],
    [{ to: 'http://h', admin: '0.0.0.0:1' }, '--admin', 'admin-exposed'],
  ])('%o is told by its flag', async (flags, flag, rule) => {
    const { config, issues } = await configFromFlags(flags, parts)
    expect(config).toBeNull()
    expect(issues).toMatchObject([{ rule, path: flag, line: 0 }])
  })
})
