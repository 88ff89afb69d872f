/** What the client of Kafka throws, as what to do: it nests errors of attempts, of brokers and of partitions in each other. */
import type { KafkaSinkConfig } from '../../../config/config.ts'

/** Errors that say something about messages, which no further attempt changes (Kafka protocol guide, "Error Codes"). */
const TOO_LARGE = ['MESSAGE_TOO_LARGE', 'RECORD_LIST_TOO_LARGE']
const MESSAGES = [...TOO_LARGE, 'INVALID_RECORD', 'INVALID_TIMESTAMP']
/** Names of the protocol, then what to do. */
const HELP: Readonly<Record<string, string>> = {
  TOPIC_AUTHORIZATION_FAILED: 'the user may not write to the topic: allow WRITE and DESCRIBE',
  CLUSTER_AUTHORIZATION_FAILED: 'the user may not write idempotently: allow IDEMPOTENT_WRITE to the cluster (before Kafka 3.0)',
  SASL_AUTHENTICATION_FAILED: 'check `sasl`',
  UNSUPPORTED_SASL_MECHANISM: 'the broker does not take this `sasl.mechanism`',
  UNKNOWN_TOPIC_OR_PARTITION: 'make the topic',
  NOT_ENOUGH_REPLICAS: 'too few replicas are in sync for `min.insync.replicas`',
}
const MAX_DEPTH = 8

interface Nested extends Error {
  readonly errors?: readonly Error[]
  readonly apiId?: string
}

/** Every cause that the protocol has a name for is about messages. */
export function isAboutMessages(error: unknown): boolean {
  return everyName(error, MESSAGES)
}

/** One message, or all of a request together: fewer may be taken. */
export function isTooLarge(error: unknown): boolean {
  return everyName(error, TOO_LARGE)
}

function everyName(error: unknown, names: readonly string[]): boolean {
  const found = leaves(error).flatMap(({ apiId }) => apiId ?? [])
  return found.length > 0 && found.every((name) => names.includes(name))
}

/** One sentence: the innermost causes, each once, and what to do. */
export function reasonOf(error: unknown, { topic, brokers }: KafkaSinkConfig): string {
  const causes = leaves(error)
  const texts = new Set(causes.map(({ message, apiId }) => (apiId === undefined ? message : `${apiId}: ${message}`)))
  const help = new Set(causes.flatMap(({ apiId, message }) => (message.startsWith('Unknown topic') ? HELP['UNKNOWN_TOPIC_OR_PARTITION']! : (HELP[apiId ?? ''] ?? []))))
  return [`topic "${topic}" at ${brokers[0]}`, [...texts].slice(0, 3).join('; '), ...help].join(': ')
}

function leaves(error: unknown, depth = 0): Nested[] {
  if (!(error instanceof Error)) return []
  const { errors = [], cause } = error as Nested
  const below = depth === MAX_DEPTH ? [] : [...errors, ...(cause instanceof Error ? [cause] : [])].flatMap((one) => leaves(one, depth + 1))
  return below.length > 0 ? below : [error]
}
