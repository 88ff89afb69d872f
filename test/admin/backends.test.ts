/** What the data threads see of endpoints, put together; expected values by hand. */
import { describe, expect, it } from 'vitest'
import { mergeBackends } from '../../gateway/admin/backends.ts'
import type { EndpointState } from '../../gateway/upstream/state.ts'

const calm: EndpointState = {
  url: 'http://10.0.0.5:8501', address: '', weight: 1, zone: '', priority: 0, health: 'unknown', ejection: null, requests: null, success_rate: null,
  ewma_ms: null, in_flight: 0, connections: 0, idle: 0, answered: 0, failed: 0,
}
const out = (until: string | null, times = 1): EndpointState['ejection'] => ({ until, probing: until === null, reason: 'consecutive', times })

/** The one line of the one backend of threads that see this. */
function line(...seen: Partial<EndpointState>[]) {
  const { backends } = mergeBackends(seen.map((one, thread) => ({ thread, value: { up: [{ ...calm, ...one }] } })))
  expect(backends.map(({ name, endpoints }) => [name, endpoints.length])).toEqual([['up', 1]])
  return backends[0]!.endpoints[0]!
}

describe('one endpoint, several threads', () => {
  it('sums what adds up, weighs rates by requests, keeps the slowest pace', () => {
    const a = { in_flight: 1, connections: 3, idle: 2, answered: 100, failed: 4, requests: 10, success_rate: 1, ewma_ms: 5 }
    const b = { in_flight: 2, connections: 2, idle: 0, answered: 50, failed: 0, requests: 30, success_rate: 0.6, ewma_ms: 9 }
    expect(line(a, b)).toMatchObject({ in_flight: 3, connections: 5, idle: 2, answered: 150, failed: 4, requests: 40, success_rate: 28 / 40, ewma_ms: 9, state: 'available', why: null })
  })

  it('a thread without requests says nothing of the rate', () => {
    expect(line({ requests: 0, success_rate: null }, { requests: 4, success_rate: 0.5 })).toMatchObject({ requests: 4, success_rate: 0.5 })
    expect(line({ requests: 0, success_rate: null })).toMatchObject({ requests: 0, success_rate: null })
    expect(line({})).toMatchObject({ requests: null, success_rate: null, ewma_ms: null })
  })

  it.each<[string, Partial<EndpointState>[], string, RegExp | null]>([
    ['healthy everywhere', [{ health: 'healthy' }, { health: 'unknown' }], 'available', null],
    ['ejected in one of three', [{}, { ejection: out('2026-01-31T12:00:05.000Z') }, {}], 'ejected', /^too many failures in a row; out until 2026-01-31T12:00:05\.000Z \(1 of 3 threads\)$/],
    ['ejected longer in one', [{ ejection: out('2026-01-31T12:00:05.000Z') }, { ejection: out('2026-01-31T12:00:09.000Z', 3) }], 'ejected', /3 times in a row; out until 2026-01-31T12:00:09\.000Z \(2 of 2 threads\)$/],
    ['probing', [{ ejection: out(null) }], 'probing', /^too many failures in a row; it is tried with one request$/],
    ['ejected is worse than probing', [{ ejection: out(null) }, { ejection: out('2026-01-31T12:00:05.000Z') }], 'ejected', /1 of 2 threads/],
    ['unhealthy is worst', [{ ejection: out('2026-01-31T12:00:05.000Z') }, { health: 'unhealthy' }], 'unhealthy', /^its health checks fail \(1 of 2 threads\)$/],
  ])('%s', (_name, seen, state, why) => {
    const { state: got, why: said, threads } = line(...seen)
    expect(got).toBe(state)
    if (why === null) expect(said).toBeNull()
    else expect(said).toMatch(why)
    expect(threads.map(({ thread }) => thread)).toEqual(seen.map((_, thread) => thread))
  })

  it('each thread keeps its own view, without what all have in common', () => {
    const { threads } = line({ ejection: out('2026-01-31T12:00:05.000Z'), in_flight: 2 }, {})
    const { url: _url, address: _address, weight: _weight, zone: _zone, priority: _priority, ...rest } = calm
    expect(threads).toEqual([
      { thread: 0, state: 'ejected', ...rest, ejection: out('2026-01-31T12:00:05.000Z'), in_flight: 2 },
      { thread: 1, state: 'available', ...rest },
    ])
  })
})

describe('several', () => {
  it('addresses of one name, and one address twice, are lines of their own; a thread may know fewer', () => {
    const at = (address: string, in_flight: number): EndpointState => ({ ...calm, address, in_flight })
    const { backends } = mergeBackends([
      { thread: 0, value: { up: [at('10.0.0.1', 1), at('10.0.0.2', 2), at('10.0.0.2', 4)], other: [calm] } },
      { thread: 1, value: { up: [at('10.0.0.2', 8), at('10.0.0.2', 16)] } },
    ])
    expect(backends.map(({ name, endpoints }) => [name, endpoints.map(({ address, in_flight, threads }) => [address, in_flight, threads.length])])).toEqual([
      ['up', [['10.0.0.1', 1, 1], ['10.0.0.2', 10, 2], ['10.0.0.2', 20, 2]]],
      ['other', [['', 0, 1]]],
    ])
  })

  it('threads that failed are named', () => {
    expect(mergeBackends([{ thread: 1, error: 'late' }])).toEqual({ backends: [], errors: [{ thread: 1, error: 'late' }] })
  })
})
