/** `sinks:` from what is valid to the types of `config.ts`. */
import { isComplaint, parseAddress } from './addresses.ts'
import { fields, FRAMING_FIELDS } from './assemble.ts'
import type { CloudEventsSinkConfig, DeliveryConfig, KafkaSinkConfig, S3SinkConfig, SinkConfig, SpoolConfig } from './config.ts'
import { join } from './issues.ts'
import { checkQuantities } from './quantities.ts'
import { complain, type Scene, settle } from './scene.ts'
import { isData, type JsonSchema } from './shape.ts'
import { Sink } from './sink_schema.ts'

interface Common {
  readonly rotate: number
  readonly spool: { readonly max_bytes: number; readonly segment: number; readonly segment_age: number; readonly fsync: SpoolConfig['fsync'] }
}
interface WrittenDelivery {
  readonly timeout: number
  readonly backoff: number
  readonly max_backoff: number
  readonly connections: number
}
type WrittenJsonl = Common & { readonly jsonl: string; readonly gzip: boolean; readonly max_file: number }
type WrittenParquet = Common & { readonly parquet: string; readonly max_rows: number; readonly columns: boolean }
type WrittenCloudEvents = Common & {
  readonly cloudevents: string
  readonly headers?: Readonly<Record<string, string>>
  readonly source: string
  readonly extensions?: Readonly<Record<string, string>>
  readonly batch: number
  readonly delivery: WrittenDelivery
}
type WrittenS3 = Common & Pick<S3SinkConfig, 'region' | 'access_key' | 'secret_key' | 'format'> & { readonly s3: string; readonly endpoint?: string; readonly session_token?: string; readonly delivery: WrittenDelivery }
type WrittenKafka = Common & { readonly kafka: readonly string[]; readonly topic: string; readonly tls: boolean; readonly sasl?: NonNullable<KafkaSinkConfig['sasl']>; readonly delivery: WrittenDelivery }
type Written = WrittenJsonl | WrittenParquet | WrittenCloudEvents | WrittenS3 | WrittenKafka

/** Keys of a sink that must not be 0. */
const POSITIVE = ['rotate', 'max_file']
const POSITIVE_BELOW: Readonly<Record<string, readonly string[]>> = { spool: ['max_bytes', 'segment', 'segment_age'], delivery: ['timeout', 'backoff', 'max_backoff'] }
/** Below this a segment would hold single records, and a file of the spool each. */
const MIN_SEGMENT_BYTES = 4096

/** @param written the part of the file @param state whether the file has `state:` */
export function loadSinks(scene: Scene, written: unknown, state: boolean): Map<string, SinkConfig> {
  const found = new Map<string, SinkConfig>()
  if (!isData(written)) return found
  const names = Object.keys(written)
  if (names.length > 0 && !state) needState(scene)
  const schema = Sink as unknown as JsonSchema
  for (const [name, value] of Object.entries(written)) {
    const path = join('sinks', name)
    if (!scene.issues.clean(path)) continue
    const positive = Object.entries(POSITIVE_BELOW).flatMap(([key, below]) => below.map((one) => `${key}.${one}`))
    checkQuantities(scene, schema, value, path, [...POSITIVE, ...positive])
    const made = sink(scene, name, settle<Written>(scene, schema, value), path)
    if (made !== null) found.set(name, made)
  }
  checkFolders(scene, found)
  return found
}

function needState(scene: Scene): void {
  scene.issues.error('sinks', scene.tree.places.key('sinks'), { rule: 'missing-key', message: '`sinks` needs the key `state`, the folder where records wait for their sink', help: 'Write `state: ./state`.' })
}

function sink(scene: Scene, name: string, written: Written, path: string): SinkConfig | null {
  const common = { name, spool: spool(scene, written.spool, join(path, 'spool')), rotate_ms: written.rotate }
  if ('jsonl' in written) return { kind: 'jsonl', ...common, path: written.jsonl, gzip: written.gzip, max_file_bytes: written.max_file }
  if ('parquet' in written) return { kind: 'parquet', ...common, path: written.parquet, max_rows: written.max_rows, columns: written.columns }
  if ('cloudevents' in written) return cloudEvents(scene, written, common, path)
  if ('s3' in written) return s3(scene, written, common, path)
  return kafka(scene, written, common, path)
}

function spool(scene: Scene, { max_bytes, segment, segment_age, fsync }: Common['spool'], path: string): SpoolConfig {
  if (segment < MIN_SEGMENT_BYTES) complain(scene, join(path, 'segment'), { rule: 'out-of-range', message: 'expected at least 4KiB', help: '' })
  if (segment * 2 > max_bytes) complain(scene, path, { rule: 'out-of-range', message: '`segment` is more than half of `max_bytes`', help: 'While one segment is delivered another one is written: raise `max_bytes` or lower `segment`.' })
  return { max_bytes, segment_bytes: segment, segment_ms: segment_age, fsync }
}

function delivery(scene: Scene, { timeout, backoff, max_backoff, connections }: WrittenDelivery, path: string): DeliveryConfig {
  if (backoff > max_backoff) complain(scene, path, { rule: 'out-of-range', message: '`backoff` is longer than `max_backoff`', help: 'The first wait is the shortest.' })
  return { timeout_ms: timeout, backoff_ms: backoff, max_backoff_ms: max_backoff, connections }
}

type Made = Pick<SinkConfig, 'name' | 'spool' | 'rotate_ms'>

/** What the sink writes itself into each request. */
const EVENT_FIELDS = [...FRAMING_FIELDS, 'host', 'content-type', 'content-encoding']
/** Attributes of the sink's own. */
const OWN_ATTRIBUTES = ['id', 'source', 'specversion', 'type', 'time', 'datacontenttype', 'dataschema', 'subject', 'data', 'database64', 'recordedtime', 'metadata', 'statuscode']

function cloudEvents(scene: Scene, written: WrittenCloudEvents, common: Made, path: string): CloudEventsSinkConfig | null {
  const { cloudevents: url, headers = {}, source, extensions = {}, batch } = written
  const right = webUrl(scene, url, join(path, 'cloudevents'))
  for (const name of Object.keys(extensions)) if (OWN_ATTRIBUTES.includes(name)) refuse(scene, join(join(path, 'extensions'), name), { rule: 'conflicting-keys', message: `\`${name}\` is an attribute that weir writes itself`, help: 'Remove it.' })
  for (const name of Object.keys(headers)) if (name.toLowerCase().startsWith('ce-')) refuse(scene, join(join(path, 'headers'), name), { rule: 'bad-header', message: `the field \`${name}\` cannot be set here`, help: 'Attributes of events are `extensions`.' })
  if (fields(scene, headers, join(path, 'headers'), EVENT_FIELDS) === null || !right) return null
  return { kind: 'cloudevents', ...common, url, headers, source, extensions, batch, delivery: delivery(scene, written.delivery, join(path, 'delivery')) }
}

function s3(scene: Scene, written: WrittenS3, common: Made, path: string): S3SinkConfig | null {
  const { region, endpoint = '', access_key, secret_key, session_token = '', format } = written
  if (endpoint !== '' && !webUrl(scene, endpoint, join(path, 'endpoint'))) return null
  const [bucket = '', ...prefix] = written.s3.slice('s3://'.length).split('/')
  return {
    kind: 's3', ...common, bucket, prefix: prefix.filter((part) => part !== '').join('/'), region, endpoint: endpoint.replace(/\/+$/, ''), access_key, secret_key, session_token, format,
    delivery: delivery(scene, written.delivery, join(path, 'delivery')),
  }
}

function kafka(scene: Scene, written: WrittenKafka, common: Made, path: string): KafkaSinkConfig | null {
  const wrong = written.kafka.filter((broker, i) => {
    const parsed = parseAddress(broker, scene.base)
    const right = !isComplaint(parsed) && 'host' in parsed && parsed.host !== '' && parsed.port !== 0
    if (!right) complain(scene, join(join(path, 'kafka'), i), isComplaint(parsed) ? { ...parsed, help: 'Write `host:port`.' } : { rule: 'bad-address', message: 'a broker has a host and a port', help: 'Write `host:port`.' })
    return !right
  })
  if (wrong.length > 0) return null
  const { topic, tls, sasl = null } = written
  return { kind: 'kafka', ...common, brokers: written.kafka, topic, tls, sasl, delivery: delivery(scene, written.delivery, join(path, 'delivery')) }
}

function webUrl(scene: Scene, text: string, path: string): boolean {
  const bad = (message: string, help: string): boolean => complain(scene, path, { rule: 'bad-url', message, help }) !== null
  const url = URL.parse(text)
  if (url === null || !/^[\x21-\x7e]*$/.test(text)) return bad('this is no url', 'Write `http://host[:port][/path]` or `https://…`.')
  if (url.username !== '' || url.password !== '') return bad('a url must not hold a user name or password', 'Send credentials with `headers`.')
  return url.hash === '' || bad('a url of a sink has no fragment', 'Remove it.')
}

function refuse(scene: Scene, path: string, complaint: Parameters<typeof complain>[2]): void {
  scene.issues.error(path, scene.tree.places.key(path), complaint)
}

/** Two sinks in one folder would read and move each other's files. */
function checkFolders(scene: Scene, sinks: ReadonlyMap<string, SinkConfig>): void {
  const taken = new Map<string, string>()
  for (const one of sinks.values()) {
    if (one.kind !== 'jsonl' && one.kind !== 'parquet') continue
    const other = taken.get(one.path)
    if (other !== undefined) complain(scene, join(join('sinks', one.name), one.kind), { rule: 'folder-conflict', message: `this is the folder of the sink \`${other}\``, help: 'Give each sink a folder of its own.' })
    else taken.set(one.path, one.name)
  }
}
