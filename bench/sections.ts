/** The sections of the bench about weir as a proxy. */
import { bed, type Plan, PROXIED, rounded, type Say, startPeer, url } from './bed.ts'
import { openLoop, perCpuSecond, wrk } from './load.ts'
import { type Peer, REFERENCE, type Setting } from './peers.ts'
import { BOTH_CORES, type Running } from './processes.ts'
import type { Results, Throughput } from './results.ts'
import { BUILT, SOURCE, startProxy } from './weir.ts'

const RATE_PER_SECOND = 1000

/** Every gateway between two runs of nginx, `rounds` times over. */
export async function proxySection(plan: Plan, chosen: readonly Peer[], withWeir: boolean, say: Say): Promise<NonNullable<Results['proxy']>> {
  const { script, setting, stop } = await bed()
  const subjects: { row: Throughput; url: string; running: Running }[] = []
  const add = (name: string, version: string, at: Setting, running: Running) => subjects.push({ row: { name, version, runs: [], nginx: [] }, url: url(at, PROXIED), running })

  const at = await setting()
  const nginx = await startPeer(REFERENCE, at)
  const reference = () => perCpuSecond(script, url(at, PROXIED), nginx, plan.seconds)
  if (withWeir) {
    const own = await setting()
    add('weir', 'this commit', own, (await startProxy(own)).running)
  }
  for (const peer of chosen) {
    const own = await setting()
    add(peer.name, peer.version()!, own, await startPeer(peer, own))
  }
  // Compilers of hot code have their say before anything counts.
  for (const { url } of subjects) await wrk(script, url, plan.seconds)
  const all: Throughput = { name: REFERENCE.name, version: REFERENCE.version()!, runs: [], nginx: [] }
  for (let round = 0; round < plan.rounds; round++) {
    let before = await reference()
    for (const { row, url, running } of subjects) {
      const own = await perCpuSecond(script, url, running, plan.seconds)
      const after = await reference()
      row.runs.push(own)
      row.nginx.push((before + after) / 2)
      all.runs.push(after)
      all.nginx.push(after)
      say(`  ${row.name.padEnd(24)} ${rounded(own).padStart(7)} requests per CPU second, nginx beside it ${rounded((before + after) / 2)}`)
      before = after
    }
  }
  for (const { running } of subjects) await running.stop()
  await nginx.stop()
  await stop()
  return { seconds: plan.seconds, peers: [all, ...subjects.map(({ row }) => row)] }
}

/** Direct, through nginx and through weir, one after another, `latency_pairs` times. */
export async function latencySection(plan: Plan, say: Say): Promise<NonNullable<Results['latency']>> {
  const { script, setting, stop } = await bed()
  const [at, own] = [await setting(), await setting()]
  const nginx = await startPeer(REFERENCE, at)
  const weir = (await startProxy(own)).running
  const results: NonNullable<Results['latency']> = { per_second: RATE_PER_SECOND, seconds: plan.latency_seconds, direct: [], nginx: [], weir: [] }
  const measure = (port: number) => openLoop(`http://127.0.0.1:${port}${PROXIED}`, RATE_PER_SECOND, plan.latency_seconds)
  for (const port of [at.port, own.port]) await wrk(script, `http://127.0.0.1:${port}${PROXIED}`, Math.min(5, plan.latency_seconds))
  for (let pair = 0; pair < plan.latency_pairs; pair++) {
    results.direct.push(await measure(at.upstream))
    results.nginx.push(await measure(at.port))
    results.weir.push(await measure(own.port))
    const [direct, theirs, ours] = [results.direct.at(-1)!, results.nginx.at(-1)!, results.weir.at(-1)!]
    say(`  p50/p99 ms: direct ${told(direct)}, nginx ${told(theirs)}, weir ${told(ours)}`)
  }
  await weir.stop()
  await nginx.stop()
  await stop()
  return results
}

const told = ({ p50_ms, p99_ms }: { p50_ms: number; p99_ms: number }) => `${p50_ms.toFixed(3)}/${p99_ms.toFixed(3)}`

/** Resident memory of a proxy with two data threads, sampled through the load. */
export async function memorySection(plan: Plan, say: Say): Promise<NonNullable<Results['memory']>> {
  const { script, setting, stop } = await bed()
  const own = await setting()
  const { running } = await startProxy(own, { threads: 2 })
  const samples_mib: number[] = []
  const slice = Math.max(1, Math.floor(plan.memory_seconds / 20))
  for (let spent = 0; spent < plan.memory_seconds; spent += slice) {
    const { errors } = await wrk(script, url(own, PROXIED), slice)
    if (errors > 0) throw new Error(`${errors} requests failed under load`)
    samples_mib.push(Number(running.residentMib().toFixed(1)))
  }
  say(`  ${samples_mib.join(' ')} MiB`)
  await running.stop()
  await stop()
  return { threads: 2, seconds: plan.memory_seconds, samples_mib }
}

/** From starting the process to the first 200 of /ready, without models, with two data threads. */
export async function startSection(plan: Plan, say: Say): Promise<NonNullable<Results['start']>> {
  const { setting, stop } = await bed()
  const times = { package_ms: [] as number[], source_ms: [] as number[] }
  for (let i = 0; i < plan.starts; i++) {
    for (const [main, into] of [[BUILT, times.package_ms], [SOURCE, times.source_ms]] as const) {
      const { running, ready_ms } = await startProxy(await setting(), { main, threads: 2, cores: BOTH_CORES })
      into.push(Math.round(ready_ms))
      await running.stop()
    }
  }
  say(`  built ${times.package_ms.join(' ')} ms, from .ts ${times.source_ms.join(' ')} ms`)
  await stop()
  return times
}
