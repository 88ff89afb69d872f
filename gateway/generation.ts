/** One loaded config, compiled, immutable. A reload swaps one reference; the old one closes when its last exchange is done. */
import type { Config } from '../config/config.ts'
import type { CompiledRoute } from './pipeline/route.ts'
import type { Router } from './server/router.ts'

export class Generation {
  readonly id: number
  readonly config: Config
  readonly router: Router<CompiledRoute>
  /** Settles once everything that only this generation used is closed. */
  readonly closed: Promise<void>
  readonly #release: () => Promise<void>
  readonly #settle: (work: Promise<void>) => void
  #inFlight = 0
  #retired = false
  #closing = false

  /** @param release closes the routes and gives the backends back; runs once */
  constructor(id: number, config: Config, router: Router<CompiledRoute>, release: () => Promise<void>) {
    this.id = id
    this.config = config
    this.router = router
    this.#release = release
    const { promise, resolve } = Promise.withResolvers<void>()
    this.closed = promise
    this.#settle = resolve
  }

  /** Exchanges that began on this generation and are not done. */
  get inFlight(): number {
    return this.#inFlight
  }

  /** An exchange begins. Exactly one `leave` follows. */
  enter(): void {
    this.#inFlight++
  }

  /** An exchange is done, whatever happened. */
  leave(): void {
    this.#inFlight--
    if (this.#retired && this.#inFlight === 0) void this.close()
  }

  /** No new exchange will enter: close as soon as the last one is done. */
  retire(): void {
    this.#retired = true
    if (this.#inFlight === 0) void this.close()
  }

  /** Closes now, whoever is still in flight. Idempotent. */
  close(): Promise<void> {
    if (!this.#closing) {
      this.#closing = true
      this.#settle(this.#release())
    }
    return this.closed
  }
}
