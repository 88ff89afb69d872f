import { expect, it } from 'vitest'
import { Link, LinkError, type Port } from '../../gateway/threads/messages.ts'
import { FakeClock } from '../fake_clock.ts'

type Orders = { double(n: number): Promise<number>; hang(): Promise<void>; fail(): Promise<void> }
type None = Record<string, never>

function linked() {
  const { port1, port2 } = new MessageChannel()
  const clock = new FakeClock()
  const asked: string[] = []
  const orders: Orders = {
    double: async (n) => (asked.push('double'), n * 2),
    hang: () => new Promise(() => undefined),
    fail: async () => Promise.reject(new Error('no wood')),
  }
  const wrap = (port: MessagePort): Port => ({ postMessage: (m) => port.postMessage(m), on: (_event, listen) => (port.onmessage = (event) => listen(event.data)) })
  const far = new Link<Orders, None>(wrap(port2), clock, orders)
  const near = new Link<None, Orders>(wrap(port1), clock, {})
  return { near, far, clock, asked, close: () => (port1.close(), port2.close()) }
}

it('carries an answer and an error back to who asked', async () => {
  const { near, clock, close } = linked()
  await expect(Promise.all([near.ask('double', [1], 10), near.ask('double', [2], 10)])).resolves.toEqual([2, 4])
  await expect(near.ask('fail', [], 10)).rejects.toThrow(new LinkError('no wood'))
  expect(clock.pending).toBe(0)
  close()
})

it('gives up on an answer that does not come, and goes on', async () => {
  const { near, clock, close } = linked()
  const late = near.ask('hang', [], 10)
  clock.advance(10)
  await expect(late).rejects.toThrow('no answer to "hang" within 10 ms')
  await expect(near.ask('double', [4], 10)).resolves.toBe(8)
  close()
})

it('tells everybody who waits, and who asks later, that the other side is gone', async () => {
  const { near, clock, asked, close } = linked()
  const waiting = near.ask('hang', [], 10)
  near.gone('it died')
  await expect(waiting).rejects.toThrow('it died')
  await expect(near.ask('double', [1], 10)).rejects.toThrow('it died')
  expect(asked).toEqual([])
  expect(clock.pending).toBe(0)
  close()
})
