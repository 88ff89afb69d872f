/** A batch of labels from text to counts: read, receipts verified, joined. Knows no HTTP. */
import { type Entry, type Invalid, parseEntries, readEntry } from './entries.ts'
import type { Outcome, Quality } from './quality.ts'
import { type Receipt, verify } from './receipt.ts'

/** Complaints that are told one by one. */
const MAX_TOLD = 100

export interface Taken extends Outcome {
  /** The first ones. */
  readonly invalid: readonly Invalid[]
  readonly invalidCount: number
}

export interface IntakeOptions {
  readonly route: string
  /** Name of the id: `inference_id` or `request_id`. */
  readonly key: string
  /** That may have signed a receipt; none: receipts are not taken. */
  readonly secrets: readonly string[]
  readonly quality: Quality
  /** Segment to group. */
  readonly groupOf: ReadonlyMap<string, number>
}

interface Ready {
  readonly entry: Entry
  readonly receipt: Receipt | null
}

export class Intake {
  readonly #options: IntakeOptions

  constructor(options: IntakeOptions) {
    this.#options = options
  }

  /**
   * @param lines one object a line
   * @param force also when nothing of it is about a prediction of this route
   * @returns null: it is about none; 'unreadable': no JSON
   */
  take(text: string, lines: boolean, now: number, force: boolean): Taken | 'unreadable' | null {
    const values = parseEntries(text, lines)
    if (values === null) return 'unreadable'
    const invalid: Invalid[] = []
    const ready: Ready[] = []
    for (const [index, value] of values.entries()) {
      const read = this.#ready(value, index)
      if ('reason' in read) invalid.push(read)
      else ready.push(read)
    }
    if (!force && !ready.some((one) => this.#mine(one))) return null
    const outcome: Outcome = { accepted: 0, unknown: 0, duplicate: 0, late: 0 }
    const { quality, groupOf } = this.#options
    for (const one of ready) {
      const { entry, receipt } = one
      if (receipt !== null && !this.#mine(one)) {
        outcome.unknown++
        continue
      }
      const reason = quality.label(entry, receipt, groupOf.get(receipt?.group ?? '') ?? 0, now, outcome)
      if (reason !== null) invalid.push({ index: entry.index, reason })
    }
    invalid.sort((a, b) => a.index - b.index)
    return { ...outcome, invalid: invalid.slice(0, MAX_TOLD), invalidCount: invalid.length }
  }

  #ready(value: unknown, index: number): Ready | Invalid {
    const { key, secrets } = this.#options
    const entry = readEntry(value, index, key)
    if ('reason' in entry) return entry
    if (entry.receipt === '') return { entry, receipt: null }
    if (secrets.length === 0) return { index, reason: 'receipt: none are given here; send the id' }
    const receipt = verify(entry.receipt, secrets)
    return receipt === null ? { index, reason: 'receipt: not one that was given here' } : { entry, receipt }
  }

  #mine({ entry, receipt }: Ready): boolean {
    return receipt === null ? this.#options.quality.knows(entry) : receipt.route === this.#options.route
  }
}
