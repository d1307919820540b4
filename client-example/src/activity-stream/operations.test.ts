import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import test from 'node:test';
import { buildSchema, parse, validate } from 'graphql';
import * as operations from './operations.ts';

const schema = buildSchema(readFileSync('../schema/schema.graphql', 'utf8'));

for (const [name, { query }] of Object.entries(operations)) {
  test(`${name} is valid against the server's schema`, () => {
    assert.deepEqual(validate(schema, parse(query)).map(String), []);
  });
}
