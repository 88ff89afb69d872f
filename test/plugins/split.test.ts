import { afterEach, describe, expect, test, vi } from 'vitest'
import { reply } from '../../gateway/exchange.ts'
import { choose } from '../../gateway/stats/choose.ts'
import split from '../../plugins/split.ts'
import { columnsFormat } from '../expression/columns_format.ts'
import { type Bench, pluginTest } from '../plugin_test.ts'

const backends = { v1: () => reply(200, 'v1'), v2: () => reply(200, 'v2'), v3: () => reply(200, 'v3') }

/** Mulberry32: a random source of the test's own. */
function seeded(seed: number): () => number {
  let state = seed
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let t = Math.imul(state ^ (state >>> 15), 1 | state)
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296
  }
}

afterEach(() => {
  vi.restoreAllMocks()
})

async function counts(bench: Bench, requests: number, init: (i: number) => object): Promise<Record<string, number>> {
  const found: Record<string, number> = {}
  for (let i = 0; i < requests; i++) {
    const { body } = await bench.run(init(i))
    found[body] = (found[body] ?? 0) + 1
  }
  return found
}

describe('split', () => {
  test('at random: shares as the weights say (chi-square, 99.9 % quantile of one degree 10.83)', async () => {
    vi.spyOn(Math, 'random').mockImplementation(seeded(7))
    const bench = await pluginTest(split, { arms: { v1: 90, v2: 10 } }, { backends })
    const { v1 = 0, v2 = 0 } = await counts(bench, 4000, () => ({}))
    expect((v1 - 3600) ** 2 / 3600 + (v2 - 400) ** 2 / 400).toBeLessThan(10.83)
    expect(bench.metric('weir_split_total', { route: 'test', arm: 'v1' })).toBe(v1)
    expect(bench.metric('weir_split_total', { route: 'test', arm: 'v2' })).toBe(v2)
  })

  test('sticky: the same user the same arm, shares as the weights say', async () => {
    const bench = await pluginTest(split, { by: 'header.x-user-id', arms: { v1: 70, v2: 30 } }, { backends })
    const found = await counts(bench, 2000, (i) => ({ headers: ['x-user-id', `user ${i}`] }))
    expect((found['v1']! - 1400) ** 2 / 1400 + (found['v2']! - 600) ** 2 / 600).toBeLessThan(10.83)
    for (let i = 0; i < 20; i++) {
      const once = await bench.run({ headers: ['x-user-id', `user ${i}`] })
      const again = await bench.run({ headers: ['x-user-id', `user ${i}`] })
      expect([again.body, again.x.arm, again.answer.backend]).toEqual([once.body, once.body, once.body])
    }
  })

  test('raising a share moves nobody who was in', async () => {
    const at = async (share: number): Promise<string[]> => {
      const bench = await pluginTest(split, { by: 'header.x-user-id', arms: { v1: 100 - share, v2: share } }, { backends })
      const bodies: string[] = []
      for (let i = 0; i < 300; i++) bodies.push((await bench.run({ headers: ['x-user-id', `user ${i}`] })).body)
      return bodies
    }
    const [five, twenty] = [await at(5), await at(20)]
    expect(five.filter((body) => body === 'v2').length).toBeGreaterThan(0)
    five.forEach((body, i) => body === 'v2' && expect(twenty[i]).toBe('v2'))
    expect(twenty.filter((body) => body === 'v2').length).toBeGreaterThan(five.filter((body) => body === 'v2').length)
  })

  test('the salt is the name of the route unless another is given', async () => {
    const arms = [{ name: 'v1', weight: 1 }, { name: 'v2', weight: 1 }]
    for (const [options, salt] of [[{}, 'fraud'], [{ salt: 'spring' }, 'spring']] as const) {
      const bench = await pluginTest(split, { by: 'query.u', arms: { v1: 1, v2: 1 }, ...options }, { backends, route: 'fraud' })
      for (let i = 0; i < 30; i++) expect((await bench.run({ target: `/?u=${i}` })).x.arm).toBe(arms[choose(arms, salt, String(i))]!.name)
    }
  })

  test('without the unit: at random, or in the default arm, even one that is switched off', async () => {
    vi.spyOn(Math, 'random').mockReturnValue(0.99)
    const random = await pluginTest(split, { by: 'header.x-user-id', arms: { v1: 50, v2: 50 } }, { backends })
    expect((await random.run()).x.arm).toBe('v2')
    const home = await pluginTest(split, { by: 'header.x-user-id', arms: { v1: 50, v2: 50, v3: 0 }, default: 'v3' }, { backends })
    expect((await home.run()).x.arm).toBe('v3')
  })

  test('an arm of weight 0 gets nothing', async () => {
    const bench = await pluginTest(split, { by: 'header.x-user-id', arms: { v1: 1, v2: 0 } }, { backends })
    expect(await counts(bench, 200, (i) => ({ headers: ['x-user-id', `${i}`] }))).toEqual({ v1: 200 })
  })

  test('a unit in the body makes the body whole first', async () => {
    const format = columnsFormat([{ name: 'user', dtype: 'BYTES', shape: [1], data: ['a'] }])
    const bench = await pluginTest(split, { by: 'input.user', arms: { v1: 1, v2: 1 } }, { backends, format })
    expect([bench.route.request, bench.route.requestBody?.length]).toEqual([null, 1])
    expect((await bench.run({ body: '{}' })).x.arm).toMatch(/^v[12]$/)
  })

  test.each([
    [{ arms: { v1: 0, v2: 0 } }, 'sum to 0'],
    [{ arms: { v1: 1, v2: 1 }, default: 'v1' }, 'needs `by`'],
    [{ arms: { v1: 1, v2: 1 }, by: 'path', default: 'v3' }, 'not one of the arms: v1, v2'],
    [{ arms: { v1: 1, v9: 1 } }, 'backend "v9", which does not exist'],
  ])('%j is refused at load', async (options, complaint) => {
    await expect(pluginTest(split, options, { backends })).rejects.toThrow(complaint)
  })
})
