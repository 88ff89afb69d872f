/** What the fuzzer or a reviewer once found, kept for ever: [what was wrong, kind, bytes (latin1), cuts]. */
import type { Kind } from './fuzz.ts'

export const regressions: readonly (readonly [why: string, kind: Kind, raw: string, cuts: readonly number[]])[] = [
  ['a bad byte at the end of what had come was told only with the next', 'request', 'GET / HTTP/1.1\r\nHost: a\r\nx: a\x00', [31]],
  ['an empty line by itself was held for the beginning of a head', 'request', '\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n', [1, 2]],
  ['a chunk extension could be anything', 'request', 'POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1;a="\r\n', [60]],
  ['an informational answer could have a body', 'answer', 'HTTP/1.1 103 X\r\nContent-Length: 5\r\n\r\nhello', [20]],
]
