/** Sends what a file holds, at its own pace or at another, and compares what comes back. */
import { type Call, CallError, type Called, MAX_ANSWER_BYTES } from '../../calls.ts'
import type { Clock } from '../../clock.ts'
import { compare, type Rule } from './compare.ts'
import { isItem, type Item, type Read } from './item.ts'
import type { Tally } from './report.ts'

export interface Pace {
  /** Requests a second; null = by the times of the records. */
  readonly rate: number | null
  /** How often as fast as it was; null = as fast as it goes. */
  readonly speed: number | null
  /** Requests under way. */
  readonly connections: number
  /** Requests that are sent at most. */
  readonly limit: number
}

export interface SendDeps {
  readonly clock: Clock
  send(call: Call): Promise<Called>
  /** Which are sent. */
  wanted(item: Item): boolean
  /** After each. */
  tick(): void
  stopped(): boolean
}

/** @throws DataError when the file cannot be read on */
export async function sendAll(reads: AsyncIterable<Read>, pace: Pace, rule: Rule, tally: Tally, deps: SendDeps): Promise<void> {
  const schedule = new Schedule(pace, deps.clock)
  const underWay = new Set<Promise<void>>()
  let begun = 0
  try {
    for await (const read of reads) {
      if (deps.stopped() || begun === pace.limit) break
      if (!isItem(read)) {
        tally.skip(read.skipped)
        continue
      }
      if (!deps.wanted(read)) continue
      await schedule.due(read)
      if (underWay.size >= pace.connections) await Promise.race(underWay)
      begun++
      const one = sendOne(read, rule, tally, deps).finally(() => underWay.delete(one))
      underWay.add(one)
    }
  } finally {
    await Promise.all(underWay)
  }
}

async function sendOne(item: Item, rule: Rule, tally: Tally, { clock, send, tick }: SendDeps): Promise<void> {
  const started = clock.now()
  try {
    const answer = await send({ method: item.method as Call['method'], path: item.target, headers: item.headers, body: item.body })
    const ms = clock.now() - started
    tally.answered(item, answer.status, ms, verdict(item, answer, rule))
  } catch (error) {
    if (!(error instanceof CallError)) throw error
    tally.answered(item, null, clock.now() - started, { kind: 'failed', at: '', before: item.before?.status, now: `${error.kind}: ${error.message}` })
  }
  tick()
}

/** @returns undefined: there is nothing to compare with */
function verdict(item: Item, answer: Called, rule: Rule): ReturnType<typeof compare> | undefined {
  if (item.before === null) return undefined
  const long = answer.body.length >= MAX_ANSWER_BYTES
  const found = compare(long ? { ...item.before, body: null } : item.before, answer, rule)
  return found === null && (long || item.before.body === null) && item.method !== 'HEAD' && answer.body.length > 0 ? undefined : found
}

/** When each request goes out. */
class Schedule {
  readonly #pace: Pace
  readonly #clock: Clock
  #started = -1
  #first = 0
  #count = 0

  constructor(pace: Pace, clock: Clock) {
    this.#pace = pace
    this.#clock = clock
  }

  async due({ time }: Item): Promise<void> {
    if (this.#started < 0) {
      this.#started = this.#clock.now()
      this.#first = time ?? 0
    }
    const ms = this.#started + this.#after(time) - this.#clock.now()
    this.#count++
    if (ms > 0) await new Promise<void>((resolve) => void this.#clock.after(ms, resolve))
  }

  /** Milliseconds after the first. */
  #after(time: number | null): number {
    const { rate, speed } = this.#pace
    if (rate !== null) return (this.#count * 1000) / rate
    return speed === null || time === null ? 0 : (time - this.#first) / speed
  }
}
