/** Times of spans: the monotonic clock says how long, the wall clock of the first moment says when. */
import type { HrTime } from '@opentelemetry/api'
import type { Clock } from '../../clock.ts'

/** Turns `clock.now()` into Unix time. One for each trace, so that a wall clock that is set meanwhile does not tear its spans apart. */
export function epoch(clock: Clock): (now: number) => HrTime {
  const offset = clock.wall() - clock.now()
  return (now) => {
    const ms = now + offset
    const seconds = Math.floor(ms / 1000)
    return [seconds, Math.round((ms - seconds * 1000) * 1e6)]
  }
}
