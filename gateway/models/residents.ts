/** Models that one data thread keeps open, shared by its generations: a reload that changes nothing about a model opens nothing. */
import type { Clock } from '../clock.ts'
import type { Leg } from '../exchange.ts'
import type { Column } from '../payload/columns.ts'
import type { InferenceClient } from './inference/client.ts'
import type { ModelDescription } from './description.ts'
import { InlineHost, type ModelHost, type Run } from './inference/host.ts'
import { madeUp } from './inference/made_up.ts'
import { lookAt } from './repository/folder.ts'
import { openSession, type Session } from './onnx/session.ts'

/** Loads a model here, or gives the way to where it runs. @throws when it cannot be had */
export type OpenHost = (model: ModelDescription) => Promise<ModelHost>

interface Resident {
  readonly host: Promise<CountedHost>
  /** Generations that use it. */
  users: number
}

export class Residents {
  readonly #openHost: OpenHost
  readonly #residents = new Map<number, Resident>()

  constructor(open: OpenHost) {
    this.#openHost = open
  }

  /** Models that are open, or about to be. */
  get size(): number {
    return this.#residents.size
  }

  /** One `giveBack` belongs to every call that succeeds. @throws as `OpenHost` */
  async take(model: ModelDescription): Promise<ModelHost> {
    const known = this.#residents.get(model.id)
    const resident = known ?? { host: this.#openHost(model).then((host) => new CountedHost(host)), users: 0 }
    if (known === undefined) this.#residents.set(model.id, resident)
    resident.users++
    try {
      return await resident.host
    } catch (error) {
      if (this.#residents.get(model.id) === resident) this.#residents.delete(model.id)
      throw error
    }
  }

  /** The last user closes it; settles after the runs under way. */
  async giveBack(id: number): Promise<void> {
    const resident = this.#residents.get(id)
    if (resident === undefined || --resident.users > 0) return
    this.#residents.delete(id)
    await (await resident.host).close()
  }
}

/** @param client null where nothing runs on inference threads */
export function residentsOf(client: InferenceClient | null, clock: Clock): Residents {
  return new Residents(async (model) => {
    if (model.placement === 'inline') return new InlineHost(await openHere(model, clock), model.measured)
    if (client === null) throw new Error('there is no inference thread')
    return client.host(model)
  })
}

/** @throws when the file is not what the control thread loaded and described */
async function openHere({ file, fingerprint }: ModelDescription, clock: Clock): Promise<Session> {
  const session = await openSession(file, clock)
  if ((await lookAt(file)).fingerprint !== fingerprint) {
    session.close()
    throw new Error('it changed while it was being loaded')
  }
  warm(session)
  return session
}

/** The first run of a session allocates. Whether made-up rows suit the model does not matter here. */
function warm(session: Session): void {
  const { inputs, outputs: specs } = session.signature
  const rows = madeUp(inputs)
  const outputs = specs.filter(({ dtype }) => dtype !== null).map(({ name }) => name)
  if (rows === null) return
  try {
    session.run(rows[0], outputs)
  } catch {
    // The caller's own rows may still.
  }
}

/** Closes after the last run that has begun, wherever it runs. */
class CountedHost implements ModelHost {
  readonly #host: ModelHost
  readonly #idle = Promise.withResolvers<void>()
  #running = 0
  #closing = false

  constructor(host: ModelHost) {
    this.#host = host
  }

  get ready(): boolean {
    return this.#host.ready
  }

  run(inputs: readonly Column[], outputs: readonly string[], leg: Leg): Promise<Run> {
    this.#running++
    const run = this.#host.run(inputs, outputs, leg)
    run.then(this.#done, this.#done)
    return run
  }

  async close(): Promise<void> {
    this.#closing = true
    if (this.#running > 0) await this.#idle.promise
    await this.#host.close()
  }

  readonly #done = (): void => {
    this.#running--
    if (this.#closing && this.#running === 0) this.#idle.resolve()
  }
}
