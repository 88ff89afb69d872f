/**
 * The file as users write it. One declaration serves validation, defaults, the editor's JSON Schema and the docs; `load.ts`
 * turns what it accepts into the types of `config.ts`.
 */
import { Duration, Percent, type Plugin, Size, type TSchema, Type } from '../gateway/plugin.ts'
import { Fields, NAME, OneOf, optional, Path, type Properties, Strict, Text, Url } from './notation.ts'
import { Sink } from './sink_schema.ts'

const ADDRESS_HELP = '`host:port`, `:port` (every interface), `[::1]:port` or `unix:/path`'
const Address = (description: string, more: Readonly<Record<string, unknown>> = {}) => Text(`${description} ${ADDRESS_HELP}.`, { expected: `an address: ${ADDRESS_HELP}`, ...more })

const ServerTls = Strict(
  {
    cert: Path('Certificate chain, PEM.'),
    key: Path('Private key, PEM.'),
    client_ca: optional(Path('Ask for client certificates that this CA (PEM) has signed.')),
  },
  'TLS on this listener; the files are read again when they change.',
)

const Listener = Strict({ address: Address('Where to listen.'), tls: optional(ServerTls) }, 'A listener with TLS.')
const ListenOne = Type.Union([Address('Where to listen.'), Listener], { description: 'Where to listen for traffic.' })

const Listen = Type.Union([Address('Where to listen.'), Listener, Type.Array(ListenOne, { minItems: 1, maxItems: 32, description: 'Several listeners.' })], {
  description: 'Where to listen for traffic. Loopback by default: what stands in front of models opens to others only when told to.',
  expected: `${ADDRESS_HELP}, an object with \`address\` and \`tls\`, or a list of these`,
  default: '127.0.0.1:8080',
})

const Admin = Type.Union(
  [
    OneOf(['off'], 'No admin listener.'),
    Address('Where to listen.'),
    Strict(
      { address: Address('Where to listen.'), token: optional(Text('Bearer token that every request must carry.', { minLength: 16, secret: true, expected: 'a token of at least 16 characters' })), tls: optional(ServerTls) },
      'An admin listener with a token or TLS; one of them (TLS with `client_ca`) is needed off loopback.',
    ),
  ],
  { description: 'The admin listener: /metrics /ready /healthz /config /routes /backends /models. `off` turns it off.', default: '127.0.0.1:9901' },
)

const Placement = () => OneOf(['auto', 'inline', 'thread'], 'Where a model runs: inline in the data thread (small models), on an inference thread, or decided by a measured run.', { default: 'auto' })

const MAX_ROWS = 4096
const Batching = () =>
  Type.Union(
    [
      OneOf(['off'], 'Every request is a run of its own.'),
      Strict(
        {
          max_rows: optional(Type.Integer({ minimum: 1, maximum: MAX_ROWS, description: 'Most rows of one run; larger requests are cut to runs of this many.', default: 64 })),
          max_wait: optional(Duration({ description: 'Longest wait for more rows while requests come together; a request that comes alone never waits.', default: '1ms' })),
        },
        'Join rows of concurrent requests.',
      ),
    ],
    { description: 'Micro-batching of models on inference threads whose rows are independent.', default: {} },
  )

const Version = () => Type.Integer({ minimum: 0, description: 'A version.' })
/** As TensorFlow Serving's REST paths take them. */
const LABEL = '^[A-Za-z0-9_]+$'
const Versions = Type.Union(
  [
    OneOf(['all'], 'Every version in the folder.'),
    Strict({ latest: Type.Integer({ minimum: 1, maximum: 1000, description: 'How many of the highest versions.' }) }, 'The highest versions.'),
    Type.Array(Version(), { minItems: 1, maxItems: 1000, uniqueItems: true, description: 'These versions.' }),
  ],
  { description: 'Which versions are served.', default: 'all' },
)
const Labels = Type.Unsafe<Record<string, Record<string, number>>>({
  type: 'object',
  patternProperties: {
    [NAME]: { type: 'object', patternProperties: { [LABEL]: Version() }, additionalProperties: false, maxProperties: 100, expected: 'labels and their versions, such as `stable: 2`', description: 'Labels of one model.' },
  },
  additionalProperties: false,
  maxProperties: 1000,
  expected: 'labels by model, such as `fraud: { stable: 2 }`',
  description: 'Names for versions, by model.',
  default: {},
})

const Models = Type.Union(
  [
    Path('Folder of the repository.'),
    Strict(
      {
        path: Path('Folder of the repository: name/version/model.onnx.'),
        placement: optional(Placement()),
        versions: optional(Versions),
        labels: optional(Labels),
        batching: optional(Batching()),
        watch: optional(Type.Union([OneOf(['off'], 'The folder is read at load and reload only.'), Duration({ description: 'How often.' })], { description: 'How often the folder is looked at for new, changed and removed versions.', default: '2s' })),
        control: optional(OneOf(['none', 'explicit'], 'Whether callers of the traffic listener may load and unload models through /v2/repository. The admin listener always may.', { default: 'none' })),
      },
      'A model repository with options.',
    ),
  ],
  { description: 'Model repository (name/version/model.onnx), served on /v2 and /v1 by itself, after all routes.' },
)

// ---------------------------------------------------------------- backends

const UpstreamTls = Strict(
  {
    verify: optional(Type.Boolean({ description: 'Verify certificate and name of the backend.', default: true })),
    ca: optional(Path('CA certificates (PEM) to trust instead of the system’s.')),
    cert: optional(Path('Client certificate (PEM), for mutual TLS.')),
    key: optional(Path('Private key (PEM) of `cert`.')),
    server_name: optional(Text('Name for SNI and verification; default: the host of the url.')),
  },
  'TLS towards the backend.',
)

const SPOKEN = ['oip', 'kserve_v1', 'tfs', 'mlflow', 'rows'] as const
const Speaks = Type.Union(
  [
    OneOf(SPOKEN, 'The format.'),
    Strict(
      {
        format: OneOf(SPOKEN, 'The format.'),
        model: optional(Text('Name of the model there (`oip`, `kserve_v1`, `tfs`).', { pattern: NAME, expected: 'the name of a model' })),
        version: optional(Type.Union([Version(), Text('A version as that server spells it.', { pattern: NAME, expected: 'a version' })], { description: 'Version there; default: its own choice.' })),
        columns: optional(Type.Array(Text('A name.'), { minItems: 1, maxItems: 65536, description: 'Feature names of the columns of its matrix input.' })),
      },
      'The format, and which model.',
    ),
  ],
  { description: 'What this backend speaks, when callers of its routes speak something else (`format:` of the route): requests and answers are translated. The same format on both sides: nothing is changed, path included.' },
)

const Health = Strict(
  {
    path: optional(Text('GET this; 2xx is healthy. Default: `/v2/health/ready`.', { pattern: '^/[!-~]*$', maxLength: 2048, expected: 'a path' })),
    tcp: optional(Type.Boolean({ description: 'Only make a connection.', default: false })),
    interval: optional(Duration({ description: 'Between two checks of one endpoint; 10 % jitter.', default: '5s' })),
    timeout: optional(Duration({ description: 'Longest time for one check.', default: '2s' })),
    unhealthy: optional(Type.Integer({ minimum: 1, maximum: 100, description: 'Failures in a row that make an endpoint unhealthy.', default: 3 })),
    healthy: optional(Type.Integer({ minimum: 1, maximum: 100, description: 'Successes in a row that make it healthy again.', default: 2 })),
  },
  'Active health checks of every endpoint.',
)
const Ejection = Type.Union(
  [
    OneOf(['off'], 'No endpoint is ejected.'),
    Strict(
      {
        consecutive: optional(Type.Integer({ minimum: 1, maximum: 10_000, description: '5xx answers and broken connections in a row that eject an endpoint.', default: 5 })),
        error_rate: optional(Percent({ description: 'Share of failures in the window that ejects; 0 looks at rows alone.', default: '50%' })),
        min_requests: optional(Type.Integer({ minimum: 1, maximum: 1_000_000, description: 'Requests in the window before its share counts.', default: 20 })),
        window: optional(Duration({ description: 'The window.', default: '10s' })),
        base: optional(Duration({ description: 'Time of the first ejection; doubles with each that follows. After it one request tries the endpoint.', default: '5s' })),
        max: optional(Duration({ description: 'Longest ejection.', default: '30s' })),
        max_percent: optional(Percent({ description: 'Most endpoints ejected at the same time; always one may be, and the only endpoint never is.', default: '50%' })),
      },
      'When an endpoint is ejected.',
    ),
  ],
  { description: 'Passive ejection of endpoints that fail.', default: {} },
)
const Limits = Strict(
  {
    in_flight: optional(Type.Integer({ minimum: 1, maximum: 1_000_000, description: 'Most requests under way at the backend, per data thread.', default: 1024 })),
    queue: optional(Type.Integer({ minimum: 0, maximum: 1_000_000, description: 'Most requests that wait for a place (503 beyond).', default: 100 })),
    queue_wait: optional(Duration({ description: 'Longest wait for a place (503 beyond).', default: '200ms' })),
    adaptive: optional(
      Type.Union([OneOf(['off'], 'The limit stays as it is.'), Strict({ min: optional(Type.Integer({ minimum: 1, maximum: 1_000_000, description: 'The limit never falls below.', default: 3 })) }, 'Follow latency.')], {
        description: 'Let the limit follow latency, between `min` and `in_flight`.',
        default: 'off',
      }),
    ),
  },
  'Limits on what is sent to this backend.',
)
const Throttle = Strict(
  {
    multiplier: optional(Type.Number({ minimum: 1.1, maximum: 100, description: 'Requests per accepted one that are let through.', default: 2 })),
    window: optional(Duration({ description: 'Over this long.', default: '2m' })),
  },
  'Throttle by itself when the backend refuses much: requests are shed here with growing probability.',
)
const OneUrl = Type.Union(
  [
    Url('One address.'),
    Strict(
      {
        url: Url('The address.'),
        weight: optional(Type.Number({ minimum: 0.001, maximum: 1_000_000, description: 'Share among the endpoints of its priority.', default: 1 })),
        zone: optional(Text('Where it stands.', { pattern: NAME, expected: 'a name' })),
        priority: optional(Type.Integer({ minimum: 0, maximum: 15, description: '0 first; higher ones are asked when lower ones are not available.', default: 0 })),
      },
      'An endpoint with options.',
    ),
  ],
  { description: 'One endpoint.' },
)

const HttpCommon: Properties = {
  connect: optional(Duration({ description: 'Longest time for a connection to be accepted, TLS included.', default: '2s' })),
  response_headers: optional(Duration({ description: 'Longest time from the sent request to the head of the answer.', default: '60s' })),
  idle: optional(Duration({ description: 'Longest time without a byte in the middle of an answer.', default: '60s' })),
  connections: optional(Type.Integer({ minimum: 1, maximum: 65535, description: 'Most connections to one endpoint, per data thread.', default: 1024 })),
  keep_alive: optional(Duration({ description: 'How long an unused connection is kept; keep it below the idle timeout of the backend.', default: '4s' })),
  lifetime: optional(Duration({ description: 'A connection older than this carries no further request, so that a changed DNS name is noticed under load too.', default: '5m' })),
  host: optional(
    Type.Union(
      [OneOf(['keep', 'backend'], '`keep` the Host of the caller, or use the host of the url.'), Strict({ name: Text('The fixed name.', { pattern: '^[A-Za-z0-9._:\\[\\]-]+$', expected: 'a host name' }) }, 'A fixed Host.')],
      { description: 'Which Host the backend sees. Default: `keep` for http, `backend` for https (whose certificate and virtual host go by the name in the url).' },
    ),
  ),
  headers: optional(Fields('Fields set on every request to this backend.')),
  tls: optional(UpstreamTls),
  speaks: optional(Speaks),
  health: optional(Health),
  ejection: optional(Ejection),
  limits: optional(Limits),
  throttle: optional(Throttle),
  slow_start: optional(Duration({ description: 'An endpoint that is new or comes back gets its full share only after this long.', default: '0s' })),
  panic: optional(Percent({ description: 'When this share of the endpoints or less is available, all are used; 0 never.', default: '0%' })),
  dns_refresh: optional(Duration({ description: 'How often a host name is resolved again; every address is an endpoint, and the last good answer stays. 0s: resolved at each connection.', default: '0s' })),
}

const Balance = optional(
  Type.Union(
    [
      OneOf(['least_request', 'peak_ewma', 'round_robin', 'random'], 'By name.'),
      Strict({ hash: Text('Selector of what is hashed, such as `header.x-user-id`.', { 'x-weir': 'selector' }) }, 'Consistent hashing with bounded load.'),
    ],
    { description: 'How an endpoint is chosen: `least_request` and `peak_ewma` of two random ones, `round_robin`, `random`, or `hash`.', default: 'least_request' },
  ),
)
const HttpOne = Strict({ url: Url('The address.'), ...HttpCommon }, 'An HTTP backend with one endpoint.')
const HttpMany = Strict(
  { urls: Type.Array(OneUrl, { minItems: 1, maxItems: 256, description: 'The addresses.' }), balance: Balance, ...HttpCommon },
  'An HTTP backend with several endpoints.',
)
const Onnx = Strict(
  {
    onnx: Path('The model file.'),
    placement: optional(Placement()),
    batching: optional(Batching()),
    columns: optional(Type.Array(Text('A name.'), { minItems: 1, maxItems: 65536, description: 'Feature names of the columns of a matrix input, for `rows`.' })),
  },
  'An ONNX model inside this process.',
)
const Model = Strict(
  { model: Text('Name of the model.', { pattern: NAME, expected: 'the name of a model' }), version: optional(Type.Union([Type.Integer({ minimum: 0, description: 'A version.' }), OneOf(['latest'], 'The highest version.'), Text('A label of `models.labels`.', { pattern: LABEL, expected: 'a version number, `latest` or a label' })], { description: 'A version number, `latest`, or a label.', default: 'latest' })) },
  'A model of the repository (`models:`).',
)
const Answer = Strict(
  {
    answer: Strict(
      {
        status: optional(Type.Integer({ minimum: 200, maximum: 599, description: 'Status code.', default: 200 })),
        headers: optional(Fields('Fields of the answer.')),
        body: optional(Type.String({ maxLength: 1 << 20, description: 'A text body.' })),
        json: optional(Type.Unknown({ description: 'A JSON body.' })),
        rows: optional(Type.Record(Type.String(), Type.Unknown({ description: 'The value of this output.' }), { minProperties: 1, description: 'Outputs by name: one answer row, repeated for as many rows as the request has, in the format of the route.' })),
      },
      'The constant answer: at most one of `body`, `json`, `rows`.',
    ),
  },
  'A constant answer.',
)

/** One backend. */
export const Backend = Type.Union([HttpOne, HttpMany, Onnx, Model, Answer], { description: 'Something that answers: `url`, `urls`, `onnx`, `model` or `answer`.', noun: 'kind of backend' })

// ---------------------------------------------------------------- routes

const METHOD = '^[A-Z][A-Z-]{0,23}$'
const Method = () => Text('A method.', { pattern: METHOD, expected: 'an HTTP method in capitals, such as POST' })
const Match = Strict(
  {
    host: optional(Text('Host of the request without port; `*.example.com` stands for one or more labels.')),
    method: optional(Type.Union([Method(), Type.Array(Method(), { minItems: 1, maxItems: 32, uniqueItems: true, description: 'Several methods.' })], { description: 'Method or list of methods; default any.' })),
    path: Text('Path of the request: exact, `{name}` one segment by name, `*` one segment, `**` the rest.', { maxLength: 2048 }),
    headers: optional(Fields('Header values that must be there, exactly.')),
    when: optional(Text('CEL condition on the request, such as `header["x-tier"] == "gold"`; on `input.*` the body is buffered first.', { 'x-weir': 'condition', maxLength: 4096 })),
  },
  'Which requests; everything given must hold.',
)

const OnError = () => optional(OneOf(['open', 'closed'], 'What a failure of this plugin does: `open` goes on without it, `closed` answers 500. Default: see the plugin.'))

const UserPlugin = Strict(
  { use: Path('File of the plugin, `.ts` or `.js`.'), options: optional(Type.Unknown({ description: 'Its options.' })), on_error: OnError() },
  'A plugin of your own.',
)

function pluginItem(plugin: Plugin): TSchema {
  return Strict({ [plugin.name]: Type.Unsafe<unknown>({ description: plugin.summary, ...plugin.config }), on_error: OnError() }, plugin.summary)
}

function Route(plugins: Iterable<Plugin>): TSchema {
  const Item = Type.Union([...Array.from(plugins, pluginItem), UserPlugin], { description: 'One plugin and its options.', noun: 'plugin' })
  return Strict(
    {
      name: Text('Name in metrics, logs and headers.', { pattern: NAME, expected: 'a name of letters, digits, `_`, `.` and `-`' }),
      match: Match,
      backend: Text('Where its requests go, unless a plugin decides otherwise.', { 'x-weir': 'backend' }),
      format: optional(OneOf(['oip', 'kserve_v1', 'tfs', 'mlflow', 'rows', 'openai'], 'How bodies are read and written when a plugin or model looks into them; default: by path and backend.')),
      criticality: optional(OneOf(['critical', 'standard', 'sheddable'], 'Who is shed first under overload.', { default: 'standard' })),
      max_body_bytes: optional(Size({ description: 'Largest body that is buffered; larger ones get 413. Bodies that only pass through have no limit.', default: '64MiB' })),
      plugins: optional(Type.Array(Item, { maxItems: 64, description: 'In this order; answers pass in reverse.', default: [] })),
    },
    'Match rule, plugins and a backend.',
  )
}

// ---------------------------------------------------------------- the whole file

const sections: Properties = {
  listen: optional(Listen),
  admin: optional(Admin),
  metrics: optional(Type.Union([OneOf(['off'], 'No such listener.'), Address('Where to listen.')], { description: 'Read-only listener for Prometheus and probes: /metrics /ready /healthz.', default: 'off' })),
  threads: optional(Type.Union([OneOf(['auto'], 'As many as the machine runs in parallel.'), Type.Integer({ minimum: 1, maximum: 256, description: 'So many.' })], { description: 'Data threads.', default: 'auto' })),
  state: optional(Path('Folder for all that must be remembered: records that wait for their sinks, what plugins know.')),
  timeouts: optional(
    Strict(
      {
        request_headers: optional(Duration({ description: 'Longest time for the head of a request to arrive.', default: '10s' })),
        idle: optional(Duration({ description: 'Longest time without a byte: between requests, in a slow body, at a slow reader.', default: '60s' })),
      },
      'Timers of the listener.',
      { default: {} },
    ),
  ),
  limits: optional(
    Strict(
      {
        head: optional(Size({ description: 'Largest head of a request (431 beyond).', default: '16KiB' })),
        fields: optional(Type.Integer({ minimum: 1, maximum: 10_000, description: 'Most header fields of a request (431 beyond).', default: 100 })),
        target: optional(Size({ description: 'Longest target of a request (414 beyond).', default: '8KiB' })),
        connections: optional(Type.Integer({ minimum: 1, description: 'Most connections of callers, per data thread (closed beyond).', default: 10_000 })),
        in_flight: optional(Type.Integer({ minimum: 1, description: 'Most requests under way, per data thread (503 beyond).', default: 10_000 })),
      },
      'Limits on what callers send.',
      { default: {} },
    ),
  ),
  forwarded: optional(
    Strict(
      {
        trusted: optional(Type.Array(Text('An address or CIDR.'), { maxItems: 256, description: 'Addresses and CIDRs whose X-Forwarded-*, Forwarded and X-Request-Id are believed.', default: [] })),
        write: optional(OneOf(['x-forwarded', 'forwarded', 'both', 'none'], 'Which headers tell backends of the caller.', { default: 'x-forwarded' })),
        via: optional(Type.String({ pattern: "^[!#$%&'*+.^_`|~0-9A-Za-z-]*$", maxLength: 64, description: 'Pseudonym for Via and loop detection; empty writes none.', default: 'weir', expected: 'a token' })),
      },
      'What backends learn of the caller, and what is believed of it.',
      { default: {} },
    ),
  ),
  answer_headers: optional(Type.Boolean({ description: 'Whether answers carry x-weir-* and server-timing.', default: true })),
  access_log: optional(Type.Union([OneOf(['off', 'stdout'], 'Nowhere, or standard output.'), Strict({ file: Path('The file, appended to.') }, 'Into a file.')], { description: 'One JSON line for each request.', default: 'off' })),
  drain: optional(
    Strict(
      {
        grace: optional(Duration({ description: 'After SIGTERM: how long answers carry `connection: close` before the listener closes.', default: '1s' })),
        deadline: optional(Duration({ description: 'From SIGTERM to the moment what is left is cut.', default: '30s' })),
      },
      'The graceful stop.',
      { default: {} },
    ),
  ),
  models: optional(Models),
  inference: optional(
    Strict(
      {
        threads: optional(Type.Union([OneOf(['auto'], 'Half as many as the machine runs in parallel, at least one.'), Type.Integer({ minimum: 1, maximum: 64, description: 'So many.' })], { description: 'Inference threads; each loads every model that is placed there.', default: 'auto' })),
        intra_op_threads: optional(Type.Integer({ minimum: 1, maximum: 64, description: 'Threads of ONNX Runtime inside one run, on inference threads.', default: 1 })),
        queue: optional(Type.Integer({ minimum: 1, maximum: 65536, description: 'Most requests of one data thread that wait for inference threads or run there (503 beyond).', default: 256 })),
      },
      'The threads that run models too slow for an event loop.',
      { default: {} },
    ),
  ),
  overload: optional(
    Strict(
      {
        loop_delay: optional(Type.Union([OneOf(['off'], 'Not looked at.'), Duration({ description: 'So long.' })], { description: 'Delay of a data thread’s event loop, recurring within a second, from which `sheddable` routes are shed; `standard` ones from twice, `critical` ones from four times as much.', default: '100ms' })),
        memory: optional(Type.Union([OneOf(['off'], 'Not looked at.'), Percent({ description: 'So much.' })], { description: 'Resident memory, as a share of what the process may have, from which `sheddable` routes are shed; the others follow on the way to 100 %.', default: '90%' })),
      },
      'When the gateway itself is overloaded: 503 with Retry-After, least critical routes first. Of `limits.in_flight`, `sheddable` routes get three quarters.',
      { default: {} },
    ),
  ),
  tracing: optional(
    Strict(
      {
        endpoint: Text('Base url of an OTLP/HTTP collector, such as `http://127.0.0.1:4318`.', { pattern: '^https?://[^\\s]+$', expected: 'a URL: `http://host:port` or `https://…`' }),
        sample: optional(Percent({ description: 'Share of exchanges that are traced when the caller has not decided (traceparent).', default: '1%' })),
        service: optional(Text('`service.name` of the spans.', { maxLength: 64, default: 'weir' })),
        headers: optional(Fields('Fields of the export requests.')),
      },
      'OpenTelemetry traces.',
    ),
  ),
  zone: optional(Text('Where this gateway stands; endpoints of the same zone come first.', { pattern: NAME, expected: 'a name' })),
  deadlines: optional(
    Strict(
      { header: optional(Type.String({ pattern: "^[!#$%&'*+.^_`|~0-9A-Za-z-]*$", maxLength: 64, description: 'Header that carries the milliseconds left, from trusted callers and to backends; empty: none.', default: 'x-request-timeout-ms', expected: 'a header name' })) },
      'How deadlines travel.',
      { default: {} },
    ),
  ),
}

/** Schema of a whole file with these plugins. */
export function fileSchema(plugins: Iterable<Plugin>): TSchema {
  return Strict(
    {
      ...sections,
      sinks: optional(
        Type.Unsafe<Record<string, unknown>>({ type: 'object', patternProperties: { [NAME]: Sink }, additionalProperties: false, maxProperties: 100, expected: 'sinks by name', description: 'Where records go, by name; needs `state`.', default: {} }),
      ),
      backends: optional(
        Type.Unsafe<Record<string, unknown>>({ type: 'object', patternProperties: { [NAME]: Backend }, additionalProperties: false, maxProperties: 1000, expected: 'backends by name', description: 'Backends by name.', default: {} }),
      ),
      routes: optional(Type.Array(Route(plugins), { maxItems: 1000, description: 'First match in this order wins.', default: [] })),
    },
    'Configuration of weir.',
  )
}
