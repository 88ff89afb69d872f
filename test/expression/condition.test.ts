import { describe, expect, test } from 'vitest'
import { Answer, Leg } from '../../gateway/exchange.ts'
import { checkCondition, compileCondition } from '../../gateway/expression/condition.ts'
import type { Column } from '../../gateway/payload/columns.ts'
import { makeBackend, makeExchange, type RequestInit } from '../plugin_test.ts'
import { columnsFormat } from './columns_format.ts'

const columns: readonly Column[] = [
  { name: 'amount', dtype: 'FP64', shape: [1], data: new Float64Array([100.5]) },
  { name: 'n', dtype: 'FP64', shape: [1], data: new Float64Array([2]) },
  { name: 'id', dtype: 'INT64', shape: [1], data: new BigInt64Array([9007199254740993n]) },
  { name: 'name', dtype: 'BYTES', shape: [1], data: ['Ann Lee'] },
  { name: 'flag', dtype: 'BOOL', shape: [1], data: new Uint8Array([1]) },
  { name: 'scores', dtype: 'FP32', shape: [1, 3], data: new Float32Array([0.5, 1, 2]) },
]

function holds(text: string, init: RequestInit = {}): boolean {
  const backend = makeBackend('b', () => new Answer(200, [], null))
  const x = makeExchange({ body: '{}', ...init }, { name: 'r', format: columnsFormat(columns), maxBodyBytes: 0 }, new Leg(backend))
  x.answer = new Answer(200, [], Buffer.from('{}'))
  return compileCondition(text).test(x)
}

describe('numbers', () => {
  test.each([
    'input.amount > 100',
    '100 < input.amount',
    'input.n == 2',
    '2 == input.n',
    'input.n != 3',
    'input.n + 1 > 2',
    '1 + input.n == 3',
    'input.n - 1 == 1',
    '5 - input.n == 3',
    'input.n * 2 == 4',
    '3 * input.n == 6',
    'input.n / 4 == 0.5',
    '1 / input.n == 0.5',
    'input.n % 2 == 0',
    '5 % input.n == 1',
    'input.amount % 1 == 0.5',
    '1 + 1.5 == 2.5',
    '1.5 + 1 == 2.5',
    '2 == 2.0',
    '7 / 2 == 3',
    '-input.n < 0',
    'input.n in [1, 2]',
    'input.id == 9007199254740993',
    'input.id != 9007199254740992',
    'input.id > input.n',
    'input.id + 1 == 9007199254740994',
    'size(input.scores) == 3',
    'input.scores[2] == 2',
    'input.scores.exists(s, s > 1)',
    'input.scores.all(s, s > 0.25)',
    'output.amount >= 100.5',
    'input.flag && input.n > 1',
  ])('%s', (text) => {
    expect(checkCondition(text)).toBeNull()
    expect(holds(text)).toBe(true)
  })

  test.each(['input.amount > 101', 'input.n + 1 > 3', 'input.n / 4 == 0', 'input.id == 9007199254740992', '!input.flag', 'input.missing > 1', 'input.name > 1'])('not %s', (text) => {
    expect(holds(text)).toBe(false)
  })
})

describe('names', () => {
  const init: RequestInit = { method: 'POST', target: '/v2/a?q=1&q=2&r=x%20y', headers: ['X-Tier', 'gold', 'x-tier', 'lead', 'Cookie', 'a=1; b=2'], address: '192.0.2.7' }

  test.each([
    'header["x-tier"] == "gold"',
    'header["X-Tier"] == "gold"',
    '"x-tier" in header',
    '!("x-none" in header)',
    'has(header.cookie)',
    '!has(header.none) && "x-tier" in header',
    'header.cookie == "a=1; b=2" && "x-tier" in header',
    'query.q == "1" && query["r"] == "x y"',
    '"r" in query && !("s" in query)',
    'cookie.b == "2"',
    '"a" in cookie',
    'client.ip == "192.0.2.7"',
    'path == "/v2/a"',
    'method == "POST" || false',
    'path.startsWith("/v2/")',
    'header["x-none"] == "1" || method == "POST"',
    'cel.bind(t, header["x-tier"], t == "gold")',
    'input.name.matches("^Ann")',
    '["a1", "b"].exists(v, v.matches("^[a-z][0-9]$"))',
  ])('%s', (text) => {
    expect(checkCondition(text)).toBeNull()
    expect(holds(text, init)).toBe(true)
  })

  test('what is missing makes a condition false, names of Object.prototype too', () => {
    expect(holds('header["x-none"] != "a"', init)).toBe(false)
    expect(holds('"constructor" in header', init)).toBe(false)
    expect(holds('header["__proto__"] == "a"', init)).toBe(false)
  })

  test('only input needs the request body', () => {
    expect(compileCondition('input.a > 1').body).toBe(true)
    expect(compileCondition('header.a == "input.a"').body).toBe(false)
    expect(compileCondition('[1].exists(v, input.a > v)').body).toBe(true)
  })

  test('status is that of the answer, and nothing before there is one', () => {
    const condition = compileCondition('status >= 500')
    expect(condition.answer).toBe('head')
    const x = makeExchange(init, { name: 'r', format: null, maxBodyBytes: 0 }, new Leg(makeBackend('b', () => new Answer(200, [], null))))
    expect(condition.test(x)).toBe(false)
    x.answer = new Answer(503, [], null)
    expect(condition.test(x)).toBe(true)
    x.answer = new Answer(200, [], null)
    expect(condition.test(x)).toBe(false)
    expect(compileCondition('output.score > 0.5 && status == 200').answer).toBe('body')
    expect(compileCondition('method == "GET"').answer).toBe('none')
  })
})

describe('complaints', () => {
  test.each([
    ['header.x-user-id == "a"', 'column 1: `header.x-user-id` is read as a subtraction: write `header["x-user-id"]`'],
    ['method == "GET" && header.x-tier == "gold"', 'column 20: `header.x-tier` is read as a subtraction: write `header["x-tier"]`'],
    ['query.page-2 == "a"', 'write `query["page-2"]`'],
    ['input.user-id == 3', 'write `input["user-id"]`'],
    ['header.a +', 'column 11:'],
    ['headers["a"] == "b"', 'column 1: unknown name "headers"'],
    ['headers["a"] == "b"', 'did you mean `header`?'],
    ['path', 'gives a string, expected true or false'],
    ['header["a"] > 3', "no such overload"],
    ['path.matches(header["a"])', 'takes a literal pattern'],
    ['path.matches("(a")', 'column 14: `matches`: at character 2 of the pattern: a ( without its )'],
    [`path == "${'a'.repeat(5000)}"`, 'at most 4096'],
    [`${'('.repeat(40)}true${')'.repeat(40)}`, 'depth'],
    [Array.from({ length: 300 }, () => 'true').join(' || '), 'node'],
    ['', 'column 1:'],
  ])('%s', (text, complaint) => {
    expect(checkCondition(text)?.toLowerCase()).toContain(complaint.toLowerCase())
    expect(() => compileCondition(text)).toThrow()
  })

  test('a subtraction of columns is one', () => {
    expect(checkCondition('input.amount-input.n > 98')).toBeNull()
    expect(holds('input.amount-input.n > 98')).toBe(true)
    expect(holds('input.amount-1 == 99.5')).toBe(true)
  })
})
