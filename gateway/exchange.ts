/**
 * One request and its answer, as plugins and backends see it. Nothing here knows sockets.
 *
 * Heads are flat arrays `[name, value, name, value, …]`: case, order and duplicates as received, values latin1.
 * The fields that frame a message or belong to one connection (Content-Length, Transfer-Encoding, Connection and
 * what it names, Keep-Alive, TE, Trailer, Upgrade, Expect, Proxy-*) are never in them: framing is the wire's alone.
 */
import { type Code, codes, WeirError } from './errors.ts'
import { Fields, remove, set } from './headers.ts'
import { decodedNow } from './payload/coding.ts'
import type { Columns } from './payload/columns.ts'
import type { Trace } from './trace.ts'

// ---------------------------------------------------------------- bodies

/**
 * Where a flow pushes to. A chunk belongs to the receiver only during the call: who keeps it copies it.
 * After `end` or `fail` nothing more is called.
 */
export interface Sink {
  /** @returns false to ask for a pause; the flow stops until `resume()` */
  data(chunk: Buffer): boolean
  /** The whole body has arrived. @param trailers flat, or null */
  end(trailers: string[] | null): void
  /** The body will never be whole. */
  fail(error: WeirError): void
}

/** A body on its way. It pushes nothing before `start`; `start` is called once. */
export interface Flow {
  /** Declared length in bytes, or -1 when only the end will tell. */
  readonly length: number
  start(sink: Sink): void
  pause(): void
  resume(): void
  /** Nobody wants the rest; idempotent. The sink is not called again. */
  cancel(): void
}

/** `null`: no body at all. A `Buffer` is whole, owned by the exchange and may be sent more than once. */
export type Body = Buffer | Flow | null

/** Still on its way. */
export function isFlow(body: Body): body is Flow {
  return body !== null && !Buffer.isBuffer(body)
}

// ---------------------------------------------------------------- answers

/** Two byte streams joined after a 101; only `wire/` makes and consumes them. */
export interface Tunnel {
  /** Bytes that came behind the 101 head. */
  readonly first: Buffer | null
  join(other: unknown): void
  cancel(): void
}

/** What a backend answers, and what a plugin replies with. */
export class Answer {
  status: number
  #fields: Fields
  body: Body
  /** Reason phrase as received; '' = the standard one. */
  phrase = ''
  /** Name of the backend that made it; '' when weir did. */
  backend = ''
  /** Which endpoint of it; null when there is none. */
  upstream: Upstream | null = null
  /** Set when weir itself answers an error. */
  code: Code | null = null
  /** Set with status 101. */
  tunnel: Tunnel | null = null
  /** What Content-Length would have said in a 304 or an answer to HEAD; -1 = it said nothing. */
  statedLength = -1
  /** Model name and version, for the log, when a model answered. */
  model: { readonly name: string; readonly version: string } | null = null

  /** @param headers flat, or as the wire has them */
  constructor(status: number, headers: string[] | Fields, body: Body) {
    this.status = status
    this.#fields = headers instanceof Fields ? headers : Fields.of(headers)
    this.body = body
  }

  /** Flat; may be changed in place. */
  get headers(): string[] {
    return this.#fields.list
  }

  set headers(headers: string[]) {
    this.#fields = Fields.of(headers)
  }

  get fields(): Fields {
    return this.#fields
  }
}

/** A plugin's own answer: the same thing as a backend's. */
export type Reply = Answer

/** An answer with a text or JSON body. @param body a string is sent as text/plain, anything else as JSON */
export function reply(status: number, body: unknown, headers: readonly string[] = []): Answer {
  const text = typeof body === 'string'
  const type = text ? 'text/plain; charset=utf-8' : 'application/json'
  const bytes = Buffer.from(text ? (body as string) : JSON.stringify(body))
  return new Answer(status, ['content-type', type, ...headers], bytes)
}

/** The answer that tells of an error: `{"error","code","request_id"}`, the shape OIP, TFS and KServe clients read. */
export function problem(error: WeirError, requestId: string): Answer {
  const entry = codes[error.code]
  const answer = reply(entry.status, { error: error.message, code: error.code, request_id: requestId })
  if (error.retryAfter !== null) answer.headers.push('retry-after', String(Math.max(1, Math.ceil(error.retryAfter))))
  answer.code = error.code
  return answer
}

// ---------------------------------------------------------------- the network leg

/** An address of a backend, as the log and `/backends` name it. */
export interface Upstream {
  readonly identity: string
}

/** Limits of time for one leg, milliseconds; 0 = the backend's own. */
export interface Limits {
  readonly connect_ms: number
  readonly response_headers_ms: number
  readonly first_byte_ms: number
  readonly idle_ms: number
}

const NO_LIMITS: Limits = { connect_ms: 0, response_headers_ms: 0, first_byte_ms: 0, idle_ms: 0 }

/**
 * Sends the exchange where `leg.backend` says. Returns the answer, or a promise of it that may reject with a `WeirError`;
 * it never throws. When the leg is cancelled the promise rejects with the leg's cause and the connection is given up.
 */
export type Send = (x: Exchange, leg: Leg) => Answer | Promise<Answer>

/** Something that answers. `send` is a property and not a method, so that a route without wrappers has `route.send === backend.send`. */
export interface Backend {
  readonly name: string
  readonly kind: 'http' | 'onnx' | 'model' | 'answer' | 'builtin'
  readonly send: Send
  /** Whether asking it now makes sense: false while every endpoint is ejected or unhealthy, or a model is not ready. Absent = always. */
  readonly available?: () => boolean
}

/** Told once when a leg is cancelled. */
export interface LegWatcher {
  legCancelled(cause: WeirError): void
}

/**
 * The network leg of an exchange: which backend, under which limits, and the way to stop it.
 * Legs nest (attempt in target in total). Watchers are objects, not closures: an attempt watches its own leg for free.
 */
export class Leg implements LegWatcher {
  backend: Backend
  limits: Limits
  /** Somebody above holds short answers until they are whole: the attempt is not over at its head. Inherited. */
  held: boolean
  /** With `held`: bytes of a stream that are held at most until it carries content; 0 = streams go on at once. Inherited. */
  peek: number
  /** When it must be over, `clock.now()` milliseconds; Infinity = no deadline. Inherited; a child's is never later. */
  deadline: number
  /** Endpoints that were asked, when somebody above may ask again and prefers another; null = nobody does. Shared with all legs below. */
  tried: object[] | null
  /** The second of two requests of the same exchange; backends are told (`x-weir-hedge`). Inherited. */
  hedge: boolean
  /** Who is told what happens here; null = the exchange is not traced. Inherited. */
  trace: Trace | null
  #cause: WeirError | null = null
  readonly #parent: Leg | null
  #watcher: LegWatcher | null = null
  /** Only a leg with two or more watchers (hedges) has this. */
  #more: Set<LegWatcher> | null = null

  constructor(backend: Backend, parent: Leg | null = null) {
    this.backend = backend
    this.#parent = parent
    this.limits = parent === null ? NO_LIMITS : parent.limits
    this.held = parent !== null && parent.held
    this.peek = parent === null ? 0 : parent.peek
    this.deadline = parent === null ? Infinity : parent.deadline
    this.tried = parent === null ? null : parent.tried
    this.hedge = parent !== null && parent.hedge
    this.trace = parent === null ? null : parent.trace
    if (parent === null) return
    if (parent.cancelled !== null) this.#cause = parent.cancelled
    else parent.watch(this)
  }

  /** Why this leg was stopped, or null. */
  get cancelled(): WeirError | null {
    return this.#cause
  }

  /** Stops this leg and every leg below it, once; later calls do nothing. */
  cancel(cause: WeirError): void {
    if (this.#cause !== null) return
    this.#cause = cause
    this.close()
    const first = this.#watcher
    const more = this.#more
    this.#watcher = null
    this.#more = null
    if (first !== null) first.legCancelled(cause)
    if (more !== null) for (const watcher of more) watcher.legCancelled(cause)
  }

  legCancelled(cause: WeirError): void {
    this.cancel(cause)
  }

  /** Tells `watcher` when the leg is cancelled, at once if it already is. */
  watch(watcher: LegWatcher): void {
    if (this.#cause !== null) watcher.legCancelled(this.#cause)
    else if (this.#watcher === null) this.#watcher = watcher
    else (this.#more ??= new Set()).add(watcher)
  }

  unwatch(watcher: LegWatcher): void {
    if (this.#watcher === watcher) this.#watcher = null
    else this.#more?.delete(watcher)
  }

  /** A leg below this one: cancelled with it, limits inherited. Call `close()` on it when it is over. */
  child(backend: Backend = this.backend): Leg {
    return new Leg(backend, this)
  }

  /** The leg is over; it no longer listens to its parent. */
  close(): void {
    if (this.#parent !== null) this.#parent.unwatch(this)
  }
}

/**
 * Makes a body whole; `server/buffer.ts` has it.
 * @param leg stops the wait when it is cancelled @throws WeirError `BODY_TOO_LARGE`
 */
export type Gather = (body: Body, maxBytes: number, leg?: Leg) => Buffer | Promise<Buffer>

// ---------------------------------------------------------------- the exchange

/** Who asks. */
export interface Caller {
  /** Address of the peer, or of the client that a trusted proxy names. '' on a unix socket. */
  readonly address: string
  readonly port: number
  readonly tls: boolean
  /** The caller takes trailer fields (`TE: trailers`). */
  readonly trailers?: boolean
  /** What the peer says of the way and of itself is believed (`forwarded.trusted`). Absent = it is not. */
  readonly trusted?: boolean
  /** Passes a 103 (or another 1xx but 100 and 101) on. */
  inform(status: number, headers: string[]): void
}

/** A body as a format wrote it. */
export interface Written {
  /** Content-Type. */
  readonly type: string
  readonly body: Buffer
  /** Length of the JSON before binary tensors (`inference-header-content-length`); absent = the body is all JSON. */
  readonly jsonLength?: number
}

/** How bodies of a route are read and written; implementations in `payload/`. Bodies come decoded (no content coding). */
export interface Format {
  readonly name: 'oip' | 'kserve_v1' | 'tfs' | 'mlflow' | 'rows'
  /** Tensors say their datatype, which must be the model's. Otherwise values are converted to what the model takes. */
  readonly typed: boolean
  /** @throws WeirError `BAD_BODY` or `MODEL_INPUT` */
  readRequest(body: Buffer, fields: Fields): Columns
  /** @throws WeirError `INVALID_ANSWER` */
  readAnswer(body: Buffer, fields: Fields): Columns
  writeRequest(columns: Columns): Written
  /** @param request what was asked: its id, requested outputs and shape (one row or many) decide how the answer looks */
  writeAnswer(columns: Columns, request: Columns): Written
}

/** What an exchange needs to know of its route; the compiled route is in `pipeline/compile.ts`. */
export interface RouteInfo {
  readonly name: string
  readonly format: Format | null
  /** LLM bodies pass through (`format: openai`); only their answers are checked where somebody asks. */
  readonly openai?: boolean
  readonly maxBodyBytes: number
  /** A question of weir's own (`aside.ts`) and no traffic. */
  readonly aside?: true
}

/** What a backend is asked over the network: an exchange as it stands, or one in the backend's own words. */
export interface Outgoing {
  readonly method: string
  /** Origin-form, without the prefix of the endpoint. */
  readonly target: string
  readonly headers: readonly string[]
  readonly fields: Fields
  readonly body: Body
  readonly upgrade: string
  readonly caller: Pick<Caller, 'trailers' | 'inform'>
  /** Counted by whoever sends it, as `waited` is. */
  attempts: number
  waited: number
  /** The endpoint that was asked last. */
  upstream?: Upstream | null
}

/** Which part of an exchange was going on; for the access log. */
export type Phase = 'request' | 'backend' | 'response' | 'done'

export class Exchange implements Outgoing {
  readonly method: string
  /** Origin-form target, byte for byte as received (or `*`). */
  target: string
  #fields: Fields
  body: Body
  readonly caller: Caller
  readonly route: RouteInfo
  /** 0 for HTTP/1.0, 1 for HTTP/1.1. */
  readonly minor: number
  /** Lower-case token of an Upgrade that weir forwards (`websocket`), else ''. */
  readonly upgrade: string
  /** Kept or made: 1–128 visible ASCII characters. */
  readonly requestId: string
  /** UUIDv7, always weir's own. */
  readonly inferenceId: string
  /** `clock.now()` when the head was complete. */
  readonly started: number
  /** The root leg; `leg.backend` is where the request goes unless a plugin of the `request` phase changed it. */
  readonly leg: Leg
  /** The answer, from the `response` phase on. */
  answer: Answer | null = null
  /** Values of `{name}` segments of the route's path. */
  params: Readonly<Record<string, string>> | null = null
  /** The model inside that was asked last, whatever came of it. */
  model: { readonly name: string; readonly version: string } | null = null
  /** Name of the arm a split chose, or ''. */
  arm = ''
  /** Attempts against endpoints so far, all targets together. */
  attempts = 0
  /** `<from>;<reason>` once a fallback answered, else ''. */
  fallback = ''
  /** Milliseconds spent waiting for backends: from each send to its answer head, and to the end of its body. */
  waited = 0
  upstream: Upstream | null = null
  phase: Phase = 'request'
  /** Status of the answer that was begun; 0 until its head goes out. */
  status = 0
  /** How many plugins of the route this exchange has reached; `response` and `done` hooks run for those alone. */
  reached = 0
  /** Position of the plugin whose reply (or failure) turned the exchange round before it was sent; `response` hooks run for those before it. -1 = nobody's. */
  turned = -1
  /** The first error of this exchange, whatever became of it. */
  error: WeirError | null = null
  /** One cell a slot; indices are given at load. `null` when the route has no slots. */
  readonly slots: unknown[] | null
  /** Free-form marks of plugins for the log (`rate_limit:observed`); bounded by the number of plugins. */
  flags: string[] | null = null
  #input: Columns | null = null
  #output: Columns | null = null

  constructor(init: ExchangeInit) {
    this.method = init.method
    this.target = init.target
    this.#fields = init.headers instanceof Fields ? init.headers : Fields.of(init.headers)
    this.body = init.body
    this.caller = init.caller
    this.route = init.route
    this.minor = init.minor
    this.upgrade = init.upgrade
    this.requestId = init.requestId
    this.inferenceId = init.inferenceId
    this.started = init.started
    this.leg = init.leg
    this.slots = init.slots === 0 ? null : new Array<unknown>(init.slots)
  }

  /** Request headers, flat, Host included, hop-by-hop fields gone. Plugins change them in place through `headers.ts`. */
  get headers(): string[] {
    return this.#fields.list
  }

  set headers(headers: string[]) {
    this.#fields = Fields.of(headers)
  }

  /** The same as the wire has them: a look at `headers` costs, a look at these does not. */
  get fields(): Fields {
    return this.#fields
  }

  /** Path without the query, byte for byte. */
  get path(): string {
    const mark = this.target.indexOf('?')
    return mark < 0 ? this.target : this.target.slice(0, mark)
  }

  /** Query without the `?`, byte for byte; '' if there is none. */
  get query(): string {
    const mark = this.target.indexOf('?')
    return mark < 0 ? '' : this.target.slice(mark + 1)
  }

  /** The request as named columns, decoded once. The body must be whole (declare `requestBody`). @throws WeirError */
  get input(): Columns {
    return (this.#input ??= this.#format.readRequest(decodedNow(whole(this.body), this.fields.get('content-encoding'), this.route.maxBodyBytes), this.fields))
  }

  /** Replaces the request's columns; the body is written again in the route's format. */
  set input(columns: Columns) {
    this.#input = columns
    const written = this.#format.writeRequest(columns)
    this.body = written.body
    describeBody(this.headers, written)
  }

  /** The answer as named columns, decoded once. The body must be whole (declare `responseBody`). @throws WeirError */
  get output(): Columns {
    return (this.#output ??= this.readAnswer(this.answer!))
  }

  set output(columns: Columns) {
    this.#output = columns
    const written = this.#format.writeAnswer(columns, this.input)
    this.answer!.body = written.body
    describeBody(this.answer!.headers, written)
  }

  /** An answer that is not yet the one of this exchange, as named columns; decoded each time. Its body must be whole. @throws WeirError */
  readAnswer({ body, fields }: Answer): Columns {
    const bytes = decodedNow(whole(body), fields.get('content-encoding'), this.route.maxBodyBytes, 'INVALID_ANSWER')
    return this.#format.readAnswer(bytes, fields)
  }

  get #format(): Format {
    if (this.route.format === null) throw new WeirError('INTERNAL', `route "${this.route.name}" has no format`)
    return this.route.format
  }
}

/** The model an answer is about: the one that made it, or the one that failed when weir itself answers. */
export function modelOf({ model }: Exchange, answer: Answer): Answer['model'] {
  return answer.model ?? (answer.backend === '' ? model : null)
}

/** What the fields say of a body that was written again. */
export function describeBody(headers: string[], { type, jsonLength }: Written): void {
  set(headers, 'content-type', type)
  remove(headers, 'content-encoding')
  if (jsonLength === undefined) remove(headers, 'inference-header-content-length')
  else set(headers, 'inference-header-content-length', String(jsonLength))
}

function whole(body: Body): Buffer {
  if (body === null) return EMPTY
  if (Buffer.isBuffer(body)) return body
  throw new WeirError('INTERNAL', 'the body was looked at before it was whole')
}

const EMPTY = Buffer.alloc(0)

export interface ExchangeInit {
  readonly method: string
  readonly target: string
  /** Flat, or as the wire has them. */
  readonly headers: string[] | Fields
  readonly body: Body
  readonly caller: Caller
  readonly route: RouteInfo
  readonly minor: number
  readonly upgrade: string
  readonly requestId: string
  readonly inferenceId: string
  readonly started: number
  readonly leg: Leg
  /** How many slots the route has. */
  readonly slots: number
}
