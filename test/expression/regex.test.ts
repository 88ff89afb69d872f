import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { compileCondition } from '../../gateway/expression/condition.ts'
import { compileRegex } from '../../gateway/expression/regex.ts'
import { Answer, Leg } from '../../gateway/exchange.ts'
import { makeBackend, makeExchange } from '../plugin_test.ts'

describe('the same verdict as RegExp', () => {
  const patterns = ['abc', 'a.c', '^a', 'a$', '^$', '', 'a|b|', '^(?:ab|cd)+$', 'a*', 'a+b?', '[a-c]+', '[^a-c]', '[]a]'.replace('[]', '[\\]'), '[a\\-z]', '[-a]', '[a-]', '\\d{2,3}', '^\\w+\\s\\W', '\\D', '^\\S*$', '[\\d.]+$', '[^\\s]', 'a{2}', '^a{0}b', 'a{1,}?b', '(a|b)*c', 'x\\.y', '\\x41', '\\/v[12]', 'é', '^.$', 'a{,2}', '(^a|b$)', '(a*)*b', '(a?){3}b']
  const texts = ['', 'a', 'b', 'ab', 'abc', 'aac', 'xabcx', 'cd', 'abcd', 'cdab', '12', '123a', 'a b', 'a !', ' ', ']', '-', 'z', 'aa', 'aab', 'x.y', 'xzy', 'A', '/v1', '/v3', 'é', 'è', '😀', '\n', 'a\nb', '1.5', 'a{,2}', 'bbb']
  test.each(patterns)('%s', (pattern) => {
    const own = compileRegex(pattern)
    for (const text of texts) expect([text, own(text)]).toEqual([text, new RegExp(pattern, 'u'.repeat(/\{,/.test(pattern) ? 0 : 1)).test(text)])
  })

  test('for any pattern of a small grammar and any text', () => {
    const atom = fc.constantFrom('a', 'b', '.', '[ab]', '[^a]', '\\w', '^', '$')
    const { node } = fc.letrec<{ node: string }>((tie) => ({
      node: fc.oneof(
        { maxDepth: 4 },
        atom,
        fc.tuple(tie('node'), tie('node')).map(([a, b]) => a + b),
        fc.tuple(tie('node'), tie('node')).map(([a, b]) => `(${a}|${b})`),
        fc.tuple(tie('node'), fc.constantFrom('*', '+', '?', '{2}', '{0,1}', '{1,}')).map(([a, r]) => `(?:${a})${r}`),
      ),
    }))
    fc.assert(
      fc.property(node, fc.string({ unit: fc.constantFrom('a', 'b', 'c', '\n'), maxLength: 6 }), (pattern, text) => {
        expect(compileRegex(pattern)(text)).toBe(new RegExp(pattern).test(text))
      }),
      { numRuns: 2000, seed: 4 },
    )
  })
})

test('a pattern that is catastrophic elsewhere costs states × characters', () => {
  // A backtracking engine needs 2⁵⁰ steps for this; the test would not end.
  expect(compileRegex('(a+)+$')(`${'a'.repeat(50)}!`)).toBe(false)
  expect(compileRegex('^(a|a)*$')(`${'a'.repeat(2000)}!`)).toBe(false)
  const backend = makeBackend('b', () => new Answer(200, [], null))
  const x = makeExchange({ target: `/${'a'.repeat(50)}!` }, { name: 'r', format: null, maxBodyBytes: 0 }, new Leg(backend))
  expect(compileCondition('path.matches("(a+)+$")').test(x)).toBe(false)
  expect(compileCondition('path.matches("^/(a+)+!$")').test(x)).toBe(true)
})

test.each([
  ['a(b', 'a ( without its )'],
  ['a)', 'unmatched )'],
  ['*a', 'nothing before *'],
  ['a**', 'needs a group'],
  ['[a', 'ends too early'],
  ['[b-a]', 'runs backwards'],
  ['\\1', 'not supported'],
  ['(?=a)', 'only (?:…)'],
  ['a{3,2}', 'm below n'],
  ['a{500}', 'more than 200'],
  ['((a{100}){100}){100}', 'more than 1000 states'],
  [`${'(?:'.repeat(4)}${'){200}'.repeat(4)}`, 'too large'],
  ['('.repeat(60), 'nest more than 50'],
  ['a\\', 'ends too early'],
])('%s is refused', (pattern, complaint) => {
  expect(() => compileRegex(pattern)).toThrow(complaint)
})
