/** Files and folders that the config names: that they are there. What they hold is for whoever opens them. */
import { stat } from 'node:fs/promises'
import { complain, type Scene } from './scene.ts'

export function needFile(scene: Scene, path: string, file: string | undefined): string | null {
  if (file === undefined) return null
  scene.files.push({ path, file, what: 'file' })
  return file
}

export function needFolder(scene: Scene, path: string, file: string): void {
  scene.files.push({ path, file, what: 'folder' })
}

export async function checkFiles(scene: Scene): Promise<void> {
  const found = await Promise.all(scene.files.map(({ file }) => stat(file).catch(() => null)))
  scene.files.forEach(({ path, file, what }, i) => {
    const there = found[i]!
    if (there !== null && (what === 'folder' ? there.isDirectory() : there.isFile())) return
    const shown = scene.tree.written.has(path) ? '' : `Looked for ${file}.`
    complain(scene, path, { rule: 'missing-file', message: there === null ? `there is no such ${what}` : `expected a ${what}, found something else`, help: shown })
  })
}
