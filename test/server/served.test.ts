import { gzipSync } from 'node:zlib'
import { describe, expect, test } from 'vitest'
import { WeirError } from '../../gateway/errors.ts'
import { type Answer, Leg, reply } from '../../gateway/exchange.ts'
import type { CompiledRoute, Step } from '../../gateway/pipeline/route.ts'
import type { ServeRoute } from '../../gateway/plugin.ts'
import { gather } from '../../gateway/server/buffer.ts'
import { compileRouter } from '../../gateway/server/router.ts'
import { servedEntries } from '../../gateway/server/served.ts'
import { HandFlow, makeBackend, makeExchange } from '../plugin_test.ts'

interface Part {
  readonly handle?: ServeRoute['handle']
  readonly otherwise?: NonNullable<ServeRoute['otherwise']>
  readonly max?: number
}

/** Routes that serve, in order; what failed is in `failures`. */
function stand(parts: Readonly<Record<string, Part>>[]) {
  const failures: unknown[] = []
  const step = ({ handle = () => null, otherwise, max = 100 }: Part): Step<ServeRoute> => ({
    plugin: 'p', index: 0, onError: 'open', failed: (error) => void failures.push(error),
    run: { summary: '', maxBodyBytes: max, handle, ...(otherwise !== undefined && { otherwise }) },
  })
  const routes = parts.map((paths) => ({ serve: new Map(Object.entries(paths).map(([at, part]) => [at, [step(part)]])) }) as unknown as CompiledRoute)
  const router = compileRouter(servedEntries(routes, gather))
  async function ask(method: string, path: string, body: Buffer | HandFlow | null = Buffer.from('{}'), headers: string[] = []): Promise<Answer> {
    const found = router.find(method, path, [])
    if (found.route === null) throw new WeirError(found.allow === null ? 'NO_ROUTE' : 'METHOD_NOT_ALLOWED', found.allow ?? '')
    const leg = new Leg(makeBackend('', () => reply(500, '')))
    return found.route.send(makeExchange({ method, target: path, body, headers }, found.route, leg), leg)
  }
  return { ask, failures, router }
}

const text = ({ body }: Answer) => (body as Buffer).toString()

describe('what plugins serve', () => {
  test('is asked in the order of routes until one takes it', async () => {
    const asked: string[] = []
    const part = (name: string, takes: boolean): Part => ({
      handle(body) {
        asked.push(`${name} ${body.toString()}`)
        return takes ? reply(200, name) : null
      },
    })
    const { ask } = stand([{ 'POST /labels': part('a', false) }, { 'POST /labels': part('b', true) }, { 'POST /labels': part('c', true) }])
    expect(text(await ask('POST', '/labels'))).toBe('b')
    expect(asked).toEqual(['a {}', 'b {}'])
  })

  test('is answered by the first who will when none takes it, else 404', async () => {
    const { ask } = stand([{ 'POST /x': {}, 'POST /y': {} }, { 'POST /x': { otherwise: () => reply(200, 'second') } }, { 'POST /x': { otherwise: () => reply(200, 'third') } }])
    expect(text(await ask('POST', '/x'))).toBe('second')
    expect((await ask('POST', '/y')).status).toBe(404)
  })

  test('another method is 405 with those there are, another path is nobody’s', async () => {
    const { router } = stand([{ 'POST /x': {}, 'PUT /x': {} }])
    expect(router.find('GET', '/x?a=b', [])).toEqual({ route: null, allow: 'POST, PUT' })
    expect(router.find('POST', '/x/y', [])).toEqual({ route: null, allow: null })
    expect(router.find('POST', '/x?a=b', []).route?.name).toBe('/x')
  })

  test('sees the whole body, decoded, up to the limit of whoever takes most', async () => {
    const { ask } = stand([{ 'POST /x': { max: 5 } }, { 'POST /x': { max: 10, handle: (body) => reply(200, body.toString()) } }])
    const flow = new HandFlow()
    const answer = ask('POST', '/x', flow)
    flow.push('01234')
    flow.push('56789')
    flow.end()
    expect(text(await answer)).toBe('0123456789')
    await expect(ask('POST', '/x', Buffer.from('01234567890'))).rejects.toMatchObject({ code: 'BODY_TOO_LARGE' })
  })

  test('codings: gzip is read, others are 415, a bomb is 413', async () => {
    const { ask } = stand([{ 'POST /x': { max: 1000, handle: (body) => reply(200, body.toString()) } }])
    expect(text(await ask('POST', '/x', gzipSync('hello'), ['content-encoding', 'gzip']))).toBe('hello')
    await expect(ask('POST', '/x', Buffer.from('x'), ['content-encoding', 'br'])).rejects.toMatchObject({ code: 'UNSUPPORTED_MEDIA_TYPE' })
    await expect(ask('POST', '/x', gzipSync('0'.repeat(100_000)), ['content-encoding', 'gzip'])).rejects.toMatchObject({ code: 'BODY_TOO_LARGE' })
  })

  test('that fails is counted against its plugin; its own refusals are not', async () => {
    const broken = new Error('broken')
    const { ask, failures } = stand([{ 'POST /x': { handle: () => { throw broken } }, 'POST /y': { handle: () => Promise.reject(new WeirError('FORBIDDEN', 'no')) } }])
    await expect(ask('POST', '/x')).rejects.toMatchObject({ code: 'PLUGIN_FAILED' })
    await expect(ask('POST', '/y')).rejects.toMatchObject({ code: 'FORBIDDEN', message: 'no' })
    expect(failures).toEqual([broken])
  })

  test('costs nothing where nobody serves', () => {
    expect(servedEntries([{ serve: null } as CompiledRoute], gather)).toEqual([])
  })
})
