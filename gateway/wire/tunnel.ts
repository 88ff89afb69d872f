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
  /** What arrived before there was anybody to give it to. */
  #early: Buffer[] = []
  #ended = false
  #gone = false

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

  /** Joins both ends; what came before goes first. */
  join(peer: RawEnd): void {
    if (this.#gone) return peer.destroy()
    if (peer.#gone) return this.destroy()
    this.#peer = peer
    peer.#peer = this
    this.#joined()
    peer.#joined()
  }

  #joined(): void {
    const early = this.#early
    this.#early = []
    this.resume()
    for (const chunk of early) this.received(chunk)
    if (this.#ended) this.#peer?.finish()
  }

  /** Bytes arrived at this end. @param chunk valid during the call */
  received(chunk: Buffer): void {
    if (this.#gone) return
    this.#touch()
    if (this.#peer === null) {
      this.#early.push(Buffer.from(chunk))
      this.#socket.pause()
    } else if (!this.#peer.write(chunk)) this.#socket.pause()
  }

  write(chunk: Buffer): boolean {
    this.#touch()
    return this.#socket.destroyed ? true : this.#socket.write(Buffer.from(chunk))
  }

  resume(): void {
    if (!this.#socket.destroyed) this.#socket.resume()
  }

  /** This end will send no more: half-close the other. When both have, the sockets close by themselves. */
  ended(): void {
    if (this.#ended) return
    this.#ended = true
    this.#peer?.finish()
  }

  /** Nothing more will be written to this end. */
  finish(): void {
    this.#socket.end()
  }

  /** This end is gone, so is the other. */
  destroy(): void {
    if (this.#gone) return
    this.#gone = true
    const peer = this.#peer
    this.#peer = null
    this.#early = []
    this.#deadlines.remove(this)
    this.#socket.destroy()
    this.#closed()
    peer?.destroy()
  }

  deadlinePassed(): void {
    // One idle direction is no idle tunnel: the deadline is the younger of the two.
    const peer = this.#peer
    if (peer !== null && peer.deadline > this.#deadlines.now()) this.#deadlines.setAt(this, peer.deadline)
    else this.destroy()
  }

  #touch(): void {
    if (this.#idleMs !== 0) this.#deadlines.set(this, this.#idleMs)
  }
}
