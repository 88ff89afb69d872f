/** The route that a command line names. */
import type { Config, RouteConfig } from '../../config/config.ts'
import { nearest } from '../../config/issues.ts'
import { UsageError } from './arguments.ts'

/** @throws UsageError with the routes there are */
export function routeOf({ routes }: Config, name: string): RouteConfig {
  const found = routes.find((route) => route.name === name)
  if (found !== undefined) return found
  const names = routes.map((route) => route.name)
  const near = nearest(name, names)
  throw new UsageError(`there is no route "${name}" in the configuration`, near === null ? `Routes are: ${names.join(', ')}.` : `Did you mean \`--route ${near}\`?`)
}
