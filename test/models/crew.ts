/** A control thread and data threads in one thread: everything of the live repository but the workers and the wire. */
import { MessageChannel, type MessagePort } from 'node:worker_threads'
import type { Config } from '../../config/config.ts'
import { systemClock } from '../../gateway/clock.ts'
import type { ModelPart } from '../../gateway/gateway.ts'
import { Registry } from '../../gateway/metrics.ts'
import type { DataThread } from '../../gateway/threads/crew.ts'
import { type Grant, Grants } from '../../gateway/threads/grants.ts'
import { Inside } from '../../gateway/threads/inside.ts'
import { LiveModels } from '../../gateway/threads/live.ts'
import { type ControlOrders, type DataOrders, Link } from '../../gateway/threads/messages.ts'
import { memoryLog } from './setup.ts'

const clock = systemClock

export interface FakeThread extends DataThread {
  readonly inside: Inside
  /** Of the running generation. */
  part: ModelPart
  /** Runs before an order about models is carried out. */
  before: () => Promise<void>
  readonly ports: readonly MessagePort[]
}

export class FakeCrew {
  readonly log = memoryLog()
  readonly grants = new Grants({ clock, log: this.log }, () => undefined)
  threads: FakeThread[] = []
  readonly givenUp: number[] = []
  readonly live: LiveModels
  config: Config
  grant: Grant | null = null
  #last: Promise<unknown> = Promise.resolve()

  constructor(config: Config) {
    this.config = config
    this.live = new LiveModels({
      clock,
      log: this.log,
      grants: this.grants,
      exclusive: (change) => this.exclusive(change),
      config: () => this.config,
      current: () => this.grant,
      threads: () => this.threads,
      giveUp: async ({ index }) => {
        this.givenUp.push(index)
        this.die(index)
      },
    })
  }

  static async start(config: Config, threads = 2): Promise<FakeCrew> {
    const crew = new FakeCrew(config)
    crew.grant = await crew.grants.load(config, null)
    for (let index = 0; index < threads; index++) await crew.spawn(index)
    return crew
  }

  /** It lets go of nothing: it is not there any more. */
  die(index: number): void {
    this.threads = this.threads.filter((thread) => thread.index !== index)
    this.grants.died(index)
  }

  exclusive<T>(change: () => Promise<T>): Promise<T> {
    const turn = this.#last.then(change)
    this.#last = turn.catch(() => undefined)
    return turn
  }

  /** A data thread that is raised with what runs now. */
  async spawn(index: number): Promise<FakeThread> {
    const { port1, port2 } = new MessageChannel()
    const orders = { models: async (...args: Parameters<DataOrders['models']>) => (await thread.before(), inside.update(...args)) } as DataOrders
    const control = new Link<DataOrders, ControlOrders>(port2, clock, orders)
    const inside = new Inside('1.2.3', { clock, log: this.log, registry: new Registry(), gather: () => Buffer.alloc(0), control })
    const link = new Link<ControlOrders, DataOrders>(port1, clock, {
      release: async (grant: number) => this.grants.release(index, grant),
      settled: async (grant: number, revision: number) => this.grants.settled(index, grant, revision),
    } as ControlOrders)
    const part = await inside.open(this.config, this.grants.for(index, this.grant!)!)
    const thread: FakeThread = { index, link, serving: true, inside, part, before: async () => undefined, ports: [port1, port2] }
    this.threads.push(thread)
    return thread
  }

  /** As `Control.reload`: builds beside, then swaps, or changes nothing. @param commit false: something else was wrong with it */
  reload(config: Config, commit = true): Promise<void> {
    return this.exclusive(async () => {
      const grant = await this.grants.load(config, this.grant)
      const parts = await Promise.all(this.threads.map(({ inside, index }) => inside.open(config, this.grants.for(index, grant)!)))
      if (!commit) {
        await Promise.all(parts.map((part) => part.close()))
        return this.grants.drop(grant)
      }
      const old = this.grant!
      this.grant = grant
      this.config = config
      for (const [i, thread] of this.threads.entries()) {
        void thread.part.close()
        thread.part = parts[i]!
      }
      this.grants.drop(old)
    })
  }

  /** Models that are open, by data thread. */
  get open(): number[] {
    return this.threads.map(({ inside }) => inside.models)
  }

  async close(): Promise<void> {
    for (const { part } of this.threads) await part.close()
    await this.grants.close()
    for (const { ports } of this.threads) for (const port of ports) port.close()
  }
}
