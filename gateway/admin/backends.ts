/**
 * Endpoints of every backend, one line each: what the data threads see of it put together, then what each of them sees. Each thread watches
 * and ejects for itself, so the line shows the worst state and how many threads share it.
 */
import type { EndpointState } from '../upstream/state.ts'
import type { BackendStates, ThreadError, ThreadReport } from './control.ts'

/** Worst last. */
const STATES = ['available', 'probing', 'ejected', 'unhealthy'] as const
type State = (typeof STATES)[number]

interface Seen {
  readonly thread: number
  readonly endpoint: EndpointState
}

export interface EndpointLine {
  readonly url: string
  readonly address: string
  readonly weight: number
  readonly zone: string
  readonly priority: number
  /** The worst of what the threads see. */
  readonly state: State
  /** Why it is not available everywhere; null when it is. */
  readonly why: string | null
  /** Sums. */
  readonly in_flight: number
  readonly connections: number
  readonly idle: number
  readonly answered: number
  readonly failed: number
  /** In the windows of `ejection`, all threads; null when nobody ejects. */
  readonly requests: number | null
  readonly success_rate: number | null
  /** The slowest thread's view; null unless `balance: peak_ewma`. */
  readonly ewma_ms: number | null
  readonly threads: readonly ({ readonly thread: number; readonly state: State } & Omit<EndpointState, 'url' | 'address' | 'weight' | 'zone' | 'priority'>)[]
}

export interface BackendLines {
  readonly name: string
  readonly endpoints: readonly EndpointLine[]
}

/** @returns backends in the order of the first thread that knows them, and the threads that did not answer */
export function mergeBackends(reports: readonly ThreadReport<BackendStates>[]): { readonly backends: BackendLines[]; readonly errors: ThreadError[] } {
  const errors: ThreadError[] = []
  const byName = new Map<string, Map<string, Seen[]>>()
  for (const report of reports) {
    if ('error' in report) errors.push(report)
    else for (const [name, endpoints] of Object.entries(report.value)) collect(emplace(byName, name, () => new Map<string, Seen[]>()), report.thread, endpoints)
  }
  return { backends: [...byName].map(([name, endpoints]) => ({ name, endpoints: [...endpoints.values()].map(lineOf) })), errors }
}

/** The same url twice is two endpoints: the first of one thread is the first of the others. */
function collect(into: Map<string, Seen[]>, thread: number, endpoints: readonly EndpointState[]): void {
  const times = new Map<string, number>()
  for (const endpoint of endpoints) {
    const place = JSON.stringify([endpoint.url, endpoint.address])
    const nth = (times.get(place) ?? 0) + 1
    times.set(place, nth)
    emplace(into, `${place} ${nth}`, (): Seen[] => []).push({ thread, endpoint })
  }
}

function lineOf(seen: readonly Seen[]): EndpointLine {
  const { url, address, weight, zone, priority } = seen[0]!.endpoint
  const sum = (of: (endpoint: EndpointState) => number): number => seen.reduce((total, { endpoint }) => total + of(endpoint), 0)
  const judged = seen.filter(({ endpoint }) => endpoint.requests !== null)
  const requests = sum((endpoint) => endpoint.requests ?? 0)
  const paces = seen.flatMap(({ endpoint }) => endpoint.ewma_ms ?? [])
  const state = STATES.findLast((one) => seen.some(({ endpoint }) => stateOf(endpoint) === one))!
  return {
    url, address, weight, zone, priority, state,
    why: state === 'available' ? null : why(seen, state),
    in_flight: sum((endpoint) => endpoint.in_flight),
    connections: sum((endpoint) => endpoint.connections),
    idle: sum((endpoint) => endpoint.idle),
    answered: sum((endpoint) => endpoint.answered),
    failed: sum((endpoint) => endpoint.failed),
    requests: judged.length === 0 ? null : requests,
    success_rate: requests === 0 ? null : sum((endpoint) => (endpoint.requests ?? 0) * (endpoint.success_rate ?? 0)) / requests,
    ewma_ms: paces.length === 0 ? null : Math.max(...paces),
    threads: seen.map(({ thread, endpoint: { url: _url, address: _address, weight: _weight, zone: _zone, priority: _priority, ...own } }) => ({ thread, state: stateOf(own), ...own })),
  }
}

function stateOf({ health, ejection }: Pick<EndpointState, 'health' | 'ejection'>): State {
  if (health === 'unhealthy') return 'unhealthy'
  if (ejection === null) return 'available'
  return ejection.until === null ? 'probing' : 'ejected'
}

const REASONS = { consecutive: 'too many failures in a row', error_rate: 'too many of its answers were failures', probe: 'the request that tried it again failed' } as const

function why(seen: readonly Seen[], state: State): string {
  const those = seen.filter(({ endpoint }) => stateOf(endpoint) === state)
  const where = seen.length === 1 ? '' : ` (${those.length} of ${seen.length} threads)`
  if (state === 'unhealthy') return `its health checks fail${where}`
  // Of several ejections the one that lasts longest.
  const ejections = those.map(({ endpoint }) => endpoint.ejection!).toSorted((a, b) => (a.until ?? '').localeCompare(b.until ?? ''))
  const { until, reason, times } = ejections.at(-1)!
  const cause = reason === null ? 'ejected' : REASONS[reason]
  const often = times > 1 ? `, ${times} times in a row` : ''
  return until === null ? `${cause}${often}; it is tried with one request${where}` : `${cause}${often}; out until ${until}${where}`
}

function emplace<V>(map: Map<string, V>, key: string, make: () => V): V {
  const known = map.get(key)
  if (known !== undefined) return known
  const made = make()
  map.set(key, made)
  return made
}
