/**
 * Looks at a repository again and again. It only looks: no events of the file system are needed, so network mounts and
 * Kubernetes volumes are watched like any folder. A version counts once two looks have found it the same; what is being
 * copied is not loaded by halves.
 */
import type { Clock, Timer } from '../../clock.ts'
import type { Log } from '../../plugin.ts'
import type { Sight } from './planner.ts'
import { type FoundModel, scanRepository } from './folder.ts'
import { keyOf } from './slot.ts'

export class RepositoryWatch {
  readonly #path: string
  readonly #log: Log
  readonly #seen: (sight: Sight) => Promise<void>
  readonly #timer: Timer
  #last: ReadonlyMap<string, FoundModel> | null = null
  #looking: Promise<void> | null = null
  #readable = true

  /** @param seen called after each look; the next one waits for it @param every_ms between looks */
  constructor(path: string, every_ms: number, { clock, log }: { readonly clock: Clock; readonly log: Log }, seen: (sight: Sight) => Promise<void>) {
    this.#path = path
    this.#log = log
    this.#seen = seen
    this.#timer = clock.every(every_ms, () => void this.look())
  }

  /** Idempotent. */
  close(): void {
    this.#timer.cancel()
  }

  /** Settles with the look that is under way, or with one that begins now. */
  look(): Promise<void> {
    this.#looking ??= this.#look().finally(() => {
      this.#looking = null
    })
    return this.#looking
  }

  async #look(): Promise<void> {
    try {
      const found = await this.#scan()
      if (found === null) return
      const last = this.#last
      this.#last = found
      if (last !== null) await this.#seen(compare(last, found))
    } catch (error) {
      this.#log.error('the repository of models could not be followed', { error: String(error) })
    }
  }

  /** A folder that cannot be read (a mount that is gone) takes nothing down. */
  async #scan(): Promise<ReadonlyMap<string, FoundModel> | null> {
    try {
      const { models } = await scanRepository(this.#path)
      this.#readable = true
      return new Map(models.map((model) => [keyOf({ ...model, source: 'repository' }), model]))
    } catch (error) {
      if (this.#readable) this.#log.warn('the folder of models cannot be read; what is loaded serves on', { error: (error as NodeJS.ErrnoException).code ?? String(error) })
      this.#readable = false
      return null
    }
  }
}

function compare(last: ReadonlyMap<string, FoundModel>, found: ReadonlyMap<string, FoundModel>): Sight {
  const settled: FoundModel[] = []
  const moving = new Set([...last.keys()].filter((key) => !found.has(key)))
  for (const [key, model] of found) {
    if (last.get(key)?.look.fingerprint === model.look.fingerprint) settled.push(model)
    else moving.add(key)
  }
  return { settled, moving }
}
