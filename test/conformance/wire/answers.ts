/** Raw answers, one byte a character (latin1), as backends send them by mistake, by habit and to poison. Data only; `answers.test.ts` judges. */
export interface RawAnswer {
  readonly id: string
  /** Of the request it answers. */
  readonly method: 'GET' | 'HEAD'
  readonly raw: string
}

const all: RawAnswer[] = []

function add(id: string, raw: string, method: 'GET' | 'HEAD' = 'GET'): void {
  all.push({ id: method === 'GET' ? id : `HEAD: ${id}`, method, raw })
}

const shown = (text: string): string => (text.length > 50 ? `${JSON.stringify(text.slice(0, 40))} (${text.length})` : JSON.stringify(text))
const answer = (lines: readonly string[], body: string, line = 'HTTP/1.1 200 OK'): string => [line, ...lines, '', body].join('\r\n')
const SECOND = 'HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison'
const CHUNKS = '5\r\nhello\r\n0\r\n\r\n'

for (const line of [
  'HTTP/1.1 200 OK', 'HTTP/1.0 200 OK', 'HTTP/1.1 200 ', 'HTTP/1.1 200', 'HTTP/1.1 200  OK', 'HTTP/1.1  200 OK', 'HTTP/1.1\t200 OK', 'HTTP/1.1 200\tOK', 'HTTP/1.1 200 O\xe9', 'HTTP/1.1 200 O\tK', 'HTTP/1.1 200 O\x00K', 'HTTP/1.1 200 O\x01K', 'HTTP/1.1 200 O\x7fK', 'HTTP/1.1 200 O\rK', 'HTTP/1.1 200 OK\r', 'HTTP/1.2 200 OK',
  'HTTP/2.0 200 OK', 'HTTP/2 200 OK', 'HTTP/0.9 200 OK', 'HTTP/1 200 OK', 'HTTP/11 200 OK', 'HTTP/1.10 200 OK', 'http/1.1 200 OK', 'HTTPS/1.1 200 OK', 'ICY 200 OK', 'HTTP/1.1 20 OK', 'HTTP/1.1 2000 OK', 'HTTP/1.1 0200 OK', 'HTTP/1.1 000 OK', 'HTTP/1.1 099 OK', 'HTTP/1.1 600 OK', 'HTTP/1.1 999 OK', 'HTTP/1.1 2x0 OK', 'HTTP/1.1 +20 OK',
  'HTTP/1.1 -20 OK', 'HTTP/1.1 200OK', 'HTTP/1.1 OK', 'HTTP/1.1', 'HTTP/1.1 ', '', ' HTTP/1.1 200 OK', '\r\nHTTP/1.1 200 OK', '\nHTTP/1.1 200 OK', 'xHTTP/1.1 200 OK', 'HTTP/1.1 200 OK\n', 'GET / HTTP/1.1', 'HTTP/1.1 404 Not Found', 'HTTP/1.1 500 ', 'HTTP/1.1 299 Own', 'HTTP/1.1 205 Reset Content', 'HTTP/1.1 226 IM Used', 'HTTP/1.1 418 Teapot',
  `HTTP/1.1 200 ${'p'.repeat(4000)}`,
]) {
  add(`line ${shown(line)}`, answer(['Content-Length: 5'], 'hello', line))
}
add('line ended by LF', 'HTTP/1.1 200 OK\nContent-Length: 5\r\n\r\nhello')
add('all by bare LFs', 'HTTP/1.1 200 OK\nContent-Length: 5\n\nhello')
add('head ended by LF', 'HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\nhello')
add('no head, only a body', 'hello')
add('nothing', '')
add('half a head', 'HTTP/1.1 200 OK\r\nContent-Le')

for (const value of ['5', '0', '05', '+5', '-5', '-0', ' 5 ', '\t5\t', '5,5', '5, 5', '5, 6', '5 5', '5;', '0x5', '5.0', '5e0', 'five', '', ' ', '\xb2', '5\x0b', '5\x00', '"5"', '99999999999999999999', '18446744073709551621', '4294967301', '9223372036854775808', '9', '3', '1_0']) {
  add(`Content-Length: ${shown(value)}`, answer([`Content-Length: ${value}`], 'hello'))
  if (['5', '', '5,5', 'five', '-5'].includes(value)) add(`Content-Length: ${shown(value)}`, answer([`Content-Length: ${value}`], ''), 'HEAD')
}
for (const [name, lines] of Object.entries({
  'the same twice': ['Content-Length: 5', 'Content-Length: 5'],
  'two of them': ['Content-Length: 5', 'Content-Length: 3'],
  'two, the other way round': ['Content-Length: 3', 'Content-Length: 5'],
  'twice by case': ['Content-Length: 5', 'CONTENT-LENGTH: 5'],
  'with space before its colon': ['Content-Length : 5'],
  'with leading space': [' Content-Length: 5'],
  'folded': ['Content-Length:\r\n 5'],
  'behind a bare LF': ['x: 1\nContent-Length: 5'],
  'behind a bare CR': ['x: 1\rContent-Length: 5'],
  'a twin by underscore': ['Content_Length: 3', 'Content-Length: 5'],
  'before chunked': ['Content-Length: 5', 'Transfer-Encoding: chunked'],
  'behind chunked': ['Transfer-Encoding: chunked', 'Content-Length: 5'],
})) {
  add(`Content-Length ${name}`, answer(lines, 'hello'))
  add(`Content-Length ${name}, chunks behind`, answer(lines, CHUNKS))
}

for (const value of ['chunked', 'Chunked', ' chunked ', '\tchunked', 'xchunked', 'chunkedx', 'chunked, chunked', 'chunked,', ',chunked', 'identity', 'identity, chunked', 'gzip, chunked', 'gzip', 'chunked, gzip', 'chunked;q=1', '"chunked"', '\x0bchunked', 'chunked\x00', 'chun ked', '', 'cow', 'cow, chunked', 'chunked\xa0']) {
  add(`Transfer-Encoding: ${shown(value)}`, answer([`Transfer-Encoding: ${value}`], CHUNKS))
}
for (const [name, lines] of Object.entries({
  'twice': ['Transfer-Encoding: chunked', 'Transfer-Encoding: chunked'],
  'twice, identity first': ['Transfer-Encoding: identity', 'Transfer-Encoding: chunked'],
  'twice, identity last': ['Transfer-Encoding: chunked', 'Transfer-Encoding: identity'],
  'by underscore': ['Transfer_Encoding: chunked'],
  'with space before its colon': ['Transfer-Encoding : chunked'],
  'with leading space': [' Transfer-Encoding: chunked'],
  'folded': ['Transfer-Encoding:\r\n chunked'],
  'behind a bare LF': ['x: 1\nTransfer-Encoding: chunked'],
})) {
  add(`Transfer-Encoding ${name}`, answer(lines, CHUNKS))
}
add('HTTP/1.0 chunked', answer(['Transfer-Encoding: chunked'], CHUNKS, 'HTTP/1.0 200 OK'))
add('HTTP/1.0 until the end', answer([], 'hello', 'HTTP/1.0 200 OK'))
add('HTTP/1.0 kept alive', answer(['Content-Length: 5', 'Connection: keep-alive'], 'hello', 'HTTP/1.0 200 OK'))
add('until the end', answer([], 'hello'))
add('until the end, empty', answer([], ''))
add('until the end, though kept alive', answer(['Connection: keep-alive'], 'hello'))

for (const [name, body] of Object.entries({
  'plain': CHUNKS,
  'upper case size': 'A\r\n0123456789\r\n0\r\n\r\n',
  'zeros before a size': '0005\r\nhello\r\n0\r\n\r\n',
  'two zeros at the end': '5\r\nhello\r\n00\r\n\r\n',
  'only the last': '0\r\n\r\n',
  'no last': '5\r\nhello\r\n',
  'nothing': '',
  'half a chunk': '9\r\nhello',
  'no line end behind data': '5\r\nhello',
  'no empty line at the end': '5\r\nhello\r\n0\r\n',
  'half an empty line at the end': '5\r\nhello\r\n0\r\n\r',
  'space before a size': ' 5\r\nhello\r\n0\r\n\r\n',
  'space behind a size': '5 \r\nhello\r\n0\r\n\r\n',
  '0x': '0x5\r\nhello\r\n0\r\n\r\n',
  'plus': '+5\r\nhello\r\n0\r\n\r\n',
  'minus': '-5\r\nhello\r\n0\r\n\r\n',
  'letters': 'g\r\nhello\r\n0\r\n\r\n',
  'no size': '\r\nhello\r\n0\r\n\r\n',
  'wraps 32 bits': '100000005\r\nhello\r\n0\r\n\r\n',
  'wraps 64 bits': '10000000000000005\r\nhello\r\n0\r\n\r\n',
  'an extension': '5;a=b\r\nhello\r\n0\r\n\r\n',
  'a quoted extension': '5;a="b c"\r\nhello\r\n0\r\n\r\n',
  'an empty extension': '5;\r\nhello\r\n0\r\n\r\n',
  'an extension with LF': '5;a\nhello\r\n0\r\n\r\n',
  'an extension with CR': '5;a\rb\r\nhello\r\n0\r\n\r\n',
  'an extension with NUL': '5;a\x00\r\nhello\r\n0\r\n\r\n',
  'an extension of 20 KiB': `5;${'a'.repeat(20_480)}\r\nhello\r\n0\r\n\r\n`,
  'size by LF': '5\nhello\r\n0\r\n\r\n',
  'size by CR': '5\rhello\r\n0\r\n\r\n',
  'data by LF': '5\r\nhello\n0\r\n\r\n',
  'data by nothing': '5\r\nhello0\r\n\r\n',
  'data too long': '4\r\nhello\r\n0\r\n\r\n',
  'data too short': '6\r\nhello\r\n0\r\n\r\n',
  'end by LF': '5\r\nhello\r\n0\r\n\n',
  'end by LFs': '5\r\nhello\r\n0\n\n',
  'a trailer': '5\r\nhello\r\n0\r\nx-t: 1\r\n\r\n',
  'trailers that frame': '5\r\nhello\r\n0\r\nContent-Length: 3\r\nTransfer-Encoding: identity\r\n\r\n',
  'a folded trailer': '5\r\nhello\r\n0\r\nx: 1\r\n 2\r\n\r\n',
  'a trailer without colon': '5\r\nhello\r\n0\r\nx\r\n\r\n',
  'a trailer by LF': '5\r\nhello\r\n0\r\nx: 1\n\r\n',
  'a trailer with NUL': '5\r\nhello\r\n0\r\nx: \x00\r\n\r\n',
  'an answer behind': `${CHUNKS}${SECOND}`,
})) {
  add(`chunks: ${name}`, answer(['Transfer-Encoding: chunked'], body))
}

for (const line of [
  'x: 1', 'x:', 'x: \xe9\xff', 'x: a\tb', 'x : 1', ' x: 1', 'x: 1\r\n 2', 'x: 1\r\n\t2', 'x', ': 1', 'x y: 1', 'x\x00: 1', 'x(: 1', 'x\xe9: 1', 'x: a\x00b', 'x: a\x01b', 'x: a\x0bb', 'x: a\x7fb', 'x: a\rb', 'x: a\nb', 'x: a\r\r\n', 'x: a\n', '__proto__: 1', 'Set-Cookie: a=1\r\nSet-Cookie: b=2', 'Date: x', 'Connection: close', 'Connection: x-a\r\nX-A: 1',
  'Keep-Alive: timeout=5', 'Proxy-Authenticate: x', 'Upgrade: h2c', 'Trailer: x', 'x-weir-backend: y', `x: ${'a'.repeat(4000)}`, `x: ${'a'.repeat(100_000)}`, Array.from({ length: 90 }, (_, i) => `x-${i}: 1`).join('\r\n'), Array.from({ length: 1000 }, (_, i) => `x-${i}: 1`).join('\r\n'),
]) {
  add(`field ${shown(line)}`, answer([line, 'Content-Length: 5'], 'hello'))
}

for (const status of ['204 No Content', '304 Not Modified']) {
  const line = `HTTP/1.1 ${status}`
  add(status, answer([], '', line))
  add(`${status} with a length`, answer(['Content-Length: 5'], '', line))
  add(`${status} with a body`, answer(['Content-Length: 5'], 'hello', line))
  add(`${status} in chunks`, answer(['Transfer-Encoding: chunked'], CHUNKS, line))
  add(`${status} and an answer behind`, answer([], SECOND, line))
  add(`${status} with a length and an answer as its body`, answer([`Content-Length: ${SECOND.length}`], SECOND, line))
  add(status, answer([], '', line), 'HEAD')
}
add('with a length', answer(['Content-Length: 5'], ''), 'HEAD')
add('with a body', answer(['Content-Length: 5'], 'hello'), 'HEAD')
add('chunked', answer(['Transfer-Encoding: chunked'], ''), 'HEAD')
add('chunked with chunks', answer(['Transfer-Encoding: chunked'], CHUNKS), 'HEAD')
add('without a length', answer([], ''), 'HEAD')
add('with length and chunked', answer(['Content-Length: 5', 'Transfer-Encoding: chunked'], ''), 'HEAD')
add('with an answer behind', answer(['Content-Length: 5'], SECOND), 'HEAD')

const OK = answer(['Content-Length: 5'], 'hello')
for (const [name, before] of Object.entries({
  '100': 'HTTP/1.1 100 Continue\r\n\r\n',
  '100 twice': 'HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n',
  '102': 'HTTP/1.1 102 Processing\r\n\r\n',
  '103': 'HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n',
  '103 and 100': 'HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n',
  '150': 'HTTP/1.1 150 Own\r\n\r\n',
  '199': 'HTTP/1.1 199 Own\r\nx: 1\r\n\r\n',
  '100 with Content-Length: 0': 'HTTP/1.1 100 Continue\r\nContent-Length: 0\r\n\r\n',
  '100 with a body': 'HTTP/1.1 100 Continue\r\nContent-Length: 5\r\n\r\nhello',
  '103 in chunks': `HTTP/1.1 103 Early Hints\r\nTransfer-Encoding: chunked\r\n\r\n${CHUNKS}`,
  '103 with an answer as its body': `HTTP/1.1 103 Early Hints\r\nContent-Length: ${SECOND.length}\r\n\r\n${SECOND}`,
  '101': 'HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n',
  'HTTP/1.0 100': 'HTTP/1.0 100 Continue\r\n\r\n',
  '50 times 103': 'HTTP/1.1 103 Early Hints\r\n\r\n'.repeat(50),
  '100 by LFs': 'HTTP/1.1 100 Continue\n\n',
})) {
  add(`${name}, then 200`, `${before}${OK}`)
  add(`${name}, then nothing`, before)
}
add('a body longer than its length', answer(['Content-Length: 3'], 'hello'))
add('a body shorter than its length', answer(['Content-Length: 9'], 'hello'))
add('an answer behind', `${OK}${SECOND}`)
add('junk behind', `${OK}\r\n\r\n`)
add('bytes of another protocol', '\x16\x03\x01\x00\x05\x01\x00')
add('an SSH banner', 'SSH-2.0-OpenSSH_9.6\r\n')

export const answers: readonly RawAnswer[] = all
