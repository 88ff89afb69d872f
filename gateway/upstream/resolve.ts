/**
 * A host name resolved again and again: every address it stands for becomes an endpoint. Addresses of one family only, IPv4 if there is any
 * (a machine with both would count twice, and one family may lead nowhere); at most 64. After a failure the last good answer stays.
 */
import { lookup } from 'node:dns/promises'
import net from 'node:net'
import type { Clock, Timer } from '../clock.ts'

const JITTER = 0.1
export const MAX_ADDRESSES = 64

/** All addresses of a name. */
export type Lookup = (host: string) => Promise<readonly string[]>

/** As the platform resolves (hosts file, DNS, …). */
export const platformLookup: Lookup = async (host) => (await lookup(host, { all: true })).map(({ address }) => address)

export interface NameDeps {
  readonly clock: Clock
  readonly random: () => number
  readonly lookup: Lookup
  /** The name stands for others than before. Never empty. */
  readonly changed: (addresses: readonly string[]) => void
  readonly resolved: (good: boolean) => void
}

export class Name {
  readonly #host: string
  readonly #refreshMs: number
  readonly #deps: NameDeps
  #timer: Timer | null = null
  #addresses: readonly string[] = []
  #closed = false

  constructor(host: string, refreshMs: number, deps: NameDeps) {
    this.#host = host
    this.#refreshMs = refreshMs
    this.#deps = deps
    void this.#resolve()
  }

  async #resolve(): Promise<void> {
    const { clock, random, lookup, resolved } = this.#deps
    const found = await lookup(this.#host).then(usable, () => [])
    if (this.#closed) return
    this.#timer = clock.after(this.#refreshMs * (1 - JITTER + 2 * JITTER * random()), () => void this.#resolve())
    resolved(found.length > 0)
    if (found.length === 0 || same(found, this.#addresses)) return
    this.#addresses = found
    this.#deps.changed(found)
  }

  close(): void {
    this.#closed = true
    this.#timer?.cancel()
  }
}

function usable(addresses: readonly string[]): readonly string[] {
  const four = addresses.filter(net.isIPv4)
  // Sorted, so that of too many always the same are taken.
  return [...new Set(four.length > 0 ? four : addresses.filter(net.isIPv6))].toSorted().slice(0, MAX_ADDRESSES)
}

function same(a: readonly string[], b: readonly string[]): boolean {
  return a.length === b.length && a.every((address, i) => address === b[i])
}
