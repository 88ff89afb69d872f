/**
 * The plugin contract: the one module a plugin author imports.
 *
 * Plugins run in the order of the YAML. The first `Reply` turns the exchange round. `response` hooks of the plugins
 * before the one that replied run in reverse. `done` runs once for every plugin reached, the replier included. A throw
 * is counted against its plugin; with `on_error: open` the exchange goes on, with `closed` it is answered by
 * `server/rescue.ts`. A hook that no plugin of a route has does not exist for that route.
 */
import type { Static, TSchema } from 'typebox'
import type { Alarm, AlarmKind } from './alarm.ts'
import type { Timer } from './clock.ts'
import type { Backend, Exchange, Reply, Send } from './exchange.ts'
import { Type } from './schema.ts'
import type { Counter, Declarations, Handles, Histogram } from './metrics.ts'
import type { Profile } from './profile/profile.ts'
import type { OnFull, Records } from './records/record.ts'

export type { Static, TSchema } from 'typebox'
export { Type } from './schema.ts'
export { Aside } from './aside.ts'
export { Relay } from './relay.ts'
export { Answer, type Backend, type Body, Exchange, type Flow, isFlow, Leg, type LegWatcher, type Limits, problem, type Reply, reply, type Send, type Sink } from './exchange.ts'
export type { Alarm, AlarmKind } from './alarm.ts'
export { type Code, codes, type Reason, WeirError } from './errors.ts'
export * as headers from './headers.ts'
export { type Assurance, assure } from './assure.ts'
export { Failures, type Word } from './failures.ts'
export { Limiter, type LimiterMetrics } from './limiter.ts'
export { HOLD_BYTES, hold, streams } from './hold.ts'
export { paused } from './pause.ts'
export type { LoggedBody, LogRecord, OnFull, Records } from './records/record.ts'
export type { CategoricalProfile, FeatureProfile, NumericProfile, Profile } from './profile/profile.ts'
export { type EventKind, type EventScanner, FirstContent, scannerOf, type StreamEvent } from './sse.ts'
export type { Timer } from './clock.ts'
export type { Counter, Declarations, Handles, Histogram }

export type Verdict = Reply | undefined | void | Promise<Reply | undefined | void>

/** What a request to an admin route of a plugin gets. */
export interface AdminRequest {
  readonly method: 'GET' | 'POST'
  readonly query: URLSearchParams
  /** Parsed JSON of a POST, else undefined. */
  readonly body: unknown
}

/** Returns something JSON can carry. Runs on every data thread; `merge` makes one answer of theirs (default: a list). */
export interface AdminRoute {
  readonly summary: string
  handle(request: AdminRequest): unknown
  merge?(parts: readonly unknown[]): unknown
}

/** What a plugin serves to callers. */
export interface ServeRoute {
  readonly summary: string
  readonly maxBodyBytes: number
  /** @param body whole, decoded @returns null: this is not for me */
  handle(body: Buffer, x: Exchange): Reply | null | Promise<Reply | null>
  /** Nobody who serves this took it: the first one that has this answers. Absent everywhere: 404. */
  otherwise?(body: Buffer, x: Exchange): Reply | Promise<Reply>
}

/** Memory of which every data thread writes one part: sums over the parts are exact, and no cell has two writers. */
export interface Parts {
  readonly mine: SharedArrayBuffer
  /** Of all threads, in their order; `mine` is one of them. */
  readonly all: readonly SharedArrayBuffer[]
}

/** Presence is the declaration: a hook that is absent costs nothing. */
export interface Hooks {
  /** Head parsed, body untouched. */
  request?(x: Exchange): Verdict
  /** Presence ⇒ the request body is buffered up to the route's `max_body_bytes` (413 beyond). */
  requestBody?(x: Exchange): Verdict
  /**
   * Around the backend call; composed once, at load, in the fixed order of `NESTING`. A function stands where the plugin's `nesting`
   * says, a record has one wrapper a level. A `send` that throws, or rejects with anything but a `WeirError`, is answered by
   * `PLUGIN_FAILED` whatever `on_error` says: what was sent by then cannot be known.
   */
  readonly send?: Wrap | Readonly<Partial<Record<Nesting, Wrap>>>
  /** Declares that `request` or `requestBody` may set `x.leg.backend`; without it a route may call its one backend directly. */
  readonly picksBackend?: true
  /** A `send` that may send a body twice: bodies up to this many bytes are made whole first (longer ones stream and cannot be sent again). */
  readonly replayBytes?: number
  /** Status and headers known; reverse order. An error that weir answers for a backend passes here too (`x.answer.code` says which). */
  response?(x: Exchange): Verdict
  /** Presence ⇒ the answer is buffered up to `max_body_bytes` (502 beyond); reverse order. */
  responseBody?(x: Exchange): Verdict
  /** Streaming view of the answer; what it returns goes on, null drops the chunk. Reverse order. */
  responseChunk?(x: Exchange, chunk: Buffer): Buffer | null
  /**
   * The answer is whole and as the caller will get it (`x.answer`, its status), right before its last byte is handed to the socket;
   * at most once, in reverse order. Not when it is cut, or nobody waits for it any more: then there is `done` alone.
   */
  finish?(x: Exchange): void
  /** Exactly once for every exchange that reached this plugin, whatever happened; after `finish`. */
  done?(x: Exchange): void
  /** `'GET /state'`: mounted on the admin listener at `/routes/<route>/<plugin>/state`. */
  readonly admin?: Readonly<Record<string, AdminRoute>>
  /** `'POST /labels'`: served on the traffic listener, before the routes of the file. Plugins that serve the same are asked in the order of routes. */
  readonly serve?: Readonly<Record<string, ServeRoute>>
  /** The generation is gone. Runs once. */
  close?(): void | Promise<void>
}

/** Wraps a `Send` in another; runs once, at load. */
export type Wrap = (next: Send) => Send

/**
 * Where a plugin's `send` stands, outermost first, whatever its place in the YAML. `input` refuses what must not be sent to a target, `output` what
 * must not be answered by it; `fault` is what stands for the backend itself: every attempt meets it.
 */
export const NESTING = ['total', 'admission', 'cache', 'fallback', 'input', 'output', 'hedge', 'retry', 'attempt', 'fault'] as const
export type Nesting = (typeof NESTING)[number]

/** A typed per-exchange value that one plugin provides and others use. Make one with `slot()` in a module of its own. */
export interface Slot<T> {
  readonly name: string
  /** Only carries the type. */
  readonly type?: T
}

export function slot<T>(name: string): Slot<T> {
  return { name }
}

/** A slot bound to a route. */
export interface Cell<T> {
  get(x: Exchange): T | undefined
  set(x: Exchange, value: T): void
}

/** A compiled selector (`header.x-user-id`, `query.q`, `cookie.c`, `client.ip`, `input.column`, `output.column`). */
export interface Selector {
  readonly text: string
  /** True when it looks into the request body: the plugin must then have `requestBody`. */
  readonly body: boolean
  /** @returns undefined when the exchange has no such value */
  read(x: Exchange): string | undefined
}

/** A compiled CEL condition. */
export interface Condition {
  readonly text: string
  readonly body: boolean
  /** What of the answer it looks at: its `head` (`status`), its `body` (`output`), or nothing. Before there is an answer such a condition is false. */
  readonly answer: 'none' | 'head' | 'body'
  /** An evaluation error counts as false. */
  test(x: Exchange): boolean
}

export interface Log {
  debug(message: string, fields?: Readonly<Record<string, unknown>>): void
  info(message: string, fields?: Readonly<Record<string, unknown>>): void
  warn(message: string, fields?: Readonly<Record<string, unknown>>): void
  error(message: string, fields?: Readonly<Record<string, unknown>>): void
}

/** Everything a plugin may touch. */
export interface Host<M extends Declarations = Declarations> {
  readonly route: string
  /** The route's own backend: what `send` goes to unless a plugin decides otherwise. */
  readonly routeBackend: Backend
  readonly metrics: Handles<M>
  readonly log: Log
  /** Monotonic milliseconds. */
  now(): number
  /** Unix milliseconds: for windows of the calendar and for what people read, never for measuring. */
  wall(): number
  /** True on exactly one data thread: whoever sums over all threads does it there. */
  readonly leader: boolean
  /** One shot; cancelled by itself when the generation closes. @param now what `now()` said just before: spares a look at the clock */
  after(ms: number, run: () => void, now?: number): Timer
  /** Cancelled by itself when the generation closes. */
  every(ms: number, run: () => void): Timer
  /** A value that survives reloads while its key is the same for this route and plugin. */
  keep<T>(key: string, make: () => T): T
  /** Memory that all data threads see, zeroed at first; it survives reloads while its key is the same for this route and plugin. */
  share(key: string, bytes: number): SharedArrayBuffer | Promise<SharedArrayBuffer>
  /** One piece a data thread, zeroed at first; survives reloads, and the death of its thread, while its key is the same for this route and plugin. */
  parts(key: string, bytes: number): Parts | Promise<Parts>
  /** A folder below `state:` for this route and plugin, made; null without `state:`. */
  folder(): string | null
  /** The spool of a sink of the file. @throws at load for an unknown name */
  records(sink: string, onFull: OnFull): Records
  /** A profile, read once a generation. @param path absolute @throws at load when it is none */
  profile(path: string): Profile
  /** Tells whoever listens: the log, `weir_alarms_total`, a backtest. Raise it on the leader alone. */
  alarm(alarm: Alarm): void
  provide<T>(slot: Slot<T>): Cell<T>
  /** @throws at load when no plugin before this one provides the slot */
  use<T>(slot: Slot<T>): Cell<T>
  /** @throws at load for an unknown name (the loader has usually said so before) */
  backend(name: string): Backend
  selector(text: string): Selector
  condition(text: string): Condition
}

export interface Plugin<C extends TSchema = TSchema, M extends Declarations = Declarations> {
  /** snake_case; the YAML key and the file's name. */
  readonly name: string
  /** One sentence for the table in the docs. */
  readonly summary: string
  readonly stability: 'experimental' | 'beta' | 'stable'
  /** A strict object schema with a description on every option. */
  readonly config: C
  /** Options of a working example, as in YAML. */
  readonly example: unknown
  readonly metrics?: M
  /** Kinds of alarms that it may raise: each counts from 0 for every route that has the plugin, so that the first one is seen as a rise. */
  readonly alarms?: readonly AlarmKind[]
  /** Where `send` stands; needed when `build` returns one that is a function. */
  readonly nesting?: Nesting
  /** Without bodies as named columns it can do nothing: a route without a format that reads them is refused at load. */
  readonly readsColumns?: true
  /** What whoever runs this must not forget: a warning at every load of a file with it. */
  readonly caution?: string
  /** Default of `on_error`: `open` for observers, `closed` for those that decide. */
  readonly onError: 'open' | 'closed'
  /** What the schema cannot say, about decoded options. @returns a complaint */
  check?(config: Static<C>): string | undefined
  /** Options in, closures out, everything precomputed. */
  build(config: Static<C>, host: Host<M>): Hooks | Promise<Hooks>
}

/** Declares a plugin; only infers types. */
export function plugin<const C extends TSchema, const M extends Declarations = Record<string, never>>(declaration: Plugin<C, M>): Plugin<C, M> {
  return declaration
}

// ---------------------------------------------------------------- option types beyond JSON Schema
// The loader decodes them: `x-weir` says how. They stay JSON Schema, so editors check them too.

interface Notes {
  readonly description: string
  readonly default?: unknown
}

/** An option with a `default`: it may be left out in the file and is always there in `build`. */
export const Defaulted = <T extends TSchema>(schema: T) => Type.Optional(schema) as unknown as T
/** `300ms`, `5s`, `2m`, `36h`, `7d` → milliseconds. */
export const Duration = (notes: Notes) => Type.Unsafe<number>({ type: 'string', pattern: '^[0-9]+(\\.[0-9]+)?(ms|s|m|h|d)$', 'x-weir': 'duration', ...notes })
/** `512`, `64KiB`, `1MiB`, `2GiB` (or kB, MB, GB) → bytes. */
export const Size = (notes: Notes) =>
  Type.Unsafe<number>({ anyOf: [{ type: 'integer', minimum: 0 }, { type: 'string', pattern: '^[0-9]+(\\.[0-9]+)?(B|kB|MB|GB|KiB|MiB|GiB)$' }], 'x-weir': 'size', ...notes })
/** `5%` or a number 0–100 → 0–100. */
export const Percent = (notes: Notes) =>
  Type.Unsafe<number>({ anyOf: [{ type: 'number', minimum: 0, maximum: 100 }, { type: 'string', pattern: '^[0-9]+(\\.[0-9]+)?%$' }], 'x-weir': 'percent', ...notes })
/** The name of a backend of the file; the loader checks that it exists. */
export const BackendName = (notes: Notes) => Type.Unsafe<string>({ type: 'string', minLength: 1, 'x-weir': 'backend', ...notes })
/** `{ backend: weight, … }`; the loader checks that the backends exist. */
export const Arms = (notes: Notes) =>
  Type.Unsafe<Record<string, number>>({ type: 'object', minProperties: 1, additionalProperties: { type: 'number', minimum: 0 }, 'x-weir': 'arms', ...notes })
/** A selector; the loader parses it. */
export const SelectorText = (notes: Notes) => Type.Unsafe<string>({ type: 'string', minLength: 1, 'x-weir': 'selector', ...notes })
/** A CEL condition; the loader parses it. */
export const ConditionText = (notes: Notes) => Type.Unsafe<string>({ type: 'string', minLength: 1, 'x-weir': 'condition', ...notes })
/** A file that must be there; relative to the configuration, absolute in `build`. */
export const FilePath = (notes: Notes) => Type.Unsafe<string>({ type: 'string', minLength: 1, 'x-weir': 'file', ...notes })
/** The name of a sink of the file; the loader checks that it exists. */
export const SinkName = (notes: Notes) => Type.Unsafe<string>({ type: 'string', minLength: 1, 'x-weir': 'sink', ...notes })
