/** Makes the tables of bench/RESULTS.md and the README's figures out of the raw numbers. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Latency } from './load.ts'
import { monitorFigures, monitors } from './monitors.ts'
import { root } from './peers.ts'
import { batching, inside, insideFigures, neighbours } from './report_inside.ts'
import { recordFigures, records } from './records.ts'
import { resilience } from './resilience.ts'
import { type Machine, median, ratio, type Results, type Throughput } from './results.ts'
import { ms, spread, table, times, whole } from './words.ts'

const told = (machine: Machine) => `${machine.cpu}, ${machine.cores} cores, ${machine.memory_gib} GiB, Linux ${machine.kernel}, Node ${machine.node}, commit ${machine.commit}, ${machine.day}`

const proxyRatio = (peer: Throughput) => ratio(peer.runs, peer.nginx)

function proxy({ seconds, peers }: NonNullable<Results['proxy']>): string {
  const rows = [...peers].sort((a, b) => proxyRatio(b) - proxyRatio(a)).map((peer) => [peer.name, times(proxyRatio(peer)), whole(median(peer.runs)), spread(peer.runs, whole), String(peer.runs.length), peer.version])
  return `## Plain proxy route

POST 1.1 kB → 220 B, 64 kept connections, gateway alone on one core with one worker or thread, ${seconds} s a run after a warm-up. The ratio is the median over
the runs of *requests per CPU second ÷ the mean of nginx just before and just after*.

${table(['gateway', '× nginx', 'requests per CPU second (median)', 'spread', 'runs', 'version'], rows)}`
}

function latency(results: NonNullable<Results['latency']>): string {
  const row = (name: string, runs: readonly Latency[]) => [name, ms(median(runs.map((run) => run.p50_ms))), ms(median(runs.map((run) => run.p99_ms))), spread(runs.map((run) => run.p99_ms), ms)]
  const p99 = (runs: readonly Latency[]) => runs.map((run) => run.p99_ms)
  return `## Latency at ${whole(results.per_second)} requests per second

Open loop: a request is due every millisecond whatever the answers do, and its latency counts from then. ${results.weir.length} runs of ${results.seconds} s each, in turn; medians. p99 through weir
÷ p99 through nginx, median of neighbouring runs: **${times(ratio(p99(results.weir), p99(results.nginx)))}**.

${table(['path', 'p50', 'p99', 'p99 spread'], [row('backend alone', results.direct), row('through nginx', results.nginx), row('through weir', results.weir)])}`
}

function memory({ threads, seconds, samples_mib }: NonNullable<Results['memory']>): string {
  const half = samples_mib.slice(samples_mib.length >> 1)
  return `## Memory

A proxy with ${threads} data threads under full load for ${seconds} s: at most ${Math.max(...samples_mib).toFixed(0)} MiB resident; in the second half ${spread(half, (value) => value.toFixed(0))} MiB.`
}

function start({ package_ms, source_ms }: NonNullable<Results['start']>): string {
  return `## Start

From starting the process to the first 200 of \`/ready\`, two data threads, no models, median of ${package_ms.length}: ${whole(median(package_ms))} ms from the built package, ${whole(median(source_ms))} ms from the .ts files.`
}

export function report(results: Results): string {
  const parts = [
    `# What \`npm run bench\` measured\n\nGENERATED from bench/results.json. ${told(results.machine)}.\nFigures of different machines, or of different days on one machine, do not compare; ratios inside one run do. How: the top of [run.ts](run.ts).`,
    ...(results.left_out.length === 0 ? [] : [`Left out: ${results.left_out.map(({ name, why }) => `${name} (${why})`).join('; ')}.`]),
    ...(results.proxy === undefined ? [] : [proxy(results.proxy)]),
    ...(results.inside === undefined ? [] : [inside(results.inside)]),
    ...(results.batching === undefined ? [] : [batching(results.batching)]),
    ...(results.neighbours === undefined ? [] : [neighbours(results.neighbours)]),
    ...(results.latency === undefined ? [] : [latency(results.latency)]),
    ...(results.resilience === undefined ? [] : [resilience(results.resilience)]),
    ...(results.records === undefined ? [] : [records(results.records)]),
    ...(results.monitors === undefined ? [] : [monitors(results.monitors)]),
    ...(results.memory === undefined ? [] : [memory(results.memory)]),
    ...(results.start === undefined ? [] : [start(results.start)]),
  ]
  return `${parts.join('\n\n')}\n`
}

/** The README's few lines. */
export function figures(results: Results): string {
  const lines: string[] = []
  const of = (name: string) => results.proxy?.peers.find((peer) => peer.name === name)
  if (results.proxy !== undefined) {
    const order = ['nginx', 'weir', 'Envoy', 'node:http + undici', 'http-proxy-3', '@fastify/http-proxy'].map(of).filter((peer) => peer !== undefined)
    lines.push(`Requests per CPU second as a proxy, nginx = 1: ${order.map((peer) => `${peer.name === 'weir' ? `**weir ${proxyRatio(peer).toFixed(2)}**` : `${peer.name} ${proxyRatio(peer).toFixed(2)}`}`).join(' · ')}.`)
  }
  if (results.latency !== undefined) {
    const p99 = (runs: readonly Latency[]) => median(runs.map((run) => run.p99_ms))
    lines.push(`p99 at 1,000 requests per second: ${ms(p99(results.latency.direct))} to the backend alone, ${ms(p99(results.latency.nginx))} through nginx, ${ms(p99(results.latency.weir))} through weir.`)
  }
  lines.push(...insideFigures(results))
  if (results.records !== undefined) lines.push(recordFigures(results.records))
  if (results.monitors !== undefined) lines.push(monitorFigures(results.monitors))
  if (results.memory !== undefined) lines.push(`Resident memory with two data threads under load: ${Math.max(...results.memory.samples_mib).toFixed(0)} MiB.`)
  if (results.start !== undefined) lines.push(`Start to ready: ${whole(median(results.start.package_ms))} ms.`)
  return `${lines.map((line) => `- ${line}`).join('\n')}\n\n${told(results.machine)}. Method, spread and raw numbers: [bench/RESULTS.md](bench/RESULTS.md).`
}

export function readResults(): Results {
  return JSON.parse(readFileSync(join(root, 'bench/results.json'), 'utf8')) as Results
}
