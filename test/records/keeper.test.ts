import fs from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { SinkConfig } from '../../config/config.ts'
import { Cells, makeCells } from '../../gateway/records/cells.ts'
import { Encoder } from '../../gateway/records/codec.ts'
import { systemFiles } from '../../gateway/records/files.ts'
import { Keeper, type Kept } from '../../gateway/records/keeper.ts'
import { Ledger } from '../../gateway/records/ledger.ts'
import { isHeld, type Lock, newLock, takeLock } from '../../gateway/records/lock.ts'
import { bootLock, ledgerFile, sinkFolder } from '../../gateway/records/names.ts'
import { Spool } from '../../gateway/records/spool.ts'
import { FakeClock } from '../fake_clock.ts'
import { recorder } from '../plugin_test.ts'
import { record } from './made.ts'
import { listing, Medium, SPOOL } from './world.ts'

let folder = ''
beforeEach(() => {
  folder = fs.mkdtempSync(join(tmpdir(), 'weir-keeper-'))
  fs.mkdirSync(join(folder, 'boots'))
})
afterEach(() => fs.rmSync(folder, { recursive: true, force: true }))

const sinkNamed = (name: string, path = '/nowhere'): SinkConfig => ({ kind: 'jsonl', name, path, gzip: false, max_file_bytes: 1, rotate_ms: 1000, spool: SPOOL })

/** A process with one data thread and its keeper. */
class Boot {
  readonly clock = new FakeClock()
  readonly log = recorder()
  readonly media: Readonly<Record<string, Medium>>
  readonly keeper: Keeper
  readonly #lock: Lock
  readonly #name: string
  readonly #cells: Record<string, SharedArrayBuffer> = {}
  readonly #spools: Record<string, Spool> = {}

  constructor(name: string, media: Readonly<Record<string, Medium>>) {
    this.#name = name
    this.media = media
    this.#lock = newLock(bootLock(folder, name))
    this.keeper = new Keeper(folder, name, { clock: this.clock, log: this.log.log, create: (config) => media[config.name]!.sink() })
  }

  configure(...sinks: SinkConfig[]): void {
    const kept = sinks.map((config): [string, Kept] => [config.name, { config, cells: (this.#cells[config.name] ??= makeCells(1)) }])
    this.keeper.configure(new Map(kept))
  }

  spool(sink: string): Spool {
    const place = { sink, folder: sinkFolder(folder, sink), boot: this.#name, thread: 0, threads: 1 }
    return (this.#spools[sink] ??= new Spool(place, SPOOL, this.#cells[sink]!, { clock: this.clock, log: this.log.log, encoder: new Encoder() }))
  }

  append(sink: string, id: number): void {
    this.spool(sink).append(record(id), 'drop_newest')
  }

  counts(sink: string): object {
    const { accepted, delivered, pending } = new Cells(this.#cells[sink]!).counts()
    return { accepted, delivered, pending }
  }

  /** Time goes on until nothing is under way. */
  async turns(count = 12): Promise<void> {
    for (let i = 0; i < count; i++) {
      await this.clock.tick(200)
      await new Promise((done) => setImmediate(done))
    }
  }

  async finish(deadline_ms = 1000): Promise<void> {
    for (const spool of Object.values(this.#spools)) spool.close()
    const end = this.keeper.finish(deadline_ms)
    await this.turns()
    await end
    this.#lock.release()
  }
}

describe('two processes with one state', () => {
  test('one delivers; the other one does when that has ended, with what it left', async () => {
    const lake = new Medium()
    const a = new Boot('a', { lake })
    const b = new Boot('b', { lake })
    a.configure(sinkNamed('lake'))
    b.configure(sinkNamed('lake'))
    a.append('lake', 1)
    b.append('lake', 2)
    await a.turns()
    await b.turns()
    expect(lake.ids).toEqual(['1'])
    expect(b.keeper.report()[0]!.state).toBe('waiting')
    expect(b.counts('lake')).toEqual({ accepted: 1, delivered: 0, pending: 1 })
    lake.mood = () => ({ delivered: 0, rejected: 0, error: new Error('down') })
    a.append('lake', 3)
    await a.finish()
    lake.mood = null
    await b.turns()
    expect(lake.ids.toSorted()).toEqual(['1', '2', '3'])
    expect(b.counts('lake')).toEqual({ accepted: 3, delivered: 3, pending: 0 })
    expect(b.keeper.report()[0]!.state).toBe('delivering')
    expect(fs.readdirSync(join(folder, 'boots'))).toEqual(['b.lock'])
    await b.finish()
  })

  test('what a live one has open is not touched', async () => {
    const lake = new Medium()
    const a = new Boot('a', { lake })
    a.configure(sinkNamed('lake'))
    const b = new Boot('b', { lake })
    b.configure(sinkNamed('lake'))
    b.append('lake', 1)
    b.spool('lake').seal()
    b.append('lake', 2)
    await a.turns(20)
    expect(listing(sinkFolder(folder, 'lake'))).toEqual(['b_b-000000001-0-1.seg', 'b_b-000000002-0.open'])
    await a.finish()
    await b.finish()
    expect(lake.ids).toEqual(['1', '2'])
  })
})

describe('a reload', () => {
  test('adds a sink, takes one out without losing what waits for it, and takes it back', async () => {
    const media = { lake: new Medium(), other: new Medium() }
    const a = new Boot('a', media)
    a.configure(sinkNamed('lake'))
    media.lake.mood = () => ({ delivered: 0, rejected: 0, error: new Error('down') })
    a.append('lake', 1)
    await a.turns()
    a.configure(sinkNamed('other'))
    a.append('other', 2)
    await a.turns()
    media.lake.mood = null
    await a.turns(40)
    expect([media.lake.ids, media.other.ids]).toEqual([[], ['2']])
    expect(a.counts('lake')).toEqual({ accepted: 1, delivered: 0, pending: 1 })
    expect(a.keeper.report().map(({ sink, state }) => `${sink} ${state}`)).toEqual(['lake removed', 'other delivering'])
    expect(a.log.lines.filter(({ level }) => level === 'warn')).toHaveLength(1)
    a.append('lake', 3)
    a.configure(sinkNamed('lake'), sinkNamed('other'))
    a.spool('lake').seal()
    await a.turns()
    expect(media.lake.ids).toEqual(['1', '3'])
    await a.finish()
  })

  test('opens a sink that changed again, at the state of the last commit', async () => {
    const lake = new Medium()
    const a = new Boot('a', { lake })
    a.configure(sinkNamed('lake'))
    a.append('lake', 1)
    await a.turns()
    a.configure(sinkNamed('lake', '/elsewhere'))
    a.append('lake', 2)
    await a.turns()
    expect(lake.opened).toBe(2)
    expect(lake.ids).toEqual(['1', '2'])
    await a.finish()
  })
})

test('a stop delivers what no batch would have taken yet, and ends at its deadline when the sink is dead', async () => {
  const media = { lake: new Medium(), dead: new Medium() }
  media.lake.wait_ms = 1e6
  media.dead.mood = () => ({ delivered: 0, rejected: 0, error: new Error('down') })
  const a = new Boot('a', media)
  a.configure(sinkNamed('lake'), sinkNamed('dead'))
  a.append('lake', 1)
  a.append('dead', 2)
  await a.turns()
  expect(media.lake.ids).toEqual([])
  await a.finish()
  expect(media.lake.ids).toEqual(['1'])
  expect(listing(sinkFolder(folder, 'dead'))).toHaveLength(1)
})

test('a sink that never answers holds up nobody but itself', async () => {
  const media = { lake: new Medium(), slow: new Medium() }
  const a = new Boot('a', media)
  const never = new Promise<never>(() => undefined)
  media.slow.sink = () => ({ batch: { rows: 10, bytes: 1 << 20, wait_ms: 0 }, open: async () => undefined, deliver: () => never, probe: () => never, close: async () => undefined })
  a.configure(sinkNamed('lake'), sinkNamed('slow'))
  for (let i = 0; i < 5; i++) {
    a.append('lake', i)
    a.append('slow', i)
    await a.turns()
  }
  expect(media.lake.ids).toEqual(['0', '1', '2', '3', '4'])
  expect(a.counts('slow')).toEqual({ accepted: 5, delivered: 0, pending: 5 })
  a.configure(sinkNamed('lake'))
  a.append('lake', 5)
  await a.finish()
  expect(media.lake.ids).toHaveLength(6)
})

describe('a lock', () => {
  test('is held by one, until it is let go', () => {
    const path = join(folder, 'x', 'y.lock')
    expect(isHeld(path)).toBe(false)
    const lock = takeLock(path)!
    expect(takeLock(path)).toBeNull()
    expect(isHeld(path)).toBe(true)
    lock.release()
    expect(isHeld(path)).toBe(false)
    const own = newLock(path)
    expect(isHeld(path)).toBe(true)
    own.release()
  })
})

describe('a stop with a sink that fails', () => {
  /** @param works from which delivery on @returns how often it was asked, and what it has */
  async function stopped(works: number): Promise<{ readonly asked: number; readonly ids: readonly string[]; readonly took_ms: number }> {
    const lake = new Medium()
    let asked = 0
    lake.mood = (records) => (++asked >= works ? { delivered: records.length, rejected: 0, error: null } : { delivered: 0, rejected: 0, error: new Error('down') })
    const a = new Boot('a', { lake })
    a.configure(sinkNamed('lake'))
    a.append('lake', 1)
    const began = a.clock.now()
    // `turns` goes 2.4 s on: with a deadline of 30 s a wait until then would never end here.
    await a.finish(30_000)
    return { asked, ids: lake.ids, took_ms: a.clock.now() - began }
  }

  test('does not wait for one that fails three times; its record stays in the spool', async () => {
    expect(await stopped(Infinity)).toMatchObject({ asked: 3, ids: [] })
  })

  test('gives one that comes back what it has not got', async () => {
    expect(await stopped(3)).toMatchObject({ asked: 3, ids: ['1'] })
  })
})

test('what a sink says when it opens is in the ledger before it gets anything', async () => {
  const lake = new Medium()
  const states: unknown[] = []
  lake.mood = (records) => {
    const ledger = new Ledger(systemFiles, ledgerFile(sinkFolder(folder, 'lake')), false)
    states.push(ledger.entry.state)
    ledger.close()
    return { delivered: records.length, rejected: 0, error: null }
  }
  const a = new Boot('a', { lake })
  a.configure(sinkNamed('lake'))
  a.append('lake', 1)
  await a.finish()
  expect(states).toEqual([{ length: 0 }])
  expect(lake.ids).toEqual(['1'])
})

describe('the ledger', () => {
  const path = (): string => join(folder, 'ledger')
  const open = (): Ledger => new Ledger(systemFiles, path(), true)

  test('is as it was last committed, or before when the last write was torn', () => {
    const ledger = open()
    ledger.commit({ delivered: 1, state: { at: 1 } })
    ledger.commit({ delivered: 2, state: { at: 2 }, done: ['x'] })
    ledger.close()
    const again = open()
    expect(again.entry).toMatchObject({ commits: 2, delivered: 2, state: { at: 2 }, done: ['x'] })
    again.close()
    const bytes = fs.readFileSync(path())
    const second = bytes.indexOf('"delivered":2')
    bytes[second + 12]! ^= 1
    fs.writeFileSync(path(), bytes)
    const before = open()
    expect(before.entry).toMatchObject({ commits: 1, delivered: 1, state: { at: 1 }, done: [] })
    expect(before.damaged).toBe(false)
    before.close()
  })

  test('that cannot be read begins again, and says so', () => {
    const ledger = open()
    ledger.commit({ delivered: 1 })
    ledger.close()
    fs.writeFileSync(path(), Buffer.alloc(fs.statSync(path()).size, 7))
    const again = open()
    expect([again.damaged, again.records]).toEqual([true, 0])
    again.close()
  })

  test('refuses a state that is too large, and keeps the one before', () => {
    const ledger = open()
    ledger.commit({ delivered: 1 })
    expect(() => ledger.commit({ state: { text: 'x'.repeat(1 << 20) } })).toThrow('too large')
    expect(ledger.entry).toMatchObject({ commits: 1, delivered: 1, state: null })
    ledger.close()
  })
})
