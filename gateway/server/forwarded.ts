/**
 * What weir tells backends about the caller and the way (X-Forwarded-*, Forwarded of RFC 7239, Via of RFC 9110 §7.6.3), and what it
 * believes of what callers say: nothing, unless the peer is in `forwarded.trusted`.
 */
import { BlockList, isIP, isIPv6 } from 'node:net'
import type { ForwardedConfig } from '../../config/config.ts'
import { WeirError } from '../errors.ts'
import type { Caller } from '../exchange.ts'
import { all, type Fields, get, has, set } from '../headers.ts'
import { Kind, kindOf } from '../wire/fields.ts'
import type { RequestHead } from '../wire/head.ts'
import type { Incoming } from '../wire/incoming.ts'

/** A request that passed here this often goes in a circle; fewer times is a chain of gateways. */
export const MAX_PASSES = 3

export interface Forwarding {
  /** Rewrites the request's headers in place, and decides whether it is `trusted`. @returns who asks, as far as weir believes it. @throws WeirError `LOOP` */
  apply(request: Incoming): Caller
  /** Header lines every answer gets. */
  readonly answerLines: string
}

export function forwarding(config: ForwardedConfig): Forwarding {
  const trusted = blockList(config.trusted)
  const xForwarded = config.write === 'x-forwarded' || config.write === 'both'
  const rfc7239 = config.write === 'forwarded' || config.write === 'both'
  const via = config.via === '' ? null : config.via

  function apply(request: Incoming): Caller {
    const { head } = request
    if (trusted !== null) request.trusted = isTrusted(trusted, request.address)
    if (via !== null) addVia(head, via)
    if (!head.forwarded) {
      if (xForwarded) addXForwarded(head.fields, request)
      if (rfc7239) head.fields.append('forwarded', forwardedValue(request))
      return request
    }
    // Somebody in front said something of the way: believed or dropped.
    const believed = request.trusted
    if (!believed) dropForwarded(head.headers)
    const caller = believed ? namedCaller(request, head.headers, trusted!) : request
    if (xForwarded) extendXForwarded(head.headers, request)
    if (rfc7239) extend(head.headers, 'forwarded', forwardedValue(request))
    return caller
  }
  return { apply, answerLines: via === null ? '' : `via: 1.1 ${via}\r\n` }
}

function blockList(cidrs: readonly string[]): BlockList | null {
  if (cidrs.length === 0) return null
  const list = new BlockList()
  for (const cidr of cidrs) {
    const [address, bits] = cidr.split('/') as [string, string | undefined]
    const family = isIPv6(address) ? 'ipv6' : 'ipv4'
    list.addSubnet(address, bits === undefined ? (family === 'ipv6' ? 128 : 32) : Number(bits), family)
  }
  return list
}

function isTrusted(list: BlockList, address: string): boolean {
  // A peer on a unix socket is on this machine, with rights on the socket's file.
  return address === '' || list.check(address, isIPv6(address) ? 'ipv6' : 'ipv4')
}

function addVia(head: RequestHead, name: string): void {
  if (head.via !== '' && passes(head.via, name) >= MAX_PASSES) throw new WeirError('LOOP')
  head.fields.append('via', `1.${head.minor} ${name}`)
}

function passes(via: string, name: string): number {
  let count = 0
  for (const hop of via.split(',')) if (hop.trim().split(' ')[1] === name) count++
  return count
}

/**
 * Max-Forwards of OPTIONS (RFC 9110 §7.6.2): counted down on the way.
 * @returns true when weir is the last hop and answers itself
 */
export function isLastHop({ method, fields }: RequestHead): boolean {
  if (method !== 'OPTIONS') return false
  const headers = fields.list
  const value = get(headers, 'max-forwards')
  if (value === undefined || !/^\d{1,9}$/.test(value)) return false
  if (Number(value) === 0) return true
  set(headers, 'max-forwards', String(Number(value) - 1))
  return false
}

function dropForwarded(headers: string[]): void {
  let kept = 0
  for (let i = 0; i < headers.length; i += 2) {
    if (kindOf(headers[i]!) === Kind.forwarded) continue
    headers[kept] = headers[i]!
    headers[kept + 1] = headers[i + 1]!
    kept += 2
  }
  headers.length = kept
}

function addXForwarded(fields: Fields, request: Incoming): void {
  fields.append('x-forwarded-for', nodeOf(request))
  fields.append('x-forwarded-proto', protoOf(request))
  if (request.head.host !== '') fields.append('x-forwarded-host', request.head.host)
  fields.append('x-forwarded-port', request.connection.localPortText)
}

/** What a trusted proxy in front said of the caller's side stands: it saw that side, weir did not. */
function extendXForwarded(headers: string[], request: Incoming): void {
  extend(headers, 'x-forwarded-for', nodeOf(request))
  if (!has(headers, 'x-forwarded-proto')) headers.push('x-forwarded-proto', protoOf(request))
  if (request.head.host !== '' && !has(headers, 'x-forwarded-host')) headers.push('x-forwarded-host', request.head.host)
  if (!has(headers, 'x-forwarded-port')) headers.push('x-forwarded-port', request.connection.localPortText)
}

/** Appends to the list in the last field of that name, or adds the field. */
function extend(headers: string[], name: string, value: string): void {
  for (let i = headers.length - 2; i >= 0; i -= 2) {
    if (headers[i]!.toLowerCase() !== name) continue
    headers[i + 1] = `${headers[i + 1]!}, ${value}`
    return
  }
  headers.push(name, value)
}

function nodeOf({ address }: Incoming): string {
  return address === '' ? 'unknown' : address
}

function protoOf({ tls }: Incoming): string {
  return tls ? 'https' : 'http'
}

function forwardedValue(request: Incoming): string {
  const { address } = request
  const node = address === '' ? 'unknown' : isIPv6(address) ? `"[${address}]:${request.port}"` : `"${address}:${request.port}"`
  const host = request.head.host === '' ? '' : `;host="${request.head.host}"`
  return `for=${node};proto=${protoOf(request)}${host}`
}

/** The rightmost address of X-Forwarded-For that is no trusted proxy. */
function namedCaller(request: Incoming, headers: readonly string[], trusted: BlockList): Caller {
  const hops = all(headers, 'x-forwarded-for').join(',').split(',').map((hop) => hop.trim())
  while (hops.length > 1 && isAddress(hops.at(-1)!) && isTrusted(trusted, hops.at(-1)!)) hops.pop()
  const address = hops.at(-1) ?? ''
  if (!isAddress(address)) return request
  const tls = all(headers, 'x-forwarded-proto').at(-1)?.toLowerCase() === 'https' || request.tls
  return { address, port: 0, tls, trailers: request.trailers, trusted: true, inform: (status, fields) => request.inform(status, fields) }
}

/** Without a zone, which means something on the proxy's own host only. */
function isAddress(text: string): boolean {
  return isIP(text) !== 0 && !text.includes('%')
}
