/**
 * The control thread: what runs, and how it changes. A reload has two phases: every data thread builds the new
 * generation, and only when all have, all swap; one problem anywhere and nothing has changed.
 */
import type { Address, BuildIssue, Config, Issue, ListenConfig } from '../../config/config.ts'
import type { Clock } from '../clock.ts'
import type { Registry, RegistryView } from '../metrics.ts'
import { countsOf } from '../models/counts.ts'
import type { Refusal } from '../models/operator.ts'
import { RepositoryMetrics } from '../models/repository/metrics.ts'
import type { Log } from '../plugin.ts'
import { Drain } from '../server/drain.ts'
import type { Raised } from '../telemetry/alarms.ts'
import type { EndpointState } from '../upstream/state.ts'
import { controlMetrics } from '../vital.ts'
import { Crew, type DataThread, type Spawned } from './crew.ts'
import { type Grant, Grants, modelErrors } from './grants.ts'
import { LiveModels, type ModelReport } from './live.ts'
import type { Load, ModelOrders, PluginAnswer, PluginCall, RecordsData } from './messages.ts'
import { Recording, type RecordsReport } from './recording.ts'
import { SharedMemory } from './shared.ts'
import { failed, fixedChanges, located, message, type Outcome, type Reading, threadProblem, warnings } from './reading.ts'

export interface ControlOptions {
  readonly clock: Clock
  readonly log: Log
  /** The control thread's own. */
  readonly registry: Registry
  spawn(index: number): Spawned
  /** The records thread. */
  spawnRecords(data: RecordsData): Spawned
  /** Reads the configuration (again). */
  read(): Promise<Reading>
  /** For the log. */
  format(issues: readonly Issue[]): string
}

export interface ThreadError {
  readonly thread: number
  readonly error: string
}

/** What one thread told. */
export type Said<T> = { readonly thread: number; readonly value: T } | ThreadError

export interface Status {
  readonly state: 'starting' | 'serving' | 'draining'
  readonly ready: boolean
  readonly threads: { readonly wanted: number; readonly serving: number; readonly restarts: number; readonly last_death: string | null }
}

/** Building may load models and the users' plugins. */
const PREPARE_MS = 120_000
const QUICK_MS = 5_000
/** Plugins write down what they remember. */
const CUT_MS = 10_000
/** For what is shown: less than the admin listener waits, so that it tells what the others say, and who did not answer. */
const TELL_MS = 1_500

export class Control {
  readonly #options: ControlOptions
  readonly #crew: Crew
  readonly #drain: Drain
  readonly #shared = new SharedMemory()
  readonly #metrics
  readonly #repository: RepositoryMetrics
  #state: Status['state'] = 'starting'
  #config: Config | null = null
  readonly #grants: Grants
  readonly #live: LiveModels
  readonly #recording: Recording
  /** The models of the running configuration. */
  #grant: Grant | null = null
  /** As opened: port 0 replaced by the port that was given. */
  #listen: readonly ListenConfig[] = []
  #loaded = 0
  /** When it was first told to stop. */
  #stopped: number | null = null
  #issues: readonly Issue[] = []
  #last: Promise<unknown> = Promise.resolve()

  constructor(options: ControlOptions) {
    const { clock, log, registry } = options
    this.#options = options
    this.#metrics = registry.handles(controlMetrics)
    this.#repository = new RepositoryMetrics(registry)
    this.#recording = new Recording({ clock, log, registry, spawn: options.spawnRecords })
    this.#grants = new Grants({ clock, log }, this.#repository.load)
    const models = (thread: number): ModelOrders => this.#modelOrders(thread)
    const died = (thread: number): void => this.#grants.died(thread)
    this.#crew = new Crew({ clock, log, spawn: options.spawn, share: (key, bytes) => this.#shared.piece(key, bytes), models, died, raise: (thread) => this.#exclusive(() => this.#raise(thread)) })
    this.#live = new LiveModels({
      clock, log,
      grants: this.#grants,
      exclusive: (change) => this.#exclusive(change),
      config: () => this.#config,
      current: () => this.#grant,
      threads: () => this.#crew.threads(),
      giveUp: (thread) => this.#crew.giveUp(thread),
    })
    this.#drain = new Drain(clock, {
      unready: () => (this.#state = 'draining'),
      announce: () => this.#crew.each('drain', [], QUICK_MS),
      stop: () => this.#crew.each('stop', [], MAX_TIMER_MS),
      cut: async () => sum(await this.#crew.each('cut', [], CUT_MS)),
    })
  }

  /** The running configuration. */
  get config(): Config | null {
    return this.#config
  }
  /** The models of it, as they are at this moment. */
  get models(): readonly ModelReport[] {
    return this.#live.report()
  }
  /** When it was loaded, Unix milliseconds. */
  get loaded(): number {
    return this.#loaded
  }
  /** What was wrong with the file at the last reload; errors here mean that an older configuration runs. */
  get issues(): readonly Issue[] {
    return this.#issues
  }
  get synchronized(): boolean {
    return !failed(this.#issues)
  }
  get listening(): readonly ListenConfig[] {
    return this.#listen
  }

  get status(): Status {
    const serving = this.#crew.threads().length
    const threads = { wanted: this.#crew.size, serving, restarts: this.#crew.restarts, last_death: this.#crew.lastDeath }
    return { state: this.#state, ready: this.#state === 'serving' && serving > 0, threads }
  }

  views(): RegistryView[] {
    const { threads } = this.status
    this.#metrics.weir_threads().set(threads.serving)
    const restarts = this.#metrics.weir_thread_restarts_total()
    restarts.add(threads.restarts - restarts.value)
    this.#repository.show(this.models)
    const records = this.#recording.views()
    return [this.#options.registry.view(), ...this.#crew.views(), ...records]
  }

  /** Starts threads before the configuration is known: they load their code meanwhile. */
  warm(threads: number): void {
    this.#crew.resize(threads)
  }

  /** Builds, opens, serves. @throws LinkError when a thread dies or an address cannot be opened */
  start(reading: Reading): Promise<Outcome> {
    return this.#exclusive(async () => {
      const { config } = reading
      if (config === null) return { ok: false, issues: reading.issues }
      this.#crew.resize(this.#threadsFor(config))
      const threads = this.#crew.threads(false)
      const grant = await this.#grants.load(config, null)
      const problems = modelErrors(grant)
      if (problems.length === 0) problems.push(...(await Promise.all(threads.map((thread) => this.#prepare(thread, config, grant)))).flat())
      const issues = [...reading.issues, ...warnings(reading, grant), ...located(reading, problems)]
      if (failed(issues)) return { ok: false, issues }
      this.#grant = grant
      await Promise.all(threads.map(({ link }) => link.ask('commit', [], QUICK_MS)))
      await this.#open(config, threads)
      for (const thread of threads) thread.serving = true
      this.#state = 'serving'
      this.#runs(config, issues)
      return { ok: true, issues }
    })
  }

  /**
   * Reads the file again and makes it the running configuration, or changes nothing.
   * @param unlessSame a text that runs already is left alone (whoever asks by hand wants models and plugins read again, too)
   */
  reload(unlessSame = false): Promise<Outcome> {
    return this.#exclusive(async () => {
      if (this.#state !== 'serving') return { ok: false, issues: [] }
      const reading = await this.#options.read()
      if (unlessSame && this.synchronized && reading.config?.hash === this.#config!.hash) return { ok: true, issues: this.#issues }
      const issues = reading.config === null ? reading.issues : await this.#apply(reading, reading.config)
      const ok = !failed(issues)
      this.#metrics.weir_config_reloads_total({ result: ok ? 'ok' : 'error' }).add()
      if (ok) {
        this.#runs(reading.config!, issues)
        this.#options.log.info('the configuration was reloaded', { hash: reading.config!.hash })
        if (issues.length > 0) this.#options.log.warn(this.#options.format(issues).trimEnd())
      } else {
        this.#issues = issues
        this.#metrics.weir_config_synchronized().set(0)
        this.#options.log.error(`the configuration was not reloaded; the one before still runs\n${this.#options.format(issues)}`)
      }
      return { ok, issues }
    })
  }

  /** Graceful; a second call cuts what is left. @returns how many exchanges were under way at first, and were cut */
  async stop(): Promise<{ readonly in_flight: number; readonly cut: number }> {
    this.#live.close()
    this.#stopped ??= this.#options.clock.now()
    if (this.#drain.started) this.#drain.now()
    const config = this.#config?.drain ?? { grace_ms: 0, deadline_ms: 0 }
    const loads = this.load()
    const cut = await this.#drain.start(config)
    const in_flight = (await loads).in_flight
    await this.#crew.close()
    await this.#recording.finish(config.deadline_ms - (this.#options.clock.now() - this.#stopped))
    await this.#grants.close()
    return { in_flight, cut }
  }

  /** What is under way, all threads together. */
  async load(): Promise<Load> {
    const loads = values(await this.#crew.each('load', [], QUICK_MS))
    return { connections: sumOf(loads, ({ connections }) => connections), in_flight: sumOf(loads, ({ in_flight }) => in_flight) }
  }

  /** What every thread knows of its backends. */
  backends(): Promise<Said<Readonly<Record<string, readonly EndpointState[]>>>[]> {
    return this.#told(this.#crew.each('backends', [], TELL_MS))
  }

  /** The last alarms of every thread. */
  alarms(): Promise<Said<readonly Raised[]>[]> {
    return this.#told(this.#crew.each('alarms', [], TELL_MS))
  }

  /** How the records of every sink stand. */
  records(): Promise<RecordsReport> {
    return this.#recording.report()
  }

  /** Loads or unloads a model of the repository. @returns null, or why not */
  repository(action: 'load' | 'unload', name: string): Promise<Refusal | null> {
    return action === 'load' ? this.#live.load(name) : this.#live.unload(name)
  }

  /** Calls an admin route of a plugin on every thread; their answers are put together by one of them. */
  async plugin(call: PluginCall): Promise<{ readonly answer: PluginAnswer; readonly errors: readonly ThreadError[] }> {
    const threads = this.#crew.threads()
    const results = await this.#crew.each('plugin', [call], TELL_MS)
    const errors = results.flatMap((result, i) => (result.status === 'rejected' ? [{ thread: threads[i]!.index, error: message(result.reason) }] : []))
    const answers = values(results)
    const other = answers.find(({ kind }) => kind !== 'value')
    if (other !== undefined) return { answer: other, errors }
    const parts = answers.flatMap((answer) => (answer.kind === 'value' ? [answer.value] : []))
    const value = parts.length === 0 ? null : await threads[results.findIndex(({ status }) => status === 'fulfilled')]!.link.ask('merge', [call, parts], QUICK_MS)
    return { answer: { kind: 'value', value }, errors }
  }

  /** @param asked every serving thread, in this turn */
  async #told<T>(asked: Promise<PromiseSettledResult<T>[]>): Promise<Said<T>[]> {
    const threads = this.#crew.threads()
    const results = await asked
    return results.map((result, i) => ({ thread: threads[i]!.index, ...(result.status === 'fulfilled' ? { value: result.value } : { error: message(result.reason) }) }))
  }

  #modelOrders(thread: number): ModelOrders {
    return {
      release: async (grant) => this.#grants.release(thread, grant),
      settled: async (grant, revision) => this.#grants.settled(thread, grant, revision),
      modelIndex: async () => this.#live.index(),
      repository: (action, name) => this.repository(action, name),
      modelCounts: async () => countsOf(this.views()),
    }
  }

  // ---------------------------------------------------------------- how it changes

  /** Everything that changes what runs waits its turn here. */
  #exclusive<T>(change: () => Promise<T>): Promise<T> {
    const turn = this.#last.then(change)
    this.#last = turn.catch(() => undefined)
    return turn
  }

  #runs(config: Config, issues: readonly Issue[]): void {
    this.#config = config
    this.#recording.runs(config)
    void this.#live.watch(config)
    this.#issues = issues
    this.#loaded = this.#options.clock.wall()
    this.#metrics.weir_config_synchronized().set(1)
    this.#metrics.weir_config_loaded_timestamp_seconds().set(this.#loaded / 1000)
  }

  /** @returns every issue; without errors among them, every thread runs the new configuration */
  async #apply(reading: Reading, config: Config): Promise<Issue[]> {
    const fixed = located(reading, fixedChanges(this.#config!, config))
    if (fixed.length > 0) return [...reading.issues, ...fixed]
    const grant = await this.#grants.load(config, this.#grant)
    const problems = modelErrors(grant)
    this.#shared.begin()
    if (problems.length === 0) problems.push(...(await this.#prepareAll(config, grant)))
    const issues = [...reading.issues, ...warnings(reading, grant), ...located(reading, problems)]
    if (failed(issues)) {
      await this.#crew.each('discard', [], PREPARE_MS)
      this.#grants.drop(grant)
    } else await this.#commit(config, grant)
    return issues
  }

  async #prepareAll(config: Config, grant: Grant): Promise<BuildIssue[]> {
    const results = await Promise.allSettled(this.#crew.threads().map((thread) => this.#prepare(thread, config, grant)))
    return results.flatMap((result) => (result.status === 'fulfilled' ? result.value : [threadProblem(result.reason)]))
  }

  async #prepare({ index, link }: DataThread, config: Config, grant: Grant): Promise<BuildIssue[]> {
    const records = this.#recording.grant(config)
    if (records !== null && 'rule' in records) return [records]
    const models = this.#grants.for(index, grant)
    return link.ask('prepare', [config, models, records], PREPARE_MS, models === null || models.port === null ? [] : [models.port])
  }

  /** Every thread has a generation ready. One that does not swap now is replaced by one that starts with the new configuration. */
  async #commit(config: Config, grant: Grant): Promise<void> {
    const old = this.#grant
    this.#config = config
    this.#grant = grant
    const threads = this.#crew.threads()
    const results = await Promise.allSettled(threads.map(({ link }) => link.ask('commit', [], QUICK_MS)))
    for (const [i, result] of results.entries()) if (result.status === 'rejected') await this.#crew.giveUp(threads[i]!)
    if (old !== null) this.#grants.drop(old)
    this.#shared.commit()
  }

  /** A replacement gets what the others have. */
  async #raise(thread: DataThread): Promise<void> {
    const config = this.#config
    if (config === null || this.#grant === null) throw new Error('there is no configuration yet')
    const issues = await this.#prepare(thread, config, this.#grant)
    if (issues.length > 0) throw new Error(issues.map(({ at, message }) => `${at}: ${message}`).join('; '))
    await thread.link.ask('commit', [], QUICK_MS)
    await thread.link.ask('listen', [this.#partOf(this.#listen, thread), true], QUICK_MS)
  }

  // ---------------------------------------------------------------- listening

  /** A unix socket belongs to one thread: the kernel shares ports, not paths. */
  #threadsFor({ threads, listen }: Config): number {
    if (threads === 1 || listen.some(isPort)) return threads
    this.#options.log.warn('a unix socket cannot be shared: one data thread')
    return 1
  }

  /** The first thread learns the ports, the others join it. Where the platform cannot share ports, the first stays alone. */
  async #open(config: Config, [first, ...others]: DataThread[]): Promise<void> {
    const open = (thread: DataThread, listen: readonly ListenConfig[], shared: boolean): Promise<Address[]> => thread.link.ask('listen', [listen, shared], QUICK_MS)
    const addresses = await open(first!, config.listen, true).catch((error: Error) => {
      if (!/ENOTSUP|EOPNOTSUPP|ENOPROTOOPT/.test(error.message)) throw error
      this.#options.log.warn('this platform cannot share a port between threads: one data thread')
      this.#crew.resize(1)
      others = []
      return open(first!, config.listen, false)
    })
    this.#listen = config.listen.map((one, i) => ({ ...one, address: addresses[i]! }))
    await Promise.all(others.map((thread) => open(thread, this.#partOf(this.#listen, thread), true)))
  }

  #partOf(listen: readonly ListenConfig[], thread: DataThread): readonly ListenConfig[] {
    return thread.index === 0 ? listen : listen.filter(isPort)
  }
}

/** Timers do not take more; the deadline of the drain comes first. */
const MAX_TIMER_MS = 2 ** 31 - 1

function isPort({ address }: ListenConfig): boolean {
  return 'port' in address
}

function values<T>(results: readonly PromiseSettledResult<T>[]): T[] {
  return results.flatMap((result) => (result.status === 'fulfilled' ? [result.value] : []))
}

function sum(results: readonly PromiseSettledResult<number>[]): number {
  return sumOf(values(results), (value) => value)
}

function sumOf<T>(list: readonly T[], of: (one: T) => number): number {
  return list.reduce((total, one) => total + of(one), 0)
}
