/** Files and stdout as places for lines. */
import { close, constants, fstatSync, openSync, write } from 'node:fs'
import type { Destination } from './writer.ts'

/** POSIX keeps a write to a pipe in one piece up to PIPE_BUF bytes, 4096 on Linux; several threads share stdout. */
const PIPE_PIECE = 4096
/** A write to a file opened for appending stays in one piece whatever its size. */
const FILE_PIECE = 256 << 10

/** Appends; makes the file if there is none. @throws when it cannot be opened */
export function fileDestination(path: string): Destination {
  return descriptor(openSync(path, constants.O_WRONLY | constants.O_APPEND | constants.O_CREAT, 0o640), true)
}

/** Standard output. */
export function stdoutDestination(): Destination {
  return standard('/dev/stdout', 1)
}

/** Standard error. */
export function stderrDestination(): Destination {
  return standard('/dev/stderr', 2)
}

/**
 * A pipe or terminal is opened anew where the system allows, so that a reader who stopped reading makes writes fail at once (EAGAIN)
 * instead of holding one of the few threads that also resolve host names. A file is not: it must keep the offset it shares with
 * everybody else who writes there.
 */
function standard(path: string, fd: number): Destination {
  if (fstatSync(fd).isFile()) return descriptor(fd, false)
  try {
    return descriptor(openSync(path, constants.O_WRONLY | constants.O_NONBLOCK), true)
  } catch {
    return descriptor(fd, false)
  }
}

function descriptor(fd: number, ours: boolean): Destination {
  const pieceBytes = fstatSync(fd).isFile() ? FILE_PIECE : PIPE_PIECE
  return {
    pieceBytes,
    write: (bytes, done) => write(fd, bytes, 0, bytes.length, null, (error, written) => done(error, written)),
    close: () => {
      if (ours) close(fd, () => undefined)
    },
  }
}
