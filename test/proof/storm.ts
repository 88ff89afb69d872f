/** Callers of a storm: each asks on and on over kept connections, some leave, and what each got is judged at once. */
import { chunked, request, type ReceivedAnswer } from '../blackbox/message.ts'
import { connect, Over, pause, type Peer } from '../blackbox/scripted.ts'
import type { Chance, Seen } from './fickle.ts'

export interface Tally {
  /** Requests whose head was sent. */
  sent: number
  whole: number
  /** Answers whose end was missing, and could be seen to be. */
  cut: number
  /** Callers who left, of requests that a backend had seen; weir must have counted these. */
  left: number
  /** Callers who left before any backend had seen the request: weir may not have seen it either. */
  unknown: number
  /** The connection was over without an answer, though the caller stayed. */
  none: number
  readonly status: Record<number, number>
  readonly complaints: string[]
}

export const tally = (): Tally => ({ sent: 0, whole: 0, cut: 0, left: 0, unknown: 0, none: 0, status: {}, complaints: [] })

export interface StormOptions {
  readonly port: number
  readonly callers: number
  readonly chance: Chance
  readonly seen: Seen
  readonly routes: readonly string[]
  /** Connections may end without an answer: a thread is being killed. */
  readonly lossy: boolean
  readonly leavers: boolean
}

const LONGEST_MS = 8000

export class Storm {
  readonly tally = tally()
  readonly #options: StormOptions
  readonly #done: Promise<unknown>
  #going = true
  static #ids = 0

  constructor(options: StormOptions) {
    this.#options = options
    this.#done = Promise.all(Array.from({ length: options.callers }, () => this.#caller()))
  }

  async stop(): Promise<Tally> {
    this.#going = false
    await this.#done
    return this.tally
  }

  #complain(text: string): void {
    if (this.tally.complaints.length < 20) this.tally.complaints.push(text)
  }

  async #caller(): Promise<void> {
    let peer: Peer | null = null
    while (this.#going) {
      // While its threads are replaced nobody may listen.
      peer ??= await connect({ port: this.#options.port }).catch(() => null)
      if (peer === null) {
        if (!this.#options.lossy) this.#complain('no connection')
        await pause(20)
        continue
      }
      if (!(await this.#one(peer))) {
        peer.destroy()
        peer = null
      } else peer.arrivals.length = 0
    }
    if (peer !== null) await this.#quiet(peer)
    peer?.destroy()
  }

  /** Nothing comes that nobody asked for. */
  async #quiet(peer: Peer): Promise<void> {
    await pause(20)
    if (peer.unread.length > 0) this.#complain(`bytes behind an answer: ${peer.unread.subarray(0, 80).toString('latin1')}`)
  }

  /** @returns true when the connection is of further use */
  async #one(peer: Peer): Promise<boolean> {
    const { chance, routes, seen, leavers } = this.#options
    const id = `r${++Storm.#ids}`
    const route = routes[chance(routes.length)]!
    const method = route === 'post' ? 'POST' : route === 'stream' || chance(2) === 0 ? 'GET' : 'POST'
    const leaves = leavers && chance(12) === 0
    this.tally.sent++
    const sent = peer.send(...bytesOf(method, `/${route}/${id}`, chance))
    if (leaves) {
      await pause(chance(60))
      // What was still answered by then is nobody's any more.
      if (chance(2) === 0) peer.reset()
      else peer.destroy()
      await sent
      // A retry that was on its way may still arrive.
      await pause(30)
      if (seen.take(id) > 0) this.tally.left++
      else this.tally.unknown++
      return false
    }
    try {
      const answer = await peer.readFinal(method, LONGEST_MS)
      return this.#judge(id, route, answer, peer)
    } catch (error) {
      if (!(error instanceof Over)) this.#complain(`${route} ${method} ${id}: ${(error as Error).message.slice(0, 200)}`)
      else {
        this.tally.none++
        if (!this.#options.lossy) this.#complain(`${route} ${method} ${id}: no answer`)
      }
      seen.take(id)
      return false
    }
  }

  #judge(id: string, route: string, answer: ReceivedAnswer, peer: Peer): boolean {
    const { status, complete, head } = answer
    const executions = this.#options.seen.take(id)
    if (!complete) this.tally.cut++
    else this.tally.whole++
    this.tally.status[status] = (this.tally.status[status] ?? 0) + 1
    const text = answer.body.toString()
    if (complete && status === 200 && !text.includes(`"id":"${id}"`)) this.#complain(`${id} got the answer of somebody else: ${text.slice(0, 80)}`)
    if (complete && route === 'stream' && status === 200 && !text.endsWith('data: "end"\n\n')) this.#complain(`${id} got a stream without its end`)
    if (complete && status === 200 && route !== 'stream' && !text.endsWith('"}')) this.#complain(`${id} got half an answer`)
    if (text.includes('"code":"INTERNAL"') || text.includes('PLUGIN_FAILED')) this.#complain(`${id}: ${text}`)
    if (route === 'post' && executions > 1) this.#complain(`a POST was executed ${executions} times`)
    if (status === 200 && executions === 0) this.#complain(`${id}: answered by nobody`)
    return complete && !head.list('connection').includes('close') && !peer.over
  }
}

const LARGE = 'y'.repeat(300_000)

function bytesOf(method: string, target: string, chance: Chance): Buffer[] {
  const type = 'Content-Type: application/json'
  if (method === 'GET') return [request('GET', target, [type])]
  const body = chance(10) === 0 ? LARGE : LARGE.slice(0, chance(400))
  if (chance(3) > 0) return [request('POST', target, [type, ...(chance(10) === 0 ? ['Expect: 100-continue'] : [])], body)]
  return [request('POST', target, [type, 'Transfer-Encoding: chunked']), chunked(body === '' ? [] : [body])]
}
