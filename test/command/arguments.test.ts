import { describe, expect, it } from 'vitest'
import { nearest } from '../../config/issues.ts'
import { parseCommand, UsageError } from '../../gateway/command/arguments.ts'
import { helpText } from '../../gateway/command/help.ts'

const parse = (line: string) => parseCommand(line === '' ? [] : line.split(' '), nearest)

describe('commands', () => {
  it.each([
    ['run a.yaml', { name: 'run', file: 'a.yaml', to: null, listen: null, admin: null, threads: null }],
    ['run a.yaml --threads 2 --listen 8080', { name: 'run', file: 'a.yaml', to: null, listen: '8080', admin: null, threads: '2' }],
    ['run --to http://a --admin=127.0.0.1:1', { name: 'run', file: null, to: 'http://a', listen: null, admin: '127.0.0.1:1', threads: null }],
    ['check a.yaml', { name: 'check', file: 'a.yaml', connect: false }],
    ['check --connect a.yaml', { name: 'check', file: 'a.yaml', connect: true }],
    ['explain a.yaml', { name: 'explain', file: 'a.yaml', request: null }],
    ['explain a.yaml GET /x', { name: 'explain', file: 'a.yaml', request: { method: 'GET', target: '/x', headers: [] } }],
    ['explain a.yaml -H A:1 GET /x -H b:c:d', { name: 'explain', file: 'a.yaml', request: { method: 'GET', target: '/x', headers: ['A', '1', 'b', 'c:d'] } }],
    ['replay a.jsonl --route r --to http://a', { name: 'replay', file: 'a.jsonl', route: 'r', to: 'http://a', config: null, rate: null, speed: null, where: null, limit: Infinity, connections: 16, exact: false, tolerance: 1e-6, json: false }],
    ['replay --json a --route r --config c --speed x2 --limit 5 --compare exact', { name: 'replay', file: 'a', route: 'r', to: null, config: 'c', rate: null, speed: 2, where: null, limit: 5, connections: 16, exact: true, tolerance: 1e-6, json: true }],
    ['backtest a.csv --config c --route r', { name: 'backtest', file: 'a.csv', config: 'c', route: 'r', time: 'time', label: null, predictions: [], from: -Infinity, to: Infinity, limit: Infinity, json: false }],
    ['backtest a.csv --config c --route r --label y --time at --prediction p,q --from 2026-03-02 --to 2026-03-02T12:00:00+01:00 --limit 5 --json', { name: 'backtest', file: 'a.csv', config: 'c', route: 'r', time: 'at', label: 'y', predictions: ['p', 'q'], from: 1_772_409_600_000, to: 1_772_449_200_000, limit: 5, json: true }],
    ['', { name: 'help', topic: null }],
    ['--help', { name: 'help', topic: null }],
    ['help run', { name: 'help', topic: 'run' }],
    ['check --help', { name: 'help', topic: 'check' }],
    ['--version', { name: 'version' }],
  ])('%s', (line, command) => {
    expect(parse(line)).toEqual(command)
  })

  it('splits a header at the first colon and trims it', () => {
    expect(parseCommand(['explain', 'f', 'GET', '/', '-H', 'x-tier:  gold '], nearest)).toMatchObject({ request: { headers: ['x-tier', 'gold'] } })
  })
})

describe('mistakes', () => {
  it.each([
    ['rnu a.yaml', 'no command "rnu"', 'weir run'],
    ['frobnicate', 'no command', 'weir --help'],
    ['run', 'needs a file', 'weir run --to'],
    ['run a b', '"b"', 'weir run --help'],
    ['run a --thread 2', 'no flag --thread', '--threads'],
    ['run a -x', 'no flag -x', 'weir --help'],
    ['run a --threads', 'needs a value', 'weir run --help'],
    ['run a --threads --listen 1', 'needs a value', 'weir run --help'],
    ['run a --listen 1 --listen 2', 'stands twice', 'once'],
    ['run a --to http://b', 'not both', 'backend'],
    ['check', 'needs a file', 'weir check'],
    ['backtest', 'needs a file', 'weir backtest traffic.csv --config'],
    ['replay', 'needs a file', 'weir replay log.jsonl --route'],
    ['explain a GET', 'a method and a path', 'weir explain'],
    ['explain a GET x', 'begins with "/"', 'weir explain'],
    ['explain a GET / -H x', 'name: value', '-H'],
    ['replay a --to http://b', 'needs --route', '--route'],
    ['replay a --route r', 'needs --to or --config', '--config'],
    ['replay a --route r --to http://b --rate 0', 'a number above 0', '--help'],
    ['replay a --route r --to http://b --rate 1 --speed x2', 'not both', 'one'],
    ['replay a --route r --to http://b --compare nearly', 'exact or numeric', 'numeric'],
    ['backtest a --route r', 'needs --config', '--config'],
    ['backtest a --config c', 'needs --route', '--route'],
    ['backtest a --config c --route r --from noon', 'a date or a time', '2026'],
    ['backtest a --config c --route r --from 2026-03-02 --to 2026-03-01', 'not before', 'before'],
    ['backtest a --config c --route r --limit 0', 'a number above 0', 'weir backtest --help'],
    ['replay a --route r --to http://b --json=1', 'takes no value', '--help'],
  ])('%s', (line, message, help) => {
    try {
      parse(line)
      expect.unreachable()
    } catch (error) {
      expect(error).toBeInstanceOf(UsageError)
      expect((error as UsageError).message).toContain(message)
      expect((error as UsageError).help).toContain(help)
    }
  })
})

it('every command has its help', () => {
  for (const topic of ['run', 'check', 'explain', 'profile', 'replay'] as const) {
    expect(helpText(topic)).toContain(`weir ${topic} `)
    expect(helpText(null)).toContain(`weir ${topic} `)
  }
})
