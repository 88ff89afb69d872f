/** Making bodies whole for those who must see them, and letting plugins look at those that stay streams. */
import { WeirError } from '../errors.ts'
import type { Body, Flow, Leg, Sink } from '../exchange.ts'
import { holdFlow } from '../hold.ts'
import { Relay } from '../relay.ts'

const EMPTY = Buffer.alloc(0)

/**
 * The body as one buffer.
 * @param max bytes; longer ones reject with `BODY_TOO_LARGE`, at once when the declared length says so
 * @param leg stops the wait when it is cancelled
 */
export function gather(body: Body, max: number, leg?: Leg): Buffer | Promise<Buffer> {
  if (body === null) return EMPTY
  if (Buffer.isBuffer(body)) return body.length <= max ? body : Promise.reject(tooLarge(max))
  if (body.length > max) {
    body.cancel()
    return Promise.reject(tooLarge(max))
  }
  if (leg !== undefined) return holdFlow(body, leg, max).then((held) => gather(held, max))
  return new Promise((resolve, reject) => body.start(new Gatherer(body, max, resolve, reject)))
}

function tooLarge(max: number): WeirError {
  return new WeirError('BODY_TOO_LARGE', `the body is larger than ${max} bytes`)
}

class Gatherer implements Sink {
  readonly #flow: Flow
  readonly #max: number
  readonly #resolve: (whole: Buffer) => void
  readonly #reject: (error: WeirError) => void
  readonly #chunks: Buffer[] = []
  #bytes = 0

  constructor(flow: Flow, max: number, resolve: (whole: Buffer) => void, reject: (error: WeirError) => void) {
    this.#flow = flow
    this.#max = max
    this.#resolve = resolve
    this.#reject = reject
  }

  data(chunk: Buffer): boolean {
    this.#bytes += chunk.length
    if (this.#bytes > this.#max) {
      this.#flow.cancel()
      this.#reject(tooLarge(this.#max))
      return false
    }
    this.#chunks.push(Buffer.from(chunk))
    return true
  }

  end(): void {
    this.#resolve(this.#chunks.length === 1 ? this.#chunks[0]! : Buffer.concat(this.#chunks, this.#bytes))
  }

  fail(error: WeirError): void {
    this.#reject(error)
  }
}

/** A body that plugins look at as it passes. Its length is unknown from here on, since a tap may change it. */
export function tapped(body: Body, tap: (chunk: Buffer) => Buffer | null): Body {
  if (body === null) return null
  if (Buffer.isBuffer(body)) return tap(body)
  return new Tapped(body, tap)
}

class Tapped extends Relay {
  readonly #tap: (chunk: Buffer) => Buffer | null

  constructor(source: Flow, tap: (chunk: Buffer) => Buffer | null) {
    super(source, -1)
    this.#tap = tap
  }

  override data(chunk: Buffer): boolean {
    let seen: Buffer | null
    try {
      seen = this.#tap(chunk)
    } catch (error) {
      this.break(error instanceof WeirError ? error : new WeirError('PLUGIN_FAILED', undefined, { cause: error }))
      return false
    }
    return seen === null || seen.length === 0 || super.data(seen)
  }
}
