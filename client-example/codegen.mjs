// Writes generated.ts beside each operations.ts: the types of its documents by the printed schema. Run by `npm run codegen`.
// node codegen.mjs [--check] [SCHEMA]. --check writes nothing and fails where what is there is not what would be written.
import { readFileSync, writeFileSync } from 'node:fs';
import { plugin } from '@graphql-codegen/typescript-operations';
import { buildSchema, Kind, parse } from 'graphql';
import { runnerImport } from 'vite';

const FOLDERS = ['src/activity-stream', 'src/feed'];
const HEAD = '// Made by `npm run codegen` from the printed schema and operations.ts: change those.\n';
const CONFIG = {
  scalars: { ID: 'string', Cursor: 'string', DateTime: 'string', JSON: 'unknown' },
  strictScalars: true, // a scalar that is not named here is an error, not `any`
  skipTypename: true, // there where a document asks for it, and nowhere else
  inlineFragmentTypes: 'combine', // name a fragment where it is spread
  arrayInputCoercion: false,
  inputMaybeValue: 'T | null',
};

/** What generated.ts has to be. Documents share fragments; each is written once. */
async function typesOf(schema, folder) {
  const { module } = await runnerImport(`./${folder}/operations.ts`); // Vite's, since Node 20 reads no TypeScript
  const definitions = new Map();
  for (const { query } of Object.values(module)) {
    for (const one of parse(query).definitions) definitions.set(`${one.kind} ${one.name.value}`, one);
  }
  const document = { kind: Kind.DOCUMENT, definitions: [...definitions.values()] };
  const { prepend, content } = await plugin(schema, [{ document }], CONFIG, {});
  return HEAD + [...prepend.filter(Boolean), content].join('\n').trimEnd() + '\n';
}

const args = process.argv.slice(2);
const check = args[0] === '--check';
const schema = buildSchema(readFileSync(args[check ? 1 : 0] ?? '../schema/schema.graphql', 'utf8'));
for (const folder of FOLDERS) {
  const file = `${folder}/generated.ts`;
  const types = await typesOf(schema, folder);
  if (!check) writeFileSync(file, types);
  else if (readFileSync(file, 'utf8') !== types) {
    console.error(`${file} is not what the schema and operations.ts make of it: npm run codegen`);
    process.exitCode = 1;
  }
}
