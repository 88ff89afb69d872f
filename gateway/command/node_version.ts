/** Node's version, looked at before anything is loaded that an older Node has no words for. */

/** As `engines` in package.json. */
const OLDEST = 24

/** @param version as in `process.versions.node` @returns what to say to a user whose Node is too old, or null */
export function nodeComplaint(version: string): string | null {
  if (Number.parseInt(version, 10) >= OLDEST) return null
  return `weir needs Node ${OLDEST} or newer, this is Node ${version}.\n  Install a newer Node, or run \`npm ci && npm start\` in a clone: the project brings its own.\n`
}
