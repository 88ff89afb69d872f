/** A model as Triton's configuration tells it (extension_model_configuration.md; the JSON of its `ModelConfig` message). */
import type { VersionPolicy } from '../../../config/config.ts'
import type { Dtype } from '../../payload/columns.ts'
import type { Model } from '../model.ts'
import type { TensorSpec } from '../signature.ts'

export const PLATFORM = 'onnxruntime_onnx'

/** @param model with a signature */
export function modelConfig({ description }: Model, versions: VersionPolicy): object {
  const { name, signature, batching } = description
  const batched = batching !== null
  const specs = (tensors: readonly TensorSpec[]): object[] => tensors.filter(({ dtype }) => dtype !== null).map((spec) => tensor(spec, batched))
  return {
    name,
    platform: PLATFORM,
    backend: 'onnxruntime',
    version_policy: versions === 'all' ? { all: {} } : 'latest' in versions ? { latest: { num_versions: versions.latest } } : { specific: { versions: versions.specific } },
    // 0 tells clients that dims are whole: they have the batch dimension in them.
    max_batch_size: batching?.max_rows ?? 0,
    input: specs(signature!.inputs),
    output: specs(signature!.outputs),
    ...(batching !== null && { dynamic_batching: { max_queue_delay_microseconds: batching.max_wait_ms * 1000 } }),
    default_model_filename: 'model.onnx',
  }
}

function tensor({ name, dtype, shape }: TensorSpec, batched: boolean): object {
  return { name, data_type: typeName(dtype!), dims: batched ? shape.slice(1) : shape }
}

function typeName(dtype: Dtype): string {
  return dtype === 'BYTES' ? 'TYPE_STRING' : `TYPE_${dtype}`
}
