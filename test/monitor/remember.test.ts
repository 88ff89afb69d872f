/** When what is remembered is written and read: with real files and a clock of its own. */
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { type Keeping, type Outcome, remember, type Remembered } from '../../gateway/monitor/remember.ts'
import { KeepStore } from '../../gateway/pipeline/host.ts'
import { FakeClock } from '../fake_clock.ts'

let folder: string
beforeEach(() => (folder = mkdtempSync(join(tmpdir(), 'weir-remember-'))))
afterEach(() => rmSync(folder, { recursive: true }))

const path = (): string => join(folder, 'n.memory')

/** A process: what reloads share. */
function process(clock = new FakeClock()) {
  const keep = new KeepStore()
  const told: Outcome[] = []
  const words: string[] = []
  return {
    clock, told, words, keep,
    /** A generation whose memory is one number; the memory of a layout is that of the process. */
    async generation(layout = '1', { leader = true, state = true } = {}) {
      const cell = keep.take(`cell ${layout}`, () => ({ value: 0 }))
      const host: Keeping = {
        leader,
        folder: () => (state ? folder : null),
        keep: (key, make) => keep.take(key, make),
        share: (key, bytes) => keep.take(key, () => new SharedArrayBuffer(bytes)),
        every: (ms, run) => clock.every(ms, run),
        now: () => clock.now(),
        wall: () => clock.wall(),
        log: { warn: (message) => void words.push(message), info: () => undefined },
      }
      const section = { name: 'cell', layout, frames: () => [Buffer.of(cell.value)], take: (frame: Buffer) => void (cell.value = frame[0]!) }
      const memory = await remember(host, 'n', { sections: [section], version: () => String(cell.value) }, 60_000, (outcome) => told.push(outcome))
      return { cell, memory: memory as Remembered }
    },
  }
}

const settled = (told: readonly Outcome[], ...expected: Outcome[]) => vi.waitFor(() => expect(told).toEqual(expected))

describe('a restart', () => {
  test('reads what was saved at the end', async () => {
    const one = process()
    const before = await one.generation()
    before.cell.value = 7
    await before.memory.close()
    const two = process()
    expect((await two.generation()).cell.value).toBe(7)
    expect([one.told, two.told]).toEqual([['saved'], ['restored']])
    expect(readdirSync(folder)).toEqual(['n.memory'])
  })

  test('after a kill has what was there a minute ago', async () => {
    const one = process()
    const { cell } = await one.generation()
    cell.value = 1
    await one.clock.tick(60_000)
    await settled(one.told, 'saved')
    cell.value = 2
    await one.clock.tick(59_000)
    expect((await process().generation()).cell.value).toBe(1)
    await one.clock.tick(1_000)
    await settled(one.told, 'saved', 'saved')
    expect((await process().generation()).cell.value).toBe(2)
  })

  test('of nothing that changed writes nothing', async () => {
    const one = process()
    const { memory } = await one.generation()
    await one.clock.tick(300_000)
    await memory.close()
    expect([one.told, readdirSync(folder)]).toEqual([[], []])
  })

  test('without `state`, and on the other threads, writes nothing', async () => {
    const one = process()
    expect((await one.generation('1', { state: false })).memory).toBe(null)
    expect((await one.generation('1', { leader: false })).memory).toBe(null)
    expect(one.clock.pending).toBe(0)
  })
})

describe('a file that cannot be taken', () => {
  test.each([['damaged', (bytes: Buffer) => Buffer.concat([bytes.subarray(0, -5), Buffer.of(0), bytes.subarray(-4)])], ['truncated', (bytes: Buffer) => bytes.subarray(0, -3)], ['empty', () => Buffer.alloc(0)], ['something else', () => Buffer.from('hello, this is no such file')]])('%s: told once, counted, and set aside by the next save', async (_, damage) => {
    const old = process()
    const before = await old.generation()
    before.cell.value = 255
    await before.memory.close()
    const bytes = damage(readFileSync(path()))
    writeFileSync(path(), bytes)
    const one = process()
    const { cell, memory } = await one.generation()
    expect([cell.value, one.told, one.words.length]).toEqual([0, ['not_restored'], 1])
    expect(readFileSync(path())).toEqual(bytes)
    cell.value = 3
    await memory.close()
    expect(readFileSync(`${path()}.aside`)).toEqual(bytes)
    expect((await process().generation()).cell.value).toBe(3)
  })

  test('that is gone when it should be set aside', async () => {
    writeFileSync(path(), 'x')
    const { cell, memory } = await process().generation()
    rmSync(path())
    cell.value = 3
    await memory.close()
    expect((await process().generation()).cell.value).toBe(3)
  })

  test('of other options', async () => {
    const one = process()
    const before = await one.generation('1')
    before.cell.value = 9
    await before.memory.close()
    const two = process()
    const { cell, memory } = await two.generation('2')
    expect([cell.value, two.told, two.words.length]).toEqual([0, ['not_restored'], 1])
    await memory.close()
    // Back again before anything was counted: nothing is lost.
    expect((await process().generation('1')).cell.value).toBe(9)
  })
})

describe('a reload', () => {
  test('keeps memory as it is, and the newest generation alone saves', async () => {
    const one = process()
    one.keep.begin()
    const old = await one.generation()
    one.keep.commit()
    old.cell.value = 1
    await one.clock.tick(60_000)
    await settled(one.told, 'saved')
    old.cell.value = 2
    one.keep.begin()
    const young = await one.generation()
    one.keep.commit()
    expect([young.cell.value, one.told]).toEqual([2, ['saved']])
    await old.memory.close()
    expect((await process().generation()).cell.value).toBe(1)
    // What changed before the reload is saved after it.
    await young.memory.close()
    expect((await process().generation()).cell.value).toBe(2)
  })

  test('to other options: what still ends of the old ones does not come back', async () => {
    const one = process()
    one.keep.begin()
    const old = await one.generation('1')
    one.keep.commit()
    old.cell.value = 1
    one.keep.begin()
    const young = await one.generation('2')
    one.keep.commit()
    young.cell.value = 5
    await young.memory.save()
    old.cell.value = 2
    await old.memory.close()
    await young.memory.close()
    expect((await process().generation('2')).cell.value).toBe(5)
  })

  test('that fails changes nothing', async () => {
    const one = process()
    one.keep.begin()
    const runs = await one.generation('1')
    one.keep.commit()
    runs.cell.value = 1
    one.keep.begin()
    const draft = await one.generation('2')
    one.keep.abandon()
    await draft.memory.close()
    expect(existsSync(path())).toBe(false)
    await runs.memory.close()
    expect((await process().generation('1')).cell.value).toBe(1)
  })
})

test('two processes: the newer begins with what the file has, and whoever saves last is whom the next one begins with', async () => {
  const [older, newer] = [process(), process()]
  const first = await older.generation()
  first.cell.value = 4
  await first.memory.save()
  const second = await newer.generation()
  first.cell.value = 5
  second.cell.value += 10
  await second.memory.save()
  await first.memory.close()
  expect(second.cell.value).toBe(14)
  expect((await process().generation()).cell.value).toBe(5)
  second.cell.value++
  await second.memory.close()
  expect((await process().generation()).cell.value).toBe(15)
})

test('a disk that takes nothing is counted, and tried again', async () => {
  const one = process()
  const { cell, memory } = await one.generation()
  cell.value = 1
  rmSync(folder, { recursive: true })
  await memory.save()
  expect([one.told, one.words.length]).toEqual([['failed'], 1])
  mkdirSync(folder)
  await memory.save()
  expect((await process().generation()).cell.value).toBe(1)
})
