/** The sections of the bench about models inside weir. */
import { execFileSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { bed, INSIDE, type Plan, PROXIED, rounded, type Say, startPeer, url } from './bed.ts'
import { slowModel, WIDTH } from './graphs.ts'
import { binaryMessage, json, type Latency, type Load, openLoop, perCpuSecond, requestBody, underLoad, wrk, wrkScript } from './load.ts'
import type { Peer } from './peers.ts'
import { GATEWAY_CORE } from './processes.ts'
import { fastapi, mlserver, mlserverLean } from './python_peers.ts'
import type { Results } from './results.ts'
import { startBatching, startInside, startNeighbours } from './weir.ts'

const MANY_ROWS = 64
const CALLERS = 64
const NEIGHBOUR_PER_SECOND = 200
const HEAVY_CALLERS = 4

/** weir's inside model and Python servers in turn, and what the model costs by itself. */
export async function insideSection(plan: Plan, say: Say): Promise<NonNullable<Results['inside']>> {
  const { folder, script, setting, stop } = await bed()
  const many = wrkScript(folder, 'many', json(requestBody(MANY_ROWS)))
  const binary = wrkScript(folder, 'binary', binaryMessage(MANY_ROWS))
  const own = await setting()
  const weir = (await startInside(own)).running
  const started = async (peer: Peer) => {
    const at = await setting()
    return { url: url(at, INSIDE), running: await startPeer(peer, at), row: { name: peer.name, version: peer.version()!, runs: [] as number[] } }
  }
  const subjects: Awaited<ReturnType<typeof started>>[] = []
  for (const peer of [fastapi, mlserver, mlserverLean]) if (peer.version() !== null) subjects.push(await started(peer))
  const fast = subjects.find(({ row }) => row.name === fastapi.name)
  const at = url(own, INSIDE)
  const ours = { runs: [] as number[], bare_run_us: [] as number[], json: [] as number[], binary: [] as number[], fastapi: [] as number[] }
  for (const each of [script, many, binary]) await wrk(each, at, plan.seconds)
  for (let round = 0; round < plan.rounds; round++) {
    ours.runs.push(await perCpuSecond(script, at, weir, plan.seconds))
    ours.bare_run_us.push(bareRun())
    for (const { url, running, row } of subjects) row.runs.push(await perCpuSecond(script, url, running, plan.seconds))
    ours.json.push(await perCpuSecond(many, at, weir, plan.seconds))
    ours.binary.push(await perCpuSecond(binary, at, weir, plan.seconds))
    if (fast !== undefined) ours.fastapi.push(await perCpuSecond(many, fast.url, fast.running, plan.seconds))
    const last = (runs: readonly number[]) => rounded(runs.at(-1)!)
    say(`  4 rows: weir ${last(ours.runs)} requests per CPU second, session.run alone ${ours.bare_run_us.at(-1)!.toFixed(1)} µs${subjects.map(({ row }) => `, ${row.name} ${last(row.runs)}`).join('')}`)
    say(`  ${MANY_ROWS} rows: weir JSON ${last(ours.json)}, binary ${last(ours.binary)}${fast === undefined ? '' : `, FastAPI JSON ${last(ours.fastapi)}`}`)
  }
  await weir.stop()
  for (const { running } of subjects) await running.stop()
  await stop()
  const many_rows = { rows: MANY_ROWS, json: ours.json, binary: ours.binary, ...(fast !== undefined && { fastapi: ours.fastapi }) }
  return { seconds: plan.seconds, weir: ours.runs, peers: subjects.map(({ row }) => row), bare_run_us: ours.bare_run_us, many: many_rows }
}

function bareRun(): number {
  const script = fileURLToPath(new URL('./bare_run.ts', import.meta.url))
  return Number(execFileSync('taskset', ['-c', String(GATEWAY_CORE), process.execPath, script], { encoding: 'utf8' }))
}

/** A slow model asked for one row by many callers at once, with rows joined and without. */
export async function batchingSection(plan: Plan, say: Say): Promise<NonNullable<Results['batching']>> {
  const { folder, setting, stop } = await bed()
  const model = slowModel('slow', folder)
  const script = wrkScript(folder, 'slow', json(requestBody(1, WIDTH.slow)))
  const start = async (batching: boolean) => {
    const own = await setting()
    const { running } = await startBatching(own, model.file, batching)
    return { url: url(own, '/v2/models/slow/infer'), running, runs: [] as Load[] }
  }
  const [on, off] = [await start(true), await start(false)]
  for (let round = 0; round < plan.rounds; round++) {
    for (const { url, running, runs } of [off, on]) runs.push(await underLoad(script, url, running, plan.seconds, CALLERS))
    const told = ({ runs }: typeof on) => `${rounded(runs.at(-1)!.per_second)} a second, p50/p99 ${runs.at(-1)!.p50_ms.toFixed(1)}/${runs.at(-1)!.p99_ms.toFixed(1)} ms`
    say(`  one by one ${told(off)}; joined ${told(on)}`)
  }
  for (const { running } of [on, off]) await running.stop()
  await stop()
  return { model: model.told, callers: CALLERS, seconds: plan.seconds, joined: on.runs, single: off.runs }
}

/** What others feel of a model that keeps an inference thread busy all the time: a proxied route and a small model at a fixed rate, without and with it. */
export async function neighboursSection(plan: Plan, say: Say): Promise<NonNullable<Results['neighbours']>> {
  const { folder, script, setting, stop } = await bed()
  const model = slowModel('heavy', folder)
  const own = await setting()
  const weir = (await startNeighbours(own, model.file)).running
  const heavy = wrkScript(folder, 'heavy', json(requestBody(1, WIDTH.heavy)))
  const measured = { proxied: { idle: [] as Latency[], busy: [] as Latency[] }, inside: { idle: [] as Latency[], busy: [] as Latency[] } }
  const pairs = [[PROXIED, measured.proxied], [INSIDE, measured.inside]] as const
  const measure = (path: string) => openLoop(url(own, path), NEIGHBOUR_PER_SECOND, plan.latency_seconds, 0)
  for (const [path] of pairs) await wrk(script, url(own, path), Math.min(2, plan.latency_seconds))
  const heavy_per_second: number[] = []
  for (let pair = 0; pair < plan.latency_pairs; pair++) {
    for (const [path, { idle, busy }] of pairs) {
      idle.push(await measure(path))
      // Longer than what is measured meanwhile, which warms up for a second and has to start.
      const load = wrk(heavy, url(own, '/v2/models/heavy/infer'), plan.latency_seconds + 2, HEAVY_CALLERS)
      busy.push(await measure(path))
      const { requests, errors, seconds } = await load
      if (errors > 0) throw new Error(`${errors} of ${requests} requests to the heavy model failed`)
      heavy_per_second.push(requests / seconds)
      say(`  ${path}: p50/p99 ${told(idle.at(-1)!)} ms idle, ${told(busy.at(-1)!)} ms beside the heavy model, which answers ${(requests / seconds).toFixed(1)} a second`)
    }
  }
  await weir.stop()
  await stop()
  return { model: model.told, per_second: NEIGHBOUR_PER_SECOND, callers: HEAVY_CALLERS, seconds: plan.latency_seconds, heavy_per_second, ...measured }
}

const told = ({ p50_ms, p99_ms }: Latency) => `${p50_ms.toFixed(2)}/${p99_ms.toFixed(2)}`
