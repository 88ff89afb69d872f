/** What is loaded is loaded once, and let go of when nobody has it. */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import type { LoadRequest, Loaded } from '../../gateway/models/repository/library.ts'
import { lookAt } from '../../gateway/models/repository/folder.ts'
import { FakeClock } from '../fake_clock.ts'
import { fakeLibrary } from './fake_pool.ts'
import { temporary } from './setup.ts'

let folder: ReturnType<typeof temporary>
let clock: FakeClock
let made: ReturnType<typeof fakeLibrary>
beforeEach(() => {
  folder = temporary()
  clock = new FakeClock(5000)
  made = fakeLibrary(clock)
})
afterEach(() => folder.remove())

async function request(text: string, more: Partial<LoadRequest> = {}): Promise<LoadRequest> {
  const file = join(folder.path, 'model.onnx')
  writeFileSync(file, text)
  return { file, fingerprint: (await lookAt(file)).fingerprint, placement: 'auto', batching: null, ...more }
}

test('the same file in the same way is loaded once, also at the same time', async () => {
  const { library, pool } = made
  const wish = await request('good')
  const [a, b] = (await Promise.all([library.take(wish), library.take({ ...wish })])) as [Loaded, Loaded]
  expect(a).toBe(b)
  expect(a).toMatchObject({ placement: 'inline', bytes: 4, load_ms: 2, loaded_at: 5000 })
  expect([pool.loads.length, library.loads, library.size]).toEqual([1, 1, 1])
  await library.giveBack(a)
  expect(pool.open.size).toBe(1)
  await library.giveBack(b)
  expect([pool.open.size, library.size]).toEqual([0, 0])
})

test.each([
  ['a changed file', 'better', {}],
  ['another placement', 'good', { placement: 'thread' }],
  ['other batching', 'good', { batching: { max_rows: 8, max_wait_ms: 1 } }],
] as const)('%s is another load', async (_title, text, more) => {
  const { library, pool } = made
  const first = (await library.take(await request('good'))) as Loaded
  const second = (await library.take(await request(text, more))) as Loaded
  expect(second.id).not.toBe(first.id)
  await library.giveBack(first)
  expect([...pool.open]).toEqual([second.id])
})

test('a failure is not shared with whoever comes later', async () => {
  const { library, pool } = made
  const wish = await request('bad')
  expect(await library.take(wish)).toEqual({ error: expect.stringContaining('no good'), load_ms: 1 })
  await library.take(wish)
  expect([pool.loads.length, library.size]).toEqual([2, 0])
})

test('a file that changes while it is loaded is not what was asked for', async () => {
  const { library, pool } = made
  const wish = await request('good')
  pool.during = async () => writeFileSync(wish.file, 'longer')
  expect(await library.take(wish)).toEqual({ error: 'it changed while it was being loaded', load_ms: 2 })
  expect([pool.open.size, library.size]).toEqual([0, 0])
})

test('one that ends its threads is told of, and loaded anew when somebody asks again', async () => {
  const { library, pool } = made
  const wish = await request('good')
  const first = (await library.take(wish)) as Loaded
  pool.unavailable(first.id, 'its runs ended an inference thread 3 times in a row')
  expect(library.unavailable(first)).toBe('its runs ended an inference thread 3 times in a row')
  const second = (await library.take(wish)) as Loaded
  expect(second.id).not.toBe(first.id)
  expect(library.unavailable(second)).toBeNull()
  await library.giveBack(first)
  await library.giveBack(second)
  expect([pool.open.size, library.size]).toEqual([0, 0])
})

test('the inference threads may rest a while after the last load, and are not told so while one is under way', async () => {
  const { library, pool } = made
  await library.take(await request('good'))
  clock.advance(9_000)
  const gate = Promise.withResolvers<void>()
  pool.during = () => gate.promise
  const loading = library.take(await request('better'))
  clock.advance(60_000)
  expect(pool.rests).toBe(0)
  gate.resolve()
  await loading
  clock.advance(10_000)
  expect(pool.rests).toBe(1)
  await library.take(await request('best'))
  await library.close()
  expect(clock.pending).toBe(0)
})
