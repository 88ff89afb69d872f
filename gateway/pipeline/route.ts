/** A route as the request path sees it: every question the config can answer is answered; what no plugin asked for is `null`. */
import type { RouteConfig } from '../../config/config.ts'
import type { Backend, Exchange, RouteInfo, Send } from '../exchange.ts'
import type { AdminRoute, ServeRoute, Verdict } from '../plugin.ts'

/** One hook with what is needed to attribute a failure to its plugin. */
export interface Step<F> {
  readonly plugin: string
  /** Position of the plugin in the route, from 0. */
  readonly index: number
  readonly onError: 'open' | 'closed'
  readonly run: F
  /** Counts a throw against the plugin and logs it. */
  readonly failed: (error: unknown) => void
}

export type Hook = (x: Exchange) => Verdict

export interface CompiledRoute extends RouteInfo {
  readonly backend: Backend
  readonly criticality: RouteConfig['criticality']
  readonly plugins: readonly string[]
  /** Slots an exchange of this route needs. */
  readonly slots: number
  /** In the order of the file. */
  readonly request: readonly Step<Hook>[] | null
  readonly requestBody: readonly Step<Hook>[] | null
  /** The onion; `=== backend.send` when nothing wraps it. */
  readonly send: Send
  /** From here on in reverse order of the file. */
  readonly response: readonly Step<Hook>[] | null
  readonly responseBody: readonly Step<Hook>[] | null
  readonly responseChunk: readonly Step<(x: Exchange, chunk: Buffer) => Buffer | null>[] | null
  readonly finish: readonly Step<(x: Exchange) => void>[] | null
  readonly done: readonly Step<(x: Exchange) => void>[] | null
  /** Request bodies up to this many bytes are made whole before `send`, so that they can be sent again; 0 = none needs it. */
  readonly replayBytes: number
  /** No plugin looks at the request before it is sent, or at the answer: what `send` gives is the answer. */
  readonly plain: boolean
  /** By plugin name (and `#2` for its second instance), then by `GET /state`. */
  readonly admin: ReadonlyMap<string, Readonly<Record<string, AdminRoute>>>
  /** What its plugins serve on the traffic listener, by `POST /labels`; null = nothing. */
  readonly serve: ReadonlyMap<string, readonly Step<ServeRoute>[]> | null
  close(): Promise<void>
}
