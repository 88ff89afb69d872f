/**
 * A graceful stop: unready at once → answers carry `connection: close` while load balancers notice (grace) → accept no
 * more → what is under way finishes → at the deadline the rest is cut. Closing at once instead would reset callers that
 * were just about to reuse a connection.
 */
import type { DrainConfig } from '../../config/config.ts'
import type { Clock, Timer } from '../clock.ts'

export interface DrainSteps {
  /** `/ready` says no. */
  unready(): void
  /** Answers carry `connection: close`. */
  announce(): Promise<unknown>
  /** Accept no more; settles once nothing is in flight. */
  stop(): Promise<unknown>
  /** Close what is left. @returns how many exchanges were cut */
  cut(): Promise<number>
}

export class Drain {
  readonly #clock: Clock
  readonly #steps: DrainSteps
  readonly #hurry = Promise.withResolvers<'now'>()
  #run: Promise<number> | null = null

  constructor(clock: Clock, steps: DrainSteps) {
    this.#clock = clock
    this.#steps = steps
  }

  get started(): boolean {
    return this.#run !== null
  }

  /** Runs once; later calls get the same promise. @returns how many exchanges were cut */
  start(config: DrainConfig): Promise<number> {
    return (this.#run ??= this.#drain(config))
  }

  /** Ends the waiting: what is under way is cut. */
  now(): void {
    this.#hurry.resolve('now')
  }

  async #drain({ grace_ms, deadline_ms }: DrainConfig): Promise<number> {
    const timers: Timer[] = []
    const after = (ms: number): Promise<void> => new Promise((done) => timers.push(this.#clock.after(ms, done)))
    const late = Promise.race([this.#hurry.promise, after(deadline_ms)])
    this.#steps.unready()
    await Promise.race([late, this.#steps.announce().then(() => after(grace_ms))])
    await Promise.race([late, this.#steps.stop()])
    for (const timer of timers) timer.cancel()
    return this.#steps.cut()
  }
}
