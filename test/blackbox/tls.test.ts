/** TLS on both sides: certificates that change, verification that is on, names, client certificates. */
import { copyFile, mkdtemp, readFile, rm } from 'node:fs/promises'
import net from 'node:net'
import { tmpdir } from 'node:os'
import path from 'node:path'
import type tls from 'node:tls'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { load, makeAuthority, makeCertificate, type Pair } from './certificates.ts'
import { answer, type ReceivedAnswer, request } from './message.ts'
import { connect, pause, type Peer, Upstream } from './scripted.ts'
import { expectProblem, startWeir, type Weir } from './weir.ts'

let folder: string
let authority: Pair
let renewed: Pair
/** Presents a certificate for models.test and 127.0.0.1, from `authority`. */
let upstream: Upstream
/** Demands a client certificate. */
let mutual: Upstream
/** Passes bytes to `upstream` and back, so that a test can break TLS from below. */
let relay: Upstream
let weir: Weir
let ca: Buffer
let cert: { path: string; key: string }
let serverNames: string[]

beforeAll(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'weir-tls-'))
  authority = await makeAuthority(folder, 'authority')
  const stranger = await makeAuthority(folder, 'stranger')
  const [front, back, client] = await Promise.all([
    makeCertificate(folder, 'front', ['DNS:weir.test'], authority),
    makeCertificate(folder, 'back', ['DNS:models.test', 'IP:127.0.0.1'], authority),
    makeCertificate(folder, 'client', ['DNS:client.test'], authority),
  ])
  const strange = await makeCertificate(folder, 'strange', ['DNS:client.test'], stranger)
  renewed = await makeCertificate(folder, 'renewed', ['DNS:weir.test'], authority)
  ca = await readFile(authority.cert)
  cert = { path: path.join(folder, 'listener.crt'), key: path.join(folder, 'listener.key') }
  await copyFile(front.cert, cert.path)
  await copyFile(front.key, cert.key)
  serverNames = []
  upstream = await Upstream.listen({ tls: { ...(await load(back)), SNICallback: (name, done) => (serverNames.push(name), done(null)) } })
  mutual = await Upstream.listen({ tls: { ...(await load(back)), ca, requestCert: true, rejectUnauthorized: true } })
  relay = await Upstream.listen()
  const url = `https://127.0.0.1:${upstream.port}`
  weir = await startWeir(
    `
timeouts: { request_headers: 1s, idle: 5s }
backends:
  unknown: { url: "${url}" }
  known: { url: "${url}", tls: { ca: "${authority.cert}" } }
  relayed: { url: "https://127.0.0.1:${relay.port}", tls: { ca: "${authority.cert}" } }
  unverified: { url: "${url}", tls: { verify: false } }
  named: { url: "${url}", tls: { ca: "${authority.cert}", server_name: models.test }, host: keep }
  misnamed: { url: "${url}", tls: { ca: "${authority.cert}", server_name: other.test } }
  stranger: { url: "${url}", tls: { ca: "${stranger.cert}" } }
  without: { url: "https://127.0.0.1:${mutual.port}", tls: { ca: "${authority.cert}" } }
  with: { url: "https://127.0.0.1:${mutual.port}", tls: { ca: "${authority.cert}", cert: "${client.cert}", key: "${client.key}" } }
  with_strange: { url: "https://127.0.0.1:${mutual.port}", tls: { ca: "${authority.cert}", cert: "${strange.cert}", key: "${strange.key}" } }
routes:
${['unknown', 'known', 'relayed', 'unverified', 'named', 'misnamed', 'stranger', 'without', 'with', 'with_strange'].map((name) => `  - { name: ${name}, match: { path: /${name} }, backend: ${name} }`).join('\n')}
`,
    { listen: (port) => `{ address: "127.0.0.1:${port}", tls: { cert: "${cert.path}", key: "${cert.key}" } }` },
  )
})
beforeEach(async () => {
  await upstream.fresh()
  await mutual.fresh()
  await relay.fresh()
  relay.onConnection = ({ socket }) => {
    const back = net.connect(upstream.port, '127.0.0.1').on('error', () => socket.destroy())
    socket.pipe(back)
    back.pipe(socket)
  }
  serverNames.length = 0
})
afterAll(async () => {
  await weir?.stop()
  await upstream?.close()
  await mutual?.close()
  await relay?.close()
  await rm(folder, { recursive: true, force: true })
})

const secure = (): Promise<Peer> => connect({ port: weir.port }, { ca, servername: 'weir.test' })

async function ask(backend: string): Promise<ReceivedAnswer> {
  const caller = await secure()
  await caller.send(request('GET', `/${backend}`))
  const got = await caller.readFinal()
  caller.destroy()
  return got
}

describe('66: the listener', () => {
  it('66: speaks TLS, and says so', async () => {
    const caller = await secure()
    await caller.send(request('POST', '/known', [], 'hello'), request('GET', '/known'))
    for (const method of ['POST', 'GET']) expect((await caller.readFinal(method)).status).toBe(200)
    expect(upstream.requests[0]!.head.one('x-forwarded-proto')).toBe('https')
    expect(upstream.requests[0]!.body.toString()).toBe('hello')
    caller.destroy()
  })

  it('66: plain text to it is not served', async () => {
    const plain = await connect({ port: weir.port })
    await plain.send(request('GET', '/known'))
    await plain.untilOver(3000)
    expect(plain.unread.toString('latin1')).not.toMatch(/HTTP\/1.1 2/)
    expect(upstream.peers).toHaveLength(0)
    expect((await ask('known')).status).toBe(200)
  })

  it('66: a handshake that does not go on ends', async () => {
    const silent = await connect({ port: weir.port })
    await silent.untilOver(3000)
  })

  it('66: TLS 1.2 is served, 1.1 is not', async () => {
    const older = await connect({ port: weir.port }, { ca, servername: 'weir.test', maxVersion: 'TLSv1.2' })
    older.destroy()
    await expect(connect({ port: weir.port }, { ca, servername: 'weir.test', minVersion: 'TLSv1.1', maxVersion: 'TLSv1.1' })).rejects.toThrow()
  })

  it('66: a caller that leaves is noticed', async () => {
    upstream.onRequest = () => undefined
    const caller = await secure()
    await caller.send(request('GET', '/known'))
    await expect.poll(() => upstream.requests.length).toBe(1)
    caller.destroy()
    expect(await upstream.peer.untilOver(1000)).toBeLessThan(100)
  })

  it('66: an answer that breaks off is cut', async () => {
    upstream.onRequest = async (_, peer) => {
      await peer.send('HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\npartial')
      await pause(20)
      peer.destroy()
    }
    expect(await ask('known')).toMatchObject({ status: 200, complete: false, body: Buffer.from('partial') })
  })

  it('66: a new certificate is taken up, open connections stay, a broken one changes nothing', async () => {
    const subject = async (): Promise<string> => {
      const caller = await secure()
      const name = (caller.socket as tls.TLSSocket).getPeerCertificate().subject.CN
      caller.destroy()
      return String(name)
    }
    expect(await subject()).toBe('front')
    const open = await secure()
    // A connection that never sent anything has `request_headers` to live.
    await open.send(request('GET', '/known'))
    expect((await open.readFinal()).status).toBe(200)
    await copyFile(renewed.cert, cert.path)
    await copyFile(renewed.key, cert.key)
    await expect.poll(subject, { timeout: 5000, interval: 100 }).toBe('renewed')
    await open.send(request('GET', '/known'))
    expect((await open.readFinal()).status).toBe(200)
    open.destroy()
    await copyFile(authority.key, cert.key)
    await pause(500)
    expect(await subject()).toBe('renewed')
    await copyFile(renewed.key, cert.key)
  })
})

describe('66: the backend', () => {
  it('66: whose certificate nobody vouches for is not spoken to', async () => {
    for (const name of ['unknown', 'stranger']) {
      const got = await ask(name)
      expectProblem(got, 503, 'TLS_FAILED')
      expect(got.body.toString()).not.toMatch(/self.signed|issuer|OPENSSL|CERT_/i)
    }
    expect(upstream.requests).toHaveLength(0)
  })

  it('66: whose CA is configured is', async () => {
    expect((await ask('known')).status).toBe(200)
  })

  it('66: is trusted blindly only if the config says so', async () => {
    expect((await ask('unverified')).status).toBe(200)
  })

  it('66: is told and checked by name', async () => {
    expect((await ask('named')).status).toBe(200)
    expect(serverNames).toEqual(['models.test'])
    expect(upstream.request.head.one('host')).toBe('weir.test')
    expectProblem(await ask('misnamed'), 503, 'TLS_FAILED')
    expect(upstream.requests).toHaveLength(1)
  })

  it('66: by address it is told no name, and sees its own authority as Host', async () => {
    expect((await ask('known')).status).toBe(200)
    expect(serverNames.filter((name) => name !== '')).toEqual([])
    expect(upstream.request.head.one('host')).toBe(`127.0.0.1:${upstream.port}`)
  })

  it('66: gets a client certificate where there is one', async () => {
    expect((await ask('with')).status).toBe(200)
    for (const name of ['without', 'with_strange']) expect([502, 503]).toContain((await ask(name)).status)
    expect(mutual.requests).toHaveLength(1)
  })

  it('66: connections and sessions are used again', async () => {
    for (let i = 0; i < 3; i++) expect((await ask('known')).status).toBe(200)
    expect(upstream.peers).toHaveLength(1)
    const reused: boolean[] = []
    upstream.onRequest = (_, { socket }) => {
      reused.push((socket as tls.TLSSocket).isSessionReused())
      return answer(200, ['Connection: close'], 'ok')
    }
    for (let i = 0; i < 3; i++) await ask('known')
    expect(upstream.peers).toHaveLength(3)
    expect(reused.slice(1)).toEqual([true, true])
  })

  it('39: a reset at the tail of an answer that the end delimits is a failure', async () => {
    upstream.onRequest = (_, peer) => void peer.send('HTTP/1.1 200 OK\r\n\r\npart')
    const caller = await secure()
    await caller.send(request('GET', '/relayed'))
    await caller.until(() => caller.unread.includes('part'), 'the body')
    relay.peer.reset()
    expect(await caller.readFinal()).toMatchObject({ framing: 'chunked', complete: false, body: Buffer.from('part') })
  })

  it('39: close_notify is the end of one', async () => {
    upstream.onRequest = async (_, peer) => {
      await peer.send('HTTP/1.1 200 OK\r\n\r\nwhole')
      peer.finish()
    }
    expect(await ask('known')).toMatchObject({ framing: 'chunked', complete: true, body: Buffer.from('whole') })
  })
})
