import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { Allowance, Budget, BUDGET_BYTES } from '../../gateway/stats/budget.ts'

const memory = (): SharedArrayBuffer => new SharedArrayBuffer(BUDGET_BYTES)

function enter(budget: Budget, count: number): void {
  for (let i = 0; i < count; i++) budget.enter()
}

/** How many retries can be begun. */
function taken(budget: Budget, most = 1000): number {
  let count = 0
  while (count < most && budget.take()) count++
  return count
}

describe('a budget', () => {
  test.each([
    [20, 3, 0, 3],
    [20, 3, 15, 3],
    [20, 3, 19, 3],
    [20, 3, 20, 4],
    [20, 3, 99, 19],
    [29, 0, 100, 29],
    [100, 0, 7, 7],
    [0, 2, 100, 2],
    [20, 0, 4, 0],
  ])('%i %%, at least %i, with %i requests under way: %i retries', (percent, min, active, retries) => {
    const budget = new Budget(memory(), percent, min, 0)
    enter(budget, active)
    expect([budget.limit, taken(budget)]).toEqual([retries, retries])
    if (retries === 0) return
    budget.giveBack()
    expect(taken(budget)).toBe(1)
  })

  test('requests that are over count no more', () => {
    const budget = new Budget(memory(), 50, 0, 0)
    enter(budget, 4)
    for (let i = 0; i < 3; i++) budget.leave()
    expect(taken(budget)).toBe(0)
    budget.enter()
    expect(taken(budget)).toBe(1)
  })

  test('is one for all threads: their requests and their retries', () => {
    const shared = memory()
    const [a, b] = [new Budget(shared, 20, 0, 0), new Budget(shared, 20, 0, 0)]
    enter(a, 10)
    enter(b, 10)
    expect(taken(a)).toBe(4)
    expect(taken(b)).toBe(0)
    a.giveBack()
    expect(taken(b)).toBe(1)
    a.close()
    // b's 10 requests allow 2, one of which is under way.
    expect(taken(b)).toBe(1)
  })

  test('what a thread that died had under way is forgotten, and its place is used again', () => {
    const shared = memory()
    const dead = new Budget(shared, 20, 2, 0)
    enter(dead, 100)
    const alive = new Budget(shared, 20, 2, 0)
    expect([taken(dead, 20), alive.take()]).toEqual([20, false])
    alive.beat(10_000)
    expect(alive.take()).toBe(false)
    alive.beat(11_000)
    expect(taken(alive)).toBe(2)
    const others = Array.from({ length: 63 }, () => new Budget(shared, 100, 0, 11_000))
    others.at(-1)!.enter()
    expect(alive.limit).toBe(2)
    expect(others[0]!.limit).toBe(1)
  })

  test('one that lost its place to another gets a new one, its counts with it', () => {
    const shared = memory()
    const slow = new Budget(shared, 100, 0, 0)
    enter(slow, 5)
    const quick = new Budget(shared, 100, 0, 20_000)
    quick.enter()
    expect(quick.limit).toBe(1)
    // It writes nothing into what is no longer its own.
    slow.enter()
    expect(quick.limit).toBe(1)
    slow.beat(20_000)
    expect([quick.limit, slow.limit]).toEqual([7, 7])
  })

  test('without a place left it still counts its own', () => {
    const shared = memory()
    for (let i = 0; i < 64; i++) new Budget(shared, 20, 1, 0)
    const late = new Budget(shared, 20, 1, 0)
    enter(late, 10)
    expect(taken(late)).toBe(2)
  })

  test('is never exceeded, whoever does what in which order', () => {
    const step = fc.record({ who: fc.nat(2), what: fc.constantFrom('enter', 'leave', 'take', 'give') })
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 100 }), fc.nat(5), fc.array(step, { maxLength: 200 }), (percent, min, steps) => {
        const shared = memory()
        const threads = [0, 1, 2].map(() => ({ budget: new Budget(shared, percent, min, 0), active: 0, retries: 0 }))
        for (const { who, what } of steps) {
          const thread = threads[who]!
          const sum = (key: 'active' | 'retries') => threads.reduce((total, one) => total + one[key], 0)
          if (what === 'enter') {
            thread.budget.enter()
            thread.active++
          } else if (what === 'leave' && thread.active > 0) {
            thread.budget.leave()
            thread.active--
          } else if (what === 'give' && thread.retries > 0) {
            thread.budget.giveBack()
            thread.retries--
          } else if (what === 'take') {
            const allowed = sum('retries') + 1 <= Math.max(min, Math.floor((percent * sum('active')) / 100))
            expect(thread.budget.take()).toBe(allowed)
            if (allowed) thread.retries++
          }
        }
      }),
    )
  })
})

describe('an allowance', () => {
  test('of 5 % is one in twenty, none before', () => {
    const share = new Allowance(5)
    const spent: number[] = []
    for (let i = 1; i <= 60; i++) {
      share.earn()
      if (!share.enough) continue
      share.spend()
      spent.push(i)
    }
    expect(spent).toEqual([20, 40, 60])
  })

  test('at most ten are saved up', () => {
    const share = new Allowance(50)
    for (let i = 0; i < 1000; i++) share.earn()
    let count = 0
    for (; share.enough; count++) share.spend()
    expect(count).toBe(10)
  })
})
