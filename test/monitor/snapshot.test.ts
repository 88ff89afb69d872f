/** The file of what monitors remember: whole, or not at all. */
import { mkdtempSync, readdirSync, readFileSync, rmSync, utimesSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import fc from 'fast-check'
import { readSnapshot, type Section, sweep, writeSnapshot } from '../../gateway/monitor/snapshot.ts'

let folder: string
let path: string

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'weir-snapshot-'))
  path = join(folder, 'one.memory')
})
afterEach(() => rmSync(folder, { recursive: true }))

/** Gives these frames, and keeps what it is given. */
function section(name: string, layout: string, frames: readonly (Uint8Array | null)[] = []): Section & { readonly taken: Buffer[] } {
  const taken: Buffer[] = []
  return {
    name, layout, taken,
    frames: () => frames,
    take(frame, i) {
      expect(i).toBe(taken.length)
      expect(frame.byteOffset % 8).toBe(0)
      taken.push(frame)
    },
  }
}

const Bytes = fc.uint8Array({ minLength: 1, maxLength: 300 })

describe('what was written is read', () => {
  test('frames of every section, in their order', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(Bytes, { maxLength: 8 }), fc.array(Bytes, { maxLength: 8 }), async (a, b) => {
        expect(await writeSnapshot(path, [section('a', '1', a), section('b', '2', b)], 5)).toBe(true)
        const [first, second] = [section('b', '2'), section('a', '1')]
        expect((await readSnapshot(path, [first, second]))!.taken.length).toBe(2)
        expect(second.taken.map((frame) => [...frame])).toEqual(a.map((frame) => [...frame]))
        expect(first.taken.map((frame) => [...frame])).toEqual(b.map((frame) => [...frame]))
        expect(readdirSync(folder)).toEqual(['one.memory'])
      }),
      { numRuns: 40 },
    )
  })

  test('larger than what is read at once', async () => {
    const large = Uint8Array.from({ length: 3_000_001 }, (_, i) => i % 251)
    await writeSnapshot(path, [section('a', '1', [large, Uint8Array.of(7)])], 0)
    const into = section('a', '1')
    await readSnapshot(path, [into])
    expect(into.taken.map(({ length }) => length)).toEqual([3_000_001, 1])
    expect(Buffer.compare(into.taken[0]!, large)).toBe(0)
  })

  test('a section of another layout, or name, gets nothing, and the others theirs', async () => {
    await writeSnapshot(path, [section('a', '1', [Uint8Array.of(1)]), section('b', '1', [Uint8Array.of(2)])], 0)
    const [a, b, c] = [section('a', '2'), section('b', '1'), section('c', '1')]
    expect(await readSnapshot(path, [a, b, c])).toEqual({ taken: [b], other: [a] })
    expect([a.taken.length, b.taken.length, c.taken.length]).toEqual([0, 1, 0])
  })

  test('no file is no mistake', async () => {
    expect(await readSnapshot(path, [section('a', '1')])).toBe(null)
  })
})

describe('damage is refused before anybody takes anything', () => {
  async function refused(bytes: Buffer): Promise<void> {
    writeFileSync(path, bytes)
    const into = section('a', '1')
    await expect(readSnapshot(path, [into])).rejects.toThrow()
    expect(into.taken).toEqual([])
  }

  test('every truncation', async () => {
    await writeSnapshot(path, [section('a', '1', [Uint8Array.of(1, 2, 3), Uint8Array.of(4)])], 0)
    const whole = readFileSync(path)
    for (let length = 0; length < whole.length; length++) await refused(whole.subarray(0, length))
    await refused(Buffer.concat([whole, Buffer.of(0)]))
  })

  test('every bit', async () => {
    await writeSnapshot(path, [section('a', '1', [Uint8Array.of(1, 2, 3), Uint8Array.of(4)])], 0)
    const whole = readFileSync(path)
    for (let bit = 0; bit < whole.length * 8; bit++) {
      const bytes = Buffer.from(whole)
      bytes[bit >> 3]! ^= 1 << (bit & 7)
      await refused(bytes)
    }
  })
})

describe('what was there stays', () => {
  test('when a section takes it back, or fails', async () => {
    await writeSnapshot(path, [section('a', '1', [Uint8Array.of(1)])], 0)
    const before = readFileSync(path)
    expect(await writeSnapshot(path, [section('a', '1', [Uint8Array.of(2), null])], 0)).toBe(false)
    const failing: Section = {
      name: 'a', layout: '1', take: () => undefined,
      *frames() {
        yield Uint8Array.of(3)
        throw new Error('no')
      },
    }
    await expect(writeSnapshot(path, [failing], 0)).rejects.toThrow('no')
    expect(readFileSync(path)).toEqual(before)
    expect(readdirSync(folder)).toEqual(['one.memory'])
  })

  test('what a killed process left is removed when it is old', async () => {
    for (const name of ['one.memory', 'one.memory.aa.tmp', 'one.memory.bb.tmp', 'two.memory.cc.tmp']) writeFileSync(join(folder, name), 'x')
    for (const name of ['one.memory.aa.tmp', 'two.memory.cc.tmp']) utimesSync(join(folder, name), 1000, 1000)
    utimesSync(join(folder, 'one.memory.bb.tmp'), 9000, 9000)
    await sweep(path, 9_000_500)
    expect(readdirSync(folder)).toEqual(['one.memory', 'one.memory.bb.tmp', 'two.memory.cc.tmp'])
  })
})
