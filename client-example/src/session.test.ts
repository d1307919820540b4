import assert from 'node:assert/strict';
import test from 'node:test';
import type { Config } from './identity/identities.ts';
import { createSession } from './session.ts';

const offering = (token: string): Config => ({
  endpoint: 'http://host/graphql',
  identities: [{ name: 'Alice', description: 'reads', token }],
  demo: { speed: 1, faults: [] },
});
const ALICE = { name: 'Alice', pasted: '' };

test('a refused token is exchanged once, however many ask', async () => {
  let reloads = 0;
  const session = createSession(offering('old'), ALICE, async () => (reloads++, offering('new')));
  assert.equal(await session.token({ renew: false }), 'old');
  assert.deepEqual(await Promise.all([session.token({ renew: true }), session.token({ renew: true })]), ['new', 'new']);
  assert.equal(await session.token({ renew: false }), 'new');
  assert.equal(reloads, 1);
});

test('a server that is away is no reason to be signed out', async () => {
  let away = true;
  const session = createSession(offering('old'), ALICE, async () => {
    if (away) throw new Error('away');
    return offering('new');
  });
  await assert.rejects(session.token({ renew: true }), /away/);
  away = false;
  assert.equal(await session.token({ renew: true }), 'new');
});

test('a pasted token cannot be renewed, and does not show in the name of the viewer', async () => {
  const session = createSession(offering('x'), { name: null, pasted: 'secret' }, async () => offering('y'));
  assert.equal(await session.token({ renew: false }), 'secret');
  assert.equal(await session.token({ renew: true }), null);
  assert.doesNotMatch(session.viewer, /secret/);
});
