/**
 * Shares that should not rise: rows without a value, NaN, infinite values, values of another type, values the profile does not list, defaults.
 *
 * Idea: given how many there are on both sides together, how many of them fall on the window is binomial if nothing changed (the conditional
 * test of two Poisson rates); so the profile's own uncertainty counts too: none in 100 rows of training says little about 1 in 1000. A rise must also
 * be large enough to matter. Each share is one of what is left by those before it, so that one cause is one alarm.
 */
import { totalOf } from '../../stats/counts.ts'
import { binomialAtLeast } from '../../stats/tails.ts'
import { ABSENT, INFINITE, NAN, NULLS, SENTINEL, UNSEEN, WRONG } from './counter.ts'
import { type Share, SHARES, SPECIALS, type Watched } from './watched.ts'

export interface ShareCount {
  readonly share: Share
  readonly count: number
  readonly of: number
  /** The same of the training data. */
  readonly expected: number
  readonly expectedOf: number
}

export interface ShareTest extends ShareCount {
  /** That so many come by chance; NaN where there are none on both sides: nothing to test (Tarone 1990), and no share of the budget spent. */
  readonly p: number
  /** By how much the share is higher, and from what on that matters. */
  readonly rise: number
  readonly threshold: number
}

/** Values, specials and their sum of one feature. */
interface Totals {
  readonly values: number
  readonly specials: ArrayLike<number>
}

export function shareCounts(watched: Watched, words: Uint32Array): ShareCount[] {
  const { at, cells, baseline } = watched
  const live = { values: totalOf(words, at, at + cells), specials: words.subarray(at + cells, at + cells + SPECIALS.length) }
  return SHARES.map((share) => {
    const [count, of] = countOf(share, live)
    const [expected, expectedOf] = countOf(share, baseline)
    return { share, count, of, expected, expectedOf }
  })
}

/** @param least rise that matters @param design rows for one that is independent */
export function testShare(counted: ShareCount, least: number, design: number): ShareTest {
  const { count, of, expected, expectedOf, share } = counted
  const known = expectedOf === 0 ? 0 : expected / expectedOf
  const threshold = share === 'unseen_share' ? Math.min(least, Math.max(0.001, 2 * known)) : least
  if (of === 0 || expectedOf === 0) return { ...counted, p: 1, rise: 0, threshold }
  const p = count + expected === 0 ? NaN : count === 0 ? 1 : binomialAtLeast(count / design, (count + expected) / design, of / (of + expectedOf))
  return { ...counted, p, rise: count / of - known, threshold }
}

function countOf(share: (typeof SHARES)[number], { values, specials }: Totals): readonly [count: number, of: number] {
  const of = values + specials[UNSEEN]! + specials[SENTINEL]!
  switch (share) {
    case 'null_share':
      return [specials[NULLS]! + specials[ABSENT]!, of + specials[NULLS]! + specials[ABSENT]! + specials[NAN]! + specials[INFINITE]! + specials[WRONG]!]
    case 'nan_share':
      return [specials[NAN]!, of + specials[NAN]! + specials[INFINITE]! + specials[WRONG]!]
    case 'infinite_share':
      return [specials[INFINITE]!, of + specials[INFINITE]! + specials[WRONG]!]
    case 'wrong_type_share':
      return [specials[WRONG]!, of + specials[WRONG]!]
    case 'unseen_share':
      return [specials[UNSEEN]!, of]
    case 'sentinel_share':
      return [specials[SENTINEL]!, of - specials[UNSEEN]!]
  }
}
