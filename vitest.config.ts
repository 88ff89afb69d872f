import { defineConfig } from 'vitest/config'

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    setupFiles: ['test/seed.ts'],
    // Processes, not threads: tests start worker threads, listen on sockets and load a native library.
    pool: 'forks',
    // One more than the cores of a small machine: many tests wait for timers and for servers that start.
    maxWorkers: 3,
    testTimeout: 15_000,
    hookTimeout: 20_000,
    // A focused test hides all the others.
    allowOnly: false,
  },
})
