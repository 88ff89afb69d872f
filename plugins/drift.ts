import { type Compared, PARTS } from '../gateway/monitor/drift/drift.ts'
import { bytesOf, type DriftMemory, DriftMonitor, layoutOf, scoresOf, SHARE_NAMES } from '../gateway/monitor/drift/monitor.ts'
import { Options } from '../gateway/monitor/drift/options.ts'
import { chosen, MAX_QUESTIONS, modelOf, type OutlierModel, ScoreReader } from '../gateway/monitor/drift/outlier_model.ts'
import { Rates } from '../gateway/monitor/drift/rates.ts'
import { DriftState } from '../gateway/monitor/drift/state.ts'
import { complaintOf, timesOf } from '../gateway/monitor/drift/times.ts'
import { planOf, SHARES, STATISTICS, type Watched } from '../gateway/monitor/drift/watched.ts'
import { counted, OUTCOMES, remember } from '../gateway/monitor/remember.ts'
import { rowCount } from '../gateway/payload/columns.ts'
import { Aside, type Exchange, headers, type Hooks, plugin, type Static, WeirError } from '../gateway/plugin.ts'
import { sampled } from '../gateway/stats/sample.ts'

type ModelConfig = NonNullable<Static<typeof Options>['outliers']['model']>

const HEADER = 'x-weir-outlier'
/** However far away the end of a stretch is: a clock that was set is noticed within this time. */
const LONGEST_WAIT_MS = 60_000
const SHOWN_AT_ONCE = 16
const STATES = { ok: 0, alarm: 1, insufficient_data: 2, missing: 3 } as const

export default plugin({
  name: 'drift',
  summary: 'Compares requests and answers with the training data, the window before and earlier seasons, and alarms within a budget of false alarms.',
  stability: 'beta',
  onError: 'open',
  readsColumns: true,
  config: Options,
  example: { profile: './profiles/churn.json', window: '5m', alarm_budget: 1, features: { age: { threshold: 0.1 }, region: { watch: false } }, outliers: { action: 'flag' } },
  alarms: ['drift', 'prediction', 'outlier', 'rate'],
  metrics: {
    rows_total: { type: 'counter', help: 'Rows of requests that were counted.' },
    unreadable_total: { type: 'counter', help: 'Requests and answers that could not be counted, because nobody could read them.', labels: { side: ['request', 'answer'] } },
    outliers_total: { type: 'counter', help: 'Answers with a prediction beyond the fence.', labels: { feature: 'config' } },
    outlier_model_total: { type: 'counter', help: 'Requests of the sample, by what became of the question to the outlier model; skipped: too many were under way, or it was not available.', labels: { outcome: ['scored', 'skipped', 'failed'] } },
    outlier_model_rows_total: { type: 'counter', help: 'Rows that the outlier model scored.', labels: { verdict: ['inlier', 'outlier'] } },
    score: { type: 'gauge', help: 'Of the last window against the training data: distances without what chance explains, and shares. NaN: nothing to compare.', labels: { feature: 'config', statistic: [...STATISTICS, ...SHARE_NAMES] } },
    state: { type: 'gauge', help: 'State of a feature: 0 = as expected, 1 = alarm, 2 = too few rows to tell, 3 = the column never came.', labels: { feature: 'config' } },
    snapshots_total: { type: 'counter', help: 'With `state`: what is remembered, written once a minute and at the end, and read at the start; not_restored: damaged, or of other options.', labels: { outcome: OUTCOMES } },
    alarms: { type: 'gauge', help: 'Causes of alarms that are on now.' },
  },

  check({ window, season }) {
    return complaintOf(window, season)
  },

  async build(config, host) {
    const rules = new Map(Object.entries(config.features).map(([name, { threshold = null, statistic = null, watch = true }]) => [name, watch ? { threshold, statistic } : null]))
    const profile = host.profile(config.profile)
    const plan = planOf(profile, rules, config.outputs)
    const times = timesOf(config.window, config.season)
    const key = layoutOf(plan, times)
    const memory = await memoryOf()
    const options = { budget: config.alarm_budget, persistence: config.persistence, share: config.shares / 100, fence: config.outliers.fence, model: config.outliers.model === undefined ? null : modelOf(config.outliers.model, profile.source.rows), compared: new Set<Compared>(config.compare) }
    const ratesKey = `rates ${key} ${config.rates.join()} ${config.alarm_budget}`
    const rates = config.rates.length === 0 ? null : host.keep(ratesKey, () => new Rates(plan, times, config.rates, config.alarm_budget / PARTS))
    const monitor = new DriftMonitor(plan, times, options, memory, host.keep(`state ${key}`, () => new DriftState()), { matrix: config.columns ?? null, rates })
    const remembered = await remember(host, 'drift', monitor.memory(ratesKey), config.save_every, counted(host.metrics.snapshots_total))
    const rows = host.metrics.rows_total()
    const unreadable = { request: host.metrics.unreadable_total({ side: 'request' }), answer: host.metrics.unreadable_total({ side: 'answer' }) }
    const outliers = new Map(plan.features.filter(({ side }) => side === 'output').map((watched) => [watched, host.metrics.outliers_total({ feature: watched.name })]))
    const { action } = config.outliers
    const scoring = config.outliers.model === undefined ? null : score(config.outliers.model, options.model!)
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

    /** After the answer, beside the traffic. */
    function score({ backend, sample, columns }: ModelConfig, model: OutlierModel): Required<Pick<Hooks, 'done' | 'close'>> {
      const aside = new Aside(host.backend(backend), MAX_QUESTIONS)
      const reader = new ScoreReader(model)
      const names = columns === undefined ? null : new Set(columns)
      const requests = { scored: host.metrics.outlier_model_total({ outcome: 'scored' }), skipped: host.metrics.outlier_model_total({ outcome: 'skipped' }), failed: host.metrics.outlier_model_total({ outcome: 'failed' }) }
      const verdicts = { inlier: host.metrics.outlier_model_rows_total({ verdict: 'inlier' }), outlier: host.metrics.outlier_model_rows_total({ verdict: 'outlier' }) }
      let failing = false
      let closed = false

      async function ask(x: Exchange): Promise<void> {
        const question = chosen(x.input, names)
        const [outliers, scored] = reader.read(await aside.ask(x, question), rowCount(question))
        monitor.scored(outliers, scored, host.wall())
        requests.scored.add()
        verdicts.outlier.add(outliers)
        verdicts.inlier.add(scored - outliers)
        failing = false
      }

      /** Of several in a row the first is told. */
      function failed(error: unknown): void {
        if (closed) return
        requests.failed.add()
        if (!failing) host.log.warn('the outlier model gave no scores', { backend, error: error instanceof Error ? error.message : String(error) })
        failing = true
      }

      return {
        done(x: Exchange): void {
          if (x.status < 200 || x.status > 299 || x.body === null || !sampled(x.inferenceId, sample / 100)) return
          if (aside.free) ask(x).catch(failed)
          else requests.skipped.add()
        },
        close(): void {
          closed = true
          aside.close()
        },
      }
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
      ...(plan.inputs.length > 0 ? {
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
      } : scoring !== null && { requestBody: () => undefined }),
      ...(plan.outputs.length > 0 && { responseBody: countAnswer }),
      ...scoring,
      ...(remembered !== null && {
        async close(): Promise<void> {
          scoring?.close()
          await remembered.close()
        },
      }),
      ...(rates !== null && {
        done(x: Exchange): void {
          monitor.exchange(host.now() - x.started, x.status === 0 || x.status >= 500, host.wall())
          scoring?.done(x)
        },
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
