/** The alarms of monitors: told in the log, counted, and the last ones kept for whoever asks the admin listener. */
import type { Alarm } from '../alarm.ts'
import type { Handles } from '../metrics.ts'
import type { Log } from '../plugin.ts'
import type { alarmMetrics } from '../vital.ts'

/** As many as somebody who is paged would read. */
export const MAX_KEPT = 200

export interface Raised extends Alarm {
  readonly route: string
  readonly plugin: string
}

export class Alarms {
  readonly #log: Log
  readonly #metrics: Handles<typeof alarmMetrics>
  /** The newest last. */
  readonly #kept: Raised[] = []

  constructor(log: Log, metrics: Handles<typeof alarmMetrics>) {
    this.#log = log
    this.#metrics = metrics
  }

  readonly raise = (route: string, plugin: string, alarm: Alarm): void => {
    this.#metrics.weir_alarms_total({ route, kind: alarm.kind }).add()
    this.#log.warn(alarm.reason, { alarm: alarm.kind, route, plugin, feature: alarm.feature, statistic: alarm.statistic, score: alarm.score, threshold: alarm.threshold })
    if (this.#kept.length === MAX_KEPT) this.#kept.shift()
    this.#kept.push({ ...alarm, route, plugin })
  }

  get recent(): readonly Raised[] {
    return [...this.#kept]
  }
}
