/**
 * Questions of weir's own beside the traffic: with an exchange and a leg that no caller waits for. No plugin of the route sees them, nor its
 * counters and the access log; the backend counts them like any request, since it has to answer them.
 */
import { WeirError } from './errors.ts'
import { type Answer, type Backend, type Caller, Exchange, Leg } from './exchange.ts'
import { hold } from './hold.ts'
import type { Columns } from './payload/columns.ts'

const NOBODY: Caller = { address: '', port: 0, tls: false, inform: () => undefined }

export class Aside {
  readonly #backend: Backend
  readonly #most: number
  readonly #legs = new Set<Leg>()

  /** @param most questions under way; how long each may take is the backend's own limit */
  constructor(backend: Backend, most: number) {
    this.#backend = backend
    this.#most = most
  }

  /** False while no more may be under way, or asking the backend makes no sense: then it is left. */
  get free(): boolean {
    return this.#legs.size < this.#most && this.#backend.available?.() !== false
  }

  /**
   * Asks at the target of `x` and in the format of its route, with these columns. Host and request id go along, the caller's other fields do not.
   * @returns the answer, decoded @throws WeirError, also for an answer that is none
   */
  async ask(x: Exchange, columns: Columns): Promise<Columns> {
    const leg = new Leg(this.#backend)
    this.#legs.add(leg)
    try {
      const own = ownExchange(x, columns, leg)
      const answer = await hold(await this.#backend.send(own, leg), leg, x.route.maxBodyBytes)
      if (leg.cancelled !== null) throw leg.cancelled
      return own.readAnswer(usable(answer))
    } finally {
      this.#legs.delete(leg)
    }
  }

  /** Stops what is under way: it rejects with `DRAINING`. */
  close(): void {
    for (const leg of this.#legs) leg.cancel(new WeirError('DRAINING'))
  }
}

function ownExchange(x: Exchange, columns: Columns, leg: Leg): Exchange {
  const { name, format, maxBodyBytes } = x.route
  const host = x.fields.get('host')
  const own = new Exchange({
    method: 'POST', target: x.target, headers: [...(host === undefined ? [] : ['host', host]), 'x-request-id', x.requestId], body: null, caller: NOBODY,
    route: { name, format, maxBodyBytes, aside: true }, minor: 1, upgrade: '', requestId: x.requestId, inferenceId: x.inferenceId, started: x.started, leg, slots: 0,
  })
  own.input = columns
  return own
}

/** @throws WeirError `INVALID_ANSWER` */
function usable(answer: Answer): Answer {
  const { body, status, tunnel } = answer
  if (status >= 200 && status <= 299 && tunnel === null && Buffer.isBuffer(body)) return answer
  if (body !== null && !Buffer.isBuffer(body)) body.cancel()
  tunnel?.cancel()
  throw new WeirError('INVALID_ANSWER', `expected a whole answer with status 2xx, found status ${status}`)
}
