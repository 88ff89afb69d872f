/** What one plugin of one route may touch, and what is undone when its generation closes. */
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import type { BuildIssue } from '../../config/config.ts'
import type { Clock, Timer } from '../clock.ts'
import type { Backend, Exchange } from '../exchange.ts'
import type { Alarm } from '../alarm.ts'
import type { Declarations, Handles, Registry } from '../metrics.ts'
import type { Cell, Condition, Host, Log, Parts, Plugin, Selector, Slot } from '../plugin.ts'
import type { Profile } from '../profile/profile.ts'
import type { OnFull, Records } from '../records/record.ts'
import { quietly } from './quiet.ts'
import { ArmedTimers, NO_TIMER } from './timers.ts'

/** A plugin or route that cannot be built; becomes an `Issue` with its place in the file. */
export class BuildProblem extends Error implements BuildIssue {
  readonly at: string
  readonly rule: string
  readonly help: string

  constructor(issue: BuildIssue, options?: ErrorOptions) {
    super(issue.message, options)
    this.name = 'BuildProblem'
    this.at = issue.at
    this.rule = issue.rule
    this.help = issue.help
  }
}

/**
 * What plugins keep across reloads. The gateway owns one a thread: `begin` before a generation is built,
 * `commit` after the swap (what the new generation did not ask for is dropped), `abandon` when the build failed.
 */
export class KeepStore {
  readonly #entries = new Map<string, { readonly value: unknown; readonly born: number; touched: number }>()
  #generation = 0

  begin(): void {
    this.#generation++
  }

  commit(): void {
    for (const [key, entry] of this.#entries) if (entry.touched !== this.#generation) this.#entries.delete(key)
  }

  abandon(): void {
    for (const [key, entry] of this.#entries) if (entry.born === this.#generation) this.#entries.delete(key)
  }

  take<T>(key: string, make: () => T): T {
    const known = this.#entries.get(key)
    if (known !== undefined) {
      known.touched = this.#generation
      return known.value as T
    }
    const value = make()
    this.#entries.set(key, { value, born: this.#generation, touched: this.#generation })
    return value
  }

  get size(): number {
    return this.#entries.size
  }
}

/** Memory that all data threads get under the same key; the control thread owns it. */
export type Share = (key: string, bytes: number) => SharedArrayBuffer | Promise<SharedArrayBuffer>

export interface HostDeps {
  readonly backends: ReadonlyMap<string, Backend>
  readonly registry: Registry
  readonly clock: Clock
  readonly log: Log
  readonly keep: KeepStore
  /** Absent: this is the only thread. */
  readonly share?: Share
  /** This data thread among all; absent: it is the only one. */
  readonly thread?: { readonly index: number; readonly count: number }
  /** Folder for what plugins must remember; null or absent: nothing is written. */
  readonly state?: string | null
  /** The spool of a sink; null: there is no such sink. */
  readonly records?: (sink: string, route: string, onFull: OnFull) => Records | null
  /** @throws Error that says what is wrong with the file */
  readonly profile?: (path: string) => Profile
  readonly alarm?: (route: string, plugin: string, alarm: Alarm) => void
  compileSelector(text: string): Selector
  compileCondition(text: string): Condition
}

/** Slots of one route: an index each, and who provides it. */
export class Slots {
  readonly #cells = new Map<string, { readonly index: number; readonly plugin: string }>()

  get count(): number {
    return this.#cells.size
  }

  provide<T>(slot: Slot<T>, plugin: string, at: string): Cell<T> {
    const known = this.#cells.get(slot.name)
    if (known !== undefined) {
      throw new BuildProblem({ at, rule: 'slot-provided-twice', message: `"${plugin}" provides slot "${slot.name}", which "${known.plugin}" already provides`, help: 'Keep one of the two.' })
    }
    const index = this.#cells.size
    this.#cells.set(slot.name, { index, plugin })
    return cell<T>(index)
  }

  use<T>(slot: Slot<T>, plugin: string, at: string): Cell<T> {
    const known = this.#cells.get(slot.name)
    if (known === undefined) {
      throw new BuildProblem({ at, rule: 'slot-not-provided', message: `"${plugin}" uses slot "${slot.name}", which no plugin before it provides`, help: `Put a plugin that provides "${slot.name}" before "${plugin}".` })
    }
    return cell<T>(known.index)
  }
}

function cell<T>(index: number): Cell<T> {
  return {
    get: (x: Exchange) => x.slots![index] as T | undefined,
    set: (x: Exchange, value: T) => void (x.slots![index] = value),
  }
}

export interface Place {
  readonly route: string
  readonly routeBackend: Backend
  /** `rate_limit`, and `rate_limit#2` for the second of the route. */
  readonly instance: string
  readonly at: string
  readonly slots: Slots
  /** Counts a throw outside any exchange (a timer's) against the plugin. */
  readonly failed: (error: unknown) => void
}

/** A host, and the way to undo what was done through it. */
export interface HostHandle {
  readonly host: Host
  /** Cancels the timers; nothing can be armed afterwards. */
  close(): void
}

const ALONE = { index: 0, count: 1 }

export function makeHost(plugin: Plugin, place: Place, deps: HostDeps): HostHandle {
  const { clock } = deps
  const armed = new ArmedTimers()
  let closed = false
  const keyed = (key: string): string => JSON.stringify([place.route, place.instance, key])

  function contained(run: () => void): void {
    try {
      run()
    } catch (error) {
      place.failed(error)
    }
  }

  function after(ms: number, run: () => void, now?: number): Timer {
    return closed ? NO_TIMER : armed.after(clock, ms, run, contained, now)
  }

  function backend(name: string): Backend {
    const found = deps.backends.get(name)
    if (found !== undefined) return found
    throw new BuildProblem({ at: place.at, rule: 'unknown-backend', message: `"${place.instance}" names backend "${name}", which does not exist`, help: `Backends are: ${[...deps.backends.keys()].join(', ') || 'none'}.` })
  }

  function records(sink: string, onFull: OnFull): Records {
    const found = deps.records?.(sink, place.route, onFull) ?? null
    if (found !== null) return found
    throw new BuildProblem({ at: place.at, rule: 'unknown-sink', message: `"${place.instance}" names sink "${sink}", which does not exist`, help: 'Declare it under `sinks`.' })
  }

  function profile(path: string): Profile {
    try {
      return deps.profile!(path)
    } catch (error) {
      throw new BuildProblem({ at: place.at, rule: 'bad-profile', message: `"${place.instance}" cannot use the profile: ${error instanceof Error ? error.message : String(error)}`, help: 'Make one with `weir profile DATA -o FILE`.' })
    }
  }

  function parts(key: string, bytes: number): Parts | Promise<Parts> {
    const { index, count } = deps.thread ?? ALONE
    const all = Array.from({ length: count }, (_, i) => (deps.share ?? local)(keyed(`${key} ${i}`), bytes))
    const whole = all.flatMap((part) => (part instanceof Promise ? [] : [part]))
    return whole.length === count ? { mine: whole[index]!, all: whole } : Promise.all(all).then((pieces) => ({ mine: pieces[index]!, all: pieces }))
  }

  function folder(): string | null {
    if (deps.state === undefined || deps.state === null) return null
    const path = join(deps.state, 'plugins', place.route, place.instance)
    mkdirSync(path, { recursive: true })
    return path
  }

  const host: Host = {
    route: place.route,
    routeBackend: place.routeBackend,
    metrics: deps.registry.handles(plugin.metrics ?? {}, `weir_${plugin.name}_`, { route: place.route }) as Handles<Declarations>,
    log: quietly(deps.log, { route: place.route, plugin: place.instance }, clock),
    now: () => clock.now(),
    wall: () => clock.wall(),
    leader: (deps.thread ?? ALONE).index === 0,
    after,
    every: (ms, run) => (closed ? NO_TIMER : armed.every(clock, ms, () => contained(run))),
    keep: (key, make) => deps.keep.take(keyed(key), make),
    share: (key, bytes) => (deps.share ?? local)(keyed(key), bytes),
    parts,
    folder,
    records,
    profile,
    alarm: (alarm) => deps.alarm?.(place.route, place.instance, alarm),
    provide: (slot) => place.slots.provide(slot, place.instance, place.at),
    use: (slot) => place.slots.use(slot, place.instance, place.at),
    backend,
    selector: (text) => deps.compileSelector(text),
    condition: (text) => deps.compileCondition(text),
  }

  function local(key: string, bytes: number): SharedArrayBuffer {
    return deps.keep.take(`share ${key} ${bytes}`, () => new SharedArrayBuffer(bytes))
  }

  function close(): void {
    closed = true
    armed.cancel()
  }

  return { host, close }
}
