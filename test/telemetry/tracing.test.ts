/**
 * Traces as OpenTelemetry's SDK finishes them. Headers by W3C Trace Context, names and attributes by the semantic conventions for HTTP
 * (opentelemetry.io/docs/specs/semconv/http/http-spans); what arrives at a collector is in test/blackbox/tracing.test.ts.
 */
import { SpanKind, SpanStatusCode } from '@opentelemetry/api'
import { type ExportResult, ExportResultCode } from '@opentelemetry/core'
import type { ReadableSpan } from '@opentelemetry/sdk-trace'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { WeirError } from '../../gateway/errors.ts'
import { Fields } from '../../gateway/headers.ts'
import { Registry } from '../../gateway/metrics.ts'
import type { ExchangeRecord } from '../../gateway/telemetry/access.ts'
import { EXPORT_MS, MAX_SPANS } from '../../gateway/telemetry/tracer.ts'
import { BATCH } from '../../gateway/telemetry/tracing/batches.ts'
import { Tracing } from '../../gateway/telemetry/tracing/tracing.ts'
import { tracingMetrics } from '../../gateway/vital.ts'
import { FakeClock, settled } from '../fake_clock.ts'
import { readSources } from '../helpers/imports.ts'

const TRACE = '0af7651916cd43dd8448eb211c80319c'
const PARENT = 'b7ad6b7169203331'

const record: ExchangeRecord = {
  request_id: 'req-1', inference_id: '0197f22e-79b0-7000-8000-000000000000', client: '10.0.0.9', method: 'POST', target: '/infer?secret=1', protocol: 'HTTP/1.1',
  host: 'api.example:8080', status: 200, code: null, flags: null, phase: 'done', ended_by: 'backend', route: 'fraud', backend: 'up', upstream: '', arm: '', attempts: 1,
  fallback: '', bytes_received: 10, bytes_sent: 20, duration_ms: 12, backend_ms: 10, ttfb_ms: 11, model: 'fraud', model_version: '2',
}

/** A collector: takes what it is given, or holds the answer back, or refuses. */
class Collector {
  readonly spans: ReadableSpan[] = []
  mode: 'take' | 'refuse' | 'hang' | 'throw' = 'take'
  largest = 0
  closed = 0
  #held: (() => void)[] = []

  export(spans: ReadableSpan[], done: (result: ExportResult) => void): void {
    this.largest = Math.max(this.largest, spans.length)
    if (this.mode === 'throw') throw new Error('no')
    if (this.mode === 'refuse') return done({ code: ExportResultCode.FAILED, error: new Error('503') })
    const take = (): void => {
      this.spans.push(...spans)
      done({ code: ExportResultCode.SUCCESS })
    }
    if (this.mode === 'take') take()
    else this.#held.push(take)
  }

  /** Answers what was held back. */
  answer(): void {
    const held = this.#held
    this.#held = []
    for (const take of held) take()
  }

  async shutdown(): Promise<void> {
    this.closed++
  }
}

function bench(sample = 1) {
  const clock = new FakeClock(Date.UTC(2026, 0, 31, 12))
  const registry = new Registry()
  const metrics = registry.handles(tracingMetrics)
  const collector = new Collector()
  const said: string[] = []
  const note = (message: string): void => void said.push(message)
  const tracing = new Tracing({ endpoint: 'http://127.0.0.1:4318', sample, service: 'weir', headers: {} }, { version: '1.0', clock, log: { debug: note, info: note, warn: note, error: note }, metrics, exporter: collector })
  const begin = (lines: string[] = [], method = 'POST', target = '/infer?secret=1') => {
    const fields = Fields.of(lines)
    return { fields, trace: tracing.begin({ method, target, fields }, clock.now()) }
  }
  const counts = () => ({
    exported: metrics.weir_trace_spans_exported_total().value,
    queue: metrics.weir_trace_spans_dropped_total({ reason: 'queue' }).value,
    export: metrics.weir_trace_spans_dropped_total({ reason: 'export' }).value,
    closed: metrics.weir_trace_spans_dropped_total({ reason: 'closed' }).value,
    pending: metrics.weir_trace_spans_pending().value,
  })
  return { clock, collector, tracing, begin, counts, said }
}

const ask = (fields: Fields, attempt = 1) => ({ method: 'POST', target: '/infer?secret=1', fields, backend: 'up', endpoint: { scheme: 'https', authority: 'model.example', prefix: '/v1' }, attempt })

describe('one exchange', () => {
  it('is a SERVER span below the caller\'s, with a CLIENT span for each attempt, whose context goes upstream', async () => {
    const { clock, collector, tracing, begin } = bench(0)
    const { fields, trace } = begin(['TraceParent', `00-${TRACE}-${PARENT}-01`, 'tracestate', 'a=b,c=d', 'x', 'y'])
    clock.advance(5)
    const first = trace!.attempt(ask(fields))
    const sent = fields.get('traceparent')!
    clock.advance(10)
    first.over(new WeirError('RESET'))
    trace!.event('retry', { reason: 'reset' })
    const second = trace!.attempt(ask(fields, 2))
    const again = fields.get('traceparent')!
    second.answered(200)
    clock.advance(10)
    second.over(null)
    trace!.end({ ...record, attempts: 2 })
    await tracing.close()

    const [reset, good, server] = collector.spans
    expect(collector.spans.map(({ name, kind }) => [name, kind])).toEqual([['POST', SpanKind.CLIENT], ['POST', SpanKind.CLIENT], ['POST fraud', SpanKind.SERVER]])
    expect(server!.spanContext().traceId).toBe(TRACE)
    expect(server!.parentSpanContext?.spanId).toBe(PARENT)
    expect(server!.spanContext().traceState?.serialize()).toBe('a=b,c=d')
    for (const attempt of [reset!, good!]) expect(attempt.parentSpanContext?.spanId).toBe(server!.spanContext().spanId)
    expect([sent, again]).toEqual([reset!, good!].map((span) => `00-${TRACE}-${span.spanContext().spanId}-01`))
    expect(fields.list.filter((_, i) => i % 2 === 0).map((name) => name.toLowerCase())).toEqual(['traceparent', 'tracestate', 'x'])
    expect(fields.get('tracestate')).toBe('a=b,c=d')

    const noon = Date.UTC(2026, 0, 31, 12) / 1000
    expect([server!.startTime, reset!.startTime, reset!.endTime, good!.endTime]).toEqual([[noon, 0], [noon, 5e6], [noon, 15e6], [noon, 25e6]])
    expect(server!.events.map(({ name, attributes, time }) => [name, attributes, time])).toEqual([['retry', { reason: 'reset' }, [noon, 15e6]]])
    expect(reset!.attributes).toEqual({
      'http.request.method': 'POST', 'url.full': 'https://model.example/v1/infer', 'server.address': 'model.example', 'server.port': 443, 'network.protocol.version': '1.1',
      'weir.backend': 'up', 'weir.attempt': 1, 'error.type': 'RESET', 'weir.reason': 'reset',
    })
    expect(reset!.status.code).toBe(SpanStatusCode.ERROR)
    expect(good!.attributes).toMatchObject({ 'http.request.resend_count': 1, 'weir.attempt': 2, 'http.response.status_code': 200 })
    expect(good!.attributes).not.toHaveProperty('error.type')
    expect(good!.status.code).toBe(SpanStatusCode.UNSET)
    expect(server!.attributes).toEqual({
      'http.request.method': 'POST', 'url.path': '/infer', 'http.response.status_code': 200, 'http.route': 'fraud', 'server.address': 'api.example', 'server.port': 8080,
      'client.address': '10.0.0.9', 'network.protocol.version': '1.1', 'http.request.body.size': 10, 'http.response.body.size': 20, 'weir.route': 'fraud', 'weir.backend': 'up',
      'weir.attempts': 2, 'weir.phase': 'done', 'weir.ended_by': 'backend', 'weir.request_id': 'req-1', 'weir.inference_id': record.inference_id, 'weir.model.name': 'fraud', 'weir.model.version': '2',
    })
    expect(server!.resource.attributes).toEqual({ 'service.name': 'weir', 'service.version': '1.0' })
    expect(JSON.stringify(collector.spans.map(({ attributes, name }) => [attributes, name]))).not.toContain('secret')
  })

  it.each<[string, Partial<ExchangeRecord>, string | undefined, SpanStatusCode]>([
    ['whole', {}, undefined, SpanStatusCode.UNSET],
    ['not found there', { status: 404 }, undefined, SpanStatusCode.UNSET],
    ['refused here', { status: 404, code: 'NO_ROUTE' }, 'NO_ROUTE', SpanStatusCode.UNSET],
    ['a 500 of the backend', { status: 500 }, '500', SpanStatusCode.ERROR],
    ['a timeout', { status: 504, code: 'TOTAL_TIMEOUT' }, 'TOTAL_TIMEOUT', SpanStatusCode.ERROR],
    ['cut behind its head', { status: 200, code: 'RESET' }, 'RESET', SpanStatusCode.ERROR],
    ['the caller left', { status: 499, code: 'CALLER_LEFT' }, 'CALLER_LEFT', SpanStatusCode.UNSET],
  ])('%s', async (_name, changes, type, status) => {
    const { collector, tracing, begin } = bench()
    begin().trace!.end({ ...record, ...changes })
    await tracing.close()
    expect([collector.spans[0]!.attributes['error.type'], collector.spans[0]!.status.code]).toEqual([type, status])
  })

  it('a method that a caller made up is nobody\'s name of a span', async () => {
    const { collector, tracing, begin } = bench()
    begin([], 'FROBNICATE').trace!.end({ ...record, method: 'FROBNICATE', route: '' })
    await tracing.close()
    expect([collector.spans[0]!.name, collector.spans[0]!.attributes['http.request.method'], collector.spans[0]!.attributes['http.request.method_original']]).toEqual(['HTTP', '_OTHER', 'FROBNICATE'])
  })

  it('a backend that answers an error, and an attempt that nobody waits for', async () => {
    const { collector, tracing, begin } = bench()
    const { trace, fields } = begin()
    const failed = trace!.attempt(ask(fields))
    failed.answered(503)
    failed.over(null)
    trace!.attempt(ask(fields, 2)).over(new WeirError('CALLER_LEFT'))
    await tracing.close()
    expect(collector.spans.map(({ attributes, status }) => [attributes['http.response.status_code'], attributes['error.type'], status.code])).toEqual([
      [503, '503', SpanStatusCode.ERROR],
      [undefined, 'CALLER_LEFT', SpanStatusCode.UNSET],
    ])
  })
})

describe('who decides', () => {
  it('a caller that said no is followed, and its header goes on as it came', () => {
    const { begin } = bench(1)
    const lines = ['traceparent', `00-${TRACE}-${PARENT}-00`, 'tracestate', 'a=b']
    const { fields, trace } = begin([...lines])
    expect([trace, fields.list]).toEqual([null, lines])
  })

  it('without a caller the sample decides; who is not sampled tells so upstream', () => {
    const { begin } = bench(0)
    const { fields, trace } = begin(['x', 'y'])
    expect(trace).toBeNull()
    expect(fields.get('traceparent')).toMatch(/^00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-00$/)
  })

  it('about the share that was asked for is sampled', () => {
    const { begin } = bench(0.25)
    const sampled = Array.from({ length: 2000 }, () => begin().trace).filter((trace) => trace !== null).length
    // Binomial: mean 500, standard deviation 19.4; six of them.
    expect(Math.abs(sampled - 500)).toBeLessThan(117)
  })

  // W3C Trace Context: 3.2.2 (lower case, lengths, no zeroes, version ff), 3.2.2.1 (no more fields in version 00), 4.3 (several headers).
  it.each([
    ['upper case', [`00-${TRACE.toUpperCase()}-${PARENT}-01`]],
    ['zero trace', [`00-${'0'.repeat(32)}-${PARENT}-01`]],
    ['zero parent', [`00-${TRACE}-${'0'.repeat(16)}-01`]],
    ['version ff', [`ff-${TRACE}-${PARENT}-01`]],
    ['more than version 00 has', [`00-${TRACE}-${PARENT}-01-x`]],
    ['short', [`00-${TRACE}-01`]],
    ['two headers', [`00-${TRACE}-${PARENT}-01`, `00-${TRACE}-${PARENT}-01`]],
  ])('%s: no context; a new trace begins and the old state goes no further', async (_name, values) => {
    const { collector, tracing, begin } = bench()
    const { fields, trace } = begin([...values.flatMap((value) => ['traceparent', value]), 'tracestate', 'a=b'])
    trace!.attempt(ask(fields)).over(null)
    trace!.end(record)
    await tracing.close()
    const server = collector.spans[1]!
    expect([server.parentSpanContext, server.spanContext().traceId === TRACE, fields.get('tracestate')]).toEqual([undefined, false, undefined])
    expect(fields.list).toHaveLength(2)
  })

  it('a later version is read as far as this one knows it', () => {
    expect(bench(0).begin(['traceparent', `01-${TRACE}-${PARENT}-01-more`]).trace).not.toBeNull()
  })

  it('whatever stands in the header, nothing throws and what goes upstream is a context', () => {
    const { begin } = bench()
    fc.assert(
      fc.property(fc.string({ maxLength: 80 }), fc.string({ maxLength: 80 }), (parent, state) => {
        const { fields, trace } = begin(['traceparent', parent, 'tracestate', state])
        trace?.attempt(ask(fields)).over(null)
        expect(fields.get('traceparent')).toMatch(/^00-[0-9a-f]{32}-[0-9a-f]{16}-0[01]$/)
      }),
    )
  })
})

describe('what waits for the collector', () => {
  const spans = (begin: ReturnType<typeof bench>['begin'], count: number): void => {
    for (let i = 0; i < count; i++) begin().trace!.end(record)
  }
  const total = (counts: ReturnType<ReturnType<typeof bench>['counts']>): number => Object.values(counts).reduce((sum, value) => sum + value, 0)

  it('leaves after a second, or as soon as a batch is full', () => {
    const { clock, collector, begin, counts } = bench()
    spans(begin, 3)
    clock.advance(999)
    expect(counts()).toMatchObject({ exported: 0, pending: 3 })
    clock.advance(1)
    expect(counts()).toMatchObject({ exported: 3, pending: 0 })
    spans(begin, BATCH)
    expect(counts()).toMatchObject({ exported: 3 + BATCH, pending: 0 })
    expect(collector.largest).toBe(BATCH)
    expect(clock.pending).toBe(0)
  })

  it('is bounded while the collector hangs; what finds no room is dropped and counted, and the batch is given up in time', () => {
    const { clock, collector, begin, counts, said } = bench()
    collector.mode = 'hang'
    spans(begin, MAX_SPANS + 7)
    expect(counts()).toEqual({ exported: 0, queue: 7, export: 0, closed: 0, pending: MAX_SPANS })
    clock.advance(EXPORT_MS)
    expect(counts()).toMatchObject({ export: BATCH, pending: MAX_SPANS - BATCH })
    expect(said).toEqual(['spans do not reach the collector; they are dropped until they do'])
    collector.mode = 'take'
    clock.advance(EXPORT_MS)
    expect(counts()).toEqual({ exported: MAX_SPANS - 2 * BATCH, queue: 7, export: 2 * BATCH, closed: 0, pending: 0 })
    expect(said).toHaveLength(2)
    // An answer that comes after all changes nothing.
    collector.answer()
    expect(counts()).toEqual({ exported: MAX_SPANS - 2 * BATCH, queue: 7, export: 2 * BATCH, closed: 0, pending: 0 })
  })

  it.each(['refuse', 'throw'] as const)('a collector that cannot (%s) costs spans and nothing else', (mode) => {
    const { clock, collector, begin, counts, said } = bench()
    collector.mode = mode
    for (let i = 0; i < 3; i++) {
      spans(begin, 2)
      clock.advance(1_000)
    }
    expect(counts()).toEqual({ exported: 0, queue: 0, export: 6, closed: 0, pending: 0 })
    expect(said).toHaveLength(1)
  })

  it('is sent when weir stops, and dropped when the collector does not answer', async () => {
    const calm = bench()
    spans(calm.begin, BATCH * 2 + 1)
    await calm.tracing.close()
    expect(calm.counts()).toMatchObject({ exported: BATCH * 2 + 1, pending: 0 })
    expect([calm.collector.closed, calm.clock.pending]).toEqual([1, 0])

    const { clock, collector, begin, counts, tracing } = bench()
    collector.mode = 'hang'
    spans(begin, BATCH + 1)
    const closing = tracing.close()
    await settled()
    clock.advance(300)
    await closing
    begin().trace!.end(record)
    expect(counts()).toEqual({ exported: 0, queue: 0, export: 0, closed: 2, pending: BATCH })
    clock.advance(EXPORT_MS)
    expect(counts()).toEqual({ exported: 0, queue: 0, export: BATCH, closed: 2, pending: 0 })
    expect(clock.pending).toBe(0)
  })

  it('finished = exported + dropped + pending, whatever happens', async () => {
    const step = fc.oneof(
      fc.record({ do: fc.constant('spans' as const), count: fc.integer({ min: 1, max: 900 }) }),
      fc.record({ do: fc.constant('wait' as const), count: fc.integer({ min: 1, max: 12_000 }) }),
      fc.record({ do: fc.constantFrom('take' as const, 'refuse' as const, 'hang' as const, 'throw' as const, 'answer' as const), count: fc.constant(0) }),
    )
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 25 }), async (steps) => {
        const { clock, collector, begin, counts, tracing } = bench()
        let finished = 0
        for (const { do: what, count } of steps) {
          if (what === 'spans') {
            spans(begin, count)
            finished += count
          } else if (what === 'wait') clock.advance(count)
          else if (what === 'answer') collector.answer()
          else collector.mode = what
          expect(total(counts())).toBe(finished)
          expect(counts().pending).toBeLessThanOrEqual(MAX_SPANS)
          expect(counts().pending).toBeGreaterThanOrEqual(0)
          expect(collector.largest).toBeLessThanOrEqual(BATCH)
        }
        const closing = tracing.close()
        await settled()
        clock.advance(EXPORT_MS)
        await closing
        clock.advance(EXPORT_MS)
        expect(total(counts())).toBe(finished)
        expect([counts().pending, clock.pending]).toEqual([0, 0])
      }),
      { numRuns: 40 },
    )
  })
})

describe('without `tracing`', () => {
  it('nothing of OpenTelemetry is loaded: from every way in, only one dynamic import leads there', () => {
    const sources = readSources(['gateway', 'plugins', 'config'])
    const inside = (file: string): boolean => file.startsWith('gateway/telemetry/tracing/')
    const ways = sources.filter(({ file }) => !inside(file)).flatMap(({ file, code, imports }) =>
      imports.filter((to) => !to.erased && (to.module?.startsWith('@opentelemetry/') === true || (to.file !== null && inside(to.file)))).map((to) => `${file} ${code.split('\n')[to.line - 1]!.trim()}`))
    expect(ways).toEqual(["gateway/threads/data.ts const { Tracing } = await import('../telemetry/tracing/tracing.ts')"])
  })
})
