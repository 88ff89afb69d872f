/** Which header fields the wire itself cares about, and the character classes of RFC 9110 §5.6.2 and RFC 3986. */

/** tchar of RFC 9110 §5.6.2. */
export const TOKEN = table("!#$%&'*+-.^_`|~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz")
/** What a request target may hold: visible ASCII without `#` (fragment) and `\` (read as `/` by some). */
export const TARGET = table(visible().replace('#', '').replace('\\', ''))
/** field-vchar, SP, HTAB and obs-text (RFC 9110 §5.5): everything but controls and DEL. */
export const VALUE = valueTable()
/** Host characters: unreserved, sub-delims without the comma, percent, brackets and colon (RFC 3986 §3.2.2). */
export const HOST = table("-._~!$&'()*+;=%:[]0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz")

function visible(): string {
  let all = ''
  for (let code = 0x21; code < 0x7f; code++) all += String.fromCharCode(code)
  return all
}

function table(members: string): Uint8Array {
  const set = new Uint8Array(256)
  for (let i = 0; i < members.length; i++) set[members.charCodeAt(i)] = 1
  return set
}

function valueTable(): Uint8Array {
  const set = new Uint8Array(256).fill(1, 0x20)
  set[0x7f] = 0
  set[0x09] = 1
  return set
}

/** What the wire does with a field. `plain` goes through. */
export const Kind = {
  plain: 0,
  /** Framing, Host and what steers the connection. */
  content_length: 1,
  transfer_encoding: 2,
  host: 3,
  connection: 4,
  expect: 5,
  upgrade: 6,
  te: 7,
  keep_alive: 8,
  /** Belongs to one connection: dropped. */
  hop: 9,
  /** Says who forwarded: dropped unless the peer is trusted. */
  forwarded: 10,
  request_id: 11,
  via: 12,
  /** An underscore twin of a name above: refused, since some servers read both as one. */
  twin: 13,
  date: 14,
  /** `x-weir-*`. */
  own: 15,
  /** Says how much time there is: believed of trusted callers alone. */
  deadline: 16,
} as const

const KINDS = new Map<string, number>([
  ['content-length', Kind.content_length],
  ['transfer-encoding', Kind.transfer_encoding],
  ['host', Kind.host],
  ['connection', Kind.connection],
  ['expect', Kind.expect],
  ['upgrade', Kind.upgrade],
  ['te', Kind.te],
  ['keep-alive', Kind.keep_alive],
  ['proxy-connection', Kind.hop],
  ['proxy-authenticate', Kind.hop],
  ['proxy-authorization', Kind.hop],
  ['trailer', Kind.hop],
  ['http2-settings', Kind.hop],
  ['x-forwarded-for', Kind.forwarded],
  ['x-forwarded-proto', Kind.forwarded],
  ['x-forwarded-host', Kind.forwarded],
  ['x-forwarded-port', Kind.forwarded],
  ['x-forwarded-prefix', Kind.forwarded],
  ['x-forwarded-scheme', Kind.forwarded],
  ['x-forwarded-ssl', Kind.forwarded],
  ['x-real-ip', Kind.forwarded],
  ['x-original-url', Kind.forwarded],
  ['x-rewrite-url', Kind.forwarded],
  ['forwarded', Kind.forwarded],
  ['x-request-id', Kind.request_id],
  ['via', Kind.via],
  ['date', Kind.date],
  ['x-request-timeout-ms', Kind.deadline],
  ['grpc-timeout', Kind.deadline],
  ['x-envoy-upstream-rq-timeout-ms', Kind.deadline],
  ['x-envoy-expected-rq-timeout-ms', Kind.deadline],
])

/** Which pairs of length and first letter the names above have: one look spares the map for nearly every other field. */
const PAIRS = new Uint8Array(32 * 64)
for (const name of KINDS.keys()) PAIRS[pairOf(name.charCodeAt(0), name.length)] = 1
const OWN = 'x-weir-'
for (let length = OWN.length + 1; length < 64; length++) PAIRS[pairOf(OWN.charCodeAt(0), length)] = 1

function pairOf(first: number, length: number): number {
  return ((length & 63) << 5) | (first & 31)
}

export function kindOf(name: string): number {
  return kindAt(name, 0, name.length)
}

/** Kind of the field whose name is `text[from, to)`. */
export function kindAt(text: string, from: number, to: number): number {
  return PAIRS[pairOf(text.charCodeAt(from), to - from)] === 0 ? Kind.plain : look(text.slice(from, to))
}

function look(name: string): number {
  const lower = name.toLowerCase()
  const kind = KINDS.get(lower)
  if (kind !== undefined) return kind
  if (lower.startsWith(OWN)) return Kind.own
  return lower.includes('_') && KINDS.has(lower.replaceAll('_', '-')) ? Kind.twin : Kind.plain
}

/**
 * Names that a `Connection` field cannot make hop-by-hop: taking away what identifies, frames or secures a request is an attack
 * (CVE-2024-45410), not hygiene.
 */
const PROTECTED = new Set([
  'host', 'content-length', 'content-type', 'content-encoding', 'cookie', 'set-cookie', 'authorization', 'via', 'x-request-id', 'forwarded',
  'x-forwarded-for', 'x-forwarded-proto', 'x-forwarded-host', 'x-forwarded-port', 'x-real-ip', 'cache-control', 'date', 'traceparent', 'tracestate',
])

/** Removes from `headers` what the `Connection` value names. */
export function dropNamed(headers: string[], connection: string): void {
  const named = new Set<string>()
  for (const part of connection.split(',')) {
    const token = part.trim().toLowerCase()
    if (token !== '' && !PROTECTED.has(token)) named.add(token)
  }
  let kept = 0
  for (let i = 0; i < headers.length; i += 2) {
    if (named.has(headers[i]!.toLowerCase())) continue
    headers[kept] = headers[i]!
    headers[kept + 1] = headers[i + 1]!
    kept += 2
  }
  headers.length = kept
}

/** True if a comma-separated list holds `token` (lower case). */
export function listHas(list: string, token: string): boolean {
  if (list.length === token.length) return list.toLowerCase() === token
  for (const part of list.split(',')) if (part.trim().toLowerCase() === token) return true
  return false
}

/** Trailer fields that must not travel behind a body (RFC 9110 §6.5.1): framing, routing, authentication, control. */
const NO_TRAILERS = new Set([
  'host', 'content-length', 'transfer-encoding', 'content-encoding', 'content-type', 'content-range', 'trailer', 'te', 'connection', 'keep-alive',
  'upgrade', 'authorization', 'proxy-authorization', 'proxy-authenticate', 'www-authenticate', 'cookie', 'set-cookie', 'cache-control', 'expect',
  'max-forwards', 'pragma', 'range', 'age', 'date', 'expires', 'location', 'retry-after', 'vary', 'warning', 'forwarded', 'via', 'x-forwarded-for',
])

export function mayTrail(name: string): boolean {
  const lower = name.toLowerCase()
  return !NO_TRAILERS.has(lower) && lower !== 'x-request-id' && !lower.startsWith('x-weir-')
}
