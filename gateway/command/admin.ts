/** The gateway as the admin listener sees it. */
import type { AdminControl, PluginReport } from '../admin/control.ts'
import type { AdminRequest } from '../plugin.ts'
import type { Control } from '../threads/control.ts'
import type { ModelReport } from '../threads/live.ts'

/** For people: times are dates, memory is stated, and what is not loaded says no more than why. */
function shown({ id: _id, modified_at, loaded_at, measured, bytes, copies, signature, ...model }: ModelReport): object {
  const memory = loaded_at === 0 ? {} : { bytes, copies, memory_bytes: bytes * copies }
  return { ...model, ...measured, ...memory, modified_at: date(modified_at), loaded_at: date(loaded_at), inputs: signature?.inputs ?? [], outputs: signature?.outputs ?? [] }
}

function date(ms: number): string | null {
  return ms === 0 ? null : new Date(ms).toISOString()
}

/** @param drain begins a graceful stop, once */
export function adminControl(control: Control, drain: () => void): AdminControl {
  async function plugin(route: string, name: string, path: string, { method, query, body }: AdminRequest): Promise<PluginReport> {
    const { answer, errors } = await control.plugin({ route, plugin: name, method, path, query: query.toString(), body })
    return answer.kind === 'value' ? { kind: 'answer', value: answer.value, errors } : answer
  }

  return {
    views: () => control.views(),
    ready() {
      const { ready, state, threads } = control.status
      const { wanted, serving, restarts } = threads
      return { ready, reason: ready ? 'ready' : state === 'serving' ? 'no_data_thread' : state, threads: { wanted, serving, restarts } }
    },
    config() {
      const { config, loaded, synchronized, issues } = control
      return { file: config?.file ?? '', hash: config?.hash ?? '', loaded_at: loaded, synchronized, issues, config: config?.effective ?? null }
    },
    routes: () => (control.config?.routes ?? []).map(({ name, match, backend, format, plugins }) => ({ name, match, backend, format, plugins: plugins.map((one) => one.name) })),
    backends: () => control.backends(),
    models: () => control.models.map(shown),
    repository: (action, name) => control.repository(action, name),
    plugin,
    async reload() {
      const { ok, issues } = await control.reload()
      return { ok, issues, hash: control.config?.hash ?? '' }
    },
    drain,
  }
}
