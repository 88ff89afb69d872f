/** A gateway for one route of a configuration, on the clock of a file: real plugins and models, no listeners, no sockets, no sinks, nothing on a disk. */
import type { BuildIssue, Config, HttpBackendConfig, PluginConfig, RouteConfig } from '../../../config/config.ts'
import type { Alarm } from '../../alarm.ts'
import { Answer, type Backend, type Exchange, reply } from '../../exchange.ts'
import { WeirError } from '../../errors.ts'
import { compileCondition } from '../../expression/condition.ts'
import { compileSelector } from '../../expression/selector.ts'
import { Gateway, type GatewayDeps } from '../../gateway.ts'
import { Generation } from '../../generation.ts'
import { Registry } from '../../metrics.ts'
import { format } from '../../payload/formats.ts'
import { rows } from '../../payload/rows.ts'
import type { CompiledRoute } from '../../pipeline/route.ts'
import type { Log, Plugin } from '../../plugin.ts'
import { Profiles } from '../../profile/cache.ts'
import type { Records } from '../../records/record.ts'
import { gather } from '../../server/buffer.ts'
import { hasModels } from '../../threads/grants.ts'
import type { HttpBackend } from '../../upstream/transport.ts'
import { parts } from '../source.ts'
import type { FileClock } from './clock.ts'
import type { Answered } from './event.ts'
import { hereAlone, type InsideModels, openModels, type Taken } from './models.ts'

export interface Raised extends Alarm {
  readonly plugin: string
}

export interface Stage {
  readonly route: CompiledRoute
  /** Where the plugin `labels` takes labels, on the traffic listener; null without it. */
  readonly labels: CompiledRoute | null
  /** What the route's own backend takes, where that is a model inside. */
  readonly taken: Taken | null
  /** What HTTP backends answer next; null = nothing is known of it. */
  answer: Answered | null
  /** HTTP backends that were to be asked, and how often nothing was known of what they answer. */
  readonly stoodIn: ReadonlyMap<string, { asked: number; unknown: number }>
  /** Records that `log` made, which went nowhere. */
  readonly records: { count: number }
  readonly alarms: readonly Raised[]
  /** The code of the plugins of the route. */
  readonly plugins: ReadonlyMap<PluginConfig, Plugin>
  close(): Promise<void>
}

/** Name of the plugin that takes labels. */
export const LABELS = 'labels'
/** Alarms that are kept; nobody reads more. */
const MAX_ALARMS = 100_000

/** @returns problems of the plugins and models instead, with their places in the file */
export async function openStage(config: Config, routeConfig: RouteConfig, clock: FileClock, log: Log): Promise<Stage | readonly BuildIssue[]> {
  const alone = narrowed(config, routeConfig)
  const registry = new Registry()
  const alarms: Raised[] = []
  const stand = new StandIn()
  const plugins = new Map<PluginConfig, Plugin>()
  const models = hasModels(alone) ? await openModels(alone, { registry, log }, gather) : null
  const wrong = models?.issues.filter(({ severity }) => severity === 'error') ?? []
  if (wrong.length > 0) {
    await models!.part.close()
    return wrong
  }
  const deps: GatewayDeps = {
    clock, log, registry, thread: 0, formats: format, compileSelector, compileCondition, gather,
    profile: new Profiles().get,
    records: (sink) => (sink in alone.sinks ? stand.records : null),
    alarm: (_route, plugin, alarm) => void (alarms.length < MAX_ALARMS ? alarms.push({ ...alarm, plugin }) : log.warn(`alarms beyond the first ${MAX_ALARMS} were left out`)),
    httpBackend: (http) => stand.backend(http),
    async plugin(one) {
      const code = one.use === null ? parts.plugins.get(one.name)! : await parts.importUserPlugin(one.use)
      plugins.set(one, code)
      return code
    },
    use: () => undefined,
  }
  const gateway = new Gateway(deps)
  const built = await gateway.prepare(alone, models?.part ?? null)
  if (!(built instanceof Generation)) return built.map((issue) => (issue.at === 'routes[0]' ? { ...issue, at: `routes[${config.routes.indexOf(routeConfig)}]` } : issue))
  gateway.swap(built)
  return staged(built, routeConfig.name, takenBy(alone, routeConfig, models), { stand, alarms, plugins, gateway })
}

interface Behind {
  readonly stand: StandIn
  readonly alarms: readonly Raised[]
  readonly plugins: ReadonlyMap<PluginConfig, Plugin>
  readonly gateway: Gateway
}

function staged(generation: Generation, name: string, taken: Taken | null, { stand, alarms, plugins, gateway }: Behind): Stage {
  const route = generation.routes.find((one) => one.name === name)!
  return {
    route, taken, alarms, plugins,
    labels: labelsOf(generation, route),
    stoodIn: stand.asked,
    records: stand.kept,
    get answer() {
      return stand.answer
    },
    set answer(answer) {
      stand.answer = answer
    },
    close: () => gateway.close(),
  }
}

/** Plugins serve on the traffic listener what the route of the file does not know of. */
function labelsOf({ router }: Generation, { serve }: CompiledRoute): CompiledRoute | null {
  const [at] = [...(serve ?? [])].find(([, steps]) => steps.some(({ plugin }) => plugin === LABELS)) ?? []
  return at === undefined ? null : router.find('POST', at.slice('POST '.length), []).route
}

/** One route, one thread, and nothing that lasts. */
function narrowed(config: Config, route: RouteConfig): Config {
  return { ...hereAlone(config), routes: [route], threads: 1, state: null, tracing: null }
}

function takenBy(config: Config, { backend }: RouteConfig, models: InsideModels | null): Taken | null {
  return models?.taken(config.backends[backend]!) ?? null
}

// ---------------------------------------------------------------- what is not asked

/** Stands for HTTP backends and for sinks. */
class StandIn {
  answer: Answered | null = null
  readonly asked = new Map<string, { asked: number; unknown: number }>()
  readonly kept = { count: 0 }
  readonly records: Records = { append: () => ++this.kept.count > 0, room: () => null }

  backend(config: HttpBackendConfig): HttpBackend {
    const { name } = config
    const counts = { asked: 0, unknown: 0 }
    this.asked.set(name, counts)
    const send: Backend['send'] = (x) => {
      counts.asked++
      x.attempts++
      // What the file says is the answer of the route, not of another model.
      const answer = x.route.aside === true ? null : this.answer
      if (answer === null) counts.unknown++
      return answered(answer, x, name)
    }
    return { name, kind: 'http', config, send, state: () => [], close: () => undefined }
  }
}

function answered(known: Answered | null, x: Exchange, name: string): Answer {
  const answer = known === null ? neutral() : 'row' in known ? ofRow(known.row, x) : new Answer(known.status, [...known.headers], known.body)
  answer.backend = name
  return answer
}

/** It says nothing: those who look at answers find no value in it. */
function neutral(): Answer {
  return reply(200, {})
}

/** The values that the file says the model gave, in the format of the route. */
function ofRow(row: string, x: Exchange): Answer {
  const { format: own } = x.route
  const body = Buffer.from(row)
  if (own === null || own === rows) return new Answer(200, ['content-type', 'application/json'], body)
  if (x.body === null) throw new WeirError('INTERNAL', 'a request without a body')
  const written = own.writeAnswer(rows.readAnswer(body, x.fields), x.input)
  return new Answer(200, ['content-type', written.type], written.body)
}
