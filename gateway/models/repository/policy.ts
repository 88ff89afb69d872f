/** Which versions of a model serve: TensorFlow Serving's `model_version_policy`, with one rule more. */
import type { VersionPolicy } from '../../../config/config.ts'

/**
 * Versions to serve, ascending. A version that cannot serve takes nobody's place: `latest: n` goes further down until it
 * has n that can. Those it passed are listed too, so that their reasons can be shown.
 * @param versions ascending
 * @param broken versions of which it is known that they cannot serve
 */
export function selectVersions(policy: VersionPolicy, versions: readonly string[], broken: ReadonlySet<string>): string[] {
  if (policy === 'all') return [...versions]
  if ('specific' in policy) return versions.filter((version) => policy.specific.includes(version))
  let left = policy.latest
  const chosen: string[] = []
  for (let i = versions.length - 1; i >= 0 && left > 0; i--) {
    const version = versions[i]!
    chosen.unshift(version)
    if (!broken.has(version)) left--
  }
  return chosen
}
