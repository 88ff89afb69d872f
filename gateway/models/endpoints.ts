/**
 * The built-in endpoints of the models: what a server of each protocol answers at its root, so that its clients work unchanged.
 * They come after all routes of the file.
 */
import { v1Routes } from './protocol/v1.ts'
import { mlflowRoutes } from './protocol/mlflow.ts'
import { oipRoutes } from './protocol/oip.ts'
import type { BuiltinRoute } from './protocol/route.ts'
import type { Served } from './protocol/served.ts'

export function builtinRoutes(served: Served): readonly BuiltinRoute[] {
  return [...oipRoutes(served), ...v1Routes(served), ...mlflowRoutes(served)]
}
