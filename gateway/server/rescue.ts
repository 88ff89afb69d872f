/** From whatever was thrown to the answer a caller gets: one place. */
import { WeirError } from '../errors.ts'
import { type Answer, problem } from '../exchange.ts'
import type { Log } from '../plugin.ts'

/** Anything but a `WeirError` is a fault of weir's own: the caller hears only that, the log hears all. */
export function asWeirError(error: unknown): WeirError {
  return error instanceof WeirError ? error : new WeirError('INTERNAL', undefined, { cause: error })
}

export function rescue(error: WeirError, requestId: string, log: Log): Answer {
  if (error.code === 'INTERNAL') log.error('weir failed', { request_id: requestId, error: describe(error.cause ?? error) })
  else if (error.cause !== undefined) log.debug(error.message, { request_id: requestId, code: error.code, cause: describe(error.cause) })
  return problem(error, requestId)
}

function describe(cause: unknown): string {
  return cause instanceof Error ? (cause.stack ?? cause.message) : String(cause)
}
