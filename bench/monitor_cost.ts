/**
 * CPU of `schema` and `drift` beyond decoding: their hooks in a compiled route, on requests whose columns are decoded already, less a route
 * whose plugin does nothing. Prints ns a row for each shape of request and each of `rounds`.
 *
 *   node bench/monitor_cost.ts PROFILE ROUNDS
 */
import type { Exchange, Format } from '../gateway/exchange.ts'
import { rowCount } from '../gateway/payload/columns.ts'
import { oip } from '../gateway/payload/oip.ts'
import { rows } from '../gateway/payload/rows.ts'
import { runRequestBody } from '../gateway/pipeline/run.ts'
import { type Plugin, plugin, Type } from '../gateway/plugin.ts'
import { readProfile } from '../gateway/profile/check.ts'
import drift from '../plugins/drift.ts'
import schema from '../plugins/schema.ts'
import { type Bench, pluginTest } from '../test/plugin_test.ts'
import { rowsBody, tensorBody } from './columns.ts'

const WIDTH = 30
/** Different ones, so that no branch is learned by heart. */
const REQUESTS = 64
const ROWS_A_ROUND = 400_000

const [file, rounds] = process.argv.slice(2)
const profile = readProfile(file!)
const nothing = plugin({ name: 'nothing', summary: '', stability: 'stable', onError: 'open', config: Type.Object({}), example: {}, build: () => ({ requestBody: () => undefined }) })

const SHAPES: readonly { readonly name: string; readonly rows: number; readonly format: Format; readonly body: (seed: number) => string }[] = [
  { name: '1 row, JSON objects', rows: 1, format: rows, body: (seed) => rowsBody(seed, 1, WIDTH) },
  { name: '4 rows, one tensor', rows: 4, format: oip, body: (seed) => tensorBody(seed, 4, WIDTH) },
  { name: '64 rows, one tensor', rows: 64, format: oip, body: (seed) => tensorBody(seed, 64, WIDTH) },
]

/** A route and its requests, decoded. */
async function subject(which: Plugin, options: object, { format, body, rows: rowsOfOne }: (typeof SHAPES)[number]): Promise<{ readonly bench: Bench; readonly requests: readonly Exchange[] }> {
  const bench = await pluginTest(which, options, { format, profile, maxBodyBytes: 1 << 24 })
  const requests = Array.from({ length: REQUESTS }, (_, i) => bench.exchange({ headers: ['content-type', 'application/json'], body: body(i + 1) }))
  for (const x of requests) if (rowCount(x.input) !== rowsOfOne) throw new Error(`expected ${rowsOfOne} rows`)
  return { bench, requests }
}

/** @returns CPU ns a row */
function timed({ bench, requests }: Awaited<ReturnType<typeof subject>>, passes: number, rowsOfOne: number): number {
  const before = process.cpuUsage()
  for (let pass = 0; pass < passes; pass++) for (const x of requests) void runRequestBody(bench.route, x)
  const { user, system } = process.cpuUsage(before)
  return (1000 * (user + system)) / (passes * REQUESTS * rowsOfOne)
}

/** What was measured must have been done. */
function counted(bench: Bench, name: string): void {
  const [valid, unreadable] = name === 'schema'
    ? [bench.metric('weir_schema_requests_total', { verdict: 'valid' }), bench.metric('weir_schema_requests_total') - bench.metric('weir_schema_requests_total', { verdict: 'valid' })]
    : [bench.metric('weir_drift_rows_total'), bench.metric('weir_drift_unreadable_total')]
  if (!(valid > 0) || unreadable > 0) throw new Error(`${name}: ${valid} were counted, ${unreadable} were not as they should be`)
}

const MONITORS: readonly (readonly [name: 'schema' | 'drift', which: Plugin])[] = [['schema', schema as unknown as Plugin], ['drift', drift as unknown as Plugin]]
const results = []
for (const shape of SHAPES) {
  const passes = Math.ceil(ROWS_A_ROUND / (REQUESTS * shape.rows))
  const empty = await subject(nothing as unknown as Plugin, {}, shape)
  const found = { schema: [] as number[], drift: [] as number[] }
  const watched = await Promise.all(MONITORS.map(async ([name, which]) => ({ name, ...(await subject(which, { profile: file }, shape)) })))
  for (const each of [empty, ...watched]) timed(each, passes, shape.rows)
  for (let round = 0; round < Number(rounds); round++) {
    for (const each of watched) found[each.name].push(timed(each, passes, shape.rows) - timed(empty, passes, shape.rows))
  }
  for (const { bench, name } of watched) counted(bench, name)
  results.push({ shape: shape.name, schema_ns: found.schema, drift_ns: found.drift })
}
console.log(JSON.stringify(results))
