/**
 * What a model costs those who do not ask for it: while a heavy one is asked without pause, a proxied route and a small inside model answer
 * as if it were not there. The same heavy model inside the event loop is the counterexample. Only ratios are looked at, since machines differ.
 */
import { createServer, type Server } from 'node:http'
import { mkdirSync, writeFileSync } from 'node:fs'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { startWeir, type Weir } from '../blackbox/weir.ts'
import { slow } from '../models/graphs.ts'
import { fixtures, golden, temporary } from '../models/setup.ts'
import { Callers } from './calls.ts'

const REQUESTS = process.env['WEIR_PROOF'] === 'full' ? 2000 : 200
/** Of the heavy model, without pause. */
const HEAVY_CALLERS = 4
const WIDTH = 1024
/** A run of one row: 4 MiB of weights read so many times, about 20 ms. */
const PRODUCTS = 300
const heavyBody = JSON.stringify({ inputs: [{ name: 'x', datatype: 'FP32', shape: [1, WIDTH], data: new Array(WIDTH).fill(1) }] })
const small = golden(join(fixtures, 'cancer/1'))[0]!.text

const folder = temporary()
const callers = new Callers()
let backend: Server

beforeAll(async () => {
  mkdirSync(join(folder.path, 'heavy'))
  writeFileSync(join(folder.path, 'heavy/model.onnx'), slow(WIDTH, PRODUCTS))
  backend = createServer((_request, response) => response.end('{}')).listen(0, '127.0.0.1')
  await new Promise((resolve) => backend.once('listening', resolve))
})
afterAll(() => {
  callers.close()
  backend.close()
  folder.remove()
})

function start(placement: 'thread' | 'inline'): Promise<Weir> {
  return startWeir(`
backends:
  heavy: { onnx: ${join(folder.path, 'heavy/model.onnx')}, placement: ${placement}, batching: off }
  small: { onnx: ${join(fixtures, 'cancer/1/model.onnx')}, placement: inline }
  up: { url: "http://127.0.0.1:${(backend.address() as AddressInfo).port}" }
inference: { threads: 1 }
routes:
  - { name: heavy, match: { path: /heavy }, format: oip, backend: heavy }
  - { name: small, match: { path: /small }, format: oip, backend: small }
  - { name: proxied, match: { path: /proxied }, backend: up }
`)
}

/** Milliseconds of requests one after the other, sorted. */
async function latencies(weir: Weir, path: string, body: string, count: number): Promise<number[]> {
  const times: number[] = []
  for (let i = 0; i < count; i++) {
    const began = performance.now()
    expect((await callers.post(weir.port, path, body))!.status).toBe(200)
    times.push(performance.now() - began)
  }
  return times.sort((a, b) => a - b)
}

const quantile = (sorted: readonly number[], q: number): number => sorted[Math.ceil(q * sorted.length) - 1]!

interface Beside {
  readonly proxied: number[]
  readonly inside: number[]
  /** Of the heavy model alone, ms. */
  readonly run_ms: number
}

/** Latencies of both routes while the heavy model is asked. */
async function beside(placement: 'thread' | 'inline', count: number): Promise<Beside> {
  const weir = await start(placement)
  try {
    const run_ms = quantile(await latencies(weir, '/heavy', heavyBody, 5), 0.5)
    for (const path of ['/proxied', '/small']) await latencies(weir, path, small, 20)
    let going = true
    let answered = 0
    const load = Promise.all(Array.from({ length: HEAVY_CALLERS }, async () => {
      for (; going; answered++) expect((await callers.post(weir.port, '/heavy', heavyBody))!.status).toBe(200)
    }))
    const proxied = await latencies(weir, '/proxied', small, count)
    const inside = await latencies(weir, '/small', small, count)
    going = false
    await load
    expect(answered).toBeGreaterThan(0)
    return { proxied, inside, run_ms }
  } finally {
    await weir.stop()
  }
}

it('a heavy model on its thread is not felt; in the event loop it would be', { timeout: 120_000 }, async () => {
  const apart = await beside('thread', REQUESTS)
  const within = await beside('inline', 10)
  const told = (of: Beside) => `a run ${of.run_ms.toFixed(1)} ms; proxied p50 ${quantile(of.proxied, 0.5).toFixed(2)} p99 ${quantile(of.proxied, 0.99).toFixed(2)}; small p50 ${quantile(of.inside, 0.5).toFixed(2)} p99 ${quantile(of.inside, 0.99).toFixed(2)}`
  console.log(`apart: ${told(apart)}\nwithin: ${told(within)}`)
  for (const which of ['proxied', 'inside'] as const) {
    // In the event loop, whoever comes waits for a run at least; apart, ninety-nine of a hundred do not wait for half of one.
    expect(quantile(within[which], 0.5), which).toBeGreaterThan(within.run_ms / 2)
    expect(quantile(apart[which], 0.99), which).toBeLessThan(quantile(within[which], 0.5) / 2)
    expect(quantile(apart[which], 0.5), which).toBeLessThan(quantile(within[which], 0.5) / 5)
  }
})
