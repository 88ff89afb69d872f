/** What the loader needs, small and known: plugins with every kind of option. */
import { Arms, BackendName, ConditionText, Duration, FilePath, Percent, type Plugin, plugin, SelectorText, SinkName, Size, Type } from '../../gateway/plugin.ts'
import type { LoaderParts } from '../../config/load.ts'

const strict = { additionalProperties: false }

const timeout = plugin({
  name: 'timeout',
  summary: 'Limits of time.',
  stability: 'beta',
  config: Type.Object({ total: Type.Optional(Duration({ description: 'Whole exchange.' })), per_try: Type.Optional(Duration({ description: 'One attempt.' })) }, strict),
  example: { total: '1s' },
  nesting: 'total',
  onError: 'closed',
  check: ({ total, per_try }) => (total !== undefined && per_try !== undefined && per_try > total ? '`per_try` is longer than `total`' : undefined),
  build: () => ({}),
})

const split = plugin({
  name: 'split',
  summary: 'Weighted arms.',
  stability: 'beta',
  config: Type.Object({ by: Type.Optional(SelectorText({ description: 'Unit.' })), arms: Arms({ description: 'Weights.' }) }, strict),
  example: { arms: { a: 1, b: 1 } },
  onError: 'closed',
  build: () => ({}),
})

const fallback = plugin({
  name: 'fallback',
  summary: 'Ordered targets.',
  stability: 'beta',
  config: Type.Object(
    {
      to: Type.Array(BackendName({ description: 'A target.' }), { minItems: 1, description: 'Targets.' }),
      on: Type.Array(Type.Union([Type.Literal('timeout'), Type.Literal('connect'), Type.Literal('5xx')]), { description: 'Reasons.', default: ['timeout', 'connect'] }),
    },
    { ...strict, required: ['to'] },
  ),
  example: { to: ['a'] },
  nesting: 'fallback',
  onError: 'closed',
  build: () => ({}),
})

const rate_limit = plugin({
  name: 'rate_limit',
  summary: 'Token buckets.',
  stability: 'beta',
  config: Type.Object(
    {
      per_second: Type.Number({ exclusiveMinimum: 0, description: 'Sustained rate of each bucket.' }),
      key: SelectorText({ description: 'Who is counted.', default: 'client.ip' }),
      share: Type.Optional(Percent({ description: 'Share of the requests.' })),
      memory: Size({ description: 'For keys.', default: '1MiB' }),
      when: Type.Optional(ConditionText({ description: 'Only these.' })),
    },
    { ...strict, required: ['per_second'] },
  ),
  example: { per_second: 1 },
  onError: 'open',
  build: () => ({}),
})

const record = plugin({
  name: 'record',
  summary: 'Keeps what passes.',
  stability: 'beta',
  config: Type.Object({ sink: SinkName({ description: 'Where to.' }) }, { ...strict, required: ['sink'] }),
  example: { sink: 'lake' },
  onError: 'open',
  build: () => ({}),
})

const compare = plugin({
  name: 'compare',
  summary: 'Looks into a file.',
  stability: 'beta',
  config: Type.Object({ to: FilePath({ description: 'What with.' }) }, { ...strict, required: ['to'] }),
  example: { to: './a.json' },
  onError: 'open',
  build: () => ({}),
})

const watch = plugin({
  name: 'watch',
  summary: 'Looks at columns.',
  stability: 'beta',
  config: Type.Object({}, strict),
  example: {},
  onError: 'open',
  readsColumns: true,
  build: () => ({}),
})

export const parts: LoaderParts = {
  plugins: new Map([timeout, split, fallback, rate_limit, record, compare, watch].map((one) => [one.name, one as unknown as Plugin])),
  importUserPlugin: async (file) => {
    if (file.endsWith('good_plugin.ts')) return { ...rate_limit, name: 'mine' } as unknown as Plugin
    throw new Error('the file cannot be loaded')
  },
  parallelism: 2,
}
