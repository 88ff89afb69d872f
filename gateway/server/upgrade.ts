/** Which upgrades pass: WebSocket (RFC 6455) and nothing else. h2c is an attack on gateways; other tokens are optional and ignored. */
import { WeirError } from '../errors.ts'
import { all } from '../headers.ts'
import type { RequestHead } from '../wire/head.ts'

/** 16 bytes in base64: RFC 6455 §4.1. */
const KEY = /^[A-Za-z0-9+/]{21}[AQgw]==$/

/** @returns the lower-case token to forward, or '' when the request goes on without an upgrade. @throws WeirError `BAD_UPGRADE` */
export function upgradeOf(head: RequestHead): string {
  if (head.upgrade === '') return ''
  const tokens = head.upgrade.split(',').map((token) => token.trim().toLowerCase())
  if (tokens.includes('h2c')) throw new WeirError('BAD_UPGRADE', 'h2c is not forwarded')
  if (!tokens.includes('websocket')) return ''
  if (tokens.length > 1) throw new WeirError('BAD_UPGRADE', 'an upgrade to websocket names nothing else')
  if (head.minor === 0) throw new WeirError('BAD_UPGRADE', 'an upgrade needs HTTP/1.1')
  if (head.method !== 'GET') throw new WeirError('BAD_UPGRADE', 'a WebSocket begins with GET')
  if (head.length !== 0) throw new WeirError('BAD_UPGRADE', 'an upgrade has no body')
  const keys = all(head.headers, 'sec-websocket-key')
  if (keys.length !== 1 || !KEY.test(keys[0]!)) throw new WeirError('BAD_UPGRADE', 'Sec-WebSocket-Key is not 16 bytes in base64')
  return 'websocket'
}
