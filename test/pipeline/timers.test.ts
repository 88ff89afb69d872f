/** Timers of a plugin: what a clock with one timer each would do, with one timer a length. */
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { ArmedTimers } from '../../gateway/pipeline/timers.ts'
import { FakeClock } from '../fake_clock.ts'

const run = (what: () => void): void => what()

function timers() {
  const clock = new FakeClock()
  const armed = new ArmedTimers()
  const fired: string[] = []
  const after = (ms: number, name: string, then = (): void => undefined) =>
    armed.after(clock, ms, () => {
      fired.push(`${name}@${clock.now()}`)
      then()
    }, run)
  return { clock, armed, fired, after }
}

describe('timers of a plugin', () => {
  it('run when they are due, with one timer of the clock for each length', () => {
    const { clock, fired, after } = timers()
    after(100, 'a')
    clock.advance(10)
    after(100, 'b')
    after(30, 'c')
    expect(clock.pending).toBe(2)
    clock.advance(200)
    expect(fired).toEqual(['c@40', 'a@100', 'b@110'])
    expect(clock.pending).toBe(0)
  })

  it('do not run once cancelled, and leave nothing behind the last one', () => {
    const { clock, fired, after } = timers()
    const [a, b, c] = [after(100, 'a'), after(100, 'b'), after(100, 'c')]
    a.cancel()
    b.cancel()
    b.cancel()
    expect(clock.pending).toBe(1)
    clock.advance(100)
    expect(fired).toEqual(['c@100'])
    c.cancel()
    after(100, 'd').cancel()
    expect(clock.pending).toBe(0)
  })

  it('come on time behind one that was cancelled', () => {
    const { clock, fired, after } = timers()
    const first = after(100, 'first')
    clock.advance(60)
    after(100, 'second')
    first.cancel()
    clock.advance(99)
    expect(fired).toEqual([])
    clock.advance(1)
    expect(fired).toEqual(['second@160'])
  })

  it('may cancel and arm others while they run', () => {
    const { clock, fired, after } = timers()
    after(50, 'a', () => {
      b.cancel()
      after(50, 'c')
    })
    const b = after(50, 'b')
    clock.advance(50)
    expect(clock.pending).toBe(1)
    clock.advance(50)
    expect(fired).toEqual(['a@50', 'c@100'])
    expect(clock.pending).toBe(0)
  })

  it('are all cancelled with their plugin, those of every period too', () => {
    const { clock, armed, fired, after } = timers()
    for (const ms of [1, 2, 3, 4, 5, 6, 0.5, 0]) after(ms, String(ms))
    after(3, 'another')
    armed.every(clock, 10, () => void fired.push('every'))
    armed.cancel()
    expect(clock.pending).toBe(0)
    clock.advance(100)
    expect(fired).toEqual([])
  })

  it('reckon from the moment that is handed in', () => {
    const { clock, armed, fired } = timers()
    clock.advance(7)
    armed.after(clock, 20, () => void fired.push(`a@${clock.now()}`), run, 7)
    clock.advance(20)
    expect(fired).toEqual(['a@27'])
  })

  it('any of them fires as on a clock with a timer each', () => {
    const step = fc.record({ wait: fc.integer({ min: 0, max: 40 }), ms: fc.constantFrom(1, 10, 25, 40, 60, 61, 12.5, 0), cancelled: fc.option(fc.nat(120), { nil: null }) })
    fc.assert(
      fc.property(fc.array(step, { maxLength: 40 }), (steps) => {
        const { clock, fired, after } = timers()
        const plain = new FakeClock()
        const expected: string[] = []
        steps.forEach(({ wait, ms, cancelled }, i) => {
          clock.advance(wait)
          plain.advance(wait)
          const ours = after(ms, String(i))
          const theirs = plain.after(ms, () => void expected.push(`${i}@${plain.now()}`))
          if (cancelled === null) return
          // Never at the moment of a timer: who is first then is free too.
          clock.after(cancelled + 0.25, () => ours.cancel())
          plain.after(cancelled + 0.25, () => theirs.cancel())
        })
        clock.advance(200)
        plain.advance(200)
        const at = (event: string): number => Number(event.split('@')[1])
        // Among those of one moment the order is free.
        const sorted = (events: readonly string[]): string[] => events.toSorted((a, b) => at(a) - at(b) || (a < b ? -1 : 1))
        expect(sorted(fired)).toEqual(sorted(expected))
        expect(clock.pending).toBe(0)
      }),
    )
  })
})
