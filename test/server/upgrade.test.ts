/** Which upgrades pass (RFC 6455 4.2.1, RFC 9110 7.8). */
import { describe, expect, it } from 'vitest'
import { upgradeOf } from '../../gateway/server/upgrade.ts'
import { codeOf, requestHead } from '../wire/helpers.ts'

const KEY = 'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=='
const ask = (lines: readonly string[], line = 'GET /x HTTP/1.1'): string | null => {
  const head = requestHead([line, 'Host: a', ...lines, '', ''].join('\r\n'))
  let token = ''
  const code = codeOf(() => void (token = upgradeOf(head)))
  return code ?? token
}

describe('upgradeOf', () => {
  it.each([
    [['Connection: Upgrade', 'Upgrade: websocket', KEY], 'websocket'],
    [['Connection: keep-alive, upgrade', 'Upgrade: WebSocket', KEY], 'websocket'],
    [[], ''],
    [['Upgrade: websocket', KEY], ''],
    [['Connection: Upgrade'], ''],
    [['Connection: Upgrade', 'Upgrade: foo/2'], ''],
    [['Connection: Upgrade', 'Upgrade: TLS/1.0, foo'], ''],
    [['Connection: Upgrade', 'Upgrade: h2c'], 'BAD_UPGRADE'],
    [['Connection: Upgrade', 'Upgrade: foo, H2C'], 'BAD_UPGRADE'],
    [['Connection: Upgrade', 'Upgrade: websocket, h2c', KEY], 'BAD_UPGRADE'],
    [['Connection: Upgrade', 'Upgrade: websocket, foo', KEY], 'BAD_UPGRADE'],
    [['Connection: Upgrade', 'Upgrade: websocket', 'Upgrade: websocket', KEY], 'BAD_UPGRADE'],
    [['Connection: Upgrade', 'Upgrade: websocket'], 'BAD_UPGRADE'],
    [['Connection: Upgrade', 'Upgrade: websocket', KEY, KEY], 'BAD_UPGRADE'],
    [['Connection: Upgrade', 'Upgrade: websocket', 'Sec-WebSocket-Key: x'], 'BAD_UPGRADE'],
    [['Connection: Upgrade', 'Upgrade: websocket', 'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ'], 'BAD_UPGRADE'],
    // 22 characters and padding, but the last carries bits beyond 16 bytes.
    [['Connection: Upgrade', 'Upgrade: websocket', 'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZR=='], 'BAD_UPGRADE'],
    [['Connection: Upgrade', 'Upgrade: websocket', KEY, 'Content-Length: 5'], 'BAD_UPGRADE'],
    [['Connection: Upgrade', 'Upgrade: websocket', KEY, 'Transfer-Encoding: chunked'], 'BAD_UPGRADE'],
  ])('%j → %j', (lines, result) => {
    expect(ask(lines)).toBe(result)
  })

  it('only GET, only HTTP/1.1', () => {
    const lines = ['Connection: Upgrade', 'Upgrade: websocket', KEY]
    expect(ask(lines, 'POST /x HTTP/1.1')).toBe('BAD_UPGRADE')
    expect(ask(lines, 'GET /x HTTP/1.0')).toBe('BAD_UPGRADE')
    expect(ask(['Upgrade: h2c'], 'GET /x HTTP/1.0')).toBe('BAD_UPGRADE')
  })
})
