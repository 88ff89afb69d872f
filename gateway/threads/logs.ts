/** The logs of one thread: weir's own to stderr, the access log where the config says. Threads share the files and pipes, each writes whole lines. */
import { isatty } from 'node:tty'
import type { AccessLogConfig } from '../../config/config.ts'
import type { Clock } from '../clock.ts'
import type { Registry } from '../metrics.ts'
import { accessLog, type ExchangeRecord } from '../telemetry/access.ts'
import { fileDestination, stderrDestination, stdoutDestination } from '../telemetry/destination.ts'
import { createLog, type RootLog } from '../telemetry/log.ts'
import { type LineWriter, lineWriter } from '../telemetry/writer.ts'
import { telemetryMetrics } from '../vital.ts'

export interface Logs {
  readonly log: RootLog
  /** What writes a line for an exchange, or null when there is no access log. Opens it once. @throws when the file cannot be opened */
  access(config: AccessLogConfig): ((record: ExchangeRecord) => void) | null
  /** Writes what waits. */
  close(): Promise<void>
}

export function startLogs(clock: Clock, registry: Registry): Logs {
  const dropped = registry.handles(telemetryMetrics).weir_log_lines_dropped_total
  const own = lineWriter({ destination: stderrDestination(), clock, dropped: dropped({ log: 'weir' }) })
  const log = createLog({ level: 'info', form: isatty(2) ? 'readable' : 'json', sink: own, clock })
  let lines: LineWriter | null = null
  let write: ((record: ExchangeRecord) => void) | null = null

  function open(to: Exclude<AccessLogConfig['to'], 'off'>): LineWriter {
    const destination = to === 'stdout' ? stdoutDestination() : fileDestination(to.file)
    const failed = (error: Error): void => log.error('the access log cannot be written', { error: error.message })
    return lineWriter({ destination, clock, dropped: dropped({ log: 'access' }), failed })
  }

  return {
    log,
    access({ to }) {
      if (to === 'off') return null
      lines ??= open(to)
      return (write ??= accessLog(lines, clock))
    },
    async close() {
      await lines?.close()
      await own.close()
    },
  }
}
