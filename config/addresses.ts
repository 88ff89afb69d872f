/** Addresses, URLs, hosts and networks as users write them. Each function gives the value, or a complaint that never shows credentials. */
import { isIP, isIPv4, isIPv6 } from 'node:net'
import { resolve } from 'node:path'
import type { Address, EndpointAddress } from './config.ts'
import type { Complaint } from './issues.ts'

/** sun_path of Linux holds 108 bytes, the closing NUL included (unix(7)). */
const MAX_SOCKET_PATH = 107

export function isComplaint(value: object): value is Complaint {
  return 'rule' in value && 'message' in value
}

/** `host:port`, `:port`, `[::1]:port`, `unix:path`. Host '' = every interface; port 0 = any free one. */
export function parseAddress(text: string, base: string): Address | Complaint {
  if (text.startsWith('unix:')) return parseSocket(text.slice(5), base, 'bad-address')
  const bad = (message: string): Complaint => ({ rule: 'bad-address', message, help: 'Write `host:port`, `:port` for every interface, `[::1]:port`, or `unix:/path`.' })
  const colon = text.lastIndexOf(':')
  if (/^[a-z]+:\/\//i.test(text)) return bad('expected an address, found a URL')
  if (colon < 0 || (isIPv6(text) && !text.startsWith('['))) return bad(isIPv6(text) ? 'an IPv6 address needs brackets and a port' : 'the address has no port')
  const port = parsePort(text.slice(colon + 1), 0)
  if (port === null) return bad('expected a port from 0 to 65535')
  const host = text.slice(0, colon)
  if (host === '' || host === '*') return { host: '', port }
  const bare = bareHost(host)
  return bare === null ? bad(`\`${host.slice(0, 60)}\` is not a host name or address`) : { host: bare, port }
}

/** `http://host[:port][/prefix]`, `https://…`, `unix:path`. */
export function parseEndpoint(text: string, base: string): EndpointAddress | Complaint {
  const bad = (message: string, help = ''): Complaint => ({ rule: 'bad-url', message, help: help === '' ? 'Write `http://host[:port][/prefix]`, `https://…` or `unix:/path`.' : help })
  if (text.startsWith('unix:')) {
    const address = parseSocket(text.slice(5), base, 'bad-url')
    return isComplaint(address) ? address : { scheme: 'http', address, authority: 'localhost', prefix: '' }
  }
  if (!/^[\x21-\x7e]*$/.test(text)) return bad('a url is visible ASCII characters only')
  const scheme = /^([A-Za-z][A-Za-z0-9+.-]*):\/\//.exec(text)?.[1]?.toLowerCase()
  if (scheme === undefined) return bad('the url has no scheme', `Write it with one: \`http://…\` or \`https://…\`.`)
  if (scheme !== 'http' && scheme !== 'https') return bad(`the scheme \`${scheme.slice(0, 20)}\` is not supported`)
  const rest = text.slice(scheme.length + 3)
  const slash = rest.search(/[/?#\\]/)
  const authority = slash < 0 ? rest : rest.slice(0, slash)
  const path = slash < 0 ? '' : rest.slice(slash)
  if (authority.includes('@')) return bad('a url must not hold a user name or password', 'Send credentials with `headers: { authorization: "Bearer ${TOKEN}" }`.')
  if (path.includes('?') || path.includes('#')) return bad(`a url of a backend has no ${path.includes('?') ? 'query' : 'fragment'}`, 'The query of each request is passed on; remove this one.')
  if (path.includes('\\') || path.split('/').some((segment) => segment === '.' || segment === '..')) return bad('the path of the url holds `\\`, `.` or `..`')
  return endpoint(scheme, authority, path, bad)
}

function endpoint(scheme: 'http' | 'https', authority: string, path: string, bad: (message: string) => Complaint): EndpointAddress | Complaint {
  const [, host, digits] = /^(\[[^\]]*\]|[^:[\]]*)(?::(.*))?$/.exec(authority) ?? []
  const usual = scheme === 'http' ? 80 : 443
  const port = digits === undefined ? usual : parsePort(digits, 1)
  if (host === undefined || host === '') return bad('the url has no host')
  if (port === null) return bad('expected a port from 1 to 65535')
  const bare = bareHost(host)
  if (bare === null) return bad(`\`${host.slice(0, 60)}\` is not a host name or address`)
  return { scheme, address: { host: bare, port }, authority: port === usual ? host : `${host}:${port}`, prefix: path.replace(/\/+$/, '') }
}

/** Host of a `match`: a name, an address or `*.name`; lower case. */
export function parseMatchHost(text: string): string | Complaint {
  const host = text.toLowerCase()
  const name = host.startsWith('*.') ? host.slice(2) : host
  if (bareHost(name) !== null && !(host.startsWith('*.') && isIP(name) !== 0)) return host
  const help = text.includes(':') ? 'Leave the port out; it is not compared.' : 'Write `api.example` or `*.example.com`.'
  return { rule: 'bad-host', message: `\`${text.slice(0, 60)}\` is not a host name`, help }
}

/** @returns a complaint, or null */
export function checkNetwork(text: string): Complaint | null {
  const [address = '', bits, more] = text.split('/')
  const widest = isIPv4(address) ? 32 : isIPv6(address) ? 128 : -1
  const right = widest > 0 && more === undefined && (bits === undefined || (/^\d{1,3}$/.test(bits) && Number(bits) <= widest))
  return right ? null : { rule: 'bad-network', message: `\`${text.slice(0, 60)}\` is not an address or CIDR`, help: 'Write `10.0.0.0/8`, `192.0.2.7` or `2001:db8::/32`.' }
}

export function isLoopback(address: Address): boolean {
  if ('unix' in address) return true
  return address.host === 'localhost' || address.host === '::1' || (isIPv4(address.host) && address.host.startsWith('127.'))
}

/** Whether two listeners cannot both be had. */
export function conflict(a: Address, b: Address): boolean {
  if ('unix' in a || 'unix' in b) return 'unix' in a && 'unix' in b && a.unix === b.unix
  if (a.port !== b.port || a.port === 0) return false
  const every = (host: string) => host === '' || host === '::'
  const every4 = (host: string) => host === '0.0.0.0'
  return a.host === b.host || every(a.host) || every(b.host) || (every4(a.host) && !isIPv6(b.host)) || (every4(b.host) && !isIPv6(a.host))
}

export function formatAddress(address: Address): string {
  if ('unix' in address) return `unix:${address.unix}`
  return `${address.host.includes(':') ? `[${address.host}]` : address.host}:${address.port}`
}

function parseSocket(path: string, base: string, rule: string): { unix: string } | Complaint {
  if (path === '' || path.startsWith('//')) return { rule, message: 'expected the path of a socket after `unix:`', help: 'Write `unix:/run/model.sock`.' }
  const unix = resolve(base, path)
  if (Buffer.byteLength(unix) > MAX_SOCKET_PATH) return { rule, message: `the path of a socket has at most ${MAX_SOCKET_PATH} bytes`, help: 'Put the socket into a folder with a shorter path.' }
  return { unix }
}

function parsePort(digits: string, least: number): number | null {
  const port = /^\d{1,5}$/.test(digits) ? Number(digits) : -1
  return port >= least && port <= 65535 ? port : null
}

/** Without brackets; null when it is neither a name (RFC 1123) nor an address. */
function bareHost(host: string): string | null {
  if (host.startsWith('[')) {
    const inside = host.slice(1, -1)
    return host.endsWith(']') && isIPv6(inside) ? inside : null
  }
  const label = /^[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?$/
  return host.length <= 253 && host.replace(/\.$/, '').split('.').every((part) => label.test(part)) ? host : null
}
