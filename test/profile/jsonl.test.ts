/** JSON Lines: what is there, what is null and what is absent; the words of Python's json module. */
import { gzipSync } from 'node:zlib'
import fc from 'fast-check'
import { describe, expect, it, test } from 'vitest'
import { file, jsonl, read } from './setup.ts'

const rowsOf = async (text: string) => (await read(file('a.jsonl', text))).rows

it.each([
  ['null, absent and empty are three things', '{"a":null}\n{}\n{"a":""}\n', [{ a: null }, {}, { a: '' }]],
  ['columns come as they are met', '{"a":1}\n{"b":2}\n{"a":3,"b":4}\n', [{ a: 1 }, { b: 2 }, { a: 3, b: 4 }]],
  ['booleans and texts', '{"a":true,"b":"x\\ny"}\n', [{ a: true, b: 'x\ny' }]],
  ['NaN and Infinity, which Python writes', '{"a":NaN,"b":-Infinity,"c":"NaN, Infinity","d":[NaN,1]}\n', [{ a: NaN, b: -Infinity, c: 'NaN, Infinity', d: [NaN, 1] }]],
  ['whole numbers beyond 2^53 stay exact', '{"a":9007199254740993,"b":1234567890123456,"c":1.5}\n', [{ a: 9007199254740993n, b: 1234567890123456, c: 1.5 }]],
  ['objects become columns with dots', '{"user":{"age":30,"tags":["a","b"],"at":{"x":1}}}\n', [{ 'user.age': 30, 'user.tags': ['a', 'b'], 'user.at.x': 1 }]],
  ['empty lines and carriage returns', '\n{"a":1}\r\n \n{"a":2}', [{ a: 1 }, { a: 2 }]],
  ['a byte order mark', '\uFEFF{"a":1}\n', [{ a: 1 }]],
  ['an empty file', '', []],
  ['a key called __proto__', '{"__proto__":1}\n', [Object.fromEntries([['__proto__', 1]])]],
])('%s', async (_name, text, rows) => {
  expect(await rowsOf(text)).toEqual(rows)
})

test('packed, and more rows than a batch', async () => {
  const rows = Array.from({ length: 10_000 }, (_, i) => ({ i, odd: i % 2 === 1 }))
  expect((await read(file('a.jsonl.gz', gzipSync(jsonl(rows))))).rows).toEqual(rows)
})

describe('bad files', () => {
  it.each([
    ['no JSON', '{"a":1}\n{a:2}\n{"a":3}\n', ':2: expected one JSON object, found "{a:2}"'],
    ['a number', '5\n', ':1: expected one object a line (JSONL), found 5'],
    ['an array', '[{"a":1}]\n', ':1: expected one object a line (JSONL), found an array; `jq -c ".[]"` makes lines of it'],
    ['objects in a list', '{"a":[{"b":1}]}\n', ':1, column "a": expected a list of numbers, texts or booleans, found objects in it; leave the column out with --columns'],
    ['lists in a list', '{"a":[[1]]}\n', ':1, column "a": expected a list of numbers, texts or booleans, found lists in it; leave the column out with --columns'],
  ])('%s', async (_name, text, message) => {
    const path = file('a.jsonl', text)
    await expect(read(path)).rejects.toThrow(path + message)
  })

  test('a last line that broke off is left out and told', async () => {
    const { table, rows } = await read(file('a.jsonl', '{"a":1}\n{"a":'))
    expect(rows).toEqual([{ a: 1 }])
    expect(table.notes).toEqual([expect.stringContaining(':2: the last line broke off; it was left out')])
  })

  test('keys that are data', async () => {
    await expect(rowsOf(`${JSON.stringify(Object.fromEntries(Array.from({ length: 10_001 }, (_, i) => [`k${i}`, 1])))}\n`)).rejects.toThrow('expected at most 10000 columns')
  })
})

test('only the columns that were asked for', async () => {
  expect((await read(file('a.jsonl', '{"a":1,"b":2}\n{"b":3,"c":4}\n'), { columns: ['b', 'c'] })).rows).toEqual([{ b: 2 }, { b: 3, c: 4 }])
})

test('a column that cannot be read may be left out, and one within an object be chosen', async () => {
  const path = file('a.jsonl', '{"a":1,"items":[{"x":1}],"user":{"age":3,"name":"n"}}\n')
  expect((await read(path, { columns: ['a', 'user.age'] })).rows).toEqual([{ a: 1, 'user.age': 3 }])
})

test('flat objects are read as JSON.parse reads them', async () => {
  const value = fc.oneof(fc.double({ noDefaultInfinity: true, noNaN: true, noInteger: true }), fc.integer(), fc.string(), fc.boolean(), fc.constant(null), fc.array(fc.integer(), { maxLength: 3 }))
  await fc.assert(fc.asyncProperty(fc.array(fc.dictionary(fc.string({ minLength: 1, maxLength: 3 }), value, { maxKeys: 4 }), { maxLength: 20 }), async (rows) => {
    const text = jsonl(rows)
    expect(await rowsOf(text)).toEqual(text.split('\n').slice(0, -1).map((line) => JSON.parse(line) as unknown))
  }), { numRuns: 50 })
})
