/** The models the bench makes where there are none. */
import * as ort from 'onnxruntime-node'
import { afterAll, afterEach, expect, test, vi } from 'vitest'
import { slowModel, WIDTH } from '../../bench/graphs.ts'
import { temporary } from '../models/setup.ts'

const folder = temporary()
afterAll(folder.remove)
afterEach(() => vi.unstubAllEnvs())

test.each(['slow', 'heavy'] as const)('without test data, a model like `%s` is made: rows of its width in, one finite number a row out', async (name) => {
  vi.stubEnv('WEIR_TEST_DATA', undefined)
  const session = await ort.InferenceSession.create(slowModel(name, folder.path).file)
  const row = Float32Array.from({ length: WIDTH[name] }, (_, i) => Math.sin(i))
  const { score } = await session.run({ features: new ort.Tensor('float32', Float32Array.of(...row, ...row), [2, WIDTH[name]]) })
  const [first, second] = score!.data as Float32Array
  expect(score!.dims).toEqual([2, 1])
  expect(Math.abs(first!)).toBeGreaterThan(1e-6)
  expect(Math.abs(first!)).toBeLessThan(1e6)
  expect(Math.abs(first! - second!)).toBeLessThanOrEqual(1e-3 * Math.abs(first!))
  await session.release()
})
