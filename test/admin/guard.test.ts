import { execFileSync, spawnSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { connect, createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, it, onTestFinished } from 'vitest'
import type { ServerTls } from '../../config/config.ts'
import { hostGuard, isLoopback, sameOrigin, tokenGuard } from '../../gateway/admin/guard.ts'
import { FakeClock } from '../fake_clock.ts'
import { describeWith } from '../servers.ts'
import { send, start } from './helpers.ts'

describe('the token', () => {
  it.each<[string | undefined, boolean]>([
    ['Bearer s3cret', true], ['bearer s3cret', true], ['Bearer  s3cret', true],
    [undefined, false], ['', false], ['s3cret', false], ['Basic s3cret', false], ['Bearer', false], ['Bearer ', false], ['Bearer s3cre', false], ['Bearer s3cret2', false], ['Bearer S3CRET', false],
  ])('%j: %s', (authorization, allowed) => {
    expect(tokenGuard('s3cret')(authorization)).toBe(allowed)
  })

  it('without one everybody may', () => {
    expect(tokenGuard(null)(undefined)).toBe(true)
  })

  it('is needed for all but the probes', async () => {
    const admin = await start({}, { token: 's3cret' })
    for (const path of ['/', '/metrics', '/config', '/routes', '/backends', '/models', '/routes/a/b/c', '/nothing']) {
      const { status, headers } = await admin.get(path)
      expect([path, status, headers['www-authenticate']]).toEqual([path, 401, 'Bearer'])
    }
    expect((await admin.post('/drain')).status).toBe(401)
    expect((await admin.get('/ready')).status).toBe(200)
    expect((await admin.get('/healthz')).status).toBe(200)
    expect((await admin.get('/config', { authorization: 'Bearer s3cret' })).status).toBe(200)
    expect((await admin.post('/drain', '', { authorization: 'Bearer s3cret' })).status).toBe(202)
  })

  it('a wrong one does not change anything', async () => {
    let drains = 0
    const admin = await start({ drain: () => void drains++ }, { token: 's3cret' })
    expect((await admin.post('/drain', '', { authorization: 'Bearer guess' })).status).toBe(401)
    expect(drains).toBe(0)
  })

  it('off loopback there must be one', async () => {
    await expect(start({}, { address: { host: '0.0.0.0', port: 0 } })).rejects.toThrow('it needs `token`, or `tls` with `client_ca`')
    const admin = await start({}, { address: { host: '0.0.0.0', port: 0 }, token: 's3cret' })
    expect((await admin.get('/config', { authorization: 'Bearer s3cret', host: 'gateway.example' })).status).toBe(200)
  })
})

describe('the host', () => {
  it.each(['localhost', 'LOCALHOST:9901', 'localhost.', '127.0.0.1', '127.0.0.1:80', '127.9.9.9', '[::1]', '[::1]:9901', 'admin.internal:9901'])('%s is ours', (host) => {
    expect(hostGuard({ host: '127.0.0.1', port: 0 }, ['admin.internal'])(host)).toBe(true)
  })

  it.each([undefined, '', 'evil.example', 'evil.example:9901', 'localhost.evil.example', '127.0.0.1.evil.example', 'localhost@evil.example', '[::2]', '::1', '128.0.0.1', '127.0.0.1:9901:1', 'localhost:', '0.0.0.0'])('%s is not', (host) => {
    expect(hostGuard({ host: '127.0.0.1', port: 0 }, ['admin.internal'])(host)).toBe(false)
  })

  it('is asked for on loopback alone', () => {
    expect(hostGuard({ host: '10.0.0.1', port: 0 }, [])('any.example')).toBe(true)
    expect(hostGuard({ unix: '/run/weir.sock' }, [])(undefined)).toBe(true)
    expect(['127.0.0.1', '127.1.2.3', '::1', 'LocalHost'].every((host) => isLoopback({ host, port: 0 }))).toBe(true)
    expect(['0.0.0.0', '::', '10.0.0.1', 'gateway', '127.0.0.1.example', ''].some((host) => isLoopback({ host, port: 0 }))).toBe(false)
  })

  it('a page whose name was pointed at loopback reads nothing', async () => {
    const admin = await start()
    for (const path of ['/metrics', '/healthz', '/config', '/nothing']) expect((await admin.get(path, { host: `evil.example:${admin.port}` })).status).toBe(403)
    const readOnly = await start({}, { readOnly: true })
    expect((await readOnly.get('/metrics', { host: 'evil.example' })).status).toBe(403)
  })
})

describe('the origin', () => {
  it.each<[Record<string, string>, boolean]>([
    [{ host: '127.0.0.1:9901' }, true],
    [{ host: '127.0.0.1:9901', origin: 'http://127.0.0.1:9901', 'sec-fetch-site': 'same-origin' }, true],
    [{ host: '127.0.0.1:9901', 'sec-fetch-site': 'none' }, true],
    [{ host: '127.0.0.1:9901', origin: 'https://evil.example' }, false],
    [{ host: '127.0.0.1:9901', origin: 'http://127.0.0.1:3000' }, false],
    [{ host: '127.0.0.1:9901', origin: 'null' }, false],
    [{ host: '127.0.0.1:9901', 'sec-fetch-site': 'cross-site' }, false],
    [{ host: '127.0.0.1:9901', 'sec-fetch-site': 'same-site' }, false],
  ])('%j: %s', (headers, allowed) => {
    expect(sameOrigin(headers)).toBe(allowed)
  })

  it('a page of others cannot drain', async () => {
    let drains = 0
    const admin = await start({ drain: () => void drains++ })
    expect((await admin.post('/drain', '', { origin: 'https://evil.example' })).status).toBe(403)
    expect(drains).toBe(0)
  })
})

describe('the read-only listener', () => {
  it('serves metrics and probes, off loopback and without a token', async () => {
    const admin = await start({}, { address: { host: '0.0.0.0', port: 0 }, readOnly: true })
    expect((await admin.get('/metrics', { host: 'pod.example' })).status).toBe(200)
    expect((await admin.get('/ready', { host: 'pod.example' })).status).toBe(200)
    expect((await admin.get('/healthz')).status).toBe(200)
    for (const path of ['/config', '/routes', '/backends', '/models', '/routes/a/b/c']) expect((await admin.get(path)).status).toBe(404)
    expect((await admin.post('/drain')).status).toBe(404)
    expect((await admin.post('/reload')).status).toBe(404)
    const { endpoints } = (await admin.get('/')).json as { endpoints: { path: string }[] }
    expect(endpoints.map(({ path }) => path)).toEqual(['/metrics', '/ready', '/healthz'])
  })
})

describe('the socket', () => {
  const folder = mkdtempSync(join(tmpdir(), 'weir-admin-'))
  afterAll(() => rmSync(folder, { recursive: true, force: true }))

  it('may be a unix socket, of its owner alone, also where a killed process left one', async () => {
    const path = join(folder, 'admin.sock')
    spawnSync(process.execPath, ['-e', 'require("net").createServer().listen(process.argv[1], () => process.kill(process.pid, "SIGKILL"))', path])
    expect(statSync(path).isSocket()).toBe(true)
    const admin = await start({}, { address: { unix: path } })
    expect((await admin.get('/config', { host: 'any.example' })).status).toBe(200)
    expect(statSync(path).mode & 0o777).toBe(0o600)
    await expect(start({}, { address: { unix: path } })).rejects.toThrow('EADDRINUSE')
  })

  it('a broken request is answered 400 and the connection closed', async () => {
    const admin = await start()
    expect(await raw(admin.port, 'GARBAGE\r\n\r\n')).toMatch(/^HTTP\/1\.1 400 /)
    expect(await raw(admin.port, `GET / HTTP/1.1\r\nhost: localhost\r\nx: ${'y'.repeat(20_000)}\r\n\r\n`)).toMatch(/^HTTP\/1\.1 4\d\d /)
    expect((await admin.get('/healthz')).status).toBe(200)
  })

  it('close lets an answer under way finish, and cuts it after a second', async () => {
    const { promise, resolve } = Promise.withResolvers<{ ok: true; hash: string; issues: [] }>()
    const admin = await start({ reload: () => promise })
    const asked = admin.post('/reload')
    while (admin.clock.pending === 0) await new Promise((next) => setImmediate(next))
    const closing = admin.server.close()
    resolve({ ok: true, hash: 'h', issues: [] })
    expect((await asked).status).toBe(200)
    await closing

    const stuck = await start({ reload: () => new Promise(() => undefined) })
    const never = stuck.post('/reload').catch((error: NodeJS.ErrnoException) => error.code)
    while (stuck.clock.pending === 0) await new Promise((next) => setImmediate(next))
    const cut = stuck.server.close()
    stuck.clock.advance(1_000)
    await cut
    expect(await never).toBe('ECONNRESET')
  })

  it('an address in use is an error', async () => {
    const other = createServer().listen(0, '127.0.0.1')
    onTestFinished(() => void other.close())
    await new Promise((resolve) => other.once('listening', resolve))
    await expect(start({}, { address: { host: '127.0.0.1', port: (other.address() as { port: number }).port } })).rejects.toThrow('EADDRINUSE')
  })
})

/** Sends bytes and gives what comes back until the other side closes. */
function raw(port: number, bytes: string): Promise<string> {
  const { promise, resolve } = Promise.withResolvers<string>()
  let text = ''
  const socket = connect(port, '127.0.0.1', () => socket.write(bytes))
  socket.setEncoding('latin1').on('data', (chunk) => (text += String(chunk)))
  socket.on('error', () => undefined).on('close', () => resolve(text))
  return promise
}

describeWith('openssl', 'the admin listener over TLS', (openssl) => {
  const folder = mkdtempSync(join(tmpdir(), 'weir-admin-tls-'))
  afterAll(() => rmSync(folder, { recursive: true, force: true }))
  const at = (file: string) => join(folder, file)
  const run = (...args: string[]) => execFileSync(openssl, args, { cwd: folder, stdio: 'pipe' })
  const selfSigned = (name: string) => run('req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-days', '2', '-subj', `/CN=${name}`, '-addext', 'subjectAltName=DNS:localhost', '-keyout', `${name}.key`, '-out', `${name}.crt`)
  const tls = (changes: Partial<ServerTls> = {}): ServerTls => ({ cert: at('server.crt'), key: at('server.key'), client_ca: null, ...changes })
  selfSigned('server')
  selfSigned('next')
  selfSigned('client')

  const get = (port: number, more: object = {}) => send({ host: '127.0.0.1', servername: 'localhost', port, path: '/config', headers: { host: 'localhost' }, ca: readFileSync(at('server.crt')), ...more }, undefined, true)

  it('speaks TLS', async () => {
    const { port } = await start({}, { tls: tls() })
    expect((await get(port)).status).toBe(200)
  })

  it('with client_ca only those whom it signed get in, and no token is needed off loopback', async () => {
    const { port } = await start({}, { tls: tls({ client_ca: at('client.crt') }), address: { host: '0.0.0.0', port: 0 } })
    await expect(get(port)).rejects.toThrow(/certificate required|socket hang up|ECONNRESET/i)
    await expect(get(port, { cert: readFileSync(at('next.crt')), key: readFileSync(at('next.key')) })).rejects.toThrow(/unknown ca|socket hang up|ECONNRESET/i)
    expect((await get(port, { cert: readFileSync(at('client.crt')), key: readFileSync(at('client.key')) })).status).toBe(200)
  })

  it('takes a new certificate while it runs, and keeps the old one while the files do not fit', async () => {
    writeFileSync(at('live.crt'), readFileSync(at('server.crt')))
    writeFileSync(at('live.key'), readFileSync(at('server.key')))
    const clock = new FakeClock()
    const admin = await start({}, { tls: tls({ cert: at('live.crt'), key: at('live.key') }) }, clock)
    writeFileSync(at('live.crt'), readFileSync(at('next.crt')))
    await seen(admin.logged, clock, 1)
    expect(admin.logged).toEqual(['the certificate of the admin listener cannot be read again; the old one stays'])
    expect((await get(admin.port)).status).toBe(200)
    writeFileSync(at('live.key'), readFileSync(at('next.key')))
    await seen(admin.logged, clock, 2)
    expect(admin.logged[1]).toBe('the admin listener has a new certificate')
    await expect(get(admin.port)).rejects.toThrow(/self-signed certificate/)
    expect((await get(admin.port, { ca: readFileSync(at('next.crt')) })).status).toBe(200)
  })

  async function seen(logged: readonly string[], clock: FakeClock, count: number): Promise<void> {
    clock.advance(10_000)
    while (logged.length < count) await new Promise((next) => setImmediate(next))
  }

  it('does not start with a key that does not fit', async () => {
    await expect(start({}, { tls: tls({ key: at('next.key') }) })).rejects.toThrow(/key values mismatch/i)
  })
})
