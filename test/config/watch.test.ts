import { mkdirSync, mkdtempSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, expect, test, vi } from 'vitest'
import { type ConfigWatch, watchConfig } from '../../config/watch.ts'
import { systemClock } from '../../gateway/clock.ts'

const open: ConfigWatch[] = []
afterEach(() => open.splice(0).forEach((watch) => watch.close()))

function start(): { dir: string; file: string } {
  const dir = mkdtempSync(join(tmpdir(), 'weir-watch-'))
  const file = join(dir, 'weir.yaml')
  writeFileSync(file, 'one')
  return { dir, file }
}

function watching(file: string): () => number {
  let changes = 0
  open.push(watchConfig(file, systemClock, () => changes++))
  return () => changes
}

/** Longer than settling twice. */
const quiet = () => new Promise((resolve) => setTimeout(resolve, 500))
const reach = (changes: () => number, wanted: number) => vi.waitFor(() => expect(changes()).toBe(wanted), { timeout: 10_000, interval: 20 })

test('written in place, twice', async () => {
  const { file } = start()
  const changes = watching(file)
  writeFileSync(file, 'two')
  await reach(changes, 1)
  writeFileSync(file, 'three')
  await reach(changes, 2)
})

test('replaced by rename', async () => {
  const { dir, file } = start()
  const changes = watching(file)
  for (const [i, text] of ['two', 'three'].entries()) {
    writeFileSync(join(dir, '.new'), text)
    renameSync(join(dir, '.new'), file)
    await reach(changes, i + 1)
  }
})

test('a swapped link, as Kubernetes mounts a ConfigMap', async () => {
  const dir = mkdtempSync(join(tmpdir(), 'weir-watch-'))
  const put = (name: string, text: string) => {
    mkdirSync(join(dir, name))
    writeFileSync(join(dir, name, 'weir.yaml'), text)
    symlinkSync(name, join(dir, '..data_tmp'))
    renameSync(join(dir, '..data_tmp'), join(dir, '..data'))
  }
  put('..2026_1', 'one')
  symlinkSync(join('..data', 'weir.yaml'), join(dir, 'weir.yaml'))
  const changes = watching(join(dir, 'weir.yaml'))
  put('..2026_2', 'two')
  await reach(changes, 1)
  rmSync(join(dir, '..2026_1'), { recursive: true })
  put('..2026_3', 'three')
  await reach(changes, 2)
})

test('a link into another folder', async () => {
  const real = start()
  const dir = mkdtempSync(join(tmpdir(), 'weir-watch-'))
  symlinkSync(real.file, join(dir, 'weir.yaml'))
  const changes = watching(join(dir, 'weir.yaml'))
  await quiet()
  writeFileSync(real.file, 'two')
  await reach(changes, 1)
})

test('no change of content is no change', async () => {
  const { dir, file } = start()
  const changes = watching(file)
  writeFileSync(file, 'one')
  writeFileSync(join(dir, 'other'), 'x')
  writeFileSync(join(dir, '.new'), 'one')
  renameSync(join(dir, '.new'), file)
  await quiet()
  expect(changes()).toBe(0)
})

test('absent for a while', async () => {
  const { file } = start()
  const changes = watching(file)
  rmSync(file)
  await quiet()
  expect(changes()).toBe(0)
  writeFileSync(file, 'two')
  await reach(changes, 1)
})

test('many writes in a row settle into few changes, the last content included', async () => {
  const { file } = start()
  const changes = watching(file)
  for (let i = 0; i < 20; i++) writeFileSync(file, `text ${i}`)
  await reach(changes, 1)
  await quiet()
  expect(changes()).toBe(1)
})

test('closed twice, it says nothing more', async () => {
  const { file } = start()
  const changes = watching(file)
  open[0]!.close()
  open[0]!.close()
  writeFileSync(file, 'two')
  await quiet()
  expect(changes()).toBe(0)
})
