/** The native half of onnxruntime-node, which is no public interface. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import ort from 'onnxruntime-node'
import { afterEach, expect, test, vi } from 'vitest'
import { systemClock } from '../../gateway/clock.ts'
import { fixtures } from './setup.ts'

const MODEL = join(fixtures, 'cancer/1/model.onnx')
const BINDING = 'onnxruntime-node/dist/binding.js'
/** Four rows that are not alike. */
const rows = Float32Array.from({ length: 120 }, (_, i) => Math.sin(i))

afterEach(() => {
  vi.doUnmock(BINDING)
  vi.resetModules()
})

async function openSession(): Promise<Awaited<ReturnType<typeof import('../../gateway/models/onnx/session.ts').openSession>>> {
  const { openSession } = await import('../../gateway/models/onnx/session.ts')
  return openSession(MODEL, systemClock)
}

test('the version is exact', () => {
  const { dependencies } = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')) as { dependencies: Record<string, string> }
  expect(dependencies['onnxruntime-node']).toMatch(/^\d+\.\d+\.\d+$/)
})

test.each([
  ['nothing', undefined],
  ['no session', { initOrtOnce: vi.fn<() => void>() }],
  ['no beginning', { InferenceSession: class {} }],
  ['a session of other methods', { initOrtOnce: vi.fn<() => void>(), InferenceSession: class { loadModel(): void {} dispose(): void {} } }],
  ['a session that tells nothing of its tensors', { initOrtOnce: vi.fn<() => void>(), InferenceSession: class { loadModel(): void {} run(): void {} dispose(): void {} } }],
])('another one is told of: %s', async (_what, binding) => {
  vi.resetModules()
  vi.doMock(BINDING, () => ({ binding }))
  await expect(openSession()).rejects.toThrow('onnxruntime-node is not of the version that weir was made for')
})

test('gives what the package gives, before it is used in the same thread and after', async () => {
  const session = await openSession()
  const run = (): Record<string, number[]> => Object.fromEntries(session.run([{ name: 'features', dtype: 'FP32', shape: [4, 30], data: rows }], ['probabilities', 'label']).columns.map(({ name, data }) => [name, Array.from(data as ArrayLike<number>, Number)]))
  const before = run()
  const theirs = await ort.InferenceSession.create(MODEL, { intraOpNumThreads: 1 })
  const results = await theirs.run({ features: new ort.Tensor('float32', rows, [4, 30]) })
  const expected = Object.fromEntries(Object.entries(results).map(([name, tensor]) => [name, Array.from(tensor.data as ArrayLike<number>, Number)]))
  expect(before).toEqual(expected)
  expect(run()).toEqual(expected)
  await theirs.release()
  session.close()
})
