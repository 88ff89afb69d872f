import { describe, expect, test } from 'vitest'
import { add, all, Fields, get, has, remove, set } from '../../gateway/headers.ts'

describe('flat header arrays', () => {
  test('are read without case, in order', () => {
    const headers = ['A', '1', 'b', '2', 'a', '3']
    expect([get(headers, 'a'), all(headers, 'a'), has(headers, 'c'), get(headers, 'c')]).toEqual(['1', ['1', '3'], false, undefined])
  })

  test('set changes the first, drops the others and keeps the name as sent', () => {
    const headers = ['A', '1', 'b', '2', 'a', '3', 'c', '4']
    set(headers, 'a', '9')
    expect(headers).toEqual(['A', '9', 'b', '2', 'c', '4'])
    set(headers, 'X-New', 'y')
    expect(headers.slice(-2)).toEqual(['X-New', 'y'])
  })

  test('remove says how many there were', () => {
    const headers = ['a', '1', 'b', '2', 'A', '3']
    expect(remove(headers, 'a')).toBe(2)
    expect(headers).toEqual(['b', '2'])
  })

  // U+010A is written as the byte 0x0A in latin1.
  test.each(['a\r\nb', 'a\nb', 'a\0', '\x7f', 'a\u010ab', '\u2028'])('a value with %j is no header field', (value) => {
    expect(() => set([], 'x-a', value)).toThrow(TypeError)
    expect(() => add([], 'x-a', value)).toThrow(TypeError)
  })

  test.each(['', 'a b', 'a:', 'é', 'a\n'])('%j is no name', (name) => expect(() => add([], name, 'v')).toThrow(TypeError))

  test('latin1 and tabs pass', () => {
    const headers: string[] = []
    add(headers, 'x-a', 'é\tb ÿ')
    expect(headers).toEqual(['x-a', 'é\tb ÿ'])
  })
})

describe('fields as the wire has them', () => {
  const block = 'Host: a.test\r\nX-A: 1\r\nx-A:  2 \r\nX: \r\nContent-Type: text/csv\r\n'

  test.each([
    ['host', 'a.test'],
    ['x-a', '1'],
    ['x', ''],
    ['content-type', 'text/csv'],
    ['content', undefined],
    ['type', undefined],
    ['a.test', undefined],
    ['inference-header-content-length-and-much-longer-than-the-block-is-behind-its-last-line', undefined],
  ])('%j', (name, value) => {
    const fields = new Fields(block, true)
    expect(fields.get(name)).toBe(value)
    expect(get(fields.list, name), 'the array says the same').toBe(value)
    expect(fields.get(name), 'also after a look at it').toBe(value)
  })

  test('may tell a deadline unless the wire says no, and as soon as somebody may have changed them', () => {
    expect(new Fields(block, true).timed).toBe(true)
    const fields = new Fields(block, true, null, false)
    fields.append('x-late', 'b')
    expect(fields.timed).toBe(false)
    fields.list.push('grpc-timeout', '1S')
    expect(fields.timed).toBe(true)
    expect(Fields.of([]).timed).toBe(true)
  })

  test('an appended field is found', () => {
    const fields = new Fields(block, true)
    fields.append('X-Late', 'b')
    expect(fields.get('x-late')).toBe('b')
    expect(new Fields('', false).get('x')).toBeUndefined()
  })
})
