/** Authorities and paths of request targets (RFC 3986, RFC 9112 §3.2). */
import { isIPv6 } from 'node:net'
import { HOST } from './fields.ts'

const PERCENT = 37
const DOT = 46

/** host[:port], nothing else; IPv6 in brackets. */
export function isAuthority(text: string): boolean {
  if (text.length === 0 || text.charCodeAt(0) === DOT || text.includes('..')) return false
  for (let i = 0; i < text.length; i++) {
    const c = text.charCodeAt(i)
    if (HOST[c] !== 1 || (c === PERCENT && !isHexPair(text, i + 1))) return false
  }
  const bracket = text.charCodeAt(0) === 0x5b ? text.indexOf(']') : -1
  if (bracket < 0 && (text.includes('[') || text.includes(']'))) return false
  if (text.charCodeAt(0) === 0x5b && !isIpv6(text.slice(1, bracket))) return false
  const rest = bracket < 0 ? text : text.slice(bracket + 1)
  const colon = rest.indexOf(':')
  if (bracket >= 0 && rest !== '' && colon !== 0) return false
  if (colon < 0) return true
  return isPort(rest.slice(colon + 1)) && (bracket >= 0 || colon > 0)
}

function isHexPair(text: string, at: number): boolean {
  return isHex(text.charCodeAt(at)) && isHex(text.charCodeAt(at + 1))
}

/** NaN, behind the end of a text, is none. */
function isHex(c: number): boolean {
  return (c >= 0x30 && c <= 0x39) || ((c | 0x20) >= 0x61 && (c | 0x20) <= 0x66)
}

/** Without a zone: that means something on one host only (RFC 6874). */
function isIpv6(text: string): boolean {
  return isIPv6(text) && !text.includes('%')
}

function isPort(text: string): boolean {
  if (text.length === 0 || text.length > 5) return false
  for (let i = 0; i < text.length; i++) if (text.charCodeAt(i) < 48 || text.charCodeAt(i) > 57) return false
  return Number(text) <= 65535
}

/**
 * `.` or `..` as a whole segment of the path. Dots may be percent-encoded, and an encoded slash or backslash counts as a separator: a backend
 * that decodes before it resolves must not be led out of the prefix that was matched.
 */
export function hasDotSegment(target: string): boolean {
  // Nearly every target has neither a dot behind a slash nor anything encoded; look closer only if it has.
  if (!target.includes('/.') && !target.includes('%')) return false
  const query = target.indexOf('?')
  const path = (query < 0 ? target : target.slice(0, query)).toLowerCase()
  const plain = path.replaceAll('%2e', '.').replaceAll('%2f', '/').replaceAll('%5c', '/')
  return plain.split('/').some((segment) => segment === '.' || segment === '..')
}
