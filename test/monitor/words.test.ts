import { describe, expect, test } from 'vitest'
import { shareWords } from '../../gateway/monitor/drift/words.ts'
import type { Watched } from '../../gateway/monitor/drift/watched.ts'
import { listed, percent, shown, spanOf } from '../../gateway/monitor/words.ts'

const HOSTILE = '\u001b[2J"\n'

describe('words of monitors', () => {
  test.each<[unknown, string]>([
    ['gold', '"gold"'], [HOSTILE, String.raw`"\u001b[2J\"\n"`], ['x'.repeat(65), `"${'x'.repeat(64)}…"`], [1.5, '1.5'], [NaN, 'NaN'], [12n, '12'], [true, 'true'], [null, 'null'], [{ a: 1 }, '{"a":1}'],
  ])('a value is quoted, cut and on one line: %#', (value, text) => expect(shown(value)).toBe(text))

  test('a list is told by its first five', () => {
    expect(listed(['a', 'b'])).toBe('"a", "b"')
    expect(listed([1, 2, 3, 4, 5, 6, 7])).toBe('1, 2, 3, 4, 5 and 2 more')
  })

  test('shares and spans', () => {
    expect([percent(0.18649), percent(0), percent(1), percent(0.0001)]).toEqual(['18.6 %', '0 %', '100 %', '0.01 %'])
    expect(spanOf(0, 3_600_000)).toBe('1970-01-01T00:00:00.000Z to 1970-01-01T01:00:00.000Z')
  })

  test('what callers sent reaches no terminal as it is', () => {
    const watched = { name: 'plan', sentinels: new Set() } as unknown as Watched
    expect(shareWords(watched, { share: 'unseen_share', count: 4, of: 228, expected: 0, expectedOf: 8000 }, [[HOSTILE, 4]])).toBe(
      String.raw`"plan" has a value that the training data does not list ("\u001b[2J\"\n" about 4 times) in 4 of 228 rows (1.75 %), in the training data in 0 of 8000 (0 %)`,
    )
  })
})
