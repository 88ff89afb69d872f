/** Two sockets joined byte for byte after a 101. Either side pauses the other; when one dies the other does. */
import type { Duplex } from 'node:stream'
import type { Deadlines, Waiting } from './deadlines.ts'

export class RawEnd implements Waiting {
  deadline = 0
  readonly #socket: Duplex
  readonly #deadlines: Deadlines
  readonly #idleMs: number
  readonly #closed: () => void
  #peer: RawEnd | null = null
  #ended = false

  /** @param closed called once when this end is gone */
  constructor(socket: Duplex, deadlines: Deadlines, idleMs: number, closed: () => void) {
    this.#socket = socket
    this.#deadlines = deadlines
    this.#idleMs = idleMs
    this.#closed = closed
    deadlines.add(this)
    deadlines.set(this, idleMs)
    socket.on('drain', () => this.#peer?.resume())
  }

  /** Joins both ends. */
  join(peer: RawEnd): void {
    this.#peer = peer
    peer.#peer = this
  }

  /** Bytes arrived at this end. @param chunk valid during the call */
  received(chunk: Buffer): void {
    this.#touch()
    if (this.#peer !== null && !this.#peer.write(chunk)) this.#socket.pause()
  }

  write(chunk: Buffer): boolean {
    this.#touch()
    return this.#socket.destroyed ? true : this.#socket.write(Buffer.from(chunk))
  }

  resume(): void {
    if (!this.#socket.destroyed) this.#socket.resume()
  }

  /** This end will send no more: half-close the other. */
  ended(): void {
    if (this.#ended) return
    this.#ended = true
    const peer = this.#peer
    if (peer === null) return this.destroy()
    peer.#socket.end()
    if (peer.#ended) this.#endBoth()
  }

  /** This end is gone, so is the other. */
  destroy(): void {
    const peer = this.#peer
    this.#peer = null
    this.#release()
    if (peer !== null) peer.destroy()
  }

  deadlinePassed(): void {
    // One idle direction is no idle tunnel: the deadline is the younger of the two.
    const peer = this.#peer
    if (peer !== null && peer.deadline > this.#deadlines.now()) this.#deadlines.setAt(this, peer.deadline)
    else this.destroy()
  }

  #endBoth(): void {
    // Both directions are finished; what is still buffered is flushed by `end`.
    this.#deadlines.set(this, Math.min(this.#idleMs || 1000, 1000))
  }

  #touch(): void {
    if (this.#idleMs !== 0) this.#deadlines.set(this, this.#idleMs)
  }

  #release(): void {
    this.#deadlines.remove(this)
    this.#socket.destroy()
    this.#closed()
  }
}
