import { defineConfig } from 'vite';
import { precompress } from './explorer/precompress.ts';

const SERVER = process.env.SERVER ?? 'http://127.0.0.1:8000';

export default defineConfig({
  root: import.meta.dirname,
  base: './', // the server mounts the result wherever it likes
  plugins: [precompress()],
  // `npm run dev` beside a running demo. The Origin stays the page's, the Host becomes the server's.
  server: { proxy: Object.fromEntries(['/graphql', '/graphiql', '/config.json', '/demo'].map((path) => [path, { target: SERVER, changeOrigin: true }])) },
  build: {
    outDir: 'dist/page',
    emptyOutDir: true,
    license: true, // .vite/license.md: what must go along with the bundled code
    assetsInlineLimit: 0,
    rolldownOptions: { checks: { moduleLevelDirective: false, bundlerTimings: false } },
  },
});
