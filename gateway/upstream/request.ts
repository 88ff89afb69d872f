/** The request as a backend gets it: canonical, with the backend's own Host, path prefix and headers. */
import type { EndpointConfig, HttpBackendConfig } from '../../config/config.ts'
import type { Body, Outgoing } from '../exchange.ts'
import { headerLines } from '../headers.ts'

export type WriteHead = (x: Outgoing, endpoint: EndpointConfig) => string

/** True when the body can only be framed by chunks. */
export function needsChunks(body: Body): boolean {
  return body !== null && !Buffer.isBuffer(body) && body.length < 0
}

/** Compiles what the config says about a backend's requests. */
export function headWriter(config: HttpBackendConfig): WriteHead {
  const overridden = new Set(everySecond(config.headers).map((name) => name.toLowerCase()))
  const fixed = headerLines(config.headers)
  const fixedHost = typeof config.host === 'object' ? config.host.name : null
  const keepHost = config.host === 'keep'
  const asTheyAre = keepHost && overridden.size === 0
  return function writeHead(x, endpoint) {
    const target = x.target === '*' ? '*' : endpoint.prefix + x.target
    const start = `${x.method} ${target} HTTP/1.1\r\n`
    // Nothing to change: the lines go as they came.
    if (asTheyAre && x.fields.marked('host')) return start + x.fields.lines + framing(x)
    return start + rewritten(x.headers, keepHost ? null : (fixedHost ?? endpoint.authority), endpoint.authority, overridden) + fixed + framing(x)
  }
}

/** @param host what Host becomes, null = as sent @param fallback where the caller (HTTP/1.0) sent none */
function rewritten(headers: readonly string[], host: string | null, fallback: string, overridden: ReadonlySet<string>): string {
  let lines = ''
  let hosted = false
  for (let i = 0; i < headers.length; i += 2) {
    const name = headers[i]!
    const lower = name.toLowerCase()
    if (lower === 'host') {
      hosted = true
      lines += `${name}: ${host ?? headers[i + 1]!}\r\n`
    } else if (!overridden.has(lower)) lines += `${name}: ${headers[i + 1]!}\r\n`
  }
  return hosted ? lines : `${lines}Host: ${host ?? fallback}\r\n`
}

function framing(x: Outgoing): string {
  const body = x.body
  if (x.upgrade !== '') return `connection: Upgrade\r\nupgrade: ${x.upgrade}\r\n\r\n`
  const te = x.caller.trailers === true ? 'te: trailers\r\nconnection: TE\r\n' : ''
  if (body === null) return bodyExpected(x.method) ? `${te}content-length: 0\r\n\r\n` : `${te}\r\n`
  if (Buffer.isBuffer(body)) return `${te}content-length: ${body.length}\r\n\r\n`
  return body.length >= 0 ? `${te}content-length: ${body.length}\r\n\r\n` : `${te}transfer-encoding: chunked\r\n\r\n`
}

/** RFC 9110 §8.6: a request of a method that has content by its meaning says that its content is empty. */
function bodyExpected(method: string): boolean {
  return method === 'POST' || method === 'PUT' || method === 'PATCH'
}

function everySecond(headers: readonly string[]): string[] {
  return headers.filter((_, i) => i % 2 === 0)
}
