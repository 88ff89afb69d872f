import fs from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { FakeClock } from '../fake_clock.ts'
import { body, record } from './made.ts'
import { listing, Medium, Process, sizeOf, SPOOL } from './world.ts'

let folder = ''
let sink = ''
beforeEach(() => {
  folder = fs.mkdtempSync(join(tmpdir(), 'weir-spool-'))
  sink = join(folder, 'lake')
})
afterEach(() => fs.rmSync(folder, { recursive: true, force: true }))

const kilobyte = (id: number) => record(id, { request: body(Buffer.alloc(1000)) })
const one = (medium = new Medium(), boot = 'a', change: ConstructorParameters<typeof Process>[3] = {}) => new Process(sink, boot, medium, { threads: 1, ...change })

/** accepted = delivered + dropped + pending, all five as they are shown. */
function expectCounts(process: Process, accepted: number, delivered: number, pending: number): void {
  const { counts } = process
  expect({ accepted: counts.accepted, delivered: counts.delivered, pending: counts.pending }).toEqual({ accepted, delivered, pending })
}

describe('a record', () => {
  test('is in the file when append returns, and goes to the sink once', async () => {
    const medium = new Medium()
    const a = one(medium)
    expect(a.spools[0]!.append(record(1), 'drop_newest')).toBe(true)
    expect(fs.readFileSync(join(sink, listing(sink)[0]!)).includes('inference 1')).toBe(true)
    expectCounts(a, 1, 0, 1)
    await a.shipper.pass()
    expect(medium.ids).toEqual([])
    a.spools[0]!.seal()
    await a.shipper.pass()
    await a.shipper.pass()
    expect(medium.ids).toEqual(['1'])
    expectCounts(a, 1, 1, 0)
    expect(listing(sink)).toEqual([])
    expect(a.counts.bytes).toBe(0)
  })

  test('is sealed by age of the monotonic clock, and by size', () => {
    const clock = new FakeClock()
    const a = one(new Medium(), 'a', { clock })
    a.spools[0]!.append(record(1), 'drop_newest')
    clock.advance(999)
    expect(listing(sink)).toEqual(['a_a-000000001-0.open'])
    clock.advance(1)
    expect(listing(sink)).toEqual(['a_a-000000001-0-1.seg'])
    for (let i = 0; i < 4; i++) a.spools[0]!.append(kilobyte(i), 'drop_newest')
    expect(listing(sink)).toEqual(['a_a-000000001-0-1.seg', 'a_a-000000002-0-4.seg'])
    expect(a.counts.bytes).toBe(sizeOf(sink))
  })

  test('of a dead sink does not make a file a second for ever', async () => {
    const clock = new FakeClock()
    const medium = new Medium()
    medium.mood = () => ({ delivered: 0, rejected: 0, error: new Error('down') })
    const a = one(medium, 'a', { clock, spool: { ...SPOOL, max_bytes: 10 << 20 } })
    for (let i = 0; i < 300; i++) {
      a.spools[0]!.append(record(i), 'drop_newest')
      clock.advance(1000)
      await a.shipper.pass()
    }
    expect(listing(sink).length).toBeLessThan(150)
    expectCounts(a, 300, 0, 300)
  })
})

describe('a full spool', () => {
  test('drop_newest keeps what it has', () => {
    const a = one()
    let kept = 0
    for (let i = 0; i < 100; i++) if (a.spools[0]!.append(kilobyte(i), 'drop_newest')) kept++
    expect(sizeOf(sink)).toBeLessThanOrEqual(SPOOL.max_bytes)
    expect(sizeOf(sink)).toBeGreaterThan(SPOOL.max_bytes - 2000)
    expect(a.dropped('spool_full')).toBe(100 - kept)
    expectCounts(a, 100, 0, kept)
  })

  test('drop_oldest gives the oldest segments for the new records, and counts them', async () => {
    const medium = new Medium()
    const a = one(medium)
    for (let i = 0; i < 100; i++) expect(a.spools[0]!.append(kilobyte(i), 'drop_oldest')).toBe(true)
    expect(sizeOf(sink)).toBeLessThanOrEqual(SPOOL.max_bytes)
    a.spools[0]!.seal()
    await a.shipper.pass()
    const lost = 100 - medium.ids.length
    expect(lost).toBeGreaterThan(30)
    expect(medium.ids).toEqual(Array.from({ length: 100 - lost }, (_, i) => String(i + lost)))
    expect(a.dropped('dropped_oldest')).toBe(lost)
    expectCounts(a, 100, 100 - lost, 0)
    expect([a.counts.bytes, listing(sink)]).toEqual([0, []])
  })

  test('block has room again when the sink took something', async () => {
    const clock = new FakeClock()
    const a = one(new Medium(), 'a', { clock })
    const records = a.spools[0]!.records('block')
    expect(a.spools[0]!.records('drop_newest').room()).toBeNull()
    let n = 0
    while (records.room() === null) records.append(kilobyte(n++))
    expect(n).toBeGreaterThan(40)
    let released = false
    void records.room()!.then(() => (released = true))
    clock.advance(100)
    await Promise.resolve()
    expect(released).toBe(false)
    await a.shipper.pass()
    clock.advance(10)
    await Promise.resolve()
    expect(released).toBe(true)
    expect(records.room()).toBeNull()
    expect(a.dropped('spool_full')).toBe(0)
  })

  test('a record that is larger than half of it is too large', () => {
    const a = one()
    expect(a.spools[0]!.append(record(1, { request: body(Buffer.alloc(33 << 10)) }), 'drop_oldest')).toBe(false)
    expect(a.dropped('too_large')).toBe(1)
    expectCounts(a, 1, 0, 0)
  })
})

describe('a full disk', () => {
  test('drops and counts, also after a restart, and keeps no half of a record', async () => {
    const clock = new FakeClock()
    const medium = new Medium()
    const a = one(medium, 'a', { clock })
    a.spools[0]!.append(record(1), 'drop_newest')
    a.disk.free = 20
    for (let i = 2; i < 7; i++) expect(a.spools[0]!.append(record(i), 'drop_newest')).toBe(false)
    a.disk.free = Infinity
    expect(a.spools[0]!.append(record(7), 'drop_newest')).toBe(false)
    clock.advance(100)
    expect(a.spools[0]!.append(record(8), 'drop_newest')).toBe(true)
    expect(a.dropped('disk')).toBe(6)
    expectCounts(a, 8, 0, 2)
    const b = one(medium, 'b')
    await b.shipper.pass()
    expect(medium.ids).toEqual(['1', '8'])
    expect([b.dropped('disk'), b.dropped('torn')]).toEqual([6, 0])
    expectCounts(b, 8, 2, 0)
    expect(a.log.lines.map(({ level }) => level)).toEqual(['error', 'info'])
  })

  test('gives the oldest segments up where that is wanted', () => {
    const a = one()
    for (let i = 0; i < 8; i++) a.spools[0]!.append(kilobyte(i), 'drop_oldest')
    a.disk.free = 0
    const sealed = listing(sink).filter((file) => file.endsWith('.seg')).length
    a.spools[0]!.append(kilobyte(9), 'drop_oldest')
    expect(listing(sink).filter((file) => file.endsWith('.seg')).length).toBe(sealed - 1)
  })

  test('does not keep the shipper from making room', async () => {
    const medium = new Medium()
    const a = one(medium)
    await a.shipper.pass()
    for (let i = 0; i < 4; i++) a.spools[0]!.append(kilobyte(i), 'drop_newest')
    a.disk.free = 0
    await a.shipper.pass()
    expect(medium.ids).toHaveLength(4)
    expect(listing(sink)).toEqual([])
  })
})

describe('a thread that died', () => {
  test('leaves its segment to the one in its place, with the record it had not counted', async () => {
    const medium = new Medium()
    const a = one(medium)
    a.spools[0]!.append(record(1), 'drop_newest')
    const [open] = listing(sink)
    const bytes = fs.readFileSync(join(sink, open!))
    // Written, and dead before it was counted: the same frame once more.
    fs.appendFileSync(join(sink, open!), bytes.subarray(8 + 8 + bytes.readUInt32LE(8)))
    a.replace(0)
    expectCounts(a, 2, 0, 2)
    a.spools[0]!.append(record(2), 'drop_newest')
    a.spools[0]!.seal()
    await a.shipper.pass()
    expect(medium.ids).toEqual(['1', '1', '2'])
    expectCounts(a, 3, 3, 0)
  })

  test('and is not replaced leaves it to the end', async () => {
    const medium = new Medium()
    const a = one(medium)
    a.spools[0]!.append(record(1), 'drop_newest')
    await a.shipper.pass(true)
    expect(medium.ids).toEqual([])
    await a.shipper.pass(true, true)
    expect(medium.ids).toEqual(['1'])
    expectCounts(a, 1, 1, 0)
  })
})

describe('a torn record', () => {
  test('at the end of a killed process is accepted and lost, once', async () => {
    const medium = new Medium()
    const a = one(medium)
    a.spools[0]!.append(record(1), 'drop_newest')
    const path = join(sink, listing(sink)[0]!)
    fs.appendFileSync(path, Buffer.from([200, 0, 0, 0, 1, 2]))
    for (const boot of ['b', 'c']) {
      const later = one(medium, boot)
      await later.shipper.pass()
      expect(later.dropped('torn')).toBe(1)
      expectCounts(later, 2, 1, 0)
    }
    expect(medium.ids).toEqual(['1'])
  })

  test('in the middle takes those after it along, and they are counted', async () => {
    const medium = new Medium()
    const a = one(medium)
    for (let i = 0; i < 4; i++) a.spools[0]!.append(kilobyte(i), 'drop_newest')
    const path = join(sink, listing(sink)[0]!)
    const bytes = fs.readFileSync(path)
    bytes[bytes.indexOf('inference 2')]! ^= 1
    fs.writeFileSync(path, bytes)
    await a.shipper.pass()
    expect(medium.ids).toEqual(['0', '1'])
    expect(a.dropped('torn')).toBe(2)
    expectCounts(a, 4, 2, 0)
    expect(listing(sink)).toEqual([])
  })
})
