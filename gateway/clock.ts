/** Time as weir sees it. Everything that waits takes a `Clock`, so that tests run on a fake one. */
export interface Timer {
  /** Idempotent. */
  cancel(): void
}

export interface Clock {
  /** Monotonic milliseconds, fractions included; the same for all threads of a process. */
  now(): number
  /** Milliseconds since 1970, for what people read (logs, records, certificates); never for measuring. */
  wall(): number
  /** Runs once after `ms`. An armed timer does not keep the process alive. */
  after(ms: number, run: () => void): Timer
  /** Runs every `ms` until cancelled. */
  every(ms: number, run: () => void): Timer
}

/** What was waited for did not come in time. */
export class LateError extends Error {}

/** What is late is let go. @throws LateError, or what `work` ends with */
export async function within<T>(clock: Clock, ms: number, work: T | Promise<T>): Promise<T> {
  const { promise: late, reject } = Promise.withResolvers<never>()
  const timer = clock.after(ms, () => reject(new LateError(`no answer within ${ms} ms`)))
  try {
    return await Promise.race([work, late])
  } finally {
    timer.cancel()
  }
}

class NodeTimer implements Timer {
  readonly #handle: NodeJS.Timeout
  constructor(handle: NodeJS.Timeout) {
    this.#handle = handle.unref()
  }
  cancel(): void {
    clearTimeout(this.#handle)
  }
}

/** `performance.now()` counts from the start of its own thread; this is what to add for a count that threads share. */
const ORIGIN_MS = Number(process.hrtime.bigint()) / 1e6 - performance.now()

export const systemClock: Clock = {
  now: () => ORIGIN_MS + performance.now(),
  wall: () => Date.now(),
  after: (ms, run) => new NodeTimer(setTimeout(run, ms)),
  every: (ms, run) => new NodeTimer(setInterval(run, ms)),
}
