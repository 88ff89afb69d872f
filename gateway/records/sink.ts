/** Where records go: the seam between the shipper, which loses nothing, and files, HTTP, S3 or Kafka. One a sink of the file, in the records thread. */
import type { SinkConfig } from '../../config/config.ts'
import type { Clock } from '../clock.ts'
import type { Log } from '../plugin.ts'
import type { LogRecord } from './record.ts'

/** Plain JSON that is committed together with the counts; at most 32 KiB of text. */
export type SinkState = Readonly<Record<string, unknown>>

/** What became of the records of a `deliver`, from the front: the first `delivered + rejected` are dealt with for good, the rest comes again. */
export interface Delivery {
  readonly delivered: number
  /** Refused for good (a 4xx that no attempt will change): counted as dropped, never sent again. */
  readonly rejected: number
  /** Where the sink stands now; `undefined` = as before. */
  readonly state?: SinkState
  /** Why the rest was not taken: the next attempt comes after a pause that grows. null: nothing failed, and what was not taken comes at once. */
  readonly error: Error | null
}

/** How much one `deliver` takes at most, and for how long the shipper collects for it. */
export interface Batch {
  readonly rows: number
  /** Of the records as they lie in the spool. */
  readonly bytes: number
  /** 0 = what is sealed goes out at once. */
  readonly wait_ms: number
}

/**
 * Calls never overlap. The order is `open`, then `deliver` and `rotate` in any order, `close` last. A throw counts as a `Delivery`
 * of nothing with that error, and the sink is closed and, later, opened again with the state of the last commit: whoever wrote half of
 * something throws.
 *
 * Exactly once, for sinks that can: `deliver` makes the records durable at the end of what `state` tells, and returns the new state.
 * The shipper then commits counts, state and what left the spool in one write. When the process dies in between, the next `open`
 * gets the state of the last commit, undoes what lies beyond it (cuts a file, removes the ones that follow) and the same records come again.
 * A sink that cannot undo delivers at least once, with `record_id` as the key.
 */
export interface Sink {
  readonly batch: Batch
  /**
   * @param state of the last commit, maybe made by another configuration under the same name; null: there was none
   * @returns what is committed before anything is delivered, such as a name that tells what this life of the sink makes; `undefined` = nothing
   */
  open(state: SinkState | null): Promise<SinkState | undefined | void>
  /** @param records in the order of their segments, at least one; their bodies are views that are not kept after the call */
  deliver(records: readonly LogRecord[]): Promise<Delivery>
  /**
   * Closes files that are old enough, so that a file is done though nothing comes any more. Called about every second.
   * @param all every file: the gateway stops, or the sink was taken out of the configuration
   * @returns the new state; `undefined` = nothing changed
   */
  rotate?(all: boolean): Promise<SinkState | undefined>
  /** Whether it could deliver, without delivering; for `check --connect`. @throws with the reason */
  probe(): Promise<void>
  close(): Promise<void>
}

export interface SinkDeps {
  readonly clock: Clock
  readonly log: Log
}

/** Makes a sink of its configuration; nothing is opened or connected yet. */
export type CreateSink = (config: SinkConfig, deps: SinkDeps) => Sink | Promise<Sink>
