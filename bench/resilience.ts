/** The section of the bench about failure: what all protection together costs while nothing fails, and what callers feel of an endpoint that stalls. */
import { join } from 'node:path'
import { bed, type Plan, PROXIED, rounded, type Say, url } from './bed.ts'
import { type Latency, openLoop, perCpuSecond, wrk } from './load.ts'
import { root, type Setting, startBackend } from './peers.ts'
import { freePort, LOAD_CORE, ready, type Running, start } from './processes.ts'
import { median, ratio } from './results.ts'
import { launch, proxyConfig } from './weir.ts'
import { ms, spread, table, times, whole } from './words.ts'

const PER_SECOND = 1000
const PER_TRY_MS = 100
const ENDPOINTS = 3
/** From the first request that counts to the stall. */
const STALL_AFTER_MS = 2000

export interface Resilience {
  readonly seconds: number
  readonly endpoints: number
  /** Requests per CPU second, run by run: no plugin and one endpoint; no plugin, all endpoints, no ejection; everything. */
  readonly plain: number[]
  readonly balanced: number[]
  readonly guarded: number[]
  readonly per_second: number
  readonly per_try_ms: number
  readonly stall_seconds: number
  /** One endpoint of all stalls early in the run. */
  readonly stalled: (Latency & { readonly max_ms: number })[]
}

/** Timeouts, retries, a fallback, checks, ejection and limits. @param upstreams ports of the endpoints */
function guardedConfig({ port }: Setting, admin: number, upstreams: readonly number[], perTryMs: number): string {
  return `listen: 127.0.0.1:${port}
admin: 127.0.0.1:${admin}
threads: 1
backends:
  up:
    urls: [${urls(upstreams)}]
    health: { tcp: true, interval: 1s, timeout: 500ms }
    ejection: { consecutive: 5, error_rate: 50% }
    limits: { in_flight: 1024, queue: 100, queue_wait: 200ms }
  spare: { url: "http://127.0.0.1:${upstreams[0]}" }
routes:
  - name: all
    match: { path: "/**" }
    backend: up
    plugins:
      - timeout: { total: 2s, per_try: ${perTryMs}ms }
      - retry: { max: 1, on: [connect, reset, timeout, 503], methods: [GET, POST] }
      - fallback: { to: [spare] }
`
}

function balancedConfig({ port }: Setting, admin: number, upstreams: readonly number[]): string {
  return `listen: 127.0.0.1:${port}
admin: 127.0.0.1:${admin}
threads: 1
backends: { up: { urls: [${urls(upstreams)}], ejection: off } }
routes: [{ name: all, match: { path: "/**" }, backend: up }]
`
}

const urls = (ports: readonly number[]): string => ports.map((port) => `"http://127.0.0.1:${port}"`).join(', ')

/** More backends of the usual kind beside the bed's own. */
async function more(setting: Setting, count: number): Promise<{ ports: number[]; stop(): Promise<void> }> {
  const ports: number[] = []
  const running: Running[] = []
  for (let i = 0; i < count; i++) {
    const port = await freePort()
    running.push(startBackend({ ...setting, folder: join(setting.folder, `more-${port}`), upstream: port }))
    await ready(`http://127.0.0.1:${port}/`)
    ports.push(port)
  }
  return { ports, stop: async () => void (await Promise.all(running.map((one) => one.stop()))) }
}

export async function resilienceSection(plan: Plan, say: Say): Promise<Resilience> {
  const { script, setting, stop } = await bed()
  const first = await setting()
  const others = await more(first, ENDPOINTS - 1)
  const upstreams = [first.upstream, ...others.ports]
  const begun = async (name: string, text: (at: Setting, admin: number) => string) => {
    const at = await setting()
    const { running } = await launch(at, name, (admin) => text(at, admin))
    return { url: url(at, PROXIED), running, runs: [] as number[] }
  }
  // No attempt of a full load may run into its limit.
  const subjects = [
    await begun('weir-plain', (at, admin) => proxyConfig(at, admin, 1)),
    await begun('weir-balanced', (at, admin) => balancedConfig(at, admin, upstreams)),
    await begun('weir-guarded', (at, admin) => guardedConfig(at, admin, upstreams, 1000)),
  ] as const
  for (const subject of subjects) await wrk(script, subject.url, plan.seconds)
  for (let round = 0; round < plan.rounds; round++) {
    for (const { url, running, runs } of subjects) runs.push(await perCpuSecond(script, url, running, plan.seconds))
    const [plain, balanced, guarded] = subjects.map(({ runs }) => runs.at(-1)!) as [number, number, number]
    say(`  plain ${rounded(plain)} requests per CPU second, ${ENDPOINTS} endpoints ${rounded(balanced)}, everything ${rounded(guarded)} (${times(guarded / plain)} of plain)`)
  }
  for (const { running } of subjects) await running.stop()
  const stalled: Resilience['stalled'] = []
  for (let pair = 0; pair < plan.latency_pairs; pair++) {
    stalled.push(await stall(await setting(), upstreams.slice(0, ENDPOINTS - 1), plan.latency_seconds + STALL_AFTER_MS / 1000))
    const { p50_ms, p99_ms, max_ms } = stalled.at(-1)!
    say(`  one of ${ENDPOINTS} stalls, per_try ${PER_TRY_MS} ms: p50 ${ms(p50_ms)}, p99 ${ms(p99_ms)}, at most ${ms(max_ms)}`)
  }
  await others.stop()
  await stop()
  const [plain, balanced, guarded] = subjects.map(({ runs }) => runs) as [number[], number[], number[]]
  return { seconds: plan.seconds, endpoints: ENDPOINTS, plain, balanced, guarded, per_second: PER_SECOND, per_try_ms: PER_TRY_MS, stall_seconds: plan.latency_seconds, stalled }
}

/** Any answer but a 200 is an error of the load. */
async function stall(at: Setting, healthy: readonly number[], seconds: number): Promise<Resilience['stalled'][number]> {
  const port = await freePort()
  const stalling = start(LOAD_CORE, process.execPath, [join(root, 'bench/peers/stalling.ts'), String(port)])
  await ready(`http://127.0.0.1:${port}/`)
  const { running } = await launch(at, 'weir-stalled', (admin) => guardedConfig(at, admin, [...healthy, port], PER_TRY_MS))
  await openLoop(url(at, PROXIED), PER_SECOND, 2)
  const timer = setTimeout(() => process.kill(stalling.pid, 'SIGUSR2'), STALL_AFTER_MS)
  const latency = await openLoop(url(at, PROXIED), PER_SECOND, seconds)
  clearTimeout(timer)
  await running.stop()
  await stalling.stop()
  return latency as Resilience['stalled'][number]
}

export function resilience({ seconds, endpoints, plain, balanced, guarded, per_second, per_try_ms, stall_seconds, stalled }: Resilience): string {
  const row = (name: string, runs: readonly number[]) => [name, times(ratio(runs, plain)), whole(median(runs)), spread(runs, whole)]
  const p99 = stalled.map((run) => run.p99_ms)
  return `## When backends fail

What protection costs while nothing fails, ${seconds} s a run, in turn: *everything* is \`timeout\` (total, per_try), \`retry\`, \`fallback\` (answers are held), health checks, ejection and limits.
The ratio is the median of neighbouring runs.

${table(['route', '× plain', 'requests per CPU second (median)', 'spread'], [row('plain, one endpoint', plain), row(`${endpoints} endpoints, no ejection`, balanced), row('everything', guarded)])}

One of ${endpoints} endpoints stalls while ${whole(per_second)} requests a second come, \`per_try\` ${per_try_ms} ms, ${stall_seconds} s behind it: no request failed; p99 **${ms(median(p99))}** (${spread(p99, ms)}), the slowest
request of a run ${spread(stalled.map((run) => run.max_ms), ms)}.`
}
