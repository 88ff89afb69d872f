/** Logs of a real process that go over the network, to real servers: an S3 gateway and Apache Kafka. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { describeWith, describeWithFound } from '../servers.ts'
import { Kafka, kafkaJars } from '../sinks/kafka_server.ts'
import { ACCESS_KEY, S3Server, SECRET_KEY } from '../sinks/s3_server.ts'
import { rowsIn } from '../sinks/setup.ts'
import { makeAuthority, makeCertificate, type Pair } from './certificates.ts'
import { pause } from './scripted.ts'
import { startWeir, type Weir } from './weir.ts'

let folder: string
beforeAll(() => void (folder = mkdtempSync(join(tmpdir(), 'weir-network-'))))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

const start = (sink: string, name: string, env: Readonly<Record<string, string>> = {}): Promise<Weir> => startWeir(`
state: ${folder}/${name}
sinks:
  out: ${sink}
backends:
  up: { answer: { status: 200, json: { score: 0.5 } } }
routes:
  - { name: all, match: { path: "/**" }, backend: up, format: rows, plugins: [{ log: { sink: out } }] }
`, { env })

/** Asks one after the other. @returns the ids that the answers carry */
async function ask(weir: Weir, count: number): Promise<string[]> {
  const ids: string[] = []
  for (let i = 0; i < count; i++) {
    const answer = await fetch(`http://127.0.0.1:${weir.port}/x`, { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify({ n: i }) })
    await answer.arrayBuffer()
    ids.push(answer.headers.get('x-weir-inference-id')!)
  }
  return ids
}

/** Zeros until the ledger has been read: counts go on from where the last process was. */
async function counts(weir: Weir): Promise<{ accepted: number; delivered: number; pending: number }> {
  const metrics = await weir.metrics()
  return { accepted: metrics.sum('weir_records_accepted_total'), delivered: metrics.sum('weir_records_delivered_total'), pending: metrics.sum('weir_records_pending') }
}

async function untilDelivered(weir: Weir, count: number): Promise<void> {
  const deadline = performance.now() + 30_000
  while (performance.now() < deadline && (await counts(weir)).delivered < count) await pause(50)
  expect(await counts(weir)).toEqual({ accepted: count, delivered: count, pending: 0 })
}

describeWith('versitygw', 'to S3', (program) => {
  let server: S3Server
  beforeAll(async () => void (server = await S3Server.start(program)), 30_000)
  afterAll(() => server?.stop())
  const sink = (bucket: string, rotate: string) => `{ s3: "s3://${bucket}/logs", endpoint: "${server.endpoint}", access_key: ${ACCESS_KEY}, secret_key: "${SECRET_KEY}", format: jsonl, rotate: ${rotate}, spool: { segment_age: 100ms }, delivery: { max_backoff: 500ms } }`
  const found = (bucket: string) => rowsIn(server.folderOf(bucket)).map(({ inference_id }) => inference_id as string).toSorted()

  test('every record once: through kill -9, a dead server and a stop', async () => {
    const bucket = server.makeBucket()
    let weir = await start(sink(bucket, '300ms'), 's3')
    const ids = await ask(weir, 40)
    weir.process.kill('SIGKILL')
    weir = await start(sink(bucket, '300ms'), 's3')
    ids.push(...(await ask(weir, 30)))
    await untilDelivered(weir, 70)
    await server.kill()
    ids.push(...(await ask(weir, 20)))
    await pause(700)
    await server.run()
    await untilDelivered(weir, 90)
    ids.push(...(await ask(weir, 10)))
    await weir.stop()
    expect(found(bucket)).toEqual(ids.toSorted())
  }, 90_000)
})

describeWithFound(kafkaJars(), 'Apache Kafka (WEIR_TEST_KAFKA, java)', 'to Kafka', (jars) => {
  let kafka: Kafka
  let authority: Pair
  beforeAll(async () => {
    authority = await makeAuthority(folder, 'kafka test')
    kafka = await Kafka.start(jars, await makeCertificate(folder, 'kafka', ['IP:127.0.0.1'], authority))
  }, 120_000)
  afterAll(() => kafka?.stop())

  test('every record at least once: through kill -9, and a topic that is made later', async () => {
    const sink = `{ kafka: ["${kafka.broker}"], topic: records, rotate: 200ms, spool: { segment_age: 100ms }, delivery: { max_backoff: 500ms } }`
    let weir = await start(sink, 'kafka')
    const ids = await ask(weir, 20)
    await kafka.makeTopic('records', 3)
    await untilDelivered(weir, 20)
    ids.push(...(await ask(weir, 20)))
    weir.process.kill('SIGKILL')
    weir = await start(sink, 'kafka')
    ids.push(...(await ask(weir, 10)))
    await untilDelivered(weir, 50)
    await weir.stop()
    const messages = await kafka.consume('records', 50)
    expect([...new Set(messages.map(({ value }) => (JSON.parse(value) as { inference_id: string }).inference_id))].toSorted()).toEqual(ids.toSorted())
  }, 180_000)

  test('over TLS, when the certificate is one that the system, or NODE_EXTRA_CA_CERTS, knows', async () => {
    await kafka.makeTopic('secret', 1)
    const sink = `{ kafka: ["127.0.0.1:${kafka.tlsPort}"], topic: secret, tls: true, rotate: 200ms, spool: { segment_age: 100ms } }`
    const stranger = await start(sink, 'tls')
    const ids = await ask(stranger, 5)
    await pause(2000)
    expect(await counts(stranger)).toEqual({ accepted: 5, delivered: 0, pending: 5 })
    await stranger.stop()
    const weir = await start(sink, 'tls', { NODE_EXTRA_CA_CERTS: authority.cert })
    await untilDelivered(weir, 5)
    await weir.stop()
    expect((await kafka.consume('secret', 5)).map(({ value }) => (JSON.parse(value) as { inference_id: string }).inference_id).toSorted()).toEqual(ids.toSorted())
  }, 120_000)
})

describe('without either', () => {
  test('records wait', async () => {
    const weir = await start('{ kafka: ["127.0.0.1:1"], topic: records }', 'none')
    await ask(weir, 1)
    await weir.untilMetric(1, 'weir_records_pending')
    await weir.stop()
  }, 30_000)
})
