/** Bodies made whole, and bodies looked at as they pass. */
import { describe, expect, it } from 'vitest'
import { WeirError } from '../../gateway/errors.ts'
import type { Body, Flow, Sink } from '../../gateway/exchange.ts'
import { gather, tapped } from '../../gateway/server/buffer.ts'
import { FedFlow } from '../upstream/legs.ts'

async function code(pending: Buffer | Promise<Buffer>): Promise<string> {
  return Promise.resolve(pending).then(() => 'whole', (error: unknown) => (error as WeirError).code)
}

describe('gather', () => {
  it('nothing and buffers are there at once', async () => {
    expect(gather(null, 0)).toEqual(Buffer.alloc(0))
    const body = Buffer.from('abc')
    expect(gather(body, 3)).toBe(body)
    expect(await code(gather(body, 2))).toBe('BODY_TOO_LARGE')
  })

  it('collects a flow, copying what it is lent', async () => {
    const flow = new FedFlow()
    const whole = gather(flow, 6)
    const lent = Buffer.from('abc')
    expect(flow.sink!.data(lent)).toBe(true)
    lent.fill('x')
    flow.sink!.data(Buffer.from('def'))
    flow.sink!.end(null)
    expect((await whole).toString()).toBe('abcdef')
  })

  it('an empty flow is an empty buffer', async () => {
    const flow = new FedFlow()
    const whole = gather(flow, 6)
    flow.sink!.end(null)
    expect((await whole).length).toBe(0)
  })

  it('refuses by the declared length without starting', async () => {
    const flow = new FedFlow(7)
    expect(await code(gather(flow, 6))).toBe('BODY_TOO_LARGE')
    expect(flow.calls).toEqual(['cancel'])
  })

  it('refuses at the first byte too many', async () => {
    const flow = new FedFlow()
    const whole = gather(flow, 5)
    const { sink } = flow
    expect(sink!.data(Buffer.from('abcde'))).toBe(true)
    expect(sink!.data(Buffer.from('f'))).toBe(false)
    expect(flow.calls).toEqual(['start', 'cancel'])
    expect(await code(whole)).toBe('BODY_TOO_LARGE')
  })

  it('fails with the flow', async () => {
    const flow = new FedFlow()
    const whole = gather(flow, 5)
    flow.sink!.fail(new WeirError('RESET'))
    expect(await code(whole)).toBe('RESET')
  })
})

class Taker implements Sink {
  got = ''
  ends: unknown[] = []
  more = true
  data(chunk: Buffer): boolean {
    this.got += chunk.toString()
    return this.more
  }
  end(trailers: string[] | null): void {
    this.ends.push(trailers)
  }
  fail(error: WeirError): void {
    this.ends.push(error.code)
  }
}

describe('tapped', () => {
  const upper = (chunk: Buffer): Buffer => Buffer.from(chunk.toString().toUpperCase())

  it('nothing stays nothing; a buffer is seen once; null drops it', () => {
    expect(tapped(null, upper)).toBeNull()
    expect(String(tapped(Buffer.from('abc'), upper))).toBe('ABC')
    expect(tapped(Buffer.from('abc'), () => null)).toBeNull()
  })

  function set(tap: (chunk: Buffer) => Buffer | null): { source: FedFlow; flow: Flow; taker: Taker } {
    const source = new FedFlow(9)
    const flow = tapped(source as Body, tap) as Flow
    const taker = new Taker()
    flow.start(taker)
    return { source, flow, taker }
  }

  it('a flow is seen chunk by chunk; its length is unknown', () => {
    const { source, flow, taker } = set((chunk) => (chunk.toString() === 'drop' ? null : chunk.toString() === 'empty' ? Buffer.alloc(0) : upper(chunk)))
    expect(flow.length).toBe(-1)
    for (const part of ['ab', 'drop', 'empty', 'cd']) expect(source.sink!.data(Buffer.from(part))).toBe(true)
    source.sink!.end(['x', '1'])
    expect([taker.got, taker.ends]).toEqual(['ABCD', [['x', '1']]])
  })

  it('passes pauses, resumes and cancels on', () => {
    const { source, flow, taker } = set(upper)
    taker.more = false
    expect(source.sink!.data(Buffer.from('a'))).toBe(false)
    flow.pause()
    flow.resume()
    const { sink } = source
    flow.cancel()
    expect(source.calls).toEqual(['start', 'pause', 'resume', 'cancel'])
    sink!.data(Buffer.from('b'))
    sink!.end(null)
    expect([taker.got, taker.ends]).toEqual(['A', []])
  })

  it('a tap that throws cuts the body and stops its source', () => {
    for (const [thrown, expected] of [[new Error('bug'), 'PLUGIN_FAILED'], [new WeirError('INVALID_ANSWER'), 'INVALID_ANSWER']] as const) {
      const { source, taker } = set(() => {
        throw thrown
      })
      expect(source.sink!.data(Buffer.from('a'))).toBe(false)
      expect([taker.ends, source.calls]).toEqual([[expected], ['start', 'cancel']])
    }
  })

  it('fails with its source', () => {
    const { source, taker } = set(upper)
    source.sink!.fail(new WeirError('RESET'))
    expect(taker.ends).toEqual(['RESET'])
  })
})
