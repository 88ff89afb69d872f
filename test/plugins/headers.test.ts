import { Check } from 'typebox/schema'
import { describe, expect, test } from 'vitest'
import { Answer, type Exchange } from '../../gateway/exchange.ts'
import headers from '../../plugins/headers.ts'
import { pluginTest } from '../plugin_test.ts'

async function requestHeaders(options: unknown, given: string[]): Promise<string[]> {
  let seen: string[] = []
  const main = (x: Exchange): Answer => {
    seen = [...x.headers]
    return new Answer(200, ['Server', 'model', 'X-Old', '1', 'x-old', '2'], null)
  }
  const bench = await pluginTest(headers, { request: options }, { backends: { main } })
  await bench.run({ headers: given })
  return seen
}

describe('changes', () => {
  test('set replaces the first and removes the others, keeping its place; a new one goes last', async () => {
    expect(await requestHeaders({ set: { 'x-a': 'new', 'X-New': '1' } }, ['X-A', '1', 'B', '2', 'x-a', '3'])).toEqual(['X-A', 'new', 'B', '2', 'X-New', '1'])
  })

  test('add goes behind what is there', async () => {
    expect(await requestHeaders({ add: { 'x-a': '2' } }, ['X-A', '1'])).toEqual(['X-A', '1', 'x-a', '2'])
  })

  test('remove takes all of a name, in any case', async () => {
    expect(await requestHeaders({ remove: ['X-a'] }, ['x-A', '1', 'B', '2', 'X-A', '3'])).toEqual(['B', '2'])
  })

  test('rename keeps values, order and place', async () => {
    expect(await requestHeaders({ rename: { 'X-Old': 'X-New' } }, ['x-old', '1', 'B', '2', 'X-OLD', '3'])).toEqual(['X-New', '1', 'B', '2', 'X-New', '3'])
  })

  test('in the order rename, remove, set, add', async () => {
    const options = { rename: { a: 'b' }, remove: ['b'], set: { c: '1' }, add: { c: '2' } }
    expect(await requestHeaders(options, ['a', 'x', 'b', 'y', 'c', 'z'])).toEqual(['c', '1', 'c', '2'])
  })

  test('the answer is changed, the request is not', async () => {
    const main = (): Answer => new Answer(200, ['Server', 'model', 'X-Old', '1'], null)
    const bench = await pluginTest(headers, { answer: { remove: ['server'], rename: { 'x-old': 'x-new' }, set: { 'cache-control': 'no-store' } } }, { backends: { main } })
    const { answer, x } = await bench.run({ headers: ['Server', 'kept'] })
    expect(answer.headers).toEqual(['x-new', '1', 'cache-control', 'no-store'])
    expect(x.headers).toEqual(['Server', 'kept'])
  })

  test('without changes there are no hooks', async () => {
    const { route } = await pluginTest(headers, {})
    expect([route.request, route.response]).toEqual([null, null])
    const { route: half } = await pluginTest(headers, { answer: { remove: ['x'] } })
    expect([half.request, half.response?.length]).toEqual([null, 1])
  })
})

describe('refused at load', () => {
  test.each([
    ['content-length', 'frames messages'],
    ['Transfer-Encoding', 'frames messages'],
    ['connection', 'one connection'],
    ['Host', '`host` of the backend'],
    ['expect', 'answers it itself'],
  ])('%s', async (name, reason) => {
    for (const options of [{ set: { [name]: 'a' } }, { add: { [name]: 'a' } }, { remove: [name] }, { rename: { [name]: 'x' } }, { rename: { x: name } }]) {
      await expect(pluginTest(headers, { answer: options })).rejects.toThrow(`\`answer\` cannot change "${name}": `)
      await expect(pluginTest(headers, { request: options })).rejects.toThrow(reason)
    }
  })

  const valid = (options: unknown): boolean => Check(headers.config, options)

  test.each(['a b', 'a:', '', 'a\n', 'é'])('a name that is no token: %j', (name) => {
    expect(valid({ request: { set: { [name]: 'x' } } })).toBe(false)
  })

  test.each(['a\r\nb: c', 'a\0', ' a', 'a ', '\ta', 'a\x7f', 'a😀'])('a value that is no field value: %j', (value) => {
    expect(valid({ request: { set: { a: value } } })).toBe(false)
  })

  test.each(['', 'a', 'a b\tc', 'é', '"q"'])('a value that is one: %j', (value) => {
    expect(valid({ request: { set: { a: value } } })).toBe(true)
  })
})
