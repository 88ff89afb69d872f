/**
 * The one table of everything weir itself can answer: code, status, what it means, what to do.
 * A code is never reused for another meaning. `reason` is the word `fallback.on` and the metrics use.
 */

/** Why an attempt failed: the closed vocabulary of `fallback.on`, metrics and the access log. */
export type Reason = 'timeout' | 'connect' | 'reset' | 'ejected' | 'overload' | 'invalid' | 'no_coverage' | 'schema' | 'aborted' | 'local'

interface Entry {
  readonly status: number
  readonly reason: Reason
  readonly meaning: string
  readonly help: string
}

const entry = (status: number, reason: Reason, meaning: string, help: string): Entry => ({ status, reason, meaning, help })

export const codes = {
  // What the caller sent cannot be a request weir forwards.
  BAD_REQUEST_LINE: entry(400, 'local', 'The request line is malformed.', 'Send `METHOD target HTTP/1.1` with single spaces.'),
  BAD_TARGET: entry(400, 'local', 'The request target is malformed or ambiguous.', 'Percent-encode the target; send no fragment, backslash or raw non-ASCII byte.'),
  BAD_HEADER: entry(400, 'local', 'A header field is malformed.', 'Send `name: value` lines without folding, control characters or spaces before the colon.'),
  BAD_HOST: entry(400, 'local', 'Exactly one valid Host is required.', 'Send one Host header with host[:port] and nothing else.'),
  BAD_FRAMING: entry(400, 'local', 'The length of the message is ambiguous.', 'Send either one decimal Content-Length or `Transfer-Encoding: chunked`.'),
  BAD_BODY: entry(400, 'local', 'The request body is not what its headers say.', 'Check chunk sizes, the content type and the format of the route.'),
  BAD_UPGRADE: entry(400, 'local', 'The upgrade is not one weir forwards.', 'Only WebSocket (RFC 6455) over GET without a body is tunnelled; h2c is refused.'),
  FORBIDDEN: entry(403, 'local', 'Callers may not do this here.', 'The message names the option that lets them.'),
  NO_ROUTE: entry(404, 'local', 'No route matches this request.', 'See `weir explain FILE METHOD PATH`.'),
  METHOD_NOT_ALLOWED: entry(405, 'local', 'The path exists, the method does not.', 'Use one of the methods in the Allow header.'),
  REQUEST_TIMEOUT: entry(408, 'timeout', 'The request did not arrive in time.', 'See `timeouts` of the listener.'),
  BODY_TOO_LARGE: entry(413, 'local', 'The body is larger than this route buffers.', 'Raise `max_body_bytes` or send less.'),
  TARGET_TOO_LONG: entry(414, 'local', 'The request target is too long.', 'The limit is `limits.target`.'),
  UNSUPPORTED_MEDIA_TYPE: entry(415, 'local', 'The body is of a type or in a content coding that is not read here.', 'Send the content type of the route\'s format, as it is or in gzip or deflate.'),
  EXPECTATION_FAILED: entry(417, 'local', 'The expectation is unknown.', 'Only `Expect: 100-continue` is supported.'),
  RATE_LIMITED: entry(429, 'overload', 'Too many requests.', 'Retry after the time in Retry-After.'),
  HEAD_TOO_LARGE: entry(431, 'local', 'The header section is too large.', 'The limits are `limits.head` and `limits.fields`.'),
  METHOD_NOT_SUPPORTED: entry(501, 'local', 'weir does not forward this method.', 'CONNECT and TRACE are not proxied.'),
  NOT_IMPLEMENTED: entry(501, 'local', 'weir does not do this.', 'The message says what it does instead.'),
  UNSUPPORTED_CODING: entry(501, 'local', 'The transfer coding is not supported.', 'Only `chunked` is.'),
  HTTP_VERSION: entry(505, 'local', 'The HTTP version is not supported.', 'Speak HTTP/1.1; HTTP/2 and gRPC are not supported yet.'),
  LOOP: entry(508, 'local', 'The request has already passed through this gateway.', 'A backend points back at weir.'),
  // The caller left.
  CALLER_LEFT: entry(499, 'aborted', 'The caller closed the connection before the answer was complete.', 'Nothing to do here.'),
  // Something between weir and the backend.
  CONNECT_FAILED: entry(503, 'connect', 'No connection to the backend could be made.', 'Check that the backend listens where the config says.'),
  DNS_FAILED: entry(503, 'connect', 'The name of the backend could not be resolved.', 'Check the host name in the backend url.'),
  TLS_FAILED: entry(503, 'connect', 'The TLS handshake with the backend failed.', 'Check its certificate, the CA and the server name.'),
  NO_ENDPOINT: entry(503, 'ejected', 'No endpoint of the backend is available.', 'See /backends on the admin listener.'),
  OVERLOADED: entry(503, 'overload', 'The gateway or the backend is at its limit.', 'Retry after the time in Retry-After.'),
  DRAINING: entry(503, 'overload', 'The gateway is stopping.', 'Retry; another instance will answer.'),
  RESET: entry(502, 'reset', 'The backend closed the connection before a whole answer.', 'See the log of the backend.'),
  BAD_ANSWER: entry(502, 'invalid', 'The backend sent something that is not a valid HTTP answer.', 'See the log line for what was wrong.'),
  INVALID_ANSWER: entry(502, 'invalid', 'The answer of the backend does not hold what the format promises.', 'See the log line for what was wrong.'),
  CONNECT_TIMEOUT: entry(504, 'timeout', 'The backend did not accept the connection in time.', 'See `connect` of the backend or of the timeout plugin.'),
  HEADERS_TIMEOUT: entry(504, 'timeout', 'The backend did not begin to answer in time.', 'See `response_headers`.'),
  FIRST_BYTE_TIMEOUT: entry(504, 'timeout', 'The backend sent a head but no body in time.', 'See `first_byte`.'),
  FIRST_TOKEN_TIMEOUT: entry(504, 'timeout', 'The backend streamed nothing of content in time.', 'See `first_token`.'),
  IDLE_TIMEOUT: entry(504, 'timeout', 'A body stopped in the middle.', 'See `idle`.'),
  TRY_TIMEOUT: entry(504, 'timeout', 'The attempt took too long.', 'See `per_try` of the timeout plugin.'),
  TOTAL_TIMEOUT: entry(504, 'timeout', 'The exchange took too long.', 'See `total` of the timeout plugin.'),
  DEADLINE_EXCEEDED: entry(504, 'timeout', 'The time that the caller gave is over.', 'Give more in the deadline header, or see what took so long.'),
  // Inside.
  MODEL_INPUT: entry(400, 'local', 'The input does not fit the model.', 'The message names the tensor, what was expected and what was found.'),
  MODEL_NOT_FOUND: entry(404, 'local', 'There is no such model or version.', 'See /v2/models.'),
  MODEL_NOT_READY: entry(503, 'ejected', 'The model is not ready.', 'See /models on the admin listener.'),
  MODEL_FAILED: entry(500, 'invalid', 'The model failed on this input.', 'Check the values; the session stays usable.'),
  SCHEMA: entry(422, 'schema', 'The input does not fit the schema of the route.', 'The message names the features, what was expected and what was found.'),
  NO_COVERAGE: entry(404, 'no_coverage', 'There is no precomputed answer for this key.', 'Add a fallback for `no_coverage`.'),
  PLUGIN_FAILED: entry(500, 'local', 'A plugin of this route failed.', 'See the log line; it names the plugin.'),
  INTERNAL: entry(500, 'local', 'weir itself failed.', 'Please report it with the log line.'),
} as const satisfies Record<string, Entry>

export type Code = keyof typeof codes

/** An error that has an answer. Anything else that is thrown becomes `INTERNAL` (or `PLUGIN_FAILED`) in `server/rescue.ts`. */
export class WeirError extends Error {
  readonly code: Code
  /** A hint for `retry-after`, seconds. */
  retryAfter: number | null = null

  /** @param detail safe to show to a caller: no path, no address, no inner message of a library */
  constructor(code: Code, detail?: string, options?: ErrorOptions) {
    super(detail ?? codes[code].meaning, options)
    this.name = 'WeirError'
    this.code = code
  }

  get status(): number {
    return codes[this.code].status
  }

  get reason(): Reason {
    return codes[this.code].reason
  }
}
