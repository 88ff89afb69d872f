/** The section of the bench about records: what logging costs the thread that serves, and what callers feel of a sink that is gone. */
import { join } from 'node:path'
import { bed, type Plan, PROXIED, rounded, type Say, url } from './bed.ts'
import { type Latency, openLoop, wrk } from './load.ts'
import type { Setting } from './peers.ts'
import { freePort, type Running } from './processes.ts'
import { median, ratio } from './results.ts'
import { launch, metric, proxyConfig } from './weir.ts'
import { ms, spread, table, times, whole } from './words.ts'

const PER_SECOND = 1000
const DATA_THREAD = 'weir data 0'
const RECORDS_THREAD = 'weir records'
const DELIVERED_WITHIN_MS = 60_000

interface Logged {
  readonly name: string
  /** Requests per CPU second of the data thread. */
  readonly runs: number[]
  /** CPU of the records thread a record, µs. */
  readonly delivery_us: number[]
}

export interface RecordsResult {
  readonly seconds: number
  /** Requests per CPU second of the data thread, without a log. */
  readonly plain: number[]
  readonly logged: Logged[]
  readonly per_second: number
  readonly latency_seconds: number
  /** The same log in front of a sink that takes everything, and of one that nobody listens at. */
  readonly well: Latency[]
  readonly dead: Latency[]
}

/** Each with what the log keeps and where. */
const LOGS: readonly (readonly [name: string, log: string, sink: (folder: string) => string])[] = [
  ['everything, Parquet', '{ sink: lake }', parquet],
  ['everything, JSONL', '{ sink: lake }', (folder) => `{ jsonl: "${folder}" }`],
  ['everything, Parquet, one path taken out', '{ sink: lake, redact: { paths: ["$.inputs[0].name"] } }', parquet],
  ['envelope alone, Parquet', '{ sink: lake, what: none }', parquet],
  ['1 % of everything, Parquet', '{ sink: lake, sample: 1% }', parquet],
]

function parquet(folder: string): string {
  return `{ parquet: "${folder}", rotate: 2s }`
}

function loggedConfig({ folder, port, upstream }: Setting, admin: number, log: string, sink: string): string {
  return `listen: 127.0.0.1:${port}
admin: 127.0.0.1:${admin}
threads: 1
state: "${join(folder, `state-${port}`)}"
sinks: { lake: ${sink} }
backends: { up: { url: "http://127.0.0.1:${upstream}" } }
routes: [{ name: all, match: { path: "/**" }, backend: up, plugins: [{ log: ${log} }] }]
`
}

interface Subject {
  readonly url: string
  readonly admin: number
  readonly running: Running
}

async function begun(at: Setting, name: string, text: (admin: number) => string): Promise<Subject> {
  let admin = 0
  const { running } = await launch(at, name, (port) => text((admin = port)))
  return { url: url(at, PROXIED), admin, running }
}

/** Until no record waits. @returns records delivered so far @throws when one was dropped: that is cheaper than to keep it */
async function delivered(subject: Subject): Promise<number> {
  for (const begun = performance.now(); (await metric(subject.admin, 'weir_records_pending')) > 0; ) {
    if (performance.now() - begun > DELIVERED_WITHIN_MS) throw new Error(`records still wait after ${DELIVERED_WITHIN_MS} ms`)
    await new Promise((resolve) => setTimeout(resolve, 100))
  }
  const dropped = await metric(subject.admin, 'weir_records_dropped_total')
  if (dropped > 0) throw new Error(`${dropped} records were dropped`)
  return metric(subject.admin, 'weir_records_delivered_total')
}

/** One run under full load. @returns requests per CPU second of the data thread */
async function run(script: string, { url, running }: Subject, seconds: number): Promise<number> {
  const before = running.threadSeconds(DATA_THREAD)
  const { requests, errors } = await wrk(script, url, seconds)
  if (errors > 0) throw new Error(`${url}: ${errors} of ${requests} requests failed under load`)
  return requests / (running.threadSeconds(DATA_THREAD) - before)
}

async function loggedRun(script: string, subject: Subject, seconds: number, { runs, delivery_us }: Logged): Promise<void> {
  const count = await delivered(subject)
  const before = subject.running.threadSeconds(RECORDS_THREAD)
  runs.push(await run(script, subject, seconds))
  const records = (await delivered(subject)) - count
  delivery_us.push((1e6 * (subject.running.threadSeconds(RECORDS_THREAD) - before)) / Math.max(1, records))
}

export async function recordsSection(plan: Plan, say: Say): Promise<RecordsResult> {
  const { folder, script, setting, stop } = await bed()
  const at = await setting()
  const plain = await begun(at, 'weir-plain', (admin) => proxyConfig(at, admin, 1))
  const subjects: { subject: Subject; logged: Logged }[] = []
  for (const [name, log, sink] of LOGS) {
    const own = await setting()
    const subject = await begun(own, `weir-log-${own.port}`, (admin) => loggedConfig(own, admin, log, sink(join(folder, `sink-${own.port}`))))
    subjects.push({ subject, logged: { name, runs: [], delivery_us: [] } })
  }
  const runs: number[] = []
  for (const { url } of [plain, ...subjects.map(({ subject }) => subject)]) await wrk(script, url, plan.seconds)
  for (let round = 0; round < plan.rounds; round++) {
    runs.push(await run(script, plain, plan.seconds))
    for (const { subject, logged } of subjects) {
      await loggedRun(script, subject, plan.seconds, logged)
      say(`  ${logged.name}: ${rounded(logged.runs.at(-1)!)} requests per CPU second of the data thread, plain ${rounded(runs.at(-1)!)} (${times(logged.runs.at(-1)! / runs.at(-1)!)}); ${logged.delivery_us.at(-1)!.toFixed(1)} µs of the records thread a record`)
    }
  }
  for (const { running } of [plain, ...subjects.map(({ subject }) => subject)]) await running.stop()
  const felt = await sinks(plan, say)
  await stop()
  return { seconds: plan.seconds, plain: runs, logged: subjects.map(({ logged }) => logged), per_second: PER_SECOND, latency_seconds: plan.latency_seconds, ...felt }
}

/** Latency in front of a sink that takes everything (the bed's backend) and of one that is gone, in turn. */
async function sinks({ latency_seconds, latency_pairs }: Plan, say: Say): Promise<Pick<RecordsResult, 'well' | 'dead'>> {
  const { script, setting, stop } = await bed()
  const start = async (receiver: number | null) => {
    const at = await setting()
    const sink = `{ cloudevents: "http://127.0.0.1:${receiver ?? at.upstream}/", batch: 100 }`
    return { ...(await begun(at, `weir-sink-${at.port}`, (admin) => loggedConfig(at, admin, '{ sink: lake }', sink))), runs: [] as Latency[] }
  }
  const [well, dead] = [await start(null), await start(await freePort())]
  for (const { url } of [well, dead]) await wrk(script, url, Math.min(2, latency_seconds), 4)
  // What the warm-up left behind is not what callers feel at this rate.
  await delivered(well)
  for (let pair = 0; pair < latency_pairs; pair++) {
    for (const { url, runs } of [well, dead]) runs.push(await openLoop(url, PER_SECOND, latency_seconds))
    const told = ({ runs }: typeof well) => `${runs.at(-1)!.p50_ms.toFixed(3)}/${runs.at(-1)!.p99_ms.toFixed(3)}`
    say(`  p50/p99 ms: sink well ${told(well)}, sink gone ${told(dead)}`)
  }
  if ((await metric(dead.admin, 'weir_records_delivered_total')) > 0) throw new Error('somebody listens where nobody should')
  for (const { running } of [well, dead]) await running.stop()
  await stop()
  return { well: well.runs, dead: dead.runs }
}

const p99 = (runs: readonly Latency[]) => runs.map((run) => run.p99_ms)

export function records({ seconds, plain, logged, per_second, latency_seconds, well, dead }: RecordsResult): string {
  const row = (name: string, runs: readonly number[], delivery: readonly number[]) => [name, times(ratio(runs, plain)), whole(median(runs)), spread(runs, whole), delivery.length === 0 ? '' : `${median(delivery).toFixed(1)} µs`]
  const felt = (name: string, runs: readonly Latency[]) => [name, ms(median(runs.map((run) => run.p50_ms))), ms(median(p99(runs))), spread(p99(runs), ms)]
  return `## Records of requests and answers

\`log\` on the plain route, 1.1 kB in and 220 B out, ${seconds} s a run, in turn: requests per CPU second *of the data thread*; what the records thread needs to deliver one record stands beside it, and
runs on the same core. No record was dropped, and all were delivered before the next run. The ratio is the median of neighbouring runs.

${table(['log', '× plain', 'requests per CPU second (median)', 'spread', 'delivery of a record'], [row('none', plain, []), ...logged.map(({ name, runs, delivery_us }) => row(name, runs, delivery_us))])}

Callers in front of a sink that takes all events, and of one that nobody listens at, all the time: ${whole(per_second)} requests a second, everything logged, ${latency_seconds} s a run, in turn. p99 with the sink
gone ÷ with it well, median of neighbouring runs: **${times(ratio(p99(dead), p99(well)))}**.

${table(['sink', 'p50', 'p99', 'p99 spread'], [felt('well', well), felt('gone', dead)])}`
}

/** A line of the README. */
export function recordFigures({ plain, logged, well, dead }: RecordsResult): string {
  const [everything] = logged
  return `Every request and answer logged to Parquet: ${times(ratio(everything!.runs, plain))} of the plain route's requests per CPU second of the data thread; with the sink gone p99 at 1,000 requests per second is ${times(ratio(p99(dead), p99(well)))} that with it well.`
}
