import { createHmac } from 'node:crypto'
import { expect, test } from 'vitest'
import { type Receipt, sameText, sign, verify } from '../../../gateway/monitor/quality/receipt.ts'

const RECEIPT: Receipt = { id: '01890a5d-ac96-774b-bcce-b302099a8057', route: 'fraud', time: 1_700_000_000_000, model: 'fraud/2', group: 'eu', rows: 2, scores: [0.25, 0.9999999] }

test('what was signed comes back, by whichever secret', () => {
  const text = sign(RECEIPT, 'old')
  expect(verify(text, ['new', 'old'])).toEqual(RECEIPT)
  expect(verify(text, ['new'])).toBeNull()
  expect(verify(text, [])).toBeNull()
})

/** The layout is a promise: HMAC-SHA256 as node:crypto (OpenSSL) has it, put together by hand. */
test('another program can make one', () => {
  const text = Buffer.from('["i","r",5,"m/1","",1,[0.5]]').toString('base64url')
  const mac = createHmac('sha256', 'key').update(`weir receipt 1\n${text}`).digest('base64url')
  expect(verify(`${text}.${mac}`, ['key'])).toEqual({ id: 'i', route: 'r', time: 5, model: 'm/1', group: '', rows: 1, scores: [0.5] })
})

test('any changed character, and nonsense, is refused', () => {
  const text = sign(RECEIPT, 'key')
  for (let i = 0; i < text.length - 1; i++) {
    const other = text[i] === 'A' ? 'B' : 'A'
    expect(verify(text.slice(0, i) + other + text.slice(i + 1), ['key'])).toBeNull()
  }
  for (const bad of ['', '.', 'a.b', `${text}.x`, ` ${text}`, text.repeat(40), text.split('.')[0]!]) expect(verify(bad, ['key'])).toBeNull()
})

test('tokens', () => {
  expect([sameText('a', 'a'), sameText('a', 'b'), sameText('', 'b'), sameText('a', 'aa')]).toEqual([true, false, false, false])
})
