/** The parts of the report about models inside. */
import type { Latency, Load } from './load.ts'
import { type Beside, median, ratio, type Results } from './results.ts'
import { ms, spread, table, times, whole } from './words.ts'

type Inside = NonNullable<Results['inside']>

/** CPU of a whole inside request less the model's own, µs. */
function around({ weir, bare_run_us }: Inside): number {
  return median(weir.map((perSecond, i) => 1e6 / perSecond - bare_run_us[i]!))
}

function compared({ weir, peers }: Inside): string {
  const told = peers.map(({ name, runs }) => `weir ÷ ${name}: **${times(ratio(weir, runs))}**`)
  return told.length === 0 ? '' : ` With four rows of JSON ${told.join(', ')} (medians of neighbouring runs).`
}

export function inside(results: Inside): string {
  const row = (server: string, rows: number, runs: readonly number[], version: string) => [server, String(rows), whole(median(runs)), spread(runs, whole), version]
  const { weir, peers, many } = results
  const lines = [row('weir, JSON', 4, weir, 'this commit'), ...peers.map(({ name, version, runs }) => row(`${name}, JSON`, 4, runs, version))]
  if (many !== undefined) lines.push(row('weir, JSON', many.rows, many.json, 'this commit'), row('weir, binary tensors', many.rows, many.binary, 'this commit'))
  if (many?.fastapi !== undefined) lines.push(row('FastAPI, JSON', many.rows, many.fastapi, peers.find(({ name }) => name === 'FastAPI')?.version ?? ''))
  const binary = many?.fastapi === undefined ? '' : ` With ${many.rows} rows, weir by binary tensors ÷ FastAPI by JSON: **${times(ratio(many.binary, many.fastapi))}**.`
  return `## The model inside

\`cancer\` version 1, rows of thirty numbers, Open Inference Protocol; each server alone on one core, 64 kept connections. MLServer as it comes
keeps the model in a process of its own; *in one process* and without access log and metrics it is at its leanest.${compared(results)}${binary}
One \`session.run\` of four rows by itself takes ${median(results.bare_run_us).toFixed(1)} µs of CPU; HTTP and JSON around it ${around(results).toFixed(1)} µs.

${table(['server', 'rows', 'requests per CPU second (median)', 'spread', 'version'], lines)}`
}

export function batching({ model, callers, seconds, joined, single }: NonNullable<Results['batching']>): string {
  const row = (name: string, runs: readonly Load[]) => {
    const of = (key: keyof Load) => median(runs.map((run) => run[key]))
    return [name, whole(of('per_second')), whole(of('per_cpu_second')), ms(of('p50_ms')), ms(of('p99_ms')), spread(runs.map((run) => run.p99_ms), ms)]
  }
  return `## Micro-batching

\`slow\` (${model}, 27 MB), ${callers} callers of one row at once, JSON, weir with one data and one inference thread on one core, ${seconds} s a run. Answers per second
with rows of callers joined ÷ one by one (\`batching: off\`), median of neighbouring runs: **${times(ratio(joined.map((run) => run.per_second), single.map((run) => run.per_second)))}**.

${table(['', 'answers per second', 'per CPU second', 'p50', 'p99', 'p99 spread'], [row('one by one', single), row('joined', joined)])}`
}

/** Median of what p99 grows by between neighbouring runs, ms. */
function grown({ idle, busy }: Beside): number {
  return median(busy.map(({ p99_ms }, i) => p99_ms - idle[i]!.p99_ms))
}

export function neighbours({ model, per_second, callers, seconds, heavy_per_second, proxied, inside }: NonNullable<Results['neighbours']>): string {
  const row = (name: string, runs: readonly Latency[]) => {
    const p99 = runs.map((run) => run.p99_ms)
    return [name, ms(median(runs.map((run) => run.p50_ms))), ms(median(p99)), spread(p99, ms)]
  }
  return `## A heavy model beside others

\`heavy\` (${model}, about 30 ms a run) asked by ${callers} callers without pause keeps the inference thread busy: ${median(heavy_per_second).toFixed(1)} answers per second. Meanwhile, or with
nothing beside it, ${per_second} requests per second (open loop, ${seconds} s a run) to a proxied route and to the small model \`cancer\`, which runs in the data thread. weir has both
cores, one data and one inference thread, and shares the second core with load and backend. p99 beside the heavy model − p99 alone, median of neighbouring
runs: **${ms(grown(proxied))}** for the proxied route, **${ms(grown(inside))}** for the small model.

${table(['', 'p50', 'p99', 'p99 spread'], [row('proxied route alone', proxied.idle), row('proxied route beside it', proxied.busy), row('small model alone', inside.idle), row('small model beside it', inside.busy)])}`
}

/** Lines of the README. */
export function insideFigures({ inside, batching, neighbours }: Results): string[] {
  const lines: string[] = []
  const told = inside?.peers.map(({ name, runs }, i) => `${times(ratio(inside.weir, runs))} as many${i === 0 ? ' requests per CPU second' : ''} as ${name}${name === 'FastAPI' ? ' with ONNX Runtime' : ''}`) ?? []
  if (told.length > 0) lines.push(`A small model inside weir answers ${told.join(', ')}.`)
  if (batching !== undefined) lines.push(`Joining the rows of ${batching.callers} callers answers ${times(ratio(batching.joined.map((run) => run.per_second), batching.single.map((run) => run.per_second)))} as many of them from a slow model.`)
  if (neighbours !== undefined) lines.push(`A model of 30 ms under full load adds ${ms(grown(neighbours.proxied))} to the p99 of a proxied route beside it, ${ms(grown(neighbours.inside))} to that of a small model.`)
  return lines
}
