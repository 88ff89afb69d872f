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
