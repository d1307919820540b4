// Monaco asks for its workers by label. Ours instead of `graphiql/setup-workers/vite`, which crashes `vite dev`
// and writes to the console for every worker.
import EditorWorker from 'monaco-editor/esm/vs/editor/editor.worker.js?worker';
import JsonWorker from 'monaco-editor/esm/vs/language/json/json.worker.js?worker';
import GraphQLWorker from 'monaco-graphql/esm/graphql.worker.js?worker';

const workers = new Map([['json', JsonWorker], ['graphql', GraphQLWorker]]);
Object.assign(globalThis, { MonacoEnvironment: { getWorker: (_id: string, label: string) => new (workers.get(label) ?? EditorWorker)() } });
