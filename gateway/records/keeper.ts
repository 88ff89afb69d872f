/** All sinks of the process: each delivers at its own pace, none waits for another. Of several processes with one `state` one delivers, the others wait for its end. */
import { join } from 'node:path'
import type { SinkConfig } from '../../config/config.ts'
import type { Clock, Timer } from '../clock.ts'
import type { Log } from '../plugin.ts'
import { systemFiles } from './files.ts'
import { isHeld, type Lock, takeLock } from './lock.ts'
import { bootLock, leaseLock, sinkFolder } from './names.ts'
import { Shipper, type SinkReport } from './shipper.ts'
import type { CreateSink } from './sink.ts'

export interface KeeperDeps {
  readonly clock: Clock
  readonly log: Log
  readonly create: CreateSink
}

/** A sink of the configuration, and the shared counts of its name. */
export interface Kept {
  readonly config: SinkConfig
  readonly cells: SharedArrayBuffer
}

interface Line {
  readonly shipper: Shipper
  /** What is under way for it, to the end. */
  last: Promise<void>
  busy: boolean
}

const TURN_MS = 200
const LEASE_MS = 1000
/** Between two attempts while the gateway stops, and after one that failed. */
const HURRY_MS = 20
const FAILED_MS = 1000
/** A sink that fails so often in a row while the gateway stops is not waited for: its records are safe in the spool. */
const LAST_TRIES = 3

export class Keeper {
  readonly #spool: string
  readonly #boot: string
  readonly #deps: KeeperDeps
  readonly #lines = new Map<string, Line>()
  readonly #dead = new Set<string>()
  readonly #timer: Timer
  #lease: Lock | null = null
  #askAt = 0
  #told = false

  /** @param spool folder below `state` @param boot of this process, whose lock is held */
  constructor(spool: string, boot: string, deps: KeeperDeps) {
    this.#spool = spool
    this.#boot = boot
    this.#deps = deps
    this.#timer = deps.clock.every(TURN_MS, () => this.#turn())
  }

  /** These are the sinks now. What is under way for one that changed ends first, and nobody waits for that here. */
  configure(sinks: ReadonlyMap<string, Kept>): void {
    for (const [name, { shipper }] of this.#lines) if (!sinks.has(name)) this.#reconfigure(name, shipper, null)
    for (const [name, { config, cells }] of sinks) {
      const line = this.#lines.get(name)
      if (line === undefined) this.#add(name, config, cells)
      else if (JSON.stringify(line.shipper.config) !== JSON.stringify(config) || !line.shipper.active) this.#reconfigure(name, line.shipper, config)
    }
    this.#turn()
  }

  report(): SinkReport[] {
    return [...this.#lines.values()].map(({ shipper }) => shipper.report(this.#lease !== null))
  }

  /** The data threads are gone: delivers what there is, as far as the time allows, and ends. */
  async finish(deadline_ms: number): Promise<void> {
    const { clock } = this.#deps
    this.#timer.cancel()
    const until = clock.now() + deadline_ms
    this.#askAt = 0
    this.#ask()
    const ends = [...this.#lines.values()].map((line) => this.#run(line, () => this.#end(line.shipper, until)))
    await Promise.race([Promise.all(ends), this.#pause(deadline_ms)])
    this.#lease?.release()
  }

  async #end(shipper: Shipper, until: number): Promise<void> {
    const { clock } = this.#deps
    if (this.#lease !== null && shipper.active) {
      for (let failed = 0; failed < LAST_TRIES && clock.now() < until; ) {
        await shipper.pass(true, true)
        if (shipper.empty) break
        failed = shipper.failing ? failed + 1 : 0
        if (failed < LAST_TRIES) await this.#pause(failed > 0 ? FAILED_MS : HURRY_MS)
      }
    }
    await shipper.close()
  }

  #turn(): void {
    this.#ask()
    if (this.#lease === null) return
    for (const line of this.#lines.values()) if (!line.busy) void this.#run(line, () => line.shipper.pass())
  }

  #add(name: string, config: SinkConfig, cells: SharedArrayBuffer): void {
    const { clock, log, create } = this.#deps
    const place = { folder: sinkFolder(this.#spool, name), boot: this.#boot, cells }
    const shipper = new Shipper(config, place, { clock, log, create, isDead: (boot) => this.#isDead(boot), random: Math.random })
    this.#lines.set(name, { shipper, last: Promise.resolve(), busy: false })
  }

  #reconfigure(name: string, shipper: Shipper, config: SinkConfig | null): void {
    if (config === null && shipper.active) this.#deps.log.warn('a sink left the configuration: what it has not taken stays in the spool until it comes back', { sink: name, segments: shipper.report(true).segments })
    void this.#run(this.#lines.get(name)!, () => shipper.configure(config))
  }

  /** After whatever is under way for it. */
  #run(line: Line, work: () => Promise<void>): Promise<void> {
    line.busy = true
    const run = line.last.then(work).finally(() => {
      if (line.last === run) line.busy = false
    })
    line.last = run
    return run
  }

  /** Asks for the lease, now and then. */
  #ask(): void {
    const { clock, log } = this.#deps
    if (this.#lease !== null || clock.now() < this.#askAt) return
    this.#askAt = clock.now() + LEASE_MS
    try {
      this.#lease = takeLock(leaseLock(this.#spool))
      if (this.#lease === null && !this.#told) log.info('another process with the same `state` delivers the records; this one does when that ends')
      if (this.#lease !== null) this.#sweep()
    } catch (error) {
      if (!this.#told) log.error('the spool cannot be locked: no records are delivered', { reason: error instanceof Error ? error.message : String(error) })
    }
    this.#told = true
  }

  #isDead(boot: string): boolean {
    if (this.#dead.has(boot)) return true
    const dead = boot !== this.#boot && !isHeld(bootLock(this.#spool, boot))
    if (dead) this.#dead.add(boot)
    return dead
  }

  /** Removes the locks of dead processes: without a file a lock is nobody's, so whatever they left stays theirs to be taken over. */
  #sweep(): void {
    const folder = join(this.#spool, 'boots')
    for (const file of systemFiles.readdirSync(folder)) {
      const boot = /^([0-9a-z]+)\.lock$/.exec(file)?.[1]
      if (boot !== undefined && this.#isDead(boot)) systemFiles.unlinkSync(join(folder, file))
    }
  }

  #pause(ms: number): Promise<void> {
    return new Promise((done) => this.#deps.clock.after(ms, done))
  }
}
