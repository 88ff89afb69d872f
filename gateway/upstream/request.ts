/** The request as a backend gets it: canonical, with the backend's own Host, path prefix and headers. */
import type { EndpointConfig, HttpBackendConfig } from '../../config/config.ts'
import type { Body, Outgoing } from '../exchange.ts'
import { type Fields, headerLines } from '../headers.ts'

/** What is left of an exchange's time. */
export interface Budget {
  /** Header that carries it, lower case; '' = backends are told nothing. */
  readonly header: string
  /** Milliseconds. */
  readonly ms: number
}

/** @param budget null = there is no deadline @param hedge the second of two requests, which the backend is told */
export type WriteHead = (x: Outgoing, endpoint: EndpointConfig, budget?: Budget | null, hedge?: boolean) => string

const HEDGE = 'x-weir-hedge: 1\r\n'

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
  return function writeHead(x, endpoint, left = null, hedge = false) {
    const budget = left === null || left.header === '' ? null : left
    const target = x.target === '*' ? '*' : endpoint.prefix + x.target
    const start = `${x.method} ${target} HTTP/1.1\r\n${hedge ? HEDGE : ''}`
    // Nothing to change: the lines go as they came.
    if (asTheyAre && x.fields.marked('host')) {
      if (budget === null) return start + x.fields.lines + framing(x)
      if (!tellsDeadline(x.fields, budget)) return start + x.fields.lines + budgetLine(budget) + framing(x)
    }
    const headers = budget === null ? x.headers : withBudget(x.headers, budget)
    return start + rewritten(headers, keepHost ? null : (fixedHost ?? endpoint.authority), endpoint.authority, overridden) + fixed + framing(x)
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

// ---------------------------------------------------------------- the time that is left

/** Deadlines in the words of others, rewritten where the caller used them: gRPC's, and Envoy's to its upstreams. */
export const GRPC_TIMEOUT = 'grpc-timeout'
export const ENVOY_EXPECTED = 'x-envoy-expected-rq-timeout-ms'

/** A name that the wire does not notice by itself was taken out of an array (`server/deadline.ts`): there is no block then. */
function tellsDeadline(fields: Fields, { header }: Budget): boolean {
  if (!fields.timed) return false
  return fields.get(GRPC_TIMEOUT) !== undefined || fields.get(ENVOY_EXPECTED) !== undefined || fields.get(header) !== undefined
}

/** Whole milliseconds, never more than is left; at least 1, since many take 0 for no limit. */
function wholeMs({ ms }: Budget): number {
  return Math.max(1, Math.floor(ms))
}

function budgetLine(budget: Budget): string {
  return `${budget.header}: ${wholeMs(budget)}\r\n`
}

/** The fields with what is left in place of what was left when they were written. */
function withBudget(headers: readonly string[], budget: Budget): string[] {
  const ms = wholeMs(budget)
  const told: string[] = []
  for (let i = 0; i < headers.length; i += 2) {
    const name = headers[i]!
    const lower = name.toLowerCase()
    if (lower === budget.header) continue
    told.push(name, lower === GRPC_TIMEOUT ? grpcTimeout(ms) : lower === ENVOY_EXPECTED ? String(ms) : headers[i + 1]!)
  }
  told.push(budget.header, String(ms))
  return told
}

/** At most eight digits and a unit (gRPC over HTTP/2, "Timeout"). */
function grpcTimeout(ms: number): string {
  return ms < 100_000_000 ? `${ms}m` : `${Math.floor(ms / 1000)}S`
}

// ---------------------------------------------------------------- framing

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
