/**
 * A limit of concurrency that follows latency.
 *
 * Idea: Netflix's concurrency-limits (Gradient2) and Envoy's gradient controller, measured from live traffic. While latency stays
 * within `TOLERANCE` of what it is without a queue (the base), the limit grows by half its square root a window; beyond, it is
 * multiplied by base · TOLERANCE / latency. At a server with c places that rests at about 1.2 · c.
 * What is not known is the base, and whether a queue is ours. Neither library tells a slow server from a queue without pinning the
 * limit to its minimum (Envoy), or takes the queue for normal after a while (Gradient2). Here every fall of the limit is a
 * measurement: when fewer requests do not come back sooner, the queue was not ours; the limit is given back and the slower
 * latency is the new base. Under steady pressure one window in `PROBE_EVERY` is such a measurement, at 0.6 of the limit, and never
 * below `min`.
 * Layout: the latencies of one window, at most `MAX_SAMPLES`; a window is what was sent and answered since the last change, for at
 * least half a second, two round trips and `MIN_SAMPLES` answers. Its latency is the median: some slow answers among many are no queue.
 * Error: the base sinks quickly and rises slowly, so noise pulls it below the true latency by about one deviation of a window's
 * median; TOLERANCE has room for that.
 */

const WINDOW_MS = 500
const MIN_SAMPLES = 20
const MAX_SAMPLES = 128
const TOLERANCE = 1.2
const INITIAL = 20
/** The most one window takes away, and what a probe leaves. */
const SHRINK = 0.6
const PROBE_EVERY = 30
/** The first base may be that of a queue: it is tested sooner. */
const FIRST_PROBE = 4
/** A window whose requests failed in more than this share shrinks the limit. */
const FAILED = 0.1
const BACKOFF = 0.8
/** Latency that fell by less than a tenth, while the limit fell by a quarter or more, did not fall because of it. */
const UNMOVED = 0.9
const MOVED = 0.75
const SINK = 0.3
const RISE = 0.02

/** The limit and the latency before a fall. */
interface Before {
  readonly limit: number
  readonly latency: number
}

export class Gradient {
  readonly #min: number
  readonly #max: number
  readonly #samples = new Float64Array(MAX_SAMPLES)
  #limit: number
  #base = 0
  #latency = 0
  #opened = 0
  #answers = 0
  #failures = 0
  #peak = 0
  #untilProbe = FIRST_PROBE
  #before: Before | null = null
  #probing = false

  /** @param min the limit never falls below @param max nor rises above @param now milliseconds */
  constructor(min: number, max: number, now: number) {
    this.#min = min
    this.#max = max
    this.#limit = Math.min(max, Math.max(min, INITIAL))
    this.#opened = now
  }

  /** Whole requests. */
  get limit(): number {
    return Math.floor(this.#limit)
  }

  /** Latency without a queue as far as is known, milliseconds; 0 = not yet. */
  get base(): number {
    return this.#base
  }

  /** An answer began. @param started when it was asked for @param inFlight with it */
  answered(started: number, now: number, inFlight: number): void {
    if (inFlight > this.#peak) this.#peak = inFlight
    // What was sent before the limit changed says nothing about the change.
    if (started >= this.#opened) this.#samples[this.#answers++ % MAX_SAMPLES] = now - started
    this.#close(now)
  }

  /** A timeout, a broken connection, or the server said that it has too much to do. */
  failed(now: number, inFlight: number): void {
    if (inFlight > this.#peak) this.#peak = inFlight
    this.#failures++
    this.#close(now)
  }

  #close(now: number): void {
    const open = now - this.#opened
    if (open < WINDOW_MS || open < 2 * this.#latency || this.#answers + this.#failures < MIN_SAMPLES) return
    if (this.#failures > FAILED * (this.#answers + this.#failures)) this.#backOff()
    else this.#learn(this.#median())
    this.#opened = now
    this.#answers = 0
    this.#failures = 0
    this.#peak = 0
  }

  /** Failures say nothing about latency, and a measurement in their midst is void. */
  #backOff(): void {
    if (this.#probing) this.#limit = this.#before!.limit
    this.#probing = false
    this.#before = null
    this.#set(this.#limit * BACKOFF)
  }

  #learn(latency: number): void {
    this.#latency = latency
    if (this.#base === 0 || latency < this.#base) this.#base += (latency - this.#base) * (this.#base === 0 ? 1 : SINK)
    const pressed = this.#peak >= this.#limit / 2
    if (this.#probing) return this.#probed(latency)
    if (!pressed) {
      // Whoever asks this little makes no queue.
      if (latency > this.#base) this.#base += (latency - this.#base) * RISE
      this.#before = null
      return
    }
    this.#follow(latency)
  }

  #follow(latency: number): void {
    const usual = TOLERANCE * this.#base
    const gradient = latency <= usual ? 1 : Math.max(SHRINK, usual / latency)
    const before = this.#before
    if (before !== null && this.#limit <= MOVED * before.limit) {
      if (latency >= UNMOVED * before.latency) return this.#mistaken(before, latency)
      this.#before = gradient < 1 ? { limit: this.#limit, latency } : null
    } else if (gradient === 1) this.#before = null
    else this.#before ??= { limit: this.#limit, latency }
    if (--this.#untilProbe <= 0) return this.#probe(latency)
    this.#set(this.#limit * gradient + Math.sqrt(this.#limit) / 2)
  }

  #probe(latency: number): void {
    this.#untilProbe = PROBE_EVERY
    this.#probing = true
    this.#before = { limit: this.#limit, latency }
    this.#set(this.#limit * SHRINK)
  }

  /** Sooner answers to fewer requests: the base has sunk to them. The limit goes on from where it was. */
  #probed(latency: number): void {
    const before = this.#before!
    this.#probing = false
    if (latency >= UNMOVED * before.latency) return this.#mistaken(before, latency)
    this.#base = Math.min(this.#base, latency)
    this.#before = null
    this.#set(before.limit)
  }

  /** Fewer requests did not help: the server is slower, and no queue of ours is why. */
  #mistaken({ limit }: Before, latency: number): void {
    if (latency > this.#base) this.#base = latency
    this.#before = null
    this.#set(limit)
  }

  #set(limit: number): void {
    this.#limit = Math.min(this.#max, Math.max(this.#min, limit))
  }

  #median(): number {
    const kept = this.#samples.subarray(0, Math.min(MAX_SAMPLES, this.#answers)).sort()
    return kept[kept.length >> 1]!
  }
}
