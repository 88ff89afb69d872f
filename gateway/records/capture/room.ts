/** Waiting until records can be taken again, for as long as the caller may wait. */
import type { Timer } from '../../clock.ts'
import type { WeirError } from '../../errors.ts'
import type { Leg, LegWatcher } from '../../exchange.ts'
import type { After } from '../../limiter.ts'
import type { Records } from '../record.ts'

/**
 * @param ms longest wait
 * @returns whether there is room. Rejects with the leg's cause when it is cancelled first; no timer is left in any case
 */
export function untilRoom(records: Records, leg: Leg, after: After, ms: number): Promise<boolean> {
  return new Promise((resolve, reject) => new Waiting(records, leg, resolve, reject).begin(after, ms))
}

class Waiting implements LegWatcher {
  readonly #records: Records
  readonly #leg: Leg
  readonly #settled: (room: boolean) => void
  readonly #failed: (cause: WeirError) => void
  #timer: Timer | null = null
  #over = false

  constructor(records: Records, leg: Leg, settled: (room: boolean) => void, failed: (cause: WeirError) => void) {
    this.#records = records
    this.#leg = leg
    this.#settled = settled
    this.#failed = failed
  }

  begin(after: After, ms: number): void {
    this.#timer = after(ms, () => this.#end(false))
    this.#leg.watch(this)
    this.#look()
  }

  /** Others may have taken the room that was told of. */
  #look(): void {
    if (this.#over) return
    const room = this.#records.room()
    if (room === null) this.#end(true)
    else room.then(() => this.#look(), () => this.#end(false))
  }

  #end(room: boolean): void {
    if (this.#over) return
    this.#close()
    this.#settled(room)
  }

  legCancelled(cause: WeirError): void {
    if (this.#over) return
    this.#close()
    this.#failed(cause)
  }

  #close(): void {
    this.#over = true
    this.#timer?.cancel()
    this.#leg.unwatch(this)
  }
}
