import { bucketBytes, Buckets } from '../gateway/stats/buckets.ts'
import { Defaulted, type Exchange, plugin, problem, type Reply, SelectorText, Type, WeirError } from '../gateway/plugin.ts'

/** Longest time a bucket may take to fill, seconds: what the buckets' clock can tell apart. */
const LONGEST_S = 86_400

export default plugin({
  name: 'rate_limit',
  summary: 'Answers 429 to callers that ask more often than a token bucket allows; one bucket for all data threads.',
  stability: 'stable',
  onError: 'closed',
  config: Type.Object(
    {
      per_second: Type.Number({ description: 'Tokens a bucket gains in a second; a request costs one. For the gateway as a whole, however many threads it has.', exclusiveMinimum: 0, maximum: 100_000 }),
      burst: Type.Optional(Type.Number({ description: 'Tokens a full bucket holds: how many requests may come at once. Default: one second of `per_second`, at least 1.', minimum: 1, maximum: 1_000_000 })),
      key: Type.Optional(SelectorText({ description: 'What has a bucket of its own, such as `header.x-user-id` or `client.ip`. Requests without the value share one bucket. Default: one bucket for the route.' })),
      keys: Defaulted(Type.Integer({ description: 'Buckets that are remembered, 8 bytes each. When they run out the fullest ones, which lose the least by it, make room.', minimum: 8, maximum: 10_000_000, default: 100_000 })),
      mode: Defaulted(Type.Enum(['enforce', 'observe'], { description: '`observe` lets everything through, counts what would have been refused and marks it in the access log.', default: 'enforce' })),
    },
    { additionalProperties: false },
  ),
  example: { key: 'header.x-user-id', per_second: 50, burst: 100 },
  metrics: {
    total: { type: 'counter', help: 'Requests by decision; `observed` ones would have been limited.', labels: { decision: ['passed', 'limited', 'observed'] } },
    evictions_total: { type: 'counter', help: 'Buckets forgotten before they were full because `keys` was reached.' },
  },

  check({ per_second, burst }) {
    const fill = (burst ?? 1) / per_second
    return fill > LONGEST_S ? `a bucket of \`burst\` ${burst ?? 1} takes ${Math.round(fill)} s to fill at \`per_second\` ${per_second}, at most ${LONGEST_S} s (a day) is supported` : undefined
  },

  async build({ per_second, burst = Math.max(1, per_second), key, keys, mode }, host) {
    const selector = key === undefined ? null : host.selector(key)
    const size = selector === null ? 8 : keys
    // Other numbers are other buckets: a key must not owe what it took under another limit.
    const memory = await host.share(`buckets ${per_second} ${burst} ${key ?? ''} ${size}`, bucketBytes(size))
    const buckets = new Buckets(memory, per_second, burst)
    const passed = host.metrics.total({ decision: 'passed' })
    const limited = host.metrics.total({ decision: 'limited' })
    const observed = host.metrics.total({ decision: 'observed' })
    const evictions = host.metrics.evictions_total()

    function limit(x: Exchange): Reply | undefined {
      const { wait_ms, evicted } = buckets.take(selector?.read(x) ?? '', host.now())
      if (evicted) evictions.add()
      if (wait_ms === 0) {
        passed.add()
        return undefined
      }
      if (mode === 'observe') {
        observed.add()
        ;(x.flags ??= []).push('rate_limit:observed')
        return undefined
      }
      limited.add()
      x.leg.trace?.event('rate_limited')
      return refusal(x, wait_ms)
    }

    return selector?.body === true ? { requestBody: limit } : { request: limit }
  },
})

function refusal(x: Exchange, wait_ms: number): Reply {
  const error = new WeirError('RATE_LIMITED')
  error.retryAfter = wait_ms / 1000
  x.error ??= error
  return problem(error, x.requestId)
}
