// Builds the folder that others copy by itself, with graphql-sse and without React: so the build says what it weighs.
import { defineConfig } from 'vite';

export default defineConfig({
  build: {
    outDir: 'dist/activity-stream',
    modulePreload: false,
    rolldownOptions: {
      input: 'src/activity-stream/index.ts',
      preserveEntrySignatures: 'strict',
      output: { entryFileNames: 'activity-stream.js' },
    },
  },
  publicDir: false,
});
