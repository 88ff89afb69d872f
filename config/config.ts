/**
 * The loaded configuration: what `load.ts` makes of the file. Plain data (it is posted to threads), every unit
 * decoded, every default filled in, every path absolute, every reference checked.
 */

/** Host '' = every interface. Port 0 = any free one. */
export type Address = { readonly host: string; readonly port: number } | { readonly unix: string }

/** PEM files, absolute paths. Re-read when they change. */
export interface ServerTls {
  readonly cert: string
  readonly key: string
  /** Ask for client certificates signed by this CA. */
  readonly client_ca: string | null
}

export interface ListenConfig {
  readonly address: Address
  readonly tls: ServerTls | null
}

export interface AdminConfig {
  readonly address: Address
  /** Needed off loopback (or `tls.client_ca`). */
  readonly token: string | null
  readonly tls: ServerTls | null
}

/** The listener's timers, milliseconds. */
export interface ListenerTimeouts {
  /** From the first byte of a request (or the connection) to the end of its head. */
  readonly request_headers_ms: number
  /** No byte in either direction: between requests, in a slow body, at a slow reader. */
  readonly idle_ms: number
}

/** Limits on what callers send; every one of them is in the limits table of the docs. */
export interface LimitsConfig {
  readonly head_bytes: number
  readonly fields: number
  readonly target_bytes: number
  readonly connections: number
  readonly in_flight: number
}

/** How deadlines travel. Names are lower case; '' = not used. */
export interface DeadlinesConfig {
  /** Read from trusted callers (`forwarded.trusted`) and written to backends: what is left, whole milliseconds. */
  readonly header: string
}

/** What weir tells backends about the caller, and what it believes of it. */
export interface ForwardedConfig {
  /** CIDRs whose X-Forwarded-*, Forwarded and X-Request-Id are believed; nobody by default. */
  readonly trusted: readonly string[]
  /** Which headers are written: `x-forwarded` (For, Proto, Host, Port), `forwarded` (RFC 7239), both, or none. */
  readonly write: 'x-forwarded' | 'forwarded' | 'both' | 'none'
  /** Pseudonym for Via and for loop detection; '' writes none. */
  readonly via: string
}

export interface UpstreamTls {
  readonly verify: boolean
  readonly ca: string | null
  readonly cert: string | null
  readonly key: string | null
  /** SNI and the name that is verified; '' = the host of the url. */
  readonly server_name: string
}

export interface EndpointAddress {
  readonly scheme: 'http' | 'https'
  readonly address: Address
  /** Host (and port if not the default) as written in the url. */
  readonly authority: string
  /** Path of the url, put before every target; '' for none. Never ends in '/'. */
  readonly prefix: string
}

export interface EndpointConfig extends EndpointAddress {
  /** Share among the endpoints of one priority; > 0. */
  readonly weight: number
  /** Where it stands; endpoints of weir's own zone come first. '' = not told. */
  readonly zone: string
  /** 0 is the first choice; higher numbers are asked when the lower ones are not available (Envoy's priority levels). */
  readonly priority: number
}

/** Active health checks. Durations in milliseconds. */
export interface HealthConfig {
  /** `http`: GET `path`, 2xx is healthy. `tcp`: a connection that stands. */
  readonly check: 'http' | 'tcp'
  readonly path: string
  readonly interval_ms: number
  readonly timeout_ms: number
  /** Failures in a row that make it unhealthy, successes in a row that make it healthy again. */
  readonly unhealthy: number
  readonly healthy: number
}

/** Passive ejection (Envoy's outlier detection, linkerd's exact windows). Durations in milliseconds, shares from 0 to 1. */
export interface EjectionConfig {
  /** 5xx and connection failures in a row. */
  readonly consecutive: number
  /** Share of failures in the window; 0 = not looked at. */
  readonly error_rate: number
  readonly min_requests: number
  readonly window_ms: number
  /** First ejection; doubles with each one that follows, up to `max_ms`. */
  readonly base_ms: number
  readonly max_ms: number
  /** Most endpoints ejected at the same time, share of all. */
  readonly max_share: number
}

/** What is sent to one backend at the same time, per data thread. */
export interface BackendLimits {
  readonly in_flight: number
  /** Requests that wait for a place; 503 beyond. */
  readonly queue: number
  /** Longest wait for a place, milliseconds. */
  readonly queue_wait_ms: number
  /** The limit follows latency between `min` and `in_flight` (gradient of Netflix's concurrency-limits and Envoy); null = fixed. */
  readonly adaptive: { readonly min: number } | null
}

/** Client-side throttling (Site Reliability Engineering, ch. 21). */
export interface ThrottleConfig {
  /** Requests are let through while they are at most this many times the accepted ones; > 1. */
  readonly multiplier: number
  readonly window_ms: number
}

/** How bodies are read and written; implementations are in `gateway/payload/`. */
export type FormatName = 'oip' | 'kserve_v1' | 'tfs' | 'mlflow' | 'rows' | 'openai'

/** What a backend speaks when it is not what its callers speak: bodies are translated on the way. */
export interface SpeaksConfig {
  readonly format: Exclude<FormatName, 'openai'>
  /** Name of the model there; '' for formats whose path has none (`rows`, `mlflow`). */
  readonly model: string
  /** '' = the server's own choice. */
  readonly version: string
  /** Feature names of the columns of its only matrix input; null = its inputs are the features. */
  readonly columns: readonly string[] | null
}

export interface HttpBackendConfig {
  readonly kind: 'http'
  readonly name: string
  readonly endpoints: readonly EndpointConfig[]
  readonly balance: 'least_request' | 'peak_ewma' | 'round_robin' | 'random' | 'hash'
  /** Selector of what `hash` hashes; '' with another balance. */
  readonly hash_by: string
  /** An endpoint that comes back, or is new, gets its full share only after this long, milliseconds; 0 = at once. */
  readonly slow_start_ms: number
  /** When this share of the endpoints or less is available, all are used (Envoy's panic threshold); 0 = never. */
  readonly panic: number
  /** How often names are resolved again, milliseconds; 0 = the platform's own resolution at each connection. */
  readonly dns_refresh_ms: number
  readonly health: HealthConfig | null
  readonly ejection: EjectionConfig | null
  readonly limits: BackendLimits | null
  readonly throttle: ThrottleConfig | null
  readonly connect_ms: number
  readonly response_headers_ms: number
  readonly idle_ms: number
  /** Kept connections and requests under way, each per thread and endpoint. */
  readonly connections: number
  /** How long an unused connection is kept, milliseconds. */
  readonly keep_alive_ms: number
  /** A connection older than this carries no further request, milliseconds. */
  readonly lifetime_ms: number
  /** `keep` the caller's Host, use the `backend`'s authority, or a fixed `name`. */
  readonly host: 'keep' | 'backend' | { readonly name: string }
  /** Fields set on every request to this backend, flat. */
  readonly headers: readonly string[]
  readonly tls: UpstreamTls
  /** null = whatever the caller sends passes through. */
  readonly speaks: SpeaksConfig | null
}

/** Rows of callers joined to one run of a model (micro-batching), on inference threads. null = never. */
export interface BatchingConfig {
  /** Most rows of one run. */
  readonly max_rows: number
  /** Longest wait for more rows under load; without load nobody waits. */
  readonly max_wait_ms: number
}

export interface OnnxBackendConfig {
  readonly kind: 'onnx'
  readonly name: string
  readonly path: string
  readonly placement: 'auto' | 'inline' | 'thread'
  readonly batching: BatchingConfig | null
  /** Feature names of the columns of a matrix input, for `rows`. */
  readonly columns: readonly string[] | null
}

export interface ModelBackendConfig {
  readonly kind: 'model'
  readonly name: string
  readonly model: string
  /** A number, `latest`, or a label of `models.labels`. */
  readonly version: string
}

export interface AnswerBackendConfig {
  readonly kind: 'answer'
  readonly name: string
  readonly status: number
  readonly headers: readonly string[]
  readonly body:
    | { readonly text: string }
    | { readonly json: unknown }
    /** One answer row; repeated for as many rows as the request has and written in the route's format. */
    | { readonly rows: Readonly<Record<string, unknown>> }
    | null
}

export type BackendConfig = HttpBackendConfig | OnnxBackendConfig | ModelBackendConfig | AnswerBackendConfig

export interface MatchConfig {
  /** Lower case, without port; '*.example.com' matches one or more labels; null = any. */
  readonly host: string | null
  /** Empty = any. */
  readonly methods: readonly string[]
  /** `/exact`, `{name}` one segment by name, `*` one segment, `**` the rest. */
  readonly path: string
  /** Exact values by lower-case name. */
  readonly headers: Readonly<Record<string, string>>
  /** CEL condition or null. */
  readonly when: string | null
}

export interface PluginConfig {
  /** Name of a plugin of weir, or for `use:` the name its file exports. */
  readonly name: string
  /** Absolute path of a user's plugin, else null. */
  readonly use: string | null
  /** Options, decoded and with defaults. */
  readonly options: unknown
  /** What a throw of its hooks does: `open` goes on, `closed` answers 500. */
  readonly on_error: 'open' | 'closed'
  /** Where it stands in the file, for messages: `routes[0].plugins[1]`. */
  readonly at: string
}

export interface RouteConfig {
  readonly name: string
  readonly match: MatchConfig
  readonly backend: string
  readonly format: FormatName | null
  /** Who is shed first under overload (Gateway API Inference Extension's criticality). */
  readonly criticality: 'critical' | 'standard' | 'sheddable'
  readonly max_body_bytes: number
  readonly plugins: readonly PluginConfig[]
}

/** Which versions of a model are served (TensorFlow Serving's `model_version_policy`). */
export type VersionPolicy = 'all' | { readonly latest: number } | { readonly specific: readonly string[] }

export interface ModelsConfig {
  readonly path: string
  readonly placement: 'auto' | 'inline' | 'thread'
  readonly versions: VersionPolicy
  /** Label → version, by model. */
  readonly labels: Readonly<Record<string, Readonly<Record<string, string>>>>
  readonly batching: BatchingConfig | null
  /** How often the folder is looked at, milliseconds; 0 = never. A changed file is loaded once it has stopped changing. */
  readonly watch_ms: number
  /** Whether callers of the traffic listener may load and unload models (`/v2/repository/…`); the admin listener always may. */
  readonly control: 'none' | 'explicit'
}

/** The threads that run models too slow for an event loop; one pool for the process. */
export interface InferenceConfig {
  readonly threads: number
  /** Threads inside one run of ONNX Runtime. */
  readonly intra_op_threads: number
  /** Most requests of one data thread that wait for these threads or run there; 503 beyond. */
  readonly queue: number
}

/** When the gateway itself has too much to do; each signal null = not looked at. */
export interface OverloadConfig {
  /** Delay of a data thread's event loop that recurs within a second, milliseconds: `sheddable` routes are shed from here, `standard` ones from twice, `critical` ones from four times this. */
  readonly loop_delay_ms: number | null
  /** Resident memory as a share of the cgroup's limit (or the machine's memory): sheddable from here, standard and critical from two thirds and all of the way to 1. */
  readonly memory: number | null
}

/** OpenTelemetry traces over OTLP/HTTP; nothing of it is loaded without. */
export interface TracingConfig {
  /** Base url of the collector; `/v1/traces` is added. */
  readonly endpoint: string
  /** Share of exchanges that are traced when the caller has not decided, 0 to 1. */
  readonly sample: number
  readonly service: string
  readonly headers: Readonly<Record<string, string>>
}

/** What all sinks have in common. The spool of a sink lies below `state`. */
interface SinkCommon {
  readonly name: string
  readonly spool: SpoolConfig
  /** What is sealed goes out at least this often, milliseconds; for files also how long one is written to. */
  readonly rotate_ms: number
}

export interface SpoolConfig {
  /** Most bytes of records that wait, all data threads together. */
  readonly max_bytes: number
  /** A segment is sealed when it has this many bytes, or is this old (milliseconds). */
  readonly segment_bytes: number
  readonly segment_ms: number
  /** `seal`: a sealed segment is synced to the disk before it counts as sealed; `never`: the kernel decides. Neither matters to kill -9. */
  readonly fsync: 'seal' | 'never'
}

/** How requests of a network sink are made; durations in milliseconds. */
export interface DeliveryConfig {
  readonly timeout_ms: number
  /** Attempts of one batch before it is set aside for `max_backoff_ms`; nothing is given up by attempts alone. */
  readonly backoff_ms: number
  readonly max_backoff_ms: number
  readonly connections: number
}

export interface JsonlSinkConfig extends SinkCommon {
  readonly kind: 'jsonl'
  /** Folder, absolute. */
  readonly path: string
  readonly gzip: boolean
  /** A file is closed at this size. */
  readonly max_file_bytes: number
}

export interface ParquetSinkConfig extends SinkCommon {
  readonly kind: 'parquet'
  readonly path: string
  /** Rows of one file at most. */
  readonly max_rows: number
  /** Typed columns of decoded payloads beside the envelope. */
  readonly columns: boolean
}

export interface CloudEventsSinkConfig extends SinkCommon {
  readonly kind: 'cloudevents'
  readonly url: string
  readonly headers: Readonly<Record<string, string>>
  /** `ce-source`. */
  readonly source: string
  /** Extensions of KServe's logger: `inferenceservicename`, `namespace`, `component`, `endpoint`. */
  readonly extensions: Readonly<Record<string, string>>
  /** Events of one request: 1 = binary mode, as KServe's logger; more = batched JSON. */
  readonly batch: number
  readonly delivery: DeliveryConfig
}

export interface S3SinkConfig extends SinkCommon {
  readonly kind: 's3'
  readonly bucket: string
  readonly prefix: string
  readonly region: string
  /** '' = Amazon's own for the region. */
  readonly endpoint: string
  readonly access_key: string
  readonly secret_key: string
  readonly session_token: string
  readonly format: 'parquet' | 'jsonl'
  readonly delivery: DeliveryConfig
}

export interface KafkaSinkConfig extends SinkCommon {
  readonly kind: 'kafka'
  readonly brokers: readonly string[]
  readonly topic: string
  readonly tls: boolean
  readonly sasl: { readonly mechanism: 'PLAIN' | 'SCRAM-SHA-256' | 'SCRAM-SHA-512'; readonly username: string; readonly password: string } | null
  readonly delivery: DeliveryConfig
}

/** Where records go. */
export type SinkConfig = JsonlSinkConfig | ParquetSinkConfig | CloudEventsSinkConfig | S3SinkConfig | KafkaSinkConfig

export interface AccessLogConfig {
  readonly to: 'off' | 'stdout' | { readonly file: string }
}

export interface DrainConfig {
  /** How long answers carry `connection: close` before the listener closes, milliseconds. */
  readonly grace_ms: number
  /** From SIGTERM to the moment what is left is cut, milliseconds. */
  readonly deadline_ms: number
}

export interface Config {
  /** Absolute path of the file; '' when made from flags. */
  readonly file: string
  /** sha256 of the text, hex, first 12 characters. */
  readonly hash: string
  readonly listen: readonly ListenConfig[]
  readonly admin: AdminConfig | null
  /** Read-only listener for Prometheus and probes. */
  readonly metrics: Address | null
  /** Data threads; `auto` is already a number. */
  readonly threads: number
  readonly state: string | null
  readonly timeouts: ListenerTimeouts
  readonly limits: LimitsConfig
  readonly forwarded: ForwardedConfig
  /** Whether answers carry x-weir-* and server-timing. */
  readonly answer_headers: boolean
  readonly access_log: AccessLogConfig
  readonly drain: DrainConfig
  readonly models: ModelsConfig | null
  readonly inference: InferenceConfig
  readonly overload: OverloadConfig
  readonly tracing: TracingConfig | null
  /** Where this gateway stands, for endpoints with a zone; '' = not told. */
  readonly zone: string
  /** Headers in which the time that is left travels. */
  readonly deadlines: DeadlinesConfig
  readonly sinks: Readonly<Record<string, SinkConfig>>
  readonly backends: Readonly<Record<string, BackendConfig>>
  readonly routes: readonly RouteConfig[]
  /** The file's own grammar with every default, for `explain` and `/config`: environment unexpanded, secrets hidden. Plain data. */
  readonly effective: unknown
}

/** One complaint about a configuration. */
export interface Issue {
  readonly severity: 'error' | 'warning'
  readonly file: string
  /** 1-based; 0 when there is no position (a missing file). */
  readonly line: number
  readonly column: number
  /** `routes[0].plugins[1].rate_limit.per_second` */
  readonly path: string
  /** Identifier of the rule, kebab-case: `unknown-key`, `unknown-backend`, … */
  readonly rule: string
  /** What was expected and what was found. */
  readonly message: string
  /** What to do; '' if the message says it. */
  readonly help: string
}

/** A problem found after the file was read (a plugin's build, a model that does not load): located by path. */
export interface BuildIssue {
  readonly at: string
  readonly rule: string
  readonly message: string
  readonly help: string
}
