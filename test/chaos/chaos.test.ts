/**
 * A provider that misbehaves in sixteen ways, behind weir as a user would configure it: two retries, one fallback, thirty seconds in all.
 * The list is that of failoverbench (S01 to S16), written anew; both sides are judged, the caller's and the provider's.
 *
 *   pass   the caller got a complete right answer in time (S13: the provider's own reason), and nobody was asked more than is right
 *   safe   the caller got an honest failure: an error, or a stream whose cut shows; never a wrong or silently truncated answer
 *   fail   anything else: a wrong or truncated answer that looks whole, more than the total deadline, a retry where there must be none,
 *          a request that goes on at the provider though nobody waits for it
 *
 * One second of a scenario lasts 100 ms here. Callers read as careful clients do: an event that is not JSON is passed over.
 * What has been sent cannot be taken back: with `stream: pass` three faults in the middle of a stream are safe; `buffer` passes all.
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { chunked, request } from '../blackbox/message.ts'
import { connect, pause, Upstream } from '../blackbox/scripted.ts'
import { startWeir, type Weir } from '../blackbox/weir.ts'
import { completion, events, type Got, type Kind, PATHS, question, STREAM_HEAD, tensor, understand, WORDS } from './bodies.ts'
import { flap, flapping } from './flapping.ts'
import { healthy, Provider } from './provider.ts'
import { hopeless, type Scenario, scenarios, SECOND_MS, type Seen, SLACK_MS, tensorFaults, TOTAL_MS } from './scenarios.ts'

type Mode = 'pass' | 'buffer'
interface Verdict {
  readonly verdict: 'pass' | 'safe' | 'fail'
  readonly why: string
  readonly ms: number
}

const COLUMNS: readonly (readonly [Kind, Mode])[] = [['sse', 'pass'], ['sse', 'buffer'], ['json', 'pass'], ['json', 'buffer'], ['oip', 'pass']]
const FLAP: Scenario = { id: 'S15', title: 'down for 60 s, then healthy', primary: healthy }
const all = [...scenarios, FLAP].toSorted((a, b) => a.id.localeCompare(b.id))
const column = (kind: Kind, mode: Mode): string => `${kind} ${mode}`
const nameOf = ({ id }: Scenario, kind: Kind, mode: Mode): string => `${id}-${kind}-${mode}`

const cases = [
  ...COLUMNS.flatMap(([kind, mode]) => [...all, ...hopeless].map((scenario) => ({ scenario, kind, mode }))),
  ...tensorFaults.map((scenario) => ({ scenario, kind: 'oip' as Kind, mode: 'pass' as Mode })),
]
const verdicts = new Map<string, Verdict>()
let provider: Provider
let weir: Weir

const s = (seconds: number): string => `${seconds * SECOND_MS}ms`

/** What a user would write, in seconds of the scenario. */
function config(): string {
  const backends = cases.map(({ scenario, kind, mode }) => {
    const name = nameOf(scenario, kind, mode)
    const health = scenario === FLAP ? `, health: { path: /health, interval: ${s(5)}, timeout: ${s(2)}, unhealthy: 2, healthy: 1 }` : ''
    return `  ${name}: { url: "${provider.url(name, 'primary')}"${health} }\n  ${name}-second: { url: "${provider.url(name, 'fallback')}" }`
  })
  const routes = cases.map(({ scenario, kind, mode }) => {
    const name = nameOf(scenario, kind, mode)
    return `  - name: ${name}
    match: { path: "/${name}/**" }
    backend: ${name}
    format: ${kind === 'oip' ? 'oip' : 'openai'}
    plugins:
      - timeout: { total: ${TOTAL_MS}ms, per_try: ${s(10)}, first_token: ${s(8)}, idle: ${s(15)} }
      # 5xx would include weir's own 504 for a provider that is silent, which there is no use in asking again.
      - retry: { max: 2, on: [connect, reset, 429, 500, 502, 503], methods: [POST], backoff: { base: ${s(0.5)}, max: ${s(2)} } }
      - fallback: { to: [${name}-second], on: [timeout, connect, reset, 5xx, 429, ejected, overload, invalid, "400:context_length_exceeded"], stream: ${mode} }`
  })
  return `backends:\n${backends.join('\n')}\nroutes:\n${routes.join('\n')}\n`
}

async function ask(name: string, kind: Kind): Promise<{ got: Got; ms: number }> {
  const began = performance.now()
  const peer = await weir.connect()
  await peer.send(request('POST', `/${name}${PATHS[kind]}`, ['Content-Type: application/json'], question(kind)))
  const answer = await peer.readFinal('POST', 2 * TOTAL_MS)
  const ms = performance.now() - began
  peer.destroy()
  return { got: understand(kind, answer), ms }
}

function judge({ right, conduct, max_s }: Scenario, seen: Seen): Verdict {
  const { got, ms, fallback } = seen
  const complaints = conduct?.(seen).filter((complaint) => complaint !== false) ?? []
  if (ms > Math.min(TOTAL_MS, (max_s ?? Infinity) * SECOND_MS) + SLACK_MS) complaints.push(`it took ${Math.round(ms)} ms`)
  // Retries are of each target by itself.
  if (fallback.length > 3) complaints.push(`the fallback was asked ${fallback.length} times`)
  if (got.how === 'wrong') complaints.push('a wrong answer that looks whole')
  const passed = right === undefined ? got.how === 'right' : got.status === right.status && got.code === right.code
  return { verdict: complaints.length > 0 ? 'fail' : passed ? 'pass' : 'safe', why: complaints.join('; ') || `${got.status} ${got.code} ${got.backend} ${got.fallback} ${Math.round(ms)} ms`, ms }
}

async function run({ scenario, kind, mode }: (typeof cases)[number]): Promise<Verdict> {
  const name = nameOf(scenario, kind, mode)
  const path = `/${name}/primary`
  const primary = provider.play(name, 'primary', kind, scenario === FLAP ? flapping(provider, path) : scenario.primary)
  const fallback = provider.play(name, 'fallback', kind, scenario.fallback ?? healthy)
  if (scenario === FLAP) {
    const complaints = await flap(provider, path, primary, () => ask(name, kind))
    return { verdict: complaints.length === 0 ? 'pass' : 'fail', why: complaints.join('; '), ms: 0 }
  }
  const { got, ms } = await ask(name, kind)
  // Calls that were given up end at once, long before the provider would have ended them.
  await pause(50)
  return judge(scenario, { got, ms, primary, fallback })
}

function table(): string {
  const cell = (scenario: Scenario, kind: Kind, mode: Mode): string => verdicts.get(nameOf(scenario, kind, mode))?.verdict ?? ''
  const lines = all.map((scenario) => [`${scenario.id} ${scenario.title}`, ...COLUMNS.map(([kind, mode]) => cell(scenario, kind, mode))])
  const sums = COLUMNS.map(([kind, mode]) => ['pass', 'safe', 'fail'].map((word) => all.filter((scenario) => cell(scenario, kind, mode) === word).length).join('/'))
  const lost = hopeless.map((scenario) => [`${scenario.id} ${scenario.title}`, ...COLUMNS.map(([kind, mode]) => cell(scenario, kind, mode))])
  const more = tensorFaults.map((scenario) => [`${scenario.id} ${scenario.title}`, '', '', '', '', cell(scenario, 'oip', 'pass')])
  const rows = [['', ...COLUMNS.map(([kind, mode]) => column(kind, mode))], ...lines, ['pass/safe/fail', ...sums], ...lost, ...more]
  return rows.map(([head, ...cells]) => head!.padEnd(42) + cells.map((text) => text.padEnd(12)).join('')).join('\n')
}

beforeAll(async () => {
  provider = await Provider.listen()
  // Health checks come before any case plays.
  weir = await startWeir(config())
  await Promise.all(cases.map(async (one, i) => {
    await pause(i * 10)
    verdicts.set(nameOf(one.scenario, one.kind, one.mode), await run(one))
  }))
  console.log(table())
}, 60_000)
afterAll(async () => {
  await weir?.stop()
  await provider?.upstream.close()
})

const SAFE = ['S08', 'S09', 'S14']

describe.each(COLUMNS)('%s, stream: %s', (kind, mode) => {
  it.each(all)('$id $title', (scenario) => {
    const { verdict, why } = verdicts.get(nameOf(scenario, kind, mode))!
    expect(`${verdict} (${why})`).toMatch(kind === 'sse' && mode === 'pass' && SAFE.includes(scenario.id) ? /^safe / : /^pass /)
  })
})

describe.each(COLUMNS)('%s, stream: %s, nobody can answer', (kind, mode) => {
  it.each(hopeless)('$id $title', (scenario) => {
    const { verdict, why } = verdicts.get(nameOf(scenario, kind, mode))!
    expect(`${verdict} (${why})`).toMatch(/^safe /)
  })
})

describe('tensor answers that only the format can judge', () => {
  it.each(tensorFaults)('$id $title', (scenario) => {
    const { verdict, why } = verdicts.get(nameOf(scenario, 'oip', 'pass'))!
    expect(`${verdict} (${why})`).toMatch(/^pass /)
  })
})

describe('the judge', () => {
  const { role, words, finish, done, end } = events('m')
  /** Reads it as a caller would. */
  const read = async (kind: Kind, bytes: (string | Buffer)[]): Promise<Got['how']> => {
    const upstream = await Upstream.listen()
    upstream.onConnection = (peer) => peer.send(...bytes).then(() => peer.finish())
    const peer = await connect({ port: upstream.port })
    const answer = await peer.readFinal('POST')
    await upstream.close()
    return understand(kind, answer).how
  }
  const json = (body: string, status = 200): string => `HTTP/1.1 ${status} Any\r\nContent-Type: application/json\r\nContent-Length: ${body.length}\r\n\r\n${body}`

  it.each<[string, Got['how'], Kind, (string | Buffer)[]]>([
    ['a whole stream', 'right', 'sse', [STREAM_HEAD, role, ...words, finish, done, end]],
    ['a stream that ends early as if it were whole', 'wrong', 'sse', [STREAM_HEAD, role, ...words.slice(0, 40), finish, done, end]],
    ['a stream that misses one word in the middle', 'wrong', 'sse', [STREAM_HEAD, role, ...words.toSpliced(30, 1), finish, done, end]],
    ['two answers joined', 'wrong', 'sse', [STREAM_HEAD, role, ...words.slice(0, 40), ...words, finish, done, end]],
    ['a stream without its last chunk', 'honest', 'sse', [STREAM_HEAD, role, ...words, finish, done]],
    ['a 200 of nothing', 'wrong', 'sse', [STREAM_HEAD, chunked([])]],
    ['a whole answer', 'right', 'json', [json(completion('m'))]],
    ['one with a word too few', 'wrong', 'json', [json(completion('m').replace(WORDS[59]!, ''))]],
    ['an error under 200', 'wrong', 'json', [json('{"error":{"code":"x"}}')]],
    ['an error', 'honest', 'json', [json('{"error":{"code":"x"}}', 502)]],
    ['a whole tensor', 'right', 'oip', [json(tensor('m'))]],
    ['one with another value', 'wrong', 'oip', [json(tensor('m').replace('29.5', '29.6'))]],
  ])('%s is %s', async (_what, how, kind, bytes) => {
    expect(await read(kind, bytes)).toBe(how)
  })

  it('fails what took too long, or asked somebody too often', () => {
    const got: Got = { status: 200, how: 'right', model: 'fallback-model', usage: true, code: '', backend: '', fallback: '' }
    const seen: Seen = { got, ms: 100, primary: [], fallback: [] }
    const scenario: Scenario = { id: '', title: '', primary: healthy }
    expect(judge(scenario, seen).verdict).toBe('pass')
    expect(judge(scenario, { ...seen, got: { ...got, how: 'honest' } }).verdict).toBe('safe')
    expect(judge(scenario, { ...seen, got: { ...got, how: 'wrong' } }).verdict).toBe('fail')
    expect(judge(scenario, { ...seen, ms: TOTAL_MS + SLACK_MS + 1 }).verdict).toBe('fail')
    expect(judge(scenarios.find(({ id }) => id === 'S06')!, seen).why).toMatch(/the primary saw 0 requests, not 1/)
  })
})

describe('afterwards', () => {
  it('nothing is under way, and every attempt that was counted is one that the provider saw', async () => {
    await weir.untilMetric(0, 'weir_backend_in_flight')
    const metrics = await weir.metrics()
    // While the primary of S15 is known to be down, nothing is sent to it.
    expect(metrics.sum('weir_attempts_total') - metrics.sum('weir_attempts_total', { outcome: 'ejected' })).toBe(provider.calls.length)
    expect(provider.upstream.failures).toEqual([])
  })

  it('weir still answers, and complained of nothing that it should not know', async () => {
    provider.play(nameOf(FLAP, 'sse', 'pass'), 'primary', 'sse', healthy)
    expect((await ask(nameOf(FLAP, 'sse', 'pass'), 'sse')).got).toMatchObject({ how: 'right', model: 'primary-model', fallback: '' })
    expect(weir.stderr).not.toMatch(/INTERNAL|PLUGIN_FAILED|uncaught|unhandled/i)
    expect(weir.running).toBe(true)
  })
})
