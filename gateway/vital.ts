/** The metrics every gateway has; names as in the docs. Plugins declare their own in their files. */
import type { Declarations } from './metrics.ts'
import { DROP_REASONS } from './records/record.ts'

/** Seconds. From 100 µs, since a proxied request takes that little, to a minute. */
export const SECONDS = [0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60] as const

export const CODE_CLASSES = ['1xx', '2xx', '3xx', '4xx', '5xx', '499'] as const
export const OUTCOMES = ['ok', '4xx', '5xx', 'connect', 'timeout', 'reset', 'invalid', 'aborted', 'overload', 'ejected', 'local', 'no_coverage'] as const

/** `probe`: the first request after an ejection failed too. */
export const EJECTION_REASONS = ['consecutive', 'error_rate', 'probe'] as const
export const ENDPOINT_STATES = ['available', 'ejected', 'unhealthy'] as const
export const RESULTS = ['ok', 'error'] as const

/** Why a request was not sent to a backend. */
export const REFUSALS = ['queue_full', 'queue_wait', 'throttled'] as const

/** What the gateway itself has too much of. */
export const SIGNALS = ['loop_delay', 'memory', 'in_flight'] as const

export const exchangeMetrics = {
  weir_requests_total: { type: 'counter', help: 'Exchanges finished, by route, final backend and status class (499: the caller left).', labels: { route: 'config', backend: 'config', code: CODE_CLASSES } },
  weir_request_duration_seconds: { type: 'histogram', help: 'From the complete request head to the last byte of the answer, seconds.', labels: { route: 'config' }, buckets: SECONDS },
  weir_overhead_seconds: { type: 'histogram', help: 'Duration less the time spent waiting for backends, seconds.', labels: { route: 'config' }, buckets: SECONDS },
  weir_plugin_errors_total: { type: 'counter', help: 'Throws of plugin hooks, by route and plugin.', labels: { route: 'config', plugin: 'config' } },
} as const satisfies Declarations

export const backendMetrics = {
  weir_attempts_total: { type: 'counter', help: 'Attempts against endpoints, by backend and outcome.', labels: { backend: 'config', outcome: OUTCOMES } },
  weir_backend_connections: { type: 'gauge', help: 'Open connections to the backend.', labels: { backend: 'config' } },
  weir_backend_in_flight: { type: 'gauge', help: 'Requests under way at the backend.', labels: { backend: 'config' } },
  weir_backend_queued: { type: 'gauge', help: 'Requests that wait for a place at the backend (`limits.queue`).', labels: { backend: 'config' } },
  weir_backend_limit: { type: 'gauge', help: 'Requests that may be under way at the backend (`limits.in_flight`), all data threads together; it moves when it is `adaptive`.', labels: { backend: 'config' } },
  weir_backend_refused_total: { type: 'counter', help: 'Requests that were not sent: no place to wait, no place in time, or throttled because the backend refuses much.', labels: { backend: 'config', reason: REFUSALS } },
  weir_endpoints: { type: 'gauge', help: 'Endpoints of the backend, by state; each data thread sees and counts its own.', labels: { backend: 'config', state: ENDPOINT_STATES } },
  weir_ejections_total: { type: 'counter', help: 'Ejections of endpoints, by reason (probe: the request that tried it after an ejection failed).', labels: { backend: 'config', reason: EJECTION_REASONS } },
  weir_health_checks_total: { type: 'counter', help: 'Active checks of endpoints, by result.', labels: { backend: 'config', result: RESULTS } },
  weir_dns_refreshes_total: { type: 'counter', help: 'Resolutions of names of endpoints, by result; after an error the last good answer stays.', labels: { backend: 'config', result: RESULTS } },
} as const satisfies Declarations

export const overloadMetrics = {
  weir_shed_total: {
    type: 'counter',
    help: 'Requests answered 503 because the gateway has too much to do; `limits.in_flight` refuses before a route is known.',
    labels: { route: 'config', signal: SIGNALS, criticality: ['critical', 'standard', 'sheddable'] },
  },
} as const satisfies Declarations

export const listenerMetrics = {
  weir_connections: { type: 'gauge', help: 'Open connections of callers.' },
  weir_connections_total: { type: 'counter', help: 'Connections accepted.' },
  weir_connections_refused_total: { type: 'counter', help: 'Connections closed at once because `limits.connections` was reached.' },
  weir_refused_requests_total: { type: 'counter', help: 'Requests refused before routing, by error code.', labels: { code: 'config' } },
} as const satisfies Declarations

export const controlMetrics = {
  weir_config_synchronized: { type: 'gauge', help: '1 while the running configuration is the one in the file, 0 after a reload that failed.' },
  weir_config_reloads_total: { type: 'counter', help: 'Reloads by result.', labels: { result: ['ok', 'error'] } },
  weir_config_loaded_timestamp_seconds: { type: 'gauge', help: 'When the running configuration was loaded, Unix seconds.' },
  weir_threads: { type: 'gauge', help: 'Data threads running.' },
  weir_thread_restarts_total: { type: 'counter', help: 'Data threads that died and were replaced.' },
} as const satisfies Declarations

/** Rows of one run. */
export const ROWS = [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 4096] as const

/** `input`: it did not fit the model; `run`: the model failed; `output`: what it gave cannot be sent; `cancelled`: the caller left, or its time was over. */
export const MODEL_OUTCOMES = ['ok', 'input', 'run', 'output', 'overload', 'unavailable', 'cancelled'] as const

export const modelMetrics = {
  weir_model_requests_total: { type: 'counter', help: 'Requests to the model, by outcome.', labels: { model: 'config', version: 'config', outcome: MODEL_OUTCOMES } },
  weir_model_rows_total: { type: 'counter', help: 'Rows the model answered.', labels: { model: 'config', version: 'config' } },
  weir_model_runs_total: { type: 'counter', help: 'Runs of the model; fewer than requests when rows of several are joined, more when large ones are cut.', labels: { model: 'config', version: 'config' } },
  weir_model_batch_rows: { type: 'histogram', help: 'Rows of the run that a request was part of, those of others too.', labels: { model: 'config', version: 'config' }, buckets: ROWS },
  weir_model_queue_seconds: { type: 'histogram', help: 'Wait of a request for an inference thread and for other rows, seconds.', labels: { model: 'config', version: 'config' }, buckets: SECONDS },
  weir_model_run_seconds: { type: 'histogram', help: 'Time of the runs of the model for one request, seconds.', labels: { model: 'config', version: 'config' }, buckets: SECONDS },
  weir_model_body_seconds_total: { type: 'counter', help: 'Time spent reading requests and writing answers of the model, seconds.', labels: { model: 'config', version: 'config', part: ['read', 'write'] } },
} as const satisfies Declarations

/** Of the control thread, which loads. */
export const repositoryMetrics = {
  weir_model_ready: { type: 'gauge', help: '1 while this version answers, 0 while it does not.', labels: { model: 'config', version: 'config' } },
  weir_model_loads_total: { type: 'counter', help: 'Loads of the version, by result.', labels: { model: 'config', version: 'config', result: ['ok', 'error'] } },
} as const satisfies Declarations

export const telemetryMetrics = {
  weir_log_lines_dropped_total: { type: 'counter', help: 'Log lines dropped because the reader was too slow or the disk was full.', labels: { log: ['access', 'weir'] } },
} as const satisfies Declarations

/** Only there while `tracing` is configured. Spans finished = exported + dropped + pending. */
export const tracingMetrics = {
  weir_trace_spans_exported_total: { type: 'counter', help: 'Spans that the collector took.' },
  weir_trace_spans_dropped_total: { type: 'counter', help: 'Spans that never arrived: no room to wait, the collector failed or was too slow, or the gateway stopped.', labels: { reason: ['queue', 'export', 'closed'] } },
  weir_trace_spans_pending: { type: 'gauge', help: 'Spans that wait for the collector.' },
} as const satisfies Declarations

/** Of monitors: schema, drift, predictions, labels, quality. */
export const alarmMetrics = {
  weir_alarms_total: {
    type: 'counter',
    help: 'Alarms that monitors raised.',
    labels: { route: 'config', kind: ['schema', 'drift', 'prediction', 'label', 'quality', 'outlier', 'rate'] },
  },
} as const satisfies Declarations

/** Of records, per sink; accepted = delivered + dropped + pending in every scrape. They go on over a restart. */
export const recordMetrics = {
  weir_records_accepted_total: { type: 'counter', help: 'Records that were in the spool, or counted as dropped, before the last byte of their answer went out.', labels: { sink: 'config' } },
  weir_records_delivered_total: { type: 'counter', help: 'Records that the sink took.', labels: { sink: 'config' } },
  weir_records_dropped_total: { type: 'counter', help: 'Records that were accepted and will never be delivered, by reason.', labels: { sink: 'config', reason: DROP_REASONS } },
  weir_records_pending: { type: 'gauge', help: 'Records that wait in the spool.', labels: { sink: 'config' } },
  weir_records_spool_bytes: { type: 'gauge', help: 'What the records that wait take in the spool, bytes.', labels: { sink: 'config' } },
  weir_records_spool_limit_bytes: { type: 'gauge', help: 'What they may take (`spool.max_bytes`), bytes; beyond it `on_full` of `log` decides.', labels: { sink: 'config' } },
} as const satisfies Declarations
