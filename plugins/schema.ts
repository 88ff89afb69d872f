import { AlarmBudget, MatrixColumns } from '../gateway/monitor/options.ts'
import { alarmState } from '../gateway/monitor/schema/alarms.ts'
import { ANOMALIES, UNREADABLE } from '../gateway/monitor/schema/anomalies.ts'
import { type Anomaly, schemaBytes, SchemaMonitor } from '../gateway/monitor/schema/monitor.ts'
import { type RuleOptions, rulesOf } from '../gateway/monitor/schema/rules.ts'
import { type Counter, Defaulted, Duration, type Exchange, FilePath, headers, Percent, plugin, problem, type Reply, reply, Type, WeirError } from '../gateway/plugin.ts'
import { hash53 } from '../gateway/stats/hash.ts'

export const MAX_FEATURES = 2000
/** Anomalies told in a header and in a message. */
const MAX_TOLD = 8
const HEADER = 'x-weir-schema'
const DAY_MS = 86_400_000

const Rule = Type.Object(
  {
    type: Type.Optional(Type.Enum(['INT', 'FLOAT', 'BYTES', 'BOOL'], { description: 'Type of the values. `INT` takes whole numbers however they are written, `BOOL` 0 and 1 too. Default: any.' })),
    required: Type.Optional(Type.Boolean({ description: 'Whether the column has to be there. Default: true.' })),
    nulls: Type.Optional(Percent({ description: 'Share of rows that may be null. Default: none.' })),
    nan: Type.Optional(Percent({ description: 'Share of values that may be NaN or infinite. Default: none.' })),
    min: Type.Optional(Type.Number({ description: 'Least value.' })),
    max: Type.Optional(Type.Number({ description: 'Greatest value.' })),
    values: Type.Optional(
      Type.Array(Type.Union([Type.String({ maxLength: 1024 }), Type.Number(), Type.Boolean()], { description: 'A value.' }), { description: 'The only values there are.', minItems: 1, maxItems: 100_000 }),
    ),
    mostly: Type.Optional(Percent({ description: 'Share of rows that keep type, range, values and length at least. Default: all.' })),
    length: Type.Optional(Type.Array(Type.Integer({ description: 'Values a row.', minimum: 0 }), { description: 'Values a row, at least and at most; `[1, 1]` is a value that is no list.', minItems: 2, maxItems: 2 })),
    ignore: Type.Optional(Type.Boolean({ description: 'Do not check this feature, whatever the profile says.' })),
  },
  { description: 'What a feature has to be.', additionalProperties: false },
)

export default plugin({
  name: 'schema',
  summary: 'Checks requests against a profile of the training data, or rules written by hand, and alarms when more rows break them than are tolerated.',
  stability: 'beta',
  onError: 'open',
  readsColumns: true,
  nesting: 'input',
  config: Type.Object(
    {
      profile: Type.Optional(FilePath({ description: 'A profile that `weir profile` made of the training data: types, presence, ranges, closed domains.' })),
      rules: Defaulted(Type.Record(Type.String({ maxLength: 256 }), Rule, { description: 'Rules by feature: alone, or instead of what the profile says of the same.', default: {}, maxProperties: MAX_FEATURES })),
      columns: MatrixColumns('those that are checked'),
      mode: Defaulted(Type.Enum(['observe', 'enforce'], { description: '`observe` counts, marks the access log and alarms; `enforce` does what `action` says too.', default: 'observe' })),
      action: Defaulted(
        Type.Enum(['tag', 'reject', 'fallback'], {
          description: 'With `enforce`, what becomes of a request with anomalies. `tag` answers it with the header `x-weir-schema: <anomaly>;<feature>`, `reject` with 422 and what is wrong with it, `fallback` keeps it from its backend: a `fallback` of the route that lists `schema` asks another.',
          default: 'tag',
        }),
      ),
      window: Defaulted(Duration({ description: 'Rows are judged together for alarms in windows of this length, from 10 s to 7 days. Windows with less than 30 rows are joined.', default: '1h' })),
      tolerance: Defaulted(Percent({ description: 'Share of the rows of a window that may break any rule before it is an alarm.', default: '0.1%' })),
      alarm_budget: AlarmBudget,
      new_columns: Defaulted(Type.Enum(['ignore', 'report'], { description: 'Columns that neither profile nor rules tell of. Apps send keys and context along.', default: 'ignore' })),
      rows: Type.Optional(
        Type.Object(
          {
            min: Type.Optional(Type.Integer({ description: 'Rows of a window, at least.', minimum: 1 })),
            max: Type.Optional(Type.Integer({ description: 'Rows of a window, at most.', minimum: 1 })),
          },
          { description: 'Alarms when a window has fewer or more rows.', additionalProperties: false },
        ),
      ),
    },
    { additionalProperties: false },
  ),
  example: { rules: { age: { type: 'INT', min: 18, max: 120, nulls: '5%' }, plan: { values: ['basic', 'standard', 'premium'] } }, mode: 'enforce', action: 'tag' },
  alarms: ['schema'],
  metrics: {
    requests_total: { type: 'counter', help: 'Requests by verdict; unreadable ones could not be checked.', labels: { verdict: ['valid', 'invalid', 'unreadable'] } },
    anomalies_total: { type: 'counter', help: 'Rows that broke a rule, tolerated or not, by feature and anomaly (names of TensorFlow Data Validation).', labels: { feature: 'config', anomaly: ANOMALIES } },
    alarms: { type: 'gauge', help: 'Shares of rows that are beyond what is tolerated now.' },
  },

  check({ profile, rules, window, rows }) {
    if (profile === undefined && Object.keys(rules).length === 0) return '`profile` or `rules` is needed: there is nothing to check requests against'
    if (window < 10_000 || window > 7 * DAY_MS) return `\`window\` is ${window / 1000} s; from 10 s to 7 days are supported`
    const empty = Object.entries(rules).find(([, { min = -Infinity, max = Infinity, length }]) => min > max || (length !== undefined && length[0]! > length[1]!))
    if (empty !== undefined) return `\`rules\` of "${empty[0]}" leave no value: the lower bound is above the upper one`
    return rows?.min !== undefined && rows.max !== undefined && rows.min > rows.max ? '`rows.min` is above `rows.max`' : undefined
  },

  async build(config, host) {
    const { window, action, rows: volume } = config
    const tolerance = config.tolerance / 100
    const profile = config.profile === undefined ? null : host.profile(config.profile)
    const rules = rulesOf(profile, config.rules as Readonly<Record<string, RuleOptions>>, tolerance)
    if (rules.features.length > MAX_FEATURES) throw new Error(`${rules.features.length} features are to be checked, at most ${MAX_FEATURES} are supported; \`ignore\` some in \`rules\``)
    const key = `${hash53(JSON.stringify([rules, window, tolerance]))}`
    const memory = await host.parts(key, schemaBytes(rules))
    const options = { window, tolerance, budget: config.alarm_budget, newColumns: config.new_columns === 'report', matrix: config.columns ?? null, leastRows: volume?.min ?? 0, mostRows: volume?.max ?? Infinity }
    const counters = new Map<string, Counter>()
    const monitor = new SchemaMonitor(rules, options, memory, host.keep(key, () => alarmState(rules.features.length)), (anomaly, feature, rows) => counterOf(anomaly, feature).add(rows))
    const verdicts = { valid: host.metrics.requests_total({ verdict: 'valid' }), invalid: host.metrics.requests_total({ verdict: 'invalid' }), unreadable: host.metrics.requests_total({ verdict: 'unreadable' }) }
    const active = host.metrics.alarms()
    /** Of the few requests that have any. */
    const known = new WeakMap<Exchange, readonly Anomaly[]>()
    const does = config.mode === 'enforce' ? action : null

    /** Bound when first needed: most features never have most anomalies. Features are names of the file or the profile. */
    function counterOf(anomaly: string, feature: string): Counter {
      const name = `${anomaly} ${feature}`
      const counter = counters.get(name) ?? host.metrics.anomalies_total({ feature, anomaly })
      counters.set(name, counter)
      return counter
    }

    function judge(): void {
      const { alarms, ended } = monitor.close(host.wall())
      for (const alarm of alarms) host.alarm(alarm)
      for (const { feature, anomaly, since } of ended) host.log.info('an anomaly is over', { feature, anomaly, since: new Date(since).toISOString() })
      active.set(monitor.active)
    }
    if (host.leader) {
      judge()
      host.every(Math.min(15_000, window / 4), judge)
    }

    function anomaliesOf(x: Exchange): readonly Anomaly[] | null {
      try {
        const { input } = x
        if (input.raw !== undefined) return unreadable('the bytes of a tensor whose name only the model knows')
        const anomalies = monitor.observe(input, host.wall())
        ;(anomalies === null ? verdicts.valid : verdicts.invalid).add()
        return anomalies
      } catch (error) {
        if (!(error instanceof WeirError)) throw error
        return unreadable(error.message)
      }
    }

    /** Said so, rather than passed as if it were fine. */
    function unreadable(found: string): readonly Anomaly[] {
      monitor.unreadable(host.wall())
      counterOf(UNREADABLE, '').add()
      verdicts.unreadable.add()
      return [{ anomaly: UNREADABLE, feature: '', row: 0, expected: 'a body in the format of the route', found, rows: 0 }]
    }

    return {
      requestBody(x): Reply | undefined {
        if (x.body === null) return undefined
        const anomalies = anomaliesOf(x)
        if (anomalies === null) return undefined
        known.set(x, anomalies)
        ;(x.flags ??= []).push(`schema:${told(anomalies[0]!)}${anomalies.length > 1 ? `+${anomalies.length - 1}` : ''}`)
        return does === 'reject' ? refusal(x, anomalies) : undefined
      },
      ...(does !== null && {
        response(x: Exchange): void {
          const anomalies = known.get(x)
          if (anomalies !== undefined) headers.set(x.answer!.headers, HEADER, headerOf(anomalies))
        },
      }),
      ...(does === 'fallback' && {
        send: (next) => (x, leg) => {
          const anomalies = known.get(x)
          // Who is asked instead may take what the first target must not get.
          return anomalies !== undefined && leg.backend === x.leg.backend ? Promise.reject(new WeirError('SCHEMA', sentence(anomalies))) : next(x, leg)
        },
      }),
      admin: {
        'GET /state': {
          summary: 'What was counted in the windows judged last, what is tolerated, which alarms are on, and the rules that the rows would pass.',
          handle: () => (host.leader ? monitor.report() : null),
          merge: (parts) => parts.find((part) => part !== null) ?? null,
        },
      },
    }
  },
})

/** `<anomaly>;<feature>`, the feature in what a header may hold. */
function told({ anomaly, feature }: Anomaly): string {
  return feature === '' ? anomaly : `${anomaly};${encodeURIComponent(feature.slice(0, 64).toWellFormed())}`
}

function headerOf(anomalies: readonly Anomaly[]): string {
  return anomalies.slice(0, MAX_TOLD).map(told).join(', ')
}

function sentence(anomalies: readonly Anomaly[]): string {
  const parts = anomalies.slice(0, MAX_TOLD).map(({ feature, row, expected, found }) => `${feature === '' ? '' : `${JSON.stringify(feature)} in row ${row}: `}expected ${expected}, found ${found}`)
  const rest = anomalies.length - parts.length
  return `${parts.join('; ')}${rest > 0 ? ` and ${rest} more` : ''}`
}

function refusal(x: Exchange, anomalies: readonly Anomaly[]): Reply {
  const error = new WeirError('SCHEMA', sentence(anomalies))
  x.error ??= error
  const plain = problem(error, x.requestId)
  const answer = reply(plain.status, { error: error.message, code: error.code, request_id: x.requestId, anomalies: anomalies.slice(0, MAX_TOLD) }, [HEADER, headerOf(anomalies)])
  answer.code = plain.code
  return answer
}
