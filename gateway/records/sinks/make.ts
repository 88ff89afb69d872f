/** A sink of its configuration. What a kind needs is loaded with the first sink of that kind. */
import type { CreateSink } from '../sink.ts'

export const createSink: CreateSink = async (config, deps) => {
  switch (config.kind) {
    case 'jsonl':
      return new (await import('./jsonl.ts')).JsonlSink(config, deps)
    case 'parquet':
      return new (await import('./parquet.ts')).ParquetSink(config, deps)
    case 'cloudevents':
      return new (await import('./cloudevents.ts')).CloudEventsSink(config, deps)
    case 's3':
      return new (await import('./s3.ts')).S3Sink(config, deps)
    case 'kafka':
      return new (await import('./kafka.ts')).KafkaSink(config, deps)
  }
}
