/** Options that all monitors have, in the same words. */
import { Defaulted, Type } from '../plugin.ts'

export const AlarmBudget = Defaulted(Type.Number({ description: 'False alarms a week to be expected at most, over all that this plugin judges on the route.', default: 1, exclusiveMinimum: 0, maximum: 1000 }))

/** @param without what is read when it is left out */
export function MatrixColumns(without: string) {
  return Type.Optional(Type.Array(Type.String({ description: 'A feature.', minLength: 1 }), { description: `Features in the order of the model's matrix, where requests are one tensor. Default: ${without}.`, minItems: 1, maxItems: 65_536 }))
}
