/** The section of the bench about schema, drift and profiles: what a row costs, what is remembered, how fast a file is read. */
import { execFileSync } from 'node:child_process'
import { statSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { type Bed, bed, type Plan, PROXIED, rounded, type Say, url } from './bed.ts'
import { largeCsv, profiled, profileRun, trainingCsv } from './columns.ts'
import { perCpuSecond, wrk } from './load.ts'
import type { Setting } from './peers.ts'
import { GATEWAY_CORE, type Running } from './processes.ts'
import { median, ratio } from './results.ts'
import { launch, metric } from './weir.ts'
import { spread, table, times, whole } from './words.ts'

const WIDTH = 30
const WIDE = 200
const TRAINING_ROWS = 20_000

interface Cost {
  readonly shape: string
  /** CPU beyond decoding, ns a row, round by round. */
  readonly schema_ns: number[]
  readonly drift_ns: number[]
}

export interface Monitors {
  readonly columns: number
  readonly costs: Cost[]
  readonly seconds: number
  /** Requests per CPU second, run by run. */
  readonly plain: number[]
  readonly routes: { readonly name: string; readonly runs: number[] }[]
  readonly memory: { readonly features: number; readonly shared_bytes: number; readonly held_bytes: number; readonly resident_bytes: number }
  readonly profile: { readonly bytes: number; readonly runs: { readonly seconds: number; readonly peak_mib: number }[] }
}

const script = (name: string) => fileURLToPath(new URL(`./${name}.ts`, import.meta.url))

/** What a script of this folder prints, as JSON, alone on the core of the gateway. */
function printed<T>(args: readonly string[]): T {
  return JSON.parse(execFileSync('taskset', ['-c', String(GATEWAY_CORE), process.execPath, ...args], { encoding: 'utf8' })) as T
}

function config({ port, upstream }: Setting, admin: number, plugins: string): string {
  return `listen: 127.0.0.1:${port}
admin: 127.0.0.1:${admin}
threads: 1
backends: { up: { url: "http://127.0.0.1:${upstream}" } }
routes: [{ name: all, match: { path: "/**" }, format: oip, backend: up, plugins: [${plugins}] }]
`
}

export async function monitorsSection(plan: Plan, say: Say): Promise<Monitors> {
  const on = await bed()
  const narrow = profileOf(on.folder, WIDTH)
  const costs = printed<Cost[]>([script('monitor_cost'), narrow, String(plan.rounds)])
  for (const { shape, schema_ns, drift_ns } of costs) say(`  ${shape}: schema ${rounded(median(schema_ns))} ns, drift ${rounded(median(drift_ns))} ns a row of ${WIDTH} beyond decoding`)
  const { plain, routes } = await routesRun(on, narrow, plan, say)
  const memory = printed<Monitors['memory']>(['--expose-gc', '--max-semi-space-size=2', script('monitor_memory'), profileOf(on.folder, WIDE), String(WIDE)])
  say(`  drift on ${memory.features} features: ${mib(memory.shared_bytes)} of shared memory, ${mib(memory.held_bytes)} held, ${mib(memory.resident_bytes)} resident`)
  const profile = await profileSpeed(on.folder, plan, say)
  await on.stop()
  return { columns: WIDTH, costs, seconds: plan.seconds, plain, routes, memory, profile }
}

/** @returns its file */
function profileOf(folder: string, width: number): string {
  const [data, file] = [join(folder, `training-${width}.csv`), join(folder, `profile-${width}.json`)]
  trainingCsv(data, width, TRAINING_ROWS)
  profiled(data, file)
  return file
}

/** Routes with and without, in turn. */
async function routesRun({ script, setting }: Bed, profile: string, plan: Plan, say: Say): Promise<Pick<Monitors, 'plain' | 'routes'>> {
  const subjects: { name: string; url: string; admin: number; running: Running; runs: number[] }[] = []
  for (const name of ['plain', 'schema', 'drift', 'schema and drift']) {
    const plugins = ['schema', 'drift'].filter((plugin) => name.includes(plugin)).map((plugin) => `{ ${plugin}: { profile: "${profile}" } }`)
    const at = await setting()
    let admin = 0
    const { running } = await launch(at, `weir-${subjects.length}`, (port) => config(at, (admin = port), plugins.join(', ')))
    subjects.push({ name, url: url(at, PROXIED), admin, running, runs: [] })
  }
  for (const { url } of subjects) await wrk(script, url, plan.seconds)
  for (let round = 0; round < plan.rounds; round++) {
    for (const { url, running, runs } of subjects) runs.push(await perCpuSecond(script, url, running, plan.seconds))
    say(`  ${subjects.map(({ name, runs }) => `${name} ${rounded(runs.at(-1)!)}`).join(', ')} requests per CPU second`)
  }
  for (const { name, admin } of subjects) await looked(name, admin)
  for (const { running } of subjects) await running.stop()
  const [plain, ...routes] = subjects.map(({ name, runs }) => ({ name, runs }))
  return { plain: plain!.runs, routes }
}

/** @throws when a route did not do what its name says: nothing is cheaper */
async function looked(name: string, admin: number): Promise<void> {
  const valid = await metric(admin, 'weir_schema_requests_total', 'verdict="valid"')
  const others = (await metric(admin, 'weir_schema_requests_total')) - valid
  const [rows, unreadable] = [await metric(admin, 'weir_drift_rows_total'), await metric(admin, 'weir_drift_unreadable_total')]
  const fits = valid > 0 === name.includes('schema') && rows > 0 === name.includes('drift')
  if (!fits || others + unreadable > 0) throw new Error(`${name}: ${valid} requests were valid, ${others} were not, ${rows} rows counted, ${unreadable} requests unreadable`)
}

async function profileSpeed(folder: string, plan: Plan, say: Say): Promise<Monitors['profile']> {
  const file = join(folder, 'large.csv')
  largeCsv(file, plan.profile_mb * 1e6)
  const { size } = statSync(file)
  const runs: Monitors['profile']['runs'] = []
  for (let i = 0; i < Math.min(3, plan.rounds); i++) {
    const run = await profileRun(file, join(folder, 'large.json'))
    runs.push(run)
    say(`  profile of ${rounded(size / 1e6)} MB: ${(size / 1e6 / run.seconds).toFixed(1)} MB/s, at most ${rounded(run.peak_mib)} MiB resident`)
  }
  return { bytes: size, runs }
}

const mib = (bytes: number) => `${(bytes / 2 ** 20).toFixed(1)} MiB`
const us = (ns: number) => `${(ns / 1000).toFixed(2)} µs`
const speeds = ({ bytes, runs }: Monitors['profile']) => runs.map(({ seconds }) => bytes / 1e6 / seconds)
const peak = ({ runs }: Monitors['profile']) => whole(Math.max(...runs.map(({ peak_mib }) => peak_mib)))

export function monitors({ columns, costs, seconds, plain, routes, memory, profile }: Monitors): string {
  const cost = (name: string, shape: string, ns: readonly number[]) => [name, shape, us(median(ns)), spread(ns, us), `${(median(ns) / columns).toFixed(1)} ns`]
  const route = (name: string, runs: readonly number[]) => [name, times(ratio(runs, plain)), whole(median(runs)), spread(runs, whole)]
  const speed = speeds(profile)
  return `## Schema and drift

CPU of the hooks on requests of ${columns} numbers a row that are decoded already, in process, less a route whose plugin does nothing; medians of ${costs[0]!.schema_ns.length}.

${table(['plugin', 'request', 'a row', 'spread', 'a value'], costs.flatMap(({ shape, schema_ns, drift_ns }) => [cost('schema', shape, schema_ns), cost('drift', shape, drift_ns)]))}

The same in front of a backend, four rows of JSON a request, Open Inference Protocol, ${seconds} s a run, in turn: a route without plugins decodes nothing, the others all ${4 * columns} numbers.

${table(['route', '× plain', 'requests per CPU second (median)', 'spread'], [route('plain', plain), ...routes.map(({ name, runs }) => route(name, runs))])}

\`drift\` on ${memory.features} numeric features, windows of 12 stretches and a season of 24 chunks, asks for ${mib(memory.shared_bytes)} of shared memory with one data thread; after a day of windows the process
holds ${mib(memory.held_bytes)} more than before (that memory included), and has ${mib(memory.resident_bytes)} more resident: what judging leaves to the allocator is not given back at once.

\`weir profile\` on one core reads ${whole(profile.bytes / 1e6)} MB of CSV (an id, a time, 25 columns of numbers, two of texts) at ${median(speed).toFixed(1)} MB/s (${spread(speed, (value) => value.toFixed(1))}), with at most ${peak(profile)} MiB resident.`
}

/** A line of the README. */
export function monitorFigures({ columns, costs, profile }: Monitors): string {
  const most = (key: 'schema_ns' | 'drift_ns') => us(Math.max(...costs.map((cost) => median(cost[key]))))
  return `A row of ${columns} numbers, beyond decoding: schema at most ${most('schema_ns')}, drift at most ${most('drift_ns')}. \`weir profile\` reads ${median(speeds(profile)).toFixed(0)} MB/s with ${peak(profile)} MiB.`
}
