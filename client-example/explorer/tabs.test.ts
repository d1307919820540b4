import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import test from 'node:test';
import { buildSchema, getOperationAST, getVariableValues, parse, validate } from 'graphql';
import { EXAMPLE_TABS } from './tabs.ts';

const schema = buildSchema(readFileSync('../schema/schema.graphql', 'utf8'));

for (const { query, variables } of EXAMPLE_TABS) {
  const document = parse(query);
  const operation = getOperationAST(document)!;

  test(`the tab ${operation.name?.value} is valid against the schema`, () => {
    assert.deepEqual(validate(schema, document).map(String), []);
    const given = JSON.parse(variables ?? '{}');
    assert.deepEqual(getVariableValues(schema, operation.variableDefinitions ?? [], given).errors, undefined);
  });
}
