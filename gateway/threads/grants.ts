/** The models of each generation on the control thread: loaded before the data threads build it, closed when the last of them has let go. */
import type { BuildIssue, Config } from '../../config/config.ts'
import type { Clock } from '../clock.ts'
import type { ModelControl, ModelIssue } from '../models/control.ts'
import { type ModelsDescription, NO_MODELS } from '../models/description.ts'
import type { Log } from '../plugin.ts'
import type { ModelGrant } from './messages.ts'

/** The models of one generation. */
export interface Grant {
  readonly issues: readonly ModelIssue[]
  readonly description: ModelsDescription
  /** For one data thread; null when the config has no models. The port in it is to be transferred. */
  for(thread: number): ModelGrant | null
}

const NOTHING: Grant = { issues: [], description: NO_MODELS, for: () => null }

interface Open {
  readonly control: ModelControl
  readonly holders: Set<number>
  /** A generation that runs, or is being built, may be given to further threads. */
  wanted: boolean
}

export class Grants {
  readonly #deps: { readonly clock: Clock; readonly log: Log }
  readonly #open = new Map<number, Open>()
  readonly #byGrant = new Map<Grant, number>()
  #next = 1

  constructor(deps: { readonly clock: Clock; readonly log: Log }) {
    this.#deps = deps
  }

  /** Loads what the config names. A config without models loads no code for them either. */
  async load(config: Config): Promise<Grant> {
    if (!hasModels(config)) return NOTHING
    const { createModelControl } = await import('../models/control.ts')
    const control = await createModelControl(config, this.#deps)
    const id = this.#next++
    const open: Open = { control, holders: new Set(), wanted: true }
    this.#open.set(id, open)
    const grant: Grant = {
      issues: control.issues,
      description: control.description,
      for(thread) {
        open.holders.add(thread)
        return { id, revision: 0, description: control.description, port: control.connect() }
      },
    }
    this.#byGrant.set(grant, id)
    return grant
  }

  /** No further thread will be given these models. */
  drop(grant: Grant): void {
    const id = this.#byGrant.get(grant)
    if (id === undefined) return
    this.#open.get(id)!.wanted = false
    this.#closeUnused(id)
  }

  /** A thread has let go of a grant. */
  release(thread: number, id: number): void {
    this.#open.get(id)?.holders.delete(thread)
    this.#closeUnused(id)
  }

  /** A thread is dead. */
  died(thread: number): void {
    for (const id of [...this.#open.keys()]) this.release(thread, id)
  }

  async close(): Promise<void> {
    await Promise.all([...this.#open.values()].map(({ control }) => control.close()))
  }

  #closeUnused(id: number): void {
    const open = this.#open.get(id)
    if (open === undefined || open.wanted || open.holders.size > 0) return
    this.#open.delete(id)
    for (const [grant, known] of this.#byGrant) if (known === id) this.#byGrant.delete(grant)
    void open.control.close()
  }
}

export function hasModels({ models, backends }: Config): boolean {
  return models !== null || Object.values(backends).some(({ kind }) => kind === 'onnx' || kind === 'model')
}

/** What keeps a config from running; warnings do not. */
export function modelErrors(grant: Grant): BuildIssue[] {
  return grant.issues.filter(({ severity }) => severity === 'error')
}
