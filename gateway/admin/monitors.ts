/** What monitors tell, put together for the admin listener: the alarms of all threads, and the states of one plugin in all routes. */
import type { Raised } from '../telemetry/alarms.ts'
import type { StateReport, ThreadError, ThreadReport } from './control.ts'

export interface AlarmLine extends Omit<Raised, 'time'> {
  /** End of the window, ISO 8601. */
  readonly time: string
}

/** @returns the newest first, and the threads that did not answer */
export function newestAlarms(reports: readonly ThreadReport<readonly Raised[]>[]): { readonly alarms: AlarmLine[]; readonly errors: ThreadError[] } {
  const errors = reports.filter((report): report is ThreadError => 'error' in report)
  // Of one moment the last that was raised comes first, as of several.
  const raised = reports.flatMap((report) => ('error' in report ? [] : report.value.toReversed()))
  const alarms = raised.toSorted((a, b) => b.time - a.time).map(({ time, route, plugin, ...alarm }) => ({ time: new Date(time).toISOString(), route, plugin, ...alarm }))
  return { alarms, errors }
}

interface States {
  readonly states: readonly Omit<StateReport, 'errors'>[]
  readonly errors: readonly (ThreadError & { readonly route: string; readonly plugin: string })[]
  /** There is something to show. */
  readonly some: boolean
}

export function statesOf(reports: readonly StateReport[]): States {
  return {
    states: reports.map(({ route, plugin, state }) => ({ route, plugin, state })),
    errors: reports.flatMap(({ route, plugin, errors }) => errors.map((error) => ({ route, plugin, ...error }))),
    some: reports.some(({ state }) => state !== null),
  }
}
