/** The bytes of a file as text: read in pieces, unpacked where its name ends in `.gz`, and strictly UTF-8. */
import { createReadStream, statSync } from 'node:fs'
import { createGunzip } from 'node:zlib'
import { DataError, type Progress } from './table.ts'

const PIECE = 1 << 20
/** Of one line: two bodies of the largest size a log keeps, as base64. */
const MAX_LINE = 64 << 20

/** @throws DataError */
export function progressOf(file: string, total: number | null = null): Progress {
  try {
    return { read: 0, bytes: statSync(file).size, rows: 0, total }
  } catch (error) {
    throw new DataError(`${file}: cannot be read: ${(error as Error).message}`, { cause: error })
  }
}

/** Pieces of text without a byte order mark; none is empty. @throws DataError */
export async function* textOf(file: string, progress: Progress): AsyncGenerator<string, void> {
  const bytes = createReadStream(file, { highWaterMark: PIECE })
  bytes.on('data', (piece) => void (progress.read += piece.length))
  const decoder = new TextDecoder('utf-8', { fatal: true })
  const stream = file.endsWith('.gz') ? bytes.pipe(createGunzip({ chunkSize: PIECE })) : bytes
  // `pipe` hands no errors on.
  if (stream !== bytes) bytes.on('error', (error) => stream.destroy(error))
  try {
    for await (const piece of stream) {
      const text = decoder.decode(piece as Buffer, { stream: true })
      if (text !== '') yield text
    }
    decoder.decode()
  } catch (error) {
    if (error instanceof TypeError) throw new DataError(`${file}: expected UTF-8, found other bytes before byte ${progress.read}; convert it first, for example with \`iconv -f latin1 -t utf-8\``, { cause: error })
    throw error instanceof DataError ? error : new DataError(`${file}: cannot be read: ${(error as Error).message}`, { cause: error })
  } finally {
    bytes.destroy()
  }
}

/** Lines of a piece. `whole`: each had a line break; without one at its end the last line of a file comes alone, and may be half of one. */
export interface Lines {
  readonly texts: readonly string[]
  readonly whole: boolean
}

/** @throws DataError */
export async function* linesOf(file: string, progress: Progress): AsyncGenerator<Lines, void> {
  let rest = ''
  let number = 0
  for await (const text of textOf(file, progress)) {
    const texts = (rest + text).split('\n')
    rest = texts.pop()!
    number += texts.length
    if (rest.length > MAX_LINE) throw new DataError(`${file}:${number + 1}: expected at most ${MAX_LINE >> 20} MiB in a line`)
    if (texts.length > 0) yield { texts, whole: true }
  }
  if (rest.trim() !== '') yield { texts: [rest], whole: false }
}
