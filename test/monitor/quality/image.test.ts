/** What of labels outlives the process: the engine goes on from what was saved as it would have gone on. */
import { Worker } from 'node:worker_threads'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { idBytes, WaitingIds } from '../../../gateway/monitor/quality/ids.ts'
import { idsSection, windowsSection } from '../../../gateway/monitor/quality/image.ts'
import { framesOf, tableOf, takeFrame } from '../../../gateway/monitor/quality/table.ts'
import type { Section } from '../../../gateway/monitor/snapshot.ts'
import { DAY, HOUR, MONDAY, type Options, stand } from './stand.ts'

const IDS = 512

function sectionsOf({ setup, parts, ids, review, active }: ReturnType<typeof stand>, now: number, mine = 0): Section[] {
  return [windowsSection(setup, '', { all: parts, mine: parts[mine]! }, review, active, () => now), idsSection(setup, '', ids, IDS, () => now)]
}

function carry(from: readonly Section[], into: readonly Section[]): void {
  from.forEach((section, s) => {
    let i = 0
    for (const frame of section.frames()) if (frame!.length > 0) into[s]!.take(copied(frame!), i++)
  })
}

function copied(bytes: Uint8Array): Buffer {
  const buffer = Buffer.allocUnsafeSlow(bytes.length)
  buffer.set(bytes)
  return buffer
}

/** One after the other in time, a minute apart: predictions, and labels of one of those before. */
const Events = fc.array(fc.record({ thread: fc.nat(2), score: fc.integer({ min: 0, max: 20 }), label: fc.option(fc.nat(1)), of: fc.nat(60), group: fc.nat(1) }), { minLength: 1, maxLength: 60 })

function run(on: ReturnType<typeof stand>, events: readonly (typeof Events extends fc.Arbitrary<infer T> ? T : never)[number][], first: number): string[] {
  return events.flatMap(({ thread, score, label, of, group }, i) => {
    const now = MONDAY + (first + i) * 20 * 60_000
    const at = { thread: thread % on.engines.length }
    const told = on.predict(`id-${first + i}`, score / 20, now, { ...at, group })
    return label === null ? told : [...told, on.label(`id-${of % (first + i + 1)}`, label, now, at)]
  })
}

const OPTIONS: Options = { threads: 3, maxIds: IDS, setup: { groups: ['b'], keep: DAY, span: 6 * HOUR } }

describe('labels go on after a restart', () => {
  test.each(['first', 'last'] as const)('as if there had been none, with another number of threads (duplicates: %s)', (duplicates) => {
    fc.assert(
      fc.property(Events, Events, (before, after) => {
        const [stays, old, young] = [{ threads: 3 }, { threads: 3 }, { threads: 2 }].map((more) => stand({ ...OPTIONS, ...more, setup: { ...OPTIONS.setup, duplicates } })) as [ReturnType<typeof stand>, ReturnType<typeof stand>, ReturnType<typeof stand>]
        run(stays, before, 0)
        run(old, before, 0)
        const now = MONDAY + (before.length - 1) * 20 * 60_000
        carry(sectionsOf(old, now), sectionsOf(young, now, 1))
        expect(young.review.page(now)).toEqual(stays.review.page(now))
        expect(run(young, after, before.length)).toEqual(run(stays, after, before.length))
        const later = now + after.length * 20 * 60_000
        expect(young.review.page(later)).toEqual(stays.review.page(later))
        expect(young.engines[0]!.ids(later)).toEqual(stays.engines[0]!.ids(later))
      }),
      { numRuns: 30 },
    )
  })

  test('what was too long ago by then is left out', () => {
    const [old, young] = [stand(OPTIONS), stand(OPTIONS)]
    old.predict('a', 0.5, MONDAY)
    old.predict('b', 0.5, MONDAY + 12 * HOUR)
    const now = MONDAY + DAY + 5 * HOUR
    carry(sectionsOf(old, MONDAY + 12 * HOUR), sectionsOf(young, now))
    expect(young.engines[0]!.ids(now)).toEqual({ waiting: 1, labelled: 0 })
    expect(young.label('a', 1, now)).toBe('unknown')
    expect(young.label('b', 1, now)).toBe('accepted')
    expect(Object.values(young.review.coverage(now)).reduce((sum, { predicted }) => sum + predicted, 0)).toBe(1)
  })

  test('windows that ended meanwhile are judged, and an alarm that was on is not raised again', () => {
    const judged: Options = { ...OPTIONS, judge: { limits: { accuracy: { min: 0.9 } }, least: 10, span: 6 * HOUR } }
    const fill = (on: ReturnType<typeof stand>, at: number): void => {
      for (let i = 0; i < 50; i++) {
        on.predict(`${at} ${i}`, 0.9, at)
        on.label(`${at} ${i}`, 0, at)
      }
    }
    const old = stand(judged)
    fill(old, MONDAY)
    const first = stand(judged)
    carry(sectionsOf(old, MONDAY + 1), sectionsOf(first, MONDAY + 3 * HOUR))
    expect(first.review.advance(MONDAY + 3 * HOUR).map(({ time, kind }) => [time, kind])).toEqual([[MONDAY + HOUR, 'quality']])
    fill(first, MONDAY + 3 * HOUR)
    const second = stand(judged)
    carry(sectionsOf(first, MONDAY + 3 * HOUR), sectionsOf(second, MONDAY + 4 * HOUR))
    expect(second.review.advance(MONDAY + 4 * HOUR)).toEqual([])
    expect([...second.active.values()].map(({ since }) => since)).toEqual([MONDAY + HOUR])
  })
})

test('what is copied while other threads write is of one id each', { timeout: 20_000 }, async () => {
  const ids = 4096
  const memory = new SharedArrayBuffer(idBytes(ids, 2))
  // Two scores that belong together, and to their time.
  const worker = new Worker(
    `const { workerData, parentPort } = require('node:worker_threads')
     import(workerData.ids).then(({ WaitingIds }) => {
       const table = new WaitingIds(workerData.memory, workerData.count, 2, 1e9)
       parentPort.postMessage('on')
       for (let i = 1; ; i++) table.insert('id-' + i, i, i % 64, [i, -i], 0, i)
     })`,
    { eval: true, workerData: { ids: new URL('../../../gateway/monitor/quality/ids.ts', import.meta.url).href, memory, count: ids } },
  )
  try {
    await new Promise((on) => worker.once('message', on))
    let found = 0
    while (found < 100_000) {
      const copy = new SharedArrayBuffer(idBytes(ids, 2))
      for (const frame of framesOf(tableOf(memory, ids, 2), 0)) takeFrame(tableOf(copy, ids, 2), copied(frame), 0)
      const { states, values } = tableOf(copy, ids, 2)
      const read = new WaitingIds(copy, ids, 2, 1e9)
      const scores = new Float64Array(2)
      for (let at = 0; at < states.length; at++) {
        if (states[at] === 0) continue
        found++
        const time = values[at * 4]!
        expect(read.peek(`id-${time}`, scores, 0)).toBe(true)
        if (scores[0] !== time || scores[1] !== -time || ((states[at]! >> 3) & 63) !== time % 64) throw new Error(`${time}: ${scores.join()} ${states[at]}`)
      }
    }
  } finally {
    await worker.terminate()
  }
})
