import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'node:test';

const PRINTED = '../schema/schema.graphql';

function check(schema: string) {
  return spawnSync(process.execPath, ['codegen.mjs', '--check', schema], { encoding: 'utf8' });
}

test('the generated types are those of the printed schema and of the documents', () => {
  const { status, stderr } = check(PRINTED);

  assert.equal(status, 0, stderr);
});

test('a field that another type was given is told of every folder that asks for it', (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'schema-'));
  t.after(() => rmSync(folder, { recursive: true }));
  const changed = join(folder, 'schema.graphql');
  writeFileSync(changed, readFileSync(PRINTED, 'utf8').replace(/(type ReadState \{\s+unreadCount: Int)!/, '$1'));

  const { status, stderr } = check(changed);

  assert.equal(status, 1);
  assert.deepEqual(stderr.match(/\S+generated\.ts/g), ['src/activity-stream/generated.ts', 'src/feed/generated.ts']);
});
