/** One line on a terminal that says how far a long command is: share, rows, speed, time left. Nothing where stderr is no terminal. */
import type { Clock } from '../clock.ts'
import { systemClock } from '../clock.ts'
import type { Progress } from '../profile/read/table.ts'
import type { Terminal } from './run.ts'

const EVERY_MS = 200
const WIDTH = 24
const CLEAR = '\r\u001b[2K'

export interface ProgressBar {
  tick(): void
  /** Takes the line away. */
  end(): void
}

export function progressBar(progress: Progress, terminal: Pick<Terminal, 'error' | 'interactive'>, clock: Clock = systemClock): ProgressBar {
  if (terminal.interactive !== true) return { tick: () => undefined, end: () => undefined }
  const started = clock.now()
  let shown = -Infinity

  function tick(): void {
    const now = clock.now()
    if (now - shown < EVERY_MS) return
    shown = now
    terminal.error(CLEAR + progressLine(progress, now - started))
  }
  return { tick, end: () => terminal.error(CLEAR) }
}

/** @param elapsed_ms since the beginning */
export function progressLine({ read, bytes, rows }: Progress, elapsed_ms: number): string {
  const share = bytes === 0 ? 1 : Math.min(1, read / bytes)
  const full = Math.round(share * WIDTH)
  const seconds = Math.max(elapsed_ms, 1) / 1000
  const left = share > 0 ? (seconds * (1 - share)) / share : 0
  return `${'█'.repeat(full)}${'░'.repeat(WIDTH - full)} ${Math.floor(100 * share)} % · ${rows.toLocaleString('en-US')} rows · ${(read / seconds / 1e6).toFixed(0)} MB/s · ${span(left)} left`
}

function span(seconds: number): string {
  const whole = Math.ceil(seconds)
  return whole < 60 ? `${whole} s` : `${Math.floor(whole / 60)} min ${whole % 60} s`
}
