import { expect, test } from 'vitest'
import { selectVersions } from '../../gateway/models/repository/policy.ts'

const four = ['1', '2', '3', '10']

test.each([
  ['all', four, [], ['1', '2', '3', '10']],
  ['all', four, ['2', '10'], ['1', '2', '3', '10']],
  ['all', [], [], []],
  [{ specific: ['3', '1'] }, four, [], ['1', '3']],
  [{ specific: ['2'] }, four, ['2'], ['2']],
  [{ specific: ['7'] }, four, [], []],
  [{ latest: 1 }, four, [], ['10']],
  [{ latest: 2 }, four, [], ['3', '10']],
  [{ latest: 9 }, four, [], ['1', '2', '3', '10']],
  // What cannot serve takes nobody's place.
  [{ latest: 1 }, four, ['10'], ['3', '10']],
  [{ latest: 2 }, four, ['10', '2'], ['1', '2', '3', '10']],
  [{ latest: 1 }, four, ['1', '2', '3', '10'], ['1', '2', '3', '10']],
  [{ latest: 1 }, four, ['1'], ['10']],
] as const)('%j of %j, broken %j: %j', (policy, versions, broken, expected) => {
  expect(selectVersions(policy, versions, new Set(broken))).toEqual(expected)
})
