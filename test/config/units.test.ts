import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { expand } from '../../config/environment.ts'
import { decodeDuration, decodePercent, decodeSize, formatDuration, formatSize } from '../../config/units.ts'

describe('durations', () => {
  test.each([['300ms', 300], ['5s', 5000], ['1.5s', 1500], ['2m', 120_000], ['36h', 129_600_000], ['7d', 604_800_000], ['0s', 0]])('%s', (written, ms) => expect(decodeDuration(written)).toBe(ms))
  test('a number is milliseconds already', () => expect(decodeDuration(250)).toBe(250))
  test.each([[0, '0ms'], [300, '300ms'], [5000, '5s'], [90_000, '90s'], [120_000, '2m'], [129_600_000, '36h'], [604_800_000, '7d']])('%i is written %s', (ms, written) => expect(formatDuration(ms)).toBe(written))
  test('written and read again', () => fc.assert(fc.property(fc.nat(2 ** 31), (ms) => decodeDuration(formatDuration(ms)) === ms)))
})

describe('sizes', () => {
  test.each([['512B', 512], ['1kB', 1000], ['1KiB', 1024], ['1.5MiB', 1_572_864], ['2MB', 2_000_000], ['1GB', 1e9], ['2GiB', 2_147_483_648]])('%s', (written, bytes) => expect(decodeSize(written)).toBe(bytes))
  test('a number is bytes', () => expect(decodeSize(4096)).toBe(4096))
  test.each([[65_536, '64KiB'], [67_108_864, '64MiB'], [1000, '1000B'], [0, '0B']])('%i is written %s', (bytes, written) => expect(formatSize(bytes)).toBe(written))
  test('written and read again', () => fc.assert(fc.property(fc.nat(2 ** 40), (bytes) => decodeSize(formatSize(bytes)) === bytes)))
})

test.each([['5%', 5], ['0.5%', 0.5], [95, 95]])('percent %s', (written, percent) => expect(decodePercent(written)).toBe(percent))
test('what the schema would refuse is never decoded to something', () => {
  expect(() => decodeDuration('5')).toThrow(RangeError)
  expect(() => decodeSize('5 MiB')).toThrow(RangeError)
})

describe('environment', () => {
  const env = { A: 'one', EMPTY: '', NESTED: '${A}' }
  test.each([
    ['${A}', 'one'],
    ['x${A}y${A}', 'xoneyone'],
    ['${EMPTY}', ''],
    ['${EMPTY:-two}', 'two'],
    ['${NONE:-two}', 'two'],
    ['${NONE:-}', ''],
    ['${NONE:-http://h:1/a-b}', 'http://h:1/a-b'],
    ['${NESTED}', '${A}'],
    ['$${A}', '${A}'],
    ['$A $ {A} $$', '$A $ {A} $$'],
  ])('%s', (text, value) => expect(expand(text, env)).toMatchObject({ value, problem: null }))
  test.each([['ab${NONE}', 2, 'missing-environment'], ['${A', 0, 'bad-environment'], ['${}', 0, 'bad-environment'], ['${a b}', 0, 'bad-environment'], ['${A:-${A}}', 0, 'bad-environment'], ['${toString}', 0, 'missing-environment']])(
    '%s is refused',
    (text, offset, rule) => expect(expand(text, env).problem).toMatchObject({ offset, rule }),
  )
  test('text without ${ is never touched', () => fc.assert(fc.property(fc.string(), (text) => text.includes('${') || expand(text, env).value === text)))
})
