/**
 * Requests that weir makes for itself (to sinks, never for callers): HTTP/1.1 over a small pool of kept connections, each bounded in
 * time as a whole, answers bounded in bytes. Nothing is retried here: whoever asks knows whether asking twice does harm.
 */
import { buildConnector, type Dispatcher, errors, Pool } from 'undici'
import type { Clock } from './clock.ts'

/** Shorter than most servers keep a connection. */
const KEEP_ALIVE_MS = 4_000
/** A connection older than this carries no further request, so that a changed DNS name is noticed. */
const LIFETIME_MS = 300_000
/** Most answers are looked at for their reason; what is beyond is not read. */
export const MAX_ANSWER_BYTES = 64 << 10

export interface CallsOptions {
  readonly connections: number
  /** From the call to the end of its answer, milliseconds. */
  readonly timeout_ms: number
  /** Of an answer, for callers that read what they get; default: `MAX_ANSWER_BYTES`. */
  readonly answer_bytes?: number
}

export interface Call {
  readonly method: 'GET' | 'HEAD' | 'PUT' | 'POST' | 'DELETE'
  /** With the query. */
  readonly path: string
  /** Flat: name, value, … */
  readonly headers: readonly string[]
  readonly body: Uint8Array | null
}

export interface Called {
  readonly status: number
  /** First value of a field (lower-case name). */
  field(name: string): string | undefined
  /** The beginning of it, at most `answer_bytes`. */
  readonly body: Buffer
}

/** No answer. `invalid`: it could not even be sent, and never can. */
export class CallError extends Error {
  readonly kind: 'timeout' | 'network' | 'invalid'
  constructor(kind: CallError['kind'], message: string) {
    super(message)
    this.kind = kind
  }
}

export class Calls {
  readonly #origin: URL
  readonly #pool: Pool
  readonly #clock: Clock
  readonly #timeoutMs: number
  readonly #answerBytes: number

  /** @param origin scheme, host and port of a url; the rest of it is not looked at */
  constructor(origin: string, { connections, timeout_ms, answer_bytes = MAX_ANSWER_BYTES }: CallsOptions, clock: Clock) {
    this.#origin = new URL(new URL(origin).origin)
    this.#clock = clock
    this.#timeoutMs = timeout_ms
    this.#answerBytes = answer_bytes
    // Time is limited by the clock alone.
    this.#pool = new Pool(this.#origin, { connections, pipelining: 1, allowH2: false, keepAliveTimeout: KEEP_ALIVE_MS, clientTtl: LIFETIME_MS, headersTimeout: 0, bodyTimeout: 0, connect: { timeout: 0 } })
  }

  /** @throws CallError */
  async send({ method, path, headers, body }: Call): Promise<Called> {
    return this.#limited(async (signal) => {
      const answer = await this.#pool.request({ method, path, headers: [...headers], body, signal })
      return { status: answer.statusCode, field: (name) => [answer.headers[name]].flat()[0], body: await beginning(answer.body, this.#answerBytes) }
    })
  }

  /** Makes a connection, TLS included, and closes it. @throws CallError */
  async connect(): Promise<void> {
    await this.#limited((signal) => new Promise((resolve, reject) => {
      const { hostname, host, protocol, port } = this.#origin
      const connector = buildConnector({ allowH2: false, timeout: 0 })
      signal.addEventListener('abort', () => reject(signal.reason as Error))
      connector({ hostname, host, protocol, port }, (error, socket) => {
        socket?.destroy()
        if (error === null) resolve(undefined)
        else reject(error)
      })
    }))
  }

  /** Cuts what is under way. Idempotent. */
  async close(): Promise<void> {
    await this.#pool.destroy()
  }

  async #limited<T>(run: (signal: AbortSignal) => Promise<T>): Promise<T> {
    const controller = new AbortController()
    const timer = this.#clock.after(this.#timeoutMs, () => controller.abort(new CallError('timeout', `no answer within ${this.#timeoutMs} ms`)))
    try {
      return await run(controller.signal)
    } catch (error) {
      throw asCallError(error, controller.signal)
    } finally {
      timer.cancel()
    }
  }
}

function asCallError(error: unknown, signal: AbortSignal): CallError {
  if (signal.aborted) return signal.reason as CallError
  if (error instanceof CallError) return error
  const { message, code } = error as Error & { code?: string }
  return new CallError(error instanceof errors.InvalidArgumentError ? 'invalid' : 'network', message === '' ? (code ?? 'the connection failed') : message)
}

async function beginning(body: Dispatcher.ResponseData['body'], most: number): Promise<Buffer> {
  const chunks: Buffer[] = []
  let bytes = 0
  for await (const chunk of body as AsyncIterable<Buffer>) {
    chunks.push(chunk)
    bytes += chunk.length
    // Leaving the loop closes the connection: cheaper than reading what nobody wants.
    if (bytes >= most) break
  }
  return Buffer.concat(chunks).subarray(0, most)
}
