/** A log that cannot flood: a plugin may complain about every exchange, the log hears a few lines a second and how many were left out. */
import type { Clock } from '../clock.ts'
import type { Log } from '../plugin.ts'

const LINES_A_SECOND = 10

/** `fields` are put on every line. `debug` counts like the others. */
export function quietly(log: Log, fields: Readonly<Record<string, unknown>>, clock: Clock): Log {
  let second = -1
  let lines = 0
  let suppressed = 0

  /** Undefined when this line is one too many, else the fields it gets. */
  function admit(own: Readonly<Record<string, unknown>> | undefined): Readonly<Record<string, unknown>> | undefined {
    const now = Math.floor(clock.now() / 1000)
    if (now !== second) {
      second = now
      lines = 0
    }
    if (++lines > LINES_A_SECOND) {
      suppressed++
      return undefined
    }
    const admitted = suppressed === 0 ? { ...fields, ...own } : { ...fields, ...own, suppressed }
    suppressed = 0
    return admitted
  }

  const level = (name: keyof Log) => (message: string, own?: Readonly<Record<string, unknown>>) => {
    const admitted = admit(own)
    if (admitted !== undefined) log[name](message, admitted)
  }
  return { debug: level('debug'), info: level('info'), warn: level('warn'), error: level('error') }
}
