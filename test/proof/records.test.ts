/**
 * A gateway that is killed at random moments under load, again and again: every answered request has its record in the lake, once, and
 * accepted = delivered + dropped + pending to the record, over all restarts. `WEIR_PROOF=full`: 200 kills.
 */
import { execFileSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync } from 'node:fs'
import { mkdtemp } from 'node:fs/promises'
import { Agent, request } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { pause } from '../blackbox/scripted.ts'
import { startWeir, type Weir } from '../blackbox/weir.ts'
import { random } from '../conformance/wire/fuzz.ts'

const KILLS = process.env['WEIR_PROOF'] === 'full' ? 200 : 10
const CALLERS = 8
const REASONS = ['spool_full', 'dropped_oldest', 'disk', 'too_large', 'rejected', 'torn']
const use = JSON.stringify(fileURLToPath(new URL('keep.ts', import.meta.url)))
const next = random(Math.floor(Math.random() * 2 ** 31))

let folder = ''
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'weir-records-'))
})
afterEach(() => rmSync(folder, { recursive: true, force: true }))

const config = (sink: string, more = '', max = '256MiB', state = join(folder, 'state'), onFull = 'drop_newest'): string => `
state: ${state}
drain: { grace: 10ms, deadline: 10s }
sinks:
  lake: { ${sink}, ${more} spool: { max_bytes: ${max}, segment: 64KiB, segment_age: 200ms } }
backends:
  ok: { answer: { status: 200, body: "ok" } }
routes:
  - { name: all, match: { path: "/**" }, backend: ok, plugins: [{ use: ${use}, options: { sink: lake, on_full: ${onFull}, bytes: 700 } }] }
`
const lake = (state?: string): string => config(`jsonl: ${join(folder, 'lake')}`, 'rotate: 2s,', '256MiB', state)
const DEAD = 'cloudevents: "http://127.0.0.1:9"'

/** Callers who ask on and on, and know which of their requests were answered. */
class Callers {
  readonly asked = new Set<string>()
  readonly answered = new Set<string>()
  readonly #agent = new Agent({ keepAlive: true })
  readonly #done: Promise<unknown>
  #going = true
  static #ids = 0

  constructor(port: number, callers: number) {
    this.#done = Promise.all(Array.from({ length: callers }, () => this.#caller(port)))
  }

  async stop(): Promise<void> {
    this.#going = false
    await this.#done
    this.#agent.destroy()
  }

  async #caller(port: number): Promise<void> {
    while (this.#going) {
      const id = `r${Callers.#ids++}`
      this.asked.add(id)
      const whole = await this.#ask(port, id)
      if (whole) this.answered.add(id)
      else await pause(5)
    }
  }

  #ask(port: number, id: string): Promise<boolean> {
    return new Promise((resolve) => {
      const asked = request({ host: '127.0.0.1', port, path: '/x', agent: this.#agent, headers: { 'x-id': id } }, (answer) => {
        let body = ''
        answer.on('data', (chunk: Buffer) => (body += chunk.toString()))
        answer.on('end', () => resolve(answer.statusCode === 200 && answer.complete && body === 'ok'))
        answer.on('error', () => resolve(false))
        answer.on('close', () => resolve(false))
      })
      asked.on('error', () => resolve(false))
      asked.end()
    })
  }
}

function delivered(): string[] {
  const files = readdirSync(join(folder, 'lake'), { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile() && entry.name.endsWith('.jsonl'))
  const lines = files.flatMap(({ parentPath, name }) => readFileSync(join(parentPath, name), 'utf8').split('\n'))
  return lines.filter((line) => line !== '').map((line) => (JSON.parse(line) as { record_id: string }).record_id)
}

interface Counted {
  readonly accepted: number
  readonly delivered: number
  readonly pending: number
  readonly dropped: Readonly<Record<string, number>>
}

/** As Prometheus sees it. The equation must hold in every scrape. */
async function counted(weir: Weir): Promise<Counted> {
  const metrics = await weir.metrics()
  const sum = (name: string, labels = {}): number => metrics.sum(`weir_records_${name}`, { sink: 'lake', ...labels })
  const dropped = Object.fromEntries(REASONS.map((reason) => [reason, sum('dropped_total', { reason })]))
  const counts = { accepted: sum('accepted_total'), delivered: sum('delivered_total'), pending: sum('pending'), dropped }
  expect(counts.accepted).toBe(counts.delivered + sum('dropped_total') + counts.pending)
  expect(counts.pending).toBeGreaterThanOrEqual(0)
  return counts
}

/** Everything that earlier processes left is counted and delivered. */
const settled = (weir: Weir): Promise<void> =>
  expect.poll(async () => {
    const { accepted, pending } = await counted(weir)
    return accepted > 0 && pending === 0
  }, { timeout: 20_000, interval: 50 }).toBe(true)

describe('records', () => {
  it(`survive ${KILLS} kills under load, each once`, { timeout: 60_000 + KILLS * 5000 }, async () => {
    const [asked, answered] = [new Set<string>(), new Set<string>()]
    for (let kill = 0; kill < KILLS; kill++) {
      const weir = await startWeir(lake(), { threads: 2 })
      const callers = new Callers(weir.port, CALLERS)
      await pause(50 + next() * 900)
      if (kill % 3 === 0) await counted(weir)
      weir.process.kill('SIGKILL')
      await callers.stop()
      await weir.stop()
      for (const id of callers.asked) asked.add(id)
      for (const id of callers.answered) answered.add(id)
    }
    const weir = await startWeir(lake(), { threads: 2 })
    await settled(weir)
    const counts = await counted(weir)
    await weir.stop()
    const ids = delivered()
    const there = new Set(ids)
    expect(answered.size).toBeGreaterThan(KILLS * 20)
    expect(ids.length).toBe(there.size)
    expect([...answered].filter((id) => !there.has(id)).slice(0, 5)).toEqual([])
    expect(ids.filter((id) => !asked.has(id))).toEqual([])
    expect(counts.delivered).toBe(ids.length)
    expect(counts.accepted - counts.dropped['torn']!).toBe(ids.length)
    // One write that a kill tore in two a thread and kill, at the very most.
    expect(counts.dropped['torn']).toBeLessThanOrEqual(2 * KILLS)
  })

  it('are all delivered when the gateway stops', { timeout: 30_000 }, async () => {
    const weir = await startWeir(lake(), { threads: 2 })
    const callers = new Callers(weir.port, CALLERS)
    await pause(700)
    await callers.stop()
    await weir.stop()
    expect(delivered().toSorted()).toEqual([...callers.answered].toSorted())
  })

  it('of a sink that is dead all the time wait, up to the limit, and come when it lives', { timeout: 60_000 }, async () => {
    const dead = await startWeir(config(DEAD, '', '2MiB'), { threads: 2 })
    const callers = new Callers(dead.port, CALLERS)
    await expect.poll(async () => (await counted(dead)).dropped['spool_full'], { timeout: 30_000, interval: 100 }).toBeGreaterThan(0)
    await callers.stop()
    const counts = await counted(dead)
    expect(counts.delivered).toBe(0)
    expect(counts.accepted).toBe(callers.answered.size)
    await dead.stop()
    const alive = await startWeir(lake(), { threads: 2 })
    await settled(alive)
    const after = await counted(alive)
    await alive.stop()
    expect(after.accepted).toBe(counts.accepted)
    expect(after.dropped).toEqual(counts.dropped)
    expect(delivered().length).toBe(counts.accepted - counts.dropped['spool_full']!)
  })

  it('that the sink and newer ones both want go to one of them', { timeout: 60_000 }, async () => {
    const file = config(`jsonl: ${join(folder, 'lake')}`, '', '128KiB', undefined, 'drop_oldest')
    const weir = await startWeir(file, { threads: 2 })
    const callers = new Callers(weir.port, CALLERS)
    await expect.poll(async () => (await counted(weir)).dropped['dropped_oldest'], { timeout: 20_000, interval: 100 }).toBeGreaterThan(200)
    await callers.stop()
    await settled(weir)
    const counts = await counted(weir)
    await weir.stop()
    const ids = delivered()
    expect(new Set(ids).size).toBe(ids.length)
    expect(ids.every((id) => callers.answered.has(id))).toBe(true)
    expect(counts.accepted).toBe(callers.answered.size)
    expect(callers.answered.size - ids.length).toBe(counts.dropped['dropped_oldest']! + counts.dropped['spool_full']!)
  })

  it.skipIf(!mounts())('of a full disk are counted, through a kill too (left out where this user may not mount)', { timeout: 60_000 }, async () => {
    const disk = join(folder, 'disk')
    mkdirSync(disk)
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=3m', 'tmpfs', disk])
    try {
      const full = await startWeir(config(DEAD, '', '256MiB', disk), { threads: 2 })
      const callers = new Callers(full.port, CALLERS)
      await expect.poll(async () => (await counted(full)).dropped['disk'], { timeout: 40_000, interval: 100 }).toBeGreaterThan(100)
      await callers.stop()
      const counts = await counted(full)
      full.process.kill('SIGKILL')
      await full.stop()
      expect(counts.accepted).toBe(callers.answered.size)
      const room = await startWeir(lake(disk), { threads: 2 })
      await settled(room)
      const after = await counted(room)
      await room.stop()
      expect(after).toEqual({ ...counts, delivered: counts.pending, pending: 0 })
      const ids = delivered()
      expect([ids.length, new Set(ids).size]).toEqual([counts.pending, counts.pending])
    } finally {
      execFileSync('umount', [disk])
    }
  })

  it('of a thread that dies are there, and its counts go on', { timeout: 60_000 }, async () => {
    const weir = await startWeir(lake(), { threads: 2 })
    const callers = new Callers(weir.port, CALLERS)
    for (let death = 0; death < 3; death++) {
      await pause(300)
      // The plugin ends its thread; while none is there to hear it, it is asked again.
      await expect.poll(async () => {
        if ((await weir.metrics()).sum('weir_thread_restarts_total') <= death) await fetch(`http://127.0.0.1:${weir.port}/die`).catch(() => null)
        return (await weir.metrics()).sum('weir_thread_restarts_total')
      }, { timeout: 10_000, interval: 200 }).toBeGreaterThan(death)
    }
    await pause(500)
    await callers.stop()
    await settled(weir)
    const counts = await counted(weir)
    await weir.stop()
    const ids = delivered()
    const there = new Set(ids)
    expect(ids.length).toBe(there.size)
    expect([...callers.answered].filter((id) => !there.has(id))).toEqual([])
    expect([counts.delivered, counts.accepted - counts.dropped['torn']!]).toEqual([ids.length, ids.length])
  })
})

/** Whether a disk can be made here that is soon full. */
function mounts(): boolean {
  const point = mkdtempSync(join(tmpdir(), 'weir-mount-'))
  try {
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=64k', 'tmpfs', point], { stdio: 'ignore' })
    execFileSync('umount', [point])
    return true
  } catch {
    return false
  } finally {
    rmSync(point, { recursive: true, force: true })
  }
}
