/**
 * Deadlines that callers bring along: how long they will wait, from the moment their request is here. Believed of trusted callers
 * (`forwarded.trusted`), where they can only shorten what a route allows; from anybody else they are dropped. What goes on to a
 * backend is what is left then (`upstream/request.ts`), never what came.
 */
import type { DeadlinesConfig } from '../../config/config.ts'
import { WeirError } from '../errors.ts'
import { all, remove } from '../headers.ts'
import { ENVOY_EXPECTED, GRPC_TIMEOUT } from '../upstream/request.ts'
import type { RequestHead } from '../wire/head.ts'

/** Envoy's to itself: a limit of the route for this request. */
const ENVOY_LIMIT = 'x-envoy-upstream-rq-timeout-ms'
/** The name that the wire notices by itself (`wire/fields.ts`). */
const USUAL = 'x-request-timeout-ms'
/** A timer cannot wait longer (2^31 - 1 ms): 24.8 days are no deadline. */
const LONGEST_MS = 2_147_483_647
const MS = /^[0-9]{1,12}$/
const GRPC = /^([0-9]{1,8})([HMSmun])$/
/** Units of gRPC over HTTP/2, in milliseconds. */
const UNITS: Readonly<Record<string, number>> = { H: 3_600_000, M: 60_000, S: 1000, m: 1, u: 1e-3, n: 1e-6 }

export interface Deadlines {
  /** Header of weir's own, lower case; '' = deadlines do not travel, whatever header tells one is just a header. */
  readonly header: string
  /** Every request must be looked at: the wire does not notice the name. */
  readonly unusual: boolean
  /**
   * Takes the fields out of the head that are not rewritten on the way to a backend.
   * @returns milliseconds from the head on, the shortest that was told; Infinity = none
   * @throws WeirError `BAD_HEADER` when a trusted caller's makes no sense
   */
  take(head: RequestHead, trusted: boolean): number
}

export function deadlines({ header }: DeadlinesConfig): Deadlines {
  const readers: readonly (readonly [name: string, read: (value: string) => number | null, kept: boolean])[] =
    header === '' ? [] : [[header, milliseconds, false], [ENVOY_LIMIT, envoy, false], [ENVOY_EXPECTED, envoy, true], [GRPC_TIMEOUT, grpc, true]]

  function take({ headers }: RequestHead, trusted: boolean): number {
    let shortest = Infinity
    for (const [name, read, kept] of readers) {
      if (trusted) for (const value of all(headers, name)) shortest = Math.min(shortest, read(value) ?? refuse(name))
      if (!trusted || !kept) remove(headers, name)
    }
    return shortest > LONGEST_MS ? Infinity : shortest
  }
  return { header, unusual: header !== '' && header !== USUAL, take }
}

function milliseconds(value: string): number | null {
  return MS.test(value) ? Number(value) : null
}

/** 0 is Envoy's word for no limit. */
function envoy(value: string): number | null {
  return milliseconds(value) === 0 ? Infinity : milliseconds(value)
}

function grpc(value: string): number | null {
  const [, digits, unit] = GRPC.exec(value) ?? []
  return unit === undefined ? null : Number(digits) * UNITS[unit]!
}

function refuse(name: string): never {
  throw new WeirError('BAD_HEADER', name === GRPC_TIMEOUT ? `${name} must be at most eight digits and one of H, M, S, m, u, n` : `${name} must be a whole number of milliseconds`)
}
