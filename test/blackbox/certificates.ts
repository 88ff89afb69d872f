/** Certificates made by openssl when a test needs them; valid for a day, in a folder that the caller removes. */
import { execFile } from 'node:child_process'
import { readFile, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { promisify } from 'node:util'

const run = promisify(execFile)
const EC = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-batch']

/** Paths of PEM files. */
export interface Pair {
  readonly cert: string
  readonly key: string
}

/** A certificate that signs others; self-signed. */
export async function makeAuthority(folder: string, name: string): Promise<Pair> {
  const pair = pairOf(folder, name)
  await run('openssl', ['req', '-x509', ...EC, '-days', '1', '-subj', `/CN=${name}`, '-keyout', pair.key, '-out', pair.cert])
  return pair
}

/** A certificate for these names (`DNS:a.test`, `IP:127.0.0.1`), signed by `authority`. @param subject its CN */
export async function makeCertificate(folder: string, subject: string, names: readonly string[], authority: Pair): Promise<Pair> {
  const pair = pairOf(folder, `${subject}-${path.basename(authority.cert, '.crt')}`)
  const asked = `${pair.cert}.csr`
  const extensions = `${pair.cert}.ext`
  await run('openssl', ['req', ...EC, '-subj', `/CN=${subject}`, '-keyout', pair.key, '-out', asked])
  await writeFile(extensions, `subjectAltName=${names.join(',')}\n`)
  await run('openssl', ['x509', '-req', '-in', asked, '-CA', authority.cert, '-CAkey', authority.key, '-CAcreateserial', '-days', '1', '-extfile', extensions, '-out', pair.cert])
  return pair
}

/** The files' content, as `tls.createServer` takes it. */
export async function load(pair: Pair): Promise<{ cert: Buffer; key: Buffer }> {
  const [cert, key] = await Promise.all([readFile(pair.cert), readFile(pair.key)])
  return { cert, key }
}

function pairOf(folder: string, name: string): Pair {
  return { cert: path.join(folder, `${name}.crt`), key: path.join(folder, `${name}.key`) }
}
