import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import test from 'node:test';
import { buildSchema, parse, validate } from 'graphql';
import * as operations from './operations.ts';
import { typesOf } from './testing/typing.ts';

const schema = buildSchema(readFileSync('../schema/schema.graphql', 'utf8'));

for (const [name, { query }] of Object.entries(operations)) {
  test(`${name} is valid against the server's schema`, () => {
    assert.deepEqual(validate(schema, parse(query)).map(String), []);
  });
}

test('the types of all operations are those of the schema: each can be put in the place of the other', () => {
  const checks = Object.entries(operations).map(([name, { query }]) => {
    const { data, variables } = typesOf(schema, query);
    return `
type Data${name} = ${data};
type Variables${name} = ${variables};
export const ours${name}: Data${name} = null! as DataOf<typeof operations.${name}>;
export const theirs${name}: DataOf<typeof operations.${name}> = null! as Data${name};
export const variables${name}: Variables${name} = null! as VariablesOf<typeof operations.${name}>;`;
  });
  const head = `import * as operations from '../../src/activity-stream/operations.ts';
type DataOf<O> = O extends operations.Operation<infer D, infer _> ? D : never;
type VariablesOf<O> = O extends operations.Operation<infer _, infer V> ? V : never;`;
  mkdirSync('dist/typing', { recursive: true });
  writeFileSync('dist/typing/check.ts', [head, ...checks].join('\n'));
  const options = { extends: '../../tsconfig.json', compilerOptions: { types: [] }, include: ['check.ts'] };
  writeFileSync('dist/typing/tsconfig.json', JSON.stringify(options));
  const { status, stdout } = spawnSync('node_modules/.bin/tsc', ['--project', 'dist/typing'], { encoding: 'utf8' });
  assert.equal(status, 0, stdout);
});
