/** The process as an operator meets it: reload, graceful stop, threads that die, mistakes on the command line. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import net from 'node:net'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { answer, request } from '../blackbox/message.ts'
import { connect, pause, Upstream } from '../blackbox/scripted.ts'
import { freePort, MAIN, startWeir, Weir } from '../blackbox/weir.ts'

const CONTRACT = path.resolve(import.meta.dirname, '../../gateway/plugin.ts')

let weir: Weir | null = null
let folder = ''
let upstream: Upstream

beforeAll(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'weir-process-'))
  upstream = await Upstream.listen()
})
afterEach(async () => {
  await weir?.stop()
  weir = null
  await upstream.fresh()
})
afterAll(async () => {
  await upstream.close()
  await rm(folder, { recursive: true, force: true })
})

/** A file with one constant answer; `head` stands before it. */
const constant = (text: string, head = ''): string => `${head}backends: { one: { answer: { body: ${text} } } }\nroutes: [{ name: all, match: { path: "/**" }, backend: one }]\n`
const proxy = (more = ''): string => `${more}backends: { up: { url: "http://127.0.0.1:${upstream.port}" } }\nroutes: [{ name: all, match: { path: "/**" }, backend: up }]\n`

async function get(from: Weir, target = '/'): Promise<string> {
  return (await from.exchange(request('GET', target))).body.toString()
}

async function admin(from: Weir, target: string, method = 'GET'): Promise<{ status: number; body: Record<string, unknown> }> {
  const answer = await fetch(`http://127.0.0.1:${from.admin}${target}`, { method })
  return { status: answer.status, body: (await answer.json()) as Record<string, unknown> }
}

/** Rewrites what stands behind the head that `startWeir` wrote. */
async function rewrite(of: Weir, yaml: string, head = ''): Promise<void> {
  await writeFile(path.join(of.folder, 'weir.yaml'), `listen: 127.0.0.1:${of.port}\nadmin: 127.0.0.1:${of.admin}\nthreads: 2\ndrain: { grace: 10ms, deadline: 2s }\n${head}${yaml}`)
}

/** Runs `weir` to its end. */
async function command(...words: string[]): Promise<{ code: number | null; out: string; error: string }> {
  const child = spawn(process.execPath, [MAIN, ...words])
  let out = ''
  let error = ''
  child.stdout.on('data', (text) => (out += text))
  child.stderr.on('data', (text) => (error += text))
  const [code] = (await once(child, 'close')) as [number | null]
  return { code, out, error }
}

describe('a reload', () => {
  it.each([
    ['a change of the file', async () => undefined],
    ['SIGHUP', async (of: Weir) => void of.process.kill('SIGHUP')],
    ['POST /reload', async (of: Weir) => void (await admin(of, '/reload', 'POST'))],
  ])('by %s', async (_how, nudge) => {
    weir = await startWeir(constant('before'), { threads: 2 })
    expect(await get(weir)).toBe('before')
    await rewrite(weir, constant('after'))
    await nudge(weir)
    await expect.poll(async () => new Set(await Promise.all(Array.from({ length: 8 }, () => get(weir!)))), { timeout: 5000 }).toEqual(new Set(['after']))
    expect((await admin(weir, '/config')).body).toMatchObject({ synchronized: true, issues: [] })
  })

  it('to a bad file changes nothing and is seen; a good one ends that', async () => {
    weir = await startWeir(constant('before'), { threads: 2 })
    await rewrite(weir, 'rutes: []\n')
    const answered = await admin(weir, '/reload', 'POST')
    expect(answered.body).toMatchObject({ ok: false, issues: [{ rule: 'unknown-key', line: 5 }] })
    expect(await get(weir)).toBe('before')
    await weir.untilMetric(0, 'weir_config_synchronized')
    expect((await admin(weir, '/config')).body).toMatchObject({ synchronized: false, issues: [{ rule: 'unknown-key' }] })
    expect(weir.stderr).toContain('unknown-key')
    await rewrite(weir, constant('after'))
    await weir.untilMetric(1, 'weir_config_synchronized')
    expect(await get(weir)).toBe('after')
  })

  it('of what needs a restart is refused, whole, with its place', async () => {
    weir = await startWeir(constant('before'), { threads: 2 })
    await rewrite(weir, constant('after'), 'timeouts: { idle: 9s }\n')
    const { body } = await admin(weir, '/reload', 'POST')
    expect(body).toMatchObject({ ok: false, issues: [{ rule: 'needs-restart', path: 'timeouts', line: 5 }] })
    expect(await get(weir)).toBe('before')
  })

  it('whose plugin does not build in a thread changes nothing in any', async () => {
    const file = path.join(folder, 'picky.ts')
    await writeFile(file, `import { plugin, Type } from ${JSON.stringify(CONTRACT)}
export default plugin({ name: 'picky', summary: 's', stability: 'beta', config: Type.Object({}, { additionalProperties: false }), example: {}, onError: 'closed',
  build() { throw new Error('no wood') } })`)
    weir = await startWeir(constant('before'), { threads: 2 })
    await rewrite(weir, `backends: { one: { answer: { body: after } } }\nroutes:\n  - name: all\n    match: { path: "/**" }\n    backend: one\n    plugins:\n      - use: ${file}\n`)
    const { body } = await admin(weir, '/reload', 'POST')
    expect(body).toMatchObject({ ok: false, issues: [{ rule: 'plugin-build', message: expect.stringContaining('no wood'), line: 11 }] })
    expect(await get(weir)).toBe('before')
  })

  it('lets what is in flight finish on the old configuration, and keeps connections to backends that did not change', async () => {
    weir = await startWeir(proxy(), { threads: 1 })
    await get(weir)
    const release = Promise.withResolvers<void>()
    upstream.onRequest = async () => (await release.promise, answer(200, [], 'late'))
    const waiting = get(weir, '/old')
    await expect.poll(() => upstream.requests.length).toBe(2)
    const yaml = proxy().replace('/**', '/new')
    await writeFile(path.join(weir.folder, 'weir.yaml'), `listen: 127.0.0.1:${weir.port}\nadmin: 127.0.0.1:${weir.admin}\nthreads: 1\ndrain: { grace: 10ms, deadline: 2s }\n${yaml}`)
    expect((await admin(weir, '/reload', 'POST')).body).toMatchObject({ ok: true })
    expect((await weir.exchange(request('GET', '/old'))).status).toBe(404)
    release.resolve()
    expect(await waiting).toBe('late')
    expect((await weir.exchange(request('GET', '/new'))).status).toBe(200)
    expect(upstream.peers).toHaveLength(1)
  })
})

describe('a graceful stop', () => {
  it('answers what is in flight, closes, and exits 0', async () => {
    weir = await startWeir(proxy('drain: { grace: 300ms, deadline: 5s }\n'), { threads: 2 })
    const idle = await weir.connect()
    await idle.send(request('GET', '/'))
    await idle.readFinal()
    const release = Promise.withResolvers<void>()
    upstream.onRequest = async ({ target }) => (target === '/slow' ? (await release.promise, answer(200, [], 'whole')) : answer(200))
    const slow = await weir.connect()
    await slow.send(request('GET', '/slow'))
    await expect.poll(() => upstream.requests.length).toBe(2)

    const exit = once(weir.process, 'exit')
    weir.process.kill('SIGTERM')
    await expect.poll(async () => (await admin(weir!, '/ready')).body.reason).toBe('draining')
    // Within the grace a kept connection is still answered, and told that it was the last time.
    await idle.send(request('GET', '/'))
    const last = await idle.readFinal()
    expect(last.status).toBe(200)
    expect(last.head.list('connection')).toContain('close')
    await pause(400)
    await expect(connect({ port: weir.port })).rejects.toThrow(/ECONNREFUSED/)
    release.resolve()
    const answered = await slow.readFinal()
    expect(answered.body.toString()).toBe('whole')
    expect(await exit).toEqual([0, null])
    expect(weir.stderr).toMatch(/"in_flight_at_first":1,"cut":0/)
  })

  it('answers the first request of a connection that was made just before', async () => {
    weir = await startWeir(proxy('drain: { grace: 0ms, deadline: 5s }\n'), { threads: 1 })
    const made = await weir.connect()
    const exit = once(weir.process, 'exit')
    weir.process.kill('SIGTERM')
    await expect.poll(() => connect({ port: weir!.port }).then((peer) => (peer.destroy(), 'open'), () => 'closed'), { interval: 5 }).toBe('closed')
    await made.send(request('GET', '/'))
    const answered = await made.readFinal()
    expect(answered.status).toBe(200)
    expect(answered.head.list('connection')).toContain('close')
    expect(await exit).toEqual([0, null])
  })

  it('cuts at the deadline what does not end', async () => {
    weir = await startWeir(proxy('drain: { grace: 0ms, deadline: 300ms }\n'), { threads: 1 })
    upstream.onRequest = () => undefined
    const stuck = await weir.connect()
    await stuck.send(request('GET', '/'))
    await expect.poll(() => upstream.requests.length).toBe(1)
    const exit = once(weir.process, 'exit')
    weir.process.kill('SIGTERM')
    expect(await exit).toEqual([0, null])
    await stuck.until(() => stuck.over, 'the end of the connection')
    expect(weir.stderr).toMatch(/"cut":1/)
  })

  it('ends at once on a second signal', async () => {
    weir = await startWeir(proxy('drain: { grace: 60s, deadline: 60s }\n'), { threads: 1 })
    const exit = once(weir.process, 'exit')
    weir.process.kill('SIGTERM')
    await expect.poll(async () => (await admin(weir!, '/ready')).status).toBe(503)
    weir.process.kill('SIGINT')
    expect(await exit).toEqual([0, null])
  })

  it('by POST /drain', async () => {
    weir = await startWeir(constant('a'), { threads: 1 })
    const exit = once(weir.process, 'exit')
    await admin(weir, '/drain', 'POST')
    expect(await exit).toEqual([0, null])
  })
})

describe('data threads', () => {
  const dying = async (): Promise<string> => {
    const file = path.join(folder, 'dying.ts')
    await writeFile(file, `import { plugin, reply, Type } from ${JSON.stringify(CONTRACT)}
import { threadId } from 'node:worker_threads'
export default plugin({ name: 'dying', summary: 's', stability: 'beta', config: Type.Object({}, { additionalProperties: false }), example: {}, onError: 'closed',
  build: () => ({ request(x) {
    if (x.path === '/throw') setImmediate(() => { throw new Error('boom') })
    if (x.path === '/exit') process.exit(7)
    if (x.path === '/fill') { const held = []; for (;;) held.push(new Array(1e6).fill(held.length)) }
    return reply(200, String(threadId))
  } }) })`)
    return `backends: { one: { answer: { body: a } } }\nroutes: [{ name: all, match: { path: "/**" }, backend: one, plugins: [{ use: "${file}" }] }]\n`
  }

  it('share the port', async () => {
    weir = await startWeir(await dying(), { threads: 2 })
    await expect.poll(async () => new Set(await Promise.all(Array.from({ length: 16 }, () => get(weir!)))).size).toBe(2)
  })

  it.each([
    ['/throw', 'boom'],
    ['/exit', 'code 7'],
  ])('one that dies by %s is replaced and counted; the neighbour does not notice', async (target, reason) => {
    weir = await startWeir(await dying(), { threads: 2 })
    const peers = await Promise.all(Array.from({ length: 12 }, () => weir!.connect()))
    const thread = new Map<number, string>()
    for (const [i, peer] of peers.entries()) {
      await peer.send(request('GET', '/'))
      thread.set(i, (await peer.readFinal()).body.toString())
    }
    const counted = (await weir.metrics()).sum('weir_requests_total')
    expect(counted).toBe(12)
    await peers[0]!.send(request('GET', target))
    await peers[0]!.until(() => peers[0]!.over, 'the end of the connection')
    const neighbours = peers.filter((_, i) => thread.get(i) !== thread.get(0))
    expect(neighbours.length).toBeGreaterThan(0)
    for (const peer of neighbours) {
      await peer.send(request('GET', '/'))
      expect((await peer.readFinal()).status).toBe(200)
    }
    await expect.poll(async () => (await admin(weir!, '/ready')).body, { timeout: 10_000 }).toMatchObject({ ready: true, threads: { wanted: 2, serving: 2, restarts: 1 } })
    expect(weir.stderr).toContain(reason)
    const metrics = await weir.metrics()
    expect(metrics.sum('weir_thread_restarts_total')).toBe(1)
    expect(metrics.sum('weir_requests_total')).toBeGreaterThanOrEqual(counted + neighbours.length)
    await expect.poll(async () => new Set(await Promise.all(Array.from({ length: 16 }, () => get(weir!)))).size).toBe(2)
  })

  it('one that runs out of memory is replaced too', async () => {
    weir = await startWeir(await dying(), { threads: 1, env: { NODE_OPTIONS: '--max-old-space-size=120' } })
    const peer = await weir.connect()
    await peer.send(request('GET', '/fill'))
    await peer.until(() => peer.over, 'the end of the connection', 15_000)
    await expect.poll(async () => (await admin(weir!, '/ready')).body, { timeout: 10_000 }).toMatchObject({ ready: true, threads: { restarts: 1 } })
    expect(await get(weir)).toMatch(/^\d+$/)
  }, 40_000)

  it('that die again and again leave the gateway unready between, and the file can still be mended', async () => {
    weir = await startWeir(await dying(), { threads: 1 })
    for (let i = 0; i < 3; i++) {
      await expect.poll(async () => (await admin(weir!, '/ready')).status, { timeout: 10_000 }).toBe(200)
      const peer = await weir.connect()
      await peer.send(request('GET', '/exit'))
      await expect.poll(async () => (await admin(weir!, '/ready')).body).toMatchObject({ ready: false, reason: 'no_data_thread' })
    }
    await writeFile(path.join(weir.folder, 'weir.yaml'), `listen: 127.0.0.1:${weir.port}\nadmin: 127.0.0.1:${weir.admin}\nthreads: 1\ndrain: { grace: 10ms, deadline: 2s }\n${constant('mended')}`)
    await admin(weir, '/reload', 'POST')
    await expect.poll(() => get(weir!).catch(() => ''), { timeout: 10_000 }).toBe('mended')
  }, 40_000)
})

describe('a unix socket', () => {
  const socket = (): string => path.join(folder, 'weir.sock')

  it('takes the place of one that a killed process left, by one data thread', async () => {
    const left = spawn(process.execPath, ['-e', `require('net').createServer().listen(${JSON.stringify(socket())}, () => console.log('up'))`])
    await once(left.stdout, 'data')
    left.kill('SIGKILL')
    await once(left, 'exit')
    weir = await startWeir(constant('through'), { threads: 2, listen: () => `unix:${socket()}` })
    const peer = await connect({ path: socket() })
    await peer.send(request('GET', '/'))
    expect((await peer.readFinal()).body.toString()).toBe('through')
    expect(weir.stderr).toContain('one data thread')
  })

  it('is not taken from a process that uses it', async () => {
    const user = net.createServer().listen(socket())
    await once(user, 'listening')
    await expect(startWeir(constant('a'), { listen: () => `unix:${socket()}` })).rejects.toThrow(/exit code 1[^]*in use by another process/)
    user.close()
  })
})

describe('the command line', () => {
  it('run --to proxies everything', async () => {
    const [port, adminPort] = [await freePort(), await freePort()]
    const child = spawn(process.execPath, [MAIN, 'run', '--to', `http://127.0.0.1:${upstream.port}`, '--listen', `127.0.0.1:${port}`, '--admin', `127.0.0.1:${adminPort}`, '--threads', '1'])
    weir = new Weir(child, folder, port, adminPort)
    await weir.ready()
    upstream.onRequest = () => answer(201, [], 'yes')
    expect(await weir.exchange(request('PUT', '/any?q'))).toMatchObject({ status: 201 })
    expect(weir.stdout).toContain(`listens  http://127.0.0.1:${port}`)
    weir.process.kill('SIGTERM')
    expect(await once(weir.process, 'exit')).toEqual([0, null])
    weir = null
  })

  it('prints the requests to try that a file opens with, unless a flag moved the listener', async () => {
    const port = await freePort()
    const file = path.join(folder, 'tries.yaml')
    await writeFile(file, `# A file.\n#   $ curl -s http://127.0.0.1:${port}/a\nlisten: 127.0.0.1:${port}\nadmin: off\nthreads: 1\n${constant('a')}`)
    const child = spawn(process.execPath, [MAIN, 'run', file])
    let out = ''
    child.stdout.on('data', (text) => (out += text))
    await expect.poll(() => out, { timeout: 10_000 }).toContain(`Try:\n  curl -s http://127.0.0.1:${port}/a\n`)
    child.kill('SIGTERM')
    await once(child, 'exit')
  })

  it('--admin cannot open what the file may not', async () => {
    const { code, error } = await command('run', '--to', 'http://127.0.0.1:1', '--admin', '0.0.0.0:0')
    expect(code).toBe(2)
    expect(error).toContain('admin-exposed')
    const file = path.join(folder, 'inside.yaml')
    await writeFile(file, `listen: 127.0.0.1:${await freePort()}\n${constant('a')}`)
    const over = await command('run', file, '--admin', '0.0.0.0:0')
    expect([over.code, over.error]).toEqual([2, expect.stringContaining('admin-exposed')])
  })

  it('a port in use is exit code 1, and named', async () => {
    const user = net.createServer().listen(0, '127.0.0.1')
    await once(user, 'listening')
    const { port } = user.address() as net.AddressInfo
    const { code, error } = await command('run', '--to', 'http://127.0.0.1:1', '--listen', `127.0.0.1:${port}`, '--admin', 'off', '--threads', '2')
    expect(code).toBe(1)
    expect(error).toContain(`127.0.0.1:${port} is in use by another process`)
    user.close()
  })

  it('a bad file is exit code 2, each problem with its place', async () => {
    const file = path.join(folder, 'bad.yaml')
    await writeFile(file, 'backends: { a: { urll: "http://x" } }\nroutes: [{ name: r, match: { path: "/" }, backend: b }]\n')
    for (const word of ['run', 'check', 'explain']) {
      const { code, error } = await command(word, file)
      expect(code).toBe(2)
      expect(error).toContain(`${file}:1:18`)
      expect(error).toContain('unknown-backend')
    }
  })

  it('a model that does not load is exit code 2 for run and check', async () => {
    const file = path.join(folder, 'model.yaml')
    await writeFile(path.join(folder, 'broken.onnx'), 'no model')
    await writeFile(file, 'admin: off\nbackends: { m: { onnx: ./broken.onnx } }\nroutes: [{ name: r, match: { path: "/" }, backend: m }]\n')
    for (const word of ['run', 'check']) {
      const { code, error } = await command(word, file)
      expect(code).toBe(2)
      expect(error).toContain('model-load')
      expect(error).toContain(`${file}:2:`)
    }
  }, 30_000)

  it('explain says which route', async () => {
    const file = path.join(folder, 'good.yaml')
    await writeFile(file, constant('a'))
    expect((await command('check', file)).code).toBe(0)
    const { code, out } = await command('explain', file, 'GET', '/x')
    expect(code).toBe(0)
    expect(out).toMatch(/yes +all/)
  })

  it('a wrong word is exit code 2 and names the nearest', async () => {
    expect(await command('rnu')).toMatchObject({ code: 2, error: expect.stringContaining('weir run') })
    expect(await command('--version')).toMatchObject({ code: 0, out: expect.stringMatching(/^weir \d/) })
    expect(await command('--help')).toMatchObject({ code: 0 })
  })
})
