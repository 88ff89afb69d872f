/**
 * Which of the available endpoints are asked: those of the lowest priority level that has any (Envoy's levels, without its gradual
 * overflow), and of those the ones in weir's own zone, as long as at least half of that zone's are available; else the whole level.
 */
import type { Endpoint } from './endpoint.ts'

/** Half of a zone has to carry all of its load; with less it gets help. */
const ENOUGH = 0.5

/** @param all every endpoint, available or not. @param zone weir's own, '' = not told */
export function tier(available: readonly Endpoint[], all: readonly Endpoint[], zone: string): readonly Endpoint[] {
  const level = available.reduce((lowest, { config }) => Math.min(lowest, config.priority), Infinity)
  const here = available.filter(({ config }) => config.priority === level)
  if (zone === '') return here
  const near = here.filter(({ config }) => config.zone === zone)
  const known = all.filter(({ config }) => config.priority === level && config.zone === zone)
  return near.length > 0 && near.length >= ENOUGH * known.length ? near : here
}
