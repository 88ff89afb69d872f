/**
 * The OpenTelemetry Collector in front of this test: it takes OTLP as its receiver reads it and passes on what it understood as OTLP in
 * JSON, which is collected here.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { freePort } from '../servers.ts'
import { pause } from './scripted.ts'

export interface Span {
  readonly traceId: string
  readonly spanId: string
  /** '' = it has none. */
  readonly parentSpanId: string
  readonly traceState: string
  readonly name: string
  /** 2 = SERVER, 3 = CLIENT. */
  readonly kind: number
  readonly startTimeUnixNano: bigint
  readonly endTimeUnixNano: bigint
  readonly attributes: Readonly<Record<string, unknown>>
  readonly events: readonly { readonly name: string; readonly attributes: Readonly<Record<string, unknown>> }[]
  /** 0 = unset, 2 = error. */
  readonly status: number
  readonly resource: Readonly<Record<string, unknown>>
}

const START_MS = 15_000
const PATIENCE_MS = 8_000

export class Collector {
  /** Everything that came. */
  readonly spans: Span[] = []
  readonly port: number
  readonly #child: ChildProcess
  readonly #close: () => Promise<void>

  private constructor(port: number, child: ChildProcess, close: () => Promise<void>) {
    this.port = port
    this.#child = child
    this.#close = close
  }

  static async start(program: string): Promise<Collector> {
    const folder = await mkdtemp(path.join(tmpdir(), 'weir-collector-'))
    const port = await freePort()
    const sink = createServer((request, response) => {
      const parts: Buffer[] = []
      request.on('data', (part: Buffer) => parts.push(part)).on('end', () => {
        collector.spans.push(...spansOf(JSON.parse(Buffer.concat(parts).toString()) as Export))
        response.setHeader('content-type', 'application/json').end('{}')
      })
    })
    sink.listen(0, '127.0.0.1')
    await once(sink, 'listening')
    const file = path.join(folder, 'collector.yaml')
    await writeFile(file, configOf(port, (sink.address() as AddressInfo).port))
    const child = spawn(program, ['--config', file], { stdio: ['ignore', 'ignore', 'pipe'] })
    let said = ''
    child.stderr!.setEncoding('utf8').on('data', (text: string) => (said = (said + text).slice(-10_000)))
    const collector = new Collector(port, child, async () => {
      sink.close()
      sink.closeAllConnections()
      await rm(folder, { recursive: true, force: true })
    })
    const deadline = performance.now() + START_MS
    while (!(await listens(port))) {
      if (performance.now() < deadline && child.exitCode === null) await pause(50)
      else {
        await collector.stop()
        throw new Error(`the collector did not start:\n${said}`)
      }
    }
    return collector
  }

  /** Waits for this many spans of a trace; sorted by start. @throws with what came */
  async trace(traceId: string, count: number): Promise<Span[]> {
    const deadline = performance.now() + PATIENCE_MS
    for (;;) {
      const found = this.spans.filter((span) => span.traceId === traceId)
      if (found.length === count) return found.toSorted((a, b) => Number(a.startTimeUnixNano - b.startTimeUnixNano))
      if (found.length > count || performance.now() > deadline) throw new Error(`${found.length} spans of ${traceId} came, not ${count}: ${found.map(({ name }) => name).join(', ')}`)
      await pause(20)
    }
  }

  async stop(): Promise<void> {
    if (this.#child.exitCode === null && this.#child.signalCode === null) {
      this.#child.kill('SIGTERM')
      await once(this.#child, 'exit')
    }
    await this.#close()
  }
}

/** As sent on: no queue, no compression, JSON. */
function configOf(port: number, to: number): string {
  return `
receivers: { otlp: { protocols: { http: { endpoint: "127.0.0.1:${port}" } } } }
exporters: { otlphttp: { endpoint: "http://127.0.0.1:${to}", encoding: json, compression: none, sending_queue: { enabled: false } } }
service:
  telemetry: { metrics: { level: none } }
  pipelines: { traces: { receivers: [otlp], exporters: [otlphttp] } }
`
}

async function listens(port: number): Promise<boolean> {
  return fetch(`http://127.0.0.1:${port}/v1/traces`, { method: 'POST', headers: { 'content-type': 'application/json' }, body: '{}' }).then((answer) => answer.ok, () => false)
}

// ---------------------------------------------------------------- OTLP/JSON (opentelemetry-proto, trace.proto)

interface Value {
  readonly stringValue?: string
  /** A 64-bit integer is a string. */
  readonly intValue?: string
}
type Attributes = readonly { readonly key: string; readonly value: Value }[]
interface Export {
  readonly resourceSpans: readonly {
    readonly resource: { readonly attributes?: Attributes }
    readonly scopeSpans: readonly {
      readonly spans: readonly {
        readonly traceId: string
        readonly spanId: string
        readonly parentSpanId?: string
        readonly traceState?: string
        readonly name: string
        readonly kind: number
        readonly startTimeUnixNano: string
        readonly endTimeUnixNano: string
        readonly attributes?: Attributes
        readonly events?: readonly { readonly name: string; readonly attributes?: Attributes }[]
        readonly status?: { readonly code?: number }
      }[]
    }[]
  }[]
}

function spansOf({ resourceSpans }: Export): Span[] {
  return resourceSpans.flatMap(({ resource, scopeSpans }) =>
    scopeSpans.flatMap(({ spans }) =>
      spans.map(({ parentSpanId = '', traceState = '', attributes = [], events = [], status, startTimeUnixNano, endTimeUnixNano, ...rest }) => ({
        ...rest,
        parentSpanId,
        traceState,
        startTimeUnixNano: BigInt(startTimeUnixNano),
        endTimeUnixNano: BigInt(endTimeUnixNano),
        attributes: plain(attributes),
        events: events.map(({ name, attributes: own = [] }) => ({ name, attributes: plain(own) })),
        status: status?.code ?? 0,
        resource: plain(resource.attributes ?? []),
      })),
    ),
  )
}

function plain(attributes: Attributes): Record<string, unknown> {
  return Object.fromEntries(attributes.map(({ key, value }) => [key, value.stringValue ?? Number(value.intValue)]))
}
