/**
 * Rates of a route that should follow the time of the day: requests, latency, errors, values that are missing or defaults.
 *
 * Idea: each window gives one number per rate, on a scale where its noise does not depend on its level (logarithm of counts and times, arcsine of
 * the root of shares). What is usual at this time of the season, and how much it varies, comes from the seasons before (`stats/seasonal.ts`; two are
 * needed). A CUSUM of the standardised difference (Page 1954) finds what one window does not show; its limit gives the false alarms of the budget.
 * Layout of a slot's head, from word 3 on: answered, errors, latency (1/16 of log2 of 1 + ms) in two words, the second counting 2²⁶.
 */
import type { Alarm } from '../../alarm.ts'
import { Cusum, cusumLimit } from '../../stats/change.ts'
import { Seasonal } from '../../stats/seasonal.ts'
import { WEEK_MS } from '../budget.ts'
import { percent, spanOf } from '../words.ts'
import { ABSENT, NULLS, REQUESTS, SENTINEL } from './counter.ts'
import { short } from './groups.ts'
import type { Times } from './times.ts'
import { type Plan, SPECIALS } from './watched.ts'

export const RATES = ['traffic', 'latency', 'errors', 'defaults'] as const
export type Rate = (typeof RATES)[number]

const [ANSWERED, ERRORS, LATENCY, LATENCY_HIGH] = [3, 4, 5, 6]
const CARRY = 2 ** 26
/** Numbers of a rate beside those of its seasons. */
const OWN = 8
const PARTS_OF_OCTAVE = 16
/** Half of the shift to be found, in standard deviations. */
const ALLOWANCE = 0.5
/** One wild window alone is no change. */
const MOST = 4
/** An alarm is over when the differences of about so many windows are on average below `CALM` standard deviations. */
const MEMORY = 12
const CALM = 0.5
/** Seasons for which a change is not learned as what is usual; then it is. */
const UNUSUAL_SEASONS = 3
/** Relative variation from season to season that is taken for granted, on the scale of a rate. */
const LEAST_SD: Readonly<Record<Rate, number>> = { traffic: 0.1, latency: 0.1, errors: 0.01, defaults: 0.01 }

/** Counts one exchange. @param ms from the request to the end of its answer */
export function countExchange(head: Uint32Array, ms: number, failed: boolean): void {
  head[ANSWERED]!++
  if (failed) head[ERRORS]!++
  head[LATENCY]! += Math.round(PARTS_OF_OCTAVE * Math.log2(1 + Math.max(0, ms)))
  if (head[LATENCY]! < CARRY) return
  head[LATENCY]! -= CARRY
  head[LATENCY_HIGH]!++
}

interface Reading {
  readonly value: number
  /** Standard deviation by its number of requests or values alone. */
  readonly noise: number
  readonly words: string
}

interface Watch {
  readonly rate: Rate
  readonly seasonal: Seasonal
  readonly cusum: Cusum
  since: number | null
  /** Running mean of the differences since. */
  mean: number
  last: { readonly value: number; readonly expected: number | null; readonly sd: number | null; readonly statistic: number } | null
}

export class Rates {
  readonly limit: number
  readonly #watches: readonly Watch[]
  readonly #plan: Plan
  readonly #season: number

  /** @param budget false alarms a week for all of them */
  constructor(plan: Plan, times: Times, rates: readonly Rate[], budget: number) {
    this.#plan = plan
    this.#season = times.season
    const windows = WEEK_MS / times.window
    this.limit = cusumLimit(ALLOWANCE, Math.max(10, (windows * Math.max(1, rates.length)) / budget))
    this.#watches = rates.map((rate) => ({ rate, seasonal: new Seasonal(times.season, times.season / times.window), cusum: new Cusum(ALLOWANCE, this.limit), since: null, mean: 0, last: null }))
  }

  /** @param words sum of a window; null: nothing was counted, which of traffic is a zero */
  window(words: Uint32Array | null, from: number, to: number): Alarm[] {
    return this.#watches.flatMap((watch) => this.#judge(watch, words, from, to))
  }

  /** Of each rate, all that it knows. */
  get numbers(): Float64Array[] {
    return this.#watches.map(({ seasonal, cusum, since, mean, last }) => {
      const usual = seasonal.numbers
      const numbers = new Float64Array(OWN + usual.length)
      numbers.set([...cusum.sums, since ?? NaN, mean, last?.value ?? NaN, last?.expected ?? NaN, last?.sd ?? NaN, last?.statistic ?? NaN])
      numbers.set(usual, OWN)
      return numbers
    })
  }

  /** @param numbers of a rate of another one with the same rates and times */
  restore(i: number, numbers: Float64Array): void {
    const watch = this.#watches[i]!
    const [up, down, since, mean, value, expected, sd, statistic] = numbers as unknown as readonly [number, number, number, number, number, number, number, number]
    watch.cusum.sums = [up, down]
    watch.since = known(since)
    watch.mean = mean
    watch.last = Number.isNaN(value) ? null : { value, expected: known(expected), sd: known(sd), statistic }
    watch.seasonal.numbers = numbers.subarray(OWN)
  }

  report(): unknown[] {
    return this.#watches.map(({ rate, last, since }) => ({ rate, limit: this.limit, ...last, alarm_since: since === null ? null : new Date(since).toISOString() }))
  }

  #judge(watch: Watch, words: Uint32Array | null, from: number, to: number): Alarm[] {
    const { rate, seasonal, cusum } = watch
    const read = words === null ? (rate === 'traffic' ? traffic(0) : null) : readingOf(rate, words, this.#plan)
    if (read === null) return []
    const expected = seasonal.expected(from)
    if (watch.since === null || to - watch.since > UNUSUAL_SEASONS * this.#season) seasonal.add(from, read.value)
    if (expected === null) {
      watch.last = { value: read.value, expected: null, sd: null, statistic: 0 }
      return []
    }
    const sd = Math.hypot(Math.max(expected.sd, LEAST_SD[rate]), read.noise)
    const z = Math.max(-MOST, Math.min(MOST, (read.value - expected.mean) / sd))
    const statistic = cusum.statistic + Math.abs(z) - ALLOWANCE
    const change = cusum.update(z)
    watch.last = { value: read.value, expected: expected.mean, sd, statistic: cusum.statistic }
    if (watch.since !== null) {
      watch.mean += (z - watch.mean) / MEMORY
      if (Math.abs(watch.mean) < CALM) this.#end(watch)
      return []
    }
    if (change === 0) return []
    watch.since = to
    watch.mean = change * MOST
    const reason = `${rate} ${change > 0 ? 'rose' : 'fell'}: ${read.words}, ${usual(rate, expected.mean)} at this time in ${expected.seasons} seasons; added up over windows beyond ${this.limit.toFixed(1)} standard deviations; ${spanOf(from, to)}`
    return [{ time: to, kind: 'rate', feature: rate, statistic: 'cusum_sd', score: statistic, threshold: this.limit, reason }]
  }

  #end(watch: Watch): void {
    watch.since = null
    watch.cusum.reset()
  }
}

function readingOf(rate: Rate, words: Uint32Array, plan: Plan): Reading | null {
  const answered = words[ANSWERED]!
  if (rate === 'traffic') return traffic(Math.max(answered, words[REQUESTS]!))
  if (rate === 'defaults') return share(...defaultsOf(words, plan))
  if (answered === 0) return null
  if (rate === 'errors') return share(words[ERRORS]!, answered)
  const value = ((words[LATENCY_HIGH]! * CARRY + words[LATENCY]!) / PARTS_OF_OCTAVE / answered) * Math.LN2
  return { value, noise: 1 / Math.sqrt(answered), words: `geometric mean ${short(Math.expm1(value))} ms of ${answered}` }
}

function known(number: number): number | null {
  return Number.isNaN(number) ? null : number
}

function traffic(requests: number): Reading {
  return { value: Math.log1p(requests), noise: 1 / Math.sqrt(requests + 1), words: `${requests} requests` }
}

/** The variance of arcsin √p is 1 / 4n. */
function share(count: number, of: number): Reading | null {
  return of === 0 ? null : { value: Math.asin(Math.sqrt(count / of)), noise: 0.5 / Math.sqrt(of), words: `${count} of ${of} (${percent(count / of)})` }
}

function usual(rate: Rate, mean: number): string {
  if (rate === 'traffic') return `usually ${short(Math.expm1(mean))}`
  return rate === 'latency' ? `usually ${short(Math.expm1(mean))} ms` : `usually ${percent(Math.sin(Math.max(0, mean)) ** 2)}`
}

/** Values of input features that are missing or stand for "not known", of all; columns that never came do not count. */
function defaultsOf(words: Uint32Array, { features }: Plan): readonly [count: number, of: number] {
  let [count, of] = [0, 0]
  for (const { side, at, cells } of features) {
    if (side === 'output') continue
    const special = at + cells
    let all = 0
    for (let i = at; i < special + SPECIALS.length; i++) all += words[i]!
    if (words[special + ABSENT] === all) continue
    of += all
    count += words[special + NULLS]! + words[special + ABSENT]! + words[special + SENTINEL]!
  }
  return [count, of]
}
