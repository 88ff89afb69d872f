/** `manifest.sha256` in the folder of a version, as `sha256sum` writes it: if it is there, what it lists must be what is there. */
import { createHash } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { open, realpath } from 'node:fs/promises'
import { basename, dirname, isAbsolute, join, sep } from 'node:path'
import { clip } from '../../payload/json.ts'

export const MANIFEST_FILE = 'manifest.sha256'
/** More lines than a version has files. */
const MAX_BYTES = 1 << 20
/** `<hex>  <file>`, or ` *` for what sha256sum read as binary. */
const LINE = /^([0-9a-f]{64}) [ *](.+)$/i
/** Digits of a digest that tell two apart for a reader. */
const SHOWN = 12

/** @param file the model's own @returns why the version must not be loaded, or null; also when it has no manifest */
export async function checkManifest(file: string): Promise<string | null> {
  const folder = dirname(file)
  const text = await read(join(folder, MANIFEST_FILE))
  if (text === null) return null
  if (text.length > MAX_BYTES) return `${MANIFEST_FILE} is larger than ${MAX_BYTES} bytes`
  const listed = new Map<string, string>()
  for (const [i, line] of text.split(/\r?\n/).entries()) {
    if (line.trim() === '') continue
    const [, digest, name] = LINE.exec(line) ?? []
    if (digest === undefined || name === undefined) return `${MANIFEST_FILE} line ${i + 1}: expected a sha256 digest, two spaces and a file`
    listed.set(name.replace(/^\.\//, ''), digest.toLowerCase())
  }
  if (!listed.has(basename(file))) return `${MANIFEST_FILE} does not list ${basename(file)}`
  for (const [name, digest] of listed) {
    const complaint = await checkFile(folder, name, digest)
    if (complaint !== null) return complaint
  }
  return null
}

async function checkFile(folder: string, name: string, expected: string): Promise<string | null> {
  const shown = clip(name)
  if (isAbsolute(name) || name.split(/[\\/]/).includes('..')) return `${MANIFEST_FILE} lists "${shown}", which leaves the folder`
  const real = await realpath(join(folder, name)).catch(() => null)
  if (real === null) return `${MANIFEST_FILE} lists "${shown}", which is not there`
  if (!real.startsWith((await realpath(folder)) + sep)) return `${MANIFEST_FILE} lists "${shown}", which leaves the folder`
  const found = await digestOf(real).catch(() => null)
  if (found === null) return `"${shown}", which ${MANIFEST_FILE} lists, cannot be read`
  if (found === expected) return null
  return `"${shown}" is not what ${MANIFEST_FILE} says: expected sha256 ${expected.slice(0, SHOWN)}…, found ${found.slice(0, SHOWN)}…`
}

async function digestOf(file: string): Promise<string> {
  const hash = createHash('sha256')
  for await (const chunk of createReadStream(file) as AsyncIterable<Buffer>) hash.update(chunk)
  return hash.digest('hex')
}

/** Of a file that is absurdly large, as much as shows that. @returns null when there is none */
async function read(file: string): Promise<string | null> {
  const handle = await open(file).catch(() => null)
  if (handle === null) return null
  try {
    const { buffer, bytesRead } = await handle.read(Buffer.alloc(MAX_BYTES + 1), 0, MAX_BYTES + 1, 0)
    return buffer.toString('utf8', 0, bytesRead)
  } finally {
    await handle.close()
  }
}
