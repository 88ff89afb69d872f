/** Redaction: against a plain JavaScript evaluation of the same paths, against bodies of every format, and what must not get through. */
import { gzipSync } from 'node:zlib'
import fc from 'fast-check'
import { describe, expect, it, test } from 'vitest'
import { parsePath, placesOf } from '../../../gateway/records/capture/paths.ts'
import { redacted } from '../../../gateway/records/capture/redact.ts'

const JSON_TYPE = 'application/json'

/** @returns what would be kept, null = nothing */
function kept(body: string | Buffer, paths: readonly string[], { side = 'input', type = JSON_TYPE, encoding = '', most = 1 << 20 } = {}): string | null {
  const places = placesOf(side as 'input' | 'output', paths)
  if (places === null) return body.toString()
  return redacted(Buffer.from(body), type, encoding, places, most)?.toString() ?? null
}

describe('values at a path', () => {
  test.each([
    ['$.user.email', '{"user":{"email":"a@b.c","n":1}}', '{"user":{"email":"[redacted]","n":1}}'],
    ['user.email', '{ "user" : { "email" : 12.50 } }', '{ "user" : { "email" : "[redacted]" } }'],
    ['inputs[0].data', '{"inputs":[{"data":[1,2]},{"data":[3]}]}', '{"inputs":[{"data":"[redacted]"},{"data":[3]}]}'],
    ['$.rows[*].email', '{"rows":[{"email":1},{"x":2},{"email":{"a":[]}}]}', '{"rows":[{"email":"[redacted]"},{"x":2},{"email":"[redacted]"}]}'],
    ['$[*].card', '[{"card":"4111"},{"card":null}]', '[{"card":"[redacted]"},{"card":"[redacted]"}]'],
    ['$..card', '{"card":1,"a":[{"b":{"card":true}}]}', '{"card":"[redacted]","a":[{"b":{"card":"[redacted]"}}]}'],
    ['$["a.b"]', '{"a.b":1,"a":{"b":2}}', '{"a.b":"[redacted]","a":{"b":2}}'],
    ["$['x y'].z", '{"x y":{"z":1}}', '{"x y":{"z":"[redacted]"}}'],
    ['$.a.*', '{"a":{"b":1,"c":[2]}}', '{"a":{"b":"[redacted]","c":"[redacted]"}}'],
    ['$.a', '{"a":1,"a":2}', '{"a":"[redacted]","a":"[redacted]"}'],
    ['$.card', '{"c\\u0061rd":"4111"}', '{"c\\u0061rd":"[redacted]"}'],
    ['$.none', '{"n": 1e400, "big": 12345678901234567890}', '{"n": 1e400, "big": 12345678901234567890}'],
  ])('%s', (path, body, expected) => {
    expect(kept(body, [path])).toBe(expected)
  })

  it('one inside the other is taken out with it', () => {
    expect(kept('{"a":{"b":1},"c":2}', ['$.a.b', '$.a', '$.c'])).toBe('{"a":"[redacted]","c":"[redacted]"}')
  })
})

/** Sets what `keys` lead to, as anybody would with a parsed object. */
function setIn(value: unknown, keys: readonly (string | number)[]): unknown {
  const [key, ...rest] = keys
  if (key === undefined) return '[redacted]'
  if (Array.isArray(value) && typeof key === 'number') return value.map((item, i) => (i === key ? setIn(item, rest) : item))
  if (typeof value === 'object' && value !== null && !Array.isArray(value) && Object.hasOwn(value, key)) {
    return Object.fromEntries(Object.entries(value).map(([name, item]) => [name, name === key ? setIn(item, rest) : item]))
  }
  return value
}

/** Every place of a value. */
function placesIn(value: unknown, at: readonly (string | number)[] = []): (string | number)[][] {
  const inside = Array.isArray(value) ? value.map((item, i): [number, unknown] => [i, item]) : typeof value === 'object' && value !== null ? Object.entries(value) : []
  return inside.flatMap(([key, item]) => [[...at, key], ...placesIn(item, [...at, key])])
}

it('is what setting the value in the parsed body gives, for any body and any place of it', () => {
  const data = fc.jsonValue({ maxDepth: 4 }).map((value) => JSON.parse(JSON.stringify(value)) as unknown)
  fc.assert(
    fc.property(data, fc.nat(), fc.constantFrom(0, 1, 3), (value, pick, indent) => {
      const places = placesIn(value)
      fc.pre(places.length > 0 && !JSON.stringify(value).includes('__proto__'))
      const keys = places[pick % places.length]!
      const path = `$${keys.map((key) => `[${JSON.stringify(key)}]`).join('')}`
      const result = kept(JSON.stringify(value, null, indent), [path])
      expect(JSON.parse(result!)).toEqual(setIn(value, keys))
    }),
    { numRuns: 500 },
  )
})

/** Sets every member of that name. */
function setDeep(value: unknown, name: string): unknown {
  if (Array.isArray(value)) return value.map((item) => setDeep(item, name))
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, key === name ? '[redacted]' : setDeep(item, name)]))
}

it('at any depth, through lists of lists too', () => {
  const leaf = fc.oneof(fc.string({ unit: 'binary' }).filter((text) => text.isWellFormed()), fc.double({ noNaN: true, noDefaultInfinity: true }), fc.boolean(), fc.constant(null))
  const { body } = fc.letrec((tie) => ({
    body: fc.oneof({ maxDepth: 6 }, leaf, fc.array(tie('body'), { maxLength: 4 }), fc.dictionary(fc.constantFrom('card', 'a', 'b'), tie('body'), { maxKeys: 3 })),
  }))
  fc.assert(
    fc.property(body, (value) => {
      const text = JSON.stringify(value)
      expect(JSON.parse(kept(text, ['$..card'])!)).toEqual(setDeep(JSON.parse(text), 'card'))
    }),
    { numRuns: 1000 },
  )
})

describe('columns', () => {
  test.each([
    ['rows, one', '{"card":"4111","age":3}', '{"card":"[redacted]","age":3}'],
    ['rows, many', '[{"card":1},{"card":2}]', '[{"card":"[redacted]"},{"card":"[redacted]"}]'],
    ['instances with names', '{"instances":[{"card":1,"age":2}]}', '{"instances":[{"card":"[redacted]","age":2}]}'],
    ['instances without', '{"instances":[[4111,3],[4112,4]]}', '{"instances":["[redacted]","[redacted]"]}'],
    ['columnar inputs', '{"inputs":{"card":[1,2],"age":[3,4]}}', '{"inputs":{"card":"[redacted]","age":[3,4]}}'],
    ['columnar, in a matrix', '{"inputs":{"x":[[4111,3]]}}', '{"inputs":{"x":"[redacted]"}}'],
    ['one unnamed input', '{"inputs":[[4111,3]]}', '{"inputs":["[redacted]"]}'],
    ['tensors by name', '{"inputs":[{"name":"age","shape":[1],"data":[3]},{"data":[4111],"name":"card"}]}', '{"inputs":[{"name":"age","shape":[1],"data":[3]},{"data":"[redacted]","name":"card"}]}'],
    ['a matrix that may hold it', '{"inputs":[{"name":"x","shape":[1,2],"data":[4111,3]}]}', '{"inputs":[{"name":"x","shape":[1,2],"data":"[redacted]"}]}'],
    ['a tensor with two names', '{"inputs":[{"name":"card","name":"y","data":[4111]}]}', '{"inputs":[{"name":"card","name":"y","data":"[redacted]"}]}'],
    ['MLflow records', '{"dataframe_records":[{"card":1}]}', '{"dataframe_records":[{"card":"[redacted]"}]}'],
    ['MLflow split', '{"dataframe_split":{"data":[[4111,3]],"columns":["card","age"]}}', '{"dataframe_split":{"data":"[redacted]","columns":["card","age"]}}'],
  ])('%s', (_name, body, expected) => {
    expect(kept(body, ['input.card'])).toBe(expected)
  })

  it('of the answer are those of the answer', () => {
    const body = '{"card":1,"score":0.5}'
    expect(kept(body, ['input.card', 'output.score'], { side: 'output' })).toBe('{"card":1,"score":"[redacted]"}')
    expect(kept('{"predictions":[0.5,0.7]}', ['output.score'], { side: 'output' })).toBe('{"predictions":["[redacted]","[redacted]"]}')
    expect(placesOf('output', ['input.card'])).toBeNull()
  })
})

describe('bodies that are no plain JSON', () => {
  it('gzip is read, and kept without it', () => {
    expect(kept(gzipSync('{"card":1}'), ['$.card'], { encoding: 'gzip' })).toBe('{"card":"[redacted]"}')
  })

  it('a bomb is not', () => {
    expect(kept(gzipSync(`{"card":1,"x":"${'x'.repeat(1 << 20)}"}`), ['$.card'], { encoding: 'gzip', most: 1000 })).toBeNull()
  })

  it('lines and events are read one by one', () => {
    expect(kept('{"card":1}\n\n{"n":2}\n', ['$.card'], { type: 'application/x-ndjson' })).toBe('{"card":"[redacted]"}\n\n{"n":2}\n')
    const events = ': hi\nevent: token\ndata: {"card": "4111"}\nid: 7\n\ndata:{"n":2}\r\n\ndata: [DONE]\n\n'
    expect(kept(events, ['$.card'], { type: 'text/event-stream; charset=utf-8' })).toBe(events.replace('"4111"', '"[redacted]"'))
  })

  test.each([
    ['not JSON', 'card=4111', JSON_TYPE, ''],
    ['cut', '{"card":"4111"', JSON_TYPE, ''],
    ['followed by something', '{"a":1}{"card":"4111"}', JSON_TYPE, ''],
    ['NaN, which is no JSON', '{"a":NaN,"card":"4111"}', JSON_TYPE, ''],
    ['too deep', `${'['.repeat(80)}"4111"${']'.repeat(80)}`, JSON_TYPE, ''],
    ['not UTF-8', Buffer.from([0x22, 0xff, 0x22]), JSON_TYPE, ''],
    ['in a coding that is not read', '{"card":"4111"}', JSON_TYPE, 'br'],
    ['not what its coding says', '{"card":"4111"}', JSON_TYPE, 'gzip'],
    ['an event over two lines', 'data: {"card":\ndata: "4111"}\n\n', 'text/event-stream', ''],
    ['an event behind a carriage return', ': x\rdata: {"card":"4111"}\n\n', 'text/event-stream', ''],
    ['an event behind a byte order mark', '\uFEFFdata: {"card":"4111"}\n\n', 'text/event-stream', ''],
  ])('nothing is kept: %s', (_name, body, type, encoding) => {
    expect(kept(body, ['$.card'], { type, encoding })).toBeNull()
  })
})

describe('paths that cannot be read', () => {
  test.each(['', '$', '$.', '$.a[', '$.a[-1]', '$.a[1:2]', '$.a[?(@.b)]', 'a b', '$..'])('%j', (text) => {
    expect(parsePath(text)).toMatch(/path/)
  })
})
