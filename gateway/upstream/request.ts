/** The request as a backend gets it: canonical, with the backend's own Host, path prefix and headers. */
import type { EndpointConfig, HttpBackendConfig } from '../../config/config.ts'
import type { Body, Exchange } from '../exchange.ts'
import { headerLines } from '../wire/write.ts'

export type WriteHead = (x: Exchange, endpoint: EndpointConfig) => string

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
  return function writeHead(x, endpoint) {
    const target = x.target === '*' ? '*' : endpoint.prefix + x.target
    let text = `${x.method} ${target} HTTP/1.1\r\n`
    let host = keepHost ? null : (fixedHost ?? endpoint.authority)
    let hosted = false
    const headers = x.headers
    for (let i = 0; i < headers.length; i += 2) {
      const name = headers[i]!
      if (name.length === 4 && name.toLowerCase() === 'host') {
        hosted = true
        host ??= headers[i + 1]!
        text += `${name}: ${host}\r\n`
      } else if (overridden.size === 0 || !overridden.has(name.toLowerCase())) text += `${name}: ${headers[i + 1]!}\r\n`
    }
    if (!hosted) text += `Host: ${host ?? endpoint.authority}\r\n`
    return text + fixed + framing(x)
  }
}

function framing(x: Exchange): string {
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
