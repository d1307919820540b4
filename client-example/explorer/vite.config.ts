import { defineConfig } from 'vite';
import { precompress } from './precompress.ts';

export default defineConfig({
  root: import.meta.dirname,
  base: './', // the server mounts the result wherever it likes
  plugins: [precompress()],
  build: {
    outDir: '../dist/explorer',
    emptyOutDir: true,
    license: true, // .vite/license.md: what must go along with the bundled code
    chunkSizeWarningLimit: 5_000, // kB: Monaco
    rolldownOptions: {
      // "use client" means nothing here, and half of what GraphiQL brings along says it.
      checks: { moduleLevelDirective: false, bundlerTimings: false },
    },
  },
});
