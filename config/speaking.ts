/** Which routes are translated for which backends. */
import type { BackendConfig, FormatName, SpeaksConfig } from './config.ts'
import { join } from './issues.ts'
import type { Scene } from './scene.ts'

/** Whether requests in `format` are translated for a backend that speaks so. */
export function isTranslated(format: FormatName | null, speaks: SpeaksConfig): boolean {
  return format !== null && format !== 'openai' && format !== speaks.format
}

/** `speaks` without effect, because the route does not say what its callers speak. @param path of the route */
export function warnOfUntranslated(scene: Scene, format: FormatName | null, backends: readonly (BackendConfig | undefined)[], path: string): void {
  if (format !== null && format !== 'openai') return
  const backend = backends.find((one) => one?.kind === 'http' && one.speaks !== null)
  if (backend === undefined) return
  const message = `backend \`${backend.name}\` says what it speaks, but ${format === null ? 'this route does not' : 'bodies of `openai` are not translated'}: requests pass through as they are`
  const help = format === null ? 'Write `format: rows` (or what its callers send), or remove `speaks`.' : 'Remove `speaks`, or give the route another format.'
  scene.issues.warning(join(path, 'backend'), scene.tree.places.value(join(path, 'backend')), { rule: 'not-translated', message, help })
}
