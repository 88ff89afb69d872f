import { describe, expect, test } from 'vitest'
import { binaryMessage, type Latency, type Load, parseWrk, requestBody } from '../../bench/load.ts'
import { fill } from '../../bench/readme.ts'
import { figures, report } from '../../bench/report.ts'
import { median, ratio, type Results } from '../../bench/results.ts'
import { table } from '../../bench/words.ts'

describe('numbers', () => {
  test('the median of an odd and of an even number of values', () => {
    expect(median([3, 1, 2])).toBe(2)
    expect(median([4, 1, 3, 2])).toBe(2.5)
    expect(() => median([])).toThrow('the median of nothing')
  })

  test('a ratio is the median of the neighbours, not the ratio of the medians', () => {
    // 0.5, 0.571… and 0.55; the medians, 10 and 20, would say 0.5.
    expect(ratio([10, 4, 11], [20, 7, 20])).toBe(0.55)
    // Each run twice its neighbour, at three speeds.
    expect(ratio([20, 2, 200], [10, 1, 100])).toBe(2)
  })
})

describe('wrk', () => {
  // As wrk 4.1 prints it.
  const good = `Running 5s test @ http://127.0.0.1:1/
  1 threads and 64 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency     2.14ms    1.45ms  10.03ms   83.18%
    Req/Sec     0.97k   261.13     1.38k    70.00%
  Latency Distribution
     50%  500.00us
     75%    2.35ms
     90%    4.14ms
     99%    1.20s 
  164403 requests in 5.10s, 70.87MB read
Requests/sec:  32238.60
`

  test('a clean run', () => {
    expect(parseWrk(good)).toEqual({ requests: 164403, errors: 0, seconds: 5.1, latency: { p50_ms: 0.5, p99_ms: 1200 } })
  })

  test('refusals and broken sockets are errors', () => {
    expect(parseWrk(`${good}  Socket errors: connect 1, read 2, write 3, timeout 4\n  Non-2xx or 3xx responses: 100\n`).errors).toBe(110)
  })

  test('anything else is not a result', () => {
    expect(() => parseWrk('unable to connect to 127.0.0.1:1 Connection refused')).toThrow('no number of requests')
    expect(() => parseWrk(good.replace('99%', '98%'))).toThrow('no 99%')
  })
})

test('the request has four rows of thirty numbers in about 1.1 kB, always the same', () => {
  const body = requestBody()
  const { shape, data } = (JSON.parse(body) as { inputs: [{ shape: number[]; data: number[] }] }).inputs[0]
  expect(shape).toEqual([4, 30])
  expect(data).toHaveLength(120)
  expect(Math.abs(Buffer.byteLength(body) - 1100)).toBeLessThan(100)
  expect(requestBody()).toBe(body)
})

test('the same numbers as binary tensors: a JSON head of the length it says, then little-endian floats', () => {
  const { body, headers } = binaryMessage(2)
  const length = Number(headers['Inference-Header-Content-Length'])
  const [input] = (JSON.parse(body.toString('utf8', 0, length)) as { inputs: [{ shape: number[]; parameters: { binary_data_size: number } }] }).inputs
  const tail = (body as Buffer).subarray(length)
  expect([input.shape, input.parameters.binary_data_size, tail.length]).toEqual([[2, 30], 240, 240])
  const { data } = (JSON.parse(requestBody(2)) as { inputs: [{ data: number[] }] }).inputs[0]
  expect(data.map((_, i) => tail.readFloatLE(4 * i))).toEqual(data.map(Math.fround))
})

const load = (per_second: number): Load => ({ per_second, per_cpu_second: 2 * per_second, p50_ms: 4, p99_ms: 8 })
const at = (p99_ms: number): Latency => ({ p50_ms: 0.5, p99_ms })

const results: Results = {
  machine: { cpu: 'CPU', cores: 2, memory_gib: 8, kernel: '6.1', node: 'v26', commit: 'abc', day: '2026-01-01' },
  left_out: [{ name: 'Envoy', why: 'not here' }],
  proxy: {
    seconds: 5,
    peers: [
      { name: 'nginx', version: 'nginx/1', runs: [1000, 1000], nginx: [1000, 1000] },
      { name: 'weir', version: 'this commit', runs: [600, 700], nginx: [1000, 1000] },
    ],
  },
  inside: {
    seconds: 5, weir: [10_000], bare_run_us: [40],
    peers: [{ name: 'FastAPI', version: 'FastAPI 1', runs: [2500] }, { name: 'MLServer', version: 'MLServer 1', runs: [400] }],
    many: { rows: 64, json: [5000], binary: [8000], fastapi: [1000] },
  },
  // Neighbours: 3.5 and 3 times as many; the ratio of the medians would be 3.5.
  batching: { model: 'made', callers: 64, seconds: 5, joined: [load(3500), load(300)], single: [load(1000), load(100)] },
  neighbours: {
    model: 'made', per_second: 200, callers: 4, seconds: 10, heavy_per_second: [30],
    proxied: { idle: [at(1), at(9), at(2)], busy: [at(3), at(10), at(7)] },
    inside: { idle: [at(1)], busy: [at(1.25)] },
  },
  latency: { per_second: 1000, seconds: 10, direct: [{ p50_ms: 0.1, p99_ms: 0.2 }], nginx: [{ p50_ms: 0.2, p99_ms: 0.4 }], weir: [{ p50_ms: 0.3, p99_ms: 0.8 }] },
  // 0.6 and 0.8 of their neighbours; twice and half the p99.
  records: {
    seconds: 5, plain: [1000, 100], per_second: 1000, latency_seconds: 10,
    logged: [{ name: 'everything, Parquet', runs: [600, 80], delivery_us: [20, 22] }, { name: 'envelope alone, Parquet', runs: [900, 90], delivery_us: [10, 10] }],
    well: [at(1), at(4)], dead: [at(2), at(2)],
  },
  monitors: {
    columns: 30, seconds: 5, plain: [1000], routes: [{ name: 'schema', runs: [800] }, { name: 'drift', runs: [700] }],
    costs: [{ shape: '1 row', schema_ns: [900, 600, 1200], drift_ns: [1500, 1500, 1500] }, { shape: '64 rows', schema_ns: [300, 300, 300], drift_ns: [450, 450, 450] }],
    memory: { features: 200, shared_bytes: 20 * 2 ** 20, held_bytes: 22 * 2 ** 20, resident_bytes: 50 * 2 ** 20 },
    profile: { bytes: 200e6, runs: [{ seconds: 4, peak_mib: 150 }, { seconds: 5, peak_mib: 160 }, { seconds: 8, peak_mib: 155 }] },
  },
  memory: { threads: 2, seconds: 60, samples_mib: [100, 120, 118] },
  start: { package_ms: [300, 320, 310], source_ms: [600, 640, 620] },
}

describe('the report', () => {
  const text = report(results)

  test.each([
    ['| weir | 0.65 × | 650 | 600–700 | 2 | this commit |'],
    ['weir ÷ FastAPI: **4.00 ×**, weir ÷ MLServer: **25 ×**'],
    ['weir by binary tensors ÷ FastAPI by JSON: **8.00 ×**'],
    ['one by one (`batching: off`), median of neighbouring runs: **3.25 ×**'],
    ['| joined | 1,900 | 3,800 | 4.00 ms | 8.00 ms | 8.00 ms–8.00 ms |'],
    // 2, 1 and 5 ms more, run by run.
    ['**2.00 ms** for the proxied route, **0.25 ms** for the small model'],
    // 1e6 / 10,000 per CPU second = 100 µs, of which the model takes 40.
    ['around it 60.0 µs'],
    ['**2.00 ×**'],
    ['| through weir | 0.30 ms | 0.80 ms | 0.80 ms |'],
    ['| everything, Parquet | 0.70 × | 340 | 80–600 | 21.0 µs |'],
    ['p99 with the sink gone ÷ with it well, median of neighbouring runs: **1.25 ×**'],
    ['| gone | 0.50 ms | 2.00 ms | 2.00 ms–2.00 ms |'],
    // 900 ns over 30 values.
    ['| schema | 1 row | 0.90 µs | 0.60 µs–1.20 µs | 30.0 ns |'],
    ['| drift | 0.70 × | 700 | 700 |'],
    ['asks for 20.0 MiB of shared memory with one data thread'],
    ['reads 200 MB of CSV (an id, a time, 25 columns of numbers, two of texts) at 40.0 MB/s (25.0–50.0), with at most 160 MiB resident'],
    ['at most 120 MiB resident'],
    ['310 ms from the built package, 620 ms from the .ts files'],
    ['Left out: Envoy (not here).'],
  ])('says %s', (line) => {
    expect(text.replaceAll('\n', ' ')).toContain(line)
  })

  test('the README has a line of each', () => {
    const lines = figures(results)
    expect(lines).toContain('logged to Parquet: 0.70 × of the plain')
    expect(lines).toContain('1.25 × that with it well')
    expect(lines).toContain('schema at most 0.90 µs, drift at most 1.50 µs. `weir profile` reads 40 MB/s with 160 MiB.')
  })

  test('has nothing to say of what was not measured', () => {
    const { machine, left_out } = results
    expect(report({ machine, left_out })).not.toMatch(/##/)
    expect(figures({ machine, left_out })).not.toMatch(/nginx|MiB/)
  })

  test('a table', () => {
    expect(table(['a', 'b'], [['1', '2']])).toBe('| a | b |\n| --- | ---: |\n| 1 | 2 |')
  })
})

describe('the marked parts of the README', () => {
  const page = 'a\n<!-- x -->\nold\n<!-- /x -->\nb\n'

  test('are replaced and nothing else', () => {
    expect(fill(page, 'x', 'new')).toBe('a\n<!-- x -->\nnew\n<!-- /x -->\nb\n')
    expect(fill(fill(page, 'x', 'new'), 'x', 'new')).toBe(fill(page, 'x', 'new'))
  })

  test('must be there', () => {
    expect(() => fill(page, 'y', 'new')).toThrow('<!-- y -->')
  })
})
