/** What describes a model needs its signature. */
import { WeirError } from '../../errors.ts'
import type { Model } from '../model.ts'

/** A model whose signature is known. @throws WeirError `MODEL_NOT_READY` */
export function ready(model: Model): Model {
  if (model.description.signature !== null) return model
  throw new WeirError('MODEL_NOT_READY', `model "${model.identity.name}" version ${model.identity.version} is not ready`)
}
