/** How long to wait before something is tried again. */

/**
 * Full jitter (Brooker 2015; Envoy's retry back-off): uniform in [0, min(max, base · 2ⁿ)), so that callers who failed together do not come
 * back together.
 * @param n retries before this one, from 0. @param random uniform in [0, 1). @returns milliseconds
 */
export function backoff(n: number, base_ms: number, max_ms: number, random: number): number {
  return random * Math.min(max_ms, base_ms * 2 ** n)
}

const SECONDS = /^\d{1,9}$/
/** The three forms of a date in RFC 9110 §5.6.7; the last has no zone and means GMT. */
const DATE = /^(Mon|Tue|Wed|Thu|Fri|Sat|Sun)[a-z]*,? .+$/

/**
 * What a Retry-After (RFC 9110 §10.2.3) asks for. A date is read against the `Date` of the same answer: both are of the backend's clock, whose
 * error so does not matter.
 * @param date the answer's `Date`. @returns milliseconds from 0; null for no field or one that says nothing; Infinity for a date to which there is no `Date`
 */
export function retryAfter(value: string | undefined, date: string | undefined): number | null {
  if (value === undefined) return null
  if (SECONDS.test(value)) return Number(value) * 1000
  const until = httpDate(value)
  if (until === null) return null
  const from = date === undefined ? null : httpDate(date)
  return from === null ? Infinity : Math.max(0, until - from)
}

function httpDate(text: string): number | null {
  if (!DATE.test(text)) return null
  const ms = Date.parse(text.endsWith('GMT') ? text : `${text} GMT`)
  return Number.isNaN(ms) ? null : ms
}
