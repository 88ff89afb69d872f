import { createServer } from 'node:net'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import type { KafkaSinkConfig } from '../../config/config.ts'
import { systemClock } from '../../gateway/clock.ts'
import { KafkaSink, MAX_REQUEST_BYTES } from '../../gateway/records/sinks/kafka.ts'
import { body, record } from '../records/made.ts'
import { describeWithFound, freePort } from '../servers.ts'
import { Kafka, kafkaJars } from './kafka_server.ts'
import { type Deps, deps, spool } from './setup.ts'

const delivery = { timeout_ms: 20_000, backoff_ms: 100, max_backoff_ms: 30_000, connections: 4 }
const TIME = 1_700_000_000_000

const open: KafkaSink[] = []
afterEach(async () => {
  for (const sink of open.splice(0)) await sink.close()
})

function make(change: Partial<KafkaSinkConfig>, own: Deps = deps()): KafkaSink {
  const sink = new KafkaSink({ kind: 'kafka', name: 'topic', brokers: [], topic: 'records', tls: false, sasl: null, rotate_ms: 1000, spool, delivery, ...change }, { ...own, clock: systemClock })
  open.push(sink)
  return sink
}

describe('without a broker', () => {
  test('nobody there: everything comes again', async () => {
    const sink = make({ brokers: [`127.0.0.1:${await freePort()}`] })
    const outcome = await sink.deliver([record(1)])
    expect(outcome).toMatchObject({ delivered: 0, rejected: 0 })
    expect(outcome.error!.message).toMatch(/^topic "records" at 127\.0\.0\.1:\d+: connect ECONNREFUSED/)
    await expect(sink.probe()).rejects.toThrow('ECONNREFUSED')
  }, 30_000)

  test('one that takes the connection and says nothing: an end within the time, and no connection left', async () => {
    const sockets: { readonly destroyed: boolean }[] = []
    const silent = createServer((socket) => {
      sockets.push(socket)
      socket.on('error', () => undefined).resume()
    })
    await new Promise<void>((resolve) => silent.listen(0, '127.0.0.1', resolve))
    const { port } = silent.address() as { port: number }
    const sink = make({ brokers: [`127.0.0.1:${port}`], delivery: { ...delivery, timeout_ms: 300 } })
    expect(await sink.deliver([record(1)])).toMatchObject({ delivered: 0, rejected: 0, error: expect.any(Error) })
    await sink.close()
    await new Promise<void>((resolve) => silent.close(() => resolve()))
    expect(sockets.length).toBeGreaterThan(0)
    expect(sockets.every(({ destroyed }) => destroyed)).toBe(true)
  }, 30_000)
})

describeWithFound(kafkaJars(), 'Apache Kafka (WEIR_TEST_KAFKA, java)', 'kafka against Apache Kafka', (jars) => {
  let kafka: Kafka
  beforeAll(async () => void (kafka = await Kafka.start(jars)), 120_000)
  afterAll(() => kafka?.stop())
  const brokers = () => ({ brokers: [kafka.broker] })

  test('one message a record: key, value, headers and time; partitions as Kafka’s own client has them', async () => {
    await kafka.makeTopic('records', 5)
    const sink = make(brokers())
    const records = Array.from({ length: 30 }, (_, i) => record(`r${i}`, { time: TIME + i, ...(i === 3 && { model: '' }) }))
    expect(await sink.deliver(records)).toEqual({ delivered: 30, rejected: 0, error: null })
    const found = await kafka.consume('records', 30)
    const messages = new Map(found.map((message) => [message.key, message]))
    expect(found).toHaveLength(30)
    expect(messages.size).toBe(30)
    expect(messages.get('r1')).toMatchObject({ timestamp: TIME + 1, headers: 'route:score,model:cancer' })
    expect(messages.get('r3')).toMatchObject({ headers: 'route:score' })
    expect(JSON.parse(messages.get('r1')!.value)).toMatchObject({ record_id: 'r1', route: 'score', time: '2023-11-14T22:13:20.001Z', request: { x: 1 }, response: { y: 2 } })
    // Utils.toPositive(Utils.murmur2(key)) % 5 of org.apache.kafka:kafka-clients 4.1.0.
    expect(['r0', 'r1', 'r2', 'r3', 'r4', 'r5', 'r6', 'r7'].map((key) => messages.get(key)!.partition)).toEqual([3, 2, 3, 4, 4, 4, 2, 4])
  }, 120_000)

  test('more than one request takes: in order, each once', async () => {
    await kafka.makeTopic('large', 1)
    const large = body(JSON.stringify('x'.repeat(MAX_REQUEST_BYTES / 3)))
    expect(await make({ ...brokers(), topic: 'large' }).deliver(Array.from({ length: 10 }, (_, i) => record(i, { request: large })))).toEqual({ delivered: 10, rejected: 0, error: null })
    expect((await kafka.consume('large', 10)).map(({ key }) => key)).toEqual(['0', '1', '2', '3', '4', '5', '6', '7', '8', '9'])
  }, 120_000)

  test('a record that the topic does not take is given up alone, in its turn, and said', async () => {
    await kafka.makeTopic('small', 1, { 'max.message.bytes': '4000' })
    const own = deps()
    const sink = make({ ...brokers(), topic: 'small' }, own)
    const large = body(JSON.stringify('x'.repeat(8000)))
    expect(await sink.deliver(Array.from({ length: 20 }, (_, i) => record(i, i === 7 ? { request: large } : {})))).toEqual({ delivered: 19, rejected: 1, error: null })
    expect(own.lines.join()).toContain('the topic refused a record for good {"sink":"topic","record_id":"7","reason":"topic \\"small\\" at')
    expect(await sink.deliver([record(20)])).toEqual({ delivered: 1, rejected: 0, error: null })
    expect((await kafka.consume('small', 20)).map(({ key }) => Number(key))).toEqual([0, 1, 2, 3, 4, 5, 6, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20])
  }, 120_000)

  test('a topic that is not there: everything comes again, until somebody makes it', async () => {
    const sink = make({ ...brokers(), topic: 'later' })
    const { delivered, rejected, error } = await sink.deliver([record(1)])
    expect([delivered, rejected, error!.message]).toEqual([0, 0, `topic "later" at ${kafka.broker}: Unknown topic later.: make the topic`])
    await expect(sink.probe()).rejects.toThrow('make the topic')
    await kafka.makeTopic('later', 1)
    await sink.probe()
    expect(await sink.deliver([record(1)])).toEqual({ delivered: 1, rejected: 0, error: null })
    expect(await kafka.consume('later', 1)).toHaveLength(1)
  }, 120_000)

  test.each(['PLAIN', 'SCRAM-SHA-512'] as const)('logs in by %s, and says when it cannot', async (mechanism) => {
    const at = { brokers: [`127.0.0.1:${kafka.saslPort}`], topic: 'login' }
    if (mechanism === 'PLAIN') await kafka.makeTopic('login', 1)
    expect(await make({ ...at, sasl: { mechanism, username: 'weir', password: 'secret' } }).deliver([record(1)])).toEqual({ delivered: 1, rejected: 0, error: null })
    const wrong = make({ ...at, sasl: { mechanism, username: 'weir', password: 'no' } })
    const { delivered, rejected, error } = await wrong.deliver([record(1)])
    expect([delivered, rejected]).toEqual([0, 0])
    expect(error!.message).toContain('check `sasl`')
    expect(error!.message).not.toContain('"no"')
    await expect(wrong.probe()).rejects.toThrow('check `sasl`')
  }, 120_000)

  test('a broker that stands still, then one that is killed and comes back: nothing is lost', async () => {
    await kafka.makeTopic('restart', 1)
    const sink = make({ ...brokers(), topic: 'restart', delivery: { ...delivery, timeout_ms: 1500 } })
    expect(await sink.deliver([record(1)])).toMatchObject({ delivered: 1 })
    await kafka.freeze()
    expect(await sink.deliver([record(2)])).toMatchObject({ delivered: 0, rejected: 0, error: expect.any(Error) })
    await kafka.kill()
    expect(await sink.deliver([record(2)])).toMatchObject({ delivered: 0, rejected: 0, error: expect.any(Error) })
    await kafka.run()
    // A broker that has just begun takes a while to lead its partitions.
    let outcome = await sink.deliver([record(2)])
    for (let i = 0; i < 20 && outcome.error !== null; i++) outcome = await sink.deliver([record(2)])
    expect(outcome).toEqual({ delivered: 1, rejected: 0, error: null })
    expect(new Set((await kafka.consume('restart', 2)).map(({ key }) => key))).toEqual(new Set(['1', '2']))
  }, 180_000)
})
