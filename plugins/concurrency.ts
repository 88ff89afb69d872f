import { hash } from 'node:crypto'
import { Defaulted, Duration, type Exchange, Limiter, type LimiterMetrics, plugin, SelectorText, type Send, Type } from '../gateway/plugin.ts'

/** Longer values are known by their digest, so that a caller cannot make the gateway keep its header. */
const LONGEST_KEY = 64

export default plugin({
  name: 'concurrency',
  summary: 'Limits how many requests of a route are under way at the same time; some wait for a place, the others get 503.',
  stability: 'beta',
  onError: 'closed',
  nesting: 'admission',
  config: Type.Object(
    {
      max: Defaulted(Type.Integer({ description: 'Most requests under way, until the last byte of their answers, per data thread.', minimum: 1, maximum: 1_000_000, default: 100 })),
      queue: Defaulted(Type.Integer({ description: 'Most requests that wait for a place (503 beyond).', minimum: 0, maximum: 1_000_000, default: 20 })),
      queue_wait: Defaulted(Duration({ description: 'Longest wait for a place (503 beyond). It counts against `total` of the timeout plugin.', default: '200ms' })),
      by: Type.Optional(SelectorText({ description: 'Whatever has a limit and a queue of its own, such as `header.x-user-id`; requests without the value share one. Only those with requests under way are remembered.' })),
      adaptive: Type.Optional(
        Type.Object(
          { min: Defaulted(Type.Integer({ description: 'The limit never falls below.', minimum: 1, maximum: 1_000_000, default: 3 })) },
          { description: 'Let the limit follow latency, between `min` and `max`.', additionalProperties: false },
        ),
      ),
    },
    { additionalProperties: false },
  ),
  example: { max: 100, queue: 20, queue_wait: '200ms' },
  metrics: {
    limit: { type: 'gauge', help: 'Requests that may be under way, all data threads together; 0 with `by`.' },
    queued: { type: 'gauge', help: 'Requests that wait for a place.' },
    refused_total: { type: 'counter', help: 'Requests answered 503: no place to wait (queue_full), or no place in time (queue_wait).', labels: { reason: ['queue_full', 'queue_wait'] } },
  },

  check({ max, by, adaptive }) {
    if (adaptive !== undefined && adaptive.min > max) return `\`adaptive.min\` (${adaptive.min}) is more than \`max\` (${max}): the limit moves between the two`
    if (adaptive !== undefined && by !== undefined) return '`adaptive` does not go with `by`: one value has too few requests to tell latency from chance'
    return undefined
  },

  build({ max, queue, queue_wait, by, adaptive }, host) {
    const options = { in_flight: max, queue, queue_wait_ms: queue_wait, adaptive: adaptive ?? null }
    const { limit, queued, refused_total } = host.metrics
    const cells: LimiterMetrics = { queued: queued(), limit: by === undefined ? limit() : null, full: refused_total({ reason: 'queue_full' }), late: refused_total({ reason: 'queue_wait' }) }
    const make = () => new Limiter(options, 'the route', cells, () => host.now())
    const key = JSON.stringify([options, by])

    if (by === undefined) {
      // What is under way on the generation before counts in this one.
      const kept = host.keep(key, () => ({ limiter: make(), users: 0 }))
      kept.users++
      const close = (): void => {
        if (--kept.users === 0) kept.limiter.close()
      }
      return { send: (next) => (x, leg) => kept.limiter.run(x, leg, next, host.after), close }
    }

    const selector = host.selector(by)
    /** Bounded by the exchanges under way: one that is idle is forgotten. */
    const limiters = host.keep(key, () => new Map<string, Limiter>())

    function begun(value: string): Limiter {
      const limiter = make()
      limiter.emptied = () => limiters.delete(value)
      limiters.set(value, limiter)
      return limiter
    }

    const perValue = (next: Send): Send =>
      function perValue(x, leg) {
        const value = keyOf(selector.read(x) ?? '')
        return (limiters.get(value) ?? begun(value)).run(x, leg, next, host.after)
      }

    return selector.body ? { send: perValue, requestBody: (_x: Exchange) => undefined } : { send: perValue }
  },
})

function keyOf(value: string): string {
  return value.length <= LONGEST_KEY ? value : hash('sha256', value, 'base64')
}
