/** What the admin listener serves: one table, also printed at `/`. */
import { type Clock, within } from '../clock.ts'
import { exposition, EXPOSITION_TYPE, processMetrics } from '../metrics.ts'
import { mergeBackends } from './backends.ts'
import type { AdminControl, ThreadError } from './control.ts'
import { newestAlarms, statesOf } from './monitors.ts'

/** A request that passed the guards. */
export interface Asked {
  readonly method: 'GET' | 'POST'
  /** The segments behind the endpoint's own, decoded. */
  readonly rest: readonly string[]
  readonly query: URLSearchParams
  readonly body: unknown
}

export interface Answered {
  readonly status: number
  readonly body: unknown
  /** A string body is sent as it is, under this type. */
  readonly type?: string
  readonly allow?: readonly string[]
}

export interface Endpoint {
  /** First segment; a `path` that ends in `/` has segments behind it. */
  readonly path: string
  readonly methods: readonly ('GET' | 'POST')[]
  readonly summary: string
  /** Needs no token. */
  readonly open?: true
  /** Served by the read-only listener too. */
  readonly readOnly?: true
  readonly answer: (asked: Asked) => Answered | Promise<Answered>
}

/** How long data threads may take to answer. */
const ASK_MS = 2_000
/** Models are loaded meanwhile. */
const RELOAD_MS = 60_000

const ok = (body: unknown): Answered => ({ status: 200, body })
export const refused = (status: number, error: string): Answered => ({ status, body: { error } })

export function endpointsOf(control: AdminControl, clock: Clock): Endpoint[] {
  return [
    { path: '/metrics', methods: ['GET'], summary: 'Prometheus text', readOnly: true, answer: () => metrics(control) },
    { path: '/ready', methods: ['GET'], summary: '200 when traffic is served, else 503 and the reason', open: true, readOnly: true, answer: () => readiness(control) },
    { path: '/healthz', methods: ['GET'], summary: '200 while the process lives', open: true, readOnly: true, answer: () => ok({ status: 'ok' }) },
    { path: '/config', methods: ['GET'], summary: 'the running configuration, secrets redacted, and what the last load said', answer: () => configuration(control) },
    { path: '/routes', methods: ['GET'], summary: 'routes in the order of matching', answer: () => ok({ routes: control.routes() }) },
    { path: '/routes/', methods: ['GET', 'POST'], summary: '/routes/<route>/<plugin>/<path>: what a plugin shows', answer: (asked) => plugin(control, clock, asked) },
    { path: '/backends', methods: ['GET'], summary: 'endpoints of every backend: whether they are asked, why not, and what each data thread sees', answer: () => backends(control, clock) },
    { path: '/records', methods: ['GET'], summary: 'what became of the records of every sink: accepted = delivered + dropped + pending', answer: () => records(control, clock) },
    { path: '/alarms', methods: ['GET'], summary: 'the last alarms of schema, drift, labels and quality, the newest first', answer: () => alarms(control, clock) },
    { path: '/drift', methods: ['GET'], summary: 'of every route with `drift`: scores with their noise, counts and reasons', answer: () => states(control, clock, 'drift', 'drift') },
    { path: '/quality', methods: ['GET'], summary: 'of every route with `labels`: coverage, delay and measures of quality with their bounds', answer: () => states(control, clock, 'labels', 'quality') },
    { path: '/models', methods: ['GET'], summary: 'models and their versions', answer: async () => ok({ models: await within(clock, ASK_MS, control.models()) }) },
    { path: '/models/', methods: ['POST'], summary: '/models/<name>/load and /unload: all versions of one model', answer: (asked) => repository(control, clock, asked) },
    { path: '/reload', methods: ['POST'], summary: 'load the file again; a bad one changes nothing', answer: () => reload(control, clock) },
    { path: '/drain', methods: ['POST'], summary: 'stop gracefully', answer: () => drain(control) },
  ]
}

export function listOf(endpoints: readonly Endpoint[]): Answered {
  return ok({ endpoints: endpoints.map(({ path, methods, summary }) => ({ path: path.endsWith('/') ? `${path}<…>` : path, methods, summary })) })
}

async function metrics(control: AdminControl): Promise<Answered> {
  return { status: 200, type: EXPOSITION_TYPE, body: await exposition(control.views(), processMetrics()) }
}

function readiness(control: AdminControl): Answered {
  const readiness = control.ready()
  return { status: readiness.ready ? 200 : 503, body: readiness }
}

function configuration(control: AdminControl): Answered {
  const { file, hash, loaded_at, synchronized, issues, config } = control.config()
  return ok({ file, hash, loaded_at: loaded_at === 0 ? null : new Date(loaded_at).toISOString(), synchronized, issues, config })
}

async function plugin(control: AdminControl, clock: Clock, { method, rest, query, body }: Asked): Promise<Answered> {
  const [route, name, ...path] = rest
  if (route === undefined || name === undefined || path.length === 0) return refused(404, 'say /routes/<route>/<plugin>/<path>')
  const report = await within(clock, ASK_MS, control.plugin(route, name, `/${path.join('/')}`, { method, query, body }))
  if (report.kind === 'unknown') return refused(404, 'no plugin of this route shows anything there')
  if (report.kind === 'method') return { ...refused(405, `use ${report.allow.join(' or ')}`), allow: report.allow }
  // The value stands alone while all is well, so that its shape is the plugin's.
  return report.errors.length === 0 ? ok(report.value) : partial(report.errors, { value: report.value }, report.value !== undefined)
}

async function backends(control: AdminControl, clock: Clock): Promise<Answered> {
  const reports = await within(clock, ASK_MS, control.backends())
  const { backends, errors } = mergeBackends(reports)
  return errors.length === 0 ? ok({ backends }) : partial(errors, { backends }, errors.length < reports.length)
}

async function records(control: AdminControl, clock: Clock): Promise<Answered> {
  const { sinks, error } = await within(clock, ASK_MS, control.records())
  // The counts are shared memory: they are there whatever the records thread does.
  return ok(error === null ? { records: sinks } : { records: sinks, errors: [{ thread: 'records', error }] })
}

async function alarms(control: AdminControl, clock: Clock): Promise<Answered> {
  const reports = await within(clock, ASK_MS, control.alarms())
  const { alarms, errors } = newestAlarms(reports)
  return errors.length === 0 ? ok({ alarms }) : partial(errors, { alarms }, errors.length < reports.length)
}

async function states(control: AdminControl, clock: Clock, plugin: string, key: string): Promise<Answered> {
  const { states, errors, some } = statesOf(await within(clock, ASK_MS, control.states(plugin)))
  return errors.length === 0 ? ok({ [key]: states }) : partial(errors, { [key]: states }, some)
}

/** Some threads did not answer: what there is, and who is missing. */
function partial(errors: readonly ThreadError[], body: object, some: boolean): Answered {
  return { status: some ? 200 : 504, body: { ...body, errors } }
}

async function repository(control: AdminControl, clock: Clock, { rest }: Asked): Promise<Answered> {
  const [name, action, more] = rest
  if (name === undefined || more !== undefined || (action !== 'load' && action !== 'unload')) return refused(404, 'say /models/<name>/load or /models/<name>/unload')
  const refusal = await within(clock, RELOAD_MS, control.repository(action, name))
  if (refusal === null) return ok({ model: name, state: action === 'load' ? 'ready' : 'unloaded' })
  return refused(refusal.code === 'MODEL_NOT_FOUND' ? 404 : 422, refusal.message)
}

async function reload(control: AdminControl, clock: Clock): Promise<Answered> {
  const { ok: loaded, hash, issues } = await within(clock, RELOAD_MS, control.reload())
  return { status: loaded ? 200 : 422, body: { ok: loaded, hash, issues } }
}

function drain(control: AdminControl): Answered {
  control.drain()
  return { status: 202, body: { status: 'draining' } }
}
