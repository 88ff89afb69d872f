/** What every step of loading needs: the tree, where complaints go, and where relative paths start. */
import { decode, fill } from './decode.ts'
import type { Tree } from './document.ts'
import type { Complaint, Issues } from './issues.ts'
import type { JsonSchema } from './shape.ts'

export interface NeededFile {
  readonly path: string
  readonly file: string
  readonly what: 'file' | 'folder'
}

export interface Scene {
  readonly tree: Tree
  readonly issues: Issues
  /** Folder of the file: relative paths start here. */
  readonly base: string
  /** Files that must exist, found on the way. */
  readonly files: NeededFile[]
}

/** The part at a path, with defaults and units; only for what is valid. */
export function settle<T>(scene: Scene, schema: JsonSchema, value: unknown): T {
  return decode(schema, fill(schema, value), scene.base) as T
}

export function complain(scene: Scene, path: string, complaint: Complaint): null {
  scene.issues.error(path, scene.tree.places.value(path), masked(scene, path, complaint))
  return null
}

/** A complaint that quotes a part of a value out of the environment names the variable instead. */
function masked(scene: Scene, path: string, complaint: Complaint): Complaint {
  const written = scene.tree.written.get(path)
  if (written === undefined || !/[`"]/.test(complaint.message) || complaint.message.includes(written)) return complaint
  return { ...complaint, message: `what \`${written.slice(0, 60)}\` holds is not right here` }
}
