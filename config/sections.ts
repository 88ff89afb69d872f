/** Everything of the file but sinks, backends and routes. */
import { dirname } from 'node:path'
import { checkNetwork } from './addresses.ts'
import { address, admin, batching, listeners, type WrittenBatching } from './assemble.ts'
import { checkAdmin, checkListeners } from './checks.ts'
import type { AccessLogConfig, Address, AdminConfig, Config, ForwardedConfig, InferenceConfig, LimitsConfig, ListenConfig, ModelsConfig, OverloadConfig, TracingConfig } from './config.ts'
import { needFolder } from './files.ts'
import { join } from './issues.ts'
import { checkQuantities } from './quantities.ts'
import { complain, type Scene, settle } from './scene.ts'
import type { Data, JsonSchema } from './shape.ts'

type Sections = Omit<Config, 'file' | 'hash' | 'effective' | 'sinks' | 'backends' | 'routes'>

/** With what is wrong left at its default: it is only used if nothing is. */
export function loadSections(scene: Scene, file: Data, schema: JsonSchema, parallelism: number): Sections {
  const section = <T>(name: string, positive: readonly string[] = []): T => {
    const own = schema.properties![name]!
    const right = Object.hasOwn(file, name) && scene.issues.clean(name)
    const written = right ? file[name] : own.default
    const settled = written === undefined ? undefined : settle<T>(scene, own, written)
    if (right) checkQuantities(scene, own, written, name, positive)
    return settled as T
  }
  const listen = listeners(scene, section('listen'))
  const adminConfig = admin(scene, section('admin'))
  const metrics = loadMetrics(scene, section('metrics'))
  checkAdmin(scene, adminConfig)
  checkListeners(scene, listenerPlaces(file, listen, adminConfig, metrics))
  const threads = section<number | 'auto'>('threads')
  const timeouts = section<{ request_headers: number; idle: number }>('timeouts', ['request_headers', 'idle'])
  const drain = section<{ grace: number; deadline: number }>('drain')
  return {
    listen, admin: adminConfig, metrics,
    threads: threads === 'auto' ? Math.max(1, parallelism) : threads,
    state: section<string | undefined>('state') ?? null,
    timeouts: { request_headers_ms: timeouts.request_headers, idle_ms: timeouts.idle },
    limits: loadLimits(scene, section('limits')),
    forwarded: loadForwarded(scene, section('forwarded')),
    answer_headers: section<boolean>('answer_headers'),
    access_log: loadAccessLog(scene, section('access_log')),
    drain: { grace_ms: drain.grace, deadline_ms: drain.deadline },
    models: loadModels(scene, section('models')),
    inference: loadInference(section('inference'), parallelism),
    overload: loadOverload(section('overload', ['loop_delay'])),
    tracing: loadTracing(section('tracing')),
    zone: section<string | undefined>('zone') ?? '',
    deadlines: loadDeadlines(scene, section('deadlines')),
  }
}

function loadMetrics(scene: Scene, written: string): Address | null {
  return written === 'off' ? null : address(scene, written, 'metrics')
}

function listenerPlaces(file: Data, listen: readonly ListenConfig[], admin: AdminConfig | null, metrics: Address | null): { path: string; address: Address }[] {
  const many = Array.isArray(file['listen'])
  const places = listen.map(({ address }, i) => ({ path: many ? join('listen', i) : 'listen', address }))
  if (admin !== null) places.push({ path: 'admin', address: admin.address })
  if (metrics !== null) places.push({ path: 'metrics', address: metrics })
  return places
}

function loadLimits(scene: Scene, written: { head: number; fields: number; target: number; connections: number; in_flight: number }): LimitsConfig {
  if (written.target >= written.head) complain(scene, 'limits', { rule: 'out-of-range', message: 'expected `target` below `head`, since the head holds the target', help: 'Raise `head` or lower `target`.' })
  return { head_bytes: written.head, fields: written.fields, target_bytes: written.target, connections: written.connections, in_flight: written.in_flight }
}

function loadForwarded(scene: Scene, written: ForwardedConfig): ForwardedConfig {
  written.trusted.forEach((network, i) => {
    const complaint = checkNetwork(network)
    if (complaint !== null) complain(scene, join('forwarded.trusted', i), complaint)
  })
  return written
}

function loadAccessLog(scene: Scene, written: 'off' | 'stdout' | { readonly file: string }): AccessLogConfig {
  if (typeof written === 'object') needFolder(scene, 'access_log.file', dirname(written.file))
  return { to: written }
}

interface WrittenModels {
  readonly path: string
  readonly placement: ModelsConfig['placement']
  readonly versions: 'all' | { readonly latest: number } | readonly number[]
  readonly labels: Readonly<Record<string, Readonly<Record<string, number>>>>
  readonly batching: WrittenBatching
  readonly watch: 'off' | number
  readonly control: ModelsConfig['control']
}

/** `models: ./models` for short: the options at their defaults. */
const PLAIN_MODELS: Omit<WrittenModels, 'path'> = { placement: 'auto', versions: 'all', labels: {}, batching: { max_rows: 64, max_wait: 1 }, watch: 2000, control: 'none' }

function loadModels(scene: Scene, written: string | WrittenModels | undefined): ModelsConfig | null {
  if (written === undefined) return null
  const { path, placement, versions, labels, watch, control, ...rest } = typeof written === 'string' ? { path: written, ...PLAIN_MODELS } : written
  needFolder(scene, typeof written === 'string' ? 'models' : 'models.path', path)
  return {
    path, placement, control,
    versions: versions === 'all' || 'latest' in versions ? versions : { specific: versions.map(String) },
    labels: Object.fromEntries(Object.entries(labels).map(([model, own]) => [model, Object.fromEntries(Object.entries(own).map(([label, version]) => [label, String(version)]))])),
    batching: batching(rest.batching),
    watch_ms: watch === 'off' ? 0 : watch,
  }
}

/** These carry time in units of their own, and are read and rewritten anyway. */
const OTHER_DEADLINES = ['grpc-timeout', 'x-envoy-expected-rq-timeout-ms', 'x-envoy-upstream-rq-timeout-ms']

function loadDeadlines(scene: Scene, { header }: { readonly header: string }): Config['deadlines'] {
  const name = header.toLowerCase()
  if (OTHER_DEADLINES.includes(name)) complain(scene, 'deadlines.header', { rule: 'bad-header', message: `\`${name}\` cannot be this header`, help: 'It is read and rewritten anyway; name another one.' })
  return { header: name }
}

function loadOverload({ loop_delay, memory }: { readonly loop_delay: 'off' | number; readonly memory: 'off' | number }): OverloadConfig {
  return { loop_delay_ms: loop_delay === 'off' ? null : loop_delay, memory: memory === 'off' ? null : memory / 100 }
}

function loadTracing(written: { endpoint: string; sample: number; service: string; headers?: Readonly<Record<string, string>> } | undefined): TracingConfig | null {
  return written === undefined ? null : { endpoint: written.endpoint.replace(/\/+$/, ''), sample: written.sample / 100, service: written.service, headers: written.headers ?? {} }
}

function loadInference(written: { threads: 'auto' | number; intra_op_threads: number; queue: number }, parallelism: number): InferenceConfig {
  const { threads, intra_op_threads, queue } = written
  return { threads: threads === 'auto' ? Math.max(1, parallelism >> 1) : threads, intra_op_threads, queue }
}
