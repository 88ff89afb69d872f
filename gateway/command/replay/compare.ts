/** Two answers to one request: whether they say the same. */

export type Kind = 'status' | 'value' | 'number' | 'bytes'

export interface Difference {
  readonly kind: Kind
  /** Where in the body, as a JSONPath; '' = the answer as a whole. */
  readonly at: string
  readonly before: unknown
  readonly now: unknown
}

export interface Answered {
  readonly status: number
  readonly body: Buffer
}

export interface Rule {
  readonly exact: boolean
  /** Numbers are equal when they differ by no more than this, relative to the larger one (below 1: absolute). */
  readonly tolerance: number
}

/** @param body null: what was answered before is not known @returns null: the same */
export function compare(before: { readonly status: number; readonly body: Buffer | null }, now: Answered, rule: Rule): Difference | null {
  if (before.status !== now.status) return { kind: 'status', at: '', before: before.status, now: now.status }
  if (before.body === null || before.body.equals(now.body)) return null
  const [then, here] = [parsed(before.body), parsed(now.body)]
  if (then === undefined || here === undefined) return bytes(before.body, now.body)
  // In a log that is lines of JSON, line breaks became spaces.
  if (rule.exact) return oneLine(before.body) === oneLine(now.body) ? null : (differs(then, here, '$', 0) ?? bytes(before.body, now.body))
  return differs(then, here, '$', rule.tolerance)
}

function parsed(body: Buffer): unknown {
  try {
    return JSON.parse(body.toString())
  } catch {
    return undefined
  }
}

function oneLine(body: Buffer): string {
  return body.toString().replace(/[\r\n]+/g, ' ')
}

const SHOWN = 200

function bytes(before: Buffer, now: Buffer): Difference {
  return { kind: 'bytes', at: '', before: before.toString('utf8', 0, SHOWN), now: now.toString('utf8', 0, SHOWN) }
}

/** The first place where two JSON values differ, in depth. */
function differs(before: unknown, now: unknown, at: string, tolerance: number): Difference | null {
  if (typeof before === 'number' && typeof now === 'number') {
    return Math.abs(before - now) <= tolerance * Math.max(1, Math.abs(before), Math.abs(now)) ? null : { kind: 'number', at, before, now }
  }
  const [then, here] = [entries(before), entries(now)]
  if (then === null || here === null || Array.isArray(before) !== Array.isArray(now)) return before === now ? null : { kind: 'value', at, before, now }
  for (const key of new Set([...then.keys(), ...here.keys()])) {
    const place = Array.isArray(before) ? `${at}[${key}]` : /^\w+$/.test(key) ? `${at}.${key}` : `${at}[${JSON.stringify(key)}]`
    if (!then.has(key) || !here.has(key)) return { kind: 'value', at: place, before: then.get(key), now: here.get(key) }
    const found = differs(then.get(key), here.get(key), place, tolerance)
    if (found !== null) return found
  }
  return null
}

function entries(value: unknown): Map<string, unknown> | null {
  return typeof value === 'object' && value !== null ? new Map(Object.entries(value)) : null
}
