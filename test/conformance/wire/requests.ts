/**
 * Raw requests, one byte a character (latin1): what callers send by mistake, by habit and to smuggle. Data only; `requests.test.ts` judges.
 * A case is about one thing (`area`); everything else in it is valid.
 */
export type Area = 'framing' | 'host' | 'target' | 'line' | 'field' | 'connection' | 'expect' | 'upgrade' | 'trailer'

export interface RawRequest {
  readonly id: string
  readonly area: Area
  readonly raw: string
}

const all: RawRequest[] = []

function add(area: Area, id: string, raw: string): void {
  all.push({ area, id: `${area}: ${id}`, raw })
}

/** How a value shows in an id. */
const shown = (text: string): string => (text.length > 50 ? `${JSON.stringify(text.slice(0, 40))} (${text.length})` : JSON.stringify(text))

const HOST = 'Host: a.test'
const get = (lines: readonly string[], line = 'GET /x HTTP/1.1'): string => [line, HOST, ...lines, '', ''].join('\r\n')
const post = (lines: readonly string[], body: string, line = 'POST /x HTTP/1.1'): string => [line, HOST, ...lines, '', body].join('\r\n')
/** A request that would be seen if the one before it were understood to end early. */
const SMUGGLED = 'GET /smuggled HTTP/1.1\r\nHost: a.test\r\n\r\n'

// ---------------------------------------------------------------- Content-Length

for (const value of [
  '5', '0', '05', '0005', '000000000000000000005', '+5', '-5', '-0', ' 5', '5 ', '\t5\t', '5,5', '5, 5', '5, 6', '5 5', '5;', '5;q=1', '0x5', '5h', '5.0', '5e0', '.5', '1_0', 'five', '', ' ', '\xb2', '5\x0b', '\x0c5', '5\x00', '"5"', '(5)', 'NaN',
  'Infinity', '99999999999999999999', '9223372036854775808', '18446744073709551621', '4294967301', '1e1',
]) {
  add('framing', `Content-Length: ${shown(value)}`, post([`Content-Length: ${value}`], 'hello'))
}
for (const [name, lines] of Object.entries({
  'the same twice': ['Content-Length: 5', 'Content-Length: 5'],
  'two of them': ['Content-Length: 5', 'Content-Length: 0'],
  'two, the other way round': ['Content-Length: 0', 'Content-Length: 5'],
  'twice by case': ['Content-Length: 5', 'content-length: 5'],
  'twice by zeros': ['Content-Length: 5', 'Content-Length: 05'],
  'one of them empty': ['Content-Length: 5', 'Content-Length:'],
  'a twin by underscore': ['Content_Length: 0', 'Content-Length: 5'],
  'only a twin by underscore': ['Content_Length: 5'],
  'space before its colon': ['Content-Length : 5'],
  'tab before its colon': ['Content-Length\t: 5'],
  'leading space': [' Content-Length: 5'],
  'folded': ['Content-Length:\r\n 5'],
  'folded behind': ['Content-Length: 5\r\n '],
  'behind a bare LF': ['x: 1\nContent-Length: 5'],
  'behind a bare CR': ['x: 1\rContent-Length: 5'],
  'behind a NUL': ['x: 1\x00Content-Length: 5'],
  'with a NUL in its name': ['Content\x00-Length: 5'],
  'with a space in its name': ['Content Length: 5'],
  'ended by LF': ['Content-Length: 5\n'],
  'ended by CR CR LF': ['Content-Length: 5\r'],
  'in upper case': ['CONTENT-LENGTH: 5'],
  'named by Connection': ['Content-Length: 5', 'Connection: Content-Length'],
})) {
  add('framing', `Content-Length ${name}`, post(lines, 'hello'))
  add('framing', `Content-Length ${name}, with a request behind`, post(lines, `hello${SMUGGLED}`))
}
add('framing', 'a body longer than its Content-Length', post(['Content-Length: 3'], 'hello'))
add('framing', 'a body shorter than its Content-Length', post(['Content-Length: 9'], 'hello'))
add('framing', 'a body without any length', post([], 'hello'))
add('framing', 'a request behind no body', post([], SMUGGLED))
for (const method of ['GET', 'HEAD', 'DELETE', 'OPTIONS', 'PUT', 'PATCH', 'QUERY']) add('framing', `${method} with a body and a request behind`, post(['Content-Length: 5'], `hello${SMUGGLED}`, `${method} /x HTTP/1.1`))

// ---------------------------------------------------------------- Transfer-Encoding

const CHUNKS = '5\r\nhello\r\n0\r\n\r\n'
for (const value of [
  'chunked', 'Chunked', 'CHUNKED', ' chunked', '\tchunked\t', 'chunked ', 'xchunked', 'chunkedx', 'chunk', 'x chunked', 'chunked x', 'chunked,', ',chunked', ', chunked', 'chunked, chunked', 'chunked,chunked', 'chunked, identity', 'identity',
  'identity, chunked', 'gzip, chunked', 'gzip', 'chunked, gzip', 'deflate, gzip, chunked', 'chunked;q=1', 'chunked; a=b', '"chunked"', "'chunked'", '\x0bchunked', '\x0cchunked', 'chunked\x0b', 'chun\x00ked', '\x00chunked', 'chunked\x00', 'chun ked', 'c\thunked',
  '', ' ', 'chunKed\xff', '\xa0chunked', 'chunked\xa0', 'trailers', 'cow', 'cow, chunked', 'chunked cow', 'x-chunked', 'chu\xadnked', '[chunked]', 'chunked=1',
]) {
  add('framing', `Transfer-Encoding: ${shown(value)}`, post([`Transfer-Encoding: ${value}`], CHUNKS))
  add('framing', `Transfer-Encoding: ${shown(value)} before Content-Length`, post([`Transfer-Encoding: ${value}`, 'Content-Length: 5'], `${CHUNKS}${SMUGGLED}`))
}
for (const [name, lines] of Object.entries({
  'behind Content-Length': ['Content-Length: 15', 'Transfer-Encoding: chunked'],
  'beside Content-Length: 0': ['Content-Length: 0', 'Transfer-Encoding: chunked'],
  'twice': ['Transfer-Encoding: chunked', 'Transfer-Encoding: chunked'],
  'twice, identity first': ['Transfer-Encoding: identity', 'Transfer-Encoding: chunked'],
  'twice, identity last': ['Transfer-Encoding: chunked', 'Transfer-Encoding: identity'],
  'twice, empty first': ['Transfer-Encoding:', 'Transfer-Encoding: chunked'],
  'twice, a coding in two lines': ['Transfer-Encoding: gzip', 'Transfer-Encoding: chunked'],
  'by underscore': ['Transfer_Encoding: chunked'],
  'by underscore beside Content-Length': ['Transfer_Encoding: chunked', 'Content-Length: 5'],
  'with space before its colon': ['Transfer-Encoding : chunked'],
  'with space before its colon beside Content-Length': ['Transfer-Encoding : chunked', 'Content-Length: 5'],
  'with tab before its colon': ['Transfer-Encoding\t: chunked'],
  'with a vertical tab before its colon': ['Transfer-Encoding\x0b: chunked'],
  'with NUL before its colon': ['Transfer-Encoding\x00: chunked'],
  'with leading space': [' Transfer-Encoding: chunked'],
  'with leading space beside Content-Length': ['Content-Length: 5', ' Transfer-Encoding: chunked'],
  'folded': ['Transfer-Encoding:\r\n chunked'],
  'folded by tab': ['Transfer-Encoding:\r\n\tchunked'],
  'folded beside Content-Length': ['Content-Length: 5', 'Transfer-Encoding:\r\n chunked'],
  'behind a bare LF': ['x: 1\nTransfer-Encoding: chunked'],
  'behind a bare LF beside Content-Length': ['Content-Length: 5', 'x: 1\nTransfer-Encoding: chunked'],
  'behind a bare CR beside Content-Length': ['Content-Length: 5', 'x: 1\rTransfer-Encoding: chunked'],
  'ended by LF': ['Transfer-Encoding: chunked\n'],
  'in another case': ['tRANSFER-eNCODING: chunked'],
  'named by Connection': ['Transfer-Encoding: chunked', 'Connection: Transfer-Encoding'],
  'with an X before': ['XTransfer-Encoding: chunked'],
  'with a colon more': ['Transfer-Encoding:: chunked'],
  'with a dot in its name': ['Transfer.Encoding: chunked'],
})) {
  add('framing', `Transfer-Encoding ${name}`, post(lines, CHUNKS))
  add('framing', `Transfer-Encoding ${name}, with a request behind`, post(lines, `${CHUNKS}${SMUGGLED}`))
}
add('framing', 'HTTP/1.0 chunked', post(['Transfer-Encoding: chunked'], CHUNKS, 'POST /x HTTP/1.0'))
add('framing', 'HTTP/1.0 chunked beside Content-Length', post(['Transfer-Encoding: chunked', 'Content-Length: 5'], CHUNKS, 'POST /x HTTP/1.0'))
add('framing', 'HTTP/1.0 kept alive and chunked', post(['Transfer-Encoding: chunked', 'Connection: keep-alive'], `${CHUNKS}${SMUGGLED}`, 'POST /x HTTP/1.0'))
for (const method of ['GET', 'HEAD', 'DELETE', 'OPTIONS']) add('framing', `${method} in chunks and a request behind`, post(['Transfer-Encoding: chunked'], `${CHUNKS}${SMUGGLED}`, `${method} /x HTTP/1.1`))

// ---------------------------------------------------------------- chunks

for (const [name, body] of Object.entries({
  'upper case size': 'A\r\n0123456789\r\n0\r\n\r\n',
  'zeros before a size': '0005\r\nhello\r\n0\r\n\r\n',
  'many zeros before a size': `${'0'.repeat(30)}5\r\nhello\r\n0\r\n\r\n`,
  'many zeros as the last size': `5\r\nhello\r\n${'0'.repeat(30)}\r\n\r\n`,
  'two zeros as the last size': '5\r\nhello\r\n00\r\n\r\n',
  'no size': '\r\nhello\r\n0\r\n\r\n',
  'only the last chunk': '0\r\n\r\n',
  'no last chunk': '5\r\nhello\r\n',
  'no empty line behind the last chunk': '5\r\nhello\r\n0\r\n',
  'space before a size': ' 5\r\nhello\r\n0\r\n\r\n',
  'tab before a size': '\t5\r\nhello\r\n0\r\n\r\n',
  'space behind a size': '5 \r\nhello\r\n0\r\n\r\n',
  'tab behind a size': '5\t\r\nhello\r\n0\r\n\r\n',
  'space behind the last size': '5\r\nhello\r\n0 \r\n\r\n',
  '0x before a size': '0x5\r\nhello\r\n0\r\n\r\n',
  'plus before a size': '+5\r\nhello\r\n0\r\n\r\n',
  'minus before a size': '-5\r\nhello\r\n0\r\n\r\n',
  'a size with a dot': '5.0\r\nhello\r\n0\r\n\r\n',
  'a size with a comma': '5,\r\nhello\r\n0\r\n\r\n',
  'a size with an underscore': '0_5\r\nhello\r\n0\r\n\r\n',
  'a size in quotes': '"5"\r\nhello\r\n0\r\n\r\n',
  'a size of letters': 'g\r\nhello\r\n0\r\n\r\n',
  'a size that wraps 32 bits': '100000005\r\nhello\r\n0\r\n\r\n',
  'a size that wraps 64 bits': '10000000000000005\r\nhello\r\n0\r\n\r\n',
  'a size of 2^63': '8000000000000000\r\nhello\r\n0\r\n\r\n',
  'a negative zero': '5\r\nhello\r\n-0\r\n\r\n',
  'NUL behind a size': '5\x00\r\nhello\r\n0\r\n\r\n',
  'an extension': '5;a\r\nhello\r\n0\r\n\r\n',
  'an extension with a value': '5;a=b\r\nhello\r\n0\r\n\r\n',
  'an extension with a quoted value': '5;a="b c"\r\nhello\r\n0\r\n\r\n',
  'an extension with CR LF in quotes': '5;a="b\r\n0\r\n\r\n"\r\nhello\r\n0\r\n\r\n',
  'an empty extension': '5;\r\nhello\r\n0\r\n\r\n',
  'an extension behind space': '5 ;a\r\nhello\r\n0\r\n\r\n',
  'an extension before space': '5; a\r\nhello\r\n0\r\n\r\n',
  'an extension with a bare LF': '5;a\nhello\r\n0\r\n\r\n',
  'an extension with a bare LF inside': '5;a\nb\r\nhello\r\n0\r\n\r\n',
  'an extension with a bare CR': '5;a\rb\r\nhello\r\n0\r\n\r\n',
  'an extension with NUL': '5;a\x00\r\nhello\r\n0\r\n\r\n',
  'an extension with obs-text': '5;\xe9\r\nhello\r\n0\r\n\r\n',
  'an extension without a semicolon': '5 a\r\nhello\r\n0\r\n\r\n',
  'an extension on the last chunk': '5\r\nhello\r\n0;a=b\r\n\r\n',
  'an extension of 2 KiB': `5;${'a'.repeat(2048)}\r\nhello\r\n0\r\n\r\n`,
  'an extension of 20 KiB': `5;${'a'.repeat(20_480)}\r\nhello\r\n0\r\n\r\n`,
  'a size ended by LF': '5\nhello\r\n0\r\n\r\n',
  'a size ended by CR': '5\rhello\r\n0\r\n\r\n',
  'a size ended by CR CR LF': '5\r\r\nhello\r\n0\r\n\r\n',
  'a size ended by LF CR': '5\n\rhello\r\n0\r\n\r\n',
  'data ended by LF': '5\r\nhello\n0\r\n\r\n',
  'data ended by CR': '5\r\nhello\r0\r\n\r\n',
  'data ended by nothing': '5\r\nhello0\r\n\r\n',
  'data ended by two other bytes': '5\r\nhelloXX0\r\n\r\n',
  'data ended by CR and another byte': '5\r\nhello\rX0\r\n\r\n',
  'data longer than its size': '4\r\nhello\r\n0\r\n\r\n',
  'data shorter than its size': '6\r\nhello\r\n0\r\n\r\n',
  'the last size ended by LF': '5\r\nhello\r\n0\n\r\n',
  'the end by LF': '5\r\nhello\r\n0\r\n\n',
  'the end by CR and another byte': '5\r\nhello\r\n0\r\n\rX',
  'the end by bare LFs': '5\r\nhello\r\n0\n\n',
  'all by bare LFs': '5\nhello\n0\n\n',
  'data that looks like the end': '7\r\n\r\n0\r\n\r\n\r\n0\r\n\r\n',
  'one byte chunks': '1\r\nh\r\n1\r\ne\r\n1\r\nl\r\n1\r\nl\r\n1\r\no\r\n0\r\n\r\n',
})) {
  add('framing', `chunks: ${name}`, post(['Transfer-Encoding: chunked'], body))
  if (body.endsWith('0\r\n\r\n')) add('framing', `chunks: ${name}, with a request behind`, post(['Transfer-Encoding: chunked'], `${body}${SMUGGLED}`))
}

// ---------------------------------------------------------------- trailers

for (const [name, trailers] of Object.entries({
  'one': 'x-t: 1\r\n',
  'announced': 'x-t: 1\r\n',
  'Host': 'Host: evil.test\r\n',
  'Content-Length': 'Content-Length: 100\r\n',
  'Transfer-Encoding': 'Transfer-Encoding: chunked\r\n',
  'Authorization': 'Authorization: x\r\n',
  'folded': 'x-t: 1\r\n 2\r\n',
  'without colon': 'x-t\r\n',
  'without name': ': 1\r\n',
  'with space before the colon': 'x-t : 1\r\n',
  'with leading space': ' x-t: 1\r\n',
  'ended by LF': 'x-t: 1\n',
  'with a bare CR': 'x-t: 1\r2\r\n',
  'with NUL': 'x-t: \x00\r\n',
  'that are a request': 'GET /smuggled HTTP/1.1\r\nHost: a.test\r\n',
  'with obs-text': 'x-t: \xe9\r\n',
  'of 20 KiB': `x-t: ${'a'.repeat(20_480)}\r\n`,
  '200 of them': 'x-t: 1\r\n'.repeat(200),
})) {
  add('trailer', name, post(name === 'announced' ? ['Trailer: x-t', 'Transfer-Encoding: chunked'] : ['Transfer-Encoding: chunked'], `5\r\nhello\r\n0\r\n${trailers}\r\n`))
}

// ---------------------------------------------------------------- Host

for (const value of [
  'a.test', 'A.TEST', 'a.test:80', 'a.test:8080', 'a', 'a.', 'a-b.test', 'a_b.test', '127.0.0.1', '127.0.0.1:80', '[::1]', '[::1]:80', '[::ffff:1.2.3.4]', 'xn--bcher-kva.test', '%61.test', '', ' ', '\t', 'a.test ', ' a.test', 'a test', 'a.test, b.test', 'a.test,b.test', 'a.test;b.test',
  'user@a.test', 'user:pass@a.test', 'a.test/', 'a.test/x', 'a.test?x', 'a.test#x', 'http://a.test', '//a.test', 'a.test:', 'a.test:x', 'a.test:-1', 'a.test:+80', 'a.test:80x', 'a.test:80:80', 'a.test:65536', 'a.test:99999999999', 'a.test:0x50', ':80', ':', '::1', '[::1', '::1]', '[]', '[a.test]',
  '[::1]x', '[::1]:x', '[::1%25lo]', '[::1]]', '[[::1]]', 'a[b', 'a\\b', 'a.test\\@b', 'a.test%00', 'a.test%0d%0ax: 1', 'a%', 'a%zz', 'a\x00b', 'a\x01b', 'a\x7fb', 'a\xe9b', 'a"b', "a'b", 'a<b', 'a|b', 'a^b', 'a`b', 'a{b}', '*', '*.test', '.', '..', '-', 'a..b', '.a', `${'a'.repeat(300)}.test`, 'a.test\x0b', 'a.test\x0c',
]) {
  add('host', `Host: ${shown(value)}`, `GET /x HTTP/1.1\r\nHost: ${value}\r\n\r\n`)
}
for (const [name, lines] of Object.entries({
  'none': [],
  'the same twice': [HOST, HOST],
  'two of them': [HOST, 'Host: b.test'],
  'twice by case': [HOST, 'HOST: b.test'],
  'an empty one and one': ['Host:', HOST],
  'one and an empty one': [HOST, 'Host:'],
  'one far behind another': [HOST, ...Array.from({ length: 20 }, (_, i) => `x-${i}: ${i}`), 'Host: b.test'],
  'folded': ['Host:\r\n a.test'],
  'with leading space': [' Host: a.test'],
  'with space before its colon': ['Host : a.test'],
  'with tab before its colon': ['Host\t: a.test'],
  'behind a bare LF': ['x: 1\nHost: a.test'],
  'behind a bare CR': ['x: 1\rHost: a.test'],
  'two, the other behind a bare LF': [HOST, 'x: 1\nHost: b.test'],
  'two, the other folded': [HOST, 'x: 1\r\n Host: b.test'],
  'with a NUL in its name': ['Ho\x00st: a.test'],
  'a name that begins so': [HOST, 'Hosts: b.test'],
  'named by Connection': [HOST, 'Connection: Host'],
  'only X-Forwarded-Host': ['X-Forwarded-Host: b.test'],
  'beside X-Forwarded-Host': [HOST, 'X-Forwarded-Host: b.test'],
  'beside X-Host and Forwarded': [HOST, 'X-Host: b.test', 'Forwarded: host=b.test'],
})) {
  add('host', name, ['GET /x HTTP/1.1', ...lines, '', ''].join('\r\n'))
  add('host', `HTTP/1.0 ${name}`, ['GET /x HTTP/1.0', ...lines, '', ''].join('\r\n'))
}

// ---------------------------------------------------------------- targets

for (const target of [
  '/', '/x', '//', '//b.test/x', '///', '/x//y', '/x/', '/?', '/?q', '/x?a=b&c', '/x??', '/x?/../y', '/%2F', '/%2f%2F', '/%00', '/%0d%0aX:1', '/%', '/%zz', '/%u0041', '/%25', '/a%20b', '/.', '/..', '/../x', '/x/..', '/x/./y', '/x/../y', '/%2e', '/%2e%2e/x', '/%2E%2E%2Fx', '/..%2fx', '/x/%2e./y', '/..;/x',
  '/x/..;a=b/y', '/...', '/x/.hidden', '/~x', "/!$&'()*+,;=:@-._~", '/[x]', '/{x}', '/x|y', '/x^y', '/`', '/"x"', '/<x>', '/x\\y', '\\x', '/\\..\\x', '/x#f', '#f', '/x y', '/x\ty', '/x\x00y', '/x\x01y', '/x\x7fy', '/x\xe9y', '/\xc3\xa9', '/x\x0by', '/x\ry', '/x\ny', 'x', 'x/y', '?q', '', '*', '*/x', '*?q', '.', '..',
  'a.test', 'a.test:80', ':80', 'http:', 'http:/', 'http://', 'http:///x', 'http://a.test', 'http://a.test/', 'http://a.test/x?y', 'http://a.test?y', 'http://a.test#f', 'http://a.test/x#f', 'HTTP://a.test/x', 'http://A.TEST/x', 'http://a.test:80/x', 'http://a.test:/x', 'http://b.test/x', 'http://b.test:8080/x',
  'http://u@a.test/x', 'http://u:p@a.test/x', 'http://a.test\\x', 'http://a.test@b.test/x', 'http://[::1]/x', 'http://[::1/x', 'http://a.test/../x', 'http://a.test//x', 'https://a.test/x', 'ftp://a.test/x', 'file:///etc/passwd', 'javascript:alert(1)', 'mailto:a@a.test', 'unix:/x', 'http://a%2etest/x', 'http://a.test%00/x',
  `/${'a'.repeat(4000)}`, `/${'a'.repeat(9000)}`, `/?${'q'.repeat(9000)}`,
]) {
  add(target.includes('://') ? 'host' : 'target', `GET ${shown(target)}`, get([], `GET ${target} HTTP/1.1`))
}
for (const target of ['*', '*x', '/', 'a.test:80', 'http://a.test', 'http://a.test/*']) add('target', `OPTIONS ${shown(target)}`, get([], `OPTIONS ${target} HTTP/1.1`))
for (const target of ['a.test:80', 'a.test', '/', 'http://a.test/', '*', 'b.test:80']) add('target', `CONNECT ${shown(target)}`, get([], `CONNECT ${target} HTTP/1.1`))

// ---------------------------------------------------------------- request lines

for (const line of [
  'GET /x HTTP/1.0', 'GET /x HTTP/1.1', 'GET /x HTTP/1.2', 'GET /x HTTP/1.9', 'GET /x HTTP/0.9', 'GET /x HTTP/2.0', 'GET /x HTTP/2', 'GET /x HTTP/3.0', 'GET /x HTTP/1', 'GET /x HTTP/1.', 'GET /x HTTP/.1', 'GET /x HTTP/1.10', 'GET /x HTTP/01.1', 'GET /x HTTP/1.1.1', 'GET /x HTTP/1,1', 'GET /x HTTP 1.1', 'GET /x http/1.1',
  'GET /x Http/1.1', 'GET /x HTTPS/1.1', 'GET /x XHTTP/1.1', 'GET /x HTTP/-1.1', 'GET /x HTTP/1.+1', 'GET /x HTTP/\xb9.1', 'GET /x', 'GET /x ', 'GET', 'GET ', '', ' ', 'GET  /x HTTP/1.1', 'GET /x  HTTP/1.1', 'GET\t/x HTTP/1.1', 'GET /x\tHTTP/1.1', 'GET /x HTTP/1.1 ', 'GET /x HTTP/1.1\t', ' GET /x HTTP/1.1', '\tGET /x HTTP/1.1',
  'GET /x HTTP/1.1\r', '\nGET /x HTTP/1.1', '\rGET /x HTTP/1.1', 'GET /x HTTP/1.1 x', 'GET /x HTTP/1.1 HTTP/1.0', 'GET /x y HTTP/1.1', 'get /x HTTP/1.1', 'Get /x HTTP/1.1', 'FOO /x HTTP/1.1', 'PURGE /x HTTP/1.1', 'PROPFIND /x HTTP/1.1', 'M-SEARCH * HTTP/1.1', 'TRACE /x HTTP/1.1', 'PRI * HTTP/2.0', 'G(T /x HTTP/1.1', 'G@T /x HTTP/1.1',
  'G\x00T /x HTTP/1.1', 'G\xe9T /x HTTP/1.1', '"GET" /x HTTP/1.1', 'GET:/x HTTP/1.1', `${'M'.repeat(100)} /x HTTP/1.1`, '\xef\xbb\xbfGET /x HTTP/1.1', '\x16\x03\x01\x02\x00\x01', 'HTTP/1.1 200 OK', 'GET\x0b/x HTTP/1.1', 'GET /x\x0cHTTP/1.1', 'GET\xa0/x HTTP/1.1',
]) {
  add('line', shown(line), get([], line))
}
add('line', 'one empty line before', `\r\n${get([])}`)
add('line', 'two empty lines before', `\r\n\r\n${get([])}`)
add('line', 'a bare LF before', `\n${get([])}`)
add('line', 'a bare CR before', `\r${get([])}`)
add('line', 'ended by LF', `GET /x HTTP/1.1\n${HOST}\r\n\r\n`)
add('line', 'ended by CR', `GET /x HTTP/1.1\r${HOST}\r\n\r\n`)
add('line', 'ended by LF CR', `GET /x HTTP/1.1\n\r${HOST}\r\n\r\n`)
add('line', 'a line that begins with space behind it', `GET /x HTTP/1.1\r\n x: 1\r\n${HOST}\r\n\r\n`)
add('line', 'all by bare LFs', `GET /x HTTP/1.1\n${HOST}\n\n`)

// ---------------------------------------------------------------- fields

for (const line of [
  'x: 1', 'x:1', 'x:\t1\t', 'x: ', 'x:', 'x:  1  2  ', 'x: \xe9\xff', 'x: a\tb', 'x: "a,b"; c', 'X-Very-Long-Name-Of-A-Field-That-Is-Still-A-Token: 1', "!#$%&'*+-.^_`|~09azAZ: 1", '__proto__: 1', 'constructor: 1', 'x_y: 1', '_: 1', 'x-forwarded_for: 1', 'X_Forwarded_For: 1.2.3.4', 'x : 1', 'x\t: 1', ' x: 1', '\tx: 1', 'x: 1\r\n 2', 'x: 1\r\n\t2',
  'x: 1\r\n ', 'x', 'x\r\ny: 1', ': 1', ':', 'x y: 1', 'x(y): 1', 'x/y: 1', 'x,y: 1', 'x;y: 1', 'x"y": 1', 'x@y: 1', 'x[y]: 1', 'x{y}: 1', 'x=y: 1', 'x\xe9: 1', 'x\x00: 1', 'x\x01: 1', 'x\x7f: 1', 'x\ry: 1', 'x: a\x00b', 'x: a\x01b', 'x: a\x08b', 'x: a\x0bb', 'x: a\x0cb', 'x: a\x1fb', 'x: a\x7fb', 'x: a\x80b', 'x: a\rb', 'x: a\nb', 'x: a\r\r\n',
  'x: a\n', 'x: a\r', 'x: a\n\r', '\rx: 1', '\nx: 1', 'x: 1\r\n\n', 'x: 1\r\nx: 2', 'x:: 1', `x: ${'a'.repeat(4000)}`, `x: ${'a'.repeat(20_000)}`, `${'n'.repeat(20_000)}: 1`, Array.from({ length: 90 }, (_, i) => `x-${i}: 1`).join('\r\n'), Array.from({ length: 120 }, (_, i) => `x-${i}: 1`).join('\r\n'),
  Array.from({ length: 2500 }, (_, i) => `x${i}:`).join('\r\n'),
]) {
  add('field', shown(line), get([line]))
}
add('field', 'ended by bare LFs', `GET /x HTTP/1.1\r\n${HOST}\nx: 1\n\n`)
add('field', 'the head ended by LF LF', `GET /x HTTP/1.1\r\n${HOST}\r\nx: 1\n\n`)
add('field', 'the head ended by CR LF LF', `GET /x HTTP/1.1\r\n${HOST}\r\n\n`)
add('field', 'the head ended by CR CR', `GET /x HTTP/1.1\r\n${HOST}\r\r`)
add('field', 'the head ended by CR LF CR and a byte', `GET /x HTTP/1.1\r\n${HOST}\r\n\rX`)

// ---------------------------------------------------------------- connection

for (const value of ['close', 'Close', 'keep-alive', 'Keep-Alive', 'close, keep-alive', 'keep-alive, close', 'x, close', 'close;q=1', '"close"', 'closed', '', ',', ', ,close', 'x-a', 'X-A, close', 'upgrade', 'TE', 'host, content-length', 'proxy-authorization', 'close\x00', 'a b']) {
  add('connection', `Connection: ${shown(value)}`, `${get([`Connection: ${value}`, 'X-A: 1'])}${SMUGGLED}`)
  add('connection', `HTTP/1.0 Connection: ${shown(value)}`, `${get([`Connection: ${value}`, 'X-A: 1'], 'GET /x HTTP/1.0')}${SMUGGLED}`)
}
for (const lines of [['Connection: close', 'Connection: keep-alive'], ['Connection: x', 'Connection: close'], ['Keep-Alive: timeout=5'], ['Proxy-Connection: close'], ['Proxy-Connection: keep-alive'], ['TE: trailers', 'Connection: TE'], ['TE: gzip'], ['Trailer: x'], ['Proxy-Authorization: x'], ['Proxy-Authenticate: x'], ['HTTP2-Settings: x']]) {
  add('connection', shown(lines.join(' ')), `${get(lines)}${SMUGGLED}`)
}

// ---------------------------------------------------------------- expect and upgrade

for (const value of ['100-continue', '100-Continue', '100-continue ', '100-continue, x', 'x', '', '200-ok', '"100-continue"', '100-continue;a=b', '100 continue', '100-continue\x00']) {
  add('expect', `Expect: ${shown(value)}`, post([`Expect: ${value}`, 'Content-Length: 5'], 'hello'))
  add('expect', `Expect: ${shown(value)} without a body`, get([`Expect: ${value}`]))
}
add('expect', 'in HTTP/1.0', post(['Expect: 100-continue', 'Content-Length: 5'], 'hello', 'POST /x HTTP/1.0'))
add('expect', 'twice', post(['Expect: 100-continue', 'Expect: 100-continue', 'Content-Length: 5'], 'hello'))

const KEY = 'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=='
for (const [name, lines] of Object.entries({
  'without Connection': ['Upgrade: websocket', KEY],
  'h2c': ['Upgrade: h2c', 'Connection: Upgrade, HTTP2-Settings', 'HTTP2-Settings: AAMAAABkAAQAAP__'],
  'h2c beside websocket': ['Upgrade: websocket, h2c', 'Connection: Upgrade', KEY],
  'unknown': ['Upgrade: foo/2', 'Connection: Upgrade'],
  'TLS/1.0': ['Upgrade: TLS/1.0', 'Connection: Upgrade'],
  'websocket without key': ['Upgrade: websocket', 'Connection: Upgrade'],
  'websocket with a short key': ['Upgrade: websocket', 'Connection: Upgrade', 'Sec-WebSocket-Key: x'],
  'websocket with two keys': ['Upgrade: websocket', 'Connection: Upgrade', KEY, KEY],
  'empty': ['Upgrade:', 'Connection: Upgrade'],
})) {
  add('upgrade', name, `${get(lines)}${SMUGGLED}`)
  add('upgrade', `${name}, in HTTP/1.0`, get(lines, 'GET /x HTTP/1.0'))
}
add('upgrade', 'websocket by POST', post(['Upgrade: websocket', 'Connection: Upgrade', KEY, 'Content-Length: 5'], 'hello'))
add('upgrade', 'websocket with a body', get(['Upgrade: websocket', 'Connection: Upgrade', KEY, 'Content-Length: 5']))
add('upgrade', 'websocket in chunks', post(['Upgrade: websocket', 'Connection: Upgrade', KEY, 'Transfer-Encoding: chunked'], CHUNKS, 'GET /x HTTP/1.1'))

export const requests: readonly RawRequest[] = all
