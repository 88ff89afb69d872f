/** A mutation fuzzer over the corpus, seeded, against the codec alone: no sockets, no clock. */
import { type Reading, StreamReader } from '../../wire/helpers.ts'
import { answers } from './answers.ts'
import { requests } from './requests.ts'

export type Kind = 'request' | 'answer'

/** mulberry32: small, seeded, good enough to choose with. */
export function random(seed: number): () => number {
  let state = seed >>> 0
  return function next() {
    state = (state + 0x6d2b79f5) >>> 0
    let t = state
    t = Math.imul(t ^ (t >>> 15), t | 1)
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61)
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296
  }
}

export const LIMITS = { head_bytes: 2048, fields: 20, target_bytes: 256 }

/** What grammar-blind mutations rarely hit. */
const PIECES = [
  '\r\n', '\n', '\r', '\r\n\r\n', '\0', ' ', '\t', ':', ';', ',', '"', '\\', '\x7f', '\xff', '\x80', '0\r\n\r\n', '5\r\nhello\r\n', 'ffffffffffff\r\n', '0', '00000000000000000', 'Content-Length: 5\r\n', 'Content-Length: 0\r\n', 'Transfer-Encoding: chunked\r\n', 'transfer-encoding:', 'Host: a\r\n', 'Host:', 'Connection: close\r\n',
  'Connection: x\r\n', 'Expect: 100-continue\r\n', 'Upgrade: websocket\r\n', 'HTTP/1.1', 'HTTP/1.0', ' HTTP/1.1\r\n', 'GET / HTTP/1.1\r\nHost: a\r\n\r\n', 'HTTP/1.1 200 OK\r\n', 'HTTP/1.1 100 Continue\r\n\r\n', 'HTTP/1.1 204 X\r\n\r\n', 'x'.repeat(300), ';x=y', '..', '/../', '%2e', '%', '[::1]', '_', '-',
].map((piece) => Buffer.from(piece, 'latin1'))

export class Fuzzer {
  readonly #next: () => number
  readonly #seeds: Record<Kind, readonly Buffer[]>

  constructor(seed: number) {
    this.#next = random(seed)
    const short = (all: readonly { readonly raw: string }[]): Buffer[] => all.filter(({ raw }) => raw.length < 1500).map(({ raw }) => Buffer.from(raw, 'latin1'))
    this.#seeds = { request: short(requests), answer: short(answers) }
  }

  chance(below: number): number {
    return Math.floor(this.#next() * below)
  }

  /** A case of the corpus, changed one to eight times. */
  mutant(kind: Kind): Buffer {
    const seeds = this.#seeds[kind]
    let data = seeds[this.chance(seeds.length)]!
    for (let times = 1 + this.chance(8); times > 0; times--) data = this.#mutated(data, seeds)
    return data
  }

  #mutated(data: Buffer, seeds: readonly Buffer[]): Buffer {
    const at = this.chance(data.length + 1)
    const to = Math.min(data.length, at + 1 + this.chance(12))
    const replaced = (middle: Buffer, behind = to): Buffer => Buffer.concat([data.subarray(0, at), middle, data.subarray(behind)])
    switch (this.chance(7)) {
      case 0:
        return replaced(Buffer.alloc(0))
      case 1:
        return replaced(PIECES[this.chance(PIECES.length)]!, at)
      case 2:
        return replaced(PIECES[this.chance(PIECES.length)]!)
      case 3:
        return replaced(Buffer.from([this.chance(256)]), Math.min(data.length, at + 1))
      case 4:
        return replaced(Buffer.concat([data.subarray(at, to), data.subarray(at, to)]))
      case 5: {
        const other = seeds[this.chance(seeds.length)]!
        return Buffer.concat([data.subarray(0, at), other.subarray(this.chance(other.length + 1))])
      }
      default:
        return data.length > 4000 ? data.subarray(0, 2000) : Buffer.concat([data, seeds[this.chance(seeds.length)]!])
    }
  }

  cuts(length: number): number[] {
    if (length < 200 && this.chance(4) === 0) return Array.from({ length }, (_, i) => i + 1)
    return Array.from({ length: this.chance(10) }, () => this.chance(length + 1))
  }
}

/** @throws whatever is not as it must be: another error than a `WeirError`, a result that depends on the cut, bytes made or kept without end */
export function check(kind: Kind, data: Buffer, cuts: readonly number[], bodyless: boolean): Reading {
  const whole = readCut(kind, data, [], bodyless)
  const cut = readCut(kind, data, cuts, bodyless)
  if (JSON.stringify(whole) !== JSON.stringify(cut)) throw new Error(`the result depends on the cut: ${JSON.stringify(whole)} whole, ${JSON.stringify(cut)} cut`)
  return whole
}

function readCut(kind: Kind, data: Buffer, cuts: readonly number[], bodyless: boolean): Reading {
  const reader = new StreamReader(kind, LIMITS, bodyless)
  let from = 0
  for (const cut of [...new Set(cuts), data.length].sort((a, b) => a - b)) {
    reader.push(data.subarray(from, cut))
    from = cut
    if (reader.kept.length > LIMITS.head_bytes + 2) throw new Error(`${reader.kept.length} bytes are kept of a head that may have ${LIMITS.head_bytes}`)
  }
  const reading = reader.result()
  if (reading.consumed > data.length) throw new Error(`${reading.consumed} bytes were read of ${data.length}`)
  const bodies = reading.messages.reduce((sum, message) => sum + message.body.length, 0)
  if (bodies > data.length) throw new Error(`${bodies} bytes of bodies came out of ${data.length}`)
  return reading
}
