/** Servers that run the model `cancer` themselves; the peers of weir's inside models. */
import { cpSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { folderOf, MODEL, type Peer, python, pythonSays, root } from './peers.ts'
import { GATEWAY_CORE, start } from './processes.ts'

const HEALTH = '/v2/health/ready'

export const fastapi: Peer = {
  name: 'FastAPI',
  health: HEALTH,
  version: () => pythonSays(python(), "import fastapi, onnxruntime, uvicorn, uvloop, httptools; print(f'FastAPI {fastapi.__version__}, onnxruntime {onnxruntime.__version__}, uvicorn {uvicorn.__version__}')"),
  missing: 'Python has no fastapi, uvicorn[standard] and onnxruntime',
  start: (setting) =>
    start(GATEWAY_CORE, python()!, ['-m', 'uvicorn', 'app:app', '--port', String(setting.port), '--workers', '1', '--loop', 'uvloop', '--http', 'httptools', '--no-access-log', '--log-level', 'warning'], {
      env: { MODEL },
      cwd: join(root, 'bench/peers/fastapi_ort'),
    }),
}

/** MLServer pins versions of its own, so it has a Python of its own. */
const mlserverPython = () => process.env['WEIR_BENCH_MLSERVER'] ?? null

/** @param more settings beside the ports, which are no default of its */
function mlserverPeer(name: string, more: Readonly<Record<string, unknown>>): Peer {
  return {
    name,
    health: HEALTH,
    version: () => pythonSays(mlserverPython(), "import mlserver, onnxruntime; print(f'MLServer {mlserver.__version__}, onnxruntime {onnxruntime.__version__}')"),
    missing: 'WEIR_BENCH_MLSERVER names no Python that has mlserver and onnxruntime',
    start(setting) {
      const path = folderOf(setting, name.replaceAll(' ', '_'))
      cpSync(join(root, 'bench/peers/mlserver'), path, { recursive: true })
      // gRPC and metrics take any port.
      writeFileSync(join(path, 'settings.json'), JSON.stringify({ host: '127.0.0.1', http_port: setting.port, grpc_port: 0, metrics_port: 0, ...more }))
      writeFileSync(join(path, 'model-settings.json'), JSON.stringify({ name: 'cancer', implementation: 'onnx_model.OnnxModel', parameters: { uri: MODEL, version: '1' } }))
      return start(GATEWAY_CORE, join(dirname(mlserverPython()!), 'mlserver'), ['start', path], { cwd: path })
    },
  }
}

/** As it comes: the model in a worker process, access log. */
export const mlserver = mlserverPeer('MLServer', {})
/** As lean as it gets: the model in the server's own process, neither access log nor metrics nor compression. */
export const mlserverLean = mlserverPeer('MLServer in one process', { metrics_endpoint: null, parallel_workers: 0, debug: false, gzip_enabled: false })
