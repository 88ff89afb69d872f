/** A signature as TensorFlow Serving's metadata tells it, and in the spelling of OpenVINO Model Server beside it, which its own client looks for. */
import type { Dtype } from '../../payload/columns.ts'
import type { Model } from '../model.ts'
import { ready } from './ready.ts'
import type { TensorSpec } from '../signature.ts'

const METHOD = 'tensorflow/serving/predict'

/** Names of `tensorflow.DataType`. */
const types: Readonly<Record<Dtype, string>> = {
  BOOL: 'DT_BOOL',
  UINT8: 'DT_UINT8', UINT16: 'DT_UINT16', UINT32: 'DT_UINT32', UINT64: 'DT_UINT64',
  INT8: 'DT_INT8', INT16: 'DT_INT16', INT32: 'DT_INT32', INT64: 'DT_INT64',
  FP16: 'DT_HALF', BF16: 'DT_BFLOAT16', FP32: 'DT_FLOAT', FP64: 'DT_DOUBLE',
  BYTES: 'DT_STRING',
}

/** @throws WeirError `MODEL_NOT_READY` */
export function signatureDef(model: Model): object {
  const { name, version } = model.identity
  const { inputs, outputs } = ready(model).description.signature!
  const definition = (word: string, method: string): object => ({
    serving_default: { inputs: tensors(inputs, word), outputs: tensors(outputs, word), [method]: METHOD },
  })
  return {
    model_spec: { name, signature_name: '', version },
    modelSpec: { name, signatureName: '', version },
    metadata: { signature_def: { signature_def: definition('tensor_shape', 'method_name'), signatureDef: definition('tensorShape', 'methodName') } },
  }
}

/** What is no tensor is left out: there is no type for it. */
function tensors(specs: readonly TensorSpec[], word: string): object {
  return Object.fromEntries(specs.filter(({ dtype }) => dtype !== null).map(({ name, dtype, shape }) => [name, { dtype: types[dtype!], [word]: { dim: shape.map(dimension), unknown_rank: false }, name }]))
}

function dimension(size: number): object {
  return { size: String(size), name: '' }
}
