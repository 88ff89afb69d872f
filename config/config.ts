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

export interface EndpointConfig {
  readonly scheme: 'http' | 'https'
  readonly address: Address
  /** Host (and port if not the default) as written in the url. */
  readonly authority: string
  /** Path of the url, put before every target; '' for none. Never ends in '/'. */
  readonly prefix: string
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
  readonly balance: 'least_request' | 'round_robin' | 'random'
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
