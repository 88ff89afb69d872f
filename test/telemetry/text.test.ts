import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { bounded, isoTime, printable, quote, safeJson } from '../../gateway/telemetry/text.ts'
import { FakeClock } from '../fake_clock.ts'

/** What a terminal or a log viewer may act on: C0, DEL, C1, line separators, directional marks, BOM. */
function isObeyed(unit: number): boolean {
  return unit < 0x20 || (unit >= 0x7f && unit <= 0x9f) || [0x61c, 0x200e, 0x200f, 0xfeff].includes(unit) || (unit >= 0x2028 && unit <= 0x202e) || (unit >= 0x2066 && unit <= 0x2069)
}
const units = (text: string) => Array.from({ length: text.length }, (_, i) => text.charCodeAt(i))
const anyText = fc.string({ unit: 'binary' })

describe('quote', () => {
  it.each([
    ['plain text', '"plain text"'],
    ['', '""'],
    ['say "no" \\ go', '"say \\"no\\" \\\\ go"'],
    ['a\nb\r\tc\0', '"a\\nb\\r\\tc\\u0000"'],
    ['\x1b[31mred\x9b\x7f', '"\\u001b[31mred\\u009b\\u007f"'],
    ['\u2028\u202e\u2066\ufeff', '"\\u2028\\u202e\\u2066\\ufeff"'],
    ['\ud800', '"\\ud800"'],
    ['größe 数', '"größe 数"'],
  ])('%j', (text, expected) => {
    expect(quote(text)).toBe(expected)
  })

  it('is JSON of the same text and holds nothing that would be obeyed', () => {
    fc.assert(
      fc.property(anyText, (text) => {
        expect(JSON.parse(quote(text))).toBe(text)
        expect(units(quote(text)).some(isObeyed)).toBe(false)
      }),
    )
  })
})

it('safeJson leaves the value as it is and the text harmless', () => {
  fc.assert(
    fc.property(fc.dictionary(anyText, anyText), (value) => {
      const safe = safeJson(JSON.stringify(value))
      expect(JSON.stringify(JSON.parse(safe))).toBe(JSON.stringify(value))
      expect(units(safe).some(isObeyed)).toBe(false)
    }),
  )
})

it('printable keeps letters and disarms the rest', () => {
  expect(printable('ok\nINFO forged größe "x" \x1b[2J')).toBe('ok\\u000aINFO forged größe "x" \\u001b[2J')
  fc.assert(fc.property(anyText, (text) => !units(printable(text)).some(isObeyed)))
})

it('bounded counts UTF-16 units', () => {
  expect(bounded('abcd', 4)).toBe('abcd')
  expect(bounded('abcde', 4)).toBe('abc…')
})

describe('isoTime', () => {
  it('is what Date says, at any moment', () => {
    const whens = fc.integer({ min: 0, max: 4_102_444_800_000 })
    fc.assert(
      fc.property(fc.array(whens, { minLength: 1, maxLength: 20 }), (moments) => {
        let wall = 0
        const now = isoTime({ now: () => 0, wall: () => wall, after: never, every: never })
        for (const moment of moments) {
          wall = moment
          expect(now()).toBe(new Date(moment).toISOString())
        }
      }),
    )
  })

  it('follows the clock within and across seconds', () => {
    const clock = new FakeClock(Date.UTC(2026, 0, 31, 23, 59, 59, 7))
    const now = isoTime(clock)
    expect(now()).toBe('2026-01-31T23:59:59.007Z')
    clock.advance(90)
    expect(now()).toBe('2026-01-31T23:59:59.097Z')
    clock.advance(903.5)
    expect(now()).toBe('2026-02-01T00:00:00.000Z')
  })
})

function never(): never {
  throw new Error('isoTime arms no timer')
}
