/** What of drift outlives the process, beside what `test/plugins/drift_memory.test.ts` shows of it. */
import { expect, test } from 'vitest'
import { bytesOf, DriftMonitor, layoutOf } from '../../../gateway/monitor/drift/monitor.ts'
import { Rates } from '../../../gateway/monitor/drift/rates.ts'
import { DriftState } from '../../../gateway/monitor/drift/state.ts'
import { timesOf } from '../../../gateway/monitor/drift/times.ts'
import { planOf } from '../../../gateway/monitor/drift/watched.ts'
import { numbers, profileOf, times as repeat } from './profiles.ts'
import { DAY, HOUR, MONDAY } from './world.ts'

const plan = planOf(profileOf({ amount: numbers(repeat(100, (i) => i)) }), new Map(), true)
const times = timesOf(HOUR, DAY)

function monitor(): DriftMonitor {
  const { part, history } = bytesOf(plan, times, 1)
  const mine = new SharedArrayBuffer(part)
  const options = { budget: 1, persistence: 1, share: 0.01, fence: null, model: null, compared: new Set([] as const) }
  return new DriftMonitor(plan, times, options, { mine, all: [mine], history: new SharedArrayBuffer(history) }, new DriftState(), { matrix: null, rates: new Rates(plan, times, ['traffic', 'errors'], 1) })
}

test('what is summed while a save goes on takes the save back', () => {
  const on = monitor()
  const [cells, rates] = on.memory('r').sections as [ReturnType<DriftMonitor['memory']>['sections'][number], ReturnType<DriftMonitor['memory']>['sections'][number]]
  on.unreadable(MONDAY)
  on.tick(MONDAY + 2 * HOUR)
  expect([...cells.frames(), ...rates.frames()].every((frame) => frame !== null)).toBe(true)
  const frames = cells.frames()[Symbol.iterator]()
  expect(frames.next().value).not.toBe(null)
  on.tick(MONDAY + 3 * HOUR)
  expect(frames.next().value).toBe(null)
  // In between the sections, too.
  expect([...cells.frames()].includes(null)).toBe(false)
  on.tick(MONDAY + 4 * HOUR)
  expect([...rates.frames()]).toEqual([null, null])
})

test('a text that changes with whatever is counted, and when a window ends', () => {
  const on = monitor()
  const { version } = on.memory('r')
  const seen = new Set([version()])
  const events: (() => unknown)[] = [() => on.unreadable(MONDAY), () => on.exchange(1, false, MONDAY), () => on.exchange(1, true, MONDAY + HOUR), () => on.scored(0, 1, MONDAY + HOUR), () => on.tick(MONDAY + 2 * HOUR), () => on.tick(MONDAY + 3 * HOUR)]
  for (const event of events) {
    event()
    seen.add(version())
  }
  expect(seen.size).toBe(events.length + 1)
  expect(version()).toBe(version())
})

test('memory of other columns or times is another one', () => {
  const other = planOf(profileOf({ amount: numbers(repeat(100, (i) => 2 * i)) }), new Map(), true)
  expect(new Set([layoutOf(plan, times), layoutOf(other, times), layoutOf(plan, timesOf(HOUR, 7 * DAY)), layoutOf(plan, timesOf(HOUR / 2, DAY))]).size).toBe(4)
})
