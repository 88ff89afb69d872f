/** Digests are those of sha256sum: `printf abc | sha256sum`, `printf '' | sha256sum` (FIPS 180-2, B.1 and the empty message). */
import { mkdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { checkManifest } from '../../gateway/models/repository/manifest.ts'
import { temporary } from './setup.ts'

const ABC = 'ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad'
const EMPTY = 'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855'

let folder: ReturnType<typeof temporary>
beforeEach(() => {
  folder = temporary()
  mkdirSync(join(folder.path, '1/data'), { recursive: true })
  put('1/model.onnx', 'abc')
  put('1/data/weights', '')
  put('outside', 'abc')
})
afterEach(() => folder.remove())

function put(name: string, text: string): void {
  writeFileSync(join(folder.path, name), text)
}

function verdict(manifest: string): Promise<string | null> {
  put('1/manifest.sha256', manifest)
  return checkManifest(join(folder.path, '1/model.onnx'))
}

test('no manifest, no complaint', async () => {
  expect(await checkManifest(join(folder.path, '1/model.onnx'))).toBeNull()
})

test.each([
  ['as sha256sum writes it', `${ABC}  model.onnx\n${EMPTY}  data/weights\n`],
  ['read as binary', `${ABC} *model.onnx\n`],
  ['with ./ and CRLF and upper case', `${ABC.toUpperCase()}  ./model.onnx\r\n\r\n`],
])('right: %s', async (_title, manifest) => {
  expect(await verdict(manifest)).toBeNull()
})

test.each([
  ['another digest', `${EMPTY}  model.onnx\n`, '"model.onnx" is not what manifest.sha256 says: expected sha256 e3b0c44298fc…, found ba7816bf8f01…'],
  ['another digest of a second file', `${ABC}  model.onnx\n${ABC}  data/weights\n`, '"data/weights" is not what manifest.sha256 says: expected sha256 ba7816bf8f01…, found e3b0c44298fc…'],
  ['model.onnx not listed', `${EMPTY}  data/weights\n`, 'manifest.sha256 does not list model.onnx'],
  ['empty', '', 'manifest.sha256 does not list model.onnx'],
  ['a file that is not there', `${ABC}  model.onnx\n${ABC}  gone\n`, 'manifest.sha256 lists "gone", which is not there'],
  ['up and out', `${ABC}  model.onnx\n${ABC}  ../outside\n`, 'manifest.sha256 lists "../outside", which leaves the folder'],
  ['absolute', `${ABC}  model.onnx\n${ABC}  /etc/hostname\n`, 'manifest.sha256 lists "/etc/hostname", which leaves the folder'],
  ['a folder', `${ABC}  model.onnx\n${ABC}  data\n`, '"data", which manifest.sha256 lists, cannot be read'],
  ['no digest', 'abc  model.onnx\n', 'manifest.sha256 line 1: expected a sha256 digest, two spaces and a file'],
  ['one space', `${ABC}  model.onnx\n${ABC} data/weights\n`, 'manifest.sha256 line 2: expected a sha256 digest, two spaces and a file'],
  ['absurdly large', `${ABC}  model.onnx\n`.repeat(15_000), 'manifest.sha256 is larger than 1048576 bytes'],
])('wrong: %s', async (_title, manifest, expected) => {
  expect(await verdict(manifest)).toBe(expected)
})

test('a link out of the folder leaves it, one inside does not', async () => {
  rmSync(join(folder.path, '1/model.onnx'))
  symlinkSync(join(folder.path, 'outside'), join(folder.path, '1/model.onnx'))
  expect(await verdict(`${ABC}  model.onnx\n`)).toBe('manifest.sha256 lists "model.onnx", which leaves the folder')
  rmSync(join(folder.path, '1/model.onnx'))
  put('1/data/real', 'abc')
  symlinkSync('data/real', join(folder.path, '1/model.onnx'))
  expect(await verdict(`${ABC}  model.onnx\n`)).toBeNull()
})
