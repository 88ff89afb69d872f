import { choose, draw, type Weighted } from '../gateway/stats/choose.ts'
import { Arms, BackendName, type Counter, type Exchange, plugin, SelectorText, Type } from '../gateway/plugin.ts'

export default plugin({
  name: 'split',
  summary: 'Sends shares of the traffic to different backends, at random or the same unit always to the same one.',
  stability: 'stable',
  onError: 'closed',
  config: Type.Object(
    {
      arms: Arms({ description: 'Backend: weight. Weights are relative to their sum; 0 switches an arm off.' }),
      by: Type.Optional(SelectorText({ description: 'The unit that stays in its arm, such as `header.x-user-id`. Raising the weight of an arm only adds units to it. Without it every request is drawn at random.' })),
      salt: Type.Optional(
        Type.String({
          description: 'Goes into the hash with the unit. The same salt and weights give the same arms on every machine; another salt deals all units anew. Default: the name of the route. The arm with the least −ln(u) / weight wins, where u = (h + 0.5) / 2^53 and h is the first 53 bits of the SHA-256 of salt, NUL, arm, NUL, unit in UTF-8.',
          minLength: 1,
          maxLength: 256,
        }),
      ),
      default: Type.Optional(BackendName({ description: 'The arm of requests without the unit. Without it they are drawn at random, each for itself.' })),
    },
    { additionalProperties: false },
  ),
  example: { by: 'header.x-user-id', arms: { main: 95, candidate: 5 } },
  metrics: { total: { type: 'counter', help: 'Requests by arm.', labels: { arm: 'config' } } },

  check({ arms, by, ...config }) {
    const weights = Object.values(arms)
    if (!weights.some((weight) => weight > 0)) return 'the weights of `arms` sum to 0: give at least one arm a weight'
    if (config.default !== undefined && by === undefined) return '`default` is for requests without the unit: it needs `by`'
    if (config.default !== undefined && !Object.hasOwn(arms, config.default)) return `\`default\` "${config.default}" is not one of the arms: ${Object.keys(arms).join(', ')}`
    return undefined
  },

  build({ arms, by, salt, default: fallback }, host) {
    const all = Object.keys(arms).map((name) => ({ backend: host.backend(name), counter: host.metrics.total({ arm: name }) as Counter }))
    const live = all.map(({ backend, counter }) => ({ name: backend.name, weight: arms[backend.name]!, backend, counter })).filter((arm) => arm.weight > 0)
    const weighted: readonly Weighted[] = live
    const home = all.find((arm) => arm.backend.name === fallback) ?? null
    const unitOf = by === undefined ? null : host.selector(by)
    const seed = salt ?? host.route

    function split(x: Exchange): void {
      const arm = pick(x)
      arm.counter.add()
      x.arm = arm.backend.name
      x.leg.backend = arm.backend
    }

    function pick(x: Exchange): (typeof all)[number] {
      const unit = unitOf?.read(x)
      if (unit !== undefined) return live[choose(weighted, seed, unit)]!
      if (unitOf !== null && home !== null) return home
      return live[draw(weighted, Math.random())]!
    }

    return unitOf?.body === true ? { requestBody: split, picksBackend: true } : { request: split, picksBackend: true }
  },
})
