/**
 * Writes `limits.md` of this folder: every limit with its default, what the caller gets beyond it and where that is counted, and every
 * error code. Defaults and meanings are the schema's, numbers that nobody sets are those of the code itself, statuses are those of
 * `gateway/errors.ts`. `npm run gen` writes the page, test/config/limits.test.ts compares it with the code both ways.
 */
import { MAX_BODY_BYTES as ADMIN_BODY_BYTES, MAX_CONNECTIONS as ADMIN_CONNECTIONS } from '../gateway/admin/server.ts'
import { MAX_ANSWER_BYTES } from '../gateway/calls.ts'
import { type Code, codes } from '../gateway/errors.ts'
import { MAX_LENGTH as CONDITION_LENGTH } from '../gateway/expression/condition.ts'
import { ERROR_BODY_BYTES } from '../gateway/failures.ts'
import { HOLD_BYTES } from '../gateway/hold.ts'
import { MAX_MEMORY as MAX_DRIFT_MEMORY } from '../gateway/monitor/drift/history.ts'
import { MAX_QUESTIONS } from '../gateway/monitor/drift/outlier_model.ts'
import { MAX_PART_BYTES } from '../gateway/monitor/quality/setup.ts'
import { MAX_CELLS } from '../gateway/metrics.ts'
import { MAX_CODINGS } from '../gateway/payload/coding.ts'
import { MAX_DEPTH } from '../gateway/payload/json.ts'
import { MAX_RANK } from '../gateway/payload/oip_read.ts'
import { MAX_COLUMNS } from '../gateway/payload/table.ts'
import { MAX_COLUMNS as MAX_PROFILED } from '../gateway/profile/read/csv.ts'
import { MAX_FRAME_BYTES } from '../gateway/records/codec.ts'
import { MAX_BATCH_BYTES } from '../gateway/records/sinks/cloudevents.ts'
import { MAX_OPEN } from '../gateway/records/sinks/jsonl.ts'
import { MAX_REQUEST_BYTES } from '../gateway/records/sinks/kafka.ts'
import { MAX_OBJECTS } from '../gateway/records/sinks/s3.ts'
import { MAX_COLUMNS as MAX_TYPED } from '../gateway/records/sinks/typed.ts'
import { MAX_PASSES } from '../gateway/server/forwarded.ts'
import { EVENT_BYTES } from '../gateway/sse.ts'
import { endings } from '../gateway/telemetry/endings.ts'
import { MAX_KEPT } from '../gateway/telemetry/alarms.ts'
import { MAX_SPANS } from '../gateway/telemetry/tracer.ts'
import { MAX_BYTES as LOG_BYTES } from '../gateway/telemetry/writer.ts'
import { MAX_WAITING } from '../gateway/threads/live.ts'
import { MAX_BYTES as METADATA_BYTES } from '../gateway/translate/remote.ts'
import { ANSWER_LIMITS } from '../gateway/upstream/endpoint.ts'
import { MAX_ADDRESSES } from '../gateway/upstream/resolve.ts'
import { MAX_EXTENSION_BYTES, MAX_TRAILER_BYTES, MAX_TRAILERS } from '../gateway/wire/body.ts'
import { EARLY_BYTES } from '../gateway/wire/flow.ts'
import { PIPELINE_BYTES } from '../gateway/wire/inbound.ts'
import { MAX_INFORMED } from '../gateway/wire/outbound.ts'
import { plugins } from '../plugins/index.ts'
import { MAX_FEATURES } from '../plugins/schema.ts'
import { fileSchema } from './schema.ts'
import { MAX_FILE_BYTES } from './source.ts'
import { formatSize } from './units.ts'

/** A key of the file, by its path. */
interface Option {
  readonly option: string
}

/** A number of the code, which no file changes. */
interface Fixed {
  readonly fixed: number
  readonly unit: 'bytes' | 'count'
  /** Where it stands, `file: NAME`. */
  readonly at: string
  readonly bounds: string
}

export type Row = (Option | Fixed) & {
  /** What the caller may get beyond it. */
  readonly codes: readonly Code[]
  /** What else happens. */
  readonly effect: string
  /** Metrics. */
  readonly counted: readonly string[]
}

interface Answered {
  readonly codes?: readonly Code[]
  readonly effect?: string
  readonly counted?: readonly string[]
}

const option = (path: string, { codes = [], effect = '', counted = [] }: Answered): Row => ({ option: path, codes, effect, counted })
const fixed = (value: number, unit: Fixed['unit'], at: string, bounds: string, { codes = [], effect = '', counted = [] }: Answered): Row => ({ fixed: value, unit, at, bounds, codes, effect, counted })

const REFUSED = ['weir_refused_requests_total']
const ATTEMPTS = ['weir_attempts_total']
const TIMERS = ['weir_timeout_total']
const SHED = ['weir_shed_total']
const LATE = 'Before the answer began; after that it is cut.'

/** Every limit, by whom it bounds. */
export const GROUPS: Readonly<Record<string, readonly Row[]>> = {
  'What callers send': [
    option('limits.head', { codes: ['HEAD_TOO_LARGE'], counted: REFUSED }),
    option('limits.fields', { codes: ['HEAD_TOO_LARGE'], counted: REFUSED }),
    option('limits.target', { codes: ['TARGET_TOO_LONG'], counted: REFUSED }),
    option('limits.connections', { effect: 'The connection is closed.', counted: ['weir_connections_refused_total'] }),
    option('limits.in_flight', { codes: ['OVERLOADED'], effect: '`sheddable` routes are refused from three quarters of it on.', counted: SHED }),
    option('timeouts.request_headers', { codes: ['REQUEST_TIMEOUT'], counted: REFUSED }),
    option('timeouts.idle', { codes: ['REQUEST_TIMEOUT'], effect: 'Without a request under way, and at a slow reader, the connection is closed.', counted: ['weir_requests_total'] }),
    option('routes[].max_body_bytes', { codes: ['BODY_TOO_LARGE', 'INVALID_ANSWER'], effect: 'Of the request; of an answer that a plugin looks at.', counted: ['weir_requests_total'] }),
    option('deadlines.header', { codes: ['DEADLINE_EXCEEDED'], effect: LATE, counted: ['weir_requests_total'] }),
    fixed(MAX_EXTENSION_BYTES, 'bytes', 'gateway/wire/body.ts: MAX_EXTENSION_BYTES', 'Chunk extensions of one body.', { codes: ['BAD_FRAMING'], counted: ['weir_requests_total'] }),
    fixed(MAX_TRAILER_BYTES, 'bytes', 'gateway/wire/body.ts: MAX_TRAILER_BYTES', 'Trailer section of one body.', { codes: ['BAD_FRAMING'], counted: ['weir_requests_total'] }),
    fixed(MAX_TRAILERS, 'count', 'gateway/wire/body.ts: MAX_TRAILERS', 'Trailer fields of one body.', { codes: ['BAD_FRAMING'], counted: ['weir_requests_total'] }),
    fixed(PIPELINE_BYTES, 'bytes', 'gateway/wire/inbound.ts: PIPELINE_BYTES', 'Pipelined requests that are kept while another is under way.', { effect: 'The connection is not read until that is over.' }),
    fixed(MAX_PASSES, 'count', 'gateway/server/forwarded.ts: MAX_PASSES', 'Passages of one request through gateways of the same `forwarded.via`.', { codes: ['LOOP'] }),
  ],
  'Plugins': [
    option('plugins.timeout.total', { codes: ['TOTAL_TIMEOUT'], effect: LATE, counted: TIMERS }),
    option('plugins.timeout.per_try', { codes: ['TRY_TIMEOUT'], counted: TIMERS }),
    option('plugins.timeout.connect', { codes: ['CONNECT_TIMEOUT'], counted: ATTEMPTS }),
    option('plugins.timeout.response_headers', { codes: ['HEADERS_TIMEOUT'], counted: ATTEMPTS }),
    option('plugins.timeout.first_byte', { codes: ['FIRST_BYTE_TIMEOUT'], effect: 'The answer is cut, unless a fallback holds it.', counted: ATTEMPTS }),
    option('plugins.timeout.first_token', { codes: ['FIRST_TOKEN_TIMEOUT'], effect: LATE, counted: TIMERS }),
    option('plugins.timeout.idle', { codes: ['IDLE_TIMEOUT'], effect: LATE, counted: ATTEMPTS }),
    option('plugins.rate_limit.per_second', { codes: ['RATE_LIMITED'], counted: ['weir_rate_limit_total'] }),
    option('plugins.rate_limit.keys', { effect: 'The fullest bucket is forgotten.', counted: ['weir_rate_limit_evictions_total'] }),
    option('plugins.concurrency.max', { effect: 'The request waits for a place.', counted: ['weir_concurrency_queued'] }),
    option('plugins.concurrency.queue', { codes: ['OVERLOADED'], counted: ['weir_concurrency_refused_total'] }),
    option('plugins.concurrency.queue_wait', { codes: ['OVERLOADED'], counted: ['weir_concurrency_refused_total'] }),
    option('plugins.retry.max', { effect: 'The last failure is answered.', counted: ['weir_retry_total'] }),
    option('plugins.retry.backoff.base', { effect: 'The wait is shorter.' }),
    option('plugins.retry.backoff.max', { effect: 'The wait is shorter.' }),
    option('plugins.retry.retry_after', { effect: 'The failure is answered.', counted: ['weir_retry_denied_total'] }),
    option('plugins.retry.budget.ratio', { effect: 'The failure is answered.', counted: ['weir_retry_overflow_total'] }),
    option('plugins.retry.replay', { effect: 'The failure is answered.', counted: ['weir_retry_impossible_total'] }),
    option('plugins.hedge.max_share', { effect: 'The first request goes on alone.', counted: ['weir_hedge_withheld_total'] }),
    option('plugins.fallback.replay', { effect: 'The failure is answered.', counted: ['weir_fallback_impossible_total'] }),
    option('plugins.fallback.peek', { effect: 'The stream goes on as it comes.' }),
    option('plugins.log.max_body', { effect: 'The body is cut in the record, and marked; it passes whole.', counted: ['weir_log_truncated_total'] }),
    option('plugins.log.queue', { codes: ['OVERLOADED'], counted: ['weir_log_refused_total'] }),
    option('plugins.log.queue_wait', { codes: ['OVERLOADED'], counted: ['weir_log_refused_total'] }),
    fixed(MAX_FEATURES, 'count', 'plugins/schema.ts: MAX_FEATURES', 'Features that one `schema` checks.', { effect: 'The file is refused.' }),
    fixed(MAX_DRIFT_MEMORY, 'bytes', 'gateway/monitor/drift/history.ts: MAX_MEMORY', 'Cells of one `drift`, of all threads: 23 MiB for 200 numeric features and two threads.', { effect: 'The file is refused.' }),
    fixed(MAX_QUESTIONS, 'count', 'gateway/monitor/drift/outlier_model.ts: MAX_QUESTIONS', 'Questions to the outlier model of a `drift` that a thread has under way.', { effect: 'The request is not scored.', counted: ['weir_drift_outlier_model_total'] }),
    option('plugins.labels.keep', { effect: 'A label that comes later is late, and not counted.', counted: ['weir_labels_total'] }),
    option('plugins.labels.max_ids', { effect: 'The oldest prediction of its set is forgotten; a label for it is an orphan.', counted: ['weir_labels_evictions_total'] }),
    option('plugins.labels.max_rows', { effect: 'The rows beyond are not kept.', counted: ['weir_labels_predictions_total'] }),
    option('plugins.labels.max_body', { codes: ['BODY_TOO_LARGE'], counted: ['weir_requests_total'] }),
    fixed(MAX_PART_BYTES, 'bytes', 'gateway/monitor/quality/setup.ts: MAX_PART_BYTES', 'Windows and segments of one `labels`, in every data thread.', { effect: 'The file is refused.' }),
    fixed(MAX_KEPT, 'count', 'gateway/telemetry/alarms.ts: MAX_KEPT', 'Alarms that a thread keeps for `/alarms`.', { effect: 'The oldest is forgotten there.', counted: ['weir_alarms_total'] }),
    option('plugins.fault.max_active', { effect: 'The attempt is not delayed.', counted: ['weir_fault_overflow_total'] }),
    fixed(HOLD_BYTES, 'bytes', 'gateway/hold.ts: HOLD_BYTES', 'Answers that a fallback holds until they are whole (`max_body_bytes` where it checks them).', { effect: 'The answer goes on as it comes.' }),
    fixed(ERROR_BODY_BYTES, 'bytes', 'gateway/failures.ts: ERROR_BODY_BYTES', 'Bodies of errors that are looked at for their code.', { effect: 'The error has no code.' }),
    fixed(EVENT_BYTES, 'bytes', 'gateway/sse.ts: EVENT_BYTES', 'One event of a stream, as far as it is looked at.', { effect: 'It passes; what is beyond is not looked at.' }),
    fixed(CONDITION_LENGTH, 'count', 'gateway/expression/condition.ts: MAX_LENGTH', 'Characters of a condition.', { effect: 'The file is refused.' }),
  ],
  'Backends': [
    option('backends.NAME.connect', { codes: ['CONNECT_TIMEOUT'], counted: ATTEMPTS }),
    option('backends.NAME.response_headers', { codes: ['HEADERS_TIMEOUT'], counted: ATTEMPTS }),
    option('backends.NAME.idle', { codes: ['IDLE_TIMEOUT'], effect: LATE, counted: ATTEMPTS }),
    option('backends.NAME.connections', { codes: ['OVERLOADED'], counted: ATTEMPTS }),
    option('backends.NAME.keep_alive', { effect: 'The connection is closed.' }),
    option('backends.NAME.lifetime', { effect: 'The connection is closed after what is under way on it.' }),
    option('backends.NAME.limits.in_flight', { effect: 'The request waits for a place.', counted: ['weir_backend_queued'] }),
    option('backends.NAME.limits.queue', { codes: ['OVERLOADED'], counted: ['weir_backend_refused_total'] }),
    option('backends.NAME.limits.queue_wait', { codes: ['OVERLOADED'], counted: ['weir_backend_refused_total'] }),
    option('backends.NAME.throttle.multiplier', { codes: ['OVERLOADED'], counted: ['weir_backend_refused_total'] }),
    option('backends.NAME.health.timeout', { effect: 'The check has failed.', counted: ['weir_health_checks_total'] }),
    option('backends.NAME.health.unhealthy', { codes: ['NO_ENDPOINT'], effect: 'The endpoint is not asked; when none is left the caller is told.', counted: ['weir_endpoints'] }),
    option('backends.NAME.ejection.consecutive', { codes: ['NO_ENDPOINT'], effect: 'The endpoint is not asked; when none is left the caller is told.', counted: ['weir_ejections_total'] }),
    option('backends.NAME.ejection.error_rate', { codes: ['NO_ENDPOINT'], effect: 'The endpoint is not asked; when none is left the caller is told.', counted: ['weir_ejections_total'] }),
    option('backends.NAME.ejection.max', { effect: 'The endpoint is tried again.' }),
    option('backends.NAME.ejection.max_percent', { effect: 'No further endpoint is ejected.' }),
    fixed(ANSWER_LIMITS.head_bytes, 'bytes', 'gateway/upstream/endpoint.ts: ANSWER_LIMITS', 'Head of an answer.', { codes: ['BAD_ANSWER'], counted: ATTEMPTS }),
    fixed(ANSWER_LIMITS.fields, 'count', 'gateway/upstream/endpoint.ts: ANSWER_LIMITS', 'Header fields of an answer.', { codes: ['BAD_ANSWER'], counted: ATTEMPTS }),
    fixed(MAX_INFORMED, 'count', 'gateway/wire/outbound.ts: MAX_INFORMED', 'Informational (1xx) answers to one request.', { codes: ['BAD_ANSWER'], counted: ATTEMPTS }),
    fixed(EARLY_BYTES, 'bytes', 'gateway/wire/flow.ts: EARLY_BYTES', 'Body that is kept before anybody reads it.', { effect: 'The connection is not read until somebody does.' }),
    fixed(MAX_ADDRESSES, 'count', 'gateway/upstream/resolve.ts: MAX_ADDRESSES', 'Addresses of one name that become endpoints (`dns_refresh`).', { effect: 'The others are not asked.' }),
    fixed(METADATA_BYTES, 'bytes', 'gateway/translate/remote.ts: MAX_BYTES', 'What a backend that `speaks` another format says of its model.', { codes: ['INVALID_ANSWER'], counted: ATTEMPTS }),
  ],
  'Models and bodies that are read': [
    option('inference.queue', { codes: ['OVERLOADED'], counted: ['weir_model_requests_total'] }),
    option('models.batching.max_rows', { effect: 'A request with more rows is several runs.', counted: ['weir_model_runs_total'] }),
    option('models.batching.max_wait', { effect: 'The run begins.', counted: ['weir_model_queue_seconds'] }),
    option('backends.NAME.batching.max_rows', { effect: 'A request with more rows is several runs.', counted: ['weir_model_runs_total'] }),
    option('backends.NAME.batching.max_wait', { effect: 'The run begins.', counted: ['weir_model_queue_seconds'] }),
    fixed(MAX_DEPTH, 'count', 'gateway/payload/json.ts: MAX_DEPTH', 'Levels of JSON.', { codes: ['BAD_BODY', 'INVALID_ANSWER'], effect: 'In a request; in an answer.' }),
    fixed(MAX_COLUMNS, 'count', 'gateway/payload/table.ts: MAX_COLUMNS', 'Columns of a request.', { codes: ['BAD_BODY', 'INVALID_ANSWER'], effect: 'In a request; in an answer.' }),
    fixed(MAX_RANK, 'count', 'gateway/payload/oip_read.ts: MAX_RANK', 'Dimensions of a tensor.', { codes: ['BAD_BODY', 'INVALID_ANSWER'], effect: 'In a request; in an answer.' }),
    fixed(MAX_CODINGS, 'count', 'gateway/payload/coding.ts: MAX_CODINGS', 'Content codings on top of each other.', { codes: ['UNSUPPORTED_MEDIA_TYPE'] }),
    fixed(MAX_WAITING, 'count', 'gateway/threads/live.ts: MAX_WAITING', 'Loads and unloads that wait for each other.', { codes: ['OVERLOADED'] }),
  ],
  'Records': [
    option('sinks.NAME.spool.max_bytes', { effect: 'What `on_full` of the `log` plugin says: the newest or the oldest record is dropped, or the caller waits.', counted: ['weir_records_pending', 'weir_records_dropped_total'] }),
    option('sinks.NAME.spool.segment', { effect: 'The segment is sealed; the next record begins another one.' }),
    option('sinks.NAME.spool.segment_age', { effect: 'The segment is sealed.' }),
    option('sinks.NAME.rotate', { effect: 'What was collected is delivered; the file is closed. Files of `parquet` and `s3`: 1m; `cloudevents`, `kafka`: 1s.' }),
    option('sinks.NAME.max_file', { effect: 'The next record begins another file.' }),
    option('sinks.NAME.max_rows', { effect: 'Further rows go to the next file.' }),
    option('sinks.NAME.batch', { effect: 'Further events go with the next request.' }),
    option('sinks.NAME.delivery.timeout', { effect: 'The attempt has failed; the records stay in the spool.', counted: ['weir_records_pending'] }),
    option('sinks.NAME.delivery.max_backoff', { effect: 'The next attempt is made.' }),
    option('sinks.NAME.delivery.connections', { effect: 'Further requests wait.' }),
    fixed(MAX_FRAME_BYTES, 'bytes', 'gateway/records/codec.ts: MAX_FRAME_BYTES', 'One record in the spool; half of `max_bytes` if that is less.', { effect: 'It is dropped as `too_large`.', counted: ['weir_records_dropped_total'] }),
    fixed(MAX_TYPED, 'count', 'gateway/records/sinks/typed.ts: MAX_COLUMNS', 'Typed columns of one route in Parquet.', { effect: 'Further names stand in the body alone; the log says so.' }),
    fixed(MAX_OPEN, 'count', 'gateway/records/sinks/jsonl.ts: MAX_OPEN', 'Files that one `jsonl` sink writes to at the same time.', { effect: 'Further files are closed at once.' }),
    fixed(MAX_BATCH_BYTES, 'bytes', 'gateway/records/sinks/cloudevents.ts: MAX_BATCH_BYTES', 'One batch of CloudEvents.', { effect: 'Further events go with the next request; a larger one goes alone.' }),
    fixed(MAX_OBJECTS, 'count', 'gateway/records/sinks/s3.ts: MAX_OBJECTS', 'Objects of one delivery to S3.', { effect: 'Further records go with the next delivery.' }),
    fixed(MAX_REQUEST_BYTES, 'bytes', 'gateway/records/sinks/kafka.ts: MAX_REQUEST_BYTES', 'One request to Kafka.', { effect: 'Further records go with the next request; a larger one goes alone.' }),
    fixed(MAX_ANSWER_BYTES, 'bytes', 'gateway/calls.ts: MAX_ANSWER_BYTES', 'What is read of an answer to a request of weir’s own.', { effect: 'The rest is not read.' }),
  ],
  'The gateway itself': [
    option('overload.loop_delay', { codes: ['OVERLOADED'], counted: SHED }),
    option('overload.memory', { codes: ['OVERLOADED'], counted: SHED }),
    option('drain.grace', { effect: 'The listener closes.' }),
    option('drain.deadline', { codes: ['DRAINING'], effect: 'What is left is cut; `DRAINING` is for requests that come before the first configuration runs.', counted: REFUSED }),
    fixed(MAX_CELLS, 'count', 'gateway/metrics.ts: MAX_CELLS', 'Numbers of all metrics of one thread.', { effect: 'Further series are not shown.', counted: ['weir_series_dropped_total'] }),
    fixed(MAX_SPANS, 'count', 'gateway/telemetry/tracer.ts: MAX_SPANS', 'Spans of a data thread that wait for the collector.', { effect: 'Further spans are dropped.', counted: ['weir_trace_spans_dropped_total'] }),
    fixed(LOG_BYTES, 'bytes', 'gateway/telemetry/writer.ts: MAX_BYTES', 'Lines of a log that wait for a slow reader or disk.', { effect: 'Further lines are dropped.', counted: ['weir_log_lines_dropped_total'] }),
    fixed(MAX_FILE_BYTES, 'bytes', 'config/source.ts: MAX_FILE_BYTES', 'The configuration file.', { effect: 'It is refused.' }),
    fixed(MAX_PROFILED, 'count', 'gateway/profile/read/csv.ts: MAX_COLUMNS', 'Columns of a file that is profiled, replayed or backtested.', { effect: 'It is refused.' }),
    fixed(ADMIN_CONNECTIONS, 'count', 'gateway/admin/server.ts: MAX_CONNECTIONS', 'Connections to the admin listener.', { effect: 'Further ones are closed.' }),
    fixed(ADMIN_BODY_BYTES, 'bytes', 'gateway/admin/server.ts: MAX_BODY_BYTES', 'Bodies sent to the admin listener.', { effect: '413.' }),
  ],
}

export interface Schema {
  readonly description?: string
  readonly default?: unknown
  readonly properties?: Readonly<Record<string, Schema>>
  readonly patternProperties?: Readonly<Record<string, Schema>>
  readonly items?: Schema
  readonly anyOf?: readonly Schema[]
}

/** @returns contents by path relative to the project */
export function generateLimits(): Map<string, string> {
  return new Map([['config/limits.md', page()]])
}

/** What the schema says of an option. @throws when there is none of that path */
export function schemaAt(path: string): Schema {
  const [root, name, ...rest] = path.split('.')
  const start = root === 'plugins' ? plugins.get(name!)?.config : fileSchema([])
  if (start === undefined) throw new Error(`there is no plugin ${name}`)
  return below(start as Schema, root === 'plugins' ? rest : path.replace('[]', '.[]').split('.'), path)
}

/** Of alternatives the first that has the key. */
function below(schema: Schema, [key, ...rest]: readonly string[], path: string): Schema {
  if (key === undefined) return schema
  const found = [schema, ...(schema.anyOf ?? [])].map((one) => (key === '[]' ? one.items : key === 'NAME' ? Object.values(one.patternProperties ?? {})[0] : one.properties?.[key])).find((one) => one !== undefined)
  if (found === undefined) throw new Error(`the schema of the configuration has no ${path}`)
  return below(found, rest, path)
}

// ---------------------------------------------------------------- the page

function page(): string {
  return `<!-- Generated by config/generate_limits.ts. Do not edit. -->
# Limits and error codes

Everything that grows or waits has a limit. An answer of weir's own holds its code (\`code\`); so does the line of the access log, also where an answer was cut.
Limits are for each data thread where they say so, and what is a size takes \`KiB\` and \`MiB\`, what is a time \`ms\`, \`s\` and \`m\`.

${Object.entries(GROUPS).map(([title, rows]) => `## ${title}\n\n${table(['limit', 'default', 'what it bounds', 'beyond it', 'counted in'], rows.map(line))}`).join('\n\n')}

## Error codes

\`reason\` is the word of \`fallback.on\` and of the metrics, \`flag\` that of the access log (Envoy's response flags).

${table(['code', 'status', 'reason', 'flag', 'meaning', 'what to do'], Object.entries(codes).map(([code, { status, reason, meaning, help }]) => [`\`${code}\``, String(status), reason, endings[code as Code].flag, meaning, help]))}
`
}

function line(row: Row): string[] {
  const beyond = [...row.codes.map((code) => `${codes[code].status} \`${code}\``), row.effect].filter((text) => text !== '').join('. ').replace(/(?<![.])$/, '.')
  const counted = row.counted.map((name) => `\`${name}\``).join(', ')
  if ('fixed' in row) return [`fixed (\`${row.at}\`)`, row.unit === 'bytes' ? formatSize(row.fixed) : String(row.fixed), row.bounds, beyond, counted]
  const { default: usual, description = '' } = schemaAt(row.option)
  return [`\`${row.option}\``, usual === undefined ? 'none' : String(usual), description, beyond, counted]
}

function table(head: readonly string[], lines: readonly (readonly string[])[]): string {
  return [head, head.map(() => '---'), ...lines].map((cells) => `| ${cells.map((text) => text.replaceAll('|', '\\|')).join(' | ')} |`).join('\n')
}
