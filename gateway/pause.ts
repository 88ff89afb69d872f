/** Waiting on purpose, for as long as somebody still wants what comes after. */
import type { Leg, LegWatcher } from './exchange.ts'
import type { After } from './limiter.ts'

/** Resolves after `ms`. Rejects with the leg's cause when that is cancelled first; no timer is left then. */
export function paused(after: After, leg: Leg, ms: number): Promise<void> {
  return new Promise((resolve, reject) => {
    const timer = after(ms, () => {
      leg.unwatch(watcher)
      resolve()
    })
    const watcher: LegWatcher = {
      legCancelled(cause) {
        timer.cancel()
        reject(cause)
      },
    }
    leg.watch(watcher)
  })
}
