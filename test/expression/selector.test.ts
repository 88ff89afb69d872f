import { describe, expect, test } from 'vitest'
import { Answer, Leg } from '../../gateway/exchange.ts'
import { compileCondition } from '../../gateway/expression/condition.ts'
import { checkSelector, compileSelector } from '../../gateway/expression/selector.ts'
import { makeBackend, makeExchange, type RequestInit } from '../plugin_test.ts'
import { columnsFormat } from './columns_format.ts'

function read(text: string, init: RequestInit): string | undefined {
  const backend = makeBackend('b', () => new Answer(200, [], null))
  return compileSelector(text).read(makeExchange(init, { name: 'r', format: null, maxBodyBytes: 0 }, new Leg(backend)))
}

describe('selectors', () => {
  test('header: without case, hyphens allowed, the first one counts', () => {
    expect(read('header.X-User-Id', { headers: ['x-uSer-id', 'a', 'X-User-Id', 'b'] })).toBe('a')
    expect(read('header.x-user-id', {})).toBeUndefined()
    expect(read('header.x-user-id', { headers: ['x-user-id', ''] })).toBe('')
  })

  test('query: decoded as a form, the first one counts, names with dots', () => {
    expect(read('query.q', { target: '/p?a=1&q=x+y%2F%C3%A9&q=2' })).toBe('x y/é')
    expect(read('query.a.b', { target: '/p?a.b=7' })).toBe('7')
    expect(read('query.q', { target: '/p' })).toBeUndefined()
  })

  test('cookie: among several, spaces and quotes around it gone', () => {
    const headers = ['cookie', 'a=1; sid="v=w"; b=2', 'cookie', 'late=3']
    expect(read('cookie.sid', { headers })).toBe('v=w')
    expect(read('cookie.late', { headers })).toBe('3')
    expect(read('cookie.si', { headers })).toBeUndefined()
  })

  test('client, path, method', () => {
    expect(read('client.ip', { address: '2001:db8::1' })).toBe('2001:db8::1')
    expect(read('client.ip', { address: '' })).toBeUndefined()
    expect(read('path', { target: '/a%20b?c' })).toBe('/a%20b')
    expect(read('method', { method: 'PUT' })).toBe('PUT')
  })

  test('columns: the first row, 64-bit integers exact, half floats by IEEE 754', () => {
    const format = columnsFormat([
      { name: 'user', dtype: 'INT64', shape: [2], data: new BigInt64Array([9007199254740993n, 1n]) },
      { name: 'name', dtype: 'BYTES', shape: [1], data: ['ann'] },
      { name: 'yes', dtype: 'BOOL', shape: [1], data: new Uint8Array([1]) },
      // 0x3C01 = 1 + 2⁻¹⁰ in binary16, 0x3FC0 = 1.5 in bfloat16 (IEEE 754; hand arithmetic)
      { name: 'half', dtype: 'FP16', shape: [1], data: new Uint16Array([0x3c01]) },
      { name: 'brain', dtype: 'BF16', shape: [1], data: new Uint16Array([0x3fc0]) },
      { name: 'none', dtype: 'FP32', shape: [0], data: new Float32Array() },
    ])
    const leg = new Leg(makeBackend('b', () => new Answer(200, [], null)))
    const x = makeExchange({ body: '{}' }, { name: 'r', format, maxBodyBytes: 0 }, leg)
    const value = (text: string) => compileSelector(text).read(x)
    expect(value('input.user')).toBe('9007199254740993')
    expect(value('input.name')).toBe('ann')
    expect(value('input.yes')).toBe('true')
    expect(value('input.half')).toBe('1.0009765625')
    expect(value('input.brain')).toBe('1.5')
    expect(value('input.none')).toBeUndefined()
    expect(value('input.other')).toBeUndefined()
    x.answer = new Answer(200, [], Buffer.from('{}'))
    expect(value('output.name')).toBe('ann')
  })

  test('what is null of texts is no value; of numbers it is NaN', () => {
    const format = columnsFormat([
      { name: 's', dtype: 'BYTES', shape: [1], data: [''], nulls: Uint8Array.of(1) },
      { name: 'n', dtype: 'FP64', shape: [1], data: Float64Array.of(Number.NaN), nulls: Uint8Array.of(1) },
    ])
    const x = makeExchange({ body: '{}' }, { name: 'r', format, maxBodyBytes: 0 }, new Leg(makeBackend('b', () => new Answer(200, [], null))))
    expect(['input.s', 'input.n'].map((text) => compileSelector(text).read(x))).toEqual([undefined, 'NaN'])
    const test = (text: string) => compileCondition(text).test(x)
    expect(['input.s == null', 'input.s == ""', 'input.s == "x"', 'has(input.s)'].map(test)).toEqual([true, false, false, true])
  })

  test('a body that cannot be read has no columns', () => {
    expect(read('input.user', { body: 'x' })).toBeUndefined()
  })

  test('only input needs the request body', () => {
    expect(compileSelector('input.a').body).toBe(true)
    expect(compileSelector('output.a').body).toBe(false)
    expect(compileSelector('header.input').body).toBe(false)
  })

  test.each([
    ['headers.x-user-id', 'did you mean `header`?'],
    ['cookies.a', 'did you mean `cookie`?'],
    ['user', 'expected one of header, query, cookie, input, output, client, path, method'],
    ['header', 'write it behind a dot, such as `header.x-user-id`'],
    ['header.', 'write it behind a dot'],
    ['header.a b', 'cannot be the name of a header'],
    ['client.port', 'only `client.ip`'],
    ['path.a', 'expected one of'],
    ['', 'expected one of'],
  ])('%s is refused', (text, complaint) => {
    expect(checkSelector(text)).toContain(complaint)
    expect(() => compileSelector(text)).toThrow(complaint)
  })
})
