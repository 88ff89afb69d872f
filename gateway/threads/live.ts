/**
 * The models of the running configuration, changed while it runs. A change is loaded beside what serves, opened by every
 * data thread, shown by all, and only then is what it replaces given back. One change at a time.
 */
import type { Config } from '../../config/config.ts'
import type { Clock } from '../clock.ts'
import type { ModelDescription, ModelsDescription } from '../models/description.ts'
import type { IndexEntry, Refusal } from '../models/operator.ts'
import type { Sight } from '../models/repository/planner.ts'
import type { Step } from '../models/repository/step.ts'
import type { RepositoryWatch } from '../models/repository/watch.ts'
import type { ModelSet } from '../models/repository/model_set.ts'
import type { Log } from '../plugin.ts'
import type { DataThread } from './crew.ts'
import type { Grant, Grants } from './grants.ts'

export interface LiveDeps {
  readonly clock: Clock
  readonly log: Log
  readonly grants: Grants
  /** Nothing else that changes what runs happens meanwhile. */
  exclusive<T>(change: () => Promise<T>): Promise<T>
  /** The running configuration, and its models. */
  config(): Config | null
  current(): Grant | null
  threads(): DataThread[]
  giveUp(thread: DataThread): Promise<void>
}

export interface ModelReport extends ModelDescription {
  /** Labels of the config that stand for this version. */
  readonly labels: readonly string[]
  /** Threads that hold it in memory. */
  readonly copies: number
}

/** Opening loads files. */
const OPEN_MS = 120_000
/** Changes that wait for each other. */
export const MAX_WAITING = 32
/** Triton's words (extension_model_repository.md). */
const STATES = { ready: 'READY', loading: 'LOADING', unloading: 'UNLOADING', failed: 'UNAVAILABLE', unloaded: 'UNAVAILABLE' } as const
const NO_REPOSITORY: Refusal = { code: 'MODEL_NOT_FOUND', message: 'the configuration has no repository of models' }

export class LiveModels {
  readonly #deps: LiveDeps
  #last: Promise<unknown> = Promise.resolve()
  #waiting = 0
  #watch: RepositoryWatch | null = null

  constructor(deps: LiveDeps) {
    this.#deps = deps
  }

  /** What there is, for people. */
  report(): ModelReport[] {
    const { current, config, threads } = this.#deps
    const models = current()?.set?.report() ?? []
    const labels = config()?.models?.labels ?? {}
    const copies = { inline: threads().length, thread: config()?.inference.threads ?? 0 }
    return models.map((model) => ({
      ...model,
      labels: model.source === 'backend' || !Object.hasOwn(labels, model.name) ? [] : Object.entries(labels[model.name]!).flatMap(([label, version]) => (version === model.version ? [label] : [])),
      copies: model.placement === null ? 0 : copies[model.placement],
    }))
  }

  /** See `Operator`. */
  index(): IndexEntry[] {
    const repository = this.report().filter(({ source }) => source === 'repository')
    return repository.map(({ name, version, state, reason }) => ({ name, version, state: STATES[state], reason: state === 'unloaded' ? 'unloaded' : reason }))
  }

  /** See `Operator`. */
  load(name: string): Promise<Refusal | null> {
    return this.#change((set) => set.loadOne(name))
  }

  /** See `Operator`. */
  unload(name: string): Promise<Refusal | null> {
    return this.#change((set) => set.unloadOne(name))
  }

  /** Another configuration runs: its repository is watched from now on. */
  async watch({ models }: Config): Promise<void> {
    this.close()
    const grant = this.#deps.current()
    if (models === null || models.watch_ms === 0) return
    const { RepositoryWatch } = await import('../models/repository/watch.ts')
    if (this.#deps.current() !== grant) return
    this.#watch = new RepositoryWatch(models.path, models.watch_ms, this.#deps, (sight) => this.#follow(grant, sight))
  }

  close(): void {
    this.#watch?.close()
    this.#watch = null
  }

  /** What was seen belongs to one configuration. */
  async #follow(grant: Grant | null, sight: Sight): Promise<void> {
    await this.#change(async (set) => (this.#deps.current() === grant ? set.follow(sight) : null))
  }

  /** A reload may come between the load and its turn to be shown: then it is made again, on what runs now. */
  #change(prepare: (set: ModelSet) => Promise<Step | Refusal | null> | Step | Refusal): Promise<Refusal | null> {
    return this.#inTurn(async () => {
      for (;;) {
        const grant = this.#deps.current()
        if (grant === null || grant.set === null) return NO_REPOSITORY
        const step = await prepare(grant.set)
        if (step === null || 'code' in step) return step
        const shown = await this.#deps.exclusive(() => this.#show(grant, step))
        if (shown === null) continue
        await shown.gone
        return step.problem()
      }
    })
  }

  async #inTurn(change: () => Promise<Refusal | null>): Promise<Refusal | null> {
    if (this.#waiting >= MAX_WAITING) return { code: 'OVERLOADED', message: `${MAX_WAITING} changes of models wait already` }
    this.#waiting++
    const turn = this.#last.then(change)
    this.#last = turn.catch(() => undefined)
    try {
      return await turn
    } finally {
      this.#waiting--
    }
  }

  /** @returns null when the configuration is another one by now; `gone` settles once nothing uses what left */
  async #show(grant: Grant, step: Step): Promise<{ readonly gone: Promise<void> } | null> {
    if (this.#deps.current() !== grant) {
      await step.abandon()
      return null
    }
    const opening = step.opening()
    const failures = opening === null ? new Map<number, string>() : await this.#post(grant, opening)
    const leaving = step.commit(failures)
    await this.#post(grant, grant.description)
    return { gone: this.#deps.grants.retire(grant, leaving) }
  }

  /** @returns what did not open on some thread. One that does not answer is replaced by one that starts with the present list. */
  async #post(grant: Grant, description: ModelsDescription): Promise<Map<number, string>> {
    const revision = this.#deps.grants.revise(grant)
    const threads = this.#deps.threads()
    const results = await Promise.allSettled(threads.map(({ link }) => link.ask('models', [grant.id, revision, description], OPEN_MS)))
    const failures = new Map<number, string>()
    for (const [i, result] of results.entries()) {
      if (result.status === 'rejected') await this.#deps.giveUp(threads[i]!)
      else for (const { id, error } of result.value) failures.set(id, error)
    }
    return failures
  }
}
