import { expect, test } from 'vitest'
import { encodedPath, signed } from '../../gateway/records/sinks/sigv4.ts'

/** Amazon S3 API reference, "Signature Calculations for the Authorization Header: Transferring Payload in a Single Chunk", examples. */
const CREDENTIALS = { access_key: 'AKIAIOSFODNN7EXAMPLE', secret_key: 'wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY', session_token: '' }
const WALL = Date.UTC(2013, 4, 24)
const HOST = 'examplebucket.s3.amazonaws.com'
const EMPTY = Buffer.alloc(0)

test.each([
  ['GET Object', { method: 'GET', path: '/test.txt', query: '', headers: ['Range', 'bytes=0-9'], body: EMPTY }, 'host;range;x-amz-content-sha256;x-amz-date', 'f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41'],
  ['PUT Object', { method: 'PUT', path: encodedPath('/test$file.text'), query: '', headers: ['Date', 'Fri, 24 May 2013 00:00:00 GMT', 'x-amz-storage-class', 'REDUCED_REDUNDANCY'], body: Buffer.from('Welcome to Amazon S3.') }, 'date;host;x-amz-content-sha256;x-amz-date;x-amz-storage-class', '98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd'],
  ['GET Bucket Lifecycle', { method: 'GET', path: '/', query: 'lifecycle=', headers: [], body: EMPTY }, 'host;x-amz-content-sha256;x-amz-date', 'fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543'],
  ['GET Bucket (List Objects)', { method: 'GET', path: '/', query: 'max-keys=2&prefix=J', headers: [], body: EMPTY }, 'host;x-amz-content-sha256;x-amz-date', '34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7'],
])('AWS’s example “%s”', (_name, request, names, signature) => {
  const fields = signed({ ...request, host: HOST }, CREDENTIALS, 'us-east-1', WALL)
  expect(fields.at(-1)).toBe(`AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request, SignedHeaders=${names}, Signature=${signature}`)
  expect(fields).toContain('20130524T000000Z')
})

test('a token of temporary credentials is sent and signed', () => {
  const fields = signed({ method: 'GET', path: '/', query: '', host: HOST, headers: [], body: EMPTY }, { ...CREDENTIALS, session_token: 'token' }, 'us-east-1', WALL)
  expect(fields[fields.indexOf('x-amz-security-token') + 1]).toBe('token')
  expect(fields.at(-1)).toContain('SignedHeaders=host;x-amz-content-sha256;x-amz-date;x-amz-security-token,')
})

test.each([['/a b/c=1', '/a%20b/c%3D1'], ["/!'()*~", '/%21%27%28%29%2A~'], ['/é+%', '/%C3%A9%2B%25']])('the key %j is the path %s', (key, path) => expect(encodedPath(key)).toBe(path))
