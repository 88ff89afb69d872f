import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { CallError, Calls, MAX_ANSWER_BYTES } from '../../gateway/calls.ts'
import { FakeClock } from '../fake_clock.ts'
import { freePort } from '../servers.ts'
import { type Receiver, startReceiver } from '../sinks/receiver.ts'

let receiver: Receiver
let calls: Calls
const clock = new FakeClock()
beforeEach(async () => {
  receiver = await startReceiver()
  calls = new Calls(receiver.url, { connections: 2, timeout_ms: 1000 }, clock)
})
afterEach(async () => {
  await calls.close()
  await receiver.stop()
  expect(clock.pending).toBe(0)
})

const get = { method: 'GET', path: '/a?b=c', headers: ['x-a', '1', 'x-b', '2'], body: null } as const

describe('calls', () => {
  test('carry what is given, and bring status, fields and body', async () => {
    receiver.answer = (_request, response) => void response.writeHead(418, { 'X-Tea': 'pot' }).end('short and stout')
    const { status, field, body } = await calls.send({ method: 'POST', path: '/p', headers: ['x-a', '1'], body: Buffer.from('hello') })
    expect([status, field('x-tea'), field('x-none'), body.toString()]).toEqual([418, 'pot', undefined, 'short and stout'])
    expect(receiver.received[0]).toMatchObject({ method: 'POST', url: '/p', body: Buffer.from('hello'), headers: { 'x-a': '1', 'content-length': '5' } })
  })

  test('follow each other on kept connections', async () => {
    for (let i = 0; i < 20; i++) await calls.send(get)
    expect(receiver.received).toHaveLength(20)
    expect(receiver.connections()).toBeLessThanOrEqual(2)
  })

  test('at the same time use no more connections than allowed', async () => {
    await Promise.all(Array.from({ length: 20 }, () => calls.send(get)))
    expect(receiver.connections()).toBe(2)
    expect(receiver.received).toHaveLength(20)
  })

  test('end in time, before and within the answer', async () => {
    receiver.answer = () => clock.advance(1000)
    await expect(calls.send(get)).rejects.toMatchObject({ kind: 'timeout', message: 'no answer within 1000 ms' })
    receiver.answer = (_request, response) => {
      response.writeHead(200).write('begun')
      setImmediate(() => clock.advance(1000))
    }
    await expect(calls.send(get)).rejects.toBeInstanceOf(CallError)
  })

  test('read no more of an answer than they may', async () => {
    receiver.answer = (_request, response) => void response.writeHead(200).end(Buffer.alloc(4 * MAX_ANSWER_BYTES))
    expect((await calls.send(get)).body).toHaveLength(MAX_ANSWER_BYTES)
    expect((await calls.send(get)).body).toHaveLength(MAX_ANSWER_BYTES)
  })

  test('tell what can never be sent from what failed', async () => {
    await expect(calls.send({ ...get, headers: ['x-a', 'a\nb'] })).rejects.toMatchObject({ kind: 'invalid' })
    receiver.answer = (_request, response) => response.socket!.destroy()
    await expect(calls.send(get)).rejects.toMatchObject({ kind: 'network' })
    const nobody = new Calls(`http://127.0.0.1:${await freePort()}`, { connections: 1, timeout_ms: 1000 }, clock)
    await expect(nobody.send(get)).rejects.toMatchObject({ kind: 'network', message: expect.stringContaining('ECONNREFUSED') })
    await expect(nobody.connect()).rejects.toMatchObject({ kind: 'network' })
    await nobody.close()
  })

  test('under way are cut by close', async () => {
    const cut = new Promise<void>((resolve) => (receiver.answer = () => void calls.close().then(resolve)))
    await expect(calls.send(get)).rejects.toBeInstanceOf(CallError)
    await cut
    await expect(calls.send(get)).rejects.toBeInstanceOf(CallError)
  })
})
