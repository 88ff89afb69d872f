/** What the built-in endpoints are made of. */
import type { ModelsConfig } from '../../../config/config.ts'
import type { Models } from '../models.ts'

export interface Served {
  readonly models: Models
  readonly config: Pick<ModelsConfig, 'versions' | 'control'>
  /** Of weir. */
  readonly version: string
}
