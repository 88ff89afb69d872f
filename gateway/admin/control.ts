/** What the admin listener asks of the gateway. The control thread answers; where data threads must be asked, it asks all of them. */
import type { Issue } from '../../config/config.ts'
import type { RegistryView } from '../metrics.ts'
import type { Refusal } from '../models/operator.ts'
import type { AdminRequest } from '../plugin.ts'
import type { Raised } from '../telemetry/alarms.ts'
import type { EndpointState } from '../upstream/state.ts'

export interface AdminControl {
  /** Registries of all threads, what dead ones had counted included. */
  views(): readonly RegistryView[]
  ready(): Readiness
  config(): ConfigReport
  /** In the order of matching; plain data. */
  routes(): readonly unknown[]
  /** What every data thread knows of the endpoints of its backends. */
  backends(): Promise<readonly ThreadReport<BackendStates>[]>
  /** How the records of every sink stand. */
  records(): Promise<RecordsReport>
  /** The last alarms that monitors raised, on whichever thread. */
  alarms(): Promise<readonly ThreadReport<readonly Raised[]>[]>
  /** `GET /state` of every plugin of this name, in the order of routes. */
  states(plugin: string): Promise<readonly StateReport[]>
  /** Every version with its state; plain data. */
  models(): unknown
  /** Loads or unloads all versions of a model of the repository. @returns null, or why not */
  repository(action: 'load' | 'unload', name: string): Promise<Refusal | null>
  /** Calls `'GET /state'` of a plugin on every data thread. @param path with its leading slash */
  plugin(route: string, plugin: string, path: string, request: AdminRequest): Promise<PluginReport>
  reload(): Promise<ReloadReport>
  /** Begins to stop gracefully, once; later calls change nothing. */
  drain(): void
}

export interface Readiness {
  readonly ready: boolean
  readonly reason: 'ready' | 'starting' | 'draining' | 'no_data_thread'
  /** Data threads: a gateway may be ready while one of them keeps dying. */
  readonly threads?: { readonly wanted: number; readonly serving: number; readonly restarts: number }
}

export interface ConfigReport {
  /** '' when the config was made from flags. */
  readonly file: string
  readonly hash: string
  /** Unix milliseconds; 0 before the first load. */
  readonly loaded_at: number
  /** False after a reload that failed: the running config is not the one in the file. */
  readonly synchronized: boolean
  /** Complaints of the last load; warnings when it went well. */
  readonly issues: readonly Issue[]
  /** The running config as plain data, secrets redacted. */
  readonly config: unknown
}

/** What one data thread said. */
export type ThreadReport<T> = { readonly thread: number; readonly value: T } | ThreadError

/** By backend. */
export type BackendStates = Readonly<Record<string, readonly EndpointState[]>>

export interface RecordsReport {
  /** Plain data, a line each; what the records thread knows of it is null where that did not answer. */
  readonly sinks: readonly unknown[]
  /** Why the records thread did not answer. */
  readonly error: string | null
}

/** What one plugin of one route shows; `errors` of the threads that did not answer. */
export interface StateReport {
  readonly route: string
  /** With `#2` for the second of its name in the route. */
  readonly plugin: string
  readonly state: unknown
  readonly errors: readonly ThreadError[]
}

export interface ThreadError {
  readonly thread: number
  readonly error: string
}

export type PluginReport =
  /** No such route, plugin or path. */
  | { readonly kind: 'unknown' }
  /** The path exists for other methods. */
  | { readonly kind: 'method'; readonly allow: readonly string[] }
  /** Merged over the threads that answered; `errors` of those that did not. */
  | { readonly kind: 'answer'; readonly value: unknown; readonly errors: readonly ThreadError[] }

export interface ReloadReport {
  readonly ok: boolean
  /** Of the config that runs now. */
  readonly hash: string
  readonly issues: readonly Issue[]
}
