/** The certificates of the admin listener, read again when they change. */
import { readFile } from 'node:fs/promises'
import type { Server } from 'node:http'
import { createSecureContext, type Server as TlsServer } from 'node:tls'
import type { ServerTls } from '../../config/config.ts'
import type { Clock } from '../clock.ts'
import type { Log } from '../plugin.ts'

const LOOK_MS = 10_000

interface Pem {
  readonly cert: Buffer
  readonly key: Buffer
  readonly ca?: Buffer
}

export interface Certificates {
  readonly current: Pem & { readonly requestCert: boolean; readonly rejectUnauthorized: boolean; readonly minVersion: 'TLSv1.2' }
  /** Gives the server new certificates when the files have some. */
  serve(server: Server): void
  close(): void
}

/** @throws when a file cannot be read or is no certificate or key */
export async function certificates(tls: ServerTls, { clock, log }: { readonly clock: Clock; readonly log: Log }): Promise<Certificates> {
  let pem = await read(tls)
  createSecureContext(pem)
  let server: Server | null = null
  let failing = false

  async function look(): Promise<void> {
    try {
      const found = await read(tls)
      if (same(found, pem)) return
      // Throws when the key does not fit the certificate yet: the two files are not replaced at once.
      createSecureContext(found)
      ;(server as TlsServer | null)?.setSecureContext({ ...found, minVersion: 'TLSv1.2' })
      pem = found
      failing = false
      log.info('the admin listener has a new certificate')
    } catch (error) {
      if (!failing) log.warn('the certificate of the admin listener cannot be read again; the old one stays', { error })
      failing = true
    }
  }

  const timer = clock.every(LOOK_MS, () => void look())
  const mutual = tls.client_ca !== null
  return {
    current: { ...pem, requestCert: mutual, rejectUnauthorized: mutual, minVersion: 'TLSv1.2' },
    serve: (to) => void (server = to),
    close: () => timer.cancel(),
  }
}

async function read({ cert, key, client_ca }: ServerTls): Promise<Pem> {
  const [certPem, keyPem, caPem] = await Promise.all([readFile(cert), readFile(key), client_ca === null ? null : readFile(client_ca)])
  return { cert: certPem, key: keyPem, ...(caPem === null ? {} : { ca: caPem }) }
}

function same(a: Pem, b: Pem): boolean {
  return a.cert.equals(b.cert) && a.key.equals(b.key) && (a.ca === undefined ? b.ca === undefined : b.ca !== undefined && a.ca.equals(b.ca))
}
