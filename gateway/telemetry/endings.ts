/**
 * How an exchange ended, for the access log: Envoy's response flag of every error code, and who ended it.
 *
 * Flags as in Envoy's access log documentation ("%RESPONSE_FLAGS%"): NR no route, DPE downstream protocol error, RL rate limited,
 * DC downstream connection gone, UF upstream connect failure, DF DNS failure, UH no healthy upstream, UO overflow, LR local reset,
 * UC upstream connection terminated (weir does not tell a FIN from a RST, Envoy's UR), UPE upstream protocol error, UT upstream
 * timeout, SI stream idle timeout, NC no such cluster. '' where Envoy has none.
 */
import type { Code } from '../errors.ts'

export type EndedBy = 'caller' | 'weir' | 'backend'

interface Ending {
  readonly flag: string
  /** The side whose doing it was; for a timeout weir, who cut. */
  readonly by: EndedBy
}

const ending = (flag: string, by: EndedBy): Ending => ({ flag, by })

export const endings: Readonly<Record<Code, Ending>> = {
  BAD_REQUEST_LINE: ending('DPE', 'weir'),
  BAD_TARGET: ending('DPE', 'weir'),
  BAD_HEADER: ending('DPE', 'weir'),
  BAD_HOST: ending('DPE', 'weir'),
  BAD_FRAMING: ending('DPE', 'weir'),
  BAD_BODY: ending('DPE', 'weir'),
  BAD_UPGRADE: ending('DPE', 'weir'),
  FORBIDDEN: ending('', 'weir'),
  NO_ROUTE: ending('NR', 'weir'),
  METHOD_NOT_ALLOWED: ending('NR', 'weir'),
  REQUEST_TIMEOUT: ending('SI', 'weir'),
  BODY_TOO_LARGE: ending('', 'weir'),
  TARGET_TOO_LONG: ending('DPE', 'weir'),
  UNSUPPORTED_MEDIA_TYPE: ending('', 'weir'),
  EXPECTATION_FAILED: ending('DPE', 'weir'),
  RATE_LIMITED: ending('RL', 'weir'),
  HEAD_TOO_LARGE: ending('DPE', 'weir'),
  METHOD_NOT_SUPPORTED: ending('DPE', 'weir'),
  NOT_IMPLEMENTED: ending('', 'weir'),
  UNSUPPORTED_CODING: ending('DPE', 'weir'),
  HTTP_VERSION: ending('DPE', 'weir'),
  LOOP: ending('', 'weir'),
  CALLER_LEFT: ending('DC', 'caller'),
  CONNECT_FAILED: ending('UF', 'backend'),
  DNS_FAILED: ending('DF', 'backend'),
  TLS_FAILED: ending('UF', 'backend'),
  NO_ENDPOINT: ending('UH', 'weir'),
  OVERLOADED: ending('UO', 'weir'),
  DRAINING: ending('LR', 'weir'),
  RESET: ending('UC', 'backend'),
  BAD_ANSWER: ending('UPE', 'backend'),
  INVALID_ANSWER: ending('UPE', 'backend'),
  CONNECT_TIMEOUT: ending('UF', 'weir'),
  HEADERS_TIMEOUT: ending('UT', 'weir'),
  FIRST_BYTE_TIMEOUT: ending('UT', 'weir'),
  FIRST_TOKEN_TIMEOUT: ending('UT', 'weir'),
  IDLE_TIMEOUT: ending('SI', 'weir'),
  TRY_TIMEOUT: ending('UT', 'weir'),
  TOTAL_TIMEOUT: ending('UT', 'weir'),
  DEADLINE_EXCEEDED: ending('UT', 'weir'),
  MODEL_INPUT: ending('', 'weir'),
  MODEL_NOT_FOUND: ending('NC', 'weir'),
  MODEL_NOT_READY: ending('UH', 'weir'),
  MODEL_FAILED: ending('', 'backend'),
  SCHEMA: ending('', 'weir'),
  NO_COVERAGE: ending('', 'backend'),
  PLUGIN_FAILED: ending('LR', 'weir'),
  INTERNAL: ending('LR', 'weir'),
}

/**
 * Envoy's flags of what plugins and the overload of weir itself mark: URX retries were used up, OM shed by the overload manager.
 * DI and FI (a fault was injected) are marks by themselves.
 */
export const MARK_FLAGS: Readonly<Record<string, string>> = { 'retry:exhausted': 'URX', shed: 'OM' }

/** Who ended an exchange: without an error whoever answered. @param backend name of the backend whose answer it is, '' for weir's own */
export function endedBy(code: Code | null, backend: string): EndedBy {
  if (code !== null) return endings[code].by
  return backend === '' ? 'weir' : 'backend'
}
