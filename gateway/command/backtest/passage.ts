/** The way of one exchange through a route without sockets: what `server/forward.ts` does, to an answer that nobody waits for. */
import { randomUUID } from 'node:crypto'
import { type Clock, systemClock } from '../../clock.ts'
import { WeirError } from '../../errors.ts'
import { type Answer, type Caller, Exchange, Leg } from '../../exchange.ts'
import { runDone, runFinish, runRequest, runRequestBody, runResponse, runResponseBody, tapChunks } from '../../pipeline/run.ts'
import type { CompiledRoute } from '../../pipeline/route.ts'
import type { Log } from '../../plugin.ts'
import { gather, tapped } from '../../server/buffer.ts'
import { finishing } from '../../server/finish.ts'
import { asWeirError, rescue } from '../../server/rescue.ts'
import { requestIdFrom } from '../../telemetry/request_id.ts'
import type { FileClock } from './clock.ts'
import type { Logged } from './event.ts'

/** Work that has not ended after so many turns of the event loop and this long waits for a timer, real milliseconds. A busy machine stops a process longer. */
const IDLE_TURNS = 1000
const IDLE_MS = 50
/** And after this long for something that will not come, milliseconds of the file. */
const LONGEST_MS = 600_000
/** Nothing takes so long in this process, real milliseconds. */
const GIVEN_UP_MS = 60_000
const CALLER: Caller = { address: '127.0.0.1', port: 0, tls: false, trusted: false, inform: () => undefined }

export interface Asked extends Logged {
  readonly id: string
  readonly inferenceId: string
  /** What it took then. */
  readonly duration_ms: number
}

export class Passages {
  readonly #clock: FileClock
  readonly #log: Log
  readonly #real: Clock

  constructor(clock: FileClock, log: Log, real: Clock = systemClock) {
    this.#clock = clock
    this.#log = log
    this.#real = real
  }

  /** @returns after `done`; its answer is whole */
  async pass(route: CompiledRoute, asked: Asked): Promise<Exchange> {
    const x = this.#exchange(route, asked)
    await this.#settled(x, this.#pass(route, x))
    return x
  }

  #exchange(route: CompiledRoute, { method, target, headers, body, id, inferenceId, duration_ms }: Asked): Exchange {
    const requestId = requestIdFrom(id === '' ? undefined : id, randomUUID)
    const leg = new Leg(route.backend)
    return new Exchange({
      method, target, headers: ['host', 'backtest', 'x-request-id', requestId, ...headers], body, caller: CALLER, route, minor: 1, upgrade: '', requestId, inferenceId,
      started: this.#clock.now() - duration_ms, leg, slots: route.slots,
    })
  }

  /** What waits for a timer gets it: the file has no time of its own for that. */
  async #settled(x: Exchange, work: Promise<void>): Promise<void> {
    let over = false
    work.then(() => (over = true), () => (over = true))
    await turn()
    if (over) return work
    const until = this.#clock.wall() + LONGEST_MS
    const started = this.#real.now()
    for (let [began, turns] = [started, 0]; !over; await turn()) {
      const now = this.#real.now()
      if (++turns < IDLE_TURNS || now - began < IDLE_MS) continue
      began = now
      turns = 0
      if (this.#clock.moveOn(until)) continue
      x.leg.cancel(new WeirError('DEADLINE_EXCEEDED'))
      if (now - started > GIVEN_UP_MS) throw new Error(`an exchange of route "${x.route.name}" never ends: a plugin waits for something that is neither a timer nor a model`)
    }
    return work
  }

  async #pass(route: CompiledRoute, x: Exchange): Promise<void> {
    try {
      x.answer = await this.#answer(route, x)
      x.phase = 'response'
      await runResponse(route, x)
      if (route.responseBody !== null && x.answer.body !== null) {
        x.answer.body = await gather(x.answer.body, route.maxBodyBytes)
        await runResponseBody(route, x)
      }
      x.status = x.answer.status
      const tap = route.responseChunk === null ? null : tapChunks(route, x)
      const seen = tap === null ? x.answer.body : tapped(x.answer.body, tap)
      x.answer.body = await gather(finishing(seen, () => runFinish(route, x)), Infinity)
      x.phase = 'done'
    } catch (error) {
      x.error ??= asWeirError(error)
      x.answer = rescue(asWeirError(error), x.requestId, this.#log)
      x.status = x.answer.status
    } finally {
      runDone(route, x)
    }
  }

  async #answer(route: CompiledRoute, x: Exchange): Promise<Answer> {
    try {
      x.phase = 'request'
      const verdict = (await runRequest(route, x)) ?? (await runRequestBody(route, x))
      if (verdict !== null) return verdict
      x.phase = 'backend'
      return await route.send(x, x.leg)
    } catch (error) {
      const cause = asWeirError(error)
      x.error ??= cause
      return rescue(cause, x.requestId, this.#log)
    }
  }
}

/** Models run between two turns of the event loop. */
function turn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve))
}
