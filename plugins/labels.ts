import { baselineOf, gridOf, labelColumn } from '../gateway/monitor/quality/baseline.ts'
import { ScoreReader } from '../gateway/monitor/quality/columns.ts'
import { labelReader } from '../gateway/monitor/quality/entries.ts'
import { idBytes } from '../gateway/monitor/quality/ids.ts'
import { idsSection, windowsSection } from '../gateway/monitor/quality/image.ts'
import { Intake } from '../gateway/monitor/quality/intake.ts'
import { type Active, Judge } from '../gateway/monitor/quality/judge.ts'
import { layoutOf } from '../gateway/monitor/quality/layout.ts'
import { NAMES, Options } from '../gateway/monitor/quality/options.ts'
import { Quality } from '../gateway/monitor/quality/quality.ts'
import { MAX_RECEIPT_SCORES, sameText, sign } from '../gateway/monitor/quality/receipt.ts'
import { AGES, Review } from '../gateway/monitor/quality/review.ts'
import { ringBytes } from '../gateway/monitor/quality/ring.ts'
import { ESTIMATED, MAX_PART_BYTES, MAX_SPAN, MAX_WINDOWS, type Setup, STATISTICS, widthOf, windowsOf } from '../gateway/monitor/quality/setup.ts'
import { MAX_GROUPS } from '../gateway/monitor/quality/table.ts'
import { counted, OUTCOMES, remember } from '../gateway/monitor/remember.ts'
import { type Exchange, headers, plugin, type Reply, reply, WeirError } from '../gateway/plugin.ts'
import { sampled } from '../gateway/stats/sample.ts'

const TYPES = new Set(['application/json', 'application/x-ndjson', 'application/ndjson', 'application/jsonl', 'application/x-jsonlines'])
/** How often gauges are made new; windows that end are judged when it is time. */
const LOOK_MS = 300_000

export default plugin({
  name: 'labels',
  summary: 'Joins what the model said with what turned out: takes labels, and tells how good the model is, with the error of every number.',
  stability: 'beta',
  onError: 'open',
  readsColumns: true,
  config: Options,
  example: { prediction: 'output.score', window: '1h', alarms: { auc: { min: 0.7 }, ece: { max: 0.05 } } },
  alarms: ['label', 'quality'],
  metrics: {
    predictions_total: { type: 'counter', help: 'Rows of answers: kept until their label comes; repeated ids; lost in a crowd; invalid scores; beyond `max_rows`; unreadable answers; left out by `sample`.', labels: { outcome: ['kept', 'repeated', 'lost', 'invalid', 'beyond', 'unreadable', 'left_out'] } },
    evictions_total: { type: 'counter', help: 'Predictions forgotten before their label or their time came because `max_ids` was reached.' },
    total: { type: 'counter', help: 'Labels by what became of them; an orphan is about no prediction that is known here.', labels: { outcome: ['accepted', 'orphan', 'duplicate', 'late', 'invalid'] } },
    refused_total: { type: 'counter', help: 'Requests with labels that were refused as a whole.', labels: { reason: ['token', 'type', 'body'] } },
    delay_seconds: { type: 'histogram', help: 'From the prediction to its label.', buckets: [1, 10, 60, 600, 3600, 21_600, 86_400, 259_200, 604_800, 2_592_000] },
    snapshots_total: { type: 'counter', help: 'With `state`: what is remembered, written once a minute and at the end, and read at the start; not_restored: damaged, or of other options.', labels: { outcome: OUTCOMES } },
    receipts_total: { type: 'counter', help: 'Answers by whether they got a receipt; too_long have more than 64 scores.', labels: { outcome: ['sent', 'too_long'] } },
    coverage: { type: 'gauge', help: 'Share of the predictions that are labelled, by their age; NaN without predictions.', labels: { age: Object.keys(AGES) } },
    quality: { type: 'gauge', help: 'Measured (and estimated_…, from the probabilities alone) over the last span; NaN while it cannot be told.', labels: { statistic: NAMES, segment: 'config' } },
    quality_error: { type: 'gauge', help: 'Standard error of `quality`.', labels: { statistic: NAMES, segment: 'config' } },
    alarms: { type: 'gauge', help: 'Numbers that are beyond their bounds now, and label drift.' },
  },

  check({ prediction, kind, classes, window, span, keep, alarms, segments, path, thresholds, positive, negative }) {
    if (!prediction.startsWith('output.')) return `\`prediction\` names a column of the answer, such as \`output.score\`, found \`${prediction}\``
    if ((kind === 'multiclass') !== classes.length > 0) return kind === 'multiclass' ? '`kind: multiclass` needs `classes`' : `\`classes\` is for \`kind: multiclass\`, not ${kind}`
    if (classes.length === 1 || new Set(classes).size < classes.length) return '`classes` needs at least two labels, each once'
    if (kind !== 'binary' && (positive !== undefined || negative !== undefined)) return '`positive` and `negative` are for `kind: binary`'
    if (window < 1000) return '`window` must be at least 1 s'
    if (span < window || span > keep || span / window > MAX_SPAN) return `\`span\` must be from one window up to \`keep\`, and at most ${MAX_SPAN} windows`
    if (keep / window > MAX_WINDOWS - 2) return `\`keep\` is more than ${MAX_WINDOWS - 2} windows: make the windows longer`
    if (path.length > 1 && path.endsWith('/')) return '`path` must not end in "/"'
    const known: readonly string[] = [...STATISTICS[kind], ...ESTIMATED[kind]]
    for (const [name, { min, max }] of Object.entries(alarms)) {
      if (!known.includes(name)) return `\`alarms\`: ${kind} has no ${name}; it has ${known.join(', ')}`
      if (min === undefined && max === undefined) return `\`alarms\`: ${name} needs \`min\` or \`max\``
    }
    const values = segments?.values ?? []
    if (new Set(values).size < values.length || values.length >= MAX_GROUPS) return '`segments` names a value twice'
    const setup = { kind, thresholds, classes, grid: { centre: 0, scale: 1 } } as unknown as Setup
    const bytes = ringBytes(windowsOf({ window, keep }), layoutOf(setup).size * (values.length + 1))
    return bytes > MAX_PART_BYTES ? `windows and segments would take ${Math.round(bytes / 2 ** 20)} MiB in every data thread, at most ${MAX_PART_BYTES / 2 ** 20} are supported: make windows longer, or list fewer classes or segments` : undefined
  },

  async build(options, host) {
    const { path, prediction, kind, classes, by, sample, max_ids, max_rows, max_body, token, receipt, segments, profile: file, duplicates } = options
    const column = file === undefined ? null : labelColumn(host.profile(file), options.label)
    if (typeof column === 'string') throw new Error(column)
    const groups = segments?.values ?? []
    const setup: Setup = { kind, window: options.window, keep: options.keep, span: options.span, delay: options.delay, thresholds: options.thresholds, classes, groups, k: options.k, exponential: options.gain === 'exponential', duplicates, grid: kind === 'regression' && column !== null ? gridOf(column[1]) : null }
    const labels = labelReader(setup, options.positive, options.negative)
    const baseline = column === null ? null : baselineOf(column[0], column[1], setup, (text) => labels.read(kind === 'ranking' ? Number(text) : text))
    if (column !== null && baseline === null) throw new Error(`column "${column[0]}" of the profile holds no labels of kind ${kind}`)

    // What is counted under other options is other cells.
    const shape = JSON.stringify([kind, setup.window, setup.keep, setup.thresholds, classes, groups, setup.k, setup.exponential, setup.grid, prediction, options.positive ?? null])
    const idsKey = `ids ${widthOf(setup)} ${max_ids} ${by}`
    const ids = await host.share(idsKey, idBytes(max_ids, widthOf(setup)))
    const parts = await host.parts(`windows ${shape}`, ringBytes(windowsOf(setup), layoutOf(setup).size * (groups.length + 1)))
    const delays = host.metrics.delay_seconds()
    const quality = new Quality(setup, { ids, ring: parts.mine }, max_ids, labels, (delay) => delays.observe(delay / 1000))
    const active = host.keep<Active>('alarms', () => new Map())
    const judge = new Judge({ budget: options.alarm_budget, window: setup.window, span: setup.span, least: options.min_labels, limits: options.alarms, ratio: options.ratio, distance: options.distance, baseline, column: baseline?.column ?? options.label ?? 'label' }, groups.length + 1, active)
    const review = new Review(setup, parts.all, judge, host.wall())
    const touched = await host.parts('touched', 4)
    const [touches, mine] = [touched.all.map((part) => new Int32Array(part)), new Int32Array(touched.mine)]
    const remembered = await remember(host, 'labels', { sections: [windowsSection(setup, shape, parts, review, active, host.wall), idsSection(setup, idsKey, ids, max_ids, host.wall)], version: () => `${review.next} ${touches.map(([count]) => count).join()}` }, options.save_every, counted(host.metrics.snapshots_total))
    if (host.leader) host.every(Math.min(setup.window, LOOK_MS), look)
    const { predictions_total, total, refused_total } = host.metrics
    const outcomes = Object.fromEntries((['kept', 'repeated', 'lost', 'invalid', 'beyond', 'unreadable', 'left_out'] as const).map((outcome) => [outcome, predictions_total({ outcome })]))
    const evictions = host.metrics.evictions_total()
    const receipts = { sent: host.metrics.receipts_total({ outcome: 'sent' }), tooLong: host.metrics.receipts_total({ outcome: 'too_long' }) }
    const scores = new ScoreReader(prediction.slice('output.'.length), setup)
    const segment = segments?.by === undefined ? null : host.selector(segments.by)
    const groupOf = new Map(groups.map((name, i) => [name, i + 1]))
    const share = sample / 100
    const intake = new Intake({ route: host.route, key: by, secrets: receipt === undefined ? [] : [receipt.secret, ...receipt.previous], quality, groupOf })
    const became = Object.fromEntries((['accepted', 'orphan', 'duplicate', 'late', 'invalid'] as const).map((outcome) => [outcome, total({ outcome })]))
    const refused = { token: refused_total({ reason: 'token' }), type: refused_total({ reason: 'type' }), body: refused_total({ reason: 'body' }) }

    function told(outcome: 'kept' | 'evicted' | 'repeated' | 'lost' | 'invalid'): void {
      if (outcome === 'evicted') evictions.add()
      outcomes[outcome === 'evicted' ? 'kept' : outcome]!.add()
    }

    /** What was predicted, out of the answer; null = nothing that can be judged. */
    function read(x: Exchange): ReturnType<ScoreReader['read']> {
      try {
        return scores.read(x.output)
      } catch {
        return null
      }
    }

    function groupName(x: Exchange): string {
      const name = segment === null ? x.arm || x.answer!.backend : (segment.read(x) ?? '')
      return groupOf.has(name) ? name : ''
    }

    function predict(x: Exchange): void {
      const answer = x.answer!
      if (answer.status < 200 || answer.status > 299 || answer.code !== null) return
      const id = by === 'request_id' ? x.requestId : x.inferenceId
      if (!sampled(id, share)) return outcomes['left_out']!.add()
      const found = read(x)
      if (found === null) return outcomes['unreadable']!.add()
      const rows = Math.min(found.rows, max_rows)
      if (rows < found.rows) outcomes['beyond']!.add(found.rows - rows)
      const time = host.wall()
      const group = groupName(x)
      mine[0]!++
      quality.predict(id, found.scores, rows, time, groupOf.get(group) ?? 0, told)
      if (receipt === undefined) return
      if (found.scores.length > MAX_RECEIPT_SCORES) return receipts.tooLong.add()
      const model = answer.model === null ? '' : `${answer.model.name}/${answer.model.version}`
      headers.set(answer.headers, receipt.header, sign({ id, route: host.route, time, model, group, rows, scores: [...found.scores] }, receipt.secret))
      receipts.sent.add()
    }

    /** @param force whatever they are about @returns null: they are about no prediction of this route, or somebody else's to take */
    function take(body: Buffer, x: Exchange, force: boolean): Reply | null {
      if (token !== undefined && !sameText(x.fields.get('authorization') ?? '', `Bearer ${token}`)) return force ? refuse('token', new WeirError('FORBIDDEN', 'labels are taken with `authorization: Bearer` and the `token` of the configuration')) : null
      const type = (x.fields.get('content-type') ?? 'application/json').split(';', 1)[0]!.trim().toLowerCase()
      if (!TYPES.has(type)) return refuse('type', new WeirError('UNSUPPORTED_MEDIA_TYPE', 'content-type: expected application/json or application/x-ndjson'))
      mine[0]!++
      const taken = intake.take(body.toString(), type !== 'application/json', host.wall(), force)
      if (taken === 'unreadable') return refuse('body', new WeirError('BAD_BODY', 'expected a JSON object, an array of them, or one a line'))
      if (taken === null) return null
      const { accepted, unknown, duplicate, late, invalid, invalidCount } = taken
      for (const [outcome, count] of Object.entries({ accepted, orphan: unknown, duplicate, late, invalid: invalidCount })) became[outcome]!.add(count)
      return reply(200, { accepted, unknown, duplicate, late, invalid, ...(invalidCount > invalid.length && { invalid_total: invalidCount }) })
    }

    function refuse(reason: keyof typeof refused, error: WeirError): never {
      refused[reason].add()
      throw error
    }

    /** On one thread: what all counted. */
    function look(): void {
      const now = host.wall()
      for (const alarm of review.advance(now)) host.alarm(alarm)
      host.metrics.alarms().set(active.size)
      for (const [age, { share: covered }] of Object.entries(review.coverage(now))) host.metrics.coverage({ age }).set(covered)
      for (const [name, measures] of Object.entries(review.latest(now))) {
        for (const statistic of [...STATISTICS[kind], ...ESTIMATED[kind]]) {
          host.metrics.quality({ statistic, segment: name }).set(measures[statistic]?.value ?? NaN)
          host.metrics.quality_error({ statistic, segment: name }).set(measures[statistic]?.se ?? NaN)
        }
      }
    }

    return {
      // A segment may be a column of the request.
      ...(segment?.body === true && { requestBody: () => undefined }),
      responseBody: predict,
      ...(remembered !== null && { close: () => remembered.close() }),
      serve: { [`POST ${path}`]: { summary: `labels of route ${host.route}`, maxBodyBytes: max_body, handle: (body, x) => take(body, x, false), otherwise: (body, x) => take(body, x, true)! } },
      admin: {
        'GET /state': {
          summary: 'How good the predictions are: windows, completeness, coverage, and what is judged.',
          handle: () => ({ leader: host.leader, ...review.page(host.wall()), ids: { capacity: max_ids, ...quality.ids(host.wall()) } }),
          merge: (pages) => pages.find((page) => (page as { leader: boolean }).leader) ?? pages[0],
        },
      },
    }
  },
})
