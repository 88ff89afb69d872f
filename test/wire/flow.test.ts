/** A body on its way: nothing lost, nothing twice, one end. */
import { describe, expect, it } from 'vitest'
import { WeirError } from '../../gateway/errors.ts'
import type { Sink } from '../../gateway/exchange.ts'
import { BodyFlow, BufferFlow, type FlowSource } from '../../gateway/wire/flow.ts'

class Source implements FlowSource {
  readonly calls: string[] = []
  flowStarted(): void {
    this.calls.push('started')
  }
  flowPaused(): void {
    this.calls.push('paused')
  }
  flowResumed(): void {
    this.calls.push('resumed')
  }
  flowCancelled(): void {
    this.calls.push('cancelled')
  }
}

class Taker implements Sink {
  got = ''
  ends: (string[] | null | string)[] = []
  /** What `data` answers. */
  more = true
  data(chunk: Buffer): boolean {
    this.got += chunk.toString('latin1')
    return this.more
  }
  end(trailers: string[] | null): void {
    this.ends.push(trailers)
  }
  fail(error: WeirError): void {
    this.ends.push(error.code)
  }
}

function setUp(length = -1): { flow: BodyFlow; source: Source; taker: Taker } {
  const source = new Source()
  return { flow: new BodyFlow(length, source), source, taker: new Taker() }
}

describe('BodyFlow', () => {
  it('pushes nothing before start, then what was kept, as it was when it came', () => {
    const { flow, source, taker } = setUp()
    const chunk = Buffer.from('abc')
    flow.push(chunk)
    chunk.fill('x')
    flow.push(Buffer.from('def'))
    expect(taker.got).toBe('')
    flow.start(taker)
    flow.push(Buffer.from('g'))
    flow.finish(['x', '1'])
    expect([taker.got, taker.ends, source.calls]).toEqual(['abcdefg', [['x', '1']], ['started']])
  })

  it('may have ended before it starts', () => {
    const { flow, taker } = setUp()
    flow.push(Buffer.from('abc'))
    flow.finish(null)
    flow.start(taker)
    expect([taker.got, taker.ends]).toEqual(['abc', [null]])
  })

  it('may have failed before it starts: what came, then the error', () => {
    const { flow, taker } = setUp()
    flow.push(Buffer.from('abc'))
    flow.fail(new WeirError('RESET'))
    flow.start(taker)
    expect([taker.got, taker.ends]).toEqual(['abc', ['RESET']])
  })

  it('pauses the source once when too much came early, and resumes it at the start', () => {
    const { flow, source, taker } = setUp()
    flow.push(Buffer.alloc(65_535))
    expect(source.calls).toEqual([])
    flow.push(Buffer.alloc(1))
    flow.push(Buffer.alloc(10))
    expect(source.calls).toEqual(['paused'])
    flow.start(taker)
    expect(source.calls).toEqual(['paused', 'started', 'resumed'])
    expect(taker.got.length).toBe(65_546)
  })

  it('stops when the sink says so, keeps the rest, goes on at resume', () => {
    const { flow, source, taker } = setUp()
    flow.start(taker)
    taker.more = false
    flow.push(Buffer.from('a'))
    flow.push(Buffer.from('b'))
    flow.push(Buffer.from('c'))
    expect([taker.got, source.calls]).toEqual(['a', ['started', 'paused']])
    flow.resume()
    expect(taker.got).toBe('ab')
    taker.more = true
    flow.resume()
    expect([taker.got, source.calls]).toEqual(['abc', ['started', 'paused', 'resumed']])
  })

  it('ends only when what was kept is out', () => {
    const { flow, taker } = setUp()
    flow.start(taker)
    taker.more = false
    flow.push(Buffer.from('a'))
    flow.push(Buffer.from('b'))
    flow.finish(null)
    expect(taker.ends).toEqual([])
    taker.more = true
    flow.resume()
    expect([taker.got, taker.ends]).toEqual(['ab', [null]])
  })

  it('a source that ends while it is paused is resumed: its connection lives on', () => {
    const { flow, source, taker } = setUp()
    flow.start(taker)
    taker.more = false
    flow.push(Buffer.from('a'))
    flow.finish(null)
    expect(source.calls).toEqual(['started', 'paused', 'resumed'])
    flow.resume()
    expect(source.calls).toEqual(['started', 'paused', 'resumed'])
  })

  it('fails at once, even to a sink that waits', () => {
    const { flow, taker } = setUp()
    flow.start(taker)
    taker.more = false
    flow.push(Buffer.from('a'))
    flow.push(Buffer.from('b'))
    flow.fail(new WeirError('IDLE_TIMEOUT'))
    expect([taker.got, taker.ends]).toEqual(['a', ['IDLE_TIMEOUT']])
    flow.resume()
    expect([taker.got, taker.ends]).toEqual(['a', ['IDLE_TIMEOUT']])
  })

  it('one end, whichever comes first', () => {
    const { flow, taker } = setUp()
    flow.start(taker)
    flow.finish(null)
    flow.fail(new WeirError('RESET'))
    flow.finish(['x', '1'])
    expect(taker.ends).toEqual([null])
  })

  it('cancelled: the source hears it once, the sink nothing more', () => {
    const { flow, source, taker } = setUp()
    flow.start(taker)
    flow.cancel()
    flow.cancel()
    flow.push(Buffer.from('a'))
    flow.finish(null)
    flow.fail(new WeirError('RESET'))
    flow.resume()
    expect([taker.got, taker.ends, source.calls]).toEqual(['', [], ['started', 'cancelled']])
  })

  it('cancelled before it starts, it never does', () => {
    const { flow, source, taker } = setUp()
    flow.push(Buffer.from('a'))
    flow.cancel()
    flow.start(taker)
    expect([taker.got, source.calls]).toEqual(['', ['cancelled']])
  })

  it('cancelled after its end, the source does not hear of it', () => {
    const { flow, source } = setUp()
    flow.finish(null)
    flow.cancel()
    expect(source.calls).toEqual([])
  })

  it('the sink may cancel while it takes', () => {
    const { flow, taker } = setUp()
    for (const part of ['a', 'b', 'c']) flow.push(Buffer.from(part))
    const cancelling: Sink = {
      data(chunk) {
        taker.data(chunk)
        flow.cancel()
        return true
      },
      end: (trailers) => taker.end(trailers),
      fail: (error) => taker.fail(error),
    }
    flow.start(cancelling)
    expect([taker.got, taker.ends]).toEqual(['a', []])
  })

  it('pause and resume by the receiver', () => {
    const { flow, source, taker } = setUp()
    flow.start(taker)
    flow.pause()
    flow.pause()
    flow.push(Buffer.from('a'))
    expect([taker.got, source.calls]).toEqual(['', ['started', 'paused']])
    flow.resume()
    flow.resume()
    expect([taker.got, source.calls]).toEqual(['a', ['started', 'paused', 'resumed']])
  })
})

describe('BufferFlow', () => {
  it('gives a buffer in slices, as the sink takes them', () => {
    const whole = Buffer.from(Array.from({ length: 300_000 }, (_, i) => i & 255))
    const flow = new BufferFlow(whole)
    const sizes: number[] = []
    const parts: Buffer[] = []
    let ended = 0
    flow.start({
      data(chunk) {
        sizes.push(chunk.length)
        parts.push(Buffer.from(chunk))
        return sizes.length % 2 === 0
      },
      end: () => void ended++,
      fail: () => void (ended = NaN),
    })
    expect([flow.length, sizes.length]).toEqual([300_000, 1])
    for (let i = 0; i < 10; i++) flow.resume()
    expect(ended).toBe(1)
    expect(Math.max(...sizes)).toBeLessThanOrEqual(65_536)
    expect(Buffer.concat(parts).equals(whole)).toBe(true)
  })

  it('cancelled, it gives no more', () => {
    const flow = new BufferFlow(Buffer.alloc(200_000))
    let count = 0
    flow.start({ data: () => (count++, false), end: () => void (count = NaN), fail: () => void (count = NaN) })
    flow.cancel()
    flow.resume()
    expect(count).toBe(1)
  })
})
