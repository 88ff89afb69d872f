/** Runs the hooks of a route. Everything stays synchronous until a hook returns a promise. */
import { type Answer, type Exchange, problem } from '../exchange.ts'
import { WeirError } from '../errors.ts'
import type { CompiledRoute, Hook, Step } from './route.ts'

type Outcome = Answer | null | Promise<Answer | null>

/** @returns the answer that turned the exchange round, or null: go on */
export function runRequest(route: CompiledRoute, x: Exchange): Outcome {
  if (route.request !== null) return forward(route, route.request, x, 0, true)
  x.reached = route.plugins.length
  return null
}

/** The body is whole. @returns as `runRequest` */
export function runRequestBody(route: CompiledRoute, x: Exchange): Outcome {
  return route.requestBody === null ? null : forward(route, route.requestBody, x, 0, false)
}

/** `x.answer` is set; a hook that replies replaces it. */
export function runResponse(route: CompiledRoute, x: Exchange): void | Promise<void> {
  if (route.response !== null) return backward(route.response, x, 0)
}

/** `x.answer.body` is whole. */
export function runResponseBody(route: CompiledRoute, x: Exchange): void | Promise<void> {
  if (route.responseBody !== null) return backward(route.responseBody, x, 0)
}

/** @returns null when nobody looks at the chunks; the function throws a `WeirError` when a hook fails closed: the answer must be cut */
export function tapChunks(route: CompiledRoute, x: Exchange): ((chunk: Buffer) => Buffer | null) | null {
  const taps = route.responseChunk?.filter((step) => step.index < answered(x)) ?? []
  if (taps.length === 0) return null
  return function tap(chunk) {
    let seen: Buffer | null = chunk
    for (const step of taps) {
      if (seen === null) return null
      try {
        seen = step.run(x, seen)
      } catch (error) {
        step.failed(error)
        if (step.onError === 'closed') throw failure(x, error)
      }
    }
    return seen
  }
}

/** `x.answer` is whole; nothing a hook does stops the others, or the answer. */
export function runFinish(route: CompiledRoute, x: Exchange): void {
  if (route.finish === null) return
  const reached = answered(x)
  for (const step of route.finish) {
    if (step.index >= reached) continue
    try {
      step.run(x)
    } catch (error) {
      step.failed(error)
    }
  }
}

/** Runs once however often it is called; nothing a hook does stops the others. */
export function runDone(route: CompiledRoute, x: Exchange): void {
  const reached = x.reached
  x.reached = -1
  if (route.done === null) return
  for (const step of route.done) {
    if (step.index >= reached) continue
    try {
      const result: unknown = step.run(x)
      if (result instanceof Promise) result.catch(step.failed)
    } catch (error) {
      step.failed(error)
    }
  }
}

/** `marks`: these are the `request` hooks, which say how far the exchange got. */
function forward(route: CompiledRoute, steps: readonly Step<Hook>[], x: Exchange, from: number, marks: boolean): Outcome {
  for (let i = from; i < steps.length; i++) {
    const step = steps[i]!
    if (marks) x.reached = step.index + 1
    const verdict = attempt(step, x)
    if (verdict === undefined) continue
    if (!pending(verdict)) return turn(step, x, verdict)
    return verdict.then((answer) => {
      if (answer !== undefined) return turn(step, x, answer)
      // The caller may have left in the meantime: no hook begins for an exchange that is over.
      if (x.leg.cancelled !== null) return problem(x.leg.cancelled, x.requestId)
      return forward(route, steps, x, i + 1, marks)
    })
  }
  if (marks) x.reached = route.plugins.length
  return null
}

function turn(step: Step<Hook>, x: Exchange, answer: Answer): Answer {
  x.turned = step.index
  return answer
}

function backward(steps: readonly Step<Hook>[], x: Exchange, from: number): void | Promise<void> {
  for (let i = from; i < steps.length; i++) {
    const step = steps[i]!
    if (step.index >= answered(x)) continue
    const verdict = attempt(step, x)
    if (verdict === undefined) continue
    if (!pending(verdict)) {
      replace(x, verdict)
      continue
    }
    return verdict.then((answer) => {
      if (answer !== undefined) replace(x, answer)
      return x.reached < 0 ? undefined : backward(steps, x, i + 1)
    })
  }
}

/** How many plugins see the answer: those reached, or those before the one that replied. */
function answered(x: Exchange): number {
  return x.turned < 0 ? x.reached : x.turned
}

/** Nobody will read the body of the answer that goes, unless the new one took it over. */
function replace(x: Exchange, answer: Answer): void {
  const old = x.answer
  x.answer = answer
  if (old === null || old === answer) return
  if (old.body !== null && old.body !== answer.body && !Buffer.isBuffer(old.body)) old.body.cancel()
  if (old.tunnel !== answer.tunnel) old.tunnel?.cancel()
}

/** One hook, its failure turned into a verdict: undefined = go on. */
function attempt(step: Step<Hook>, x: Exchange): Answer | undefined | Promise<Answer | undefined> {
  try {
    const verdict = step.run(x)
    if (!pending(verdict)) return answerOf(verdict)
    return Promise.resolve(verdict).then(answerOf).catch((error: unknown) => failed(step, x, error))
  } catch (error) {
    return failed(step, x, error)
  }
}

/** Plugins may be JavaScript: what is neither nothing nor an answer is a failure of theirs. */
function answerOf(verdict: Answer | undefined | void | null): Answer | undefined {
  if (verdict === undefined || verdict === null) return undefined
  if (typeof verdict.status === 'number' && Array.isArray(verdict.headers)) return verdict
  throw new TypeError('a hook returned something that is neither nothing nor an answer')
}

function failed(step: Step<Hook>, x: Exchange, error: unknown): Answer | undefined {
  step.failed(error)
  return step.onError === 'open' ? undefined : problem(failure(x, error), x.requestId)
}

/** What a caller hears of it: a `WeirError` speaks for itself, of anything else only that a plugin failed. */
function failure(x: Exchange, error: unknown): WeirError {
  const known = error instanceof WeirError ? error : new WeirError('PLUGIN_FAILED', undefined, { cause: error })
  x.error ??= known
  return known
}

function pending<T>(value: T): value is Extract<T, PromiseLike<unknown>> {
  return typeof value === 'object' && value !== null && typeof (value as { then?: unknown }).then === 'function'
}
