/** Memory that all data threads see, by key. What the running configuration does not ask for is let go. */

/** More than a bounded configuration can ask for. */
const MAX_PIECES = 4096

export class SharedMemory {
  readonly #pieces = new Map<string, SharedArrayBuffer>()
  #asked = new Set<string>()

  get size(): number {
    return this.#pieces.size
  }

  /** Zeroed at first; everyone who asks by this key and size gets the same. */
  piece(key: string, bytes: number): SharedArrayBuffer {
    const name = `${bytes} ${key}`
    this.#asked.add(name)
    const known = this.#pieces.get(name)
    if (known !== undefined) return known
    if (this.#pieces.size >= MAX_PIECES) throw new Error(`more than ${MAX_PIECES} shared pieces of memory`)
    const made = new SharedArrayBuffer(bytes)
    this.#pieces.set(name, made)
    return made
  }

  /** A configuration is about to be built. */
  begin(): void {
    this.#asked = new Set()
  }

  /** It runs now: what nobody asked for since `begin` is let go. Threads that still hold it keep it alive. */
  commit(): void {
    for (const name of this.#pieces.keys()) if (!this.#asked.has(name)) this.#pieces.delete(name)
  }
}
