/**
 * Apache Kafka itself, one broker and controller in one process, from the jars of a folder (`WEIR_TEST_KAFKA`: org.apache.kafka:kafka_2.13 and
 * kafka-tools with what they need), and its own tools to make topics and to read them.
 */
import { type ChildProcess, execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdtempSync, openSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { freePort, installed } from '../servers.ts'

const run = promisify(execFile)
const START_MS = 60_000
const TOOL_MS = 60_000
/** Small heaps: it holds a few records. */
const JAVA = ['-Xmx256m', '-XX:+UseSerialGC', '-XX:TieredStopAtLevel=1']
const PRINT = ['print.key=true', 'print.headers=true', 'print.partition=true', 'print.timestamp=true', 'key.separator=\t', 'headers.separator=,'].flatMap((property) => ['--property', property])

/** null: there is no Java, or no jars. */
export function kafkaJars(): string | null {
  const folder = process.env['WEIR_TEST_KAFKA'] ?? ''
  return folder !== '' && existsSync(folder) && installed('java') !== null ? folder : null
}

export interface Consumed {
  readonly partition: number
  readonly timestamp: number
  readonly key: string
  readonly headers: string
  readonly value: string
}

export class Kafka {
  /** Without credentials, with (SASL PLAIN and SCRAM over plain TCP), and over TLS. */
  readonly port: number
  readonly saslPort: number
  readonly tlsPort: number
  readonly #jars: string
  readonly #folder: string
  #child: ChildProcess | null = null

  private constructor(jars: string, folder: string, port: number, saslPort: number, tlsPort: number) {
    this.#jars = jars
    this.#folder = folder
    this.port = port
    this.saslPort = saslPort
    this.tlsPort = tlsPort
  }

  /** @param pair certificate and key (PEM files) of the listener with TLS; null: there is none */
  static async start(jars: string, pair: { readonly cert: string; readonly key: string } | null = null): Promise<Kafka> {
    const folder = mkdtempSync(join(tmpdir(), 'weir-kafka-'))
    const [port, saslPort, tlsPort, controller] = [await freePort(), await freePort(), await freePort(), await freePort()]
    const kafka = new Kafka(jars, folder, port, saslPort, tlsPort)
    const keystore = join(folder, 'keystore.pem')
    if (pair !== null) writeFileSync(keystore, readFileSync(pair.key, 'utf8') + readFileSync(pair.cert, 'utf8'))
    const secure = pair === null ? [] : ['listener.name.ssl.ssl.keystore.type=PEM', `listener.name.ssl.ssl.keystore.location=${keystore}`]
    const login = 'org.apache.kafka.common.security'
    writeFileSync(join(folder, 'server.properties'), [
      'process.roles=broker,controller', 'node.id=1', `controller.quorum.voters=1@127.0.0.1:${controller}`, 'controller.listener.names=CONTROLLER',
      `listeners=PLAINTEXT://127.0.0.1:${port},SASL_PLAINTEXT://127.0.0.1:${saslPort},${pair === null ? '' : `SSL://127.0.0.1:${tlsPort},`}CONTROLLER://127.0.0.1:${controller}`, 'listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,SASL_PLAINTEXT:SASL_PLAINTEXT,SSL:SSL', ...secure,
      'sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-512', `listener.name.sasl_plaintext.plain.sasl.jaas.config=${login}.plain.PlainLoginModule required user_weir="secret";`, `listener.name.sasl_plaintext.scram-sha-512.sasl.jaas.config=${login}.scram.ScramLoginModule required;`,
      'auto.create.topics.enable=false', 'offsets.topic.replication.factor=1', 'offsets.topic.num.partitions=1', 'transaction.state.log.replication.factor=1', 'group.initial.rebalance.delay.ms=0', `log.dirs=${join(folder, 'data')}`,
    ].join('\n'))
    await kafka.#tool('kafka.tools.StorageTool', ['format', '-t', 'aaaaaaaaaaaaaaaaaaaaaA', '-c', join(folder, 'server.properties'), '--add-scram', 'SCRAM-SHA-512=[name=weir,password=secret]'])
    await kafka.run()
    return kafka
  }

  get broker(): string {
    return `127.0.0.1:${this.port}`
  }

  async run(): Promise<void> {
    const log = openSync(join(this.#folder, 'out'), 'w')
    this.#child = spawn('java', [...JAVA, '-cp', join(this.#jars, '*'), 'kafka.Kafka', join(this.#folder, 'server.properties')], { stdio: ['ignore', log, log], cwd: this.#folder })
    const deadline = performance.now() + START_MS
    while (performance.now() < deadline && this.#child.exitCode === null) {
      if (await answers(this.port)) return
      await new Promise((resolve) => setTimeout(resolve, 100))
    }
    throw new Error(`Kafka did not start (exit code ${this.#child.exitCode}): ${readFileSync(join(this.#folder, 'out'), 'utf8').slice(-2000)}`)
  }

  /** It stands still, all its threads, when this settles. */
  async freeze(): Promise<void> {
    const { pid } = this.#child!
    this.#child!.kill('SIGSTOP')
    const stopped = (task: string): boolean => /^State:\s+T/m.test(readFileSync(`/proc/${pid}/task/${task}/status`, 'utf8'))
    while (!readdirSync(`/proc/${pid}/task`).every(stopped)) await new Promise((resolve) => setTimeout(resolve, 5))
  }

  async kill(): Promise<void> {
    const child = this.#child
    this.#child = null
    if (child === null || child.exitCode !== null) return
    child.kill('SIGKILL')
    await once(child, 'exit')
  }

  async makeTopic(name: string, partitions: number, settings: Readonly<Record<string, string>> = {}): Promise<void> {
    const extra = Object.entries(settings).flatMap(([key, value]) => ['--config', `${key}=${value}`])
    await this.#tool('org.apache.kafka.tools.TopicCommand', ['--bootstrap-server', this.broker, '--create', '--topic', name, '--partitions', String(partitions), ...extra])
  }

  /** Everything of a topic, by Kafka's console consumer. @param count at least so many are there */
  async consume(topic: string, count: number): Promise<Consumed[]> {
    let found: Consumed[] = []
    // It ends when nothing has come for a while; on a busy machine the first message may take longer.
    for (const patience of ['4000', '10000', '30000']) {
      found = messagesOf(await this.#tool('org.apache.kafka.tools.consumer.ConsoleConsumer', ['--bootstrap-server', this.broker, '--topic', topic, '--from-beginning', '--timeout-ms', patience, ...PRINT]))
      if (found.length >= count) return found
    }
    throw new Error(`${found.length} of ${count} messages`)
  }

  async stop(): Promise<void> {
    await this.kill()
    rmSync(this.#folder, { recursive: true, force: true })
  }

  async #tool(main: string, words: readonly string[]): Promise<string> {
    const { stdout } = await run('java', [...JAVA, '-cp', join(this.#jars, '*'), main, ...words], { timeout: TOOL_MS, maxBuffer: 64 << 20, cwd: this.#folder })
    return stdout
  }
}

function messagesOf(text: string): Consumed[] {
  return text.split('\n').filter((line) => line.startsWith('CreateTime:')).map((line) => {
    const [time = '', partition = '', headers = '', key = '', value = ''] = line.split('\t')
    return { timestamp: Number(time.slice('CreateTime:'.length)), partition: Number(partition.slice('Partition:'.length)), headers, key, value }
  })
}

function answers(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1', () => {
      socket.destroy()
      resolve(true)
    })
    socket.on('error', () => resolve(false))
  })
}
