/**
 * AWS Signature Version 4 of a request with one `Authorization` field and a body that is signed as a whole (Amazon S3 API reference,
 * "Authenticating Requests: Using the Authorization Header").
 *
 * Of our own, since what a sink needs are these lines: the libraries that exist bring clients with retries and clocks of their own, and sign
 * for `fetch`.
 */
import { createHash, createHmac } from 'node:crypto'

export interface Credentials {
  readonly access_key: string
  readonly secret_key: string
  /** '' = none. */
  readonly session_token: string
}

export interface Unsigned {
  readonly method: string
  /** As in the request, encoded by `encodedPath`. */
  readonly path: string
  /** Encoded, sorted by name; '' = none. */
  readonly query: string
  /** As in the field `host`. */
  readonly host: string
  /** Flat; all are signed. */
  readonly headers: readonly string[]
  readonly body: Uint8Array
}

const SERVICE = 's3'

/** @param wall Unix milliseconds @returns flat: the fields of the request and those of the signature, `host` left out */
export function signed({ method, path, query, host, headers, body }: Unsigned, { access_key, secret_key, session_token }: Credentials, region: string, wall: number): string[] {
  const at = new Date(wall).toISOString().replace(/[:-]|\.\d{3}/g, '')
  const digest = sha256(body)
  const all = [...headers, 'x-amz-content-sha256', digest, 'x-amz-date', at, ...(session_token === '' ? [] : ['x-amz-security-token', session_token])]
  const named = [['host', host], ...pairs(all)].toSorted(([a], [b]) => (a! < b! ? -1 : 1))
  const names = named.map(([name]) => name).join(';')
  const canonical = [method, path, query, ...named.map(([name, value]) => `${name}:${value!.trim().replace(/ +/g, ' ')}`), '', names, digest].join('\n')
  const scope = `${at.slice(0, 8)}/${region}/${SERVICE}/aws4_request`
  const key = [at.slice(0, 8), region, SERVICE, 'aws4_request'].reduce<Buffer | string>((secret, part) => createHmac('sha256', secret).update(part).digest(), `AWS4${secret_key}`)
  const signature = createHmac('sha256', key).update(`AWS4-HMAC-SHA256\n${at}\n${scope}\n${sha256(canonical)}`).digest('hex')
  return [...all, 'authorization', `AWS4-HMAC-SHA256 Credential=${access_key}/${scope}, SignedHeaders=${names}, Signature=${signature}`]
}

/** A key as a path: everything but unreserved characters (RFC 3986) and `/` is encoded, once, as S3 wants it. */
export function encodedPath(key: string): string {
  return encodeURIComponent(key).replace(/[!'()*]/g, (character) => `%${character.charCodeAt(0).toString(16).toUpperCase()}`).replaceAll('%2F', '/')
}

function pairs(flat: readonly string[]): [string, string][] {
  return flat.flatMap((name, i): [string, string][] => (i % 2 === 0 ? [[name.toLowerCase(), flat[i + 1]!]] : []))
}

function sha256(data: Uint8Array | string): string {
  return createHash('sha256').update(data).digest('hex')
}
