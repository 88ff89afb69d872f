/** A data thread: one event loop with a gateway and its listeners. It does what the control thread says. */
import { unlink } from 'node:fs/promises'
import { flushCompileCache } from 'node:module'
import net from 'node:net'
import { parentPort, workerData } from 'node:worker_threads'
import type { Address, BuildIssue, Config, ListenConfig } from '../../config/config.ts'
import { builtIn, importUserPlugin } from '../../config/registry.ts'
import { systemClock } from '../clock.ts'
import type { Exchange, Outgoing } from '../exchange.ts'
import { compileCondition } from '../expression/condition.ts'
import { compileSelector } from '../expression/selector.ts'
import { Gateway, type ModelPart } from '../gateway.ts'
import { Generation } from '../generation.ts'
import { Registry } from '../metrics.ts'
import { format } from '../payload/formats.ts'
import { Profiles } from '../profile/cache.ts'
import { codeOf } from '../records/files.ts'
import { gather } from '../server/buffer.ts'
import { Forwarder } from '../server/forward.ts'
import { Listener } from '../server/listener.ts'
import { memoryUse, Overload } from '../server/overload.ts'
import { Alarms } from '../telemetry/alarms.ts'
import { uuidv7 } from '../telemetry/request_id.ts'
import type { Tracing } from '../telemetry/tracing/tracing.ts'
import { translated } from '../translate/backend.ts'
import { limited } from '../upstream/limits.ts'
import { httpBackend } from '../upstream/transport.ts'
import { alarmMetrics, backendMetrics, listenerMetrics, tracingMetrics } from '../vital.ts'
import { Deadlines } from '../wire/deadlines.ts'
import type { Inside } from './inside.ts'
import { startLogs } from './logs.ts'
import { type ControlOrders, type DataOrders, Link, type ModelGrant, type RecordsGrant } from './messages.ts'
import { callPlugin, mergePlugin } from './plugins.ts'
import type { Spools } from './spools.ts'

const ASK_MS = 5_000
/** Turns of the event loop without a new connection after which the queue of the kernel is taken to be empty. */
const QUIET_TURNS = 3
const MAX_TURNS = 10_000

const port = parentPort!
const { version, thread } = workerData as { version: string; thread: number }
const clock = systemClock
const registry = new Registry()
const deadlines = new Deadlines(clock)
const logs = startLogs(clock, registry)
const { log } = logs
const metrics = registry.handles(listenerMetrics)
const backends = registry.handles(backendMetrics)
const alarms = new Alarms(log, registry.handles(alarmMetrics))
const overload = new Overload({ clock, registry, random: Math.random, memory: memoryUse })
const forwarder = new Forwarder({ clock, log, registry, inferenceId: uuidv7(clock), record: null, overload })
const listeners: Listener[] = []
const profiles = new Profiles()
/** Weir's own, as the newest config says; backends keep the one they were made with. */
let zone = ''
/** Once a config has models. */
let inside: Inside | null = null
/** Once a config has sinks. */
let spools: Spools | null = null
/** Once a config traces. */
let tracing: Tracing | null = null
let prepared: Promise<Generation | null> = Promise.resolve(null)

const gateway = new Gateway({
  clock,
  log,
  registry,
  thread,
  alarm: alarms.raise,
  share: (key, bytes) => control.ask('share', [key, bytes], ASK_MS),
  profile: profiles.get,
  records: (sink, _route, onFull) => spools?.records(sink, onFull) ?? null,
  formats: format,
  compileSelector,
  compileCondition,
  httpBackend(config) {
    const backend = httpBackend(config, { clock, deadlines, metrics: backends, random: Math.random, hashKey, zone, log, deadlineHeader: () => forwarder.deadlines.header })
    return translated(limited(backend, { clock, metrics: backends, random: Math.random }), { clock, gather })
  },
  plugin: (config) => (config.use === null ? builtIn.get(config.name)! : importUserPlugin(config.use)),
  gather,
  use: (generation) => {
    forwarder.generation = generation
  },
})

const orders: DataOrders = {
  async prepare(config, grant, records) {
    const built = build(config, grant, records)
    prepared = built.then((result) => (result instanceof Generation ? result : null))
    const result = await built
    return result instanceof Generation ? [] : result
  },
  async commit() {
    const generation = await prepared
    prepared = Promise.resolve(null)
    if (generation === null) throw new Error('nothing is prepared')
    gateway.swap(generation)
    spools?.commit(generation.config)
    forwarder.record = logs.access(generation.config.access_log)
    forwarder.tracer = tracing
  },
  async discard() {
    const generation = await prepared
    prepared = Promise.resolve(null)
    if (generation !== null) await gateway.discard(generation)
  },
  async listen(listen, reusePort) {
    const addresses: Address[] = []
    for (const one of listen) addresses.push(await open(one, reusePort))
    return addresses
  },
  async drain() {
    for (const listener of listeners) listener.drain()
  },
  async stop() {
    await quiet()
    await Promise.all(listeners.map((listener) => listener.close()))
    await tracing?.flush()
  },
  async cut() {
    const cut = forwarder.inFlight
    for (const listener of listeners) listener.destroy()
    await gateway.close()
    spools?.close()
    await tracing?.close()
    await logs.close()
    flushCompileCache()
    return cut
  },
  async load() {
    return { connections: listeners.reduce((sum, { connections }) => sum + connections, 0), in_flight: forwarder.inFlight }
  },
  async backends() {
    return Object.fromEntries(gateway.httpBackends.map((backend) => [backend.name, backend.state()]))
  },
  alarms: async () => alarms.recent,
  models: async (grant, revision, description) => (inside === null ? [] : inside.update(grant, revision, description)),
  plugin: (call) => callPlugin(gateway.current, call),
  merge: async (call, parts) => mergePlugin(gateway.current, call, parts),
}

const control = new Link<DataOrders, ControlOrders>(port, clock, orders)

async function build(config: Config, grant: ModelGrant | null, records: RecordsGrant | null): Promise<Generation | BuildIssue[]> {
  zone = config.zone
  // First, so that whatever the grant holds is given back, whatever else is wrong.
  const models = grant === null ? null : await openGrant(config, grant)
  try {
    logs.access(config.access_log)
  } catch (error) {
    await models?.close()
    return [{ at: 'access_log', rule: 'access-log', message: `the file cannot be opened (${(error as NodeJS.ErrnoException).code})`, help: 'Its folder must exist and be writable.' }]
  }
  try {
    if (records !== null) await openSpools(config, records)
  } catch (error) {
    await models?.close()
    return [{ at: 'state', rule: 'state', message: `records cannot be kept there (${codeOf(error)})`, help: 'The folder must be writable.' }]
  }
  await startTracing(config.tracing)
  return gateway.prepare(config, models)
}

async function openSpools(config: Config, grant: RecordsGrant): Promise<void> {
  const { Spools } = await import('./spools.ts')
  spools ??= new Spools(thread, clock, log)
  spools.open(config, grant)
}

/** `tracing` does not change while weir runs: once begun, it is what the config says. */
async function startTracing(config: Config['tracing']): Promise<void> {
  if (config === null || tracing !== null) return
  const { Tracing } = await import('../telemetry/tracing/tracing.ts')
  tracing ??= new Tracing(config, { version, clock, log, metrics: registry.handles(tracingMetrics) })
}

async function openGrant(config: Config, grant: ModelGrant): Promise<ModelPart> {
  const { Inside } = await import('./inside.ts')
  inside ??= new Inside(version, { clock, log, registry, gather, control })
  return inside.open(config, grant)
}

/** What `balance: { hash }` goes by. A translated request has the caller's fields, cookies and address, and nothing else that a selector finds. */
function hashKey(selector: string): (x: Outgoing) => string | undefined {
  const { read } = compileSelector(selector)
  return (x) => read(x as Exchange)
}

/** Series come in crowds, at load above all: they are told of once, after the work at hand. */
let telling = false
function tellOfSeries(): void {
  if (telling) return
  telling = true
  setImmediate(() => {
    telling = false
    void control.ask('registry', [registry.view()], ASK_MS).catch(() => undefined)
  })
}
registry.onSeries = tellOfSeries
tellOfSeries()

// ---------------------------------------------------------------- listening

async function open(config: ListenConfig, reusePort: boolean): Promise<Address> {
  const { timeouts, limits } = gateway.current!.config
  if ('unix' in config.address) await removeStale(config.address.unix)
  const listener = new Listener(config, { timeouts, limits, clock, deadlines, log, metrics, reusePort, refuse: forwarder.refuse }, forwarder.serve)
  const address = await listener.listen()
  listeners.push(listener)
  return address
}

/** A socket file outlives a process that was killed: one that nobody answers on is in the way and not in use. */
async function removeStale(path: string): Promise<void> {
  const refused = await new Promise<boolean>((resolve) => {
    const probe = net.connect(path)
    probe.on('connect', () => (probe.destroy(), resolve(false)))
    probe.on('error', (error: NodeJS.ErrnoException) => resolve(error.code === 'ECONNREFUSED'))
  })
  if (refused) await unlink(path).catch(() => undefined)
}

/**
 * Waits until no connection came for some turns of the event loop, which accepts one a turn. Closing a listening socket resets
 * the connections that the kernel has made and nobody has accepted, so it is done when there are none.
 */
async function quiet(): Promise<void> {
  const accepted = metrics.weir_connections_total()
  for (let turns = 0, still = 0; turns < MAX_TURNS && still < QUIET_TURNS; turns++) {
    const before = accepted.value
    await new Promise((resolve) => setImmediate(resolve))
    still = accepted.value === before ? still + 1 : 0
  }
}
