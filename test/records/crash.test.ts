/** The one promise of the spool: accepted = delivered + dropped{reason} + pending, and no record is lost uncounted, whatever happens in whatever order. */
import fs from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { codeOf } from '../../gateway/records/files.ts'
import type { OnFull } from '../../gateway/records/record.ts'
import { FakeClock } from '../fake_clock.ts'
import { body, record } from './made.ts'
import { listing, Medium, Process, SPOOL } from './world.ts'

type Step =
  | { readonly do: 'append'; readonly thread: number; readonly size: number; readonly onFull: OnFull; readonly times: number }
  | { readonly do: 'seal'; readonly thread: number }
  | { readonly do: 'pass'; readonly mood: 'good' | 'down' | 'half' | 'poison' | 'throws' }
  | { readonly do: 'tick'; readonly ms: number }
  | { readonly do: 'disk'; readonly free: number }
  | { readonly do: 'break'; readonly calls: number }
  | { readonly do: 'thread'; readonly thread: number }
  /** The process is killed at the n-th call of the file system from here, or now. */
  | { readonly do: 'kill'; readonly calls: number }
  | { readonly do: 'restart' }

const thread = fc.nat({ max: 1 })
const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 6, arbitrary: fc.record({ do: fc.constant('append' as const), thread, size: fc.constantFrom(0, 300, 1500, 9000), onFull: fc.constantFrom<OnFull>('drop_newest', 'drop_oldest'), times: fc.integer({ min: 1, max: 8 }) }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('seal' as const), thread }) },
  { weight: 4, arbitrary: fc.record({ do: fc.constant('pass' as const), mood: fc.constantFrom('good' as const, 'down' as const, 'half' as const, 'poison' as const, 'throws' as const) }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('tick' as const), ms: fc.constantFrom(50, 1000, 10_000) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('disk' as const), free: fc.constantFrom(0, 100, 700, 5000, Infinity) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('break' as const), calls: fc.integer({ min: 1, max: 3 }) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('thread' as const), thread }) },
  { weight: 3, arbitrary: fc.record({ do: fc.constant('kill' as const), calls: fc.nat({ max: 25 }) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('restart' as const) }) },
)

/** Runs steps over a folder, with what the outside knows of every record. */
class World {
  readonly medium = new Medium()
  readonly clock = new FakeClock()
  readonly folder: string
  /** `append` said that it was accepted. */
  readonly accepted = new Set<string>()
  /** `append` said that it was dropped, or never came back. */
  readonly unsure = new Set<string>()
  readonly rejected = new Set<string>()
  /** `append` calls that came back. */
  answered = 0
  process: Process
  #boots = 0
  #ids = 0

  constructor(folder: string) {
    this.folder = folder
    this.process = this.#boot()
  }

  #boot(): Process {
    return new Process(this.folder, `b${this.#boots++}`.padEnd(4, '0'), this.medium, { clock: this.clock, spool: { ...SPOOL, max_bytes: 24 << 10 } })
  }

  async take(step: Step): Promise<void> {
    const { disk } = this.process
    await this.#take(step).catch((error: unknown) => {
      if (!disk.dead) throw error
    })
    if (!this.process.disk.dead) return
    disk.bury()
    this.process = this.#boot()
  }

  async #take(step: Step): Promise<void> {
    const { process } = this
    if (step.do === 'append') for (let i = 0; i < step.times && !process.disk.dead; i++) this.#append(step.thread, step.size, step.onFull)
    else if (step.do === 'seal') process.spools[step.thread]!.seal()
    else if (step.do === 'pass') await this.#pass(step.mood)
    else if (step.do === 'tick') this.clock.advance(step.ms)
    else if (step.do === 'disk') process.disk.free = step.free
    else if (step.do === 'break') process.disk.broken = step.calls
    else if (step.do === 'thread') process.replace(step.thread)
    else if (step.do === 'kill') process.disk.left = step.calls
    else await this.#restart()
  }

  #append(thread: number, size: number, onFull: OnFull): void {
    const id = String(this.#ids++)
    this.unsure.add(id)
    const kept = this.process.spools[thread]!.append(record(id, { request: body(Buffer.alloc(size)), response: null }), onFull)
    if (this.process.disk.dead) return
    this.answered++
    if (!kept) return
    this.unsure.delete(id)
    this.accepted.add(id)
  }

  async #pass(mood: string): Promise<void> {
    const error = new Error('down')
    this.medium.mood = {
      good: null,
      down: () => ({ delivered: 0, rejected: 0, error }),
      half: (records: readonly unknown[]) => ({ delivered: records.length >> 1, rejected: 0, error }),
      poison: (records: readonly { readonly record_id: string }[]) => {
        const delivered = records.length >> 1
        if (!this.process.disk.dead) this.rejected.add(records[delivered]!.record_id)
        return { delivered, rejected: 1, error: null }
      },
      throws: (records: readonly { readonly record_id: string }[]) => {
        this.medium.ids.push(...records.map(({ record_id }) => record_id))
        throw error
      },
    }[mood] as Medium['mood']
    await this.process.shipper.pass()
    this.medium.mood = null
  }

  async #restart(): Promise<void> {
    for (const spool of this.process.spools) spool.close()
    await this.process.shipper.pass(true, true)
    await this.process.shipper.close()
    this.process.disk.bury()
    if (!this.process.disk.dead) this.process = this.#boot()
  }

  /** Everything is delivered that can be. */
  async drain(): Promise<void> {
    const { process } = this
    this.medium.mood = null
    process.disk.left = Infinity
    process.disk.free = Infinity
    process.disk.broken = 0
    for (const spool of process.spools) spool.close()
    for (let i = 0; i < 5; i++) {
      this.clock.advance(10_000)
      await process.shipper.pass(true, true)
    }
  }
}

/** Drains it, and holds what came out against what the outside knows. */
async function expectNothingLost(world: World): Promise<void> {
  await world.drain()
  const { counts, log } = world.process
  const told = JSON.stringify(log.lines.filter(({ level }) => level === 'error'))
  expect(listing(world.folder), told).toEqual([])
  expect(counts.pending, told).toBe(0)
  expect(counts.bytes).toBe(0)
  expect(new Set(world.medium.ids).size).toBe(world.medium.ids.length)
  expect(counts.delivered).toBe(world.medium.ids.length)
  // Each that was accepted is there, or counted as given up; a killed process may have one more that never came back.
  const there = new Set(world.medium.ids)
  const missing = [...world.accepted].filter((id) => !there.has(id))
  const { process } = world
  expect(missing.length).toBeLessThanOrEqual(process.dropped('dropped_oldest') + process.dropped('rejected'))
  expect(counts.accepted).toBeGreaterThanOrEqual(world.answered)
  expect(counts.accepted).toBeLessThanOrEqual(world.answered + world.unsure.size)
  process.disk.bury()
  for (const id of there) expect(world.accepted.has(id) || world.unsure.has(id)).toBe(true)
}

test('nothing is lost uncounted, nothing is delivered twice', { timeout: 300_000 }, async () => {
  let kills = 0
  await fc.assert(
    fc.asyncProperty(fc.array(step, { minLength: 1, maxLength: 40 }), async (steps) => {
      const root = fs.mkdtempSync(join(tmpdir(), 'weir-crash-'))
      try {
        const world = new World(join(root, 'lake'))
        for (const one of steps) {
          await world.take(one)
          kills += one.do === 'kill' ? 1 : 0
          // Never more in the sink and gone than came in.
          expect(world.process.counts.pending).toBeGreaterThanOrEqual(0)
        }
        await expectNothingLost(world)
      } finally {
        fs.rmSync(root, { recursive: true, force: true })
      }
    }),
    { numRuns: process.env['WEIR_PROOF'] === 'full' ? 3000 : 300 },
  )
  expect(kills).toBeGreaterThan(50)
})

const SCENE: readonly Step[] = [
  { do: 'append', thread: 0, size: 300, onFull: 'drop_newest', times: 3 },
  { do: 'append', thread: 1, size: 9000, onFull: 'drop_oldest', times: 3 },
  { do: 'pass', mood: 'half' },
  { do: 'append', thread: 0, size: 1500, onFull: 'drop_oldest', times: 12 },
  { do: 'tick', ms: 1000 },
  { do: 'pass', mood: 'poison' },
  { do: 'append', thread: 1, size: 0, onFull: 'drop_newest', times: 2 },
  { do: 'thread', thread: 1 },
  { do: 'tick', ms: 10_000 },
  { do: 'pass', mood: 'good' },
  { do: 'restart' },
]

test('a process that is killed at any one of its calls, and the one after it too', { timeout: 60_000 }, async () => {
  let calls = 1
  for (let died = true; died; calls++) {
    died = false
    for (const again of [0, 7]) {
      const root = fs.mkdtempSync(join(tmpdir(), 'weir-crash-'))
      const world = new World(join(root, 'lake'))
      await world.take({ do: 'kill', calls })
      for (const step of SCENE) {
        const { process } = world
        await world.take(step)
        if (process !== world.process && step.do !== 'restart') {
          if (!died && again > 0) await world.take({ do: 'kill', calls: again })
          died = true
        }
      }
      await expectNothingLost(world)
      fs.rmSync(root, { recursive: true, force: true })
    }
  }
  expect(calls).toBeGreaterThan(60)
})

test('the words of the system are told, not its objects', () => {
  expect([codeOf(Object.assign(new Error('x'), { code: 'ENOSPC' })), codeOf(new Error('x')), codeOf('y')]).toEqual(['ENOSPC', 'x', 'y'])
})
