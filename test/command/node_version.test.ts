import { expect, test } from 'vitest'
import packageJson from '../../package.json' with { type: 'json' }
import { nodeComplaint } from '../../gateway/command/node_version.ts'

test('a Node that runs weir is not complained of', () => {
  expect([nodeComplaint('24.0.0'), nodeComplaint('26.10.0'), nodeComplaint('100.0.0')]).toEqual([null, null, null])
})

test('an older one is named with what to do', () => {
  expect(nodeComplaint('20.20.2')).toBe('weir needs Node 24 or newer, this is Node 20.20.2.\n  Install a newer Node, or run `npm ci && npm start` in a clone: the project brings its own.\n')
  expect(nodeComplaint('22.99.0')).toContain('Node 22.99.0')
})

test('the package says the same', () => {
  expect(packageJson.engines.node).toBe('>=24')
})
