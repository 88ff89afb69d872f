/** The bytes of a file as text: read in pieces, unpacked where its name ends in `.gz`, and strictly UTF-8. */
import { createReadStream, statSync } from 'node:fs'
import { createGunzip } from 'node:zlib'
import { DataError, type Progress } from './table.ts'

const PIECE = 1 << 20

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
