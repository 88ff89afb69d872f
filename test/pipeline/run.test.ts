/** The six sentences of `gateway/plugin.ts`, each with its corners. */
import { describe, expect, test } from 'vitest'
import { Answer, type Exchange, reply } from '../../gateway/exchange.ts'
import { WeirError } from '../../gateway/errors.ts'
import { runDone, runRequest, runRequestBody, runResponse, tapChunks } from '../../gateway/pipeline/run.ts'
import { type Hooks, type Plugin, plugin, Type } from '../../gateway/plugin.ts'
import { settled } from '../fake_clock.ts'
import { type Bench, HandFlow, pipelineTest, type Setup } from '../plugin_test.ts'

const Empty = Type.Object({}, { additionalProperties: false })

function named(name: string, hooks: Hooks, onError: 'open' | 'closed' = 'closed'): Plugin {
  return plugin({ name, summary: '', stability: 'stable', onError, config: Empty, example: {}, build: () => hooks }) as unknown as Plugin
}

function bench(plugins: readonly Plugin[], setup: Setup = {}): Promise<Bench> {
  return pipelineTest(plugins.map((one) => [one]), setup)
}

/** A plugin that writes down which of its hooks ran. */
function witness(name: string, seen: string[], more: Hooks = {}): Plugin {
  return named(name, {
    request: () => void seen.push(`${name} request`),
    response: () => void seen.push(`${name} response`),
    done: () => void seen.push(`${name} done`),
    ...more,
  })
}

const later = <T>(value: T): Promise<T> => new Promise((resolve) => setImmediate(() => resolve(value)))
const errors = (b: Bench, name: string): number => b.metric('weir_plugin_errors_total', { route: 'test', plugin: name })

describe('plugins run in the order of the YAML', () => {
  test('requests in order, answers and done in reverse', async () => {
    const seen: string[] = []
    const b = await bench([witness('a', seen), witness('b', seen), witness('c', seen)])
    await b.run()
    expect(seen).toEqual(['a request', 'b request', 'c request', 'c response', 'b response', 'a response', 'c done', 'b done', 'a done'])
  })

  test('with promises in between as well', async () => {
    const seen: string[] = []
    const slow = { request: () => later(undefined).then(() => void seen.push('b request')), response: () => later(undefined).then(() => void seen.push('b response')) }
    const b = await bench([witness('a', seen), witness('b', seen, slow), witness('c', seen)])
    await b.run()
    expect(seen.slice(0, 6)).toEqual(['a request', 'b request', 'c request', 'c response', 'b response', 'a response'])
  })

  test('body hooks run after all head hooks', async () => {
    const seen: string[] = []
    const body = (name: string): Hooks => ({ requestBody: () => void seen.push(`${name} requestBody`), responseBody: () => void seen.push(`${name} responseBody`) })
    const b = await bench([witness('a', seen, body('a')), witness('b', seen, body('b'))])
    await b.run({ body: 'x' })
    expect(seen.slice(0, 8)).toEqual(['a request', 'b request', 'a requestBody', 'b requestBody', 'b response', 'a response', 'b responseBody', 'a responseBody'])
  })
})

describe('the first reply turns the exchange round', () => {
  const replier: Hooks = { request: () => reply(418, 'me') }

  test.each([
    ['a value', replier],
    ['a promise', { request: () => later(reply(418, 'me')) }],
  ])('%s: nothing after it runs, responses of those before it run in reverse, done runs for it too', async (_what, hooks) => {
    const seen: string[] = []
    let sent = 0
    const b = await bench([witness('a', seen), witness('b', seen), witness('c', seen, hooks), witness('d', seen)], { backends: { main: () => (sent++, reply(200, '')) } })
    const { answer } = await b.run()
    expect(answer.status).toBe(418)
    expect(sent).toBe(0)
    expect(seen).toEqual(['a request', 'b request', 'b response', 'a response', 'c done', 'b done', 'a done'])
  })

  test('in requestBody: every plugin was reached, responses only of those before it', async () => {
    const seen: string[] = []
    const b = await bench([witness('a', seen), witness('b', seen, { requestBody: () => reply(418, 'me') }), witness('c', seen)])
    await b.run({ body: 'x' })
    expect(seen).toEqual(['a request', 'b request', 'c request', 'a response', 'c done', 'b done', 'a done'])
  })

  test('a plugin without a request hook is reached when one behind it is', async () => {
    const seen: string[] = []
    const quiet = named('quiet', { response: () => void seen.push('quiet response'), done: () => void seen.push('quiet done') })
    const after = named('after', { done: () => void seen.push('after done') })
    const b = await bench([quiet, named('replier', replier), after])
    await b.run()
    expect(seen).toEqual(['quiet response', 'quiet done'])
  })

  test('in response it replaces the answer for the plugins before it, and the old body is cancelled', async () => {
    const flow = new HandFlow()
    const statuses: number[] = []
    const look = named('look', { response: (x) => void statuses.push(x.answer!.status) })
    const b = await bench([look, named('swap', { response: () => reply(299, 'new') }), look], { backends: { main: () => new Answer(200, [], flow) } })
    const { answer, body } = await b.run()
    expect([statuses, answer.status, body, flow.cancelled]).toEqual([[200, 299], 299, 'new', true])
  })

  test('a replacement that takes the body over keeps it', async () => {
    const flow = new HandFlow()
    const b = await bench([named('swap', { response: (x) => new Answer(203, [], x.answer!.body) })], { backends: { main: () => new Answer(200, [], flow) } })
    const running = b.run()
    await settled()
    flow.push('kept')
    flow.end()
    expect((await running).body).toBe('kept')
    expect(flow.cancelled).toBe(false)
  })
})

describe('done', () => {
  test('exactly once, however often it is asked for', async () => {
    const seen: string[] = []
    const b = await bench([witness('a', seen)])
    const { x } = await b.run()
    runDone(b.route, x)
    expect(seen.filter((what) => what === 'a done')).toHaveLength(1)
  })

  test('when the backend fails; `response` hooks see the answer weir gives for it', async () => {
    const seen: string[] = []
    const b = await bench([witness('a', seen)], { backends: { main: () => Promise.reject(new WeirError('RESET')) } })
    const { answer } = await b.run()
    expect(answer.status).toBe(502)
    expect(seen).toEqual(['a request', 'a response', 'a done'])
  })

  test('a throw or a rejection is counted and stops nobody', async () => {
    const seen: string[] = []
    const throws = named('throws', {
      done: () => {
        throw new Error('x')
      },
    })
    const rejects = named('rejects', { done: (async () => Promise.reject(new Error('x'))) as (x: Exchange) => void })
    const b = await bench([witness('a', seen), throws, rejects])
    await b.run()
    await settled()
    expect(seen).toContain('a done')
    expect([errors(b, 'throws'), errors(b, 'rejects')]).toEqual([1, 1])
  })

  test('the caller leaves while a hook waits: those behind it never begin', async () => {
    const seen: string[] = []
    let release = (): void => undefined
    const waits = { request: () => new Promise<void>((resolve) => (release = resolve)) }
    const b = await bench([witness('a', seen, waits), witness('b', seen)])
    const x = b.exchange()
    const running = runRequest(b.route, x)
    x.leg.cancel(new WeirError('CALLER_LEFT'))
    runDone(b.route, x)
    release()
    expect((await running)?.code).toBe('CALLER_LEFT')
    runDone(b.route, x)
    expect(seen).toEqual(['a done'])
  })
})

describe('a throw is counted against its plugin', () => {
  const boom = (): never => {
    throw new Error('secret detail')
  }
  const rejecting = (): Promise<never> => Promise.reject(new Error('secret detail'))

  for (const phase of ['request', 'requestBody', 'response', 'responseBody'] as const) {
    for (const [kind, hook] of [['throws', boom], ['rejects', rejecting]] as const) {
      test(`${phase} ${kind}, open: the exchange goes on`, async () => {
        const b = await bench([named('bad', { [phase]: hook }, 'open')])
        const { answer, body } = await b.run({ body: 'x' })
        expect([answer.status, body, errors(b, 'bad')]).toEqual([200, 'main', 1])
        expect(b.log.map((line) => [line.level, line.fields['plugin'], line.fields['route']])).toEqual([['error', 'bad', 'test']])
      })

      test(`${phase} ${kind}, closed: 500 that says nothing of the inside`, async () => {
        const seen: string[] = []
        const b = await bench([witness('a', seen), named('bad', { [phase]: hook, done: () => void seen.push('bad done') }), witness('c', seen)])
        const { answer, body, x } = await b.run({ body: 'x' })
        expect([answer.status, answer.code, errors(b, 'bad'), x.error?.code]).toEqual([500, 'PLUGIN_FAILED', 1, 'PLUGIN_FAILED'])
        expect(body).not.toContain('secret')
        expect(seen).toContain('a response')
        expect(seen).toContain('bad done')
        expect(seen.includes('c response')).toBe(phase.startsWith('response'))
      })
    }
  }

  test.each([['a value', () => true], ['a promise', () => Promise.resolve({ status: '200' })]])('%s that is no answer is a failure too', async (_what, hook) => {
    const b = await bench([named('bad', { request: hook as never })])
    expect((await b.run()).answer.code).toBe('PLUGIN_FAILED')
    expect(errors(b, 'bad')).toBe(1)
    const nothing = await bench([named('fine', { request: (() => null) as never })])
    expect((await nothing.run()).body).toBe('main')
  })

  test('a WeirError speaks for itself', async () => {
    const b = await bench([
      named('bad', {
        request: () => {
          throw new WeirError('BAD_BODY', 'not JSON')
        },
      }),
    ])
    const { answer, body } = await b.run()
    expect(answer.status).toBe(400)
    expect(JSON.parse(body)).toEqual({ error: 'not JSON', code: 'BAD_BODY', request_id: 'request-1' })
  })

  test('send: thrown, rejected, or an error from below passed on', async () => {
    const failing = (send: Hooks['send']): Plugin => ({ ...named('bad', { send: send! }), nesting: 'cache' }) as Plugin
    const throwing = await bench([failing(() => boom)])
    expect((await throwing.run()).answer.code).toBe('PLUGIN_FAILED')
    expect(errors(throwing, 'bad')).toBe(1)
    const between = await bench([failing(() => rejecting), { ...named('above', { send: (next) => next }), nesting: 'total' } as Plugin])
    expect((await between.run()).answer.code, 'through a layer that hands on what it gets').toBe('PLUGIN_FAILED')
    expect([errors(between, 'bad'), errors(between, 'above')]).toEqual([1, 0])
    const own = await bench([{ ...named('bad', { send: (next) => async (x, leg) => (await next(x, leg), boom()) }), nesting: 'total' } as Plugin])
    expect((await own.run()).answer.code, 'after the answer from below').toBe('PLUGIN_FAILED')
    expect(errors(own, 'bad')).toBe(1)
    const rejected = await bench([failing(() => rejecting)])
    expect((await rejected.run()).answer.code).toBe('PLUGIN_FAILED')
    expect(errors(rejected, 'bad')).toBe(1)
    const below = await bench([failing((next) => next)], { backends: { main: () => Promise.reject(new WeirError('RESET')) } })
    expect((await below.run()).answer.code).toBe('RESET')
    expect(errors(below, 'bad')).toBe(0)
  })

  test('responseChunk: open passes the chunk on, closed cuts the answer', async () => {
    const open = await bench([named('bad', { responseChunk: boom }, 'open')])
    expect((await open.run()).body).toBe('main')
    expect(errors(open, 'bad')).toBe(1)
    const closed = await bench([named('bad', { responseChunk: boom })])
    await expect(closed.run()).rejects.toMatchObject({ code: 'PLUGIN_FAILED' })
  })

  test('a plugin that always fails fills the counter, not the log', async () => {
    const b = await bench([named('bad', { request: boom }, 'open')])
    for (let i = 0; i < 100; i++) await b.run()
    expect(errors(b, 'bad')).toBe(100)
    expect(b.log).toHaveLength(10)
    b.clock.advance(1000)
    await b.run()
    expect(b.log.at(-1)!.fields['suppressed']).toBe(90)
  })
})

describe('chunks', () => {
  const mark = (text: string): Plugin => named(`mark_${text}`, { responseChunk: (_x, chunk) => Buffer.from(`${chunk}${text}`) })

  test('pass in reverse; null drops one for all', async () => {
    const b = await bench([mark('a'), mark('b')])
    expect((await b.run()).body).toBe('mainba')
    const seen: string[] = []
    const before = named('before', { responseChunk: (_x, chunk) => (seen.push(chunk.toString()), chunk) })
    const dropping = await bench([before, named('drop', { responseChunk: () => null })])
    expect((await dropping.run()).body).toBe('')
    expect(seen).toEqual([])
  })

  test('only of plugins before the one that replied; null when nobody is left', async () => {
    const b = await bench([named('replier', { request: () => reply(418, 'me') }), mark('b')])
    const { x, body } = await b.run()
    expect(body).toBe('me')
    expect(tapChunks(b.route, x)).toBeNull()
  })
})

describe('what is absent costs nothing', () => {
  test('a route without plugins has no phases, and sends straight to its backend', async () => {
    const { route } = await bench([])
    expect(route).toMatchObject({ request: null, requestBody: null, response: null, responseBody: null, responseChunk: null, done: null, slots: 0, replayBytes: 0, plain: true })
    expect(route.send).toBe(route.backend.send)
  })

  test('plugins that only send, send again or look back leave a route plain; one that looks at an exchange does not', async () => {
    const sends = { ...named('sends', { send: (next) => next, replayBytes: 10, done: () => undefined }), nesting: 'cache' } as Plugin
    expect((await bench([sends])).route).toMatchObject({ plain: true, replayBytes: 10 })
    for (const phase of ['request', 'requestBody', 'response', 'responseBody', 'responseChunk'] as const) {
      expect((await bench([sends, named('looks', { [phase]: () => undefined })])).route.plain, phase).toBe(false)
    }
  })

  test('a phase nobody has is null, one that somebody has lists only those', async () => {
    const { route } = await bench([named('a', { done: () => undefined }), named('b', {}), named('c', { request: () => undefined })])
    expect(route.request!.map((step) => [step.plugin, step.index])).toEqual([['c', 2]])
    expect(route.done!.map((step) => step.plugin)).toEqual(['a'])
    expect([route.requestBody, route.response, route.responseBody, route.responseChunk]).toEqual([null, null, null, null])
    expect(route.send).toBe(route.backend.send)
  })

  test('hooks that are synchronous make no promise', async () => {
    const seen: string[] = []
    const b = await bench([witness('a', seen, { requestBody: () => undefined }), witness('b', seen)])
    const x = b.exchange()
    expect(runRequest(b.route, x)).toBeNull()
    expect(runRequestBody(b.route, x)).toBeNull()
    x.answer = reply(200, '')
    expect(runResponse(b.route, x)).toBeUndefined()
    const turned = await bench([named('r', { request: () => reply(204, '') })])
    expect(runRequest(turned.route, turned.exchange())).toBeInstanceOf(Answer)
  })

  test('an exchange has slots only when its route has', async () => {
    const b = await bench([])
    expect(b.exchange().slots).toBeNull()
  })
})
