/** `sinks:` as users write it. */
import { Duration, Size, Type } from '../gateway/plugin.ts'
import { Fields, OneOf, optional, Path, type Properties, Strict, Text } from './notation.ts'

const Spool = Strict(
  {
    max_bytes: optional(Size({ description: 'Most bytes of records that wait for this sink, all data threads together; beyond, `on_full` of `log` decides.', default: '1GiB' })),
    segment: optional(Size({ description: 'A segment of the spool is sealed at this size.', default: '8MiB' })),
    segment_age: optional(Duration({ description: 'A segment of the spool is sealed when it is this old.', default: '1s' })),
    fsync: optional(OneOf(['seal', 'never'], '`seal`: a sealed segment is synced to the disk before it is delivered; `never`: the kernel decides. A killed process loses nothing either way; a machine without power may.', { default: 'seal' })),
  },
  'Where records wait, below `state`.',
  { default: {} },
)

const Delivery = Strict(
  {
    timeout: optional(Duration({ description: 'Longest time for one request to the sink.', default: '10s' })),
    backoff: optional(Duration({ description: 'Wait after the first failure; doubles with each one that follows.', default: '100ms' })),
    max_backoff: optional(Duration({ description: 'Longest wait between attempts. Nothing is given up because attempts failed.', default: '30s' })),
    connections: optional(Type.Integer({ minimum: 1, maximum: 64, description: 'Most connections to the sink, and requests under way.', default: 4 })),
  },
  'How requests to the sink are made.',
  { default: {} },
)

const common = (rotate: string, about: string): Properties => ({
  rotate: optional(Duration({ description: about, default: rotate })),
  spool: optional(Spool),
})

const Jsonl = Strict(
  {
    jsonl: Path('Folder of the files: route/dt=YYYY-MM-DD/hour=HH/….jsonl, one JSON object a record. Made when it is not there.'),
    gzip: optional(Type.Boolean({ description: 'Whether closed files are compressed.', default: false })),
    max_file: optional(Size({ description: 'Largest file; the next record begins another one.', default: '256MiB' })),
    ...common('1h', 'Longest time that one file is written to.'),
  },
  'Lines of JSON in files.',
)

const Parquet = Strict(
  {
    parquet: Path('Folder of the files: route=…/date=YYYY-MM-DD/hour=HH/part-….parquet. Made when it is not there.'),
    max_rows: optional(Type.Integer({ minimum: 1000, maximum: 1_000_000, description: 'Most rows of one file; 32MiB of records make a file in any case.', default: 100_000 })),
    columns: optional(Type.Boolean({ description: 'Typed columns of decoded bodies, `input_<name>` and `output_<name>`, beside the record.', default: true })),
    ...common('1m', 'Longest time that records are collected for one file.'),
  },
  'Parquet files: the lake and the warehouse.',
)

const HTTP_URL = { pattern: '^https?://[^\\s]+$', maxLength: 2048, expected: 'a URL: `http://host[:port][/path]` or `https://…`' }
/** Names of CloudEvents attributes (CloudEvents 1.0.2, "Attribute Naming"). */
const ATTRIBUTE = '^[a-z0-9]{1,20}$'

const CloudEvents = Strict(
  {
    cloudevents: Text('Where events are sent to: `http://host[:port][/path]` or `https://…`.', HTTP_URL),
    headers: optional(Fields('Fields of the requests.')),
    source: optional(Text('`source` of the events.', { maxLength: 512, pattern: '^[\\x21-\\x7e]+$', expected: 'a URI reference', default: 'http://localhost:9081/' })),
    extensions: optional(
      Type.Unsafe<Record<string, string>>({
        type: 'object',
        patternProperties: { [ATTRIBUTE]: { type: 'string', minLength: 1, maxLength: 512 } },
        additionalProperties: false,
        maxProperties: 20,
        expected: 'attributes in lower-case letters and digits, such as `namespace: default`',
        description: 'Further attributes of the events. KServe’s logger has `inferenceservicename` (default: the route), `namespace`, `component` (default: predictor) and `endpoint` (default: the arm).',
      }),
    ),
    batch: optional(Type.Integer({ minimum: 1, maximum: 1000, description: 'Most events of one request: 1 sends each by itself in binary mode, as KServe’s logger; more are sent as a JSON batch.', default: 1 })),
    delivery: optional(Delivery),
    ...common('1s', 'Longest time that records are collected.'),
  },
  'CloudEvents over HTTP, as KServe’s logger sends them.',
)

const S3 = Strict(
  {
    s3: Text('Bucket and prefix: `s3://bucket/prefix`.', { maxLength: 1024, pattern: '^s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9](/[A-Za-z0-9!_.*\'()/=-]*)?$', expected: 'a bucket and a prefix: `s3://bucket/prefix`' }),
    region: optional(Text('Region of the bucket.', { pattern: '^[a-z0-9-]{1,32}$', expected: 'a region, such as `eu-central-1`', default: 'us-east-1' })),
    endpoint: optional(Text('Server that speaks the S3 API; default: Amazon’s own of the region.', HTTP_URL)),
    access_key: Text('Access key id.', { maxLength: 256, secret: true }),
    secret_key: Text('Secret access key.', { maxLength: 256, secret: true }),
    session_token: optional(Text('Session token of temporary credentials.', { maxLength: 8192, secret: true })),
    format: optional(OneOf(['parquet', 'jsonl'], 'What the objects hold.', { default: 'parquet' })),
    delivery: optional(Delivery),
    ...common('1m', 'Longest time that records are collected for one object; 16MiB of records make one in any case.'),
  },
  'Objects of a bucket that speaks the S3 API.',
)

const Kafka = Strict(
  {
    kafka: Type.Array(Text('`host:port` of a broker.', { maxLength: 300 }), { minItems: 1, maxItems: 32, uniqueItems: true, description: 'Brokers to begin with, `host:port`.' }),
    topic: Text('The topic; records have `record_id` as key.', { pattern: '^[A-Za-z0-9._-]{1,249}$', expected: 'a topic of letters, digits, `.`, `_` and `-`' }),
    tls: optional(Type.Boolean({ description: 'Whether connections are TLS. Authorities are those of Node; `NODE_EXTRA_CA_CERTS` in the environment adds others.', default: false })),
    sasl: optional(
      Strict(
        {
          mechanism: OneOf(['PLAIN', 'SCRAM-SHA-256', 'SCRAM-SHA-512'], 'How to log in.'),
          username: Text('User.', { maxLength: 256 }),
          password: Text('Password.', { maxLength: 1024, secret: true }),
        },
        'Credentials.',
      ),
    ),
    delivery: optional(Delivery),
    ...common('1s', 'Longest time that records are collected.'),
  },
  'A topic of Kafka.',
)

/** One sink. */
export const Sink = Type.Union([Jsonl, Parquet, CloudEvents, S3, Kafka], { description: 'Where records go: `jsonl`, `parquet`, `cloudevents`, `s3` or `kafka`.', noun: 'kind of sink' })
