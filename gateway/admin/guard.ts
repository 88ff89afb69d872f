/** Who may ask: the token, and what keeps web pages of others away from a listener on loopback. */
import { createHash, timingSafeEqual } from 'node:crypto'
import type { IncomingHttpHeaders } from 'node:http'
import type { Address } from '../../config/config.ts'

export function isLoopback(address: Address): boolean {
  return 'unix' in address || isLoopbackName(address.host.toLowerCase())
}

function isLoopbackName(host: string): boolean {
  return host === 'localhost' || host === '::1' || /^127(\.\d{1,3}){3}$/.test(host)
}

const digest = (text: string): Buffer => createHash('sha256').update(text).digest()

/** Compares in a time that tells nothing of the token. @returns true for everybody when there is no token */
export function tokenGuard(token: string | null): (authorization: string | undefined) => boolean {
  if (token === null) return () => true
  const expected = digest(token)
  return (authorization) => {
    const given = /^bearer +(.*)$/i.exec(authorization ?? '')?.[1]
    return given !== undefined && timingSafeEqual(digest(given), expected)
  }
}

/**
 * A page on `evil.example` can make its name resolve to 127.0.0.1 (DNS rebinding) and then read what listens there, but it cannot
 * change the Host header its browser sends. So a listener on loopback answers to its own names alone. Off loopback the token guards.
 * @param hosts further names it goes by
 */
export function hostGuard(address: Address, hosts: readonly string[]): (host: string | undefined) => boolean {
  if ('unix' in address || !isLoopback(address)) return () => true
  const names = new Set([address.host, ...hosts].map((host) => host.toLowerCase()))
  return (host) => {
    const name = nameOf(host ?? '')
    return isLoopbackName(name) || names.has(name)
  }
}

/** `[::1]:9901` → `::1`; '' for what is no host. */
function nameOf(host: string): string {
  const parts = /^(?:\[([0-9a-f:.]+)\]|([^:[\]]+))(?::\d{1,5})?$/i.exec(host)
  return (parts?.[1] ?? parts?.[2] ?? '').toLowerCase().replace(/\.$/, '')
}

/** Browsers name the page a POST comes from; a page of others must not reload or drain a gateway its reader happens to run. */
export function sameOrigin({ origin, host, 'sec-fetch-site': site }: IncomingHttpHeaders): boolean {
  if (site !== undefined && site !== 'same-origin' && site !== 'none') return false
  return origin === undefined || origin === `http://${host}` || origin === `https://${host}`
}
