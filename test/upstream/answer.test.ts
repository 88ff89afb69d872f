import { describe, expect, it } from 'vitest'
import type { AnswerBackendConfig } from '../../config/config.ts'
import { answerBackend } from '../../gateway/upstream/answer.ts'
import { type Answer, type Body, Exchange, type Flow, type Format, Leg } from '../../gateway/exchange.ts'
import { format } from '../../gateway/payload/formats.ts'
import { gather } from '../../gateway/server/buffer.ts'

function config(body: AnswerBackendConfig['body'], more: Partial<AnswerBackendConfig> = {}): AnswerBackendConfig {
  return { kind: 'answer', name: 'neutral', status: 200, headers: [], body, ...more }
}

async function ask(of: AnswerBackendConfig, body: Body = null, speaks: Format | null = null): Promise<Answer> {
  const backend = answerBackend(of, gather)
  const caller = { address: '', port: 0, tls: false, inform: () => undefined }
  const leg = new Leg(backend)
  const route = { name: 'r', format: speaks, maxBodyBytes: 1000 }
  const x = new Exchange({ method: 'POST', target: '/', headers: [], body, caller, route, minor: 1, upgrade: '', requestId: 'r', inferenceId: 'i', started: 0, leg, slots: 0 })
  return backend.send(x, leg)
}

const text = (answer: Answer) => (answer.body as Buffer).toString()

describe('a fixed body', () => {
  it.each([
    [{ text: 'no é' }, 'text/plain; charset=utf-8', 'no é'],
    [{ json: { a: [1, null] } }, 'application/json', '{"a":[1,null]}'],
    [{ json: null }, 'application/json', 'null'],
  ] as const)('%j', async (body, type, bytes) => {
    const answer = await ask(config(body))
    expect(answer).toMatchObject({ status: 200, backend: 'neutral', headers: ['content-type', type] })
    expect(text(answer)).toBe(bytes)
  })

  it('keeps the type and fields of the file', async () => {
    const answer = await ask(config({ text: '<p>' }, { status: 418, headers: ['Content-Type', 'text/html', 'x-a', '1'] }))
    expect(answer).toMatchObject({ status: 418, headers: ['Content-Type', 'text/html', 'x-a', '1'] })
  })

  it('may be absent', async () => {
    expect(await ask(config(null, { status: 204 }))).toMatchObject({ status: 204, headers: [], body: null })
  })

  it('gives every answer headers of its own', async () => {
    const of = config({ text: 'a' }, { headers: ['x-a', '1'] })
    ;(await ask(of)).headers.push('x-b', '2')
    expect((await ask(of)).headers).not.toContain('x-b')
  })
})

describe('rows', () => {
  const row = config({ rows: { score: 0.5, label: 'none', top: [1, 2], ok: true } })

  it('answers one row to one and many to many', async () => {
    expect(JSON.parse(text(await ask(row, Buffer.from('{"a":1}'), format('rows'))))).toEqual({ score: 0.5, label: 'none', top: [1, 2], ok: true })
    expect(JSON.parse(text(await ask(row, Buffer.from('[{"a":1},{"a":2},{"a":3}]'), format('rows'))))).toEqual(Array.from({ length: 3 }, () => ({ score: 0.5, label: 'none', top: [1, 2], ok: true })))
  })

  it('speaks the Open Inference Protocol where the route does', async () => {
    const request = { id: '7', inputs: [{ name: 'x', datatype: 'FP32', shape: [2, 3], data: [1, 2, 3, 4, 5, 6] }] }
    const answer = JSON.parse(text(await ask(row, Buffer.from(JSON.stringify(request)), format('oip'))))
    expect(answer.id).toBe('7')
    expect(answer.outputs).toEqual([
      { name: 'score', datatype: 'FP64', shape: [2], data: [0.5, 0.5] },
      { name: 'label', datatype: 'BYTES', shape: [2], data: ['none', 'none'] },
      { name: 'top', datatype: 'INT64', shape: [2, 2], data: [1, 2, 1, 2] },
      { name: 'ok', datatype: 'BOOL', shape: [2], data: [true, true] },
    ])
  })

  it('waits for a body that is still on its way', async () => {
    const flow: Flow = {
      length: -1,
      start: (sink) => setImmediate(() => (sink.data(Buffer.from('[{"a":1},')), sink.data(Buffer.from('{"a":2}]')), sink.end(null))),
      pause() {},
      resume() {},
      cancel() {},
    }
    expect(JSON.parse(text(await ask(row, flow, format('rows'))))).toHaveLength(2)
  })

  it('is the row itself where the route has no format', async () => {
    expect(JSON.parse(text(await ask(row)))).toEqual({ score: 0.5, label: 'none', top: [1, 2], ok: true })
  })

  it('says what is wrong with a request it cannot count', async () => {
    await expect(ask(row, Buffer.from('{'), format('rows'))).rejects.toMatchObject({ name: 'WeirError', status: 400 })
  })
})
