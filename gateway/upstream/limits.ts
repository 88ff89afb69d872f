/** What is sent to one HTTP backend at the same time, and what is not sent because it refuses much. Nothing of it exists where it is not configured. */
import type { BackendLimits, HttpBackendConfig, ThrottleConfig } from '../../config/config.ts'
import type { Clock } from '../clock.ts'
import { WeirError } from '../errors.ts'
import { Limiter, Refused } from '../limiter.ts'
import type { Handles } from '../metrics.ts'
import { Throttle } from '../stats/throttle.ts'
import type { backendMetrics } from '../vital.ts'
import type { Transmit, Transmitter } from './transport.ts'

export interface LimitsDeps {
  readonly clock: Clock
  readonly metrics: Handles<typeof backendMetrics>
  readonly random: () => number
}

/** @returns the backend itself when its config has neither `limits` nor `throttle` */
export function limited(backend: Transmitter, deps: LimitsDeps): Transmitter {
  const { limits, throttle } = backend.config
  if (limits === null && throttle === null) return backend
  const sent = throttle === null ? backend.send : throttled(backend.send, backend.config, throttle, deps)
  const limiter = limits === null ? null : limiterOf(backend.config, limits, deps)
  return {
    name: backend.name,
    kind: backend.kind,
    config: backend.config,
    send: limiter === null ? sent : placed(sent, limiter, deps.clock),
    ...(backend.available !== undefined && { available: () => backend.available!() }),
    state: () => backend.state(),
    close() {
      limiter?.close()
      backend.close()
    },
  }
}

function limiterOf({ name: backend }: HttpBackendConfig, limits: BackendLimits, { clock, metrics }: LimitsDeps): Limiter {
  const refused = (reason: 'queue_full' | 'queue_wait') => metrics.weir_backend_refused_total({ backend, reason })
  const cells = { queued: metrics.weir_backend_queued({ backend }), limit: metrics.weir_backend_limit({ backend }), full: refused('queue_full'), late: refused('queue_wait') }
  return new Limiter(limits, 'the backend', cells, () => clock.now())
}

function placed(next: Transmit, limiter: Limiter, clock: Clock): Transmit {
  const after = (ms: number, run: () => void) => clock.after(ms, run)
  return function placed(x, leg) {
    const answer = limiter.run(x, leg, next, after)
    return answer instanceof Promise ? answer : Promise.resolve(answer)
  }
}

/** Stands behind the queue: a request is counted when it would be attempted. */
function throttled(next: Transmit, { name: backend }: HttpBackendConfig, { multiplier, window_ms }: ThrottleConfig, { clock, metrics, random }: LimitsDeps): Transmit {
  const throttle = new Throttle(multiplier, window_ms, clock.now())
  const shed = metrics.weir_backend_refused_total({ backend, reason: 'throttled' })
  return async function throttled(x, leg) {
    if (!throttle.admits(clock.now(), random())) {
      shed.add()
      throw new Refused('the backend has refused so much that only a part of the requests is sent to it')
    }
    try {
      const answer = await next(x, leg)
      if (answer.status === 429 || answer.status === 503) throttle.refused(clock.now())
      return answer
    } catch (error) {
      if (refusedThere(error)) throttle.refused(clock.now())
      throw error
    }
  }
}

/** No answer, for a reason that is the backend's. */
function refusedThere(error: unknown): boolean {
  if (!(error instanceof WeirError)) return false
  const { reason } = error
  return reason === 'connect' || reason === 'timeout' || reason === 'reset' || reason === 'overload'
}
