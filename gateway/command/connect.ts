/**
 * `weir check --connect`: whether what a configuration names answers. A connection to every endpoint, TLS included, and its health check where
 * it has one; every sink by its own probe, which sends no record; the folder `state`; every profile. Each within its own limit of time.
 */
import { randomBytes } from 'node:crypto'
import { mkdir, rm, writeFile } from 'node:fs/promises'
import net from 'node:net'
import { join } from 'node:path'
import tls from 'node:tls'
import type { Config, EndpointConfig, HttpBackendConfig, SinkConfig } from '../../config/config.ts'
import { type Clock, within } from '../clock.ts'
import { WeirError } from '../errors.ts'
import { Leg, type Outgoing } from '../exchange.ts'
import { Fields } from '../headers.ts'
import { Registry } from '../metrics.ts'
import type { Log } from '../plugin.ts'
import { readProfile } from '../profile/check.ts'
import { createSink } from '../records/sinks/make.ts'
import { tlsFor } from '../upstream/endpoint.ts'
import { httpBackend } from '../upstream/transport.ts'
import { backendMetrics } from '../vital.ts'
import { Deadlines } from '../wire/deadlines.ts'
import { profilesOf } from './profiles.ts'

/** Of what has no limit of its own: disks, and a sink as a whole. */
const PATIENCE_MS = 30_000
/** Under way at the same time. */
const LANES = 16

export interface Found {
  readonly ok: boolean
  /** `backend v1`, `sink lake`, … */
  readonly what: string
  /** What was found, or what failed and what to do. */
  readonly text: string
}

export interface ConnectDeps {
  readonly clock: Clock
  readonly log: Log
}

interface Probe {
  readonly what: string
  /** @returns what was found @throws Error what failed, and what to do */
  run(): Promise<string>
}

/** In the order of the file. Never throws. */
export async function connectAll(config: Config, deps: ConnectDeps): Promise<Found[]> {
  const probes = probesOf(config, deps)
  const found = new Array<Found>(probes.length)
  let next = 0
  const lane = async (): Promise<void> => {
    for (let i = next++; i < probes.length; i = next++) found[i] = await carryOut(probes[i]!, deps.clock)
  }
  await Promise.all(Array.from({ length: Math.min(LANES, probes.length) }, lane))
  return found
}

/** One line each. */
export function foundText(found: readonly Found[]): string {
  return found.map(({ ok, what, text }) => `${ok ? 'ok    ' : 'failed'}  ${what}: ${text}\n`).join('')
}

async function carryOut({ what, run }: Probe, clock: Clock): Promise<Found> {
  try {
    return { ok: true, what, text: await within(clock, PATIENCE_MS, run()) }
  } catch (error) {
    return { ok: false, what, text: reasonOf(error) }
  }
}

function probesOf(config: Config, deps: ConnectDeps): Probe[] {
  const { state } = config
  const backends = Object.values(config.backends).filter((backend) => backend.kind === 'http')
  return [
    ...(state === null ? [] : [{ what: 'state', run: () => stateFolder(state) }]),
    ...backends.flatMap((backend) => backend.endpoints.map((endpoint): Probe => ({ what: `backend ${backend.name}`, run: () => endpointAnswers(backend, endpoint, deps) }))),
    ...Object.values(config.sinks).map((sink): Probe => ({ what: `sink ${sink.name}`, run: () => sinkTakes(sink, deps) })),
    ...[...profilesOf(config).keys()].map((path): Probe => ({ what: 'profile', run: async () => profileReads(path) })),
  ]
}

// ---------------------------------------------------------------- backends

async function endpointAnswers(backend: HttpBackendConfig, endpoint: EndpointConfig, { clock }: ConnectDeps): Promise<string> {
  const { health } = backend
  const url = `${endpoint.scheme}://${endpoint.authority}${endpoint.prefix}`
  await connects(backend, endpoint, clock).catch((error: unknown) => {
    throw new Error(`${url}: ${reasonOf(error)}; is it running, and reachable from here?`)
  })
  if (health === null || health.check === 'tcp') return `${url} takes connections`
  const status = await healthStatus(backend, endpoint, health.path, health.timeout_ms, clock).catch((error: unknown) => {
    throw new Error(`${url}: GET ${health.path}: ${reasonOf(error)}`)
  })
  if (status < 200 || status > 299) throw new Error(`${url}: GET ${health.path} is answered ${status}; healthy is 2xx, or check \`health.path\``)
  return `${url} answers GET ${health.path} with ${status}`
}

function connects(backend: HttpBackendConfig, endpoint: EndpointConfig, clock: Clock): Promise<void> {
  const { address } = endpoint
  const secure = tlsFor(endpoint, backend.tls)
  const to = 'unix' in address ? { path: address.unix } : { host: address.host, port: address.port }
  const socket = secure === null ? net.connect(to) : tls.connect({ ...secure, ...to })
  const connected = new Promise<void>((resolve, reject) => {
    socket.once(secure === null ? 'connect' : 'secureConnect', resolve)
    // Stays: a socket that was given up may still fail.
    socket.on('error', reject)
  })
  return within(clock, backend.connect_ms, connected).finally(() => socket.destroy())
}

/** As the gateway's own health checks ask. */
async function healthStatus(backend: HttpBackendConfig, endpoint: EndpointConfig, path: string, timeoutMs: number, clock: Clock): Promise<number> {
  const alone = { ...backend, endpoints: [endpoint], health: null, ejection: null, limits: null, throttle: null, slow_start_ms: 0, dns_refresh_ms: 0, speaks: null }
  const transport = httpBackend(alone, { clock, deadlines: new Deadlines(clock), metrics: new Registry().handles(backendMetrics), random: Math.random })
  const x: Outgoing = { method: 'GET', target: path, headers: [], fields: Fields.of([]), body: null, upgrade: '', caller: { inform: () => undefined }, attempts: 0, waited: 0 }
  const leg = new Leg(transport)
  try {
    const { status, body } = await within(clock, timeoutMs, transport.send(x, leg))
    if (body !== null && !Buffer.isBuffer(body)) body.cancel()
    return status
  } finally {
    leg.cancel(new WeirError('CALLER_LEFT'))
    transport.close()
  }
}

// ---------------------------------------------------------------- sinks, folders, profiles

async function sinkTakes(config: SinkConfig, { clock, log }: ConnectDeps): Promise<string> {
  const sink = await createSink(config, { clock, log })
  try {
    await sink.probe()
  } finally {
    await sink.close().catch(() => undefined)
  }
  return `${placeOf(config)} can be written to`
}

/** Without credentials. */
function placeOf(config: SinkConfig): string {
  switch (config.kind) {
    case 'jsonl':
    case 'parquet':
      return config.path
    case 'cloudevents':
      return new URL(config.url).origin
    case 's3':
      return `s3://${config.bucket}/${config.prefix}`
    case 'kafka':
      return `topic "${config.topic}"`
  }
}

async function stateFolder(path: string): Promise<string> {
  const probe = join(path, `.weir-probe-${randomBytes(4).toString('hex')}`)
  try {
    await mkdir(path, { recursive: true })
    await writeFile(probe, 'weir')
    await rm(probe)
  } catch (error) {
    throw new Error(`${path} cannot be written to: ${reasonOf(error)}; make it writable for this user, or change \`state\``)
  }
  return `${path} can be written to`
}

function profileReads(path: string): string {
  const { features, source } = readProfile(path)
  return `${path} tells of ${Object.keys(features).length} columns and ${source.rows} rows`
}

// ---------------------------------------------------------------- reasons

function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error)
  // Several addresses of one name: each has its error, and the whole has no words.
  if (error instanceof AggregateError && error.message === '') return error.errors.map(reasonOf).join(', ')
  // OpenSSL's end with a line break.
  return error.message.replace(/\s+/g, ' ').trim()
}
