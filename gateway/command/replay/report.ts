/** What a replay found, counted while it runs, and told at its end. */
import { Reservoir } from '../../stats/reservoir.ts'
import type { Difference, Kind } from './compare.ts'
import type { Item, Skipped } from './item.ts'

/** Told in full. */
const SHOWN = 10
/** Latencies that are kept for the quantiles; of more, a sample. */
const SAMPLE = 100_000
const QUANTILES = [0.5, 0.9, 0.99]

export type Fault = Difference | { readonly kind: 'failed'; readonly at: ''; readonly before: unknown; readonly now: string }

export interface Report {
  readonly sent: number
  readonly same: number
  readonly different: number
  /** Nothing is known of the first answer, or not all of it. */
  readonly not_compared: number
  readonly skipped: Readonly<Partial<Record<Skipped, number>>>
  readonly by_kind: Readonly<Partial<Record<Kind | 'failed', number>>>
  readonly by_status: Readonly<Record<string, number>>
  readonly examples: readonly (Fault & { readonly request_id: string; readonly method: string; readonly target: string })[]
  /** Milliseconds, of all that were sent; null = none are known. */
  readonly latency: { readonly before: Quantiles | null; readonly now: Quantiles | null }
}

export type Quantiles = Readonly<Record<'p50' | 'p90' | 'p99', number>>

export class Tally {
  sent = 0
  #same = 0
  #different = 0
  #notCompared = 0
  readonly #skipped: Partial<Record<Skipped, number>> = {}
  readonly #kinds: Partial<Record<Kind | 'failed', number>> = {}
  readonly #statuses: Record<string, number> = {}
  readonly #examples: (Fault & { request_id: string; method: string; target: string })[] = []
  readonly #before = new Reservoir<number>(SAMPLE, 1)
  readonly #now = new Reservoir<number>(SAMPLE, 2)

  get faults(): number {
    return this.#different
  }

  skip(why: Skipped): void {
    this.#skipped[why] = (this.#skipped[why] ?? 0) + 1
  }

  /** @param fault null: the same; undefined: there was nothing to compare with */
  answered(item: Item, status: number | null, ms: number, fault: Fault | null | undefined): void {
    this.sent++
    if (status !== null) {
      this.#statuses[status] = (this.#statuses[status] ?? 0) + 1
      this.#now.add(ms)
      if (item.before !== null) this.#before.add(item.before.duration_ms)
    }
    if (fault === undefined) this.#notCompared++
    else if (fault === null) this.#same++
    else this.#fault(item, fault)
  }

  #fault(item: Item, fault: Fault): void {
    this.#different++
    this.#kinds[fault.kind] = (this.#kinds[fault.kind] ?? 0) + 1
    if (this.#examples.length < SHOWN) this.#examples.push({ ...fault, request_id: item.id, method: item.method, target: item.target })
  }

  report(): Report {
    return {
      sent: this.sent, same: this.#same, different: this.#different, not_compared: this.#notCompared, skipped: this.#skipped, by_kind: this.#kinds, by_status: this.#statuses,
      examples: this.#examples, latency: { before: quantilesOf(this.#before.items), now: quantilesOf(this.#now.items) },
    }
  }
}

/** Nearest rank. */
function quantilesOf(values: readonly number[]): Quantiles | null {
  const sorted = values.toSorted((a, b) => a - b)
  if (sorted.length === 0) return null
  const [p50 = 0, p90 = 0, p99 = 0] = QUANTILES.map((q) => sorted[Math.ceil(q * sorted.length) - 1]!)
  return { p50, p90, p99 }
}

// ---------------------------------------------------------------- for people

export function reportText(report: Report): string {
  const { sent, same, different, not_compared, latency } = report
  const lines = [`${sent} sent: ${same} the same, ${different} different, ${not_compared} with nothing to compare`]
  for (const [why, count] of Object.entries(report.skipped)) lines.push(`${count} not sent: ${why}`)
  lines.push(`status: ${counts(report.by_status) || 'none'}`)
  if (different > 0) lines.push(`differences: ${counts(report.by_kind)}`)
  for (const [name, quantiles] of Object.entries(latency)) if (quantiles !== null) lines.push(`latency ${name.padEnd(6)} p50 ${ms(quantiles.p50)}  p90 ${ms(quantiles.p90)}  p99 ${ms(quantiles.p99)}`)
  for (const { kind, at, before, now, request_id, method, target } of report.examples) {
    lines.push('', `${kind}${at === '' ? '' : ` at ${at}`}: ${method} ${target} (${request_id})`, `  before ${shown(before)}`, `  now    ${shown(now)}`)
  }
  if (different > report.examples.length) lines.push('', `and ${different - report.examples.length} more`)
  return `${lines.join('\n')}\n`
}

function counts(by: Readonly<Record<string, number>>): string {
  return Object.entries(by).map(([key, count]) => `${key} × ${count}`).join(', ')
}

function ms(value: number): string {
  return `${value.toFixed(value < 10 ? 2 : 0)} ms`
}

function shown(value: unknown): string {
  return value === undefined ? '(not there)' : typeof value === 'string' ? value : JSON.stringify(value)
}
