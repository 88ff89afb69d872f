import { execFileSync, spawn, spawnSync } from 'node:child_process'
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import fc from 'fast-check'
import { afterAll, describe, expect, it, onTestFinished } from 'vitest'
import { fileDestination } from '../../gateway/telemetry/destination.ts'
import { type Destination, lineWriter, type LineWriterOptions } from '../../gateway/telemetry/writer.ts'
import { systemClock } from '../../gateway/clock.ts'
import { FakeClock, settled } from '../fake_clock.ts'

/** Takes bytes when the test says so. */
class FakeDestination implements Destination {
  readonly pieceBytes: number
  readonly writes: string[] = []
  taken = ''
  closed = false
  #done: ((error: NodeJS.ErrnoException | null, written: number) => void) | null = null
  #bytes: Buffer = Buffer.alloc(0)

  constructor(pieceBytes = 1 << 20) {
    this.pieceBytes = pieceBytes
  }
  get waiting(): boolean {
    return this.#done !== null
  }
  write(bytes: Buffer, done: (error: NodeJS.ErrnoException | null, written: number) => void): void {
    if (this.#done !== null) throw new Error('a write is under way')
    this.writes.push(bytes.toString())
    this.#bytes = bytes
    this.#done = done
  }
  take(count = this.#bytes.length): void {
    this.taken += this.#bytes.subarray(0, count).toString()
    this.#finish(null, count)
  }
  fail(code: string): void {
    this.#finish(Object.assign(new Error(code), { code }), 0)
  }
  close(): void {
    this.closed = true
  }
  #finish(error: NodeJS.ErrnoException | null, count: number): void {
    const done = this.#done!
    this.#done = null
    done(error, count)
  }
}

function writerTo(destination: Destination, options: Partial<LineWriterOptions> = {}) {
  const dropped = { total: 0, add: (count: number) => void (dropped.total += count) }
  const clock = new FakeClock()
  return { writer: lineWriter({ destination, clock, dropped, ...options }), dropped, clock }
}

describe('lineWriter', () => {
  it('writes the lines of one turn at once, and nothing within the turn', async () => {
    const to = new FakeDestination()
    const { writer } = writerTo(to)
    writer.write('one')
    writer.write('two ü')
    expect(to.writes).toEqual([])
    await settled()
    expect(to.writes).toEqual(['one\ntwo ü\n'])
  })

  it('has one write under way; what comes meanwhile is the next one', async () => {
    const to = new FakeDestination()
    const { writer } = writerTo(to)
    writer.write('one')
    await settled()
    writer.write('two')
    await settled()
    writer.write('three')
    await settled()
    expect(to.writes).toEqual(['one\n'])
    to.take()
    expect(to.writes).toEqual(['one\n', 'two\nthree\n'])
  })

  it('drops and counts what finds no room, and takes lines again when there is some', async () => {
    const to = new FakeDestination()
    const { writer, dropped } = writerTo(to, { maxBytes: 12 })
    writer.write('12345') // 6 bytes
    await settled()
    writer.write('12345') // 12 bytes with the write under way
    writer.write('x')
    writer.write('äöü')
    expect(dropped.total).toBe(2)
    to.take()
    writer.write('äö') // 5 bytes
    writer.write('y')
    expect(dropped.total).toBe(3)
    to.take()
    to.take()
    expect(to.taken).toBe('12345\n12345\näö\n')
  })

  it('goes on where a partial write ended', async () => {
    const to = new FakeDestination()
    const { writer, dropped } = writerTo(to)
    writer.write('hello')
    await settled()
    to.take(2)
    to.take()
    expect(to.taken).toBe('hello\n')
    expect(to.waiting).toBe(false)
    expect(dropped.total).toBe(0)
  })

  it('tries a full pipe again after a while', async () => {
    const to = new FakeDestination()
    const { writer, clock, dropped } = writerTo(to)
    writer.write('hello')
    await settled()
    to.fail('EAGAIN')
    expect(to.waiting).toBe(false)
    clock.advance(5)
    to.take()
    expect([to.taken, dropped.total, clock.pending]).toEqual(['hello\n', 0, 0])
  })

  it('counts the lines of a failed write, tells of the first failure of a row, and begins a new line after a torn one', async () => {
    const to = new FakeDestination()
    const errors: string[] = []
    const { writer, dropped } = writerTo(to, { failed: (error) => errors.push(error.message) })
    writer.write('one')
    writer.write('two')
    await settled()
    to.take(5)
    to.fail('ENOSPC')
    expect(dropped.total).toBe(1)
    writer.write('three')
    await settled()
    to.fail('ENOSPC')
    expect([dropped.total, errors]).toEqual([2, ['ENOSPC']])
    writer.write('four')
    await settled()
    to.take()
    writer.write('five')
    await settled()
    to.fail('EIO')
    expect(errors).toEqual(['ENOSPC', 'EIO'])
    expect(to.taken).toBe('one\nt\nfour\n')
  })

  it('cuts writes between lines when the place tears long ones', async () => {
    const to = new FakeDestination(10)
    const { writer } = writerTo(to)
    for (const line of ['aaaa', 'bbbb', 'cc', 'a line longer than ten bytes', 'd']) writer.write(line)
    await settled()
    while (to.waiting) to.take()
    expect(to.writes).toEqual(['aaaa\nbbbb\n', 'cc\n', 'a line longer than ten bytes\n', 'd\n'])
  })

  it('close writes what waits and then takes nothing more', async () => {
    const to = new FakeDestination()
    const { writer, dropped, clock } = writerTo(to)
    writer.write('one')
    const closing = writer.close()
    writer.write('late')
    await settled()
    to.take()
    await closing
    expect([to.taken, to.closed, dropped.total, clock.pending]).toEqual(['one\n', true, 1, 0])
    await writer.close()
  })

  it('close gives a stalled reader two seconds, then counts what is left', async () => {
    const to = new FakeDestination()
    const { writer, dropped, clock } = writerTo(to)
    writer.write('one')
    writer.write('two')
    await settled()
    writer.write('three')
    const closing = writer.close()
    clock.advance(1_999)
    expect(to.closed).toBe(false)
    clock.advance(1)
    await closing
    expect([to.closed, dropped.total]).toEqual([true, 3])
    to.take()
    expect(to.writes).toHaveLength(1)
  })

  it('close of a writer without lines is over at once', async () => {
    const to = new FakeDestination()
    await writerTo(to).writer.close()
    expect(to.closed).toBe(true)
  })

  it('whatever the place does, every line is whole, in order, and written or counted', async () => {
    const act = fc.oneof(
      fc.record({ kind: fc.constant('write' as const), size: fc.integer({ min: 0, max: 12 }) }),
      fc.record({ kind: fc.constantFrom('turn', 'take', 'again', 'fail'), size: fc.integer({ min: 0, max: 30 }) }),
    )
    await fc.assert(
      fc.asyncProperty(fc.array(act, { maxLength: 60 }), fc.integer({ min: 5, max: 40 }), async (acts, maxBytes) => {
        const to = new FakeDestination(8)
        const { writer, dropped, clock } = writerTo(to, { maxBytes })
        let sent = 0
        for (const { kind, size } of acts) {
          if (kind === 'write') writer.write(`${sent++}:${'x'.repeat(size)}.`)
          else if (kind === 'turn') await settled()
          else if (!to.waiting) clock.advance(5)
          else if (kind === 'take') to.take(Math.max(1, Math.min(size, to.writes.at(-1)!.length)))
          else to.fail(kind === 'again' ? 'EAGAIN' : 'EIO')
        }
        const closing = writer.close()
        for (let i = 0; i < 200; i++) {
          await settled()
          if (to.waiting) to.take()
          else clock.advance(5)
        }
        await closing
        const whole = to.taken.split('\n').filter((line) => line.endsWith('.'))
        const numbers = whole.map((line) => Number(line.split(':')[0]))
        expect(numbers).toEqual([...numbers].sort((a, b) => a - b))
        expect(new Set(numbers).size).toBe(numbers.length)
        expect(whole.length + dropped.total).toBe(sent)
      }),
      { numRuns: 200 },
    )
  })
})

describe('real destinations', () => {
  const folder = mkdtempSync(join(tmpdir(), 'weir-lines-'))
  afterAll(() => rmSync(folder, { recursive: true, force: true }))

  it('appends to a file', async () => {
    const path = join(folder, 'access.log')
    for (const line of ['first', 'second']) {
      const { writer } = writerTo(fileDestination(path), { clock: systemClock })
      writer.write(line)
      await writer.close()
    }
    expect(readFileSync(path, 'utf8')).toBe('first\nsecond\n')
  })

  const script = fileURLToPath(new URL('stdout_lines.ts', import.meta.url))

  function expectWhole(out: string): void {
    const lines = out.split('\n')
    expect([lines[0], lines.at(-2), lines.at(-1)]).toEqual(['begin', 'end', ''])
    const written = lines.slice(1, -2)
    expect(written.filter((line) => !/^\d \d+ x{300}$/.test(line))).toEqual([])
    expect(new Set(written).size).toBe(12_000)
    expect(written).toHaveLength(12_000)
  }

  it('several threads on one pipe never tear a line, and the process ends after the last one', () => {
    expectWhole(execFileSync(process.execPath, [script, '3', '4000'], { encoding: 'utf8', maxBuffer: 64 << 20 }))
  })

  it('nor on one file that others write to as well', () => {
    const path = join(folder, 'stdout')
    const fd = openSync(path, 'w')
    spawnSync(process.execPath, [script, '3', '4000'], { stdio: ['ignore', fd, 'inherit'] })
    closeSync(fd)
    expectWhole(readFileSync(path, 'utf8'))
  })

  it('a reader that stops does not stop the process, and gets whole lines later', async () => {
    const child = spawn(process.execPath, [script, '1', '4000'], { stdio: ['ignore', 'pipe', 'inherit'] })
    onTestFinished(() => void child.kill('SIGKILL'))
    // Nothing is read while the child lives on: 1.2 MB do not fit into the pipe; it gives up after two seconds.
    const code = await new Promise((resolve) => child.once('exit', resolve))
    let out = ''
    for await (const chunk of child.stdout!) out += String(chunk)
    expect(code).toBe(0)
    const lines = out.split('\n').slice(1, -1)
    expect(lines.length).toBeGreaterThan(50)
    expect(lines.length).toBeLessThan(4000)
    expect(lines.filter((line) => !/^0 \d+ x{300}$/.test(line))).toEqual([])
  })
})
