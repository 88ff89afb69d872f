import { describe, expect, test } from 'vitest'
import { SharedMemory } from '../../gateway/threads/shared.ts'

describe('memory of all data threads', () => {
  test('is the same by key and size, another by another', () => {
    const shared = new SharedMemory()
    expect(shared.piece('a', 8)).toBe(shared.piece('a', 8))
    expect(shared.piece('a', 8)).not.toBe(shared.piece('a', 16))
    expect(shared.piece('b', 8)).not.toBe(shared.piece('a', 8))
  })

  test('of a thousand reloads with other numbers only the last stays', () => {
    const shared = new SharedMemory()
    for (let i = 0; i < 1000; i++) {
      shared.begin()
      shared.piece('steady', 8)
      shared.piece(`buckets ${i}`, 8)
      shared.commit()
    }
    expect(shared.size).toBe(2)
  })

  test('a build that fails lets nothing go', () => {
    const shared = new SharedMemory()
    const kept = shared.piece('a', 8)
    shared.begin()
    shared.piece('b', 8)
    shared.begin()
    expect(shared.piece('a', 8)).toBe(kept)
  })

  test('is bounded', () => {
    const shared = new SharedMemory()
    for (let i = 0; i < 4096; i++) shared.piece(String(i), 1)
    expect(() => shared.piece('one more', 1)).toThrow(/4096/)
  })
})
