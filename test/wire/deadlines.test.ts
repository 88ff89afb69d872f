/** Many deadlines, one timer. */
import { describe, expect, it } from 'vitest'
import { Deadlines, type Waiting } from '../../gateway/wire/deadlines.ts'
import { FakeClock } from '../fake_clock.ts'

class Entry implements Waiting {
  deadline = 0
  readonly passed: number[] = []
  readonly #clock: FakeClock
  readonly #then: (entry: Entry) => void
  constructor(clock: FakeClock, then: (entry: Entry) => void = () => {}) {
    this.#clock = clock
    this.#then = then
  }
  deadlinePassed(): void {
    this.passed.push(this.#clock.now())
    this.#then(this)
  }
}

function setUp(): { clock: FakeClock; deadlines: Deadlines; entry: (then?: (entry: Entry) => void) => Entry } {
  const clock = new FakeClock()
  const deadlines = new Deadlines(clock)
  clock.advance(1000)
  function entry(then?: (entry: Entry) => void): Entry {
    const made = new Entry(clock, then)
    deadlines.add(made)
    return made
  }
  return { clock, deadlines, entry }
}

describe('Deadlines', () => {
  it('pass once, when they are due and within the grain of 5 ms', () => {
    const { clock, deadlines, entry } = setUp()
    const one = entry()
    deadlines.set(one, 100)
    clock.advance(99)
    expect(one.passed).toEqual([])
    clock.advance(6)
    expect(one.passed.length).toBe(1)
    expect(one.passed[0]).toBeGreaterThanOrEqual(1100)
    clock.advance(10_000)
    expect(one.passed.length).toBe(1)
    expect(clock.pending).toBe(0)
  })

  it('move without an early end', () => {
    const { clock, deadlines, entry } = setUp()
    const one = entry()
    deadlines.set(one, 100)
    for (let i = 0; i < 20; i++) {
      clock.advance(50)
      deadlines.set(one, 100)
    }
    expect(one.passed).toEqual([])
    clock.advance(105)
    expect(one.passed.length).toBe(1)
  })

  it('an earlier one that comes later is not missed', () => {
    const { clock, deadlines, entry } = setUp()
    const far = entry()
    const near = entry()
    deadlines.set(far, 60_000)
    deadlines.set(near, 20)
    clock.advance(25)
    expect([near.passed.length, far.passed.length]).toEqual([1, 0])
    clock.advance(60_000)
    expect(far.passed.length).toBe(1)
  })

  it('0 means none, and takes one away', () => {
    const { clock, deadlines, entry } = setUp()
    const one = entry()
    deadlines.set(one, 50)
    deadlines.set(one, 0)
    clock.advance(1000)
    expect(one.passed).toEqual([])
  })

  it('who is removed hears nothing more, whatever is set', () => {
    const { clock, deadlines, entry } = setUp()
    const one = entry()
    deadlines.set(one, 50)
    deadlines.remove(one)
    deadlines.set(one, 50)
    clock.advance(1000)
    expect(one.passed).toEqual([])
    expect(deadlines.size).toBe(0)
  })

  it('those that pass may set again, remove each other and add new ones', () => {
    const { clock, deadlines, entry } = setUp()
    const victim = entry()
    let added: Entry | null = null
    const killer = entry((self) => {
      deadlines.remove(victim)
      if (self.passed.length < 3) deadlines.set(self, 10)
      if (added !== null) return
      added = entry()
      deadlines.set(added, 7)
    })
    deadlines.set(killer, 20)
    deadlines.set(victim, 21)
    clock.advance(100)
    expect([killer.passed.length, victim.passed.length, added!.passed.length]).toEqual([3, 0, 1])
  })

  it('one that throws does not silence the others', () => {
    const { clock, deadlines, entry } = setUp()
    const bad = entry(() => {
      throw new Error('a bug')
    })
    const good = entry()
    deadlines.set(bad, 10)
    deadlines.set(good, 10)
    expect(() => clock.advance(20)).toThrow('a bug')
    clock.advance(20)
    expect(good.passed.length).toBe(1)
  })

  it('a thousand at random: each in its time', () => {
    const { clock, deadlines, entry } = setUp()
    const start = clock.now()
    const due = Array.from({ length: 1000 }, (_, i) => 1 + ((i * 7919) % 5000))
    const entries = due.map((ms) => {
      const one = entry()
      deadlines.set(one, ms)
      return one
    })
    clock.advance(6000)
    for (const [i, one] of entries.entries()) {
      expect(one.passed.length).toBe(1)
      const late = one.passed[0]! - start - due[i]!
      expect(late).toBeGreaterThanOrEqual(0)
      expect(late).toBeLessThanOrEqual(5)
    }
  })
})
