/** The dashboard against a real Prometheus that scrapes a real weir, which has seen a bit of everything. */
import { appendFile } from 'node:fs/promises'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import path from 'node:path'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { request } from '../blackbox/message.ts'
import { startWeir, type Weir } from '../blackbox/weir.ts'
import { describeWith, freePort } from '../servers.ts'
import { complaints, dashboards, queriesOf } from './dashboard.ts'
import { type Prometheus, startPrometheus } from './prometheus.ts'

const MODELS = path.resolve(import.meta.dirname, '../../config/examples/models')
const ROW = JSON.stringify({ inputs: [{ name: 'features', datatype: 'FP32', shape: [1, 30], data: Array.from({ length: 30 }, (_, i) => i) }] })

describeWith('prometheus', 'every query of the dashboard against a running weir', (program) => {
  let weir: Weir
  let prometheus: Prometheus
  let traffic: NodeJS.Timeout
  let server: Server

  beforeAll(async () => {
    server = createServer((request, response) => setTimeout(() => response.writeHead(request.url === '/many/fail' ? 500 : 200).end('ok'), request.url === '/slow' ? 150 : 0))
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    const { port } = server.address() as AddressInfo
    weir = await startWeir(
      `
models: ${MODELS}
# Sheddable routes are refused from the first byte on, the others never.
overload: { memory: 0.01% }
tracing: { endpoint: "http://127.0.0.1:${await freePort()}", sample: 100% }
backends:
  several:
    urls: ["http://127.0.0.1:${port}", "http://127.0.0.1:${await freePort()}"]
    dns_refresh: 1s
    ejection: { consecutive: 2, base: 100ms, max: 200ms }
  checked: { url: "http://127.0.0.1:${port}", health: { path: /, interval: 500ms, timeout: 200ms } }
  narrow: { url: "http://127.0.0.1:${port}", limits: { in_flight: 1, queue: 0 }, throttle: {} }
  gone: { url: "http://127.0.0.1:${await freePort()}" }
  inside: { model: cancer }
  constant: { answer: { status: 200, body: "ok" } }
  other: { answer: { status: 200, body: "ok" } }
routes:
  - { name: fraud, match: { path: /fraud }, backend: gone, format: oip, plugins: [{ fallback: { to: [inside] } }] }
  - { name: arms, match: { path: /arms }, backend: constant, plugins: [{ rate_limit: { per_second: 20 } }, { split: { arms: { constant: 1, other: 1 } } }] }
  - name: many
    match: { path: "/many/**" }
    backend: several
    plugins:
      - concurrency: { max: 10 }
      - timeout: { total: 1s, per_try: 500ms }
      - retry: { on: [connect, 5xx] }
      - hedge: {}
      - fault: { abort: { status: 503, percent: 20% } }
  - { name: slow, match: { path: /slow }, backend: narrow, plugins: [{ timeout: { total: 100ms } }] }
  - { name: reports, match: { path: /reports }, backend: checked, criticality: sheddable }
  - { name: all, match: { path: "/**" }, backend: gone }
`,
      { threads: 2 },
    )
    const turn = (): void => {
      const asks = [request('POST', '/fraud', [], ROW), request('POST', '/v2/models/cancer/infer', [], ROW), request('GET', '/arms'), request('GET', '/x'), 'BAD\r\n\r\n', request('GET', '/many/x'), request('GET', '/many/fail'), request('GET', '/slow'), request('GET', '/slow'), request('GET', '/slow'), request('GET', '/reports')]
      for (const ask of asks) weir.exchange(ask).catch(() => undefined)
    }
    traffic = setInterval(turn, 50)
    // A reload that changes nothing and one that fails.
    await fetch(`http://127.0.0.1:${weir.admin}/reload`, { method: 'POST' })
    prometheus = await startPrometheus(program, [{ url: `http://127.0.0.1:${weir.admin}/metrics` }])
    await prometheus.scraped(2)
    await appendFile(path.join(weir.folder, 'weir.yaml'), 'nonsense: 1\n')
    await prometheus.scraped(8)
  }, 60_000)

  afterAll(async () => {
    clearInterval(traffic)
    await prometheus?.close()
    await weir?.stop()
    server?.closeAllConnections()
    server?.close()
  })

  it('is accepted, finds something, and has the labels of its legend', async () => {
    expect(await complaints(prometheus, queriesOf(dashboards.weir), '10s')).toEqual([])
  })

  it('tells what happened', async () => {
    const value = async (expr: string): Promise<number | undefined> => (await prometheus.query(expr))[0]?.value
    expect(await value('weir_fallback_total{from="gone",to="inside",reason="connect"}')).toBeGreaterThan(5)
    expect(await value('sum(weir_model_requests_total{model="cancer",outcome="ok"})')).toBeGreaterThan(5)
    expect(await value('sum(weir_retry_total)')).toBeGreaterThan(0)
    expect(await value('sum(weir_fault_total{kind="abort"})')).toBeGreaterThan(0)
    expect(await value('sum(weir_shed_total{route="reports",signal="memory",criticality="sheddable"})')).toBeGreaterThan(5)
    expect(await value('sum(weir_backend_refused_total{backend="narrow",reason="queue_full"})')).toBeGreaterThan(5)
    expect(await value('sum(weir_timeout_total{route="slow",limit="total"})')).toBeGreaterThan(5)
    expect(await value('sum(weir_ejections_total{backend="several"})')).toBeGreaterThan(0)
    expect(await value('weir_config_synchronized')).toBe(0)
    expect(await value('sum(weir_refused_requests_total{code="BAD_REQUEST_LINE"})')).toBeGreaterThan(5)
  })
})
