import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { WeirError } from '../../gateway/errors.ts'
import { JsonReader, MAX_DEPTH } from '../../gateway/payload/json.ts'

function reader(text: string | Buffer): JsonReader {
  return new JsonReader(typeof text === 'string' ? Buffer.from(text) : text, 'BAD_BODY')
}

function accepts(text: string): boolean {
  try {
    const json = reader(text)
    json.skip()
    json.end()
    return true
  } catch (error) {
    if (!(error instanceof WeirError) || error.code !== 'BAD_BODY') throw error
    return false
  }
}

function parses(text: string): boolean {
  try {
    JSON.parse(text)
    return true
  } catch {
    return false
  }
}

describe('what is JSON', () => {
  test('all of it is read', () => {
    fc.assert(fc.property(fc.json({ maxDepth: 6 }), (text) => accepts(text)))
  })

  test('broken anywhere, it is refused exactly when JSON.parse refuses it', () => {
    const odd = fc.constantFrom('{', '}', '[', ']', '"', ',', ':', '\\', '0', '-', '.', 'e', '+', 't', 'null', 'NaN', ' ', '\n', '\t', '\u0001', '\u00a0', 'é', '\\u00', '//', "'")
    fc.assert(
      fc.property(fc.json({ maxDepth: 3 }), fc.nat(), fc.nat(3), odd, (text, at, drop, insert) => {
        const start = at % (text.length + 1)
        const broken = text.slice(0, start) + insert + text.slice(start + drop)
        fc.pre(broken.isWellFormed() && !/\\u[dD][89a-fA-F]/.test(broken))
        expect(accepts(broken), broken).toBe(parses(broken))
      }),
      { numRuns: 5_000 },
    )
  })

  test('it ends where its text ends, whatever follows', () => {
    fc.assert(
      fc.property(fc.json({ maxDepth: 5 }), fc.constantFrom(0, 2), fc.constantFrom(' ', ',', ']', '}', '\n'), (text, indent, follows) => {
        const spelled = JSON.stringify(JSON.parse(text), null, indent)
        const json = reader(` ${spelled}${follows}1`)
        json.skip()
        expect(json.pos).toBe(1 + Buffer.byteLength(spelled))
      }),
    )
  })

  test.each(['[1e5,-0.5E-3,0,-0]', '"\\u00e9\\ud83d\\udc4d\\/\\n"', '{ "a\\"" : [ true , false , null ] }'])('%s is', (text) => expect(accepts(text)).toBe(true))

  test.each(['', ' ', '01', '"\\ud800"', '["\\udc00\\ud800"]', '[1,"\\ud83d"]', '-', '-01', '1.', '.5', '1e', '1e+', '+1', '0x1', 'NaN', 'Infinity', '-Infinity', 'tru', 'True', 'nul', '[1,]', '[,1]', '[1 2]', '{"a"}', '{"a":}', '{a:1}', '{"a":1,}', '{"a":1 "b":2}', '[1', '{"a":1', '"a', '"\n"', '"\\x"', '"\\u12"', '1 2', '[]]', '\ufeff1', "'a'"])('%j is not', (text) => {
    expect(accepts(text)).toBe(false)
  })
})

describe('numbers', () => {
  test('as JSON.parse reads them', () => {
    const number = fc.oneof(
      fc.double({ noNaN: true, noDefaultInfinity: true }).map((value) => JSON.stringify(value)),
      fc.tuple(fc.bigInt({ min: -(10n ** 30n), max: 10n ** 30n }), fc.option(fc.stringMatching(/^\d{1,25}$/)), fc.option(fc.integer({ min: -340, max: 340 }))).map(
        ([whole, fraction, exponent]) => `${whole}${fraction === null ? '' : `.${fraction}`}${exponent === null ? '' : `e${exponent}`}`,
      ),
    )
    fc.assert(fc.property(number, (text) => {
      const json = reader(`${text} `)
      expect(json.number()).toBe(Number(text))
      expect(json.integral).toBe(/^-?\d+$/.test(text))
    }), { numRuns: 10_000 })
  })

  test('negative zero', () => {
    expect(reader('-0 ').number()).toBe(-0)
    expect(reader('-0.0 ').number()).toBe(-0)
  })

  test('integers exactly', () => {
    fc.assert(fc.property(fc.bigInt({ min: -(2n ** 63n), max: 2n ** 64n }), (value) => {
      const json = reader(`${value},`)
      json.number()
      expect(json.bigint()).toBe(value)
    }))
  })
})

describe('strings', () => {
  test('as JSON.parse reads them', () => {
    fc.assert(fc.property(fc.string({ unit: 'binary' }).filter((text) => text.isWellFormed()), (text) => {
      expect(reader(JSON.stringify(text)).string()).toBe(text)
    }))
  })

  test('invalid UTF-8 is refused', () => {
    expect(() => reader(Buffer.from([0x22, 0xff, 0x22]))).toThrow('not UTF-8')
    expect(() => reader(Buffer.from([0x22, 0xed, 0xa0, 0x80, 0x22]))).toThrow('not UTF-8')
  })

  test('half a surrogate pair is refused: it could not be sent on', () => {
    expect(() => reader('"\\ud800"').string()).toThrow('lone surrogates')
    expect(reader('"\\ud83d\\udc4d"').string()).toBe('👍')
  })
})

test('depth has a limit, in arrays and objects', () => {
  const deep = (levels: number) => '['.repeat(levels) + ']'.repeat(levels)
  expect(accepts(deep(MAX_DEPTH))).toBe(true)
  expect(accepts(deep(100_000))).toBe(false)
  expect(accepts('{"a":'.repeat(100_000))).toBe(false)
})

test('a complaint says where, what was expected and what is there', () => {
  expect(() => reader('[1, x]').skip()).toThrow("invalid JSON at byte 4: expected a value, found 'x'")
  expect(() => reader('[1, NaN]').skip()).toThrow('found NaN, which is not JSON')
  expect(() => reader('[1, -Infinity]').skip()).toThrow('found -Infinity, which is not JSON')
  expect(() => reader('{"a":1').skip()).toThrow("byte 6: expected ',' or '}', found the end")
  expect(() => reader('[1\u0000]').skip()).toThrow('found byte 0x00')
})
