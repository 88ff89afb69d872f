/** Two ends of a tunnel, on streams in memory and a clock that stands still. */
import { Duplex } from 'node:stream'
import { describe, expect, it } from 'vitest'
import { Deadlines } from '../../gateway/wire/deadlines.ts'
import { RawEnd } from '../../gateway/wire/tunnel.ts'
import { FakeClock, settled } from '../fake_clock.ts'

/** A socket whose far side is this test. */
class Pipe extends Duplex {
  written = ''
  #waiting: (() => void) | null = null
  /** The far side takes nothing for now. */
  stuck = false
  constructor() {
    super({ highWaterMark: 16, allowHalfOpen: true })
  }
  override _read(): void {}
  override _write(chunk: Buffer, _: string, done: () => void): void {
    this.written += chunk.toString()
    if (this.stuck) this.#waiting = done
    else done()
  }
  release(): void {
    this.stuck = false
    this.#waiting?.()
    this.#waiting = null
  }
}

function setUp(idleMs = 1000): { clock: FakeClock; deadlines: Deadlines; a: Pipe; b: Pipe; left: RawEnd; right: RawEnd; gone: string[] } {
  const clock = new FakeClock()
  const deadlines = new Deadlines(clock)
  const a = new Pipe()
  const b = new Pipe()
  const gone: string[] = []
  clock.advance(1)
  const left = new RawEnd(a, deadlines, idleMs, () => void gone.push('left'))
  const right = new RawEnd(b, deadlines, idleMs, () => void gone.push('right'))
  return { clock, deadlines, a, b, left, right, gone }
}

describe('RawEnd', () => {
  it('gives what arrives to the other end', () => {
    const { a, b, left, right } = setUp()
    left.join(right)
    left.received(Buffer.from('to b'))
    right.received(Buffer.from('to a'))
    expect([a.written, b.written]).toEqual(['to a', 'to b'])
  })

  it('keeps what comes before the other end is there, in order, and stops reading', () => {
    const { a, b, left, right } = setUp()
    const lent = Buffer.from('one ')
    left.received(lent)
    lent.fill('x')
    expect(a.isPaused()).toBe(true)
    left.received(Buffer.from('two '))
    left.join(right)
    left.received(Buffer.from('three'))
    expect([b.written, a.isPaused()]).toEqual(['one two three', false])
  })

  it('an end that came first is told when the other is there', async () => {
    const { b, left, right } = setUp()
    left.received(Buffer.from('bye'))
    left.ended()
    left.join(right)
    await settled()
    expect([b.written, b.writableFinished]).toEqual(['bye', true])
  })

  it('stops the one while the other does not take more', async () => {
    const { a, b, left, right } = setUp()
    left.join(right)
    b.stuck = true
    left.received(Buffer.alloc(20, 'x'))
    expect(a.isPaused()).toBe(true)
    b.release()
    await settled()
    expect(a.isPaused()).toBe(false)
  })

  it('half closes: the other direction goes on', async () => {
    const { a, b, left, right, gone } = setUp()
    left.join(right)
    left.ended()
    left.ended()
    right.received(Buffer.from('still here'))
    await settled()
    expect([b.writableFinished, a.writableFinished, a.written, gone]).toEqual([true, false, 'still here', []])
  })

  it('when one dies so does the other; each is told once', () => {
    const { a, b, left, right, gone, deadlines } = setUp()
    left.join(right)
    left.destroy()
    right.destroy()
    left.destroy()
    left.received(Buffer.from('late'))
    expect([a.destroyed, b.destroyed, b.written]).toEqual([true, true, ''])
    expect([...gone].sort()).toEqual(['left', 'right'])
    expect(deadlines.size).toBe(0)
  })

  it('joined to one that is gone, it goes too', () => {
    const { left, right, gone } = setUp()
    right.destroy()
    left.join(right)
    expect([...gone].sort()).toEqual(['left', 'right'])
    const other = setUp()
    other.left.destroy()
    other.left.join(other.right)
    expect([...other.gone].sort()).toEqual(['left', 'right'])
  })

  it('idles when both directions do', () => {
    const { clock, left, right, gone } = setUp(1000)
    left.join(right)
    for (let i = 0; i < 10; i++) {
      clock.advance(500)
      left.received(Buffer.from('.'))
    }
    expect(gone).toEqual([])
    clock.advance(1010)
    expect([...gone].sort()).toEqual(['left', 'right'])
    expect(clock.pending).toBe(0)
  })

  it('0 is no idle timeout', () => {
    const { clock, left, right, gone } = setUp(0)
    left.join(right)
    left.received(Buffer.from('.'))
    clock.advance(10_000_000)
    expect(gone).toEqual([])
  })
})
