/** One loaded config, compiled, immutable. A reload swaps one reference; the old one closes when its last exchange is done. */
import type { Config } from '../config/config.ts'
import type { CompiledRoute } from './pipeline/route.ts'
import type { Condition } from './plugin.ts'

/** A route that fits as far as the head tells. */
export interface Candidate<R> {
  readonly route: R
  /** Values of `{name}` segments, byte for byte; null when the pattern has none. */
  readonly params: Readonly<Record<string, string>> | null
  /**
   * Still to be tested, on an exchange made for this route (with its body whole if `when.body`). If it says no, ask
   * again with `find(…, next)`.
   */
  readonly when: Condition | null
  readonly next: number
}

/** No route. */
export interface Missing {
  readonly route: null
  /** Value of the Allow header when the path is known and the method is not (405); null = 404. */
  readonly allow: string | null
}

export interface Router<R> {
  /** Some route asks for a host or a header; when none does, `find` may be given no headers. */
  readonly looksAtHeaders: boolean
  /**
   * @param target as received; what follows `?` is ignored
   * @param headers flat, Host included
   * @param from position in the list to begin at: `next` of a candidate whose condition failed
   */
  find(method: string, target: string, headers: readonly string[], from?: number): Candidate<R> | Missing
}

export class Generation {
  readonly id: number
  readonly config: Config
  readonly router: Router<CompiledRoute>
  /** Of the file, in its order, then the built-in ones. */
  readonly routes: readonly CompiledRoute[]
  /** Settles once everything that only this generation used is closed. */
  readonly closed: Promise<void>
  readonly #release: () => Promise<void>
  readonly #settle: (work: Promise<void>) => void
  #inFlight = 0
  #retired = false
  #closing = false

  /** @param release closes the routes and gives the backends back; runs once */
  constructor(id: number, config: Config, router: Router<CompiledRoute>, routes: readonly CompiledRoute[], release: () => Promise<void>) {
    this.id = id
    this.config = config
    this.router = router
    this.routes = routes
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
