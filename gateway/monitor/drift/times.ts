/**
 * How time is cut. A window is 12 stretches (sub-windows); a season is a whole number of windows, and of chunks: at most 24 of them, each a
 * whole number of stretches. All begin at whole multiples of their length since 1970 (UTC), the same on every gateway.
 */
import { WEEK_MS } from '../budget.ts'

export const STRETCHES = 12
const MAX_CHUNKS = 24
/** Seasons that are remembered in groups: a week of days. */
export const SEASONS = 7

export interface Times {
  /** Milliseconds each. */
  readonly stretch: number
  readonly window: number
  readonly chunk: number
  readonly season: number
  /** Stretches of a chunk, chunks of a season. */
  readonly stretches: number
  readonly chunks: number
  /** The season is judged when so many chunks have ended. */
  readonly every: number
  /** How long after its end a stretch is summed: threads may still be writing to it. */
  readonly grace: number
}

/** @returns a complaint when they do not fit */
export function complaintOf(window: number, season: number): string | undefined {
  if (window < 60_000) return '`window` must be at least 1m'
  if (window > season) return '`window` must not be longer than `season`'
  if (season > WEEK_MS) return '`season` must be at most 7d'
  if (season % window !== 0) return '`season` must be a whole number of windows: use for a day 1m, 5m, 10m, 15m, 30m, 1h, 6h, 12h or 1d'
  return window % STRETCHES === 0 ? undefined : '`window` must be a whole number of milliseconds times 12'
}

export function timesOf(window: number, season: number): Times {
  const stretch = window / STRETCHES
  const whole = season / stretch
  let chunks = MAX_CHUNKS
  while (whole % chunks !== 0) chunks--
  const chunk = season / chunks
  return { stretch, window, chunk, season, stretches: whole / chunks, chunks, every: Math.max(1, Math.ceil(window / chunk)), grace: Math.min(2_000, stretch / 4) }
}
