import { type Compared, DriftState, PARTS } from '../gateway/monitor/drift/drift.ts'
import { bytesOf, type DriftMemory, DriftMonitor, layoutOf, scoresOf, SHARE_NAMES } from '../gateway/monitor/drift/monitor.ts'
import { RATES, Rates } from '../gateway/monitor/drift/rates.ts'
import { complaintOf, timesOf } from '../gateway/monitor/drift/times.ts'
import { planOf, SHARES, STATISTICS, type Watched } from '../gateway/monitor/drift/watched.ts'
import { Defaulted, Duration, type Exchange, FilePath, headers, Percent, plugin, Type, WeirError } from '../gateway/plugin.ts'

const COMPARED = ['training', 'previous', 'seasons', 'last_week'] as const
const HEADER = 'x-weir-outlier'
/** However far away the end of a stretch is: a clock that was set is noticed within this time. */
const LONGEST_WAIT_MS = 60_000
const SHOWN_AT_ONCE = 16
const STATES = { ok: 0, alarm: 1, insufficient_data: 2, missing: 3 } as const

const Feature = Type.Object(
  {
    threshold: Type.Optional(Type.Number({ description: 'Least effect that is an alarm, in the unit of the statistic and without its bias. Default: js_bits 0.05 (a shift of 0.55 standard deviations), psi 0.25, ks 0.2, wasserstein_sd 0.5, l_infinity 0.1, tfdv_js_bits 0.1.', exclusiveMinimum: 0 })),
    statistic: Type.Optional(Type.Enum(STATISTICS, { description: 'What is judged: of numbers js_bits unless told otherwise, of categories l_infinity. Categories have no ks and no wasserstein_sd.' })),
    watch: Type.Optional(Type.Boolean({ description: '`false`: this column is not watched.' })),
  },
  { description: 'How a column is judged.', additionalProperties: false },
)

export default plugin({
  name: 'drift',
  summary: 'Compares requests and answers with the training data, the window before and earlier seasons, and alarms within a budget of false alarms.',
  stability: 'beta',
  onError: 'open',
  readsColumns: true,
  config: Type.Object(
    {
      profile: FilePath({ description: 'A profile that `weir profile` made of the training data. Columns with the role `feature` are watched in requests, with the role `prediction` in answers.' }),
      window: Defaulted(
        Duration({
          description: 'Rows are compared in windows of this length, from 1m to the length of a season, of which it is a whole part. Against the training data a window is a score; alarms come from whole seasons, from the same time in earlier seasons, and from shares of nulls, NaN, unlisted and default values.',
          default: '5m',
        }),
      ),
      season: Defaulted(Duration({ description: 'After so long the hours of the traffic repeat themselves: 1d, or 7d where weekends differ much. At most 7d.', default: '1d' })),
      alarm_budget: Defaulted(Type.Number({ description: 'False alarms a week to be expected at most, over all that this plugin judges on the route.', default: 1, exclusiveMinimum: 0, maximum: 1000 })),
      persistence: Defaulted(Type.Integer({ description: 'Windows (or judgements of a season) in a row that must show a change before it is an alarm.', default: 1, minimum: 1, maximum: 100 })),
      shares: Defaulted(Percent({ description: 'By how much a share of nulls, NaN, infinite, mistyped, default or outlying values has to rise to matter. Of unlisted values a tenth of a per cent, or twice what the training data lets expect, is enough.', default: '1%' })),
      compare: Defaulted(Type.Array(Type.Enum(COMPARED, { description: 'The other side.' }), { description: 'What distributions are compared with. `training` and `seasons` (the same time in at least two earlier seasons) raise alarms, `previous` (the window before) and `last_week` are shown.', default: [...COMPARED], maxItems: 4 })),
      features: Defaulted(Type.Record(Type.String({ maxLength: 256 }), Feature, { description: 'Columns of the profile that are judged otherwise.', default: {}, maxProperties: 10_000 })),
      outputs: Defaulted(Type.Boolean({ description: 'Whether answers are watched where the profile has predictions: they are then held until they are whole.', default: true })),
      outliers: Defaulted(
        Type.Object(
          {
            fence: Defaulted(Type.Number({ description: 'A prediction this many interquartile ranges beyond the quartiles of the training data is an outlier (Tukey: 1.5 mild, 3 extreme).', default: 3, exclusiveMinimum: 0, maximum: 1000 })),
            action: Defaulted(Type.Enum(['none', 'flag', 'tag'], { description: '`none` counts outliers and alarms when their share rises, `flag` marks the access log too, `tag` also answers with `x-weir-outlier: <column>`.', default: 'none' })),
          },
          { description: 'Single predictions far from the others.', additionalProperties: false, default: {} },
        ),
      ),
      rates: Defaulted(
        Type.Array(Type.Enum(RATES, { description: 'A rate.' }), {
          description: 'Rates that are compared with the same time in earlier seasons, at least two, by CUSUM: `traffic` (requests), `latency`, `errors` (5xx, or no answer), `defaults` (values that are missing or stand for "not known").',
          default: [], maxItems: 4,
        }),
      ),
      columns: Type.Optional(Type.Array(Type.String({ description: 'A feature.', minLength: 1 }), { description: 'Features in the order of the model\'s matrix, where requests are one tensor. Default: those of the profile.', minItems: 1, maxItems: 65_536 })),
    },
    { additionalProperties: false },
  ),
  example: { profile: './profiles/churn.json', window: '5m', alarm_budget: 1, features: { age: { threshold: 0.1 }, region: { watch: false } }, outliers: { action: 'flag' } },
  alarms: ['drift', 'prediction', 'outlier', 'rate'],
  metrics: {
    rows_total: { type: 'counter', help: 'Rows of requests that were counted.' },
    unreadable_total: { type: 'counter', help: 'Requests and answers that could not be counted, because nobody could read them.', labels: { side: ['request', 'answer'] } },
    outliers_total: { type: 'counter', help: 'Answers with a prediction beyond the fence.', labels: { feature: 'config' } },
    score: { type: 'gauge', help: 'Of the last window against the training data: distances without what chance explains, and shares. NaN: nothing to compare.', labels: { feature: 'config', statistic: [...STATISTICS, ...SHARE_NAMES] } },
    state: { type: 'gauge', help: '0 = as expected, 1 = alarm, 2 = too few rows to tell, 3 = the column never came.', labels: { feature: 'config' } },
    alarms: { type: 'gauge', help: 'Causes of alarms that are on now.' },
  },

  check({ window, season }) {
    return complaintOf(window, season)
  },

  async build(config, host) {
    const rules = new Map(Object.entries(config.features).map(([name, { threshold = null, statistic = null, watch = true }]) => [name, watch ? { threshold, statistic } : null]))
    const plan = planOf(host.profile(config.profile), rules, config.outputs)
    const times = timesOf(config.window, config.season)
    const key = layoutOf(plan, times)
    const memory = await memoryOf()
    const options = { budget: config.alarm_budget, persistence: config.persistence, share: config.shares / 100, fence: config.outliers.fence, compared: new Set<Compared>(config.compare) }
    const rates = config.rates.length === 0 ? null : host.keep(`rates ${key} ${config.rates.join()} ${config.alarm_budget}`, () => new Rates(plan, times, config.rates, config.alarm_budget / PARTS))
    const monitor = new DriftMonitor(plan, times, options, memory, host.keep(`state ${key}`, () => new DriftState()), { matrix: config.columns ?? null, rates })
    const rows = host.metrics.rows_total()
    const unreadable = { request: host.metrics.unreadable_total({ side: 'request' }), answer: host.metrics.unreadable_total({ side: 'answer' }) }
    const outliers = new Map(plan.features.filter(({ side }) => side === 'output').map((watched) => [watched, host.metrics.outliers_total({ feature: watched.name })]))
    const { action } = config.outliers
    if (host.leader) lead()

    /** @throws Error when it is more than is allowed, which of one thread is known before any is taken */
    async function memoryOf(): Promise<DriftMemory> {
      const parts = await host.parts(key, bytesOf(plan, times, 1).part)
      const threads = parts.all.length
      return { ...parts, history: await host.share(`history ${key} ${threads}`, bytesOf(plan, times, threads).history) }
    }

    /** Judges, on one thread for all. */
    function lead(): void {
      const gauges = plan.features.map((watched) => ({
        watched, state: host.metrics.state({ feature: watched.name }),
        scores: new Map([...scoresOf(watched), ...(watched.side === 'output' ? SHARE_NAMES : SHARES)].map((statistic) => [statistic, host.metrics.score({ feature: watched.name, statistic })])),
      }))
      const active = host.metrics.alarms()
      let shown: unknown = null
      let warned = false

      function judge(): void {
        const now = host.wall()
        const { alarms, ended } = monitor.tick(now)
        for (const alarm of alarms) host.alarm(alarm)
        for (const { feature, cause, since } of ended) host.log.info('drift is over', { feature, cause, since: new Date(since).toISOString() })
        if (monitor.drift.state.last !== shown) show()
        host.after(Math.max(1, Math.min(LONGEST_WAIT_MS, monitor.drift.due(now))), judge)
      }

      /** A few columns at a time: requests need not wait for all of them. */
      function show(from = 0): void {
        shown = monitor.drift.state.last
        for (const { watched, scores, state } of gauges.slice(from, from + SHOWN_AT_ONCE)) {
          monitor.scores(watched, (name, value) => scores.get(name)?.set(value))
          state.set(STATES[monitor.status(watched)])
        }
        if (from + SHOWN_AT_ONCE < gauges.length) host.after(1, () => show(from + SHOWN_AT_ONCE))
        else warn(plan.features.filter((watched) => monitor.status(watched) === 'missing'))
        active.set(monitor.drift.state.judge.active.size)
      }

      /** Once: a profile of other columns is a mistake of the file. */
      function warn(missing: readonly Watched[]): void {
        if (warned || missing.length === 0) return
        warned = true
        host.log.warn(missing.length === plan.features.length ? 'none of the columns of the profile came' : 'columns of the profile that never came', { columns: missing.slice(0, 20).map(({ name }) => name), more: Math.max(0, missing.length - 20) })
      }

      judge()
    }

    function countAnswer(x: Exchange): void {
      const { answer } = x
      if (answer === null || answer.status < 200 || answer.status > 299 || answer.code !== null || answer.body === null || answer.tunnel !== null) return
      let outlier: Watched | null
      try {
        outlier = monitor.answer(x.output, host.wall())
      } catch (error) {
        if (!(error instanceof WeirError)) throw error
        return unreadable.answer.add()
      }
      if (outlier === null) return
      outliers.get(outlier)!.add()
      if (action === 'none') return
      ;(x.flags ??= []).push('outlier')
      if (action === 'tag') headers.set(answer.headers, HEADER, encodeURIComponent(outlier.name.slice(0, 64).toWellFormed()))
    }

    return {
      ...(plan.inputs.length > 0 && {
        requestBody(x: Exchange): void {
          if (x.body === null) return
          try {
            const { input } = x
            if (input.raw === undefined) return rows.add(monitor.request(input, host.wall()))
          } catch (error) {
            if (!(error instanceof WeirError)) throw error
          }
          unreadable.request.add()
          monitor.unreadable(host.wall())
        },
      }),
      ...(plan.outputs.length > 0 && { responseBody: countAnswer }),
      ...(rates !== null && {
        done: (x: Exchange) => monitor.exchange(host.now() - x.started, x.status === 0 || x.status >= 500, host.wall()),
      }),
      admin: {
        'GET /state': {
          summary: 'Scores with their noise, counts and reasons: of the last window, of the last season, against everything they are compared with.',
          handle: () => (host.leader ? monitor.report() : null),
          merge: (parts) => parts.find((part) => part !== null) ?? null,
        },
        'GET /cells': {
          summary: 'What was counted in the last window, cell by cell: of several gateways to be added.',
          handle: () => (host.leader ? monitor.cells() : null),
          merge: (parts) => parts.find((part) => part !== null) ?? null,
        },
      },
    }
  },
})
